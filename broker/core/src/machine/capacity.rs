//! What a change of capacity takes away from those who were promised it.
//!
//! Every instant at which a lane could overflow is looked at in order of time. Where one does,
//! reservations are given up until the rest fits: those that are bound to a session before those
//! that are not, because nobody can tell the latter, and the newest first. One that is given up
//! frees all its lanes from then on, so a single pass finds all. Before anybody is, the flexible
//! ones there come down to their floors. Plans that may move count only as far as they are frozen;
//! the rest of them is planned anew first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tidegate_policy::{Interval, Part, ReservationId, Timestamp};

use super::salvage::Salvaged;
use super::shrink::Flexible;
use super::{Machine, Stamp};
use crate::event::{Change, CloseWhy, Event, Moved};
use crate::fault::{Fault, LaneInUse};
use crate::lane::LaneName;
use crate::losses::{LOSSES_MAX, Losses, Move, VICTIMS_MAX, Victim};
use crate::maintenance::{Window, cuts};
use crate::plan::Segment;
use crate::reservation::Reservation;
use crate::timeline::Timeline;

/// What a lane can carry under a change.
#[derive(Debug)]
pub(super) struct Ceiling {
    pub(super) capacity: u64,
    pub(super) cuts: Timeline,
    windows: Vec<Window>,
}

impl Ceiling {
    /// So much, less what windows take away of it.
    pub(super) fn of(capacity: u64, windows: Vec<Window>) -> Self {
        // A cut is at most the capacity, so it cannot overflow.
        let cuts = cuts(capacity, windows.iter().copied()).unwrap_or_default();
        Self { capacity, cuts, windows }
    }

    /// What a share of the lane can carry then.
    pub(super) fn share(&self, part: Part) -> Self {
        Self::of(part.of(self.capacity), self.windows.clone())
    }

    fn at(&self, instant: Timestamp) -> u64 {
        self.capacity.saturating_sub(self.cuts.level_at(instant))
    }

    /// Whether `booked` fits from `now` on.
    fn holds(&self, booked: &Timeline, now: Timestamp) -> bool {
        let Some(ahead) = Interval::new(now, Timestamp::MAX) else { return true };
        if self.cuts.is_empty() {
            return booked.peak(ahead) <= self.capacity;
        }
        let mut load = booked.clone();
        load.add(&self.cuts).is_ok() && load.peak(ahead) <= self.capacity
    }
}

/// The lanes that a change is about.
pub(super) type Ceilings = BTreeMap<LaneName, Ceiling>;

/// A reservation that is given up: where it does not fit, and from when on.
pub(super) struct Loss<'a> {
    pub(super) reservation: &'a Reservation,
    pub(super) lane: &'a LaneName,
    pub(super) at: Timestamp,
}

impl Machine {
    /// What happens to reservations, and what is said about it, if lanes can carry no more than
    /// their ceilings. Lanes without one stay as they are.
    ///
    /// # Errors
    /// [`Fault::LanesInUse`] if something would be lost and that is not accepted.
    pub(super) fn give_up(
        &self,
        stamp: Stamp,
        ceilings: &Ceilings,
        accepted: bool,
    ) -> Result<(Vec<Event>, Losses), Fault> {
        let now = stamp.now;
        let tight: BTreeMap<&LaneName, &Ceiling> = ceilings
            .iter()
            .filter(|(name, ceiling)| {
                let lane = self.state.lanes.get(*name);
                lane.is_some_and(|lane| !ceiling.holds(&lane.timeline, now))
            })
            .collect();
        if tight.is_empty() {
            return Ok((Vec::new(), Losses::default()));
        }
        let (Salvaged { moved, lost }, losses) = self.salvaged(now, ceilings, &tight);
        let victims = losses.iter().take(VICTIMS_MAX).map(|loss| Victim {
            reservation: loss.reservation.id,
            session: loss.reservation.session,
            lane: loss.lane.clone(),
            lost: if ends_now(loss, now) { now } else { loss.at },
            end: loss.reservation.interval.end(),
        });
        let count = u64::try_from(losses.len()).unwrap_or(u64::MAX);
        let moves = moved.iter().take(VICTIMS_MAX).filter_map(|moved| self.told_move(moved));
        let told = Losses {
            victims: victims.collect(),
            count,
            moves: moves.collect(),
            move_count: u64::try_from(moved.len()).unwrap_or(u64::MAX),
        };
        if losses.is_empty() || accepted {
            if LOSSES_MAX < losses.len() {
                return Err(Fault::Full { what: "losses by one change", limit: LOSSES_MAX });
            }
            let moved = moved.into_iter().map(|moved| Change::Moved(moved.into()));
            let moved = moved.map(|change| Event { at: now, request: None, change });
            let lost = losses.iter().map(|loss| match lost.get(&loss.reservation.id) {
                Some(Some(part)) => {
                    let change = Change::Moved(part.clone().into());
                    Event { at: now, request: None, change }
                }
                Some(None) | None => self.loss_of(now, loss),
            });
            return Ok((moved.chain(lost).collect(), told));
        }
        let lanes = tight.iter().filter_map(|(name, ceiling)| self.in_use(now, name, ceiling));
        Err(Fault::LanesInUse { lanes: lanes.collect(), losses: told })
    }

