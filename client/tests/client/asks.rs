//! What is asked for, as the broker reads it, and answers to more than one question.

use std::num::NonZeroU16;
use std::time::Duration;

use futures_util::TryStreamExt;
use tidegate_client::refusal::{OfferKind, RefusalReason};
use tidegate_client::steer::SteeredBy;
use tidegate_client::{
    AllOrNone, Ask, Assurance, Batch, Between, Change, ClientError, End, Etag, Listing, Outcome,
    Search, SessionListing, SessionState,
};
use tidegate_policy::{BitRate, Mark, MarkKind, Span, Timestamp};
use tidegate_proto::v1;
use tonic::Status;
use v1::create_reservation_request::Shape;
use v1::create_reservation_response::Outcome as Answer;

use crate::ask;
use crate::fake::{self, Broker, NAME, Reply, SESSION, next};

const LIFE: Duration = Duration::from_secs(3600);

async fn broker(replies: impl IntoIterator<Item = Reply>) -> Broker {
    Broker::start(replies, fake::session(LIFE)).await
}

fn way() -> Between {
    Between::new("storage/swift".parse().unwrap(), "hosts/compute-1".parse().unwrap())
}

fn rate(text: &str) -> BitRate {
    text.parse().unwrap()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_ms(secs * 1000).unwrap()
}

