//! The broker of a world: the real machine and the real clock, in the hands of a writer without
//! tasks and a journal without a disk.

use std::sync::OnceLock;

use tidegate_broker::config::{Config, JournalPlace, SessionConfig};
use tidegate_broker::law::{self, Beat, Steady};
use tidegate_core::event::{MoveWhy, RequestMark};
use tidegate_core::lane::{LaneName, LaneNeed};
use tidegate_core::topology::spec::{Capacity, Framing, HostSpec, NicSpec, Node, StorageSpec};
use tidegate_core::{
    Answer, Change, CloseWhy, Command, Event, Fault, Limits, Machine, Note, Request, Stamp,
    TopologySpec,
};
use tidegate_policy::{BitRate, ByteCount, Name, RequestId, SessionId, Span, Timestamp};
use tidegate_proto::v1;

/// The wall clock when a world begins, in milliseconds.
const WALL: i64 = 1_800_000_000_000;
/// What each lane carries at most, in bits per second.
pub(crate) const CAPACITY: u64 = 1000;
/// The lanes; the first one books headers on top.
pub(crate) const LANES: [&str; 3] =
    ["hosts/h/nics/eth0/ingress", "storage/s/read", "storage/s/write"];

pub(crate) struct Server {
    pub(crate) machine: Machine,
    pub(crate) session: SessionConfig,
    pub(crate) is_up: bool,
    /// When it was started last: what was under way to it before is lost.
    pub(crate) started: i64,
    /// What has happened to whom that is counted, until it is.
    pub(crate) happened: Vec<(&'static str, Option<SessionId>)>,
    journal: Vec<Event>,
    clock: Steady,
    /// How far the wall clock was set, in milliseconds.
    wall: i64,
    serial: u128,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn spec() -> TopologySpec {
    let rate = BitRate::from_bps(CAPACITY).unwrap();
    let capacity = Capacity {
        out: rate,
        back: rate,
        total: None,
        reserved_ppm: Some(0),
        allocation_ratio_ppm: None,
    };
    let framing = Framing::default();
    let nic = NicSpec { name: name("eth0"), switch: name("w"), capacity, framing };
    let storage = StorageSpec {
        name: name("s"),
        place: Node::Switch(name("w")),
        capacity,
        served_via: Vec::new(),
        mirrors: Vec::new(),
        tier: None,
    };
    TopologySpec {
        hosts: vec![HostSpec { name: name("h"), nics: vec![nic] }],
        switches: vec![name("w")],
        storage: vec![storage],
        ..TopologySpec::default()
    }
}

/// The event that declares the lanes.
fn declared() -> &'static Event {
    static DECLARED: OnceLock<Event> = OnceLock::new();
    DECLARED.get_or_init(|| {
        let at = Timestamp::from_ms(WALL).unwrap();
        let change =
            Change::TopologyApplied { spec: spec().into(), version: 1, losses: Default::default() };
        Event { at, request: None, change }
    })
}

/// What a request of so many lanes needs of each.
pub(crate) fn needs() -> &'static [LaneNeed] {
    static NEEDS: OnceLock<Vec<LaneNeed>> = OnceLock::new();
    NEEDS.get_or_init(|| {
        let mut machine = Machine::new(Limits::default());
        machine.apply(declared()).unwrap();
        let names: Vec<LaneName> = LANES.iter().map(|lane| LaneName::new(lane)).collect();
        machine.topology().lane_needs(&names).unwrap()
    })
}

/// What is counted of a change.
fn counted(change: &Change) -> Option<&'static str> {
    Some(match change {
        Change::Moved(moved) => match moved.why {
            MoveWhy::Room => "moved for others",
            MoveWhy::CapacityLost => "moved off lost capacity",
            MoveWhy::Lagging => "moved because it lags",
            MoveWhy::Preempted => "moved for a higher priority",
            MoveWhy::Asked => "moved to other terms",
        },
        Change::Closed { why: CloseWhy::NoShow, .. } => "no-shows",
        Change::Closed { why: CloseWhy::Preempted, .. } => "preempted",
        _ => return None,
    })
}

impl Server {
    pub(crate) fn new(beat: u32, lease: u32, grace: u32) -> Self {
        let mut session = Config::ephemeral(JournalPlace::Memory).session;
        session.beat_every = Span::from_secs(beat);
        session.lease = Span::from_secs(lease);
        session.grace = Span::from_secs(grace);
        let limits = Limits { lease: session.lease, grace: session.grace, ..Limits::default() };
        let mut machine = Machine::new(limits);
        machine.apply(declared()).unwrap();
        let clock = Steady::starting(0, WALL, machine.clock());
        Self {
            machine,
            session,
            is_up: true,
            started: 0,
            happened: Vec::new(),
            journal: vec![declared().clone()],
            clock,
            wall: 0,
            serial: 0,
        }
    }