    fn told_move(&self, moved: &Moved) -> Option<Move> {
        let found = self.state.reservations.get(&moved.id)?;
        Some(Move {
            reservation: found.id,
            session: found.session,
            from: moved.from,
            end: moved.plan.interval()?.end(),
            old_end: found.plan.interval()?.end(),
        })
    }

    /// Who moves so that its promise is kept, and who is lost: what cannot move goes first where it
    /// does not fit, and what can finds a place among the rest.
    fn salvaged<'a>(
        &'a self,
        now: Timestamp,
        ceilings: &Ceilings,
        tight: &BTreeMap<&'a LaneName, &'a Ceiling>,
    ) -> (Salvaged, Vec<Loss<'a>>) {
        let from = self.frozen_until(now);
        let displaced = self.displaced(from, tight);
        let ids: BTreeSet<ReservationId> = displaced.iter().map(|mover| mover.found.id).collect();
        let until = |id| if ids.contains(&id) { from } else { Timestamp::MAX };
        let (gone, shrunk) = Sweep::over(self, (now, &until), tight).run();
        let squeeze = self.squeeze(now, tight, &displaced, (&gone, shrunk));
        let salvaged = self.salvage(now, ceilings, &displaced, (&gone, squeeze));
        let lost = &salvaged.lost;
        let mut losses = gone;
        // Those that may move are lost only if they find no other place: where they did not fit
        // before the freeze, else behind it.
        losses.retain(|loss| {
            let id = loss.reservation.id;
            !ids.contains(&id) || lost.contains_key(&id)
        });
        let known: BTreeSet<ReservationId> = losses.iter().map(|it| it.reservation.id).collect();
        let behind = displaced.iter().map(|mover| (mover, mover.found.id));
        let behind = behind.filter(|(_, id)| lost.contains_key(id) && !known.contains(id));
        losses.extend(behind.filter_map(|(mover, _)| {
            let lane = mover.tight_lane(tight)?;
            Some(Loss { reservation: mover.found, lane, at: from })
        }));
        (salvaged, losses)
    }

    fn loss_of(&self, now: Timestamp, loss: &Loss<'_>) -> Event {
        let (found, at) = (loss.reservation, loss.at);
        let end = found.booked_over().map_or(now, Interval::end);
        let free_from = self.stops(now, found, None).min(end.max(now));
        let change = if ends_now(loss, now) {
            let (why, used) = (CloseWhy::CapacityLost, self.used(found.id));
            Change::Closed { id: found.id, why, free_from, used }
        } else {
            let free_from = free_from.max(at);
            Change::Curtailed { id: found.id, end: at, free_from }
        };
        Event { at: now, request: None, change }
    }

    /// Where most is missing on a lane; `None` if what is promised fits.
    fn in_use(&self, now: Timestamp, name: &LaneName, ceiling: &Ceiling) -> Option<LaneInUse> {
        let mut live = Timeline::default();
        let mut until = now;
        for reservation in self.live_on(now, |lane| lane == name) {
            for (_, over, amount) in reservation.plan.bookings().filter(|(lane, ..)| *lane == name)
            {
                let Some(over) = over.from(now) else { continue };
                until = until.max(over.end());
                live.book(over, amount).ok()?;
            }
        }
        let instants = [now].into_iter().chain(live.steps().map(|(instant, _)| instant));
        let instants = instants.chain(ceiling.cuts.steps().map(|(instant, _)| instant));
        let instants: BTreeSet<Timestamp> = instants.filter(|instant| now <= *instant).collect();
        let mut worst: Option<(u64, u64)> = None;
        for instant in instants {
            let (promised, left) = (live.level_at(instant), ceiling.at(instant));
            let missing = promised.saturating_sub(left);
            if worst.map_or(0, |(promised, left)| promised.saturating_sub(left)) < missing {
                worst = Some((promised, left));
            }
        }
        let (promised, capacity) = worst?;
        Some(LaneInUse { lane: name.clone(), capacity, promised, until })
    }

    /// The live reservations that are not over and book one of these lanes.
    pub(super) fn live_on(
        &self,
        now: Timestamp,
        is_one: impl Fn(&LaneName) -> bool,
    ) -> impl Iterator<Item = &Reservation> {
        let live = self.state.reservations.values().filter(|found| found.is_live());
        let ahead = live.filter(move |found| now < found.interval.end());
        ahead.filter(move |found| found.plan.lanes().any(&is_one))
    }
}

