//! Plans of several segments: a grant that follows them, on all ways or on each, moves and ends.

use std::time::Duration;

use tidegate_client::grant::NoticeKind;
use tidegate_client::plan::Promise;
use tidegate_client::reservation::CloseReason;
use tidegate_client::{
    Acquired, Ask, Between, Grant, GrantEnd, LimitError, OnUnreachable, Revoked, Session, Transfer,
};
use tidegate_policy::{ByteCount, Timestamp};
use tidegate_proto::v1;

use crate::fake::{self, Broker, Dialogue, RATE};
use crate::until;

const LONG: Duration = Duration::from_secs(3600);

struct Stage {
    _broker: Broker,
    dialogue: Dialogue,
    _session: Session,
    grant: Grant,
}

/// A session of this length of lease and grace together, with one grant.
async fn stage(life: Duration, granted: v1::Reservation) -> Stage {
    let mut broker = Broker::start([fake::yes(granted)], fake::session(life)).await;
    let session = broker.client().open_session("test").await.unwrap();
    let grant = match session.acquire(&ask(), OnUnreachable::Fail).await.unwrap() {
        Acquired::Granted(grant) => grant,
        Acquired::Refused(refusal) => panic!("{refusal}"),
    };
    let dialogue = broker.dialogues.recv().await.unwrap();
    Stage { _broker: broker, dialogue, _session: session, grant }
}

fn ask() -> Ask {
    let way = Between::new("storage/swift".parse().unwrap(), "hosts/compute-1".parse().unwrap());
    Ask::transfer(way, "40GB".parse().unwrap(), at(9000)).movable()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_ms(secs * 1000).unwrap()
}

fn wire_time(ms: i64) -> Option<prost_types::Timestamp> {
    let nanos = i32::try_from(ms % 1000).unwrap() * 1_000_000;
    Some(prost_types::Timestamp { seconds: ms / 1000, nanos })
}

fn span(ms: i64) -> Option<prost_types::Duration> {
    let nanos = i32::try_from(ms % 1000).unwrap() * 1_000_000;
    Some(prost_types::Duration { seconds: ms / 1000, nanos })
}

/// A segment on a way, from so many milliseconds after now to so many.
fn segment(way: i32, rate_bps: i64, from: i64, until: i64) -> v1::Segment {
    v1::Segment {
        way,
        rate_bps,
        start_time: wire_time(1_000_000 + from),
        end_time: wire_time(1_000_000 + until),
        starts_in: span(from),
        ends_in: span(until),
    }
}

fn way(source: &str) -> v1::PlanWay {
    let lanes = vec![format!("{source}/read")];
    v1::PlanWay { source: source.into(), lanes, ..v1::PlanWay::default() }
}

fn ways() -> Vec<v1::PlanWay> {
    vec![way("storage/swift"), way("storage/other")]
}

fn planned(segments: Vec<v1::Segment>) -> v1::Reservation {
    let transfer = v1::Transfer {
        volume_bytes: 40_000_000_000,
        max_bps: RATE,
        deadline: wire_time(9_000_000),
        ..v1::Transfer::default()
    };
    v1::Reservation {
        plan_version: 1,
        segments,
        ways: ways(),
        movable: true,
        promise: Some(v1::reservation::Promise::Transfer(transfer)),
        ..fake::reservation(0)
    }
}

fn status(plan_version: i64, segments: Vec<v1::Segment>) -> v1::GrantStatus {
    v1::GrantStatus {
        plan_version,
        segments,
        ways: ways(),
        movable: true,
        starts_in: span(0),
        ..fake::in_force(RATE)
    }
}

fn bps(grant: &Grant) -> i64 {
    i64::try_from(grant.limiter().rate().bps()).unwrap()
}

const HOUR: i64 = 3_600_000;

