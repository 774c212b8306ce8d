//! What is booked, straight from a list: levels, peaks, earliest starts and ends by trying
//! everything.

use tidegate_core::{Blocker, CounterOffer, OfferKind, Reason, Refusal, Terms};
use tidegate_policy::{BitRate, Interval, Timestamp};

use super::net::{LANES, Net, Way, lane_name};

/// A booking: from, to, and what it takes of which lanes.
#[derive(Clone)]
pub(crate) struct Booking {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) lanes: Vec<(usize, u64)>,
}

/// What is taken of each lane: from, to and how much.
pub(crate) type Taken = Vec<Vec<(i64, i64, u128)>>;

/// The bookings of each lane.
pub(crate) struct Load {
    on: Taken,
    /// What maintenance takes away.
    cuts: Taken,
    drained: Vec<bool>,
}

/// What is asked, with its times settled.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) min: u64,
    pub(crate) max: u64,
    pub(crate) span: i64,
    /// The first and the last start that will do.
    pub(crate) first: i64,
    pub(crate) latest: i64,
    /// Nothing may be offered that ends later.
    pub(crate) horizon: i64,
}

/// Where a wish comes true: on which way, at which rate, from when to when.
pub(crate) type Place<'w> = (&'w Way, u64, (i64, i64));

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

