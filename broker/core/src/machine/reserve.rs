//! Decides a new booking: every lane of one path, or a refusal that says why and what would fit.

use tidegate_policy::{BitRate, Endpoint, Interval, Name, ReservationId, Span, Timestamp};

use super::decide::{boxed, happens};
use super::{Answer, Decision, Machine, Stamp};
use crate::command::{Ask, SOURCES_MAX, Shape, Until, VIA_MAX};
use crate::event::{Booked, Change, Reserved};
use crate::fault::{Fault, FieldFault};
use crate::lane::{Lane, LaneNeed, Terms};
use crate::refusal::{BLOCKERS_MAX, Blocker, CounterOffer, OfferKind, Reason, Refusal};
use crate::reservation::{Reservation, State};
use crate::topology::Path;

/// A rate over an interval, as asked.
struct Wanted {
    rate: BitRate,
    over: Interval,
    /// The last start of an offer: nothing is promised past the horizon.
    latest: Timestamp,
}

/// A way that could carry the request.
struct Way<'a> {
    source: &'a Endpoint,
    path: Path,
}

impl Machine {
    pub(super) fn reserve(&self, stamp: Stamp, ask: &Ask) -> Result<Decision, Fault> {
        let wanted = self.wanted(stamp, ask)?;
        self.check_bounds(ask)?;
        let ways = self.ways(ask)?;
        match ways.iter().find(|way| self.blocking(way, &wanted).next().is_none()) {
            Some(way) => Ok(self.grant(stamp, ask, &wanted, way)),
            None => {
                let refusal = self.refuse(&ways, &wanted);
                Ok(Decision { events: Vec::new(), answer: Answer::Refusal(refusal.into()) })
            }
        }
    }

    /// Resolves the times of a request against now.
    fn wanted(&self, stamp: Stamp, ask: &Ask) -> Result<Wanted, Fault> {
        let Shape::Rigid { rate, start, until } = ask.shape;
        let mut faults = Vec::new();
        let mut fault = |field: &str, why: String| faults.push(FieldFault::new(field, why));
        if rate == BitRate::ZERO {
            fault("rigid.rate_bps", "it is zero; ask for at least 1 bit/s".into());
        }
        let now = stamp.now;
        let tolerated = self.limits.past_start;
        if let Some(start) = start
            && start < now.minus(tolerated)
        {
            let why = format!("{start} is past: it is {now}; leave it out to start now");
            fault("rigid.start_time", why);
        }
        let start = start.map_or(now, |start| start.max(now));
        let (field, end) = match until {
            Until::At(end) => ("rigid.end_time", end),
            Until::After(span) => ("rigid.duration", start.plus(span)),
        };
        let horizon = now.plus(self.limits.horizon);
        if horizon < end {
            fault(field, format!("it ends at {end}; the horizon ends at {horizon}, ask for less"));
        }
        let over = Interval::new(start, end);
        if over.is_none() {
            fault(field, format!("it ends at {end}, not after its start at {start}"));
        }
        match over {
            Some(over) if faults.is_empty() => {
                let latest = horizon.minus(over.span());
                Ok(Wanted { rate, over, latest })
            }
            _ => Err(Fault::Invalid(faults)),
        }
    }

    fn check_bounds(&self, ask: &Ask) -> Result<(), Fault> {
        let mut faults = Vec::new();
        let bounds =
            [("sources", ask.sources.len(), 1, SOURCES_MAX), ("via", ask.via.len(), 0, VIA_MAX)];
        for (field, count, least, most) in bounds {
            if count < least || most < count {
                let why = format!("there are {count}; name {least} to {most}");
                faults.push(FieldFault::new(field, why));
            }
        }
        if let Some(hold_for) = ask.hold_for
            && (hold_for == Span::ZERO || self.limits.hold_max < hold_for)
        {
            let why = format!("it is {hold_for}; hold for up to {}", self.limits.hold_max);
            faults.push(FieldFault::new("hold_for", why));
        }
        if ask.sources.contains(&ask.destination) && matches!(ask.destination, Endpoint::Host(_)) {
            let why = "it is one of the sources; name storage on it to reserve a local copy";
            faults.push(FieldFault::new("destination", why));
        }
        if !faults.is_empty() {
            return Err(Fault::Invalid(faults));
        }
        let limit = self.limits.reservations_max;
        if limit <= self.state.reservations.len() {
            return Err(Fault::Full { what: "reservations", limit });
        }
        let Some(session) = ask.session else { return Ok(()) };
        self.open(session)?;
        let limit = self.limits.per_session_max;
        let bound = self.state.bound.get(&session).map_or(0, std::collections::BTreeSet::len);
        if limit <= bound {
            return Err(Fault::Full { what: "live reservations in one session", limit });
        }
        Ok(())
    }

