//! Stopping, starting again, and not starting at all.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use support::daemon::{Daemon, configure, run, said};
use support::{Clients, GBIT, beat, create, eventually, granted, ms_of, span_ms, topology};
use tidegate_proto::v1;
use tidegate_proto::v1::CloseReason;
use tidegate_proto::v1::create_reservation_response::Outcome;
use tidegate_proto::v1::reservation::State;

const HOUR_MS: i64 = 3_600_000;
/// A session is lost a lease, a grace and a second after its last beat: 1.3 s.
const SHORT_LEASE: &str = "[session]\nbeat_every = \"50ms\"\nlease = \"200ms\"\ngrace = \"100ms\"";
const LOST_AFTER_MS: i64 = 1300;

/// A directory, a broker that runs in it, and its clients.
async fn started(dir: &Path, more: &str) -> (Daemon, Clients) {
    let config = configure(dir, "127.0.0.1:0", more);
    let daemon = Daemon::start(&config);
    let clients = Clients::connect(&daemon.address).await;
    (daemon, clients)
}

/// Waits until a reservation is closed.
async fn closed(clients: &Clients, name: &str) -> v1::Reservation {
    eventually("it is closed", || async {
        Some(clients.get(name).await).filter(|it| it.state() == State::Closed)
    })
    .await
}

fn stop(daemon: Daemon) {
    daemon.terminate();
    let (status, error) = daemon.wait();
    assert!(status.success(), "{status}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_is_under_way_and_frees_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, clients) = started(dir.path(), "").await;
    clients.apply(topology(100 * GBIT)).await;
    // A stream that does not end by itself keeps nobody from stopping.
    let session = clients.open("agent-1").await.name;
    let (beats, sent) = tokio::sync::mpsc::channel(1);
    beats.send(beat(&session, 1)).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(sent);
    let mut answers = clients.sessions.clone().keep_alive(stream).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().sequence, 1);
    let (first, mut answered) = tokio::sync::mpsc::channel(1);
    let workers = (0..8).map(|_| {
        let (mut client, first) = (clients.reservations.clone(), first.clone());
        tokio::spawn(async move {
            let mut names = BTreeSet::new();
            while let Ok(answer) = client.create_reservation(create(1, HOUR_MS)).await {
                names.insert(granted(answer.into_inner()).name);
                first.try_send(()).unwrap_or_default();
            }
            names
        })
    });
    let workers: Vec<_> = workers.collect();
    answered.recv().await.unwrap();
    daemon.terminate();
    let mut acknowledged = BTreeSet::new();
    for worker in workers {
        acknowledged.extend(worker.await.unwrap());
    }
    let end = answers.message().await;
    assert_eq!(end.unwrap_err().code(), tonic::Code::Unavailable, "the stream is told why");
    let (status, error) = daemon.wait();
    assert!(status.success(), "{status}: {error}");
    let (daemon, clients) = started(dir.path(), "").await;
    let found: BTreeSet<String> =
        clients.list(true, 1000).await.into_iter().map(|it| it.name).collect();
    assert_eq!(found, acknowledged, "everything that was carried out was answered");
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_and_ends_come_when_they_were_due() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, clients) = started(dir.path(), "").await;
    clients.apply(topology(100 * GBIT)).await;
    let hold = |hold_ms| v1::CreateReservationRequest {
        hold_for: Some(span_ms(hold_ms)),
        ..create(GBIT, HOUR_MS)
    };
    let lapses_meanwhile = clients.create(hold(300)).await;
    let lapses_later = clients.create(hold(3000)).await;
    let ends_meanwhile = clients.create(create(GBIT, 400)).await;
    let ends_later = clients.create(create(GBIT, 3000)).await;
    let stays = clients.create(hold(800_000)).await;
    let confirmed = clients.create(hold(800)).await;
    let asked = support::confirm(&confirmed.name);
    clients.reservations.clone().confirm_reservation(asked).await.unwrap();
    daemon.kill();
    // While the broker is away, the first two are due.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (daemon, clients) = started(dir.path(), "").await;
    for (granted, why) in [
        (&lapses_meanwhile, CloseReason::Expired),
        (&lapses_later, CloseReason::Expired),
        (&ends_meanwhile, CloseReason::Completed),
        (&ends_later, CloseReason::Completed),
    ] {
        let found = closed(&clients, &granted.name).await;
        assert_eq!(found.close_reason(), why, "{found:?}");
        let due = granted.hold_until_time.or(granted.end_time).unwrap();
        let at = found.close_time.unwrap();
        assert!(ms_of(due) <= ms_of(at), "due at {due:?}, closed at {at:?}");
    }
    let found = clients.get(&stays.name).await;
    assert_eq!(found.state(), State::Held);
    assert_eq!(found.hold_until_time, stays.hold_until_time);
    assert_eq!(found.bookings, stays.bookings);
    assert_eq!(clients.get(&confirmed.name).await.state(), State::Confirmed);
    stop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_resumes_with_a_full_lease() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, clients) = started(dir.path(), SHORT_LEASE).await;
    clients.apply(topology(100 * GBIT)).await;
    let session = clients.open("agent-1").await.name;
    let bound = v1::CreateReservationRequest { session, ..create(GBIT, HOUR_MS) };
    let bound = clients.create(bound).await;
    let ended = clients.open("agent-2").await.name;
    let request_id = support::request_id();
    let close = v1::CloseSessionRequest { name: ended.clone(), request_id, validate_only: false };
    clients.sessions.clone().close_session(close).await.unwrap();
    daemon.kill();
    // Longer than it would have lived in silence.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (daemon, clients) = started(dir.path(), SHORT_LEASE).await;
    let restart = clients.info().await.start_time.unwrap();
    let lost = closed(&clients, &bound.name).await;
    assert_eq!(lost.close_reason(), CloseReason::SessionLost);
    let at = ms_of(lost.close_time.unwrap());
    assert!(ms_of(restart) + LOST_AFTER_MS <= at, "restarted at {restart:?}, lost at {at}");
    let answer = clients.beat(beat(&bound.session, 1)).await;
    assert_eq!(answer.session.unwrap().state(), v1::session::State::Lost);
    let answer = clients.beat(beat(&ended, 1)).await;
    assert_eq!(answer.session.unwrap().state(), v1::session::State::Closed);
    stop(daemon);
}

