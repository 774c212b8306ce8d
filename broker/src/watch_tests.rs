use std::collections::BTreeMap;

use proptest::prelude::*;
use tidegate_core::{Limits, Machine, Request, Stamp};
use tidegate_policy::{ByteCount, Span, Timestamp};
use uuid::Uuid;

use super::*;
use crate::changes::Changes;
use crate::convert::{network, reads, request};
use crate::reports::fact::Reporter;

/// A broker without journal and wire: what is decided is published when the test says so.
struct House {
    view: Arc<View>,
    machine: Machine,
    now: Timestamp,
    sequence: u64,
    fresh: u128,
    events: Vec<tidegate_core::Event>,
    watching: Watching,
    stop: CancellationToken,
}

fn topology() -> v1::Topology {
    let capacity = Some(v1::Capacity { out_bps: 1_000_000_000_000, ..Default::default() });
    let nic = v1::Nic { name: "eth0".into(), switch: "s".into(), capacity, framing: None };
    let storage = v1::Storage {
        name: "swift".into(),
        place: Some(v1::storage::Place::Switch("s".into())),
        capacity,
        ..Default::default()
    };
    v1::Topology {
        hosts: vec![v1::Host { name: "h".into(), nics: vec![nic] }],
        switches: vec![v1::Switch { name: "s".into() }],
        storage: vec![storage],
        ..Default::default()
    }
}

impl House {
    fn new(changes: usize) -> Self {
        let second = Span::from_secs(1);
        let limits = Limits { retain: second, request_window: second, ..Limits::default() };
        let machine = Machine::new(limits);
        let view =
            Arc::new(View::new(machine.clone(), 0, Changes::new(7, changes, 0), Reporter::new().0));
        let stop = CancellationToken::new();
        let watching = Watching::start(1, Arc::clone(&view), stop.clone());
        let now = Timestamp::from_ms(1_800_000_000_000).unwrap();
        let (sequence, fresh, events) = (0, 1, Vec::new());
        let mut house = Self { view, machine, now, sequence, fresh, events, watching, stop };
        let apply = v1::ApplyTopologyRequest {
            topology: Some(topology()),
            request_id: house.request_id(),
            ..Default::default()
        };
        house.decide(&network::apply_topology(&apply).unwrap().request);
        house.publish();
        house
    }

    fn request_id(&mut self) -> String {
        self.fresh += 1;
        let ms = u128::try_from(self.now.as_ms()).unwrap();
        Uuid::from_u128(ms << 80 | 7 << 76 | 2 << 62 | self.fresh).to_string()
    }

    fn decide(&mut self, request: &Request) {
        self.fresh += 1;
        let stamp = Stamp { now: self.now, fresh: self.fresh };
        let decision = self.machine.decide(stamp, request).unwrap();
        self.follow(decision.events);
    }

    fn follow(&mut self, events: Vec<tidegate_core::Event>) {
        for event in &events {
            self.machine.apply(event).unwrap();
        }
        self.events.extend(events);
    }

    fn create(&mut self, rate_bps: i64, held: bool) {
        let until = v1::rigid::Until::Duration(prost_types::Duration { seconds: 600, nanos: 0 });
        let rigid = v1::Rigid { rate_bps, start_time: None, until: Some(until) };
        let message = v1::CreateReservationRequest {
            request_id: self.request_id(),
            sources: vec!["storage/swift".into()],
            destination: "hosts/h".into(),
            hold_for: held.then_some(prost_types::Duration { seconds: 60, nanos: 0 }),
            shape: Some(v1::create_reservation_request::Shape::Rigid(rigid)),
            ..Default::default()
        };
        self.decide(&request::create(&message).unwrap().request);
    }

    /// Confirms or releases one that stands.
    fn end(&mut self, pick: usize, confirm: bool) {
        let live = |it: &&Reservation| {
            it.is_live() && (!confirm || it.state != tidegate_core::State::Confirmed)
        };
        let ids: Vec<_> = self.machine.reservations(None).filter(live).map(|it| it.id).collect();
        let Some(id) = ids.get(pick % ids.len().max(1)) else { return };
        let (name, request_id) = (reply::unknown_name(*id), self.request_id());
        let checked = if confirm {
            let message = v1::ConfirmReservationRequest { name, request_id, ..Default::default() };
            request::confirm(&message)
        } else {
            let message = v1::ReleaseReservationRequest { name, request_id, ..Default::default() };
            request::release(&message)
        };
        self.decide(&checked.unwrap().request);
    }

