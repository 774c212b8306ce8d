//! Who has what, counted from the list of reservations, the tree of projects, the classes, the
//! declared network and the calendar, and nothing that the code under test has computed.

mod budgets;
mod counts;
mod limits;
mod lines;
mod overuse;
mod steps;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::lane::LaneName;
use tidegate_core::{Machine, Owner, Promised, Reservation, State};
use tidegate_policy::{Class, Classes, Overcommit, Principal, ProjectId, Projects, ReservationId};

pub(super) use budgets::Budgets;
pub(super) use limits::{Carried, Network};
pub(super) use steps::Steps;
pub(super) use verdict::{Change, Sight, Verdict, Wanted, promised};

/// What administrators say.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) projects: &'a Projects,
    pub(super) classes: &'a Classes,
}

/// An amount on a lane, from an instant to another.
#[derive(Clone, Debug)]
pub(super) struct Booking {
    pub(super) lane: LaneName,
    pub(super) over: (i64, i64),
    pub(super) amount: u64,
    /// It is no promise: somebody who was told otherwise may still be sending.
    pub(super) tail: bool,
}

/// A reservation.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) id: ReservationId,
    pub(super) owner: Owner,
    pub(super) live: bool,
    /// It is one that quotas count.
    pub(super) counted: bool,
    /// What it lasts has been cut since its quotas were chosen.
    pub(super) cut: bool,
    /// A volume is promised, whatever is booked for it.
    pub(super) volume: bool,
    /// From when to when, and which payload rate.
    pub(super) shown: Vec<(i64, i64, u64)>,
    pub(super) bookings: Vec<Booking>,
}

/// All that stands.
#[derive(Clone, Default)]
pub(super) struct Naive {
    pub(super) items: Vec<Item>,
    pub(super) lines: BTreeMap<LaneName, Steps>,
    live_of: BTreeMap<ProjectId, u64>,
    live_by: BTreeMap<(ProjectId, Principal), u64>,
}

impl<'a> Rules<'a> {
    pub(super) fn of(machine: &'a Machine) -> Self {
        Self { projects: machine.projects(), classes: machine.classes() }
    }

    pub(super) fn class(&self, owner: &Owner) -> Option<&'a Class> {
        self.classes.get(owner.class.as_ref()?)
    }

    /// Whether something that lasts this long is long in its class.
    pub(super) fn is_long(&self, owner: &Owner, lasts: u64) -> bool {
        let headroom = self.class(owner).and_then(|class| class.headroom);
        headroom.is_some_and(|headroom| headroom.longest.as_ms() < lasts)
    }
}

/// The payload that may be had where so much is booked: a quota of a rate counts all of it.
pub(super) fn asked_for(rate: u64, ratio: Overcommit) -> u64 {
    let asked = (u128::from(rate) * u128::from(ratio.ppm())).div_ceil(1_000_000);
    u64::try_from(asked).unwrap()
}

