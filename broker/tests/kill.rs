//! `kill -9` at any moment: nothing that was acknowledged is lost, nothing is there twice or half.
//!
//! Workers change reservations and sessions of a real `tidegated` until it is killed in the middle
//! of it. After the restart, everything that was acknowledged must stand exactly; what was under
//! way is asked for again with the same request id and must have happened once or not at all.
//! The broker itself refuses to start on a state that is not sound.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "the summary of the run")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::daemon::{Daemon, configure};
use support::{Clients, GBIT, Rng, at_ms, beat, confirm, create, ms_of, release, topology};
use tidegate_proto::v1;
use tidegate_proto::v1::reservation::State;
use tonic::Code;

/// Concurrent workers, each with reservations of its own.
const WORKERS: u64 = 6;
/// Reservations last this long: longer than the test.
const LASTS_MS: i64 = 3_600_000;
const RATE: i64 = 1_000_000;

/// What one worker was told, and what it does not know.
#[derive(Debug)]
struct Worker {
    rng: Rng,
    /// The state that was acknowledged last.
    known: BTreeMap<String, State>,
    session: Option<String>,
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
}

impl Worker {
    fn new(seed: u64) -> Self {
        let (known, session) = (BTreeMap::new(), None);
        Self { rng: Rng(seed), known, session, under_way: None, acknowledged: 0 }
    }

    fn pick(&mut self, state: State) -> Option<String> {
        let mut names: Vec<&String> =
            self.known.iter().filter(|(_, it)| **it == state).map(|(name, _)| name).collect();
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
            return UnderWay::Release(release(&name));
        }
        if self.session.is_none() {
            let (agent, request_id) = ("worker".into(), support::request_id());
            let open = v1::OpenSessionRequest { request_id, agent, validate_only: false };
            return UnderWay::Open(open);
        }
        let mut request = create(RATE, LASTS_MS);
        request.hold_for = (roll.is_multiple_of(2)).then(|| support::span_ms(900_000));
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
        };
        self.known.insert(changed.name.clone(), changed.state());
        Ok(())
    }

    /// After a restart: everything acknowledged stands, and the call under way has happened once
    /// or not at all.
    async fn check(&mut self, clients: &Clients, found: &BTreeMap<String, v1::Reservation>) {
        let touched = match &self.under_way {
            Some(UnderWay::Confirm(request)) => request.name.clone(),
            Some(UnderWay::Release(request)) => request.name.clone(),
            Some(UnderWay::Create(_) | UnderWay::Open(_)) | None => String::new(),
        };
        for (name, state) in &self.known {
            let now =
                found.get(name).unwrap_or_else(|| panic!("{name} was {state:?}, and is lost"));
            assert!(now.state() == *state || *name == touched, "{name}: {state:?} became {now:?}");
        }
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
}

/// Everything that the broker has, and that its lanes carry exactly what lives.
async fn everything(clients: &Clients) -> BTreeMap<String, v1::Reservation> {
    let all = clients.list(true, 1000).await;
    let live = all.iter().filter(|it| it.state() != State::Closed);
    let instant = ms_of(clients.info().await.now.unwrap());
    let request = v1::ListResourcesRequest {
        start_time: Some(at_ms(instant)),
        end_time: Some(at_ms(instant + 1)),
        ..v1::ListResourcesRequest::default()
    };
    let lanes = clients.lanes(request).await;
    let read = lanes.iter().find(|lane| lane.name == "storage/swift/read").unwrap();
    let promised: i64 = live.map(|it| it.rate_bps).sum();
    assert_eq!(read.booked_bps, promised, "the lane carries what lives");
    all.into_iter().map(|it| (it.name.clone(), it)).collect()
}

#[allow(clippy::disallowed_methods, reason = "how long to run is said from outside")]
fn cycles() -> u64 {
    std::env::var("TIDEGATE_KILL_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(25)
}

/// One broker's life of `cycles` kills; the changes that were acknowledged.
async fn life(cycles: u64, seed: u64) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path(), "127.0.0.1:0", "");
    let mut rng = Rng(seed);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|it| Worker::new(seed ^ it)).collect();
    for cycle in 0..cycles {
        let daemon = Daemon::start(&config);
        let clients = Clients::connect(&daemon.address).await;
        if cycle == 0 {
            clients.apply(topology(100 * GBIT)).await;
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
    workers.iter().map(|worker| worker.acknowledged).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost() {
    let cycles = cycles();
    let (mut done, mut acknowledged) = (0, 0);
    while done < cycles {
        // Several lives, so that most kills meet a young broker and not a long replay.
        let next = (cycles - done).min(40);
        acknowledged += life(next, 0x7164_6761_7465 + done).await;
        done += next;
    }
    println!("{cycles} kills, {acknowledged} acknowledged changes, 0 lost");
    assert!(cycles * 10 < acknowledged, "the load was too thin to prove anything");
}
