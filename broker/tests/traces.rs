//! What the log of a real `tidegated` says of requests: who was refused and why under the names that the
//! caller knows them by, which append made something durable, and nothing that callers wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::daemon::{Daemon, configure, run, said, tidegated};
use support::raw::Raw;
use support::{Clients, GBIT, admit, create, release, topology};
use tidegate_proto::v1;
use tidegate_proto::v1::create_reservation_response::Outcome;
use tonic::{Code, Request};

const HOUR_MS: i64 = 3_600_000;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// What stands in labels and rules: no line may hold it.
const PRIVATE: &str = "xyzzy";

/// A broker that logs lines of JSON at this level, and its clients.
async fn started(dir: &Path, level: &str) -> (Daemon, Clients) {
    let config = configure(dir, "127.0.0.1:0", "");
    let variables = [("TIDEGATE_LOG", level), ("TIDEGATE_LOG_FORMAT", "json")];
    let daemon = Daemon::start_with(&config, &variables);
    let clients = Clients::connect(&daemon.address).await;
    clients.apply(topology(100 * GBIT)).await;
    (daemon, clients)
}

/// Stops it: every line that it logged, in order.
fn lines(daemon: Daemon, clients: Clients) -> Vec<Value> {
    drop(clients);
    daemon.terminate();
    let (status, log) = daemon.wait();
    assert!(status.success(), "{status}: {log}");
    assert!(!log.contains(PRIVATE), "what a caller wrote is logged: {log}");
    let parsed = log.lines().map(|line| match serde_json::from_str::<Value>(line) {
        Ok(line) if line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')) => line,
        other => panic!("{line}: {other:?}"),
    });
    parsed.collect()
}

/// With the header that a caller which is traced itself sends.
fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request
}

/// A field of the spans around a line.
fn field<'a>(line: &'a Value, span: &str, name: &str) -> &'a Value {
    let spans = line["spans"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    spans.iter().find(|it| it["name"] == span).map_or(&Value::Null, |it| &it[name])
}

fn is_of(line: &Value, request_id: &str) -> bool {
    let around = |span| field(line, span, "request_id") == request_id;
    line["request_id"] == request_id || around("request") || around("question")
}

/// The lines that say this, within the mutation of this id.
fn of<'a>(lines: &'a [Value], message: &str, request_id: &str) -> Vec<&'a Value> {
    let meant = |line: &&Value| line["message"] == message && is_of(line, request_id);
    lines.iter().filter(meant).collect()
}

/// A request that is refused by a rule, with labels.
fn refused() -> v1::CreateReservationRequest {
    let labels = [("note".to_owned(), PRIVATE.to_owned())].into();
    v1::CreateReservationRequest { labels, ..create(7 * GBIT, HOUR_MS) }
}

