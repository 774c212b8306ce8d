//! The answer "no": which lanes are in the way, and what would fit instead.

use std::collections::{BTreeSet, VecDeque};

use tidegate_policy::{BitRate, Endpoint, Interval, Timestamp};

use super::sight::{Placed, Sight, Way};
use super::wanted::{Sought, Wanted, Wish};
use super::{Machine, transfer};
use crate::command::{Ask, Ways};
use crate::lane::{Lane, LaneNeed, Terms};
use crate::plan;
use crate::refusal::{BLOCKERS_MAX, Blocker, CounterOffer, OfferKind, Reason, Refusal};

/// The blockers that a refusal lists: a quota, which is in every way alike, once.
pub(super) fn listed(blockers: impl Iterator<Item = Blocker>) -> Vec<Blocker> {
    let mut quotas = BTreeSet::new();
    let once = |mut blocker: Blocker| {
        if blocker.lane.is_quota() {
            blocker.source = None;
            return quotas.insert(blocker.lane.clone()).then_some(blocker);
        }
        Some(blocker)
    };
    blockers.filter_map(once).take(BLOCKERS_MAX).collect()
}

/// The reason that is tested before those of the network: on every way a quota that would not allow it
/// if nothing were used of it, or one of which too much is used.
pub(super) fn quota_reason(
    ways: &[Way],
    blockers: &[Blocker],
    allows: impl Fn(&LaneNeed) -> bool,
) -> Option<Reason> {
    let above = |way: &Way| {
        let mut quotas = way.needs.iter().filter(|need| need.lane.is_quota());
        !quotas.all(&allows)
    };
    if !ways.is_empty() && ways.iter().all(above) {
        return Some(Reason::AboveQuota);
    }
    blockers.iter().any(|it| it.lane.is_quota()).then_some(Reason::QuotaExhausted)
}