/// Whether nothing of it is left: the capacity is gone now, or before anything of it is to come.
fn ends_now(loss: &Loss<'_>, now: Timestamp) -> bool {
    let left = Interval::new(now, loss.at);
    let mut segments = loss.reservation.plan.segments.iter();
    !segments.any(|segment| left.is_some_and(|left| segment.over.overlaps(left)))
}

/// Who goes first: bound to a session, then the newest.
type Rank = (bool, Reverse<Timestamp>, Reverse<ReservationId>);

fn rank(reservation: &Reservation) -> Rank {
    (reservation.session.is_none(), Reverse(reservation.created), Reverse(reservation.id))
}

/// Who gives way on a lane: comes down to its floor, or is given up.
struct Overfull<'a> {
    reservation: &'a Reservation,
    is_shrunk: bool,
}

/// What changes at one instant.
#[derive(Default)]
struct Turn<'a> {
    ends: Vec<(&'a Reservation, &'a Segment)>,
    starts: Vec<(&'a Reservation, &'a Segment)>,
    limits: Vec<&'a LaneName>,
}

/// One lane while time passes over it.
struct Swept<'a> {
    ceiling: &'a Ceiling,
    load: u64,
    /// Who is on it, and with how many segments.
    on: BTreeMap<Rank, (&'a Reservation, usize)>,
    /// Those of them who could come down to a floor.
    flexible: BTreeMap<Rank, &'a Reservation>,
}

struct Sweep<'a> {
    turns: BTreeMap<Timestamp, Turn<'a>>,
    lanes: BTreeMap<&'a LaneName, Swept<'a>>,
    lost: BTreeSet<ReservationId>,
    /// Those who could come down to a floor, and those who have.
    flexible: BTreeMap<ReservationId, Flexible>,
    shrunk: BTreeSet<ReservationId>,
}

impl<'a> Sweep<'a> {
    fn over(
        machine: &'a Machine,
        (now, until): (Timestamp, &dyn Fn(ReservationId) -> Timestamp),
        tight: &BTreeMap<&'a LaneName, &'a Ceiling>,
    ) -> Self {
        let mut turns: BTreeMap<Timestamp, Turn<'a>> = BTreeMap::new();
        for (name, ceiling) in tight {
            let later = ceiling.cuts.steps().map(|(instant, _)| instant);
            for instant in later.filter(|instant| now < *instant).chain([now]) {
                turns.entry(instant).or_default().limits.push(name);
            }
        }
        let mut flexible = BTreeMap::new();
        for found in machine.live_on(now, |lane| tight.contains_key(lane)) {
            let ahead = Interval::new(now, until(found.id));
            if until(found.id) == Timestamp::MAX {
                flexible.extend(machine.shrinkable(now, found).map(|it| (found.id, it)));
            }
            for segment in &found.plan.segments {
                let Some(over) = ahead.and_then(|ahead| segment.over.within(ahead)) else {
                    continue;
                };
                turns.entry(over.start()).or_default().starts.push((found, segment));
                turns.entry(over.end()).or_default().ends.push((found, segment));
            }
        }
        let swept = |ceiling| {
            let (on, flexible) = (BTreeMap::new(), BTreeMap::new());
            Swept { ceiling, load: 0, on, flexible }
        };
        let lanes = tight.iter().map(|(name, ceiling)| (*name, swept(*ceiling))).collect();
        let (lost, shrunk) = (BTreeSet::new(), BTreeSet::new());
        Self { turns, lanes, lost, flexible, shrunk }
    }

