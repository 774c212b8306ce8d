//! What a path needs of a lane, and how a payload rate becomes an amount on it.

use tidegate_policy::{BitRate, Overcommit};

use super::{LaneDef, LaneName, Spread};

/// What a request says about how its bytes are carried.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Terms {
    /// It may share what is there with others: it books nothing on firm lanes.
    pub shared: bool,
    /// Over how many parallel streams its bytes are spread.
    pub streams: u16,
}

impl Default for Terms {
    fn default() -> Self {
        Self { shared: false, streams: 1 }
    }
}

/// What a path needs of one lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneNeed {
    /// The lane.
    pub lane: LaneName,
    /// Headers on top of the payload, in parts per million of it.
    pub overhead_ppm: u32,
    /// How often the path crosses it: a lane named twice carries the bytes twice.
    pub times: u32,
    /// It is a firm lane: what shares books nothing there.
    pub firm: bool,
    /// It is one link of a bundle.
    pub spread: Option<Spread>,
}

/// Parts per million of one.
pub(crate) const PPM: u128 = 1_000_000;

/// All of something, in parts per million of it.
const ALL: u64 = 1_000_000;

impl LaneNeed {
    /// What a path that crosses a lane so often needs of it.
    #[must_use]
    pub fn of(lane: &LaneName, def: &LaneDef, times: u32) -> Self {
        let LaneDef { overhead_ppm, firm, spread, .. } = *def;
        Self { lane: lane.clone(), overhead_ppm, times, firm, spread }
    }

    /// What is needed of a quota of a rate: the payload that was asked for, of which only a part is
    /// booked on the lanes of the way.
    #[must_use]
    pub fn payload(lane: LaneName, ratio: Overcommit) -> Self {
        let overhead_ppm = ratio.ppm().saturating_sub(Overcommit::NONE.ppm());
        Self { lane, overhead_ppm, times: 1, firm: false, spread: None }
    }

    /// Whether a request under these terms books the lane at all.
    #[must_use]
    pub fn applies(&self, terms: Terms) -> bool {
        !(self.firm && terms.shared)
    }

    /// The amount booked for a payload rate, rounded up.
    #[must_use]
    pub fn amount(&self, rate: BitRate, terms: Terms) -> u64 {
        self.factor(terms).map_or(0, |factor| factor.amount(rate))
    }

    /// The highest payload rate whose amount fits into `free`, rounded down: the inverse of
    /// [`Self::amount`].
    #[must_use]
    pub fn rate_within(&self, free: u64, terms: Terms) -> BitRate {
        self.factor(terms).map_or(BitRate::MAX, |factor| factor.rate_within(free))
    }

    /// What a payload rate books of it under these terms; `None` if nothing.
    pub(crate) fn factor(&self, terms: Terms) -> Option<Factor> {
        let share = match self.spread {
            Some(spread) if spread.streams_min <= terms.streams => spread.share_ppm.into(),
            Some(_) | None => ALL,
        };
        let wire = ALL.saturating_add(self.overhead_ppm.into());
        // Where nothing is shared, small numbers do.
        let (wire, payload) = match share {
            ALL => (wire, ALL),
            share => (wire.saturating_mul(share), UNIT),
        };
        self.applies(terms).then_some(Factor { wire, payload, times: self.times })
    }
}

/// What a payload rate books on a lane: headers and the share of a bundle's link in one product,
/// so that both together round once, times how often the lane is crossed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Factor {
    /// So many bits on the wire
    wire: u64,
    /// for so many of payload.
    payload: u64,
    times: u32,
}

const UNIT: u64 = ALL.pow(2);

impl Factor {
    /// What a quota of a rate counts of a booking: the payload that was asked for.
    pub(crate) fn asked(ratio: Overcommit) -> Self {
        Self { wire: ratio.ppm().into(), payload: ALL, times: 1 }
    }

    /// The amount booked for a payload rate, rounded up: the only place where bookings round.
    pub(crate) fn amount(self, rate: BitRate) -> u64 {
        let once = match rate.bps().checked_mul(self.wire) {
            _ if self.wire == self.payload => rate.bps(),
            Some(product) => product.div_ceil(self.payload.max(1)),
            None => {
                let product = u128::from(rate.bps()).saturating_mul(self.wire.into());
                u64::try_from(product.div_ceil(self.payload.max(1).into())).unwrap_or(u64::MAX)
            }
        };
        once.saturating_mul(self.times.into())
    }

    /// The highest payload rate whose amount fits into `free`, rounded down: the only place where
    /// headroom rounds.
    pub(crate) fn rate_within(self, free: u64) -> BitRate {
        let once = match self.times {
            1 => free,
            times => free.checked_div(times.into()).unwrap_or(0),
        };
        let bps = match once.checked_mul(self.payload) {
            _ if self.wire == self.payload => Some(once),
            Some(product) => Some(product.checked_div(self.wire).unwrap_or(0)),
            None => {
                let product = u128::from(once).saturating_mul(self.payload.into());
                u64::try_from(product.checked_div(self.wire.into()).unwrap_or(0)).ok()
            }
        };
        bps.and_then(BitRate::from_bps).unwrap_or(BitRate::MAX)
    }

    /// How often the lane is crossed.
    pub(crate) fn times(self) -> u32 {
        self.times
    }

    /// The payload that fits into `free` if the lane is crossed once, rounded down, in bits per
    /// second.
    pub(crate) fn carries(self, free: u64) -> u64 {
        Self { times: 1, ..self }.rate_within(free).bps()
    }
}
