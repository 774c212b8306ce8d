//! Requests that hang together, over the wire: any of them, one after the other, all of them, and
//! each week for itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;

use support::{
    Clients, GBIT, Served, at_ms, create, ms_of, release, request_id, span_ms, topology,
};
use tidegate_broker::Config;
use tidegate_broker::config::JournalPlace;
use tidegate_proto::v1;
use tidegate_proto::v1::create_reservation_request::Shape;
use tidegate_proto::v1::create_reservation_response::Outcome;
use tidegate_proto::v1::refusal::Reason;
use tidegate_proto::v1::{BatchCreateReservationsRequest as Batch, Relation};
use tonic::Code;

const HOUR_MS: i64 = 3_600_000;
const WEEK_MS: i64 = 7 * 24 * HOUR_MS;
const LINK: i64 = 10 * GBIT;
const SPINE: &str = "links/spine/forward";

/// A link of 10 Gbit/s, and an instant an hour from now.
async fn served() -> (Served, i64) {
    let served = Served::start(Config::ephemeral(JournalPlace::Memory)).await;
    let mut topology = topology(LINK);
    let capacity = v1::Capacity { out_bps: LINK, reserved_ppm: Some(0), ..Default::default() };
    topology.links[0].capacity = Some(capacity);
    served.clients.apply(topology).await;
    let now = ms_of(served.clients.info().await.now.unwrap());
    (served, now + HOUR_MS)
}

fn rigid(rate_bps: i64, start_ms: i64, duration_ms: i64) -> v1::CreateReservationRequest {
    let mut request = create(rate_bps, duration_ms);
    if let Some(Shape::Rigid(rigid)) = &mut request.shape {
        rigid.start_time = Some(at_ms(start_ms));
    }
    request
}

/// A rate for so long, somewhere in a window.
fn flexible(rate_bps: i64, duration_ms: i64, window: (i64, i64)) -> v1::CreateReservationRequest {
    let window = v1::Flexible {
        min_bps: rate_bps,
        max_bps: rate_bps,
        duration: Some(span_ms(duration_ms)),
        window_start_time: Some(at_ms(window.0)),
        window_end_time: Some(at_ms(window.1)),
    };
    v1::CreateReservationRequest { shape: Some(Shape::Flexible(window)), ..create(1, 1) }
}

fn transfer(volume_bytes: i64, start_ms: i64, deadline_ms: i64) -> v1::CreateReservationRequest {
    let transfer = v1::Transfer {
        volume_bytes,
        max_bps: LINK,
        start_time: Some(at_ms(start_ms)),
        deadline: Some(at_ms(deadline_ms)),
        ..v1::Transfer::default()
    };
    v1::CreateReservationRequest { shape: Some(Shape::Transfer(transfer)), ..create(1, 1) }
}

fn batch(relation: Relation, requests: Vec<v1::CreateReservationRequest>) -> Batch {
    let entry = |it| v1::CreateReservationRequest { request_id: String::new(), ..it };
    Batch {
        request_id: request_id(),
        relation: relation.into(),
        requests: requests.into_iter().map(entry).collect(),
        ..Batch::default()
    }
}

async fn ask(clients: &Clients, batch: Batch) -> Vec<Outcome> {
    let answer = clients.reservations.clone().batch_create_reservations(batch).await.unwrap();
    answer.into_inner().responses.into_iter().map(|it| it.outcome.unwrap()).collect()
}

/// Where each runs, in milliseconds after `at`, or why it is refused.
fn told(outcomes: &[Outcome], at: i64) -> Vec<Result<(i64, i64), Reason>> {
    let one = |outcome: &Outcome| match outcome {
        Outcome::Reservation(it) => {
            Ok((ms_of(it.start_time.unwrap()) - at, ms_of(it.end_time.unwrap()) - at))
        }
        Outcome::Refusal(no) => Err(no.reason()),
    };
    outcomes.iter().map(one).collect()
}

/// Gives everything back that was granted.
async fn give_back(clients: &Clients, outcomes: &[Outcome]) {
    for outcome in outcomes {
        if let Outcome::Reservation(it) = outcome {
            clients.reservations.clone().release_reservation(release(&it.name)).await.unwrap();
        }
    }
}