    /// The broker's now at a time of the world.
    pub(crate) fn now(&mut self, time: i64) -> Timestamp {
        let now = self.clock.advance(time, WALL + time + self.wall);
        Timestamp::from_ms(now).unwrap().max(self.machine.clock())
    }

    /// Somebody sets its wall clock.
    pub(crate) fn set_wall(&mut self, by: i64) {
        self.wall += by;
    }

    pub(crate) fn wall(&self) -> i64 {
        self.wall
    }

    fn fresh(&mut self, now: Timestamp) -> u128 {
        self.serial += 1;
        (u128::try_from(now.as_ms()).unwrap() << 80) | (7 << 76) | (2 << 62) | self.serial
    }

    /// A request that was made just now.
    pub(crate) fn request(&mut self, time: i64, command: Command) -> Request {
        let now = self.now(time);
        let id = RequestId::from_u128(self.fresh(now));
        Request { mark: RequestMark { id, fingerprint: [0; 32] }, command }
    }

    fn apply(&mut self, events: &[Event], concerned: &mut Vec<SessionId>) {
        for event in events {
            self.machine.apply(event).unwrap();
            self.journal.push(event.clone());
            let id = match &event.change {
                Change::Closed { id, .. }
                | Change::Curtailed { id, .. }
                | Change::Confirmed { id } => *id,
                Change::Modified(modified) => modified.id,
                Change::Moved(moved) => moved.id,
                _ => continue,
            };
            let session = self.machine.reservation(id).and_then(|found| found.session);
            self.happened.extend(counted(&event.change).map(|what| (what, session)));
            concerned.extend(session);
        }
    }

    /// Lets happen what is due. Returns the sessions that hear of it.
    pub(crate) fn due(&mut self, time: i64) -> (Vec<SessionId>, Vec<Event>) {
        let now = self.now(time);
        let (mut concerned, mut all) = (Vec::new(), Vec::new());
        loop {
            let due = self.machine.due(now);
            if due.is_empty() {
                concerned.extend(self.machine.reshare(now));
                return (concerned, all);
            }
            self.apply(&due, &mut concerned);
            all.extend(due);
        }
    }

    /// Decides as the writer does, what was due before.
    pub(crate) fn decide(
        &mut self,
        time: i64,
        request: &Request,
        concerned: &mut Vec<SessionId>,
    ) -> Result<(Answer, Timestamp), Fault> {
        let now = self.now(time);
        let stamp = Stamp { now, fresh: self.fresh(now) };
        let decision = self.machine.decide(stamp, request)?;
        if let Answer::Refusal(refusal) = &decision.answer {
            if self.machine.claim(now, request, refusal) {
                self.happened.push(("live rates asked to give way", None));
            }
            let (mark, refusal) = (request.mark, refusal.clone());
            self.machine.note(&Note::Refused { mark, refusal, at: now });
        }
        self.apply(&decision.events, concerned);
        concerned.extend(self.machine.reshare(now));
        Ok((decision.answer, now))
    }

    /// Answers a beat; `None` if there is no such session.
    pub(crate) fn beat(
        &mut self,
        time: i64,
        beat: &Beat,
    ) -> Option<(v1::KeepAliveResponse, bool, Vec<SessionId>)> {
        let now = self.now(time);
        let heard = law::hear(&mut self.machine, now, beat).unwrap()?;
        let settled = !heard.events.is_empty();
        self.journal.extend(heard.events);
        let session = Some(law::session(&heard.beaten.session, &self.machine, &self.session));
        let (sequence, grants) = (beat.sequence, heard.beaten.grants);
        Some((v1::KeepAliveResponse { sequence, session, grants }, settled, heard.news))
    }

    /// A reservation as it is answered.
    pub(crate) fn told(
        &self,
        found: &tidegate_core::Reservation,
        now: Timestamp,
    ) -> v1::Reservation {
        law::reservation(found, now, ByteCount::ZERO)
    }

    /// It starts again and replays its journal.
    pub(crate) fn restart(&mut self, time: i64) {
        let mut machine = Machine::new(self.machine.limits().clone());
        for event in &self.journal {
            machine.apply(event).unwrap();
        }
        assert!(machine.same_ledger(&self.machine), "replay leads to where it was");
        self.machine = machine;
        // A broker that starts follows the wall clock at once. What was promised before is then
        // told by another clock than its holders count on, so somebody sets it right first.
        self.wall = 0;
        self.clock = Steady::starting(time, WALL + time + self.wall, self.machine.clock());
        let now = self.now(time);
        self.machine.resume(now);
        (self.is_up, self.started) = (true, time);
    }
}