    /// Who is given up, and who is shrunk before.
    fn run(mut self) -> (Vec<Loss<'a>>, Vec<(Loss<'a>, Flexible)>) {
        let (mut losses, mut shrunk) = (Vec::new(), Vec::new());
        while let Some((at, turn)) = self.turns.pop_first() {
            for (found, segment) in turn.ends {
                self.shift(found, segment, false);
            }
            let mut touched: BTreeSet<&LaneName> = turn.limits.into_iter().collect();
            for (found, segment) in turn.starts {
                self.shift(found, segment, true);
                touched.extend(lanes_of(found, segment));
            }
            for lane in touched {
                while let Some(Overfull { reservation, is_shrunk }) = self.overfull(lane, at) {
                    let loss = Loss { reservation, lane, at };
                    let segments = reservation.plan.segments.iter();
                    let on = segments.filter(|it| it.over.start() <= at && at < it.over.end());
                    for segment in on.clone() {
                        self.shift(reservation, segment, false);
                    }
                    if is_shrunk {
                        self.shrunk.insert(reservation.id);
                        on.for_each(|segment| self.shift(reservation, segment, true));
                        shrunk.push(loss);
                    } else {
                        self.lost.insert(reservation.id);
                        losses.push(loss);
                    }
                }
            }
        }
        let flexible = |loss: Loss<'a>| {
            let flexible = self.flexible.remove(&loss.reservation.id)?;
            Some((loss, flexible))
        };
        (losses, shrunk.into_iter().filter_map(flexible).collect())
    }

    /// Who gives way first on a lane that carries too much.
    fn overfull(&self, lane: &LaneName, at: Timestamp) -> Option<Overfull<'a>> {
        let swept = self.lanes.get(lane)?;
        if swept.load <= swept.ceiling.at(at) {
            return None;
        }
        if let Some((_, reservation)) = swept.flexible.first_key_value() {
            return Some(Overfull { reservation, is_shrunk: true });
        }
        let (_, (reservation, _)) = swept.on.first_key_value()?;
        Some(Overfull { reservation, is_shrunk: false })
    }

    /// Counts a segment on its lanes, or no more; none of what is lost.
    fn shift(&mut self, found: &'a Reservation, segment: &'a Segment, begins: bool) {
        if self.lost.contains(&found.id) {
            return;
        }
        let flexible = self.flexible.get(&found.id);
        let flexible = flexible.filter(|it| it.from <= segment.over.start());
        let is_shrunk = self.shrunk.contains(&found.id);
        let floor = flexible.filter(|_| is_shrunk).map_or(&segment.amounts, |it| &it.amounts);
        for ((lane, amount), floor) in lanes_of(found, segment).zip(&segment.amounts).zip(floor) {
            let Some(swept) = self.lanes.get_mut(lane) else { continue };
            let amount = amount.min(floor);
            let (_, count) = swept.on.entry(rank(found)).or_insert((found, 0));
            if begins {
                if flexible.is_some() && !is_shrunk {
                    swept.flexible.insert(rank(found), found);
                }
                *count = count.saturating_add(1);
                swept.load = swept.load.saturating_add(*amount);
            } else {
                *count = count.saturating_sub(1);
                swept.load = swept.load.saturating_sub(*amount);
            }
            if *count == 0 {
                swept.on.remove(&rank(found));
                swept.flexible.remove(&rank(found));
            }
        }
    }
}

fn lanes_of<'a>(
    found: &'a Reservation,
    segment: &Segment,
) -> impl Iterator<Item = &'a LaneName> + use<'a> {
    found.plan.ways.get(segment.way).into_iter().flat_map(|way| &way.lanes)
}
