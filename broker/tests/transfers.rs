//! Volumes by a deadline, over the wire: granted as plans that add up, refused with offers that
//! hold, moved to make room and told of it, and the same after a restart.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::daemon::{run, said};
use support::{
    Clients, GBIT, Served, at_ms, beat, create, granted, ms_of, release, request_id, still,
    topology,
};
use tidegate_broker::Config;
use tidegate_broker::config::{JournalPlace, SnapshotConfig};
use tidegate_policy::Span;
use tidegate_proto::v1;
use tidegate_proto::v1::counter_offer::Kind as Offered;
use tidegate_proto::v1::create_reservation_request::Shape;
use tidegate_proto::v1::create_reservation_response::Outcome;
use tidegate_proto::v1::reservation::Promise;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

const HOUR_MS: i64 = 3_600_000;
const LINK: i64 = 10 * GBIT;
const SPINE: &str = "links/spine/forward";

async fn served(config: Config) -> Served {
    let served = Served::start(config).await;
    let mut topology = topology(LINK);
    let capacity = v1::Capacity { out_bps: LINK, reserved_ppm: Some(0), ..Default::default() };
    topology.links[0].capacity = Some(capacity);
    served.clients.apply(topology).await;
    served
}

async fn now_ms(clients: &Clients) -> i64 {
    ms_of(clients.info().await.now.unwrap())
}

fn transfer(volume_bytes: i64, start_ms: Option<i64>, deadline_ms: i64) -> v1::Transfer {
    v1::Transfer {
        volume_bytes,
        max_bps: LINK,
        start_time: start_ms.map(at_ms),
        deadline: Some(at_ms(deadline_ms)),
        ..v1::Transfer::default()
    }
}

fn asks(transfer: v1::Transfer) -> v1::CreateReservationRequest {
    v1::CreateReservationRequest { shape: Some(Shape::Transfer(transfer)), ..create(1, 1) }
}

fn rigid(rate_bps: i64, start_ms: i64, duration_ms: i64) -> v1::CreateReservationRequest {
    let mut request = create(rate_bps, duration_ms);
    if let Some(Shape::Rigid(rigid)) = &mut request.shape {
        rigid.start_time = Some(at_ms(start_ms));
    }
    request
}

async fn ask(clients: &Clients, request: v1::CreateReservationRequest) -> Outcome {
    let answer = clients.reservations.clone().create_reservation(request).await.unwrap();
    answer.into_inner().outcome.unwrap()
}

async fn refused(clients: &Clients, request: v1::CreateReservationRequest) -> v1::Refusal {
    match ask(clients, request).await {
        Outcome::Refusal(no) => no,
        Outcome::Reservation(it) => panic!("granted: {it:?}"),
    }
}

fn over(segment: &v1::Segment) -> (i64, i64) {
    (ms_of(segment.start_time.unwrap()), ms_of(segment.end_time.unwrap()))
}

/// What segments carry, in bits per second times milliseconds.
fn carried(segments: &[v1::Segment]) -> i128 {
    let one = |it: &v1::Segment| i128::from(it.rate_bps) * i128::from(over(it).1 - over(it).0);
    segments.iter().map(one).sum()
}

/// What a plan for so many bytes has to carry: one in a hundred more.
fn booked_for(bytes: i64) -> i128 {
    (i128::from(bytes) * 8000 * 101 + 99) / 100
}

/// That a plan carries a volume: to the bit, but for a last rate in whole bits per second.
fn adds_up(plan: &[v1::Segment], bytes: i64) {
    let last = plan.iter().max_by_key(|it| over(it).1).unwrap();
    let more = carried(plan) - booked_for(bytes);
    assert!((0..i128::from(over(last).1 - over(last).0)).contains(&more), "{more}: {plan:?}");
}

