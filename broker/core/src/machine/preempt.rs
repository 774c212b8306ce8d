//! Makes room for a higher priority: those below it that can be preempted are shifted if they find
//! another place, else shrunk to their floor, and closed only if neither will do.
//!
//! Nothing is taken from anybody before it must have stopped by its own count; a grant without a
//! session is never touched, because nobody could tell its holder.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_policy::{Interval, ReservationId, Timestamp};

use super::movables::{Numbers, Routes, plan_of};
use super::sight::{Sight, Way};
use super::wanted::Wish;
use super::{Machine, Stamp};
use crate::command::Ask;
use crate::event::{Change, CloseWhy, MoveWhy, Moved};
use crate::lane::LaneName;
use crate::plan::Plan;
use crate::planner::board::Board;
use crate::planner::put::put_alone;
use crate::planner::replan::{Budget, Job};
use crate::planner::{Need, Piece, Steady, Volume};
use crate::promise::Promised;
use crate::refusal::CounterOffer;
use crate::reservation::Reservation;

/// The most reservations that are looked at as victims of one request.
const VICTIMS_MAX: usize = 512;

/// One that can be preempted.
struct Victim<'a> {
    found: &'a Reservation,
    routes: Routes,
    /// From when on its lanes can be taken.
    from: Timestamp,
    /// What it has from then on.
    present: Vec<Piece>,
}

/// What becomes of a victim.
enum Fate {
    Stays,
    Moves(Vec<Piece>),
    Closes,
}

impl Machine {
    /// Room for a request of this priority among those below it; `None` if there is none, however
    /// many of them go.
    pub(super) fn preempt(
        &self,
        now: Timestamp,
        sight: &Sight<'_>,
        (ways, wish): (&[Way], &Wish),
        priority: u8,
    ) -> Option<(Plan, Vec<Change>)> {
        let (need, window) = wish.need()?;
        let mut numbers = Numbers::of(&self.movables);
        let victims = self.victims((now, sight), (ways, window), priority, &mut numbers);
        if victims.is_empty() {
            return None;
        }
        let newcomer = numbers.routes(ways.to_vec());
        let fan = Arc::clone(&newcomer.fan);
        let job = Job { fan, need, window, present: Vec::new() };
        let fans = victims.iter().map(|victim| &*victim.routes.fan).chain([&*job.fan]);
        let board = self.board(sight, fans, &numbers);
        // As few of them as it takes, in their order.
        let mut few = 1;
        loop {
            let some = &victims[..few.min(victims.len())];
            if let Some((plan, fates)) = self.take_from(&board, &job, some) {
                let plan = plan_of(ways, &plan);
                let changes = some
                    .iter()
                    .zip(fates)
                    .filter_map(|(victim, fate)| self.change_of(now, victim, fate));
                return Some((plan, changes.collect()));
            }
            if victims.len() <= few {
                return None;
            }
            few = few.saturating_mul(2);
        }
    }