impl Load {
    pub(crate) fn new<'a>(
        list: impl Iterator<Item = &'a Booking>,
        from: i64,
        (cuts, drained): (Taken, Vec<bool>),
    ) -> Self {
        let mut on = vec![Vec::new(); LANES];
        for booking in list.filter(|booking| from < booking.to) {
            for (lane, amount) in &booking.lanes {
                on[*lane].push((booking.from, booking.to, u128::from(*amount)));
            }
        }
        Self { on, cuts, drained }
    }

    /// Leaves of each drained lane what these bookings have of it where maintenance and others leave
    /// it, and nothing else: they stand on it, and may be changed into less.
    pub(crate) fn leave_own(&mut self, net: &Net, own: &[&Booking], from: i64) {
        for lane in (0..LANES).filter(|lane| self.drained[*lane]).collect::<Vec<usize>>() {
            let part = |it: &&Booking| {
                let amounts = it.lanes.iter().filter(|(known, _)| *known == lane);
                let amount: u128 = amounts.map(|(_, amount)| u128::from(*amount)).sum();
                (it.from, it.to, amount)
            };
            let own: Vec<(i64, i64, u128)> =
                own.iter().map(part).filter(|it| 0 < it.2 && from < it.1).collect();
            if own.is_empty() {
                continue;
            }
            let parts: Vec<(i64, i64, u128)> =
                self.on[lane].iter().chain(&self.cuts[lane]).copied().collect();
            let both = own.iter().chain(&parts);
            let mut edges: Vec<i64> = both.flat_map(|it| [it.0.max(from), it.1]).collect();
            edges.extend([from, i64::MAX]);
            edges.retain(|edge| from <= *edge);
            edges.sort_unstable();
            edges.dedup();
            let capacity = u128::from(net.capacity(lane).unwrap_or(0));
            let level = |list: &[(i64, i64, u128)], at: i64| -> u128 {
                list.iter().filter(|it| it.0 <= at && at < it.1).map(|it| it.2).sum()
            };
            let taken = |pair: &[i64]| {
                let left = capacity.saturating_sub(level(&parts, pair[0]));
                (pair[0], pair[1], capacity - level(&own, pair[0]).min(left))
            };
            let pieces = edges.windows(2);
            self.on[lane] = pieces.map(taken).collect();
            self.cuts[lane].clear();
            self.drained[lane] = false;
        }
    }

    fn level(&self, lane: usize, instant: i64) -> u128 {
        let covers = |booking: &&(i64, i64, u128)| booking.0 <= instant && instant < booking.1;
        self.on[lane].iter().filter(covers).map(|booking| booking.2).sum()
    }

    /// The most booked at one instant: where a booking begins, or where the question does.
    pub(crate) fn peak(&self, lane: usize, from: i64, to: i64) -> u128 {
        let begins = self.on[lane].iter().map(|booking| booking.0);
        let begins = begins.filter(|begin| from < *begin && *begin < to);
        begins.chain([from]).map(|instant| self.level(lane, instant)).max().unwrap_or(0)
    }

    /// The most booked or in maintenance at one instant.
    pub(crate) fn peak_with_cuts(&self, lane: usize, from: i64, to: i64) -> u128 {
        let parts = || self.on[lane].iter().chain(&self.cuts[lane]);
        let begins = parts().map(|part| part.0).filter(|begin| from < *begin && *begin < to);
        let taken = |instant: i64| -> u128 {
            parts().filter(|part| part.0 <= instant && instant < part.1).map(|part| part.2).sum()
        };
        begins.chain([from]).map(taken).max().unwrap()
    }

    /// The least that is free for something new.
    fn free(&self, net: &Net, lane: usize, (from, to): (i64, i64)) -> u128 {
        let most = self.peak_with_cuts(lane, from, to);
        let capacity = if self.drained[lane] { 0 } else { net.capacity(lane).unwrap_or(0) };
        u128::from(capacity).saturating_sub(most)
    }

    fn fits(&self, net: &Net, need: (usize, u32), rate: u64, over: (i64, i64)) -> bool {
        net.amount(need, rate) <= self.free(net, need.0, over)
    }

    fn carries(&self, net: &Net, way: &Way, rate: u64, over: (i64, i64)) -> bool {
        way.lanes.iter().all(|need| self.fits(net, *need, rate, over))
    }

    /// Every instant from `from` to `to` at which something can change on these lanes, the first
    /// one included.
    fn edges(&self, needs: &[(usize, u32)], from: i64, to: i64) -> Vec<i64> {
        let parts =
            needs.iter().flat_map(|(lane, _)| self.on[*lane].iter().chain(&self.cuts[*lane]));
        let mut edges: Vec<i64> = parts.flat_map(|part| [part.0, part.1]).collect();
        edges.push(from);
        edges.retain(|edge| from <= *edge && *edge <= to);
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    /// The first start up to `latest` at which all of these lanes carry the lowest rate.
    fn earliest(&self, net: &Net, needs: &[(usize, u32)], wish: &Wish, latest: i64) -> Option<i64> {
        let fits = |start: &i64| {
            let over = (*start, start + wish.span);
            needs.iter().all(|need| self.fits(net, *need, wish.min, over))
        };
        self.edges(needs, wish.first, latest).into_iter().find(fits)
    }

    /// The earliest place up to `latest`, the first way's among equals.
    fn place_until<'w>(
        &self,
        net: &Net,
        ways: &'w [Way],
        wish: &Wish,
        latest: i64,
    ) -> Option<Place<'w>> {
        let starts = ways.iter().map(|way| (self.earliest(net, &way.lanes, wish, latest), way));
        let starts = starts.filter_map(|(start, way)| Some((start?, way)));
        // The first among equals: `min_by_key` keeps it.
        let (start, way) = starts.min_by_key(|(start, _)| *start)?;
        let over = (start, start + wish.span);
        Some((way, self.highest(net, way, over).min(wish.max), over))
    }

    pub(crate) fn place<'w>(&self, net: &Net, ways: &'w [Way], wish: &Wish) -> Option<Place<'w>> {
        self.place_until(net, ways, wish, wish.latest)
    }

    /// The highest rate that a way carries over an interval.
    fn highest(&self, net: &Net, way: &Way, over: (i64, i64)) -> u64 {
        let needs = way.lanes.iter();
        let free: Vec<((usize, u32), u128)> =
            needs.map(|need| (*need, self.free(net, need.0, over))).collect();
        let carries = |rate: u64| free.iter().all(|(need, free)| net.amount(*need, rate) <= *free);
        let (mut fits, mut too_much) = (0, BitRate::MAX.bps() + 1);
        while fits + 1 < too_much {
            let middle = fits + (too_much - fits) / 2;
            if carries(middle) {
                fits = middle;
            } else {
                too_much = middle;
            }
        }
        fits
    }

    /// The refusal of a wish that no way carries.
    pub(crate) fn refusal(&self, net: &Net, ways: &[Way], wish: &Wish) -> Refusal {
        let too_small = |way: &Way| {
            let mut needs = way.lanes.iter();
            needs.any(|need| {
                u128::from(net.capacity(need.0).unwrap_or(0)) < net.amount(*need, wish.min)
            })
        };
        let reason = match ways {
            [] => Reason::NoPath,
            _ if ways.iter().all(too_small) => Reason::RateAboveCapacity,
            _ if ways.iter().all(|way| way.lanes.iter().any(|(lane, _)| self.drained[*lane])) => {
                Reason::Drained
            }
            _ => Reason::NoHeadroom,
        };
        let mut blockers: Vec<Blocker> =
            ways.iter().flat_map(|way| self.blockers(net, way, wish)).collect();
        blockers.truncate(64);
        let offers = self.offers(net, ways, wish);
        let (rules, quotas) = Default::default();
        Refusal { reason, blockers, rules, quotas, offers, held: None }
    }

    fn blockers(&self, net: &Net, way: &Way, wish: &Wish) -> Vec<Blocker> {
        let over = (wish.first, wish.first + wish.span);
        let blocked = way.lanes.iter().filter(|need| !self.fits(net, **need, wish.min, over));
        let blocker = |need: &(usize, u32)| {
            let limit = net.capacity(need.0).unwrap_or(0);
            let free = self.free(net, need.0, over);
            let last = wish.horizon - wish.span;
            Blocker {
                source: way.route.source().cloned(),
                lane: lane_name(need.0),
                limit,
                free: u64::try_from(free).unwrap(),
                needed: u64::try_from(net.amount(*need, wish.min)).unwrap(),
                first_free: self.earliest(net, &[*need], wish, last).map(at),
            }
        };
        blocked.map(blocker).collect()
    }

    /// Everything that fits instead, by how much of the volume is missing and when it is finished.
    pub(crate) fn offers(&self, net: &Net, ways: &[Way], wish: &Wish) -> Vec<CounterOffer> {
        let last = wish.horizon - wish.span;
        let later = self.place_until(net, ways, wish, last);
        let later = later.map(|place| offer(OfferKind::SameRateLater, place));
        let finish = self.later_finish(net, ways, wish);
        let finish = finish.map(|place| offer(OfferKind::LaterFinish, place));
        let lower = self.lower(net, ways, wish);
        let lower = lower.map(|place| offer(OfferKind::LowerRateNow, place));
        let mut offers: Vec<CounterOffer> = [later, finish, lower].into_iter().flatten().collect();
        let length = |offer: &CounterOffer| u128::from(offer.interval.span().as_ms());
        let asked = u128::from(wish.min) * u128::try_from(wish.span).unwrap();
        offers.sort_by_key(|offer| {
            let carried = u128::from(offer.rate.bps()) * length(offer);
            let over = offer.interval;
            (asked.saturating_sub(carried), over.end(), over.start())
        });
        offers
    }

    /// The same volume from the first start with the earliest end: within each stretch between two
    /// edges the ends are tried by halving, since there a later end is never worse.
    fn later_finish<'w>(&self, net: &Net, ways: &'w [Way], wish: &Wish) -> Option<Place<'w>> {
        let mut best: Option<Place<'w>> = None;
        for way in ways {
            let mut ends = self.edges(&way.lanes, wish.first, wish.horizon);
            ends.push(wish.horizon);
            for pair in ends.windows(2) {
                let done = |end: i64| {
                    let rate = rate_until(wish, end);
                    rate <= wish.max && self.carries(net, way, rate, (wish.first, end))
                };
                let (mut short, mut long) = (pair[0], pair[1]);
                if long <= short || !done(long) {
                    continue;
                }
                while short + 1 < long {
                    let middle = short + (long - short) / 2;
                    if done(middle) { long = middle } else { short = middle }
                }
                if best.is_none_or(|(_, _, (_, end))| long < end) {
                    best = Some((way, rate_until(wish, long), (wish.first, long)));
                }
                break;
            }
        }
        best
    }

    /// The highest rate at any start that will do: the first one, or where something changes.
    fn lower<'w>(&self, net: &Net, ways: &'w [Way], wish: &Wish) -> Option<Place<'w>> {
        let mut best: Option<Place<'w>> = None;
        for way in ways {
            for start in self.edges(&way.lanes, wish.first, wish.latest) {
                let over = (start, start + wish.span);
                let rate = self.highest(net, way, over);
                if best.map_or(0, |(_, highest, _)| highest) < rate {
                    best = Some((way, rate, over));
                }
            }
        }
        best
    }
}

/// The rate at which the volume is carried by `end`, rounded up.
fn rate_until(wish: &Wish, end: i64) -> u64 {
    let volume = u128::from(wish.min) * u128::try_from(wish.span).unwrap();
    let length = u128::try_from(end - wish.first).unwrap();
    // No lane carries what does not fit into 64 bits.
    u64::try_from(volume.div_ceil(length)).unwrap_or(u64::MAX)
}

fn offer(kind: OfferKind, (way, rate, (from, to)): Place<'_>) -> CounterOffer {
    let interval = Interval::new(at(from), at(to)).unwrap();
    let (route, terms) = (way.route.clone(), Terms::default());
    CounterOffer {
        kind,
        route,
        terms,
        rate: BitRate::from_bps(rate).unwrap(),
        interval,
        volume: None,
    }
}