    /// Time passes, and with it all that is due.
    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(Span::from_ms(ms).unwrap());
        loop {
            let due = self.machine.due(self.now);
            if due.is_empty() {
                return;
            }
            self.follow(due);
        }
    }

    fn publish(&mut self) {
        if !self.events.is_empty() {
            self.sequence += 1;
        }
        let events = std::mem::take(&mut self.events);
        self.view.publish(&events, &[], Vec::new(), self.sequence).unwrap();
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Create { rate, held } => self.create(rate, held),
            Action::Confirm(pick) => self.end(pick, true),
            Action::Release(pick) => self.end(pick, false),
            Action::Pass(ms) => self.pass(ms),
            Action::Publish => self.publish(),
        }
    }

    fn watch(&self, filter: &str, token: &str) -> Stream {
        let message = v1::WatchReservationsRequest {
            filter: filter.into(),
            resume_token: token.into(),
            ..Default::default()
        };
        let reads::Watch { scope, token } = reads::watch(&message).unwrap();
        let clock = Arc::new(Clock::starting_at(self.now));
        let (watcher, told) = Watcher::new(
            Arc::clone(&self.view),
            clock,
            self.watching.moved(),
            self.stop.clone(),
            scope,
        );
        Stream { told, end: tokio::spawn(watcher.run(token)) }
    }

    /// What a filter holds for, of what is published: what stands, and what was closed after
    /// `since` or then.
    fn picture(&self, filter: &str, since: Timestamp) -> Picture {
        let message = v1::WatchReservationsRequest { filter: filter.into(), ..Default::default() };
        let scope = reads::watch(&message).unwrap().scope;
        let published = self.view.read();
        let all = published.machine.reservations(None).filter(|it| match it.state {
            tidegate_core::State::Closed { at, .. } => since <= at,
            _ => true,
        });
        let all = all.map(|it| reply::reservation(it, self.now, ByteCount::ZERO));
        all.filter(|it| scope.holds(it)).map(|it| (it.name.clone(), it.state)).collect()
    }
}

/// Names and states.
type Picture = BTreeMap<String, i32>;

struct Stream {
    told: mpsc::Receiver<Told>,
    end: tokio::task::JoinHandle<Option<Failure>>,
}

impl Stream {
    /// What is told up to the next bookmark: everything that was published by now.
    async fn read(&mut self) -> Vec<Told> {
        let mut all = Vec::new();
        while let Some(told) = self.told.recv().await {
            if told.kind() == Kind::Bookmark {
                break;
            }
            all.push(told);
        }
        all
    }
}

/// Follows what was told, and fails where it makes no sense.
fn follow(picture: &mut Picture, told: &[Told]) {
    for told in told {
        let it = told.reservation.clone().unwrap_or_default();
        match told.kind() {
            Kind::Reset => picture.clear(),
            Kind::Stands => assert_eq!(picture.insert(it.name, it.state), None, "{told:?}"),
            Kind::Changed => {
                let before = picture.insert(it.name, it.state);
                let confirmed = i32::from(v1::reservation::State::Confirmed);
                assert!(before != Some(it.state) || it.state < confirmed, "told twice: {told:?}");
            }
            Kind::Left => assert!(picture.remove(&it.name).is_some(), "never told: {told:?}"),
            Kind::Synced | Kind::Bookmark | Kind::Unspecified => {}
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    Create { rate: i64, held: bool },
    Confirm(usize),
    Release(usize),
    Pass(u64),
    Publish,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1_i64..6, any::<bool>()).prop_map(|(rate, held)| Action::Create { rate, held }),
        3 => any::<usize>().prop_map(Action::Confirm),
        3 => any::<usize>().prop_map(Action::Release),
        2 => (1_u64..40_000).prop_map(Action::Pass),
        6 => Just(Action::Publish),
    ]
}

const FILTERS: [&str; 4] =
    ["", "rate_bps > 2", "state == 'HELD'", "state != 'CLOSED' && rate_bps in [1, 3, 5]"];

/// Everything that one watch is told from the beginning on, and where it may be cut.
async fn uncut(house: &mut House, actions: &[Action], filter: &str) -> Vec<Told> {
    let began = house.now;
    let mut stream = house.watch(filter, "");
    let mut told = stream.read().await;
    for action in actions {
        house.act(action);
    }
    house.publish();
    told.extend(stream.read().await);
    let mut picture = Picture::new();
    follow(&mut picture, &told);
    assert_eq!(picture, house.picture(filter, began), "{filter}");
    told
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn wherever_a_watch_is_cut_it_goes_on_without_gap_and_repetition(
        before in prop::collection::vec(action(), 0..20),
        actions in prop::collection::vec(action(), 1..60),
        which in 0..FILTERS.len(),
    ) {
        paused().block_on(async {
            let mut house = House::new(10_000);
            for action in &before {
                house.act(action);
            }
            house.publish();
            // What closed just now is told apart from what closes from now on.
            house.pass(1);
            let filter = FILTERS[which];
            let told = uncut(&mut house, &actions, filter).await;
            let synced = told.iter().position(|it| it.kind() == Kind::Synced).unwrap();
            for cut in synced..told.len() {
                let mut stream = house.watch(filter, &told[cut].resume_token);
                let again = stream.read().await;
                let names = |told: &[Told]| -> Vec<_> {
                    let name = |it: &Told| {
                        let about = it.reservation.clone().unwrap_or_default();
                        (it.kind, about.name, about.state, it.resume_token.clone())
                    };
                    told.iter().map(name).collect()
                };
                assert_eq!(names(&again), names(&told[cut + 1..]), "cut behind {cut}");
            }
            house.stop.cancel();
        });
    }
}

