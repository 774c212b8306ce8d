//! `kill -9` at any moment: nothing that was acknowledged is lost, nothing is there twice or half.
//!
//! Workers change reservations, sessions and the topology of a real `tidegated` until it is killed
//! in the middle of it. After the restart, everything that was acknowledged must stand exactly; what was under
//! way is asked for again with the same request id and must have happened once or not at all.
//! The broker itself refuses to start on a state that is not sound.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "the summary of the run")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::daemon::{Daemon, configure, run, said};
use support::{
    Clients, GBIT, Rng, at_ms, beat, confirm, create, eventually, ms_of, release, request_id,
    topology,
};
use tidegate_proto::v1;
use tidegate_proto::v1::CloseReason;
use tidegate_proto::v1::reservation::State;
use tonic::Code;

/// Concurrent workers, each with reservations of its own.
const WORKERS: u64 = 6;
/// Reservations last this long: longer than the test.
const LASTS_MS: i64 = 3_600_000;
const RATE: i64 = 1_000_000;
const LINK_BPS: i64 = 100 * GBIT;

/// What one worker was told, and what it does not know.
#[derive(Debug)]
struct Worker {
    rng: Rng,
    /// Every reservation as it was acknowledged last.
    known: BTreeMap<String, v1::Reservation>,
    session: Option<String>,
    /// What the link was raised to last, in bits per second: one of them does that.
    raised: Option<i64>,
    under_way: Option<UnderWay>,
    acknowledged: u64,
}

/// A call that was not answered.
#[derive(Clone, Debug)]
enum UnderWay {
    Create(v1::CreateReservationRequest),
    Confirm(v1::ConfirmReservationRequest),
    Release(v1::ReleaseReservationRequest),
    Open(v1::OpenSessionRequest),
    Close(v1::CloseSessionRequest),
    Raise(v1::ApplyTopologyRequest),
}

/// What must not change by itself, whatever happens to the broker.
fn lasting(it: &v1::Reservation) -> v1::Reservation {
    v1::Reservation { phase: 0, close_time: None, used_bytes: 0, ..support::still(it.clone()) }
}

/// Whether a hold lapsed by itself, and not before its time.
fn lapsed(before: &v1::Reservation, now: &v1::Reservation) -> bool {
    let due = before.hold_until_time.filter(|_| now.close_reason() == CloseReason::Expired);
    due.zip(now.close_time).is_some_and(|(due, at)| ms_of(due) <= ms_of(at))
}

/// What the link of a topology carries.
fn link_bps(topology: &v1::Topology) -> i64 {
    topology.links[0].capacity.unwrap().out_bps
}

impl Worker {
    fn new(seed: u64, raises: bool) -> Self {
        let raised = raises.then_some(LINK_BPS);
        let (known, session) = (BTreeMap::new(), None);
        Self { rng: Rng(seed), known, session, raised, under_way: None, acknowledged: 0 }
    }

    fn pick(&mut self, state: State) -> Option<String> {
        // A hold that may lapse before the call comes is left to lapse.
        let now =
            ms_of(self.known.values().filter_map(|it| it.create_time).max_by_key(|at| ms_of(*at))?);
        let lasts = |it: &v1::Reservation| {
            it.hold_until_time.is_none_or(|until| now + 60_000 < ms_of(until))
        };
        let fits = |it: &v1::Reservation| it.state() == state && lasts(it);
        let mut names: Vec<&String> =
            self.known.iter().filter(|(_, it)| fits(it)).map(|(name, _)| name).collect();
        let place = self.rng.below(u64::try_from(names.len()).unwrap().max(1));
        let place = usize::try_from(place).unwrap();
        (place < names.len()).then(|| names.swap_remove(place).clone())
    }

    /// The next call, at random.
    fn choose(&mut self) -> UnderWay {
        let roll = self.rng.below(100);
        if roll < 25
            && let Some(name) = self.pick(State::Held)
        {
            return UnderWay::Confirm(confirm(&name));
        }
        let state = if roll.is_multiple_of(2) { State::Held } else { State::Confirmed };
        if roll < 60
            && let Some(name) = self.pick(state)
        {
            // Its holder gives it back, so that its lanes are free at once.
            let session = self.known[&name].session.clone();
            return UnderWay::Release(v1::ReleaseReservationRequest { session, ..release(&name) });
        }
        let (request_id, validate_only) = (request_id(), false);
        let Some(session) = self.session.clone() else {
            let open = v1::OpenSessionRequest { request_id, agent: "worker".into(), validate_only };
            return UnderWay::Open(open);
        };
        if (60..62).contains(&roll) {
            let close = v1::CloseSessionRequest { name: session, request_id, validate_only };
            return UnderWay::Close(close);
        }
        if let Some(before) = self.raised.filter(|_| (62..70).contains(&roll)) {
            let topology = Some(topology(before + GBIT));
            return UnderWay::Raise(v1::ApplyTopologyRequest {
                topology,
                request_id,
                validate_only,
                ..Default::default()
            });
        }
        let mut request = create(RATE, LASTS_MS);
        let short = i64::try_from(self.rng.below(2000)).unwrap() + 1;
        let kind = self.rng.below(10);
        let hold_ms = if kind == 0 { short } else { 900_000 };
        request.hold_for = (kind < 5).then(|| support::span_ms(hold_ms));
        // Bound ones end with their session; those that lapse by themselves have none.
        if kind % 2 == 1 {
            request.session = session;
        }
        UnderWay::Create(request)
    }