/// What is booked on the link over a time, at its highest.
async fn booked(clients: &Clients, from: i64, to: i64) -> i64 {
    let (start_time, end_time) = (Some(at_ms(from)), Some(at_ms(to)));
    let request = v1::ListResourcesRequest { start_time, end_time, ..Default::default() };
    let lanes = clients.lanes(request).await;
    lanes.iter().find(|lane| lane.name == SPINE).unwrap().booked_bps
}

#[tokio::test]
async fn any_of_them_is_the_first_that_fits() {
    let (served, at) = served().await;
    let clients = &served.clients;
    clients.create(rigid(6 * GBIT, at, HOUR_MS)).await;
    let requests =
        vec![rigid(5 * GBIT, at, HOUR_MS), rigid(4 * GBIT, at, HOUR_MS), rigid(GBIT, at, HOUR_MS)];
    let asked = batch(Relation::AnyOf, requests);
    let outcomes = ask(clients, asked.clone()).await;
    let expected = [Err(Reason::NoHeadroom), Ok((0, HOUR_MS)), Err(Reason::OtherTaken)];
    assert_eq!(told(&outcomes, at), expected);
    let Outcome::Refusal(first) = &outcomes[0] else { unreachable!() };
    assert!(
        !first.blockers.is_empty() && !first.offers.is_empty(),
        "why, and what fits: {first:?}"
    );
    assert_eq!(told(&ask(clients, asked).await, at), expected, "asked again");
    assert_eq!(booked(clients, at, at + HOUR_MS).await, LINK, "one of them is booked");
    // Where none fits, each says why.
    let none = batch(Relation::AnyOf, vec![rigid(1, at, 1000), rigid(2 * LINK, at, 1000)]);
    let expected = [Err(Reason::NoHeadroom), Err(Reason::RateAboveCapacity)];
    assert_eq!(told(&ask(clients, none).await, at), expected);
    served.stop().await;
}

#[tokio::test]
async fn in_order_each_follows_the_one_before_it() {
    let (served, at) = served().await;
    let clients = &served.clients;
    // From 10 s to 25 s the link is taken.
    clients.create(rigid(LINK, at + 10_000, 15_000)).await;
    let window = (at, at + 120_000);
    let stage = |duration_ms| flexible(LINK, duration_ms, window);
    // With gaps the first runs before what is taken, the second behind it.
    let asked = batch(Relation::InOrder, vec![stage(8_000), stage(5_000), stage(1_000)]);
    let outcomes = ask(clients, asked.clone()).await;
    let expected = [Ok((0, 8_000)), Ok((25_000, 30_000)), Ok((30_000, 31_000))];
    assert_eq!(told(&outcomes, at), expected);
    give_back(clients, &outcomes).await;
    // Without, the first waits until all of them follow.
    let gapless = Batch { gapless: true, request_id: request_id(), ..asked };
    let outcomes = ask(clients, gapless.clone()).await;
    let expected = [Ok((25_000, 33_000)), Ok((33_000, 38_000)), Ok((38_000, 39_000))];
    assert_eq!(told(&outcomes, at), expected);
    assert_eq!(told(&ask(clients, gapless).await, at), expected, "asked again");
    give_back(clients, &outcomes).await;
    // A volume has its place in the order, behind the last bit of the one before it.
    let volume = transfer(12_500_000_000, at, at + 120_000);
    let asked = batch(Relation::InOrder, vec![volume.clone(), stage(1_000)]);
    let outcomes = ask(clients, asked.clone()).await;
    let [Ok((0, end)), Ok((start, _))] = told(&outcomes, at)[..] else { panic!("{outcomes:?}") };
    // Of 10.1 s, 10 are before what is taken; the next begins where it ends.
    assert_eq!((start, end), (25_100, 25_100));
    give_back(clients, &outcomes).await;
    let gapless = Batch { gapless: true, request_id: request_id(), ..asked };
    let mut reservations = clients.reservations.clone();
    let status = reservations.batch_create_reservations(gapless).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    served.stop().await;
}

#[tokio::test]
async fn in_order_all_are_granted_or_none() {
    let (served, at) = served().await;
    let clients = &served.clients;
    let stage = |end| flexible(LINK, 8_000, (at, at + end));
    for gapless in [false, true] {
        let asked = batch(Relation::InOrder, vec![stage(60_000), stage(15_000)]);
        let outcomes = ask(clients, Batch { gapless, ..asked }).await;
        let refused = told(&outcomes, at).iter().all(Result::is_err);
        assert!(refused, "the second has no eight seconds after the first: {outcomes:?}");
        assert_eq!(booked(clients, at, at + 60_000).await, 0, "nothing of it is booked");
    }
    served.stop().await;
}