impl Sight<'_> {
    /// Why none of these ways carries what is wanted, without offers.
    pub(super) fn refuse(&self, ways: &[Way], wish: &Wish) -> Refusal {
        match wish {
            Wish::Steady(wanted) => self.refuse_steady(ways, wanted),
            Wish::Volume(sought) => self.refuse_volume(ways, sought),
        }
    }

    pub(super) fn refuse_steady(&self, ways: &[Way], wanted: &Wanted) -> Refusal {
        let blockers = ways.iter().flat_map(|way| self.blocking(way, wanted));
        let blockers = listed(blockers);
        let allows =
            |need: &LaneNeed| need.amount(wanted.min, Terms::default()) <= self.limit(&need.lane);
        let quota = quota_reason(ways, &blockers, allows);
        let reason = quota.unwrap_or_else(|| self.reason(ways, wanted));
        Refusal { blockers, ..Refusal::bare(reason) }
    }

    fn reason(&self, ways: &[Way], wanted: &Wanted) -> Reason {
        let too_small = |way: &Way| {
            let mut needs = way.needs.iter();
            needs.any(|need| {
                self.lane(&need.lane).map_or(0, Lane::capacity) < need.amount(wanted.min, way.terms)
            })
        };
        self.first_reason(ways, !ways.iter().all(too_small))
    }

    /// The first reason that holds, of ways that would carry it if they were empty or not.
    pub(super) fn first_reason(&self, ways: &[Way], fits_when_empty: bool) -> Reason {
        let drained = |way: &Way| {
            let mut needs = way.needs.iter().filter(|need| need.applies(way.terms));
            needs.any(|need| self.lane(&need.lane).is_some_and(Lane::is_drained))
        };
        match ways {
            [] => Reason::NoPath,
            _ if !fits_when_empty => Reason::RateAboveCapacity,
            ways if ways.iter().all(drained) => Reason::Drained,
            _ => Reason::NoHeadroom,
        }
    }

    /// The lanes of a way that cannot carry what is wanted at the first time that would do.
    pub(super) fn blocking<'s>(
        &'s self,
        way: &'s Way,
        wanted: &Wanted,
    ) -> impl Iterator<Item = Blocker> + use<'s> {
        let (wanted, over) = (*wanted, wanted.at_first());
        way.needs.iter().filter_map(move |need| {
            let needed = need.amount(wanted.min, way.terms);
            let free = self.headroom(need, over?);
            if needed <= free {
                return None;
            }
            let lane = self.lane(&need.lane);
            let first_free = lane.and_then(|lane| {
                lane.earliest(wanted.first, wanted.last_start(), wanted.span, needed)
            });
            let limit = self.limit_over(&need.lane, over?);
            let (source, lane) = (way.route.source().cloned(), need.lane.clone());
            Some(Blocker { source, lane, limit, free, needed, first_free })
        })
    }

    /// What fits instead, best first: what carries all of the volume by when it is finished, then
    /// what carries less by how much it carries.
    pub(super) fn offers(&self, ways: &[Way], wanted: &Wanted) -> Vec<CounterOffer> {
        let found = [
            self.same_rate_later(ways, wanted),
            self.later_finish(ways, wanted),
            self.lower_rate(ways, wanted),
        ];
        found.into_iter().flatten().collect()
    }

    /// The same for the same time, at the earliest start that leaves it within the horizon.
    fn same_rate_later(&self, ways: &[Way], wanted: &Wanted) -> Option<CounterOffer> {
        let later = Wanted { latest: wanted.last_start(), ..*wanted };
        self.place(ways, &later).map(|placed| offer(OfferKind::SameRateLater, &placed))
    }

    /// The same volume from the first start on, at a constant rate that is of use with the
    /// earliest end.
    fn later_finish(&self, ways: &[Way], wanted: &Wanted) -> Option<CounterOffer> {
        let mut best: Option<(Timestamp, BitRate, &Way)> = None;
        for way in ways {
            if let Some((end, rate)) = self.earliest_end(way, wanted)
                && best.is_none_or(|(earliest, ..)| end < earliest)
            {
                best = Some((end, rate, way));
            }
        }
        let (end, rate, way) = best?;
        let over = Interval::new(wanted.first, end)?;
        Some(offer(OfferKind::LaterFinish, &Placed { way, rate, over }))
    }

    /// The earliest end of a constant rate from the first start on that carries the volume: what
    /// a way carries from there falls with the end at each new low, and between two of them the
    /// longest that is allowed is the slowest that is needed.
    fn earliest_end(&self, way: &Way, wanted: &Wanted) -> Option<(Timestamp, BitRate)> {
        let volume = plan::carried(wanted.min, wanted.at_first()?);
        let over = Interval::new(wanted.first, wanted.horizon)?;
        let mut steps = self.steps(way, over).peekable();
        // More than is of use does not help: what is slower than asked never ends before it.
        let mut low = wanted.max;
        while let Some((_, rate)) = steps.next() {
            low = low.min(rate);
            if low == BitRate::ZERO {
                return None;
            }
            let until = steps.peek().map_or(wanted.horizon, |(next, _)| *next);
            let ms = i64::try_from(volume.div_ceil(low.bps().into())).ok()?;
            // Not before this step: it would have been found at an earlier one.
            let end = Timestamp::from_ms(wanted.first.as_ms().checked_add(ms)?)?;
            if end <= until {
                let length = Interval::new(wanted.first, end)?.span().as_ms();
                let bps = u64::try_from(volume.div_ceil(length.into())).ok()?;
                return Some((end, BitRate::from_bps(bps)?));
            }
        }
        None
    }

    /// The highest rate below the wanted one at any time that would do, the first such time.
    fn lower_rate(&self, ways: &[Way], wanted: &Wanted) -> Option<CounterOffer> {
        let mut best: Option<(BitRate, Timestamp, &Way)> = None;
        for way in ways {
            if let Some((rate, start)) = self.highest_within(way, wanted)
                && best.is_none_or(|(highest, ..)| highest < rate)
            {
                best = Some((rate, start, way));
            }
        }
        let (rate, start, way) = best.filter(|(rate, ..)| *rate != BitRate::ZERO)?;
        let over = wanted.starting(start)?;
        Some(offer(OfferKind::LowerRateNow, &Placed { way, rate, over }))
    }

    /// The highest rate that a way carries for the whole span from any start that would do, and
    /// the first start where it does. What can be had rises only where a step begins, so only
    /// those are looked at; the lowest of the steps that a span covers stands in front of a queue
    /// that never falls.
    fn highest_within(&self, way: &Way, wanted: &Wanted) -> Option<(BitRate, Timestamp)> {
        if wanted.first == wanted.latest {
            return Some((self.highest(way, wanted.at_first()?), wanted.first));
        }
        let over = Interval::new(wanted.first, wanted.latest.plus(wanted.span))?;
        let steps: Vec<(Timestamp, BitRate)> = self.steps(way, over).collect();
        let mut best: Option<(BitRate, Timestamp)> = None;
        let mut lows: VecDeque<(usize, BitRate)> = VecDeque::new();
        let mut ahead = steps.iter().enumerate().peekable();
        for (index, (start, _)) in steps.iter().enumerate() {
            if wanted.latest < *start {
                break;
            }
            let end = start.plus(wanted.span);
            while let Some((number, (_, rate))) = ahead.next_if(|(_, (begins, _))| *begins < end) {
                while lows.back().is_some_and(|(_, low)| rate <= low) {
                    lows.pop_back();
                }
                lows.push_back((number, *rate));
            }
            while lows.front().is_some_and(|(number, _)| *number < index) {
                lows.pop_front();
            }
            let low = lows.front().map_or(BitRate::ZERO, |(_, low)| *low);
            if best.is_none_or(|(highest, _)| highest < low) {
                best = Some((low, *start));
            }
        }
        best
    }
}