    /// Calls until the broker is gone.
    async fn work(mut self, clients: Clients) -> Self {
        loop {
            let call = self.choose();
            self.under_way = Some(call.clone());
            if self.make(&clients, call).await.is_err() {
                return self;
            }
            self.under_way = None;
            self.acknowledged += 1;
        }
    }

    /// Makes one call and notes its answer; the error is that of a broker that was killed.
    async fn make(&mut self, clients: &Clients, call: UnderWay) -> Result<(), Code> {
        let mut reservations = clients.reservations.clone();
        let code = |status: tonic::Status| status.code();
        let changed = match call {
            UnderWay::Create(request) => {
                let answer = reservations.create_reservation(request).await.map_err(code)?;
                support::granted(answer.into_inner())
            }
            UnderWay::Confirm(request) => {
                reservations.confirm_reservation(request).await.map_err(code)?.into_inner()
            }
            UnderWay::Release(request) => {
                reservations.release_reservation(request).await.map_err(code)?.into_inner()
            }
            UnderWay::Open(request) => {
                let opened = clients.sessions.clone().open_session(request).await;
                self.session = Some(opened.map_err(code)?.into_inner().name);
                return Ok(());
            }
            UnderWay::Close(request) => {
                let name = request.name.clone();
                clients.sessions.clone().close_session(request).await.map_err(code)?;
                self.session_closed(&name);
                return Ok(());
            }
            UnderWay::Raise(request) => {
                let raised = request.topology.as_ref().map(link_bps);
                clients.topology.clone().apply_topology(request).await.map_err(code)?;
                self.raised = raised;
                return Ok(());
            }
        };
        self.known.insert(changed.name.clone(), changed);
        Ok(())
    }

    /// What is bound to a session is released with it.
    fn session_closed(&mut self, name: &str) {
        self.session = None;
        let bound = self.known.values_mut().filter(|it| it.session == name);
        for it in bound.filter(|it| it.state() != State::Closed) {
            it.set_state(State::Closed);
            it.set_close_reason(CloseReason::Released);
            it.hold_until_time = None;
            it.plan_version += 1;
            let etag: u64 = it.etag.trim_matches('"').parse().unwrap();
            it.etag = format!("\"{}\"", etag + 1);
        }
    }

    /// A session that was being closed is closed with everything that is bound to it, or not.
    fn check_whole(&self, closing: &str, found: &BTreeMap<String, v1::Reservation>) {
        let bound = self.known.values().filter(|it| it.session == closing);
        let live = bound.filter(|it| it.state() != State::Closed);
        let now: Vec<State> = live.map(|it| found[&it.name].state()).collect();
        let closed = now.iter().filter(|state| **state == State::Closed).count();
        assert!(closed == 0 || closed == now.len(), "{closed} of {} closed", now.len());
    }

    /// After a restart: everything acknowledged stands, and the call under way has happened once
    /// or not at all.
    async fn check(&mut self, clients: &Clients, found: &BTreeMap<String, v1::Reservation>) {
        let touched = match &self.under_way {
            Some(UnderWay::Confirm(request)) => request.name.clone(),
            Some(UnderWay::Release(request)) => request.name.clone(),
            Some(UnderWay::Close(request)) => {
                self.check_whole(&request.name, found);
                request.name.clone()
            }
            Some(UnderWay::Create(_) | UnderWay::Open(_) | UnderWay::Raise(_)) | None => {
                String::new()
            }
        };
        for (name, before) in &mut self.known {
            let now = found.get(name).unwrap_or_else(|| panic!("lost: {before:?}"));
            let under_way = !touched.is_empty() && (*name == touched || now.session == touched);
            let same = lasting(now) == lasting(before);
            assert!(same || under_way || lapsed(before, now), "{before:?} became {now:?}");
            if !under_way {
                *before = now.clone();
            }
        }
        self.check_link(clients).await;
        if let Some(call) = self.under_way.take() {
            self.make(clients, call.clone()).await.unwrap();
            let once = self.known.len();
            self.make(clients, call).await.unwrap();
            assert_eq!(self.known.len(), once, "asked three times, done more than once");
        }
        if let Some(session) = &self.session {
            let answer = clients.beat(beat(session, 1)).await;
            assert_eq!(answer.session.unwrap().state(), v1::session::State::Open, "{session}");
        }
    }

