//! The agents of a replay: who sends what when, by the plans that they were granted.
//!
//! An agent sends exactly what its plan says. Time passes by [`Agents::advance`] alone; whatever
//! changes a plan happens at the instant until which time has passed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tidegate_policy::{ByteCount, Interval, Timestamp};

use super::ledger::Ledger;

/// A rate for a time on some lanes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) over: Interval,
    /// In payload bits per second.
    pub(super) bps: u64,
    /// What it takes of each lane of the ledger, in bits per second of that lane.
    pub(super) loads: Vec<(usize, u64)>,
}

/// What one agent has to do and has done, in bits times 1000.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    /// It is done after so much; `None` never ends before its plan does.
    pub(super) wants: Option<u128>,
    pub(super) moved: u128,
    /// When it moved something last.
    pub(super) last: Option<Timestamp>,
    /// The lowest and the highest rate at which it moved anything, in bits per second.
    pub(super) rates: Option<(u64, u64)>,
}

#[derive(Clone, Debug, Default)]
struct Agent {
    pieces: Vec<Piece>,
    sending: Vec<usize>,
    bps: u64,
    since: Option<Timestamp>,
    work: Work,
    /// Counts its plans: what was to happen under an earlier one does not.
    plan: u32,
    /// Counts its rates: when it will be done follows from the present one.
    pace: u32,
}

/// What happens next to an agent, in this order within one instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Next {
    Ends { piece: usize, plan: u32 },
    Begins { piece: usize, plan: u32 },
    Done { pace: u32 },
}

/// All of them, by the numbers of their requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Agents {
    agents: Vec<Agent>,
    next: BinaryHeap<Reverse<(Timestamp, Next, usize)>>,
}

impl Agents {
    /// So many agents without a plan.
    pub(super) fn new(count: usize) -> Self {
        Self { agents: vec![Agent::default(); count], next: BinaryHeap::new() }
    }

    /// When something happens next by itself.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.next.peek().map(|Reverse((at, ..))| *at)
    }

    /// An agent's first plan, and after how much it is done.
    pub(super) fn start(&mut self, agent: usize, wants: Option<u128>, pieces: Vec<Piece>) {
        if let Some(found) = self.agents.get_mut(agent) {
            found.work.wants = wants;
            found.pieces = pieces;
        }
        self.schedule(agent, None);
    }

    /// What is to be done from `from` on is this instead; `now` is until when time has passed.
    pub(super) fn replace(
        &mut self,
        agent: usize,
        (now, from): (Timestamp, Timestamp),
        pieces: Vec<Piece>,
        ledger: &mut Ledger,
    ) {
        self.stop(agent, now, ledger);
        if let Some(found) = self.agents.get_mut(agent) {
            let before = found.pieces.drain(..).filter_map(|piece| {
                let over = Interval::new(piece.over.start().max(now), piece.over.end().min(from));
                over.map(|over| Piece { over, ..piece })
            });
            found.pieces = before.chain(pieces).collect();
        }
        self.schedule(agent, Some(now));
    }

    /// It sends nothing from then on.
    pub(super) fn close(&mut self, agent: usize, now: Timestamp, ledger: &mut Ledger) {
        self.replace(agent, (now, now), Vec::new(), ledger);
    }

    /// What an agent has done until time was last advanced.
    pub(super) fn work(&self, agent: usize) -> Work {
        self.agents.get(agent).map(|found| found.work.clone()).unwrap_or_default()
    }

    /// Lets time pass until then; tells who was done on the way.
    pub(super) fn advance(&mut self, to: Timestamp, ledger: &mut Ledger) -> Vec<usize> {
        let mut done = Vec::new();
        while let Some(Reverse((at, next, agent))) = self.next.peek().copied()
            && at <= to
        {
            self.next.pop();
            if self.step(agent, at, next, ledger) {
                done.push(agent);
            }
        }
        done
    }

    /// Everything that one of them has moved until then.
    pub(super) fn count(&mut self, agent: usize, at: Timestamp) -> ByteCount {
        let Some(found) = self.agents.get_mut(agent) else { return ByteCount::ZERO };
        found.count(at);
        ByteCount::new(u64::try_from(found.work.moved / 8000).unwrap_or(u64::MAX))
    }

    /// Lets one thing happen; whether the agent is done by it.
    fn step(&mut self, agent: usize, at: Timestamp, next: Next, ledger: &mut Ledger) -> bool {
        let Some(found) = self.agents.get_mut(agent) else { return false };
        match next {
            Next::Begins { piece, plan } if plan == found.plan => {
                found.count(at);
                let Some(begun) = found.pieces.get(piece) else { return false };
                begun.loads.iter().for_each(|(lane, bps)| ledger.begin(*lane, at, *bps));
                found.bps = found.bps.saturating_add(begun.bps);
                found.sending.push(piece);
            }
            Next::Ends { piece, plan } if plan == found.plan => {
                found.count(at);
                let Some(ended) = found.pieces.get(piece) else { return false };
                ended.loads.iter().for_each(|(lane, bps)| ledger.end(*lane, at, *bps));
                found.bps = found.bps.saturating_sub(ended.bps);
                found.sending.retain(|sent| *sent != piece);
            }
            Next::Done { pace } => {
                if pace == found.pace {
                    found.count(at);
                }
                return pace == found.pace;
            }
            Next::Begins { .. } | Next::Ends { .. } => return false,
        }
        found.pace = found.pace.saturating_add(1);
        if let Some(when) = found.done_at(at) {
            let done = Next::Done { pace: found.pace };
            self.next.push(Reverse((when, done, agent)));
        }
        false
    }

    fn stop(&mut self, agent: usize, now: Timestamp, ledger: &mut Ledger) {
        let Some(found) = self.agents.get_mut(agent) else { return };
        found.count(now);
        for piece in found.sending.drain(..).filter_map(|piece| found.pieces.get(piece)) {
            piece.loads.iter().for_each(|(lane, bps)| ledger.end(*lane, now, *bps));
        }
        found.bps = 0;
        found.plan = found.plan.saturating_add(1);
        found.pace = found.pace.saturating_add(1);
    }

    fn schedule(&mut self, agent: usize, now: Option<Timestamp>) {
        let Some(found) = self.agents.get_mut(agent) else { return };
        let plan = found.plan;
        for (piece, it) in found.pieces.iter().enumerate() {
            let begin = now.map_or(it.over.start(), |now| it.over.start().max(now));
            self.next.push(Reverse((begin, Next::Begins { piece, plan }, agent)));
            self.next.push(Reverse((it.over.end(), Next::Ends { piece, plan }, agent)));
        }
    }
}

