//! Many questions on one stream: answers in any order, errors one by one, and broken streams.

use std::time::Duration;

use tidegate_client::admit::{Admission, Pending, Question};
use tidegate_client::{Change, Client, ClientError, Outcome, Settings};
use tidegate_proto::v1;
use tonic::{Code, Status};
use v1::admit_request::Ask as Asked;
use v1::admit_response::Outcome as Answer;

use crate::fake::{self, Admitting, Broker, NAME, next};
use crate::{ask, until};

const LIFE: Duration = Duration::from_secs(3600);

async fn broker() -> Broker {
    Broker::start([], fake::session(LIFE)).await
}

async fn asked(admission: &Admission, count: usize) -> Vec<Pending> {
    let mut pending = Vec::new();
    for _ in 0..count {
        pending.push(admission.ask(ask()).await.unwrap());
    }
    pending
}

async fn question(stream: &mut Admitting) -> v1::AdmitRequest {
    stream.request.message().await.unwrap().unwrap()
}

async fn answer(stream: &Admitting, sequence: i64, outcome: Answer) {
    stream.say(Ok(v1::AdmitResponse { sequence, outcome: Some(outcome) })).await;
}

fn yes(rate_bps: i64) -> Answer {
    Answer::Reservation(v1::Reservation { rate_bps, ..fake::reservation(0) })
}

#[tokio::test]
async fn each_answer_finds_its_question() {
    let mut broker = broker().await;
    let admission = broker.client().admit();
    let mut pending = asked(&admission, 4).await;
    let mut stream = next!(broker, Admit);
    let mut numbers = Vec::new();
    for _ in 0..4 {
        numbers.push(question(&mut stream).await.sequence);
    }
    // Out of order, each with its own outcome; one answer comes twice.
    answer(&stream, numbers[2], yes(3)).await;
    answer(&stream, numbers[2], yes(4)).await;
    let invalid = v1::AdmitError {
        code: Code::InvalidArgument.into(),
        message: "1 field".into(),
        field_violations: vec![v1::FieldViolation {
            field: "rigid.rate_bps".into(),
            description: "it is zero".into(),
        }],
        reason: "FIELDS_INVALID".into(),
    };
    answer(&stream, numbers[1], Answer::Error(invalid)).await;
    answer(&stream, numbers[3], Answer::Refusal(v1::Refusal { reason: 3, ..Default::default() }))
        .await;
    answer(&stream, numbers[0], yes(1)).await;
    assert!(matches!(pending.pop().unwrap().await.unwrap(), Outcome::Refused(_)));
    let Outcome::Granted(third) = pending.pop().unwrap().await.unwrap() else { panic!() };
    assert_eq!(third.rate.bps(), 3);
    let error = pending.pop().unwrap().await.unwrap_err();
    let ClientError::Invalid { violations, .. } = error else { panic!("{error:?}") };
    assert_eq!(violations[0].field, "rigid.rate_bps");
    let Outcome::Granted(first) = pending.pop().unwrap().await.unwrap() else { panic!() };
    assert_eq!(first.rate.bps(), 1);
}

#[tokio::test]
async fn every_kind_of_question_can_be_asked() {
    let mut broker = broker().await;
    let admission = broker.client().admit();
    let name = || NAME.parse().unwrap();
    let questions = [
        Question::Confirm { name: name(), only_if: None },
        Question::Update { name: name(), change: Change::new().rate("1Mbit".parse().unwrap()) },
        Question::Release { name: name(), holder: None, only_if: None },
    ];
    let mut pending = Vec::new();
    for question in questions {
        pending.push(admission.ask(question).await.unwrap());
    }
    let mut stream = next!(broker, Admit);
    for index in 0..3 {
        let asked = question(&mut stream).await;
        assert!(matches!(
            (index, asked.ask.unwrap()),
            (0, Asked::Confirm(_)) | (1, Asked::Update(_)) | (2, Asked::Release(_))
        ));
        answer(&stream, asked.sequence, yes(8)).await;
    }
    for answer in pending {
        assert!(matches!(answer.await.unwrap(), Outcome::Granted(_)));
    }
}

#[tokio::test]
async fn the_window_is_bounded() {
    let mut broker = broker().await;
    let admission = broker.client().admit();
    let mut pending = asked(&admission, Admission::WINDOW).await;
    let mut stream = next!(broker, Admit);
    let one_more = admission.ask(ask());
    tokio::pin!(one_more);
    let first = question(&mut stream).await.sequence;
    assert!(futures_util::poll!(&mut one_more).is_pending(), "256 are under way");
    answer(&stream, first, yes(1)).await;
    drop(one_more.await.unwrap());
    assert!(matches!(pending.remove(0).await.unwrap(), Outcome::Granted(_)));
}

#[tokio::test]
async fn what_a_broken_stream_leaves_is_asked_again_with_the_same_ids() {
    let mut broker = broker().await;
    let admission = broker.client().admit();
    let mut pending = asked(&admission, 2).await;
    let mut stream = next!(broker, Admit);
    let (one, two) = (question(&mut stream).await, question(&mut stream).await);
    answer(&stream, one.sequence, yes(1)).await;
    assert!(matches!(pending.remove(0).await.unwrap(), Outcome::Granted(_)));
    stream.say(Err(Status::unavailable("restarting"))).await;
    let mut stream = next!(broker, Admit);
    let again = question(&mut stream).await;
    assert_eq!(again.ask, two.ask, "the request id is among it");
    answer(&stream, again.sequence, yes(2)).await;
    assert!(matches!(pending.remove(0).await.unwrap(), Outcome::Granted(_)));
}

#[tokio::test]
async fn a_broker_that_stays_away_is_an_error_for_each() {
    let mut broker = broker().await;
    let admission = broker.client().admit();
    let pending = asked(&admission, 3).await;
    for _ in 0..4 {
        let stream = next!(broker, Admit);
        stream.say(Err(Status::unavailable("restarting"))).await;
    }
    for answer in pending {
        let error = answer.await.unwrap_err();
        assert!(error.is_unreachable(), "{error:?}");
    }
    // The next question begins a new stream.
    let mut pending = asked(&admission, 1).await;
    let mut stream = next!(broker, Admit);
    let asked = question(&mut stream).await;
    answer(&stream, asked.sequence, yes(1)).await;
    assert!(matches!(pending.remove(0).await.unwrap(), Outcome::Granted(_)));
}

#[tokio::test]
async fn silence_is_a_broken_stream() {
    let mut broker = broker().await;
    let settings = Settings { deadline: Duration::from_millis(40), ..fake::settings() };
    let client = Client::connect_with(&broker.target, settings).unwrap();
    let admission = client.admit();
    let mut pending = asked(&admission, 1).await;
    let asking = tokio::spawn(pending.remove(0));
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(next!(broker, Admit));
    }
    let error = asking.await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Deadline { .. }), "{error:?}");
}

#[tokio::test]
async fn the_stream_ends_with_its_last_handle() {
    let mut broker = broker().await;
    let admission = broker.client().admit();
    let mut pending = asked(&admission, 1).await;
    drop(admission);
    let mut stream = next!(broker, Admit);
    let asked = question(&mut stream).await;
    answer(&stream, asked.sequence, yes(1)).await;
    assert!(matches!(pending.remove(0).await.unwrap(), Outcome::Granted(_)));
    let end = stream.request.message().await;
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
    until("nobody holds it", || broker.asked.is_empty()).await;
}
