//! Plans that change while a grant is used: pokes, versions, notices, and changes of one's own.

use std::time::Duration;

use tidegate_client::grant::{Notice, NoticeKind};
use tidegate_client::reservation::{CloseReason, State};
use tidegate_client::{
    Acquired, Change, ClientError, Grant, GrantEnd, LimitError, OnUnreachable, Outcome, Revoked,
    Session,
};
use tidegate_policy::Timestamp;
use tidegate_proto::v1;
use tonic::Status;
use v1::update_reservation_response::Outcome as Answer;

use crate::fake::{self, Broker, Dialogue, NAME, RATE, SESSION, next};
use crate::{ask, until};

const LONG: Duration = Duration::from_secs(3600);
/// Half of the rate that is granted.
const HALF: i64 = RATE / 2;

struct Stage {
    broker: Broker,
    dialogue: Dialogue,
    _session: Session,
    grant: Grant,
}

/// A session with one grant, of plan version 1.
async fn stage() -> Stage {
    let granted = v1::Reservation { plan_version: 1, ..fake::reservation(0) };
    let mut broker = Broker::start([fake::yes(granted)], fake::session(LONG)).await;
    let session = broker.client().open_session("test").await.unwrap();
    let grant = match session.acquire(&ask(), OnUnreachable::Fail).await.unwrap() {
        Acquired::Granted(grant) => grant,
        Acquired::Refused(refusal) => panic!("{refusal}"),
    };
    let dialogue = broker.dialogues.recv().await.unwrap();
    Stage { broker, dialogue, _session: session, grant }
}

fn plan(plan_version: i64, rate_bps: i64, starts_in: i64) -> v1::GrantStatus {
    let starts_in = Some(prost_types::Duration { seconds: starts_in, nanos: 0 });
    v1::GrantStatus { plan_version, starts_in, ..fake::in_force(rate_bps) }
}

fn bps(grant: &Grant) -> i64 {
    i64::try_from(grant.limiter().rate().bps()).unwrap()
}

fn seconds(secs: i64) -> Timestamp {
    Timestamp::from_ms(secs * 1000).unwrap()
}

/// Answers beats with `status` until one names this version; it.
async fn until_named(
    dialogue: &mut Dialogue,
    version: i64,
    status: v1::GrantStatus,
) -> v1::KeepAliveRequest {
    loop {
        let beat = dialogue.beat_with_usage().await;
        if beat.usage[0].plan_version == version {
            return beat;
        }
        dialogue.answer(&beat, LONG, status.clone()).await;
    }
}

#[tokio::test]
async fn a_version_is_named_once_the_limiter_follows_it() {
    let Stage { broker: _broker, mut dialogue, _session, grant } = stage().await;
    let beat = dialogue.beat_with_usage().await;
    assert_eq!(beat.usage[0].plan_version, 1);
    dialogue.answer(&beat, LONG, plan(2, HALF, 0)).await;
    let beat = until_named(&mut dialogue, 2, plan(2, HALF, 0)).await;
    assert_eq!(bps(&grant), HALF);
    // An answer that was under way for longer does not bring the old plan back.
    dialogue.answer(&beat, LONG, plan(1, RATE, 0)).await;
    let beat = dialogue.beat_with_usage().await;
    assert_eq!((beat.usage[0].plan_version, bps(&grant)), (2, HALF));
    // A start that moves away pauses what runs.
    dialogue.answer(&beat, LONG, plan(3, RATE, 600)).await;
    until_named(&mut dialogue, 3, plan(3, RATE, 600)).await;
    assert_eq!((bps(&grant), grant.limiter().check()), (0, Ok(())));
    let told = grant.reservation().unwrap();
    assert_eq!((told.plan_version, told.rate.bps()), (3, u64::try_from(RATE).unwrap()));
    let moved = told.start.since(seconds(1000)).as_ms();
    assert!((590_000..610_000).contains(&moved), "{moved} ms");
}

#[tokio::test]
async fn an_end_that_comes_nearer_ends_the_grant() {
    let Stage { broker: _broker, mut dialogue, _session, grant } = stage().await;
    let beat = dialogue.beat_with_usage().await;
    let over = Some(prost_types::Duration::default());
    dialogue.answer(&beat, LONG, v1::GrantStatus { ends_in: over, ..plan(2, RATE, 0) }).await;
    until("it has ended", || grant.limiter().check() == Err(LimitError::Expired)).await;
}

