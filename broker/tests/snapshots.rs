//! Snapshots: a restart goes on from them, the log behind them is dropped, and whatever is wrong
//! with one is noticed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/churn.rs"]
mod churn;
#[path = "../core/tests/support/model/mod.rs"]
mod model;
mod support;

use std::path::{Path, PathBuf};

use churn::{Churn, Scale, size};
use model::driver::{Setting, run as run_model};
use support::daemon::{Daemon, configure, run, said};
use support::{Clients, GBIT, Served, create, eventually, release, topology};
use tidegate_broker::config::{JournalPlace, SnapshotConfig};
use tidegate_broker::journal::{EmbeddedJournal, Epoch, Journal, Seq};
use tidegate_broker::{Config, durable};
use tidegate_core::event::Booked;
use tidegate_core::{Change, Event, Machine, Plan, Reserved};

const HOUR_MS: i64 = 3_600_000;
/// Many snapshots in a short time.
const OFTEN: &str = "[snapshots]\nafter_batches = 10";

/// Written down as a snapshot is and read again.
fn reread(machine: &Machine) -> Machine {
    let bytes = durable::image::encode(&machine.image());
    let image = durable::image::decode(&bytes).unwrap();
    Machine::from_image(machine.limits().clone(), image).unwrap()
}

/// A thousand random points of random commands: the snapshot of a state is that state, and what
/// goes on from it goes on alike.
#[test]
fn a_snapshot_and_a_replay_lead_to_the_live_state() {
    let mut points = 0;
    for (seed, scale, tight) in [(11, 40, true), (12, 10_000_000_000, false)] {
        let commands = 280_000;
        let counts = run_model(Setting { seed, scale, tight, reread }, commands);
        points += counts["restart"] + commands / 1000;
    }
    assert!(1000 <= points, "{points}");
}

/// The snapshot files of a journal, newest first.
fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.join("journal")).unwrap().map(|it| it.unwrap().path());
    let snapshot = |path: &PathBuf| path.extension().is_some_and(|it| it == "bin");
    let mut found: Vec<PathBuf> = files.filter(snapshot).collect();
    found.sort_by(|a, b| b.cmp(a));
    found
}

fn stop(daemon: Daemon) {
    daemon.terminate();
    let (status, error) = daemon.wait();
    assert!(status.success(), "{status}: {error}");
}

/// A stopped broker's directory with two snapshots and a log that begins after the older one, and
/// everything that it held.
async fn lived(dir: &Path) -> Vec<tidegate_proto::v1::Reservation> {
    let daemon = Daemon::start(&configure(dir, "127.0.0.1:0", OFTEN));
    let clients = Clients::connect(&daemon.address).await;
    clients.apply(topology(100 * GBIT)).await;
    let mut rounds = 0;
    while rounds < 4 || snapshots(dir).len() < 2 {
        let newest = snapshots(dir).first().cloned();
        for _ in 0..12 {
            let made = clients.create(create(1, HOUR_MS)).await;
            if rounds % 2 == 0 {
                let request = release(&made.name);
                clients.reservations.clone().release_reservation(request).await.unwrap();
            }
        }
        eventually("a snapshot is made", || async {
            (snapshots(dir).first().cloned() != newest).then_some(())
        })
        .await;
        rounds += 1;
    }
    let all = everything(&clients).await;
    stop(daemon);
    all
}

/// Every reservation, but for what is counted from now.
async fn everything(clients: &Clients) -> Vec<tidegate_proto::v1::Reservation> {
    let all = clients.list(true, 1000).await.into_iter();
    all.map(|it| tidegate_proto::v1::Reservation { phase: 0, ..support::still(it) }).collect()
}