/// What plans hold of the link at any instant is at most what it has.
fn fits(plans: &[&v1::Reservation]) {
    let mut turns: BTreeMap<i64, i64> = BTreeMap::new();
    for segment in plans.iter().flat_map(|plan| &plan.segments) {
        *turns.entry(over(segment).0).or_default() += segment.rate_bps;
        *turns.entry(over(segment).1).or_default() -= segment.rate_bps;
    }
    let mut level = 0;
    for (at, turn) in turns {
        level += turn;
        assert!(level <= LINK, "{level} bit/s at {at}: {plans:?}");
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
async fn a_volume_is_granted_as_a_plan_that_adds_up() {
    let served = served(Config::ephemeral(JournalPlace::Memory)).await;
    let clients = &served.clients;
    let at = now_ms(clients).await + HOUR_MS;
    // Others have the most of the link for a while, nearly all of it for another, then it is free.
    let before = [
        clients.create(rigid(7 * GBIT, at, 10_000)).await,
        clients.create(rigid(LINK - 7_000_000, at + 10_000, 5_007)).await,
    ];
    let volume = 12_345_678_901;
    let wanted = transfer(volume, Some(at), at + 60_000);
    let made = clients.create(asks(wanted)).await;
    adds_up(&made.segments, volume);
    fits(&[&before[0], &before[1], &made]);
    assert_eq!(made.promise, Some(Promise::Transfer(wanted)));
    assert_eq!(made.ways.len(), 1, "{made:?}");
    assert_eq!(
        (made.ways[0].source.as_str(), made.source.as_str()),
        ("storage/swift", "storage/swift")
    );
    let lanes: Vec<&str> = made.bookings.iter().map(|it| it.lane.as_str()).collect();
    assert_eq!(made.ways[0].lanes, lanes);
    let (start, end) = (over(&made.segments[0]).0, over(made.segments.last().unwrap()).1);
    assert_eq!(made.segments.iter().map(over).map(|it| it.1).max(), Some(end));
    assert_eq!((ms_of(made.start_time.unwrap()), ms_of(made.end_time.unwrap())), (start, end));
    assert_eq!(made.rate_bps, made.segments.iter().map(|it| it.rate_bps).max().unwrap());
    // What it carries in those pieces of time is what the others leave.
    let rates: Vec<(i64, i64)> =
        made.segments.iter().map(|it| (over(it).0 - at, it.rate_bps)).collect();
    assert_eq!(rates[..2], [(0, 3 * GBIT), (10_000, 7_000_000)], "{rates:?}");
    assert_eq!(rates[2].0, 15_007);
    assert_eq!(clients.get(&made.name).await.segments.len(), made.segments.len());
    served.stop().await;
}

/// Asks for what is offered until nothing of it is left to ask, each by itself.
async fn take_each(clients: &Clients, no: &v1::Refusal, kinds: &[Offered]) {
    let told: Vec<Offered> = no.offers.iter().map(v1::CounterOffer::kind).collect();
    assert_eq!(told, kinds, "{no:?}");
    for offer in &no.offers {
        let request = v1::CreateReservationRequest {
            request_id: request_id(),
            shape: Some(Shape::OfferToken(offer.token.clone())),
            ..Default::default()
        };
        let made = match ask(clients, request).await {
            Outcome::Reservation(made) => made,
            Outcome::Refusal(again) => panic!("{offer:?} does not hold: {again:?}"),
        };
        let Some(Promise::Transfer(promised)) = made.promise else { panic!("{made:?}") };
        assert_eq!(promised.volume_bytes, offer.volume_bytes);
        assert_eq!(promised.deadline, offer.end_time);
        assert_eq!(made.source, offer.source);
        adds_up(&made.segments, offer.volume_bytes);
        clients.reservations.clone().release_reservation(release(&made.name)).await.unwrap();
    }
}

#[tokio::test]
async fn each_offer_of_a_volume_holds_when_it_is_taken() {
    let served = served(Config::ephemeral(JournalPlace::Memory)).await;
    let clients = &served.clients;
    let at = now_ms(clients).await + HOUR_MS;
    clients.create(rigid(7 * GBIT + 1, at + 3_000, 10_000)).await;
    for split in [false, true] {
        // Twice what the window carries, from either of two backends at the same link.
        let wanted = v1::Transfer { split, ..transfer(10_000_000_000, Some(at), at + 10_007) };
        let mut request = asks(wanted);
        request.sources.push("storage/glance".into());
        let no = refused(clients, request).await;
        take_each(clients, &no, &[Offered::LaterFinish, Offered::LessInTime]).await;
        let [later, less] = &no.offers[..] else { unreachable!() };
        assert_eq!(later.volume_bytes, 10_000_000_000);
        assert!(less.volume_bytes < 10_000_000_000 && less.end_time == Some(at_ms(at + 10_007)));
    }
    served.stop().await;
}

/// Whoever asks from now on takes an offer a little later.
#[tokio::test]
async fn an_offer_from_now_on_holds_when_it_is_taken() {
    let served = served(Config::ephemeral(JournalPlace::Memory)).await;
    let clients = &served.clients;
    let deadline = now_ms(clients).await + 20_000;
    let no = refused(clients, asks(transfer(100_000_000_000, None, deadline))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    take_each(clients, &no, &[Offered::LaterFinish, Offered::LessInTime]).await;
    served.stop().await;
}

#[tokio::test]
async fn offers_hold_where_a_plan_would_take_many_segments() {
    let served = served(Config::ephemeral(JournalPlace::Memory)).await;
    let clients = &served.clients;
    let at = now_ms(clients).await + HOUR_MS;
    for place in 0..100 {
        clients.create(rigid(GBIT + place, at + place * 20, 10)).await;
    }
    let no = refused(clients, asks(transfer(1 << 40, Some(at), at + 2_000))).await;
    take_each(clients, &no, &[Offered::LaterFinish, Offered::LessInTime]).await;
    served.stop().await;
}

#[tokio::test]
async fn a_batch_has_offers_of_its_own_for_each_request() {
    let served = served(Config::ephemeral(JournalPlace::Memory)).await;
    let clients = &served.clients;
    let at = now_ms(clients).await + HOUR_MS;
    let entry = |bytes| v1::CreateReservationRequest {
        request_id: String::new(),
        ..asks(transfer(bytes, Some(at), at + 8_000))
    };
    // The first fits, the next two do not.
    let requests = vec![entry(5_000_000_000), entry(20_000_000_000), entry(30_000_000_000)];
    let batch = v1::BatchCreateReservationsRequest {
        request_id: request_id(),
        requests,
        ..Default::default()
    };
    let answer = clients.reservations.clone().batch_create_reservations(batch).await.unwrap();
    let mut responses = answer.into_inner().responses.into_iter();
    let made = granted(responses.next().unwrap());
    adds_up(&made.segments, 5_000_000_000);
    for (response, bytes) in responses.zip([20_000_000_000, 30_000_000_000]) {
        let Some(Outcome::Refusal(no)) = response.outcome else { panic!("{response:?}") };
        assert_eq!(no.offers[0].volume_bytes, bytes);
        take_each(clients, &no, &[Offered::LaterFinish, Offered::LessInTime]).await;
    }
    served.stop().await;
}

#[tokio::test]
async fn a_batch_is_asked_for_again_week_after_week() {
    const WEEK_MS: i64 = 7 * 24 * HOUR_MS;
    let served = served(Config::ephemeral(JournalPlace::Memory)).await;
    let clients = &served.clients;
    let at = now_ms(clients).await + HOUR_MS;
    // One of the weeks is taken.
    clients.create(rigid(LINK, at + WEEK_MS, HOUR_MS)).await;
    let entry = |request| v1::CreateReservationRequest { request_id: String::new(), ..request };
    let batch = v1::BatchCreateReservationsRequest {
        request_id: request_id(),
        weeks: 3,
        requests: vec![
            entry(rigid(GBIT, at, HOUR_MS)),
            entry(asks(transfer(1_000_000, Some(at), at + 2 * HOUR_MS))),
        ],
        ..Default::default()
    };
    let answer = clients.reservations.clone().batch_create_reservations(batch.clone()).await;
    let answer = answer.unwrap().into_inner();
    let starts = answer.responses.iter().map(|response| match &response.outcome {
        Some(Outcome::Reservation(it)) => Some(ms_of(it.start_time.unwrap()) - at),
        _ => None,
    });
    let starts: Vec<Option<i64>> = starts.collect();
    let expected =
        [Some(0), Some(0), None, Some(WEEK_MS + HOUR_MS), Some(2 * WEEK_MS), Some(2 * WEEK_MS)];
    assert_eq!(starts, expected);
    let again = clients.reservations.clone().batch_create_reservations(batch).await.unwrap();
    let names = |answer: &v1::BatchCreateReservationsResponse| -> Vec<Option<String>> {
        let name = |it: &v1::CreateReservationResponse| match &it.outcome {
            Some(Outcome::Reservation(it)) => Some(it.name.clone()),
            _ => None,
        };
        answer.responses.iter().map(name).collect()
    };
    assert_eq!(names(&again.into_inner()), names(&answer), "asked again");
    served.stop().await;
}

/// An agent: a session, and the stream on which it sends beats and hears of changes.
struct Agent {
    beats: mpsc::Sender<v1::KeepAliveRequest>,
    answers: Streaming<v1::KeepAliveResponse>,
    session: String,
    sequence: i64,
}

impl Agent {
    async fn open(clients: &Clients) -> Self {
        let session = clients.open("agent-1").await.name;
        let (beats, sent) = mpsc::channel(4);
        beats.send(beat(&session, 1)).await.unwrap();
        let sent = ReceiverStream::new(sent);
        let answers = clients.sessions.clone().keep_alive(sent).await.unwrap().into_inner();
        let mut agent = Self { beats, answers, session, sequence: 1 };
        assert_eq!(agent.hear().await.sequence, 1);
        agent
    }

    async fn hear(&mut self) -> v1::KeepAliveResponse {
        let heard = tokio::time::timeout(Duration::from_secs(30), self.answers.message()).await;
        heard.expect("something is said").unwrap().unwrap()
    }

    /// Says which plan of a reservation it obeys, and hears how that stands.
    async fn obeys(&mut self, reservation: &str, plan_version: i64) -> v1::GrantStatus {
        self.sequence += 1;
        let (reservation, used_bytes) = (reservation.into(), 0);
        let usage = vec![v1::Usage { reservation, used_bytes, plan_version, ..Default::default() }];
        let beat = v1::KeepAliveRequest { usage, ..beat(&self.session, self.sequence) };
        self.beats.send(beat).await.unwrap();
        let answer = self.hear().await;
        assert_eq!(answer.sequence, self.sequence, "{answer:?}");
        answer.grants.into_iter().next().unwrap()
    }

    fn asks(&self, wanted: v1::Transfer) -> v1::CreateReservationRequest {
        let session = self.session.clone();
        v1::CreateReservationRequest { session, movable: true, ..asks(wanted) }
    }
}

/// A lease of a second: what lies two seconds ahead may move.
fn brisk(journal: JournalPlace) -> Config {
    let mut config = Config::ephemeral(journal);
    config.session.beat_every = Span::from_ms(100).unwrap();
    config.session.lease = Span::from_secs(1);
    config.session.grace = Span::from_secs(60);
    config
}

fn has_moved(status: &v1::GrantStatus) -> bool {
    status.notices.iter().any(|it| it.kind() == v1::notice::Kind::Moved)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_moves_for_a_rigid_request_and_its_holder_is_told() {
    let served = served(brisk(JournalPlace::Memory)).await;
    let clients = &served.clients;
    let mut agent = Agent::open(clients).await;
    let now = now_ms(clients).await;
    // Sixteen seconds of the whole link, with a minute of room behind them.
    let volume = 20_000_000_000;
    let made = clients.create(agent.asks(transfer(volume, None, now + 60_000))).await;
    assert!(made.movable);
    assert_eq!((made.plan_version, made.segments.len()), (1, 1), "{made:?}");
    let still_there = agent.obeys(&made.name, 1).await;
    assert!(!has_moved(&still_there) && still_there.movable, "{still_there:?}");
    assert_eq!((still_there.segments.len(), still_there.ways), (1, made.ways.clone()));
    let urgent = clients.create(rigid(LINK, now + 6_000, 5_000)).await;
    let poke = agent.hear().await;
    assert_eq!((poke.sequence, poke.grants.len()), (0, 0), "it answers no beat");
    let moved = clients.get(&made.name).await;
    assert_eq!((moved.plan_version, &moved.etag), (2, &made.etag), "nobody asked for a change");
    adds_up(&moved.segments, volume);
    fits(&[&moved, &urgent]);
    assert_eq!(booked(clients, now + 6_000, now + 11_000).await, LINK, "it is booked once");
    assert_eq!(clients.info().await.moved_count, 1);
    let told = agent.obeys(&made.name, 1).await;
    assert!(has_moved(&told), "{told:?}");
    let heard: Vec<_> = told.segments.iter().map(|it| (it.way, it.rate_bps, over(it))).collect();
    let stands: Vec<_> = moved.segments.iter().map(|it| (it.way, it.rate_bps, over(it))).collect();
    assert_eq!((heard, told.ways), (stands, moved.ways.clone()));
    assert_eq!(told.plan_version, 2);
    let obeyed = agent.obeys(&made.name, 2).await;
    assert!(!has_moved(&obeyed), "told once: {obeyed:?}");
    for (from, to) in [(0, 6_000), (6_000, 11_000), (11_000, 60_000)] {
        let most = booked(clients, now + from, now + to).await;
        assert!(most <= LINK, "{most} bit/s are booked from {from} to {to} ms");
    }
    // What it gave up is free for others once it is over, and nothing else is.
    let end = ms_of(moved.end_time.unwrap());
    clients.reservations.clone().release_reservation(release(&urgent.name)).await.unwrap();
    assert_eq!(booked(clients, now + 6_000, now + 11_000).await, 0);
    assert_eq!(booked(clients, end, end + HOUR_MS).await, 0);
    served.stop().await;
}

/// A move is a change that a watcher is told of.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_is_told_to_watchers() {
    let served = served(brisk(JournalPlace::Memory)).await;
    let clients = &served.clients;
    let agent = Agent::open(clients).await;
    let now = now_ms(clients).await;
    let made = clients.create(agent.asks(transfer(20_000_000_000, None, now + 60_000))).await;
    let request = v1::WatchReservationsRequest { filter: "movable".into(), ..Default::default() };
    let mut told =
        clients.reservations.clone().watch_reservations(request).await.unwrap().into_inner();
    clients.create(rigid(LINK, now + 6_000, 5_000)).await;
    let moved = loop {
        let it = told.message().await.unwrap().unwrap().reservation.unwrap_or_default();
        if it.plan_version == 2 {
            break it;
        }
        assert!(it.name.is_empty() || it.name == made.name, "only this one can move: {it:?}");
    };
    assert_eq!(still(moved), still(clients.get(&made.name).await));
    served.stop().await;
}

/// Everything, but for what is counted from now.
async fn everything(clients: &Clients) -> Vec<v1::Reservation> {
    let all = clients.list(true, 1000).await.into_iter();
    all.map(|it| v1::Reservation { phase: 0, ..still(it) }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_the_same_after_a_restart() {
    for after_batches in [1_000_000, 1] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = brisk(JournalPlace::Directory(dir.path().join("journal")));
        config.snapshots = SnapshotConfig { after_batches, ..config.snapshots };
        let first = served(config.clone()).await;
        let clients = &first.clients;
        let agent = Agent::open(clients).await;
        let now = now_ms(clients).await;
        let wanted = transfer(20_000_000_000, None, now + 600_000);
        let movable = clients.create(agent.asks(wanted)).await;
        clients.create(rigid(LINK, now + 6_000, 5_000)).await;
        let mut several = asks(v1::Transfer {
            split: true,
            ..transfer(7_777, Some(now + HOUR_MS), now + 2 * HOUR_MS)
        });
        several.sources.push("storage/glance".into());
        (several.priority, several.preemptible) = (3, true);
        clients.create(several).await;
        let window = v1::Flexible {
            min_bps: GBIT,
            max_bps: 2 * GBIT,
            duration: Some(support::span_ms(1_000)),
            window_start_time: Some(at_ms(now + HOUR_MS)),
            window_end_time: Some(at_ms(now + 2 * HOUR_MS)),
        };
        let shape = Some(Shape::Flexible(window));
        clients.create(v1::CreateReservationRequest { shape, ..create(1, 1) }).await;
        assert_eq!(clients.get(&movable.name).await.plan_version, 2, "it has moved");
        if after_batches == 1 {
            first.broker.snapshot().await.unwrap();
        }
        let all = everything(clients).await;
        first.stop().await;
        let output = run(&["audit", dir.path().join("journal").to_str().unwrap()]);
        let report = said(&output);
        assert!(output.status.success() && report.contains("the journal is sound"), "{report}");
        let snapshot = report.contains("snapshot   after batch");
        assert_eq!(snapshot, after_batches == 1, "{report}");
        let second = Served::start(config).await;
        assert_eq!(everything(&second.clients).await, all);
        second.stop().await;
    }
}
