//! Looks without deciding: when a rate would fit, how much is free when, and why a request would
//! be answered as it would.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tidegate_policy::{BitRate, Interval, Overcommit, ReservationId, Span, Timestamp};

use super::sight::{Sight, Way};
use super::wanted::{QUERY, Wanted, Wish};
use super::{Answer, Machine, Stamp};
use crate::command::{Ask, Shape, Ways};
use crate::event::Route;
use crate::fault::{Fault, FieldFault};
use crate::lane::{Lane, LaneName, LaneNeed, Terms};
use crate::owner::Owner;
use crate::promise::Standing;

/// When something would fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Whose quotas count, and of which class it would be: rates are those to ask for in it.
    pub owner: Owner,
    /// Which ways it may take.
    pub ways: Ways,
    /// What the bookings of a rate depend on besides the lanes.
    pub terms: Terms,
    /// The lowest payload rate that helps.
    pub min: BitRate,
    /// How long it lasts.
    pub span: Span,
    /// The earliest start; `None` means now.
    pub start: Option<Timestamp>,
    /// The latest end.
    pub end: Timestamp,
    /// The most steps of availability that are told of each way.
    pub steps_max: usize,
}

/// When something would fit, and how much is free when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Windows {
    /// The earliest of each way that has one, the earliest first.
    pub windows: Vec<Window>,
    /// What is free on each way, best way first.
    pub availability: Vec<Availability>,
}

/// A time that fits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// The way that has it.
    pub route: Route,
    /// When.
    pub over: Interval,
    /// The highest payload rate that fits all that time.
    pub rate: BitRate,
}

/// What is free on a way: the highest payload rate from each instant on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Availability {
    /// The way.
    pub route: Route,
    /// Neighbours differ.
    pub steps: Vec<(Timestamp, BitRate)>,
    /// The first instant past the last step.
    pub until: Timestamp,
}

/// What a request would be answered, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The answer that it would get.
    pub answer: Answer,
    /// Every way that was looked at, best first.
    pub ways: Vec<WayCheck>,
}

/// How a way stands to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WayCheck {
    /// The way.
    pub route: Route,
    /// Whether it carries the request as asked.
    pub fits: bool,
    /// The highest payload rate that it carries at the first time that would do.
    pub highest: BitRate,
    /// The first start within the horizon at which it carries the request.
    pub earliest: Option<Timestamp>,
    /// Its lanes, in order.
    pub lanes: Vec<LaneCheck>,
}

/// How a lane stands to a request, at its tightest instant of the first time that would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneCheck {
    /// The lane.
    pub lane: LaneName,
    /// What it can carry then, in bits per second.
    pub limit: u64,
    /// What is booked on it then, in bits per second.
    pub booked: u64,
    /// What is free on it then, in bits per second.
    pub free: u64,
    /// What the request needs there, in bits per second.
    pub needed: u64,
    /// When it is tightest.
    pub tightest: Timestamp,
    /// The first start at which this lane alone could carry the request.
    pub first_free: Option<Timestamp>,
    /// It takes nothing new.
    pub drained: bool,
    /// Who has booked it then, the largest first, if it does not carry the request.
    pub holders: Vec<Holder>,
}

/// A reservation that books a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Which.
    pub id: ReservationId,
    /// What it books there, in bits per second.
    pub amount: u64,
    /// When it ends.
    pub end: Timestamp,
}

/// The most holders that are named of one lane.
const HOLDERS_MAX: usize = 8;
/// The most ways that are explained.
const WAYS_MAX: usize = 64;

impl Machine {
    /// When something would fit, and how much is free when.
    ///
    /// # Errors
    /// A [`Fault`] where the question itself is wrong.
    pub fn windows(&self, now: Timestamp, query: &Query) -> Result<Windows, Fault> {
        let mut faults = self.way_faults(&query.ways);
        let asked = (query.min, BitRate::MAX, query.span, query.start, query.end);
        let wanted = self.flexible(now, asked, &QUERY, &mut faults);
        let wanted = wanted.filter(|_| faults.is_empty()).ok_or(Fault::Invalid(faults))?;
        self.known_project(&query.owner.project)?;
        let (ask, ratio) = self.asked_in_class(query)?;
        let wanted = Wanted { min: ratio.floor(wanted.min), ..wanted };
        let ways = self.ways_asked(&ask, &Wish::Steady(wanted))?;
        let sight = Sight::of(self).opened(&ways);
        let mut windows: Vec<Window> = Vec::new();
        // Each by itself: what is best for all of them is only one.
        for way in ways.chunks(1).take(WAYS_MAX) {
            windows.extend(sight.place(way, &wanted).map(|placed| Window {
                route: placed.way.route.clone(),
                over: placed.over,
                rate: ratio.ceiling(placed.rate),
            }));
        }
        windows.sort_by_key(|window| window.over.start());
        let over = Interval::new(wanted.first, query.end);
        let availability = ways.iter().take(WAYS_MAX).filter_map(|way| {
            let steps = sight.steps(way, over?);
            let mut steps = steps.map(|(instant, rate)| (instant, ratio.ceiling(rate)));
            let told: Vec<_> = steps.by_ref().take(query.steps_max).collect();
            let until = steps.next().map_or(query.end, |(instant, _)| instant);
            Some(Availability { route: way.route.clone(), steps: told, until })
        });
        Ok(Windows { windows, availability: availability.collect() })
    }

