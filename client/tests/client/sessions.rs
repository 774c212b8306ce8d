//! Sessions: beats, their answers, silence, and the end.

use std::time::Duration;

use tidegate_client::clock::BootTime;
use tidegate_client::reservation::CloseReason;
use tidegate_client::{
    Acquired, ClientError, Grant, GrantEnd, LimitError, OnUnreachable, Revoked, Session,
    SessionPhase,
};
use tidegate_proto::v1;
use tokio::io::AsyncReadExt;
use tonic::Status;

use crate::fake::{self, Broker, Dialogue, NAME, RATE, SESSION};
use crate::{ask, until};

const LONG: Duration = Duration::from_secs(3600);
/// Short enough to wait for, in tests where nobody answers.
const SHORT: Duration = Duration::from_millis(200);

struct Stage {
    broker: Broker,
    session: Session,
    grant: Grant,
}

/// A session of this `life` with one grant.
async fn stage(life: Duration, policy: OnUnreachable) -> Stage {
    let broker = Broker::start([fake::yes(fake::reservation(0))], fake::session(life)).await;
    let session = broker.client().open_session("test").await.unwrap();
    let grant = match session.acquire(&ask(), policy).await.unwrap() {
        Acquired::Granted(grant) => grant,
        Acquired::Refused(refusal) => panic!("{refusal}"),
    };
    Stage { broker, session, grant }
}

async fn next(broker: &mut Broker) -> Dialogue {
    broker.dialogues.recv().await.unwrap()
}

fn bps(grant: &Grant) -> i64 {
    i64::try_from(grant.limiter().rate().bps()).unwrap()
}

#[tokio::test]
async fn beats_are_numbered_and_report_bytes() {
    let Stage { mut broker, session, grant } = stage(LONG, OnUnreachable::Fail).await;
    assert_eq!(broker.fake.log.lock().unwrap().created[0].session, SESSION);
    let mut reader = grant.limiter().reader(&[7_u8; 500][..]);
    reader.read_exact(&mut [0; 500]).await.unwrap();
    let mut dialogue = next(&mut broker).await;
    let mut last = 0;
    loop {
        let beat = dialogue.beat().await;
        assert_eq!((beat.sequence, beat.session.as_str()), (last + 1, SESSION));
        last = beat.sequence;
        dialogue.answer(&beat, LONG, fake::in_force(RATE)).await;
        if let [usage] = beat.usage.as_slice()
            && usage.used_bytes == 500
        {
            assert_eq!(usage.reservation, NAME);
            break;
        }
    }
    assert_eq!(session.phase(), SessionPhase::Alive);
    assert!(grant.is_promised());
}

#[tokio::test]
async fn a_window_counts_from_when_the_beat_was_sent() {
    let Stage { mut broker, session, grant: _grant } = stage(LONG, OnUnreachable::Fail).await;
    let mut dialogue = next(&mut broker).await;
    let opened = session.send_until();
    let beat = dialogue.beat().await;
    let arrived = BootTime::now();
    dialogue.answer(&beat, LONG, fake::in_force(RATE)).await;
    until("the answer is heard", || session.send_until() != opened).await;
    assert!(session.send_until() > opened);
    assert!(session.send_until() <= arrived.plus(LONG), "not from when it was answered");
    assert!(session.live_until() < session.send_until());
}

#[tokio::test]
async fn a_new_rate_is_followed() {
    let Stage { mut broker, session: _session, grant } = stage(LONG, OnUnreachable::Fail).await;
    let mut dialogue = next(&mut broker).await;
    for rate in [1_000_000, RATE] {
        let beat = dialogue.beat_with_usage().await;
        dialogue.answer(&beat, LONG, fake::in_force(rate)).await;
        until("the rate is followed", || bps(&grant) == rate).await;
    }
}

#[tokio::test]
async fn a_closed_grant_is_revoked_with_its_reason() {
    let Stage { mut broker, session, grant } = stage(LONG, OnUnreachable::Fail).await;
    let mut dialogue = next(&mut broker).await;
    let beat = dialogue.beat_with_usage().await;
    let closed = v1::GrantStatus { state: 3, close_reason: 2, ..v1::GrantStatus::default() };
    dialogue.answer(&beat, LONG, closed).await;
    let mut reader = grant.limiter().reader(tokio::io::repeat(0));
    let error = reader.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(LimitError::of(&error), Some(LimitError::Revoked(Revoked::Released)));
    assert_eq!(grant.ended(), Some(GrantEnd::Closed(CloseReason::Released)));
    assert_eq!(session.phase(), SessionPhase::Alive, "the session goes on");
}