async fn refuse_seven(clients: &Clients) {
    let rule = v1::Rule {
        name: "rules/seven".into(),
        when: "request.rate_bps == 7000000000".into(),
        then: Some(v1::rule::Then::Deny(format!("{PRIVATE} {}", "no".repeat(100)))),
        comment: PRIVATE.into(),
        ..v1::Rule::default()
    };
    let rules = vec![rule];
    clients.rule(v1::ApplyPolicyRequest { rules, ..v1::ApplyPolicyRequest::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_info_who_is_refused_or_fails_leaves_one_line_and_who_is_granted_none() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, clients) = started(dir.path(), "info").await;
    refuse_seven(&clients).await;
    let mut reservations = clients.reservations.clone();

    let granted = create(GBIT, HOUR_MS);
    clients.create(granted.clone()).await;
    let no = refused();
    let answer = reservations.create_reservation(traced(no.clone())).await.unwrap().into_inner();
    assert!(matches!(answer.outcome, Some(Outcome::Refusal(_))), "{answer:?}");
    let dry = v1::CreateReservationRequest { validate_only: true, ..refused() };
    reservations.create_reservation(traced(dry.clone())).await.unwrap();
    let missing = release(&format!("projects/default/reservations/{}", support::request_id()));
    let failed = reservations.release_reservation(traced(missing.clone())).await.unwrap_err();
    assert_eq!(failed.code(), Code::NotFound);
    let get = v1::GetReservationRequest { name: missing.name.clone() };
    assert_eq!(reservations.get_reservation(get).await.unwrap_err().code(), Code::NotFound);
    let malformed = v1::CreateReservationRequest { destination: PRIVATE.into(), ..refused() };
    let failed = reservations.create_reservation(traced(malformed)).await.unwrap_err();
    assert_eq!(failed.code(), Code::InvalidArgument);

    let lines = lines(daemon, clients);
    let ours: Vec<_> = lines.iter().filter(|line| !line["spans"].is_null()).collect();
    let said: Vec<_> = ours.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(said, ["refused", "failed", "failed"], "{lines:?}");
    let [refused, failed, malformed] = ours[..] else { panic!("{ours:?}") };
    for line in [refused, failed, malformed] {
        assert_eq!(line["level"], "INFO");
        assert_eq!(field(line, "request", "trace"), TRACE);
    }
    assert_eq!(refused["reason"], "RULE_DENIED");
    assert!(is_of(refused, &no.request_id), "{refused}");
    let method = field(refused, "request", "method");
    assert_eq!(method, "tidegate.v1.ReservationService/CreateReservation");
    assert!(is_of(failed, &missing.request_id), "{failed}");
    assert_eq!((&failed["code"], &failed["reason"]), (&"NOT_FOUND".into(), &"NOT_FOUND".into()));
    assert!(failed["duration_us"].is_u64(), "{failed}");
    assert_eq!(malformed["reason"], "FIELDS_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_debug_a_request_is_followed_to_its_append() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, clients) = started(dir.path(), "tidegate_broker=debug").await;
    let granted = create(GBIT, HOUR_MS);
    let mut reservations = clients.reservations.clone();
    reservations.create_reservation(traced(granted.clone())).await.unwrap();
    let batch = clients.info().await.journal_sequence;
    let lines = lines(daemon, clients);

    let [decided] = of(&lines, "decided", &granted.request_id)[..] else { panic!("{lines:?}") };
    assert_eq!(field(decided, "request", "trace"), TRACE);
    let decision = ["decided", "searched", "moved"].map(|name| field(decided, "decide", name));
    assert_eq!(decision, [&Value::from("granted"), &false.into(), &0.into()]);
    let [durable] = of(&lines, "durable", &granted.request_id)[..] else { panic!("{lines:?}") };
    assert_eq!(durable["batch"], batch);
    let appended = |line: &&Value| {
        line["message"] == "appended" && *field(line, "append", "batch") == durable["batch"]
    };
    let appended = lines.iter().find(appended).unwrap();
    assert_eq!(field(appended, "append", "events"), 1);
    assert!(0 < field(appended, "append", "bytes").as_u64().unwrap(), "{appended}");
    assert!(appended["duration_us"].is_u64(), "{appended}");
    let [answered] = of(&lines, "answered", &granted.request_id)[..] else { panic!("{lines:?}") };
    assert_eq!(answered["code"], "OK");
    let place = |wanted: &Value| lines.iter().position(|line| std::ptr::eq(line, wanted)).unwrap();
    let road = [decided, appended, durable, answered].map(place);
    assert!(road.is_sorted(), "{road:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_one_stream_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, clients) = started(dir.path(), "tidegate_broker=debug").await;
    refuse_seven(&clients).await;
    let missing = release(&format!("projects/default/reservations/{}", support::request_id()));
    let (granted, no) = (create(GBIT, HOUR_MS), refused());
    let asks = [
        v1::admit_request::Ask::Create(granted.clone()),
        v1::admit_request::Ask::Create(no.clone()),
        v1::admit_request::Ask::Release(missing.clone()),
    ];
    let asked =
        (1..).zip(asks).map(|(sequence, ask)| v1::AdmitRequest { sequence, ask: Some(ask) });
    assert_eq!(admit(&clients, asked.collect()).await.len(), 3);
    let lines = lines(daemon, clients);
    let expected = [
        ("durable", &granted.request_id, 1),
        ("refused", &no.request_id, 2),
        ("failed", &missing.request_id, 3),
    ];
    for (message, id, sequence) in expected {
        let [line] = of(&lines, message, id)[..] else { panic!("{message}: {lines:?}") };
        assert_eq!(field(line, "question", "sequence"), sequence);
        let method = field(line, "request", "method");
        assert_eq!(method, "tidegate.v1.ReservationService/Admit");
    }
    assert!(of(&lines, "failed", &granted.request_id).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_makes_up_is_cut_or_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, clients) = started(dir.path(), "tidegate_broker=debug").await;
    let path = format!("/{}/{PRIVATE}", "m".repeat(4000));
    let grpc = ("content-type", "application/grpc");
    let parent = ("traceparent", format!("00-{PRIVATE}-{}-01", "f".repeat(4000)));
    let raw = Raw::new(&daemon.address);
    raw.send(&path, Vec::new(), &[grpc, (parent.0, &parent.1)]).await;
    let lines = lines(daemon, clients);
    let cut = Value::from("m".repeat(100));
    let line = lines.iter().find(|line| *field(line, "request", "method") == cut).unwrap();
    assert_eq!((&line["message"], &line["code"]), (&"answered".into(), &"UNIMPLEMENTED".into()));
    assert!(field(line, "request", "trace").is_null(), "{line}");
    assert!(lines.iter().all(|line| line.to_string().len() < 2000));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_text_unless_json_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let config = configure(dir.path(), "127.0.0.1:0", "");
    let daemon = Daemon::start_with(&config, &[("TIDEGATE_LOG", "info")]);
    let clients = Clients::connect(&daemon.address).await;
    clients.apply(topology(GBIT)).await;
    let no = create(2 * GBIT, HOUR_MS);
    clients.reservations.clone().create_reservation(traced(no.clone())).await.unwrap();
    drop(clients);
    daemon.terminate();
    let (_, log) = daemon.wait();
    let refused: Vec<_> = log.lines().filter(|line| line.contains(": refused ")).collect();
    let [line] = refused[..] else { panic!("{log}") };
    for part in [&format!("trace={TRACE}"), &format!("request_id={}", no.request_id)] {
        assert!(line.contains(part.as_str()), "{part}: {line}");
    }
    assert!(line.contains("reason=\"RATE_ABOVE_CAPACITY\""), "{line}");

    let output = run(&["--log-format", "xml", "check-config", "--config", "none"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("possible values: text, json"), "{}", said(&output));
    let mut command = tidegated(&["check-config", "--config", config.to_str().unwrap()]);
    let output = command.env("TIDEGATE_LOG", "tidegate=loud").output().unwrap();
    assert!(said(&output).contains("is not a filter; write info or debug"), "{}", said(&output));
}
