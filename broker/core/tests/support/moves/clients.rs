//! Those who hold sessions: they hear what the broker says in beats and answers, send by that and
//! by nothing else, and stop by their own count when they hear nothing.

use std::collections::BTreeMap;

use tidegate_core::{Machine, Note, Reservation, State};
use tidegate_policy::{ByteCount, ReservationId, SessionId};

use super::draw::at;
use super::levels::{Lanes, plan_into};

/// How somebody behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mood {
    /// Beats, sends by its plans, and reports all of it in time.
    Prompt,
    /// Beats and sends, and never reports.
    Quiet,
    /// Beats, sends nothing and says so.
    Idle,
    /// Moves so many of a thousand bytes.
    Lagging(u64),
    /// Its beats are often lost.
    Flaky,
    /// Never heard of again.
    Gone,
}

pub(super) struct Client {
    pub(super) session: SessionId,
    pub(super) mood: Mood,
    /// What it knows of its reservations.
    pub(super) known: BTreeMap<ReservationId, Reservation>,
    /// When it was heard last, as both sides know.
    heard: i64,
    /// It has been heard since it behaves as it does: before, its count may have run out.
    settled: bool,
    /// When it beats next.
    pub(super) next: i64,
    /// What it has moved, in bits per second times milliseconds.
    pub(super) sent: BTreeMap<ReservationId, u128>,
    /// Those whose every plan it has known in time.
    pub(super) faithful: BTreeMap<ReservationId, bool>,
}

impl Client {
    pub(super) fn new(session: SessionId, mood: Mood, now: i64) -> Self {
        let (known, sent, faithful) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (heard, settled, next) = (now, true, now);
        Self { session, mood, known, heard, settled, next, sent, faithful }
    }

    pub(super) fn becomes(&mut self, mood: Mood) {
        self.mood = mood;
        self.settled = false;
        self.faithful.values_mut().for_each(|faithful| *faithful = false);
    }

    /// It is told how a reservation of its stands.
    pub(super) fn learn(&mut self, found: &Reservation) {
        if found.session != Some(self.session) {
            return;
        }
        let held = matches!(found.state, State::Held { .. });
        let prompt = self.mood == Mood::Prompt && self.settled;
        let faithful = prompt && !held && found.plan_version == 1;
        self.faithful.entry(found.id).or_insert(faithful);
        self.known.insert(found.id, found.clone());
    }

    /// It is told how everything of its stands.
    pub(super) fn hear(&mut self, now: i64, machine: &Machine) {
        self.heard = now;
        self.settled = true;
        let all = machine.reservations(None).filter(|it| it.session == Some(self.session));
        let all: Vec<Reservation> = all.cloned().collect();
        self.known.clear();
        for found in &all {
            self.learn(found);
        }
    }

    /// What it says that it has moved, of each.
    pub(super) fn reports(&self, now: i64) -> Vec<Note> {
        let per_mille = match self.mood {
            Mood::Prompt | Mood::Flaky => 1000,
            Mood::Lagging(per_mille) => u128::from(per_mille),
            Mood::Idle => 0,
            Mood::Quiet | Mood::Gone => return Vec::new(),
        };
        let live = self.known.iter().filter(|(_, found)| found.is_live());
        let notes = live.map(|(id, _)| {
            let sent = self.sent.get(id).copied().unwrap_or(0);
            let bytes = u64::try_from(sent * per_mille / 1000 / 8000).unwrap();
            let (session, reservation) = (self.session, *id);
            Note::Used { session, reservation, bytes: ByteCount::new(bytes), at: at(now) }
        });
        notes.collect()
    }

    /// Until when it sends under what it knows of one, by its own count.
    fn stops(&self, found: &Reservation, (lease, grace): (i64, i64)) -> i64 {
        match found.state {
            State::Confirmed if found.may_move() => self.heard + lease,
            State::Confirmed => self.heard + lease + grace,
            State::Held { .. } | State::Closed { .. } => i64::MIN,
        }
    }

    /// What it sends between two instants.
    pub(super) fn send(&mut self, lanes: &mut Lanes, over: (i64, i64), limits: (i64, i64)) {
        for (id, found) in &self.known {
            let until = over.1.min(self.stops(found, limits));
            if self.mood == Mood::Idle || until <= over.0 {
                continue;
            }
            plan_into(lanes, &found.plan, (over.0, until));
            let parts = found.plan.segments.iter().map(|segment| {
                let start = segment.over.start().as_ms().max(over.0);
                let end = segment.over.end().as_ms().min(until);
                let ms = u128::try_from((end - start).max(0)).unwrap();
                u128::from(segment.rate.bps()) * ms
            });
            *self.sent.entry(*id).or_default() += parts.sum::<u128>();
        }
    }
}
