//! Backups: taken while a broker serves, put back whole or not at all.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::daemon::{Daemon, configure, run, said};
use support::{Clients, GBIT, Served, create, release, topology};
use tidegate_broker::audit::Standing;
use tidegate_broker::backup::restore::restore;
use tidegate_broker::backup::save::save;
use tidegate_broker::config::{JournalPlace, SnapshotConfig};
use tidegate_broker::journal::{EmbeddedJournal, Journal, Seq};
use tidegate_broker::{Config, durable};
use tidegate_core::{Limits, Machine};
use tidegate_proto::v1;

const HOUR_MS: i64 = 3_600_000;

/// What stood after batch `head`, by the whole history.
fn stood(dir: &Path, head: Seq) -> Standing {
    let journal = EmbeddedJournal::open(dir).unwrap();
    let mut machine = Machine::new(Limits::default());
    for batch in journal.read_from(Seq(1)).unwrap() {
        let (seq, bytes) = batch.unwrap();
        if head < seq {
            break;
        }
        for event in durable::decode(&bytes).unwrap() {
            machine.apply(&event).unwrap();
        }
    }
    Standing::of(head, machine)
}

/// Changes reservations until told to stop.
async fn work(clients: Clients, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let made = clients.create(create(1, HOUR_MS)).await;
        if made.name.ends_with(['0', '1', '2', '3', '4', '5', '6', '7']) {
            let request = release(&made.name);
            clients.reservations.clone().release_reservation(request).await.unwrap();
        }
    }
}

/// Backups under load are the state at the batch that they name: from the log alone, and from a
/// snapshot and the batches since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_the_state_at_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let served = Served::start(Config::ephemeral(JournalPlace::Directory(journal.clone()))).await;
    served.clients.apply(topology(100 * GBIT)).await;
    served.clients.open("agent-1").await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for _ in 0..4 {
        let clients = Clients::connect(&served.address()).await;
        workers.push(tokio::spawn(work(clients, Arc::clone(&stop))));
    }
    let mut backups = Vec::new();
    for round in 0..6 {
        if round == 3 {
            // The first one: nothing is dropped yet, so the history can still be asked.
            served.broker.snapshot().await.unwrap();
        }
        let before = served.clients.info().await.journal_sequence;
        let file = dir.path().join(format!("{round}.backup"));
        let saved = save(&served.address(), &file).await.unwrap();
        assert!(before <= saved.head, "{before} was published, {} is in it", saved.head);
        assert_eq!(std::fs::metadata(&file).unwrap().len(), saved.bytes);
        backups.push((file, saved.head));
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    served.stop().await;
    for (file, head) in backups {
        let place = file.with_extension("restored");
        let standing = restore(&file, &place).unwrap();
        assert_eq!(standing.head, Seq(u64::try_from(head).unwrap()));
        assert_eq!(standing, stood(&journal, standing.head), "{}", file.display());
        // And it is a journal like any other.
        let report = tidegate_broker::audit::run(&place).unwrap();
        assert!(report.faults.is_empty(), "{report}");
        let again = Served::start(Config::ephemeral(JournalPlace::Directory(place))).await;
        assert_eq!(again.clients.info().await.journal_sequence, head);
        again.clients.create(create(1, HOUR_MS)).await;
        again.stop().await;
    }
}

/// A broker whose log was dropped in part, and a backup of it.
async fn saved(dir: &Path) -> PathBuf {
    let mut config = Config::ephemeral(JournalPlace::Directory(dir.join("journal")));
    config.snapshots = SnapshotConfig { after_batches: 1_000_000, ..config.snapshots };
    let served = Served::start(config).await;
    served.clients.apply(topology(100 * GBIT)).await;
    for _ in 0..3 {
        for _ in 0..3 {
            served.clients.create(create(1, HOUR_MS)).await;
        }
        served.broker.snapshot().await.unwrap();
    }
    served.clients.create(create(1, HOUR_MS)).await;
    let file = dir.join("tidegate.backup");
    save(&served.address(), &file).await.unwrap();
    served.stop().await;
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_not_put_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let good = saved(dir.path()).await;
    let bytes = std::fs::read(&good).unwrap();
    let (bad, place) = (dir.path().join("bad.backup"), dir.path().join("place"));
    let nothing = |what: &str| {
        let error = restore(&bad, &place).unwrap_err().to_string();
        assert!(error.contains("bad.backup"), "{what}: {error}");
        assert!(!place.exists(), "{what}");
        assert!(!dir.path().join("place.restoring").exists(), "{what}");
    };
    for length in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        std::fs::write(&bad, &bytes[..length]).unwrap();
        nothing(&format!("cut to {length} bytes"));
    }
    for at in (0..bytes.len()).step_by(13) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        std::fs::write(&bad, &flipped).unwrap();
        nothing(&format!("byte {at} flipped"));
    }
    std::fs::write(&bad, [&bytes[..], b"more"].concat()).unwrap();
    nothing("longer");
    std::fs::write(&bad, "[[hosts]]\nname = \"compute-1\"\n").unwrap();
    nothing("another file");
    restore(&good, &place).unwrap();
}