#[tokio::test]
async fn a_poke_is_answered_by_one_beat_at_once() {
    let slow = v1::Session {
        beat_every: Some(prost_types::Duration { seconds: 1000, nanos: 0 }),
        ..fake::session(LONG)
    };
    let mut broker = Broker::start([fake::yes(fake::reservation(0))], slow.clone()).await;
    let session = broker.client().open_session("test").await.unwrap();
    let mut dialogue = broker.dialogues.recv().await.unwrap();
    let word = |sequence| {
        let session = Some(slow.clone());
        Ok(v1::KeepAliveResponse { sequence, session, grants: Vec::new() })
    };
    assert_eq!(dialogue.beat().await.sequence, 1);
    dialogue.say(word(1)).await;
    let live_until = session.live_until();
    // However many pokes come, one beat is under way, and one more follows its answer.
    for _ in 0..3 {
        dialogue.say(word(0)).await;
    }
    assert_eq!(dialogue.beat().await.sequence, 2);
    dialogue.say(word(2)).await;
    assert_eq!(dialogue.beat().await.sequence, 3);
    assert!(session.live_until() >= live_until);
    dialogue.say(word(3)).await;
    // Had there been more than that, this one would be a later one.
    dialogue.say(word(0)).await;
    assert_eq!(dialogue.beat().await.sequence, 4);
}

#[tokio::test]
async fn notices_reach_the_holder_once() {
    let Stage { broker: _broker, mut dialogue, _session, grant } = stage().await;
    let mut notices = grant.notices();
    assert!(notices.borrow_and_update().is_empty());
    let status = |kinds: &[i32]| {
        let notice = |kind: &i32| v1::Notice {
            kind: *kind,
            lane: "links/a/forward".into(),
            time: Some(prost_types::Timestamp { seconds: 2000, nanos: 0 }),
            short_bytes: 0,
        };
        v1::GrantStatus { notices: kinds.iter().map(notice).collect(), ..plan(1, RATE, 0) }
    };
    let beat = dialogue.beat_with_usage().await;
    dialogue.answer(&beat, LONG, status(&[1])).await;
    notices.changed().await.unwrap();
    let lane = Some("links/a/forward".to_owned());
    let time = Some(seconds(2000));
    let draining = Notice { kind: NoticeKind::Draining, lane, time, bytes: None, offer: None };
    assert_eq!(*notices.borrow_and_update(), [draining]);
    // Said again with the next answer, it is no news; a rate tells that the answer was heard.
    let beat = dialogue.beat_with_usage().await;
    dialogue.answer(&beat, LONG, v1::GrantStatus { rate_bps: HALF, ..status(&[1]) }).await;
    until("the answer is heard", || bps(&grant) == HALF).await;
    assert!(!notices.has_changed().unwrap());
    let beat = dialogue.beat_with_usage().await;
    dialogue.answer(&beat, LONG, status(&[1, 2])).await;
    notices.changed().await.unwrap();
    assert!(grant.reservation().unwrap().curtailed);
    assert_eq!(grant.ended(), None);
}

#[tokio::test]
async fn lost_capacity_closes_and_the_close_is_acknowledged() {
    let Stage { broker: _broker, mut dialogue, _session, grant } = stage().await;
    let beat = dialogue.beat_with_usage().await;
    let closed =
        v1::GrantStatus { state: 3, close_reason: 5, plan_version: 4, ..Default::default() };
    dialogue.answer(&beat, LONG, closed.clone()).await;
    until("it is over", || grant.ended().is_some()).await;
    assert_eq!(grant.ended(), Some(GrantEnd::Closed(CloseReason::CapacityLost)));
    let gone = LimitError::Revoked(Revoked::CapacityLost);
    assert_eq!(grant.limiter().check(), Err(gone));
    let why = CloseReason::CapacityLost;
    assert_eq!(grant.reservation().unwrap().state, State::Closed { why });
    // The handle may be gone: the last word frees what was booked all the same.
    drop(grant);
    let beat = until_named(&mut dialogue, 4, closed.clone()).await;
    assert_eq!(beat.usage[0].reservation, NAME);
    dialogue.answer(&beat, LONG, closed).await;
    while !dialogue.beat().await.usage.is_empty() {}
}