fn audited(dir: &Path) -> (Option<i32>, String) {
    let output = run(&["audit", dir.join("journal").to_str().unwrap()]);
    (output.status.code(), said(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_from_the_newest_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let all = lived(dir.path()).await;
    let (code, report) = audited(dir.path());
    assert_eq!(code, Some(0), "{report}");
    assert!(
        report.contains("the journal is sound") && !report.contains("batches    1 to"),
        "{report}"
    );
    assert!(report.contains("replayed   in 2 ways\n"), "{report}");
    let daemon = Daemon::start(&configure(dir.path(), "127.0.0.1:0", OFTEN));
    let clients = Clients::connect(&daemon.address).await;
    assert_eq!(everything(&clients).await, all);
    let again = clients.create(create(1, HOUR_MS)).await;
    assert!(all.iter().all(|it| it.name != again.name));
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_falls_back_to_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let all = lived(dir.path()).await;
    let [newest, older] = &snapshots(dir.path())[..] else { panic!("two are kept") };
    let whole = std::fs::read(newest).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(newest, &damaged).unwrap();
    let (code, report) = audited(dir.path());
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("UNUSABLE") && report.contains("1 faults found"), "{report}");
    let config = configure(dir.path(), "127.0.0.1:0", "");
    let daemon = Daemon::start(&config);
    let clients = Clients::connect(&daemon.address).await;
    assert_eq!(everything(&clients).await, all);
    stop(daemon);
    // Both: what they covered is gone, and nothing is made up.
    let kept = std::fs::read(older).unwrap();
    std::fs::write(older, &kept[..kept.len() - 1]).unwrap();
    let error = Daemon::try_start(&config).unwrap_err();
    assert!(error.contains("restore from a backup") && error.contains("were dropped"), "{error}");
    assert_eq!(audited(dir.path()).0, Some(1));
    std::fs::write(older, kept).unwrap();
    std::fs::write(newest, whole).unwrap();
    let (code, report) = audited(dir.path());
    assert_eq!(code, Some(0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_out_of_turn_is_made_beside_admissions() {
    for place in [None, Some(tempfile::tempdir().unwrap())] {
        let place = place.as_ref().map_or(JournalPlace::Memory, |dir| {
            JournalPlace::Directory(dir.path().join("journal"))
        });
        let mut config = Config::ephemeral(place);
        config.snapshots = SnapshotConfig { after_batches: 3, ..config.snapshots };
        let served = Served::start(config).await;
        served.clients.apply(topology(GBIT)).await;
        let mut made = Vec::new();
        for _ in 0..20 {
            let (made_one, created) =
                tokio::join!(served.broker.snapshot(), served.clients.create(create(1, HOUR_MS)));
            made.push(made_one.unwrap().seq);
            assert_eq!(served.clients.get(&created.name).await.name, created.name);
        }
        assert!(made.is_sorted() && Seq(10) < made[19], "{made:?}");
        served.stop().await;
    }
}

#[test]
fn the_directory_stays_bounded_while_reservations_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let scale = Scale { live: 200, events: 32, batches: 100, pause_ms: 1000 };
    let mut churn = Churn::begin(dir.path(), scale, None);
    for _ in 0..20_000 {
        churn.step();
    }
    let sizes = &churn.sizes;
    let quarter = |from: usize| {
        let part = sizes.len() * from / 4..sizes.len() * (from + 1) / 4;
        sizes[part].iter().max().copied().unwrap()
    };
    assert!(8 < sizes.len(), "{} snapshots", sizes.len());
    assert!(quarter(3) * 10 <= quarter(1) * 11, "it grows: {sizes:?}");
    assert!(quarter(3) < churn.appended, "{} appended, {sizes:?}", churn.appended);
    churn.append();
    let expected = reread(&churn.machine);
    drop(churn);
    let journal = EmbeddedJournal::open(dir.path()).unwrap();
    let look = journal.readers().open().unwrap();
    let found = tidegate_broker::replay::replay(&*look, expected.limits(), &|| false).unwrap();
    assert!(found.machine.same_ledger(&expected));
    assert!(found.batches < 200, "{} replayed", found.batches);
    assert!(0 < size(dir.path()));
}

/// A journal of one topology and one reservation, and the events it was made of.
fn little(dir: &Path) -> (EmbeddedJournal, Machine) {
    let scale = Scale { live: 10, events: usize::MAX, batches: u64::MAX, pause_ms: 1 };
    let mut churn = Churn::begin(&dir.join("journal"), scale, None);
    churn.step();
    churn.append();
    let Churn { journal, machine, .. } = churn;
    (journal, machine)
}

#[test]
fn an_audit_finds_what_was_planted() {
    // A promise that no lane can keep.
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, machine) = little(dir.path());
    let model = machine.reservations(None).next().unwrap().clone();
    let too_much = 1_000_000_000_000_001;
    let over =
        tidegate_policy::Interval::new(machine.clock(), tidegate_policy::Timestamp::MAX).unwrap();
    let booked = model.plan.booked().into_iter();
    let booked = booked.map(|it| Booked { amount: too_much, ..it }).collect();
    let route = model.plan.route().unwrap().clone();
    let overbooked = Reserved {
        id: tidegate_policy::ReservationId::from_u128(99),
        owner: model.owner.clone(),
        plan: Plan::single(route, over, model.rate(), booked),
        promise: None,
        standing: model.standing,
        terms: model.terms,
        hold_until: None,
        session: None,
        borrowed: false,
        despite: None,
    };
    let change = Change::Reserved(Box::new(overbooked));
    let event = Event { at: machine.clock(), request: None, change };
    journal.append(Epoch(1), Seq(2), &durable::encode(&[event])).unwrap();
    drop(journal);
    let (code, report) = audited(dir.path());
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("FAULT      links/spine/forward: "), "{report}");
    assert!(report.contains("NOT sound") && report.contains("3 faults found"), "{report}");

    // A snapshot of another state than the log leads to.
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, machine) = little(dir.path());
    let mut image = machine.image();
    image.reservations.clear();
    image
        .answers
        .retain(|answer| matches!(answer.outcome, tidegate_core::Outcome::Topology { .. }));
    journal.put_snapshot(Seq(1), &durable::image::encode(&image)).unwrap();
    drop(journal);
    let (code, report) = audited(dir.path());
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("the whole history and the batches since lead to another"), "{report}");

    // A snapshot that is whole and holds nothing that a broker wrote.
    let mut journal = EmbeddedJournal::open(&dir.path().join("journal")).unwrap();
    journal.put_snapshot(Seq(1), b"whatever").unwrap();
    drop(journal);
    let (code, report) = audited(dir.path());
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("holds no state") && report.contains("move it away"), "{report}");
    let error = Daemon::try_start(&configure(dir.path(), "127.0.0.1:0", "")).unwrap_err();
    assert!(error.contains("holds no state"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_wants_the_directory_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (code, report) = audited(dir.path());
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("is not a journal") && report.contains("journal.redb"), "{report}");
    assert!(!dir.path().join("journal").exists(), "nothing was made");
    let daemon = Daemon::start(&configure(dir.path(), "127.0.0.1:0", ""));
    let (code, report) = audited(dir.path());
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("in use by another broker"), "{report}");
    stop(daemon);
    let (code, report) = audited(dir.path());
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("batches    none after 0"), "{report}");
}