impl Item {
    /// A reservation as it stands; those of which it is known that they last shorter than when
    /// their quotas were chosen are `narrowed`.
    pub(super) fn of(
        rules: Rules<'_>,
        network: &Network,
        found: &Reservation,
        narrowed: &BTreeSet<ReservationId>,
    ) -> Self {
        let what = found.promise.as_ref().map(|promise| promise.what);
        let (lasts, ratio) = match what {
            Some(Promised::Volume { window, .. }) => (window.span(), Overcommit::NONE),
            Some(Promised::Span { .. }) | None => (found.interval.span(), found.standing.ratio),
        };
        let cut = found.curtailed || narrowed.contains(&found.id);
        let mut item = Self {
            id: found.id,
            owner: found.owner.clone(),
            live: found.is_live(),
            counted: found.is_live() && found.despite.is_none(),
            cut,
            volume: matches!(what, Some(Promised::Volume { .. })),
            shown: Vec::new(),
            bookings: Vec::new(),
        };
        let Some((from, to)) = booked_over(found).filter(|_| found.despite.is_none()) else {
            item.bookings.extend(kept(found));
            return item;
        };
        for segment in &found.plan.segments {
            let over = (segment.over.start().as_ms().max(from), segment.over.end().as_ms().min(to));
            if over.1 <= over.0 {
                continue;
            }
            let rate = segment.rate.bps();
            item.shown.push((over.0, over.1, rate));
            let way = &found.plan.ways[segment.way];
            let lanes: Vec<(&LaneName, u64)> =
                way.lanes.iter().zip(segment.amounts.iter().copied()).collect();
            let on: Vec<(&LaneName, u64)> =
                lanes.into_iter().filter(|(lane, _)| !lane.is_quota()).collect();
            // What lies before a move stays on the quotas that it was on.
            let stays = found.last_move.is_some_and(|last| over.1 <= last.from.as_ms());
            let headroom = rules.class(&found.owner).and_then(|class| class.headroom);
            let long = if cut || stays {
                let is_long = |lane: &LaneName| lane.as_str().contains("/long/");
                headroom.is_some() && way.lanes.iter().any(is_long)
            } else {
                rules.is_long(&found.owner, lasts.as_ms())
            };
            let names: Vec<&LaneName> = on.iter().map(|(lane, _)| *lane).collect();
            let quotas = rules.quotas(network, (&found.owner, long), &names);
            let amount_on = |of: Option<usize>| match of {
                Some(place) => on[place].1,
                None => asked_for(rate, ratio),
            };
            let all = on.iter().map(|(lane, amount)| ((*lane).clone(), *amount));
            let all = all.chain(quotas.iter().map(|(lane, of)| (lane.clone(), amount_on(*of))));
            let tail = !item.live;
            item.bookings.extend(all.map(|(lane, amount)| Booking { lane, over, amount, tail }));
        }
        item.bookings.extend(kept(found));
        item
    }
}

/// When the present terms of a reservation are booked.
fn booked_over(found: &Reservation) -> Option<(i64, i64)> {
    let (from, end) = (found.from.as_ms(), found.interval.end().as_ms());
    match found.state {
        State::Held { .. } | State::Confirmed => Some((from, end)),
        // Not before the holder has stopped; nothing if it has already.
        State::Closed { at, free_from, .. } => {
            let end = end.min(free_from.as_ms());
            (at.as_ms() < end).then_some((from, end))
        }
    }
}

/// What earlier terms leave booked.
fn kept(found: &Reservation) -> impl Iterator<Item = Booking> {
    found.kept.iter().map(|kept| Booking {
        lane: kept.lane.clone(),
        over: (kept.over.start().as_ms(), kept.over.end().as_ms()),
        amount: kept.amount,
        tail: true,
    })
}

impl Naive {
    pub(super) fn of(
        machine: &Machine,
        network: &Network,
        narrowed: &BTreeSet<ReservationId>,
    ) -> Self {
        let rules = Rules::of(machine);
        let found = machine.reservations(None);
        Self::from_items(
            rules.projects,
            found.map(|it| Item::of(rules, network, it, narrowed)).collect(),
        )
    }

    pub(super) fn from_items(projects: &Projects, items: Vec<Item>) -> Self {
        let mut naive =
            Self { lines: lines::lines(items.iter(), |_| true), items, ..Self::default() };
        naive.count(projects);
        naive
    }

    /// The same with one more.
    pub(super) fn add(&mut self, projects: &Projects, item: Item) {
        self.items.push(item);
        *self = Self::from_items(projects, std::mem::take(&mut self.items));
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.items.iter().any(|it| it.live) && self.live_of.is_empty() && self.live_by.is_empty()
    }

    /// Whether somebody has something in just this project.
    pub(super) fn has(&self, id: &ProjectId) -> bool {
        self.items.iter().any(|it| it.live && it.owner.project == *id)
    }

    pub(super) fn has_class(&self, class: &tidegate_policy::ClassId) -> bool {
        self.items.iter().any(|it| it.live && it.owner.class.as_ref() == Some(class))
    }
}