impl Agent {
    /// Counts what it moved until then.
    fn count(&mut self, at: Timestamp) {
        if let Some(over) = self.since.and_then(|since| Interval::new(since, at))
            && self.bps != 0
        {
            let moved = u128::from(self.bps) * u128::from(over.span().as_ms());
            self.work.moved = self.work.moved.saturating_add(moved);
            self.work.last = Some(at);
            let (low, high) = self.work.rates.unwrap_or((self.bps, self.bps));
            self.work.rates = Some((low.min(self.bps), high.max(self.bps)));
        }
        self.since = Some(at);
    }

    /// When it will have moved all that it wants, at the present rate.
    fn done_at(&self, now: Timestamp) -> Option<Timestamp> {
        let left = self.work.wants?.saturating_sub(self.work.moved);
        if left == 0 {
            return Some(now);
        }
        let ms = left.div_ceil(u128::from(Some(self.bps).filter(|bps| *bps != 0)?));
        let ms = i64::try_from(ms).ok()?;
        Timestamp::from_ms(now.as_ms().checked_add(ms)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms).unwrap()
    }

    fn piece(from: i64, to: i64, bps: u64) -> Piece {
        Piece { over: Interval::new(at(from), at(to)).unwrap(), bps, loads: vec![(0, bps)] }
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(Interval::new(at(0), at(1000)).unwrap());
        ledger.lane(&tidegate_core::lane::LaneName::new("links/a/forward"), at(0));
        ledger
    }

    #[test]
    fn an_agent_sends_what_its_plan_says_and_is_done_to_the_millisecond() {
        let (mut agents, mut ledger) = (Agents::new(1), ledger());
        agents.start(0, Some(1_050), vec![piece(10, 20, 100), piece(30, 40, 7)]);
        assert!(agents.advance(at(25), &mut ledger).is_empty());
        assert_eq!(agents.work(0).moved, 1_000);
        assert_eq!(agents.work(0).last, Some(at(20)));
        assert_eq!(agents.work(0).rates, Some((100, 100)));
        // 50 more at 7 take 8 ms.
        assert!(agents.advance(at(37), &mut ledger).is_empty());
        assert_eq!(agents.advance(at(38), &mut ledger), [0]);
        agents.close(0, at(38), &mut ledger);
        agents.advance(at(100), &mut ledger);
        assert_eq!((agents.work(0).moved, agents.work(0).rates), (1_056, Some((7, 100))));
        // The lane is known to no topology, so that all of it is too much.
        assert_eq!(ledger.overbooked(at(100)), 1_056);
    }

    #[test]
    fn who_ends_with_its_plan_is_done_too() {
        let (mut agents, mut ledger) = (Agents::new(1), ledger());
        agents.start(0, Some(1_000), vec![piece(10, 20, 100)]);
        assert!(agents.advance(at(19), &mut ledger).is_empty());
        assert_eq!(agents.advance(at(20), &mut ledger), [0]);
    }

    #[test]
    fn a_plan_is_replaced_from_an_instant_on() {
        let (mut agents, mut ledger) = (Agents::new(1), ledger());
        agents.start(0, None, vec![piece(0, 100, 10), piece(200, 300, 10)]);
        agents.advance(at(20), &mut ledger);
        agents.replace(0, (at(20), at(50)), vec![piece(50, 60, 30), piece(50, 60, 1)], &mut ledger);
        agents.advance(at(400), &mut ledger);
        assert_eq!((agents.work(0).moved, agents.work(0).rates), (500 + 310, Some((10, 31))));
        assert_eq!(ledger.overbooked(at(400)), 810);
        assert_eq!(agents.next(), None);
    }
}