#[tokio::test]
async fn a_broken_stream_is_made_anew() {
    let Stage { mut broker, session, grant } = stage(LONG, OnUnreachable::Fail).await;
    let mut phases = session.watch();
    for broken in [Err(Status::unavailable("going away")), Err(Status::internal("oops"))] {
        let mut dialogue = next(&mut broker).await;
        assert_eq!(dialogue.beat().await.sequence, 1, "each stream counts anew");
        dialogue.say(broken).await;
        phases.wait_for(|phase| *phase == SessionPhase::Silent).await.unwrap();
    }
    drop(next(&mut broker).await);
    let mut dialogue = next(&mut broker).await;
    let beat = dialogue.beat_with_usage().await;
    dialogue.answer(&beat, LONG, fake::in_force(RATE)).await;
    phases.wait_for(|phase| *phase == SessionPhase::Alive).await.unwrap();
    assert!(grant.is_promised(), "nothing was felt");
}

#[tokio::test]
async fn a_lost_session_revokes_its_grants() {
    for unknown in [true, false] {
        let wait = OnUnreachable::Wait { up_to: LONG };
        let Stage { mut broker, session, grant } = stage(LONG, wait).await;
        let mut dialogue = next(&mut broker).await;
        let beat = dialogue.beat().await;
        let lost = v1::Session { state: 3, ..fake::session(LONG) };
        let lost = v1::KeepAliveResponse {
            sequence: beat.sequence,
            session: Some(lost),
            ..v1::KeepAliveResponse::default()
        };
        let word = if unknown { Err(Status::not_found("no such session")) } else { Ok(lost) };
        dialogue.say(word).await;
        let mut phases = session.watch();
        phases.wait_for(|phase| *phase == SessionPhase::Lost).await.unwrap();
        until("it is over", || grant.ended() == Some(GrantEnd::SessionOver)).await;
        assert_eq!(grant.limiter().check(), Err(LimitError::Revoked(Revoked::SessionLost)));
        let error = session.acquire(&ask(), OnUnreachable::Fail).await.unwrap_err();
        assert!(matches!(error, ClientError::SessionUnusable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn silence_ends_a_grant_that_cannot_wait() {
    let Stage { broker: _broker, session: _session, grant } =
        stage(SHORT, OnUnreachable::Fail).await;
    let mut reader = grant.limiter().reader(tokio::io::repeat(0));
    let error = reader.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert!(LimitError::of(&error).is_some(), "{error:?}");
    until("it is over", || grant.ended() == Some(GrantEnd::Unreachable)).await;
}

#[tokio::test]
async fn silence_pauses_a_grant_that_waits() {
    let wait = OnUnreachable::Wait { up_to: LONG };
    let Stage { mut broker, session: _session, grant } = stage(SHORT, wait).await;
    let mut dialogue = next(&mut broker).await;
    until("it pauses", || bps(&grant) == 0).await;
    assert_eq!((grant.ended(), grant.limiter().check()), (None, Ok(())));
    // Beats that were sent before the pause carry no further than they did.
    loop {
        let beat = dialogue.beat().await;
        dialogue.answer(&beat, LONG, fake::in_force(RATE)).await;
        if bps(&grant) == RATE {
            break;
        }
    }
    grant.ready().await.unwrap();
}

#[tokio::test]
async fn silence_takes_the_promise_from_best_effort() {
    let policy = OnUnreachable::BestEffort("1Mbit".parse().unwrap());
    let Stage { mut broker, session: _session, grant } = stage(SHORT, policy).await;
    let mut dialogue = next(&mut broker).await;
    until("it falls", || bps(&grant) == 1_000_000).await;
    assert!(!grant.is_promised());
    loop {
        let beat = dialogue.beat().await;
        dialogue.answer(&beat, LONG, fake::in_force(RATE)).await;
        if bps(&grant) == RATE {
            break;
        }
    }
    assert!(grant.is_promised());
}

#[tokio::test]
async fn closing_stops_the_bytes_then_tells_the_broker() {
    let Stage { mut broker, session, grant } = stage(LONG, OnUnreachable::Fail).await;
    let mut dialogue = next(&mut broker).await;
    let log = std::sync::Arc::clone(&broker.fake);
    let answering = tokio::spawn(async move {
        while let Ok(Some(beat)) = dialogue.beats.message().await {
            assert_eq!(log.log.lock().unwrap().closed, 0, "beats come before the close");
            dialogue.answer(&beat, LONG, fake::in_force(RATE)).await;
        }
    });
    session.close().await.unwrap();
    assert_eq!(grant.ended(), Some(GrantEnd::SessionOver));
    assert_eq!(broker.fake.log.lock().unwrap().closed, 1);
    answering.await.unwrap();
}

#[tokio::test]
async fn a_dropped_session_closes_in_the_background() {
    let Stage { broker, session, grant } = stage(LONG, OnUnreachable::Fail).await;
    drop(session);
    until("it is over", || grant.ended() == Some(GrantEnd::SessionOver)).await;
    // Nobody plays the broker's side of the stream, so the last beat stays without an answer.
    drop(broker.dialogues);
    until("it is closed", || broker.fake.log.lock().unwrap().closed == 1).await;
}

#[tokio::test]
async fn a_released_grant_is_given_back_by_its_holder() {
    let Stage { broker, session: _session, grant } = stage(LONG, OnUnreachable::Fail).await;
    grant.release().await.unwrap();
    let log = broker.fake.log.lock().unwrap();
    assert_eq!(log.released[0].session, SESSION);
}