/// What a broker says that does not start; it must not be that it panicked.
fn refusal(config: &Path) -> String {
    let error = Daemon::try_start(config).unwrap_err();
    assert!(error.starts_with("exit status: 1"), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_broker_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, clients) = started(dir.path(), "").await;
    clients.apply(topology(100 * GBIT)).await;
    let config = configure(dir.path(), "127.0.0.1:0", "");
    let error = refusal(&config);
    assert!(error.contains("in use by another broker"), "{error}");
    assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
    // The same port with another directory.
    let other = tempfile::tempdir().unwrap();
    let listen = daemon.address.replace("http://", "");
    let error = refusal(&configure(other.path(), &listen, ""));
    assert!(error.contains(&listen) && error.contains("cannot listen"), "{error}");
    assert_eq!(clients.info().await.topology_version, 1, "the first one goes on");
    stop(daemon);
    stop(Daemon::start(&config));
}

/// Turns every bit of the middle of a file.
fn damage(path: &Path, offset: u64, count: usize) {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut bytes = vec![0; count];
    file.seek(SeekFrom::Start(offset)).unwrap();
    let read = file.read(&mut bytes).unwrap();
    let turned: Vec<u8> = bytes[..read].iter().map(|byte| !byte).collect();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&turned).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_not_served_from() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, clients) = started(dir.path(), "").await;
    clients.apply(topology(100 * GBIT)).await;
    for _ in 0..200 {
        clients.create(create(1, HOUR_MS)).await;
    }
    stop(daemon);
    let config = configure(dir.path(), "127.0.0.1:0", "");
    let file = dir.path().join("journal/journal.redb");
    let good = std::fs::read(&file).unwrap();
    let half = u64::try_from(good.len() / 2).unwrap();
    let harm: [(&str, &dyn Fn()); 4] = [
        ("all of it", &|| damage(&file, 0, good.len())),
        ("all but its head", &|| damage(&file, 4096, good.len())),
        ("its second half is gone", &|| {
            std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(half).unwrap();
        }),
        ("another file", &|| std::fs::write(&file, "listen = \"127.0.0.1:7411\"\n").unwrap()),
    ];
    for (what, harm) in harm {
        harm();
        let harmed = std::fs::read(&file).unwrap();
        let error = refusal(&config);
        assert!(error.contains("journal.redb"), "{what}: {error}");
        assert_eq!(std::fs::read(&file).unwrap(), harmed, "{what}: it was left for its owner");
        std::fs::write(&file, &good).unwrap();
    }
    let daemon = Daemon::start(&config);
    let clients = Clients::connect(&daemon.address).await;
    assert_eq!(clients.info().await.live_reservation_count, 200, "the good one is served");
    stop(daemon);
}