/// Asks for `change` in the background; the question, and the grant with the answer.
async fn asking(
    broker: &mut Broker,
    grant: Grant,
    change: Change,
) -> (fake::Update, tokio::task::JoinHandle<(Grant, Result<Outcome, ClientError>)>) {
    let asked = tokio::spawn(async move {
        let answer = grant.update(&change).await;
        (grant, answer)
    });
    (next!(broker, Update), asked)
}

fn changed(rate_bps: i64, plan_version: i64) -> Result<v1::UpdateReservationResponse, Status> {
    let it = v1::Reservation { rate_bps, plan_version, ..fake::reservation(0) };
    Ok(v1::UpdateReservationResponse { outcome: Some(Answer::Reservation(it)) })
}

fn refused() -> Result<v1::UpdateReservationResponse, Status> {
    let refusal = v1::Refusal { reason: 3, ..v1::Refusal::default() };
    Ok(v1::UpdateReservationResponse { outcome: Some(Answer::Refusal(refusal)) })
}

fn half() -> Change {
    Change::new().rate("4Mbit".parse().unwrap())
}

#[tokio::test]
async fn while_a_change_is_asked_for_both_terms_are_kept() {
    let Stage { mut broker, dialogue: _dialogue, _session, grant } = stage().await;
    let limiter = grant.limiter().clone();
    let rate = || i64::try_from(limiter.rate().bps()).unwrap();
    // A cut holds before the broker has heard of it, and is taken back with a refusal.
    let (call, asked) = asking(&mut broker, grant, half()).await;
    assert_eq!(call.request.session, SESSION, "its holder asks");
    assert_eq!(rate(), HALF);
    call.answer(refused());
    let (grant, answer) = asked.await.unwrap();
    assert!(matches!(answer.unwrap(), Outcome::Refused(_)));
    assert_eq!(rate(), RATE);
    // A raise holds with the answer.
    let more = Change::new().rate("16Mbit".parse().unwrap());
    let (call, asked) = asking(&mut broker, grant, more).await;
    assert_eq!(rate(), RATE);
    call.answer(changed(RATE * 2, 2));
    let (grant, answer) = asked.await.unwrap();
    assert!(matches!(answer.unwrap(), Outcome::Granted(_)));
    assert_eq!(rate(), RATE * 2);
    // An end that has passed by then stops everything for now.
    let (call, asked) = asking(&mut broker, grant, Change::new().end(seconds(1000))).await;
    assert_eq!(limiter.check(), Err(LimitError::Expired));
    call.answer(refused());
    let (grant, _) = asked.await.unwrap();
    assert_eq!(limiter.check(), Ok(()));
    // And a start that is to come.
    let (call, asked) = asking(&mut broker, grant, Change::new().start(seconds(2000))).await;
    assert_eq!(rate(), 0);
    call.answer(refused());
    let (_grant, _) = asked.await.unwrap();
    assert_eq!(rate(), RATE * 2);
}

#[tokio::test]
async fn a_change_without_an_answer_is_kept_to_until_a_later_plan() {
    let Stage { mut broker, mut dialogue, _session, grant } = stage().await;
    let (call, asked) = asking(&mut broker, grant, half()).await;
    call.answer(Err(Status::internal("oops")));
    let (grant, answer) = asked.await.unwrap();
    assert!(answer.unwrap_err().may_have_happened());
    assert_eq!(bps(&grant), HALF);
    // The same plan again settles nothing: the change may still be on its way.
    let beat = dialogue.beat_with_usage().await;
    let slower = v1::GrantStatus { rate_bps: RATE - 8, ..plan(1, RATE, 0) };
    dialogue.answer(&beat, LONG, slower).await;
    let heard = || grant.reservation().unwrap().rate.bps() < u64::try_from(RATE).unwrap();
    until("the answer is heard", heard).await;
    assert_eq!(bps(&grant), HALF);
    let beat = dialogue.beat_with_usage().await;
    dialogue.answer(&beat, LONG, plan(2, RATE, 0)).await;
    until("a later plan is followed", || bps(&grant) == RATE).await;
}

#[tokio::test]
async fn a_validated_change_touches_nothing() {
    let Stage { mut broker, dialogue: _dialogue, _session, grant } = stage().await;
    let (call, asked) = asking(&mut broker, grant, half().validate_only()).await;
    assert!(call.request.validate_only);
    call.answer(changed(HALF, 2));
    let (grant, answer) = asked.await.unwrap();
    assert!(matches!(answer.unwrap(), Outcome::Granted(_)));
    assert_eq!((bps(&grant), grant.reservation().unwrap().plan_version), (RATE, 1));
}
