//! Many questions on one stream: each is answered for itself, whatever becomes of the others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;

use support::{
    Clients, GBIT, Served, admit, confirm, create, eventually, release, span_ms, topology,
};
use tidegate_broker::Config;
use tidegate_broker::config::JournalPlace;
use tidegate_proto::v1;
use tidegate_proto::v1::admit_request::Ask;
use tidegate_proto::v1::admit_response::Outcome;
use tidegate_proto::v1::reservation::State;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_types::StatusExt;

const HOUR_MS: i64 = 3_600_000;

fn question(sequence: i64, ask: Ask) -> v1::AdmitRequest {
    v1::AdmitRequest { sequence, ask: Some(ask) }
}

async fn served(config: Config) -> Served {
    let served = Served::start(config).await;
    served.clients.apply(topology(100 * GBIT)).await;
    served
}

fn by_sequence(answers: Vec<v1::AdmitResponse>) -> BTreeMap<i64, Outcome> {
    let count = answers.len();
    let all: BTreeMap<_, _> =
        answers.into_iter().map(|it| (it.sequence, it.outcome.unwrap())).collect();
    assert_eq!(all.len(), count, "each is answered once");
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_questions_are_answered_each_once_and_are_durable() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::ephemeral(JournalPlace::Directory(dir.path().join("journal")));
    let served = served(config.clone()).await;
    let count = 10_000;
    let asked =
        (0..count).map(|sequence| question(sequence, Ask::Create(create(1000, HOUR_MS)))).collect();
    let answers = by_sequence(admit(&served.clients, asked).await);
    assert_eq!(answers.keys().copied().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
    let mut names: Vec<String> = answers
        .into_values()
        .map(|outcome| match outcome {
            Outcome::Reservation(it) => it.name,
            other => panic!("{other:?}"),
        })
        .collect();
    names.sort();
    served.stop().await;
    let served = Served::start(config).await;
    let listed = served.clients.list(false, 1000).await;
    assert_eq!(listed.into_iter().map(|it| it.name).collect::<Vec<_>>(), names);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_has_its_own_answer_and_errors_end_nothing() {
    let served = served(Config::ephemeral(JournalPlace::Memory)).await;
    let clients = &served.clients;
    let hold =
        v1::CreateReservationRequest { hold_for: Some(span_ms(800_000)), ..create(GBIT, HOUR_MS) };
    let held = clients.create(hold).await.name;
    let given_back = clients.create(create(GBIT, HOUR_MS)).await.name;
    let repeated = create(GBIT, HOUR_MS);
    let first = clients.create(repeated.clone()).await.name;
    let bad = v1::CreateReservationRequest {
        destination: "nowhere".into(),
        request_id: "x".into(),
        ..create(GBIT, HOUR_MS)
    };
    let unknown = "projects/default/reservations/019aa7e0-8000-7000-8000-000000000001";
    let reused = v1::CreateReservationRequest { streams: 2, ..repeated.clone() };
    let dry = v1::CreateReservationRequest { validate_only: true, ..create(GBIT, HOUR_MS) };
    let asked = vec![
        question(10, Ask::Create(bad)),
        question(9, Ask::Confirm(confirm(&held))),
        question(8, Ask::Release(release(&given_back))),
        question(-7, Ask::Confirm(confirm(unknown))),
        question(6, Ask::Create(create(200 * GBIT, HOUR_MS))),
        v1::AdmitRequest { sequence: 5, ask: None },
        question(3, Ask::Create(repeated)),
        question(2, Ask::Create(reused)),
        question(1, Ask::Create(dry)),
        question(i64::MAX, Ask::Create(create(GBIT, HOUR_MS))),
    ];
    let answers = by_sequence(admit(clients, asked).await);
    let reservation = |sequence: i64| match &answers[&sequence] {
        Outcome::Reservation(it) => it.clone(),
        other => panic!("{sequence}: {other:?}"),
    };
    let error = |sequence: i64, code: Code| match &answers[&sequence] {
        Outcome::Error(error) if Code::from_i32(error.code) == code => error.clone(),
        other => panic!("{sequence}: {other:?}"),
    };
    let named = error(10, Code::InvalidArgument).field_violations;
    let named: Vec<&str> = named.iter().map(|it| it.field.as_str()).collect();
    assert_eq!(named, ["request_id", "destination"]);
    assert_eq!((reservation(9).name, reservation(9).state()), (held, State::Confirmed));
    assert_eq!((reservation(8).name, reservation(8).state()), (given_back, State::Closed));
    assert!(error(-7, Code::NotFound).message.contains("does not exist"));
    assert_eq!(error(-7, Code::NotFound).reason, "NOT_FOUND");
    assert!(matches!(answers[&6], Outcome::Refusal(_)), "{:?}", answers[&6]);
    assert_eq!(error(5, Code::InvalidArgument).field_violations[0].field, "ask");
    assert_eq!(reservation(3).name, first, "asked again, on a stream or not");
    assert_eq!(error(2, Code::AlreadyExists).reason, "REQUEST_ID_REUSED");
    assert_eq!(reservation(i64::MAX).state(), State::Confirmed, "the stream went on");
    let live = clients.info().await.live_reservation_count;
    assert_eq!(live, 3, "the dry run made nothing");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sheds_single_questions() {
    let mut config = Config::ephemeral(JournalPlace::Memory);
    config.limits.queue = 1;
    let served = served(config).await;
    let asked =
        (0..2000).map(|sequence| question(sequence, Ask::Create(create(1000, HOUR_MS)))).collect();
    let answers = by_sequence(admit(&served.clients, asked).await);
    let mut granted = 0;
    for outcome in answers.values() {
        match outcome {
            Outcome::Reservation(_) => granted += 1,
            Outcome::Error(error) => {
                assert_eq!(Code::from_i32(error.code), Code::ResourceExhausted, "{error:?}");
                assert!(error.message.contains("ask again"), "{error:?}");
            }
            Outcome::Refusal(no) => panic!("{no:?}"),
        }
    }
    assert_eq!(answers.len(), 2000);
    assert_eq!(served.clients.info().await.live_reservation_count, granted);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_broker_and_what_was_read_is_answered() {
    let served = served(Config::ephemeral(JournalPlace::Memory)).await;
    let (questions, asked) = tokio::sync::mpsc::channel(4);
    let mut reservations = served.clients.reservations.clone();
    let mut answers = reservations.admit(ReceiverStream::new(asked)).await.unwrap().into_inner();
    for sequence in 0..3 {
        questions.send(question(sequence, Ask::Create(create(GBIT, HOUR_MS)))).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().sequence, sequence);
    }
    let Served { broker, clients } = served;
    broker.stopper().cancel();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "STOPPING");
    drop((clients, reservations, answers));
    broker.wait().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_no_answers_is_asked_no_more_and_holds_up_nobody() {
    let served = served(Config::ephemeral(JournalPlace::Memory)).await;
    // So small a window is full after some hundred answers.
    let endpoint = tonic::transport::Endpoint::new(served.address()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535);
    let narrow = endpoint.initial_connection_window_size(65_535).connect().await.unwrap();
    let narrow = Clients::new(&narrow);
    let asked = (0..20_000).map(|sequence| question(sequence, Ask::Create(create(1000, HOUR_MS))));
    let mut reservations = narrow.reservations.clone();
    let mut answers = reservations.admit(tokio_stream::iter(asked)).await.unwrap().into_inner();
    // It comes to a rest long before all of them were asked.
    let count = || async { served.clients.info().await.live_reservation_count };
    let rested = eventually("the stream rests", || async {
        let before = count().await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let after = count().await;
        (0 < before && before == after).then_some(after)
    })
    .await;
    assert!(rested < 10_000, "{rested}");
    served.clients.create(create(GBIT, HOUR_MS)).await;
    // Once it reads again it is answered what it was asked, and told when there is no more to come.
    let Served { broker, clients } = served;
    broker.stopper().cancel();
    let status = loop {
        match answers.message().await {
            Ok(answer) => assert!(answer.is_some(), "it does not end well"),
            Err(status) => break status,
        }
    };
    drop((clients, answers, reservations, narrow));
    broker.wait().await.unwrap();
    assert_ne!(status.code(), Code::Ok, "{status:?}");
}