#[test]
fn what_changes_during_a_snapshot_is_told_once() {
    paused().block_on(async {
        for filter in FILTERS {
            let mut house = House::new(10_000);
            for index in 0..700 {
                house.create(1 + index % 5, index % 2 == 0);
            }
            house.end(3, false);
            house.publish();
            house.pass(1);
            let began = house.now;
            // Only so much is read ahead; then the snapshot stands in its midst.
            let mut stream = house.watch(filter, "");
            let mut told = Vec::new();
            for round in 0..10 {
                tokio::task::yield_now().await;
                house.end(round * 97, false);
                house.end(round * 61, true);
                house.create(3, true);
                house.publish();
                for _ in 0..30 {
                    told.extend(stream.told.recv().await.filter(|it| it.kind() != Kind::Bookmark));
                }
            }
            told.extend(stream.read().await);
            house.pass(61_000);
            house.publish();
            told.extend(stream.read().await);
            let mut picture = Picture::new();
            follow(&mut picture, &told);
            assert_eq!(picture, house.picture(filter, began), "{filter}");
            assert_eq!(told.iter().filter(|it| it.kind() == Kind::Synced).count(), 1);
            house.stop.cancel();
        }
    });
}

#[test]
fn what_is_forgotten_leaves_if_it_was_told() {
    paused().block_on(async {
        let mut house = House::new(10_000);
        house.create(1, false);
        house.end(0, false);
        house.publish();
        house.pass(1);
        let mut stream = house.watch("", "");
        assert_eq!(stream.read().await.len(), 2, "what was closed before does not stand");
        house.create(2, false);
        house.end(0, false);
        house.publish();
        let told = stream.read().await;
        let kinds: Vec<Kind> = told.iter().map(Told::kind).collect();
        assert_eq!(kinds, [Kind::Changed, Kind::Changed]);
        let name = told[0].reservation.clone().unwrap().name;
        house.pass(10_000);
        house.publish();
        assert_eq!(house.picture("", Timestamp::EPOCH).len(), 0);
        let told = stream.read().await;
        let left = v1::Reservation { name, ..Default::default() };
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].kind(), told[0].reservation.clone()), (Kind::Left, Some(left)));
        house.stop.cancel();
    });
}

#[test]
fn a_token_that_is_too_old_or_of_another_process_begins_anew() {
    paused().block_on(async {
        let mut house = House::new(16);
        let mut stream = house.watch("", "");
        let old = stream.read().await.pop().unwrap().resume_token;
        for _ in 0..17 {
            house.create(1, false);
            house.publish();
        }
        let other = format!("w1-{:016x}{}", 8, &old[19..]);
        for token in [&old, &other] {
            let told = house.watch("", token).read().await;
            assert_eq!(told[0].kind(), Kind::Reset);
            assert_eq!(told.len(), 19, "all 17 stand");
        }
        let wrong = ["x", &old[1..], &format!("{old}0")];
        for token in wrong {
            let resume_token = token.to_string();
            let message = v1::WatchReservationsRequest { resume_token, ..Default::default() };
            assert_eq!(reads::watch(&message).unwrap_err()[0].field, "resume_token", "{token}");
        }
        let filter = "rate_bps > 1".into();
        let message =
            v1::WatchReservationsRequest { filter, resume_token: old, ..Default::default() };
        assert!(reads::watch(&message).unwrap_err()[0].why.contains("another parent or filter"));
        house.stop.cancel();
    });
}

#[test]
fn who_reads_too_slowly_is_cut_in_time_to_resume() {
    paused().block_on(async {
        let mut house = House::new(1000);
        let mut slow = house.watch("", "");
        let mut quick = house.watch("", "");
        let (mut told, mut cut) = (slow.read().await, None);
        quick.read().await;
        for index in 0..2000 {
            house.create(1, false);
            house.publish();
            tokio::task::yield_now().await;
            assert_eq!(quick.told.recv().await.unwrap().kind(), Kind::Changed, "{index}");
            if slow.end.is_finished() && cut.is_none() {
                cut = Some(index);
                // It had 64 waiting, then was given as long as the ring lasts, less an eighth.
                assert!((900..1000).contains(&index), "{index}");
                while let Ok(more) = slow.told.try_recv() {
                    told.push(more);
                }
            }
            if cut.is_some_and(|cut| cut + 30 == index) {
                break;
            }
        }
        let Some(Failure::WatchBehind(Some(token))) = slow.end.await.unwrap() else { panic!() };
        assert_eq!(Some(&token), told.last().map(|last| &last.resume_token));
        let mut resumed = house.watch("", &token);
        told.extend(resumed.read().await);
        let mut picture = Picture::new();
        follow(&mut picture, &told);
        assert_eq!(picture, house.picture("", Timestamp::EPOCH));
        assert!(told.iter().skip(1).all(|it| it.kind() != Kind::Reset), "it resumed");
        house.stop.cancel();
    });
}