#[tokio::test]
async fn segments_change_the_rate_without_a_beat() {
    let plan = vec![
        segment(0, RATE, 0, 400),
        segment(0, RATE / 2, 400, 800),
        segment(1, RATE / 4, 1200, HOUR),
    ];
    let Stage { _broker, dialogue: _silent, _session, grant } = stage(LONG, planned(plan)).await;
    let granted = grant.reservation().unwrap();
    let deadline = at(9000);
    let promise =
        Transfer { max: granted.rate, ..Transfer::new("40GB".parse().unwrap(), deadline) };
    assert_eq!(granted.promise, Some(Promise::Transfer(promise)));
    assert_eq!((granted.segments.len(), granted.ways.len()), (3, 2));
    assert_eq!(granted.ways[1].lanes, ["storage/other/read"]);
    // No beat is answered: time alone brings each of them.
    let mut seen = vec![bps(&grant)];
    until("the last segment is on", || {
        let rate = bps(&grant);
        if *seen.last().unwrap() != rate {
            seen.push(rate);
        }
        rate == RATE / 4
    })
    .await;
    // A test that is late may miss one of them, never see one that is not due.
    let mut due = [RATE, RATE / 2, 0, RATE / 4].into_iter();
    assert!(seen.iter().all(|rate| due.any(|next| next == *rate)), "{seen:?}");
    grant.ready().await.unwrap();
}

#[tokio::test]
async fn a_plan_that_moves_is_followed_at_once_and_acknowledged() {
    let Stage { _broker, mut dialogue, _session, grant } =
        stage(LONG, planned(vec![segment(0, RATE, 0, HOUR)])).await;
    let mut notices = grant.notices();
    assert_eq!(bps(&grant), RATE);
    let beat = dialogue.beat_with_usage().await;
    assert_eq!(beat.usage[0].plan_version, 1);
    let moved = v1::Notice { kind: 3, time: wire_time(1_000_000), ..v1::Notice::default() };
    let lagging = v1::Notice { kind: 4, short_bytes: 9_000, ..v1::Notice::default() };
    let shrunk = v1::Notice { kind: 5, lane: "links/a/forward".into(), ..v1::Notice::default() };
    let news = v1::GrantStatus {
        notices: vec![moved, lagging, shrunk],
        ..status(2, vec![segment(1, RATE / 2, 0, HOUR), segment(0, RATE, HOUR, 2 * HOUR)])
    };
    dialogue.answer(&beat, LONG, news.clone()).await;
    notices.changed().await.unwrap();
    until("the new plan is on", || bps(&grant) == RATE / 2).await;
    let told = notices.borrow_and_update().clone();
    let kinds = [NoticeKind::Moved, NoticeKind::Lagging, NoticeKind::Shrunk];
    assert_eq!(told.iter().map(|it| it.kind).collect::<Vec<_>>(), kinds);
    assert_eq!(told[1].bytes, Some(ByteCount::new(9_000)));
    assert!(told[1].to_string().contains("9kB will be missing"), "{}", told[1]);
    // The next beat names what is obeyed, and an older answer brings nothing back.
    let beat = loop {
        let beat = dialogue.beat_with_usage().await;
        if beat.usage[0].plan_version == 2 {
            break beat;
        }
        dialogue.answer(&beat, LONG, news.clone()).await;
    };
    dialogue.answer(&beat, LONG, status(1, vec![segment(0, RATE, 0, HOUR)])).await;
    let beat = dialogue.beat_with_usage().await;
    assert_eq!((beat.usage[0].plan_version, bps(&grant)), (2, RATE / 2));
    let told = grant.reservation().unwrap();
    assert_eq!((told.segments.len(), told.segments[0].way, told.plan_version), (2, 1, 2));
    assert_eq!(told.start, at(1000), "what was over before is not told any more");
}