#[test]
fn a_configuration_is_checked_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let journal = format!("journal = {:?}", dir.path().join("journal"));
    let table = [
        ("", "missing field `journal`"),
        ("journal", "line 1"),
        ("journal = \"j\"\nlisten = \"0.0.0.0:7411\"", "not a loopback address"),
        ("journal = \"j\"\nlisten = \"[::]:7411\"", "not a loopback address"),
        ("journal = \"j\"\nlisten = \"192.0.2.1:7411\"", "not a loopback address"),
        ("journal = \"j\"\nlisten = \"localhost\"", "write 127.0.0.1:7411"),
        ("journal = \"j\"\nlisten = \"127.0.0.1:99999\"", "write 127.0.0.1:7411"),
        ("journal = \"j\"\nport = 7411", "unknown field `port`"),
        ("journal = \"j\"\n[session]\nlease = \"1s\"", "session.lease"),
        ("journal = \"j\"\n[session]\nlease = \"2h\"", "at most 1h"),
        ("journal = \"j\"\n[limits]\nqueue = 0\nsessions = 0", "limits.sessions"),
        ("journal = \"j\"\n[limits]\nqueue = -1", "queue"),
    ];
    let path = dir.path().join("bad.toml");
    let file = path.to_str().unwrap();
    for (text, expected) in table {
        std::fs::write(&path, text).unwrap();
        for command in ["check-config", "serve"] {
            let output = run(&[command, "--config", file]);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{command} {text:?}: {said}");
            assert!(said.contains(expected), "{command} {text:?}: {said}");
        }
    }
    std::fs::write(&path, journal).unwrap();
    let output = run(&["check-config", "--config", file]);
    assert!(output.status.success() && said(&output).contains("is good"), "{}", said(&output));
    assert!(!dir.path().join("journal").exists(), "nothing was made");
    let missing = run(&["check-config", "--config", "/nowhere/tidegated.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("/nowhere/tidegated.toml"), "{}", said(&missing));
    assert_eq!(run(&["serve"]).status.code(), Some(2), "usage");
    let log = run(&["--log", "=,=", "check-config", "--config", file]);
    assert!(!log.status.success() && said(&log).contains("not a filter"), "{}", said(&log));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_served_and_taken_over_only_from_the_dead() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("tidegate.sock");
    let listen = format!("unix:{}", socket.display());
    let config = configure(dir.path(), &listen, "");
    let daemon = Daemon::start(&config);
    assert_eq!(daemon.address, listen);
    let clients = Clients::connect(&daemon.address).await;
    clients.apply(topology(GBIT)).await;
    daemon.kill();
    assert!(socket.exists(), "left behind");
    let daemon = Daemon::start(&config);
    let clients = Clients::connect(&daemon.address).await;
    assert_eq!(clients.info().await.topology_version, 1);
    let other = tempfile::tempdir().unwrap();
    let error = refusal(&configure(other.path(), &listen, ""));
    assert!(error.contains(&listen), "{error}");
    let again = Clients::connect(&daemon.address).await;
    assert_eq!(again.info().await.topology_version, 1, "the first one still has its socket");
    stop(daemon);
    // What is no socket is somebody's file.
    let file = other.path().join("precious");
    std::fs::write(&file, "do not remove").unwrap();
    let error = refusal(&configure(other.path(), &format!("unix:{}", file.display()), ""));
    assert!(error.contains("precious"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "do not remove");
}

/// Of ten, four are used; whoever is killed and starts again knows of the six that are left.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_project_has_used_is_used_after_a_kill_too() {
    let dir = tempfile::tempdir().unwrap();
    let (mut daemon, mut clients) = started(dir.path(), "").await;
    clients.apply(topology(100 * GBIT)).await;
    let lab = v1::Project {
        quota: Some(v1::Quota { rate_bps: Some(10 * GBIT), ..<_>::default() }),
        ..support::lab(0)
    };
    let applied = clients.govern(vec![lab.clone()]).await;
    let of_lab = |gbit: i64| v1::CreateReservationRequest {
        parent: "projects/lab".into(),
        ..create(gbit * GBIT, HOUR_MS)
    };
    let name = clients.create(of_lab(4)).await.name;
    assert!(name.starts_with("projects/lab/reservations/"), "{name}");
    for _ in 0..2 {
        daemon.kill();
        (daemon, clients) = started(dir.path(), "").await;
        let stands = clients.projects().await;
        assert_eq!(stands.etag, applied.etag);
        let stands = stands.projects.into_iter().find(|it| it.name == "projects/lab").unwrap();
        assert_eq!(stands, v1::Project { live_reservation_count: 1, ..lab.clone() });
        let no = clients.reservations.clone().create_reservation(of_lab(7)).await.unwrap();
        let Some(Outcome::Refusal(no)) = no.into_inner().outcome else { panic!("granted") };
        assert_eq!(no.reason(), v1::refusal::Reason::QuotaExhausted);
        let blocker = &no.blockers[0];
        let told =
            (blocker.lane.as_str(), blocker.limit_bps, blocker.free_bps, blocker.missing_bps);
        assert_eq!(told, ("projects/lab/rate", 10 * GBIT, 6 * GBIT, GBIT));
    }
    clients.create(of_lab(6)).await;
    let binds = v1::GetEffectivePolicyRequest { name: "projects/lab".into() };
    let binds = clients.policy.clone().get_effective_policy(binds).await.unwrap().into_inner();
    let used = binds.limits[0].used.as_ref().and_then(|used| used.of);
    assert_eq!(used, Some(v1::amount::Of::RateBps(10 * GBIT)));
    stop(daemon);
}

/// Who has what in which class, and what each of several has used.
#[tokio::test(flavor = "multi_thread")]
async fn classes_and_principals_are_what_they_were_after_a_kill_too() {
    let dir = tempfile::tempdir().unwrap();
    let (mut daemon, mut clients) = started(dir.path(), "").await;
    clients.apply(topology(100 * GBIT)).await;
    clients.govern(vec![support::lab(10 * GBIT)]).await;
    let silver = v1::Class { tiers: Vec::new(), hold_for: None, ..support::silver() };
    let change = v1::ApplyPolicyRequest {
        classes: vec![silver.clone()],
        delete_classes: vec!["classes/bronze".into()],
        request_id: support::request_id(),
        ..v1::ApplyPolicyRequest::default()
    };
    let applied = clients.policy.clone().apply_policy(change).await.unwrap().into_inner();
    let names = applied.class_changes.iter().map(|it| it.after.as_ref().map(|it| it.name.as_str()));
    assert_eq!(names.collect::<Vec<_>>(), [None, Some("classes/silver")]);
    let made = clients
        .create(v1::CreateReservationRequest {
            parent: "projects/lab".into(),
            class: "classes/silver".into(),
            principal: "ann@example.org".into(),
            labels: [("run".into(), "7".into())].into(),
            ..create(2 * GBIT, HOUR_MS)
        })
        .await;
    assert_eq!((made.rate_bps, made.ceiling_bps), (GBIT, Some(2 * GBIT)));
    assert_eq!((made.priority, made.preemptible), (3, true));
    for _ in 0..2 {
        daemon.kill();
        (daemon, clients) = started(dir.path(), "").await;
        let stands = clients.classes().await;
        assert_eq!(stands.etag, applied.etag);
        let names: Vec<&str> = stands.classes.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["classes/gold", "classes/silver"]);
        assert_eq!(stands.classes[1], silver);
        let found = &clients.list(false, 0).await[0];
        assert_eq!(support::still(found.clone()), support::still(made.clone()));
        let binds = v1::GetEffectivePolicyRequest { name: "projects/lab".into() };
        let binds = clients.policy.clone().get_effective_policy(binds).await.unwrap().into_inner();
        assert_eq!(binds.classes, ["classes/gold", "classes/silver"]);
        let of_each = binds.limits.iter().filter(|it| it.each_principal);
        let told =
            of_each.map(|it| (it.limit(), it.principal.as_str(), it.used.and_then(|it| it.of)));
        let told: Vec<_> = told.collect();
        let ann = "ann@example.org";
        let (rate, count) =
            (v1::amount::Of::RateBps(2 * GBIT), v1::amount::Of::ReservationCount(1));
        assert_eq!(told[0], (v1::Limit::Rate, ann, Some(rate)));
        assert_eq!(told[1], (v1::Limit::Reservations, ann, Some(count)));
        assert_eq!((told[2].0, told[2].1), (v1::Limit::Share, ann));
        assert_eq!(told[3], (v1::Limit::BudgetDay, "", None));
    }
    stop(daemon);
}