    /// The topology is the last one acknowledged, or the one under way.
    async fn check_link(&self, clients: &Clients) {
        let Some(raised) = self.raised else { return };
        let asked = v1::ExportTopologyRequest {};
        let stands = clients.topology.clone().export_topology(asked).await.unwrap().into_inner();
        let next = match &self.under_way {
            Some(UnderWay::Raise(request)) => request.topology.as_ref().map(link_bps),
            _ => None,
        };
        let bps = link_bps(&stands);
        assert!(bps == raised || Some(bps) == next, "{bps} stands, {raised} was acknowledged");
    }
}

/// Everything that the broker has, and that its lanes carry exactly what lives.
async fn everything(clients: &Clients) -> BTreeMap<String, v1::Reservation> {
    let instant = ms_of(clients.info().await.now.unwrap());
    let request = v1::ListResourcesRequest {
        start_time: Some(at_ms(instant)),
        end_time: Some(at_ms(instant + 1)),
        ..v1::ListResourcesRequest::default()
    };
    // All of it at one state of the ledger: holds lapse meanwhile.
    let (all, lanes) = eventually("nothing changes for a moment", || async {
        let before = clients.info().await.journal_sequence;
        let all = clients.list(true, 1000).await;
        let lanes = clients.lanes(request.clone()).await;
        (clients.info().await.journal_sequence == before).then_some((all, lanes))
    })
    .await;
    let live = all.iter().filter(|it| it.state() != State::Closed);
    let mut promised: BTreeMap<&str, i64> = BTreeMap::new();
    for booking in live.flat_map(|it| &it.bookings) {
        *promised.entry(&booking.lane).or_default() += booking.booked_bps;
    }
    for lane in &lanes {
        let expected = promised.remove(lane.name.as_str()).unwrap_or(0);
        assert_eq!(lane.booked_bps, expected, "{} carries what lives", lane.name);
    }
    assert!(promised.is_empty(), "{promised:?}");
    all.into_iter().map(|it| (it.name.clone(), it)).collect()
}

#[allow(clippy::disallowed_methods, reason = "how long to run is said from outside")]
fn cycles() -> u64 {
    std::env::var("TIDEGATE_KILL_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(25)
}

/// One broker's life of `cycles` kills, with `more` in its configuration; the changes that were
/// acknowledged. In the end the journal is sound from end to end.
async fn life(cycles: u64, seed: u64, more: &str) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path(), "127.0.0.1:0", more);
    let mut rng = Rng(seed);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|it| Worker::new(seed ^ it, it == 0)).collect();
    for cycle in 0..cycles {
        let daemon = Daemon::start(&config);
        let clients = Clients::connect(&daemon.address).await;
        if cycle == 0 {
            clients.apply(topology(LINK_BPS)).await;
        }
        let found = everything(&clients).await;
        for worker in &mut workers {
            worker.check(&clients, &found).await;
        }
        // Counted after everything under way was asked for again: nothing is there that nobody
        // asked for.
        let known: usize = workers.iter().map(|worker| worker.known.len()).sum();
        assert_eq!(everything(&clients).await.len(), known, "cycle {cycle} of seed {seed}");
        let mut tasks = Vec::new();
        for worker in workers.drain(..) {
            let clients = Clients::connect(&daemon.address).await;
            tasks.push(tokio::spawn(worker.work(clients)));
        }
        tokio::time::sleep(Duration::from_millis(5 + rng.below(145))).await;
        daemon.kill();
        for task in tasks {
            workers.push(task.await.unwrap());
        }
    }
    let audit = run(&["audit", directory.path().join("journal").to_str().unwrap()]);
    assert!(audit.status.success(), "seed {seed}: {}", said(&audit));
    let dropped = !said(&audit).contains("batches    1 to");
    assert!(!dropped || !more.is_empty(), "dropped without a need: {}", said(&audit));
    // A short life may end before its second snapshot.
    assert!(dropped || more.is_empty() || cycles < 10, "nothing was dropped: {}", said(&audit));
    workers.iter().map(|worker| worker.acknowledged).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost() {
    let cycles = cycles();
    let (mut done, mut acknowledged) = (0, 0);
    while done < cycles {
        // Several lives, so that most kills meet a young broker and not a long replay.
        let next = (cycles - done).min(40);
        acknowledged += life(next, 0x7164_6761_7465 + done, "").await;
        done += next;
    }
    println!("{cycles} kills, {acknowledged} acknowledged changes, 0 lost");
    assert!(cycles * 10 < acknowledged, "the load was too thin to prove anything");
}

/// As above, but whenever it is killed it is making a snapshot or dropping what one replaces.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_snapshots_are_made_and_batches_dropped() {
    let cycles = cycles().div_ceil(2);
    let (mut done, mut acknowledged) = (0, 0);
    while done < cycles {
        let next = (cycles - done).min(40);
        let often = "[snapshots]\nafter_batches = 4";
        acknowledged += life(next, 0x736e_6170 + done, often).await;
        done += next;
    }
    println!("{cycles} kills, {acknowledged} acknowledged changes, 0 lost");
    assert!(cycles * 10 < acknowledged, "the load was too thin to prove anything");
}