    /// A question as the request that it is about, and how much of a rate its class promises.
    fn asked_in_class(&self, query: &Query) -> Result<(Ask, Overcommit), Fault> {
        let Query { min, span, start, end, .. } = *query;
        let ask = Ask {
            owner: query.owner.clone(),
            ways: query.ways.clone(),
            shape: Shape::Flexible { min, max: BitRate::MAX, span, start, end },
            terms: query.terms,
            hold_for: None,
            session: None,
            hold_best_offer: false,
            movable: false,
            standing: Standing::default(),
        };
        let refused = |_| {
            let why = format!("projects/{} may not use it", query.owner.project);
            Fault::Invalid(vec![FieldFault::new("class", why)])
        };
        let ask = self.in_class(Cow::Owned(ask))?.map_err(refused)?.into_owned();
        let ratio = ask.standing.ratio;
        Ok((ask, ratio))
    }

    /// What a request would be answered at `now`, and why.
    ///
    /// # Errors
    /// A [`Fault`] where the request itself is wrong.
    pub fn explain(&self, now: Timestamp, ask: &Ask) -> Result<Explanation, Fault> {
        let stamp = Stamp { now, fresh: 0 };
        // Looked at, not held.
        let ask = Ask { hold_best_offer: false, ..ask.clone() };
        let answer = self.reserve(stamp, &ask)?.answer;
        let ask = self.ruled(now, &ask)?.ask;
        let wish = self.wish(now, &ask)?;
        // As far as quotas leave it, if they leave any of it.
        let wish = self.allowed(now, &ask, &wish).unwrap_or(wish);
        let (wanted, ways) = (wish.steady(), self.ways_asked(&ask, &wish)?);
        let sight = Sight::of(self).opened(&ways);
        let checks = ways.iter().take(WAYS_MAX);
        let mut ways: Vec<WayCheck> = checks.filter_map(|way| sight.check(way, &wanted)).collect();
        self.name_holders(&mut ways);
        Ok(Explanation { answer, ways })
    }

    /// Names who is in the way, in one pass over the reservations.
    fn name_holders(&self, ways: &mut [WayCheck]) {
        let mut tight: BTreeMap<LaneName, (Timestamp, Vec<Holder>)> = BTreeMap::new();
        let lanes = ways.iter().flat_map(|way| &way.lanes);
        for lane in lanes.filter(|lane| lane.free < lane.needed) {
            tight.insert(lane.lane.clone(), (lane.tightest, Vec::new()));
        }
        if tight.is_empty() {
            return;
        }
        for reservation in self.reservations(None) {
            for (lane, over, amount) in reservation.bookings() {
                let Some((tightest, holders)) = tight.get_mut(lane) else { continue };
                if over.start() <= *tightest && *tightest < over.end() {
                    let end = over.end();
                    holders.push(Holder { id: reservation.id, amount, end });
                }
            }
        }
        for (_, holders) in tight.values_mut() {
            holders.sort_by_key(|holder| (std::cmp::Reverse(holder.amount), holder.id));
            holders.truncate(HOLDERS_MAX);
        }
        for lane in ways.iter_mut().flat_map(|way| &mut way.lanes) {
            if lane.free < lane.needed
                && let Some((_, holders)) = tight.get(&lane.lane)
            {
                lane.holders.clone_from(holders);
            }
        }
    }
}

impl Sight<'_> {
    fn check(&self, way: &Way, wanted: &Wanted) -> Option<WayCheck> {
        let over = wanted.at_first()?;
        let earliest = self.earliest(way, wanted.min, wanted, wanted.last_start());
        let needs = way.needs.iter().filter(|need| need.applies(way.terms));
        let lanes = needs.map(|need| self.check_lane((need, way.terms), over, wanted));
        Some(WayCheck {
            route: way.route.clone(),
            fits: earliest.is_some_and(|start| start <= wanted.latest),
            highest: self.highest(way, over),
            earliest,
            lanes: lanes.collect(),
        })
    }

    fn check_lane(
        &self,
        (need, terms): (&LaneNeed, Terms),
        over: Interval,
        wanted: &Wanted,
    ) -> LaneCheck {
        let needed = need.amount(wanted.min, terms);
        let lane = self.lane(&need.lane);
        let steps = lane.into_iter().flat_map(|lane| lane.steps(over));
        // The first among equals: `min_by_key` keeps it.
        let (tightest, free) = steps.min_by_key(|(_, free)| *free).unwrap_or((over.start(), 0));
        let first_free = lane
            .and_then(|lane| lane.earliest(wanted.first, wanted.last_start(), wanted.span, needed));
        LaneCheck {
            lane: need.lane.clone(),
            limit: lane.map_or(0, |lane| lane.limit_at(tightest)),
            booked: lane.map_or(0, |lane| lane.timeline.level_at(tightest)),
            free,
            needed,
            tightest,
            first_free,
            drained: lane.is_some_and(Lane::is_drained),
            holders: Vec::new(),
        }
    }
}