#[tokio::test]
async fn behind_the_lease_a_plan_that_may_move_sends_nothing() {
    // A lease of 300 ms, and as much grace.
    let life = Duration::from_millis(600);
    let plan = || vec![segment(0, RATE, 0, HOUR)];
    let Stage { _broker, mut dialogue, _session, grant } = stage(life, planned(plan())).await;
    let beat = dialogue.beat_with_usage().await;
    dialogue.answer(&beat, LONG, status(1, plan())).await;
    until("it sends", || bps(&grant) == RATE).await;
    let beat = dialogue.beat_with_usage().await;
    dialogue.answer(&beat, life, status(1, plan())).await;
    until("the lease is over", || bps(&grant) == 0).await;
    // Its session may still be there: an answer brings the plan back, if one comes in time.
    assert!(grant.ended().is_none_or(|why| why == GrantEnd::Unreachable));
    until("the grace is over", || grant.ended().is_some()).await;
    assert_eq!(grant.limiter().check(), Err(LimitError::Revoked(Revoked::SessionLost)));
}

#[tokio::test]
async fn each_way_of_a_split_plan_has_its_rate() {
    let plan = vec![segment(0, RATE, 0, HOUR), segment(1, RATE / 2, 0, HOUR)];
    let Stage { _broker, mut dialogue, _session, grant } = stage(LONG, planned(plan)).await;
    assert_eq!(bps(&grant), RATE + RATE / 2, "the sum, by default");
    let other = grant.way(1).unwrap();
    let rate = |way: &tidegate_client::GrantWay| i64::try_from(way.limiter().rate().bps()).unwrap();
    assert_eq!(other.way.source, Some("storage/other".parse().unwrap()));
    assert_eq!((rate(&other), bps(&grant)), (RATE / 2, RATE), "never the same bytes twice");
    assert!(grant.way(2).is_none());
    // Both ways move bytes, and all of them are reported.
    let mut buffer = vec![0; 1000];
    let mut read = other.limiter().reader(&[7_u8; 1000][..]);
    tokio::io::AsyncReadExt::read_exact(&mut read, &mut buffer).await.unwrap();
    let mut read = grant.limiter().reader(&[7_u8; 500][..]);
    tokio::io::AsyncReadExt::read_exact(&mut read, &mut buffer[..500]).await.unwrap();
    // A moved plan tells its ways anew: the limiter goes with the way, not with its place.
    let news = v1::GrantStatus {
        ways: vec![way("storage/other")],
        ..status(2, vec![segment(0, RATE / 8, 0, HOUR)])
    };
    loop {
        let beat = dialogue.beat_with_usage().await;
        if beat.usage[0].plan_version == 2 {
            assert_eq!(beat.usage[0].used_bytes, 1500);
            break;
        }
        dialogue.answer(&beat, LONG, news.clone()).await;
    }
    assert_eq!((rate(&other), bps(&grant)), (RATE / 8, 0));
    drop(grant);
    assert_eq!(other.limiter().check(), Err(LimitError::Revoked(Revoked::Released)));
}

#[tokio::test]
async fn a_preempted_grant_is_told_what_it_can_have_instead() {
    let Stage { _broker, mut dialogue, _session, grant } =
        stage(LONG, planned(vec![segment(0, RATE, 0, HOUR)])).await;
    let mut notices = grant.notices();
    let beat = dialogue.beat_with_usage().await;
    let offer = v1::CounterOffer {
        kind: 3,
        source: "storage/swift".into(),
        rate_bps: RATE,
        start_time: wire_time(2_000_000),
        end_time: wire_time(9_500_000),
        token: "t-1".into(),
        volume_bytes: 40_000_000_000,
        ..v1::CounterOffer::default()
    };
    let closed = v1::GrantStatus {
        state: 3,
        close_reason: 7,
        plan_version: 2,
        offer: Some(offer),
        ..v1::GrantStatus::default()
    };
    dialogue.answer(&beat, LONG, closed).await;
    notices.changed().await.unwrap();
    let told = notices.borrow_and_update().clone();
    assert_eq!(told[0].kind, NoticeKind::Preempted);
    let offer = told[0].offer.as_ref().unwrap();
    assert_eq!(offer.volume, Some("40GB".parse().unwrap()));
    assert_eq!(grant.ended(), Some(GrantEnd::Closed(CloseReason::Preempted)));
    assert_eq!(grant.limiter().check(), Err(LimitError::Revoked(Revoked::Preempted)));
    let again = offer.ask(&ask());
    assert!(again.movable, "its terms are those of the request before");
}