    /// Those below a priority that have something where a request could be: the lowest first, of
    /// equals the newest.
    fn victims<'a>(
        &'a self,
        (now, sight): (Timestamp, &Sight<'_>),
        (ways, window): (&[Way], Interval),
        priority: u8,
        numbers: &mut Numbers<'_>,
    ) -> Vec<Victim<'a>> {
        // Nobody gives way for a quota: it only refuses.
        let needs = ways.iter().flat_map(|way| &way.needs).map(|need| &need.lane);
        let lanes: BTreeSet<&LaneName> = needs.filter(|lane| !lane.is_quota()).collect();
        let below = |found: &&Reservation| {
            found.standing.preemptible
                && found.standing.priority < priority
                && found.session.is_some()
                && found.interval.overlaps(window)
        };
        let on = self.live_on(now, |lane| lanes.contains(lane));
        let mut found: Vec<&Reservation> = on.filter(below).collect();
        found.sort_by_key(|it| (it.standing.priority, Reverse(it.created), Reverse(it.id)));
        found.truncate(VICTIMS_MAX);
        let victims = found.into_iter().filter_map(|found| {
            let routes = self.victim_routes(found, numbers)?;
            let from = self.stops(now, found, None).max(self.frozen_if_movable(now, found));
            let (pieces, since) = routes.pieces(sight.plan(found));
            let present = pieces.iter().filter_map(|piece| piece.from(from));
            let present: Vec<Piece> = present.filter(|_| since <= from).collect();
            (!present.is_empty()).then_some(Victim { found, routes, from, present })
        });
        victims.collect()
    }

    fn frozen_if_movable(&self, now: Timestamp, found: &Reservation) -> Timestamp {
        if found.may_move() { self.frozen_until(now) } else { now }
    }

    /// The ways that a victim may be shifted to, its present ones included.
    fn victim_routes(&self, found: &Reservation, numbers: &mut Numbers<'_>) -> Option<Routes> {
        if let Some(promise) = &found.promise {
            return Some(numbers.routes(self.ways_for(found, &promise.ways).ok()?));
        }
        let ways = self.ways_of(found, found.interval.span());
        (!ways.is_empty()).then(|| numbers.routes(ways))
    }

    /// A place for the newcomer if all these victims go, and what then becomes of each.
    fn take_from(
        &self,
        board: &Board,
        newcomer: &Job,
        victims: &[Victim<'_>],
    ) -> Option<(Vec<Piece>, Vec<Fate>)> {
        let mut board = board.clone();
        for victim in victims {
            for piece in &victim.present {
                board.give(&victim.routes.fan, piece);
            }
        }
        let budget = self.budget();
        let place = put_alone(&board, newcomer, &budget)?;
        for piece in &place {
            board.take(&newcomer.fan, piece);
        }
        // Whoever stands highest stays first.
        let mut fates: Vec<Fate> = Vec::with_capacity(victims.len());
        for victim in victims.iter().rev() {
            fates.push(self.fate(&mut board, victim, budget));
        }
        fates.reverse();
        Some((place, fates))
    }

    fn fate(&self, board: &mut Board, victim: &Victim<'_>, budget: Budget) -> Fate {
        let fan = &victim.routes.fan;
        if board.take_all(fan, &victim.present) {
            return Fate::Stays;
        }
        let Some(job) = victim.job() else { return Fate::Closes };
        let Some(pieces) = put_alone(board, &job, &budget) else { return Fate::Closes };
        for piece in &pieces {
            board.take(fan, piece);
        }
        Fate::Moves(pieces)
    }

    fn change_of(&self, now: Timestamp, victim: &Victim<'_>, fate: Fate) -> Option<Change> {
        let Victim { found, routes, from, .. } = victim;
        match fate {
            Fate::Stays => None,
            Fate::Moves(pieces) => {
                let plan = plan_of(&routes.ways, &pieces);
                let moved = Moved::new(found.id, *from, plan, MoveWhy::Preempted);
                Some(Change::Moved(moved.into()))
            }
            Fate::Closes => {
                let free_from = (*from).min(found.interval.end().max(now));
                let (id, why, used) = (found.id, CloseWhy::Preempted, self.used(found.id));
                Some(Change::Closed { id, why, free_from, used })
            }
        }
    }

    /// What the holder of a reservation that was closed for others could have instead, best first,
    /// with what it would ask for by itself.
    #[must_use]
    pub fn instead_of(&self, now: Timestamp, id: ReservationId) -> Option<(Ask, CounterOffer)> {
        let found = self.state.reservations.get(&id)?;
        let ask = found.ask_again(now)?;
        let wish = self.allowed(now, &ask, &self.wish(now, &ask).ok()?).ok()?;
        let ways = self.ways(&self.account(&ask, &wish), &ask.ways, ask.terms).ok()?;
        let sight = Sight::of(self).opened(&ways);
        let stamp = Stamp { now, fresh: 0 };
        let best = self.ranked_offers(stamp, &sight, &ask, (&ways, &wish)).into_iter().next()?;
        Some((ask, best))
    }
}

impl Victim<'_> {
    /// What it has to find another place for: the rest of a volume anywhere in its window; a rate
    /// that has not begun anywhere in its window; one that has begun where it is, down to its
    /// floor. `None` of a promise that nothing else keeps.
    fn job(&self) -> Option<Job> {
        let promise = self.found.promise.as_ref()?;
        let fan = Arc::clone(&self.routes.fan);
        let present = self.present.clone();
        let (need, window) = match promise.what {
            Promised::Volume { min, max, split, window, .. } => {
                let ahead = Interval::new(self.from, Timestamp::MAX)?;
                let need = self.found.plan.carries(ahead);
                (Need::Volume(Volume { need, min, max, split }), window.from(self.from)?)
            }
            Promised::Span { min, max, span, window }
                if self.from <= self.found.interval.start() =>
            {
                (Need::Steady(Steady { min, max, span }), window.from(self.from)?)
            }
            Promised::Span { min, .. } => {
                let rest = Interval::new(self.from, self.found.interval.end())?;
                let (max, span) = (self.found.rate(), rest.span());
                (Need::Steady(Steady { min, max, span }), rest)
            }
        };
        Some(Job { fan, need, window, present })
    }
}