impl Machine {
    /// All that was asked, from a backend that mirrors one that was named.
    pub(super) fn other_source(
        &self,
        sight: &Sight<'_>,
        ask: &Ask,
        wish: &Wish,
    ) -> Option<CounterOffer> {
        let Ways::Between { sources, destination, via, .. } = &ask.ways else { return None };
        let mut others: Vec<Endpoint> = Vec::new();
        for source in sources {
            let Endpoint::Storage(name) = source else { continue };
            for mirror in self.state.topology.mirrors_of(name) {
                let mirror = Endpoint::Storage(mirror.clone());
                if !sources.contains(&mirror) && !others.contains(&mirror) {
                    others.push(mirror);
                }
            }
        }
        let account = self.account(ask, wish);
        let ways = others.into_iter().flat_map(|mirror| {
            let ways = Ways::Between {
                sources: vec![mirror],
                destination: destination.clone(),
                via: via.clone(),
                path: None,
            };
            // A mirror that these relays do not serve is no way.
            self.ways(&account, &ways, ask.terms).unwrap_or_default()
        });
        let ways: Vec<Way> = ways.collect();
        let sight = sight.opened(&ways);
        match wish {
            Wish::Steady(wanted) => {
                sight.place(&ways, wanted).map(|placed| offer(OfferKind::OtherSource, &placed))
            }
            Wish::Volume(sought) => {
                let window = sought.window.from(sought.offered)?;
                let later = Wish::Volume(Sought { window, ..*sought });
                let plan = sight.plan_for(&ways, &later, self.limits.segments_max)?;
                transfer::offer(OfferKind::OtherSource, (&ways, &plan), sought, window)
            }
        }
    }
}

/// Ranks offers: first those that carry all of the volume, by when they are finished, then the
/// others, by how much they carry.
pub(super) fn rank(offers: &mut [CounterOffer], wish: &Wish) {
    let asked = match wish {
        Wish::Steady(wanted) => wanted.at_first().map_or(0, |over| plan::carried(wanted.min, over)),
        Wish::Volume(sought) => plan::volume(sought.bytes),
    };
    offers.sort_by_key(|offer| {
        let carried = match offer.volume {
            Some(bytes) => plan::volume(bytes),
            None => plan::carried(offer.rate, offer.interval),
        };
        let missing = asked.saturating_sub(carried);
        (missing, offer.interval.end(), offer.interval.start())
    });
}

fn offer(kind: OfferKind, placed: &Placed<'_>) -> CounterOffer {
    let (route, terms) = (placed.way.route.clone(), placed.way.terms);
    CounterOffer { kind, route, terms, rate: placed.rate, interval: placed.over, volume: None }
}