#[tokio::test]
async fn each_week_is_answered_for_itself() {
    let (served, at) = served().await;
    let clients = &served.clients;
    // The second week has room for the smaller one alone.
    clients.create(rigid(6 * GBIT, at + WEEK_MS, HOUR_MS)).await;
    let pair = || vec![rigid(6 * GBIT, at, HOUR_MS), rigid(3 * GBIT, at, HOUR_MS)];
    let again = |week: i64| Ok((week * WEEK_MS, week * WEEK_MS + HOUR_MS));
    let (no, others) = (Err(Reason::NoHeadroom), Err(Reason::OthersRefused));
    let other = Err(Reason::OtherTaken);
    let table = [
        (Relation::Each, vec![again(0), again(0), no, again(1), again(2), again(2)]),
        (Relation::AllOf, vec![again(0), again(0), no, others, again(2), again(2)]),
        (Relation::AnyOf, vec![again(0), other, no, again(1), again(2), other]),
    ];
    for (relation, expected) in table {
        let asked = Batch { weeks: 3, ..batch(relation, pair()) };
        let outcomes = ask(clients, asked.clone()).await;
        assert_eq!(told(&outcomes, at), expected, "{relation:?}");
        assert_eq!(told(&ask(clients, asked).await, at), expected, "{relation:?}, asked again");
        give_back(clients, &outcomes).await;
    }
    // The order starts anew each week. In the second the link is full until the hour is over.
    clients.create(rigid(4 * GBIT, at + WEEK_MS, HOUR_MS)).await;
    let stage = |duration_ms| flexible(LINK, duration_ms, (at, at + 2 * HOUR_MS));
    let asked = batch(Relation::InOrder, vec![stage(HOUR_MS), stage(HOUR_MS)]);
    let outcomes = ask(clients, Batch { weeks: 3, gapless: true, ..asked }).await;
    let mut weeks: BTreeMap<usize, Vec<bool>> = BTreeMap::new();
    for (place, outcome) in told(&outcomes, at).iter().enumerate() {
        weeks.entry(place / 2).or_default().push(outcome.is_ok());
    }
    let weeks: Vec<Vec<bool>> = weeks.into_values().collect();
    assert_eq!(weeks, [[true, true], [false, false], [true, true]], "{outcomes:?}");
    give_back(clients, &outcomes).await;
    // Only the first of an order has to say when it begins: the one before says it of the others.
    let mut next = rigid(LINK, at, HOUR_MS);
    if let Some(Shape::Rigid(next)) = &mut next.shape {
        next.start_time = None;
    }
    let asked = batch(Relation::InOrder, vec![rigid(3 * GBIT, at, HOUR_MS), next]);
    let outcomes = ask(clients, Batch { weeks: 2, ..asked }).await;
    let after = |week: i64, hour: i64| week * WEEK_MS + hour * HOUR_MS;
    let hour = |week, hour| Ok((after(week, hour), after(week, hour + 1)));
    let expected = vec![hour(0, 0), hour(0, 1), no, others];
    assert_eq!(told(&outcomes, at), expected, "all of the second week is full for its first hour");
    served.stop().await;
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_with_the_field() {
    let (served, at) = served().await;
    let pair = || vec![rigid(GBIT, at, HOUR_MS), rigid(GBIT, at, HOUR_MS)];
    let all = |relation| Batch { all_or_nothing: true, ..batch(relation, pair()) };
    let unknown = Batch { relation: 99, ..batch(Relation::Each, pair()) };
    let table = [
        (all(Relation::Each), "relation"),
        (all(Relation::AnyOf), "relation"),
        (Batch { gapless: true, ..batch(Relation::AllOf, pair()) }, "gapless"),
        (unknown, "relation"),
        (Batch { weeks: 51, ..batch(Relation::AllOf, pair()) }, "weeks"),
        (Batch { weeks: -1, ..batch(Relation::InOrder, pair()) }, "weeks"),
    ];
    for (asked, field) in table {
        let mut reservations = served.clients.reservations.clone();
        let status = reservations.batch_create_reservations(asked.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains(field), "{field}: {}", status.message());
    }
    // It is said twice, and the same.
    let twice = ask(&served.clients, all(Relation::AllOf)).await;
    assert!(told(&twice, at).iter().all(Result::is_ok), "{twice:?}");
    served.stop().await;
}