    /// The ways of all sources, best first.
    fn ways<'a>(&self, ask: &'a Ask) -> Result<Vec<Way<'a>>, Fault> {
        let mut ways = Vec::new();
        for source in &ask.sources {
            let paths = self
                .state
                .topology
                .paths(source, &ask.via, &ask.destination)
                .map_err(Fault::from)?;
            ways.extend(paths.into_iter().map(|path| Way { source, path }));
        }
        Ok(ways)
    }

    fn lane(&self, need: &LaneNeed) -> Option<&Lane> {
        self.state.lanes.get(&need.lane)
    }

    /// What of a lane's capacity a booking of `amount` must leave to others: `None` if the lane
    /// The least that is free on a lane during `over`.
    fn headroom(&self, need: &LaneNeed, over: Interval) -> u64 {
        self.lane(need).map_or(0, |lane| lane.free(over))
    }

    /// The lanes of a way that cannot carry what is wanted.
    fn blocking<'a>(
        &'a self,
        way: &'a Way<'a>,
        wanted: &Wanted,
    ) -> impl Iterator<Item = Blocker> + use<'a> {
        let (rate, over, latest) = (wanted.rate, wanted.over, wanted.latest);
        way.path.needs.iter().filter_map(move |need| {
            let needed = need.amount(rate, Terms::default());
            let free = self.headroom(need, over);
            if needed <= free {
                return None;
            }
            let first_free = self
                .lane(need)
                .and_then(|lane| lane.earliest(over.start(), latest, over.span(), needed));
            let limit = self.lane(need).map_or(0, Lane::capacity);
            let (source, lane) = (way.source.clone(), need.lane.clone());
            Some(Blocker { source, lane, limit, free, needed, first_free })
        })
    }

    fn grant(&self, stamp: Stamp, ask: &Ask, wanted: &Wanted, way: &Way<'_>) -> Decision {
        let needs = way.path.needs.iter();
        let booked = needs
            .map(|need| Booked {
                lane: need.lane.clone(),
                amount: need.amount(wanted.rate, Terms::default()),
            })
            .collect();
        let hold_until = ask.hold_for.map(|span| stamp.now.plus(span).min(wanted.over.end()));
        let reserved = Reserved {
            id: ReservationId::from_u128(stamp.fresh),
            project: ask.project.clone(),
            source: way.source.clone(),
            destination: ask.destination.clone(),
            via: way.path.via.clone(),
            rate: wanted.rate,
            interval: wanted.over,
            hold_until,
            session: ask.session,
            booked,
        };
        let after = Reservation::granted(reserved.clone(), stamp.now, None);
        happens(stamp, Change::Reserved(reserved.into()), boxed(after))
    }

    fn refuse(&self, ways: &[Way<'_>], wanted: &Wanted) -> Refusal {
        let too_small = |way: &Way<'_>| {
            let mut needs = way.path.needs.iter();
            needs.any(|need| {
                self.lane(need).map_or(0, Lane::capacity)
                    < need.amount(wanted.rate, Terms::default())
            })
        };
        let reason = if ways.is_empty() {
            Reason::NoPath
        } else if ways.iter().all(too_small) {
            Reason::RateAboveCapacity
        } else {
            Reason::NoHeadroom
        };
        let blockers = ways.iter().flat_map(|way| self.blocking(way, wanted));
        let blockers = blockers.take(BLOCKERS_MAX).collect();
        let later = self.same_rate_later(ways, wanted);
        let lower = self.lower_rate_now(ways, wanted);
        Refusal { reason, blockers, offers: later.into_iter().chain(lower).collect() }
    }

    /// The earliest start on any way, the first source's among equals.
    fn same_rate_later(&self, ways: &[Way<'_>], wanted: &Wanted) -> Option<CounterOffer> {
        let mut best: Option<(Timestamp, &Way<'_>)> = None;
        for way in ways {
            let start = self.earliest(&way.path, wanted);
            if let Some(start) = start
                && best.is_none_or(|(earliest, _)| start < earliest)
            {
                best = Some((start, way));
            }
        }
        let (start, way) = best?;
        let over = Interval::new(start, start.plus(wanted.over.span()))?;
        Some(offer(OfferKind::SameRateLater, way, wanted.rate, over))
    }

    /// The earliest start at which every lane of a path carries the rate for the whole span, by
    /// leap-frog: each lane in turn moves the candidate on, until none does any more.
    fn earliest(&self, path: &Path, wanted: &Wanted) -> Option<Timestamp> {
        let mut candidate = wanted.over.start();
        let mut agreed = 0_usize;
        for need in path.needs.iter().cycle() {
            if path.needs.len() <= agreed {
                break;
            }
            let (lane, amount) = (self.lane(need)?, need.amount(wanted.rate, Terms::default()));
            let start = lane.earliest(candidate, wanted.latest, wanted.over.span(), amount)?;
            agreed = if start == candidate { agreed.saturating_add(1) } else { 1 };
            candidate = start;
        }
        Some(candidate)
    }

    /// The highest rate on any way over the interval asked for, the first source's among equals.
    fn lower_rate_now(&self, ways: &[Way<'_>], wanted: &Wanted) -> Option<CounterOffer> {
        let mut best: Option<(BitRate, &Way<'_>)> = None;
        for way in ways {
            let rates =
                way.path.needs.iter().map(|need| {
                    need.rate_within(self.headroom(need, wanted.over), Terms::default())
                });
            let rate = rates.min().unwrap_or_default();
            if best.map_or(BitRate::ZERO, |(highest, _)| highest) < rate {
                best = Some((rate, way));
            }
        }
        let (rate, way) = best?;
        Some(offer(OfferKind::LowerRateNow, way, rate, wanted.over))
    }
}

fn offer(kind: OfferKind, way: &Way<'_>, rate: BitRate, interval: Interval) -> CounterOffer {
    let via: Vec<Name> = way.path.via.clone();
    CounterOffer { kind, source: way.source.clone(), via, rate, interval }
}

impl Reservation {
    /// A granted request as a reservation.
    pub(super) fn granted(
        reserved: Reserved,
        created: Timestamp,
        created_by: Option<tidegate_policy::RequestId>,
    ) -> Self {
        let state = match reserved.hold_until {
            Some(until) => State::Held { until },
            None => State::Confirmed,
        };
        Self {
            id: reserved.id,
            project: reserved.project,
            source: reserved.source,
            destination: reserved.destination,
            via: reserved.via,
            rate: reserved.rate,
            interval: reserved.interval,
            session: reserved.session,
            booked: reserved.booked,
            curtailed: None,
            created,
            created_by,
            state,
        }
    }
}
