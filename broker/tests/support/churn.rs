//! A broker's life without a network and without waiting: the core decides, the journal keeps,
//! snapshots are made and batches dropped as when a broker serves, and time passes by itself.

#![allow(dead_code, unreachable_pub, reason = "each user takes a part of it")]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use tidegate_broker::durable;
use tidegate_broker::journal::{EmbeddedJournal, Journal, Seq};
use tidegate_broker::snapshots;
use tidegate_core::command::{Ask, Release, Shape, Until};
use tidegate_core::event::RequestMark;
use tidegate_core::topology::spec::{
    Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, StorageSpec, TopologySpec,
};
use tidegate_core::{Answer, Command, Event, Limits, Machine, Request, Stamp, Terms, Ways};
use tidegate_policy::{
    BitRate, ByteCount, Name, ProjectId, RequestId, ReservationId, Span, Timestamp,
};

const BEGIN_MS: u64 = 1_767_225_600_000;
/// The most batches dropped at once, as when a broker serves.
const TRUNCATE_MAX: u64 = 1024;

/// How much churn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Reservations that live at once.
    pub(crate) live: usize,
    /// Events of an append.
    pub(crate) events: usize,
    /// Appends between snapshots.
    pub(crate) batches: u64,
    /// How much time passes from one reservation to the next.
    pub(crate) pause_ms: u64,
}

pub(crate) struct Churn {
    scale: Scale,
    dir: PathBuf,
    pub(crate) machine: Machine,
    pub(crate) journal: EmbeddedJournal,
    live: VecDeque<ReservationId>,
    waiting: Vec<Event>,
    now_ms: u64,
    fresh: u128,
    since: u64,
    /// All bytes that were appended.
    pub(crate) appended: u64,
    /// The size of the directory after each truncation.
    pub(crate) sizes: Vec<u64>,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A link between a backend and a host that carries everything.
fn spec() -> TopologySpec {
    let rate: BitRate = "1Pbit".parse().unwrap();
    let capacity = Capacity {
        out: rate,
        back: rate,
        total: None,
        reserved_ppm: Some(0),
        allocation_ratio_ppm: None,
    };
    let framing = Framing::none();
    let nic = NicSpec { name: name("eth0"), switch: name("west"), capacity, framing };
    TopologySpec {
        hosts: vec![HostSpec { name: name("compute-1"), nics: vec![nic] }],
        switches: vec![name("east"), name("west")],
        links: vec![LinkSpec {
            name: name("spine"),
            from: name("east"),
            to: name("west"),
            capacity,
            framing,
            cost: 1,
            bundle: None,
        }],
        storage: vec![StorageSpec {
            name: name("swift"),
            place: Node::Switch(name("east")),
            capacity,
            served_via: Vec::new(),
            mirrors: Vec::new(),
            tier: None,
        }],
        routes: Vec::new(),
        steerings: Vec::new(),
    }
}

impl Churn {
    /// Begins in an empty directory, at `begin_ms` or long ago.
    pub(crate) fn begin(dir: &Path, scale: Scale, begin_ms: Option<u64>) -> Self {
        // Short memory: as much is forgotten as is made.
        let limits = Limits { retain: Span::from_secs(1200), ..Limits::default() };
        let mut churn = Self {
            scale,
            dir: dir.into(),
            machine: Machine::new(limits),
            journal: EmbeddedJournal::open(dir).unwrap(),
            live: VecDeque::new(),
            waiting: Vec::new(),
            now_ms: begin_ms.unwrap_or(BEGIN_MS),
            fresh: 0,
            since: 0,
            appended: 0,
            sizes: Vec::new(),
        };
        churn.ask(Command::ApplyTopology { spec: spec().into(), accept_losses: false });
        churn
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(i64::try_from(self.now_ms).unwrap()).unwrap()
    }

    fn ask(&mut self, command: Command) -> Answer {
        self.fresh += 1;
        let stamp = Stamp { now: self.now(), fresh: self.fresh };
        let bits = u128::from(self.now_ms) << 80 | 7 << 76 | 2 << 62 | self.fresh;
        let mark = RequestMark { id: RequestId::from_u128(bits), fingerprint: [7; 32] };
        let decision = self.machine.decide(stamp, &Request { mark, command }).unwrap();
        self.follow(decision.events);
        decision.answer
    }

    fn follow(&mut self, events: Vec<Event>) {
        for event in &events {
            self.machine.apply(event).unwrap();
        }
        self.waiting.extend(events);
    }

    /// One reservation more, and the oldest given back if there are enough.
    pub(crate) fn step(&mut self) {
        self.now_ms += self.scale.pause_ms;
        loop {
            let due = self.machine.due(self.now());
            if due.is_empty() {
                break;
            }
            self.follow(due);
        }
        let shape = Shape::Rigid {
            rate: "1Mbit".parse().unwrap(),
            start: None,
            until: Until::After(Span::from_secs(86_400)),
        };
        let ask = Ask {
            owner: ProjectId::default_project().into(),
            ways: Ways::Between {
                sources: vec!["storage/swift".parse().unwrap()],
                destination: "hosts/compute-1".parse().unwrap(),
                via: Vec::new(),
                path: None,
            },
            shape,
            terms: Terms::default(),
            hold_for: None,
            session: None,
            hold_best_offer: false,
            movable: false,
            standing: tidegate_core::Standing::default(),
        };
        let Answer::Reservation(made) = self.ask(Command::Reserve(ask.into())) else {
            panic!("refused")
        };
        self.live.push_back(made.id);
        if self.scale.live < self.live.len() {
            let id = self.live.pop_front().unwrap();
            let release = Release { target: id.into(), holder: None, used: ByteCount::ZERO };
            self.ask(Command::Release(release));
        }
        if self.scale.events <= self.waiting.len() {
            self.append();
        }
    }

    /// Makes what happened durable, and a snapshot when it is time.
    pub(crate) fn append(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let batch = durable::encode(&std::mem::take(&mut self.waiting));
        let (epoch, Seq(head)) = (self.journal.epoch(), self.journal.head());
        self.journal.append(epoch, Seq(head + 1), &batch).unwrap();
        self.appended += u64::try_from(batch.len()).unwrap();
        self.since += 1;
        if self.scale.batches <= self.since {
            self.since = 0;
            self.snapshot();
        }
    }

    fn snapshot(&mut self) {
        let limits = self.machine.limits().clone();
        let made = snapshots::make(&self.journal.readers(), &limits, &|| false).unwrap();
        if let Some(permit) = made.truncation {
            while self.journal.truncate_some(&permit, TRUNCATE_MAX).unwrap() {}
        }
        self.sizes.push(size(&self.dir));
    }
}

/// The bytes of all files of a directory.
pub(crate) fn size(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}