/// Whoever can compute a checksum still cannot forge a history: the chain is verified too.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_backup_is_not_put_in_place() {
    use sha2::{Digest, Sha256};
    let dir = tempfile::tempdir().unwrap();
    let good = saved(dir.path()).await;
    let bytes = std::fs::read(&good).unwrap();
    let (bad, place) = (dir.path().join("bad.backup"), dir.path().join("place"));
    let mut found = Vec::new();
    for at in (16..bytes.len() - 32).step_by(11) {
        let mut forged = bytes[..bytes.len() - 32].to_vec();
        forged[at] ^= 1;
        let sum = Sha256::digest(&forged);
        forged.extend_from_slice(&sum);
        std::fs::write(&bad, &forged).unwrap();
        match restore(&bad, &place) {
            Err(error) => found.push(error.to_string()),
            // Within the snapshot, only the checksum of the file stands guard.
            Ok(_) => std::fs::remove_dir_all(&place).unwrap(),
        }
    }
    for expected in ["header", "is damaged", "holds no state"] {
        assert!(found.iter().any(|it| it.contains(expected)), "{expected}: {found:?}");
    }
    // The last batch left out.
    let last = bytes.len() - 32;
    let cut = (0..last).rev().find(|at| {
        let length = bytes[*at..last].first_chunk().map(|it| u32::from_le_bytes(*it));
        length.is_some_and(|it| usize::try_from(it).unwrap() == last - at - 4)
    });
    let mut forged = bytes[..cut.unwrap()].to_vec();
    let sum = Sha256::digest(&forged);
    forged.extend_from_slice(&sum);
    std::fs::write(&bad, &forged).unwrap();
    let error = restore(&bad, &place).unwrap_err().to_string();
    assert!(error.contains("it ends at batch 10, and should at 11"), "{error}");
    assert!(!place.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_say_what_they_did_and_touch_nothing_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&configure(dir.path(), "127.0.0.1:0", ""));
    let clients = Clients::connect(&daemon.address).await;
    clients.apply(topology(GBIT)).await;
    let made = clients.create(create(1, HOUR_MS)).await;
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, place) = (path("one.backup"), path("restored"));
    let output = run(&["backup", "--broker", &daemon.address, &file]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("up to batch 2"), "{}", said(&output));
    let again = run(&["backup", "--broker", &daemon.address, &file]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("exists already"), "{}", said(&again));
    let output = run(&["restore", &file, &path("journal")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("is not empty"), "{}", said(&output));
    let output = run(&["restore", &file, &file]);
    assert!(said(&output).contains("is not a directory"), "{}", said(&output));
    let output = run(&["restore", &path("none.backup"), &place]);
    assert_eq!(said(&output).matches("No such file").count(), 1, "{}", said(&output));
    // An empty directory is as good as none.
    std::fs::create_dir(&place).unwrap();
    let output = run(&["restore", &file, &place]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("1 of 1 reservations live"), "{}", said(&output));
    daemon.kill();
    let away = run(&["backup", "--broker", "http://127.0.0.1:9", &path("two.backup")]);
    assert_eq!(away.status.code(), Some(1));
    assert!(said(&away).contains("cannot reach a broker"), "{}", said(&away));
    assert!(!dir.path().join("two.backup").exists());
    std::fs::remove_dir_all(dir.path().join("journal")).unwrap();
    std::fs::rename(&place, dir.path().join("journal")).unwrap();
    let daemon = Daemon::start(&configure(dir.path(), "127.0.0.1:0", ""));
    let clients = Clients::connect(&daemon.address).await;
    assert_eq!(clients.get(&made.name).await.bookings, made.bookings);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_backup_at_a_time_and_a_stop_waits_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let served =
        Served::start(Config::ephemeral(JournalPlace::Directory(dir.path().join("journal")))).await;
    // More than waits for a receiver that takes nothing: each is another one, and so a batch.
    for round in 1..=3 {
        let mut large = topology(round * GBIT);
        let switch = |index: usize| v1::Switch { name: format!("{:0>50}-{index}", "switch") };
        large.switches.extend((0..60_000).map(switch));
        served.clients.apply(large).await;
    }
    let mut admin = served.clients.admin.clone();
    let first = admin.stream_backup(v1::StreamBackupRequest {}).await.unwrap().into_inner();
    let second = admin.stream_backup(v1::StreamBackupRequest {}).await.unwrap_err();
    assert_eq!(second.code(), tonic::Code::ResourceExhausted, "{second:?}");
    assert!(second.message().contains("one at a time"), "{second:?}");
    drop(first);
    support::eventually("the next one is let in", || async {
        let stream = admin.clone().stream_backup(v1::StreamBackupRequest {}).await;
        stream.ok().map(drop)
    })
    .await;
    let mut unread = support::eventually("and the next", || async {
        admin.clone().stream_backup(v1::StreamBackupRequest {}).await.ok()
    })
    .await
    .into_inner();
    served.broker.stopper().cancel();
    served.broker.wait().await.unwrap();
    // Its directory is free, whoever still reads.
    drop(EmbeddedJournal::open(&dir.path().join("journal")).unwrap());
    while let Ok(Some(piece)) = unread.message().await {
        assert!(piece.sha256.is_empty(), "what was broken off does not look whole");
    }
}
