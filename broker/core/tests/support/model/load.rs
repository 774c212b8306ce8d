//! What is booked, straight from a list: levels, peaks and earliest starts by trying everything.

use tidegate_core::command::{Ask, Shape};
use tidegate_core::{Blocker, CounterOffer, OfferKind, Reason, Refusal};
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
pub(crate) struct Wish {
    pub(crate) rate: u64,
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// Nothing may be offered that ends later.
    pub(crate) horizon: i64,
}

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

    fn fits(&self, net: &Net, need: (usize, u32), wish: &Wish, start: i64) -> bool {
        let end = start + wish.to - wish.from;
        net.amount(need, wish.rate) <= self.free(net, need.0, (start, end))
    }

    /// The first start at which all of these lanes carry the wish: the one asked for, or an
    /// instant at which something begins or ends.
    fn earliest(&self, net: &Net, needs: &[(usize, u32)], wish: &Wish) -> Option<i64> {
        let bookings =
            needs.iter().flat_map(|(lane, _)| self.on[*lane].iter().chain(&self.cuts[*lane]));
        let mut starts: Vec<i64> = bookings.flat_map(|booking| [booking.0, booking.1]).collect();
        starts.push(wish.from);
        starts.retain(|start| wish.from <= *start && start + wish.to - wish.from <= wish.horizon);
        starts.sort_unstable();
        starts.dedup();
        let fits = |start: &i64| needs.iter().all(|need| self.fits(net, *need, wish, *start));
        starts.into_iter().find(fits)
    }

    pub(crate) fn carries(&self, net: &Net, way: &Way, wish: &Wish) -> bool {
        way.lanes.iter().all(|need| self.fits(net, *need, wish, wish.from))
    }

    /// The highest rate that a way carries over the interval asked for.
    fn highest(&self, net: &Net, way: &Way, wish: &Wish) -> u64 {
        let needs = way.lanes.iter();
        let free: Vec<((usize, u32), u128)> =
            needs.map(|need| (*need, self.free(net, need.0, (wish.from, wish.to)))).collect();
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
                u128::from(net.capacity(need.0).unwrap_or(0)) < net.amount(*need, wish.rate)
            })
        };
        let reason = match ways {
            [] => Reason::NoPath,
            _ if ways.iter().all(too_small) => Reason::RateAboveCapacity,
            _ => Reason::NoHeadroom,
        };
        let mut blockers: Vec<Blocker> =
            ways.iter().flat_map(|way| self.blockers(net, way, wish)).collect();
        blockers.truncate(64);
        let offers = self.later(net, ways, wish).into_iter().chain(self.lower(net, ways, wish));
        Refusal { reason, blockers, offers: offers.collect() }
    }

    fn blockers(&self, net: &Net, way: &Way, wish: &Wish) -> Vec<Blocker> {
        let blocked = way.lanes.iter().filter(|need| !self.fits(net, **need, wish, wish.from));
        let blocker = |need: &(usize, u32)| {
            let limit = net.capacity(need.0).unwrap_or(0);
            let free = self.free(net, need.0, (wish.from, wish.to));
            Blocker {
                source: way.source.clone(),
                lane: lane_name(need.0),
                limit,
                free: u64::try_from(free).unwrap(),
                needed: u64::try_from(net.amount(*need, wish.rate)).unwrap(),
                first_free: self.earliest(net, &[*need], wish).map(at),
            }
        };
        blocked.map(blocker).collect()
    }

    fn later(&self, net: &Net, ways: &[Way], wish: &Wish) -> Option<CounterOffer> {
        let starts = ways.iter().map(|way| (self.earliest(net, &way.lanes, wish), way));
        let starts = starts.filter_map(|(start, way)| Some((start?, way)));
        // The first among equals: `min_by_key` keeps it.
        let (start, way) = starts.min_by_key(|(start, _)| *start)?;
        let rate = BitRate::from_bps(wish.rate).unwrap();
        Some(offer(OfferKind::SameRateLater, way, rate, (start, start + wish.to - wish.from)))
    }

    fn lower(&self, net: &Net, ways: &[Way], wish: &Wish) -> Option<CounterOffer> {
        let mut best: Option<(u64, &Way)> = None;
        for way in ways {
            let rate = self.highest(net, way, wish);
            if best.map_or(0, |(highest, _)| highest) < rate {
                best = Some((rate, way));
            }
        }
        let (rate, way) = best?;
        let rate = BitRate::from_bps(rate).unwrap();
        Some(offer(OfferKind::LowerRateNow, way, rate, (wish.from, wish.to)))
    }
}

fn offer(kind: OfferKind, way: &Way, rate: BitRate, (from, to): (i64, i64)) -> CounterOffer {
    let interval = Interval::new(at(from), at(to)).unwrap();
    CounterOffer { kind, source: way.source.clone(), via: way.via.clone(), rate, interval }
}

/// An offer as a request of its own, under the terms of the one that was refused.
pub(crate) fn taken(ask: &Ask, offer: &CounterOffer) -> Ask {
    let until = tidegate_core::Until::At(offer.interval.end());
    Ask {
        sources: vec![offer.source.clone()],
        via: offer.via.clone(),
        shape: Shape::Rigid { rate: offer.rate, start: Some(offer.interval.start()), until },
        ..ask.clone()
    }
}