fn wire_time(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn response(outcome: Answer) -> v1::CreateReservationResponse {
    v1::CreateReservationResponse { outcome: Some(outcome) }
}

/// What the broker was sent for `ask`.
async fn sent(ask: &Ask) -> v1::CreateReservationRequest {
    let broker = broker([fake::yes(fake::reservation(0))]).await;
    assert!(matches!(broker.client().reserve(ask).await.unwrap(), Outcome::Granted(_)));
    broker.fake.log.lock().unwrap().created.remove(0)
}

#[tokio::test]
async fn a_flexible_request_says_its_bounds_and_its_window() {
    let way = way().or_from("storage/mirror".parse().unwrap()).path(1);
    let rates = rate("1Mbit")..=rate("8Mbit");
    let ask = Ask::flexible(way, rates, Span::from_secs(60), at(9000))
        .starting(at(1000))
        .assurance(Assurance::Shared)
        .streams(NonZeroU16::new(16).unwrap())
        .hold_best_offer();
    let sent = sent(&ask).await;
    let Some(Shape::Flexible(flexible)) = sent.shape else { panic!("{sent:?}") };
    assert_eq!((flexible.min_bps, flexible.max_bps), (1_000_000, 8_000_000));
    assert_eq!(flexible.duration.unwrap().seconds, 60);
    assert_eq!(flexible.window_start_time, wire_time(1000));
    assert_eq!(flexible.window_end_time, wire_time(9000));
    assert_eq!(sent.sources, ["storage/swift", "storage/mirror"]);
    assert_eq!((sent.path, sent.assurance, sent.streams), (Some(1), 2, 16));
    assert!(sent.hold_best_offer && sent.lanes.is_empty());
}

#[tokio::test]
async fn lanes_stand_instead_of_endpoints() {
    let lanes = ["links/a/forward", "links/a/forward", "links/b/reverse"];
    let sent = sent(&Ask::lanes(lanes, rate("8Mbit"), End::At(at(9000)))).await;
    assert_eq!(sent.lanes, lanes);
    assert!(sent.sources.is_empty() && sent.destination.is_empty());
    assert!(matches!(sent.shape, Some(Shape::Rigid(_))));
}

#[tokio::test]
async fn what_contradicts_itself_is_not_sent() {
    let broker = broker([fake::yes(fake::reservation(0))]).await;
    let lanes = || Ask::lanes(["links/a/forward"], rate("8Mbit"), End::At(at(9000)));
    let token = || Ask::token("abc".parse().unwrap());
    let host = || "proxy-1".parse().unwrap();
    for ask in [lanes().via(host()), lanes().path(0), token().via(host()), token().starting(at(1))]
    {
        let error = broker.client().reserve(&ask).await.unwrap_err();
        assert!(matches!(error, ClientError::Invalid { .. }), "{error:?}");
    }
    assert!(broker.fake.log.lock().unwrap().created.is_empty());
}

#[tokio::test]
async fn a_reservation_says_how_it_was_granted() {
    let steers = vec![
        v1::Steer {
            from: "hosts/compute-1".into(),
            to: "switches/leaf".into(),
            how: Some(v1::steer::How::Mark(v1::Mark { kind: 2, value: "46".into() })),
        },
        v1::Steer {
            from: "switches/leaf".into(),
            to: "switches/spine".into(),
            how: Some(v1::steer::How::Controller("sdn-1".into())),
        },
    ];
    let steered = v1::Reservation {
        etag: "e7".into(),
        plan_version: 3,
        path: 1,
        steers,
        assurance: 2,
        curtailed: true,
        ..fake::reservation(0)
    };
    let lanes = v1::Reservation {
        source: String::new(),
        destination: String::new(),
        ..fake::reservation(0)
    };
    let broker = broker([fake::yes(steered), fake::yes(lanes)]).await;
    let client = broker.client();
    let Outcome::Granted(it) = client.reserve(&ask()).await.unwrap() else { panic!() };
    assert_eq!((it.etag, it.plan_version, it.curtailed), (Etag("e7".into()), 3, true));
    assert_eq!(it.way.unwrap().path, 1);
    assert_eq!(it.assurance, Assurance::Shared);
    assert_eq!(it.steers[0].by, SteeredBy::Mark(Mark::new(MarkKind::Dscp, "46").unwrap()));
    assert_eq!(it.steers[1].by, SteeredBy::Controller("sdn-1".into()));
    let Outcome::Granted(it) = client.reserve(&ask()).await.unwrap() else { panic!() };
    assert_eq!((it.source(), it.destination()), (None, None));
}

#[tokio::test]
async fn an_offer_is_taken_with_one_call() {
    let offer = v1::CounterOffer {
        kind: 3,
        source: "storage/swift".into(),
        rate_bps: 4_000_000,
        start_time: wire_time(1000),
        end_time: wire_time(8200),
        token: "t-1".into(),
        ..v1::CounterOffer::default()
    };
    let held =
        v1::Reservation { state: 1, hold_until_time: wire_time(1060), ..fake::reservation(0) };
    let refusal =
        v1::Refusal { reason: 4, offers: vec![offer], held: Some(held), ..Default::default() };
    let broker = broker([fake::no(refusal), fake::yes(fake::reservation(0))]).await;
    let client = broker.client();
    let Outcome::Refused(refusal) = client.reserve(&ask()).await.unwrap() else { panic!() };
    assert_eq!(refusal.reason, RefusalReason::Drained);
    assert_eq!(refusal.held.as_ref().unwrap().name.to_string(), NAME);
    let text = refusal.to_string();
    assert!(text.starts_with("refused: what it needs is drained"), "{text}");
    assert!(text.contains("is held as") && text.contains("all of it, but slower"), "{text}");
    let offer = &refusal.offers[0];
    assert_eq!(offer.kind, OfferKind::LaterFinish);
    assert!(matches!(client.take(offer).await.unwrap(), Outcome::Granted(_)));
    let log = broker.fake.log.lock().unwrap();
    assert_eq!(log.created[1].shape, Some(Shape::OfferToken("t-1".into())));
    assert_ne!(log.created[1].request_id, log.created[0].request_id);
}

#[tokio::test]
async fn a_batch_is_all_or_none_or_each_for_itself() {
    let mut broker = broker([]).await;
    let batch = Batch::new([ask(), ask()]);
    let yes = || response(Answer::Reservation(fake::reservation(0)));
    let no = |reason| response(Answer::Refusal(v1::Refusal { reason, ..v1::Refusal::default() }));
    let table = [
        (vec![yes(), yes()], Some(2)),
        (vec![no(5), no(3)], Some(0)),
        (vec![yes(), no(3)], None),
        (vec![yes()], None),
    ];
    for (responses, granted) in table {
        let (client, batch) = (broker.client(), batch.clone());
        let asking = tokio::spawn(async move { client.reserve_all(&batch).await });
        let call = next!(broker, Batch);
        assert!(call.request.all_or_nothing && !call.request.request_id.is_empty());
        assert!(call.request.requests.iter().all(|one| one.request_id.is_empty()));
        call.answer(Ok(v1::BatchCreateReservationsResponse { responses }));
        let got = match asking.await.unwrap() {
            Ok(AllOrNone::All(all)) => Some(all.len()),
            Ok(AllOrNone::None(none)) => {
                assert_eq!(none[0].reason, RefusalReason::OthersRefused);
                Some(0)
            }
            Err(error) => {
                assert!(matches!(error, ClientError::BadAnswer { .. }), "{error:?}");
                None
            }
        };
        assert_eq!(got, granted);
    }
    let client = broker.client();
    let asking = tokio::spawn(async move { client.reserve_each(&batch).await });
    let call = next!(broker, Batch);
    assert!(!call.request.all_or_nothing);
    call.answer(Ok(v1::BatchCreateReservationsResponse { responses: vec![yes(), no(3)] }));
    let each = asking.await.unwrap().unwrap();
    assert!(matches!(each.as_slice(), [Outcome::Granted(_), Outcome::Refused(_)]));
}

#[tokio::test]
async fn a_change_names_what_it_changes_and_depends_on() {
    let mut broker = broker([]).await;
    let change = Change::new().rate(rate("1Mbit")).end(at(9000)).only_if(Etag("e7".into()));
    let (client, again) = (broker.client(), change.clone());
    let asking = tokio::spawn(async move {
        let name = NAME.parse().unwrap();
        (client.update(&name, &again).await, client.update(&name, &again).await)
    });
    let call = next!(broker, Update);
    let asked = call.request.clone();
    assert_eq!(asked.update_mask.unwrap().paths, ["rate_bps", "end_time"]);
    let wanted = asked.reservation.unwrap();
    assert_eq!((wanted.name.as_str(), wanted.etag.as_str()), (NAME, "e7"));
    assert_eq!((wanted.rate_bps, wanted.end_time), (1_000_000, wire_time(9000)));
    assert_eq!(asked.session, "", "somebody else than the holder asks");
    let changed = v1::update_reservation_response::Outcome::Reservation(fake::reservation(0));
    call.answer(Ok(v1::UpdateReservationResponse { outcome: Some(changed) }));
    let call = next!(broker, Update);
    assert_eq!(call.request.request_id, change.request_id.to_string(), "once is once");
    call.answer(Err(Status::aborted("its etag is e8")));
    let (first, second) = asking.await.unwrap();
    assert!(matches!(first.unwrap(), Outcome::Granted(_)));
    assert!(matches!(second.unwrap_err(), ClientError::Stale { .. }));
}

#[tokio::test]
async fn steps_can_depend_on_an_etag() {
    let broker = broker([]).await;
    let (client, name, etag) = (broker.client(), NAME.parse().unwrap(), Etag("e7".into()));
    client.confirm_if(&name, &etag).await.unwrap();
    client.confirm(&name).await.unwrap();
    client.release_if(&name, &etag).await.unwrap();
    let log = broker.fake.log.lock().unwrap();
    assert_eq!((log.confirmed[0].etag.as_str(), log.confirmed[1].etag.as_str()), ("e7", ""));
    assert_eq!(log.released[0].etag, "e7");
}

#[tokio::test]
async fn windows_come_with_what_is_free() {
    let mut broker = broker([]).await;
    let search = Search::new(way(), rate("1Mbit"), Span::from_secs(600), at(9000));
    let client = broker.client();
    let asking = tokio::spawn(async move { client.find_windows(&search).await });
    let call = next!(broker, Find);
    assert_eq!((call.request.min_bps, call.request.end_time), (1_000_000, wire_time(9000)));
    assert_eq!(call.request.destination, "hosts/compute-1");
    let step = |start, rate_bps| v1::Step { start_time: wire_time(start), rate_bps };
    let availability = v1::Availability {
        source: "storage/swift".into(),
        path: Some(1),
        steps: vec![step(1000, 0), step(2000, 5_000_000)],
        until_time: wire_time(9000),
        ..v1::Availability::default()
    };
    let window = v1::Window {
        source: "storage/swift".into(),
        path: Some(1),
        start_time: wire_time(2000),
        end_time: wire_time(2600),
        rate_bps: 5_000_000,
        ..v1::Window::default()
    };
    let (windows, availability) = (vec![window], vec![availability]);
    call.answer(Ok(v1::FindWindowsResponse { windows, availability }));
    let found = asking.await.unwrap().unwrap();
    assert_eq!((found.windows[0].start, found.windows[0].rate), (at(2000), rate("5Mbit")));
    assert_eq!(found.availability[0].steps[0].rate, BitRate::ZERO);
    assert_eq!(found.availability[0].route.path, Some(1));
}

#[tokio::test]
async fn an_explanation_has_every_way_and_lane() {
    let mut broker = broker([]).await;
    let client = broker.client();
    let asking = tokio::spawn(async move { client.explain(&ask()).await });
    let call = next!(broker, Explain);
    assert_eq!(call.request.request.as_ref().unwrap().request_id, "");
    let refusal = v1::Refusal { reason: 3, ..v1::Refusal::default() };
    let holder =
        v1::Holder { reservation: NAME.into(), booked_bps: 7_000_000, end_time: wire_time(4600) };
    let lane = v1::LaneCheck {
        lane: "storage/swift/read".into(),
        limit_bps: 10_000_000,
        booked_bps: 7_000_000,
        free_bps: 3_000_000,
        needed_bps: 8_000_000,
        tightest_time: wire_time(1000),
        drained: true,
        holders: vec![holder],
        ..v1::LaneCheck::default()
    };
    let way = v1::Way { highest_bps: 3_000_000, lanes: vec![lane], ..v1::Way::default() };
    let answer = Some(response(Answer::Refusal(refusal)));
    call.answer(Ok(v1::ExplainReservationResponse { answer, ways: vec![way] }));
    let explained = asking.await.unwrap().unwrap();
    assert!(matches!(explained.answer, Outcome::Refused(_)));
    let way = &explained.ways[0];
    assert_eq!((way.fits, way.highest, way.earliest), (false, rate("3Mbit"), None));
    assert!(way.lanes[0].drained);
    assert_eq!(way.lanes[0].holders[0].reservation.to_string(), NAME);
}

#[tokio::test]
async fn a_listing_goes_on_over_all_pages() {
    let broker = broker([]).await;
    let client = broker.client();
    let filter = "rate_bps > 5".to_owned();
    let listing = Listing { filter: filter.clone(), page_size: 1, ..Listing::default() };
    let all: Vec<_> = client.list_all(listing).try_collect().await.unwrap();
    assert_eq!(all.len(), 2, "one on each of two pages");
    let listed = std::mem::take(&mut broker.fake.log.lock().unwrap().listed);
    let tokens: Vec<_> = listed.iter().map(|request| request.page_token.as_str()).collect();
    assert_eq!(tokens, ["", "more"]);
    assert!(listed.iter().all(|request| request.filter == filter && request.page_size == 1));
}

#[tokio::test]
async fn sessions_of_others_can_be_seen() {
    let broker = broker([]).await;
    let client = broker.client();
    let open = client.list_sessions(&SessionListing::default()).await.unwrap();
    assert_eq!(open.items.len(), 1);
    let id = open.items[0].id;
    assert_eq!(format!("sessions/{id}"), SESSION);
    assert_eq!(client.get_session(id).await.unwrap().state, SessionState::Open);
    let listing = SessionListing { show_ended: true, ..SessionListing::default() };
    let all: Vec<_> = client.list_all_sessions(listing).try_collect().await.unwrap();
    assert_eq!((all[1].state, all[1].reservations), (SessionState::Lost, 2));
}
