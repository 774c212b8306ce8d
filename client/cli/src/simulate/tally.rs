//! What came of each request, and what that amounts to.

use std::collections::BTreeMap;

use tidegate_core::{CloseWhy, Reason};
use tidegate_policy::Timestamp;

use super::agents::Work;
use super::formats::line::Kind;
use super::formats::requests::Request;
use super::formats::truth::Truth;
use super::numbers::{float, share};

/// What became of one request.
#[derive(Clone, Debug)]
pub(super) struct Fate {
    pub(super) request: Request,
    pub(super) truth: Truth,
    pub(super) granted: bool,
    pub(super) closed: Option<(CloseWhy, Timestamp)>,
    pub(super) work: Work,
}

/// Counted while it is replayed.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) replans: u64,
    pub(super) moved: u64,
    pub(super) offers_tried: u64,
    pub(super) offers_held: u64,
    pub(super) without_offer: u64,
    pub(super) refusals: BTreeMap<&'static str, u64>,
    /// How long each decision took, in nanoseconds.
    pub(super) decisions_ns: Vec<u64>,
}

/// What was asked and what was given, of some requests. Volumes are in bits times 1000.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) requests: u64,
    pub(super) accepted: u64,
    pub(super) offered: u128,
    pub(super) carried: u128,
}

impl Sums {
    fn add(&mut self, fate: &Fate) {
        self.requests += 1;
        self.accepted += u64::from(fate.granted);
        self.offered += fate.request.millibits();
        self.carried += fate.carried();
    }

    pub(super) fn acceptance(&self) -> f64 {
        share(self.accepted.into(), self.requests.into())
    }

    pub(super) fn carried_share(&self) -> f64 {
        share(self.carried, self.offered)
    }
}

/// Everything, and the same of those that show up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Both {
    pub(super) all: Sums,
    pub(super) useful: Sums,
}

/// What it all amounts to.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) total: Both,
    pub(super) kinds: BTreeMap<Kind, Both>,
    pub(super) deadlines_met: u64,
    /// Promises that were not kept, and no reason was given.
    pub(super) broken: u64,
    /// Those that were given up for a stated reason.
    pub(super) lost: BTreeMap<&'static str, u64>,
    pub(super) no_shows: u64,
    /// Given back early, by those who were done.
    pub(super) released: u64,
    /// Taken from those who had not shown up.
    pub(super) reclaimed: u64,
    /// Of these, taken from somebody who would have.
    pub(super) falsely_reclaimed: u64,
}

impl Fate {
    fn shows(&self) -> bool {
        !self.truth.no_show
    }

    /// All that was promised was carried, or all that its agent turned out to need, in time and
    /// at no other rate than what is of use. What is taken from a no-show was there for it.
    fn is_kept(&self) -> bool {
        if self.was_reclaimed() && !self.shows() {
            return true;
        }
        let Work { moved, last, rates, .. } = self.work;
        let late = last.is_some_and(|last| self.request.window().end() < last);
        let (least, most) = self.request.rates();
        let within = rates.is_none_or(|(low, high)| least.bps() <= low && high <= most.bps());
        self.granted && !late && within && self.needed() <= moved
    }

    /// What has to be moved for the promise to be kept. A no-show would have sent all of it.
    fn needed(&self) -> u128 {
        let all = self.request.millibits();
        match self.truth {
            Truth { no_show: false, used_ppm } if self.was_released() => used(all, used_ppm),
            _ => all,
        }
    }

    fn was_reclaimed(&self) -> bool {
        matches!(self.closed, Some((CloseWhy::NoShow, _)))
    }

    fn was_released(&self) -> bool {
        matches!(self.closed, Some((CloseWhy::Released, _)))
    }

    /// Promised and carried: all of it where the promise was kept, else what was there.
    fn carried(&self) -> u128 {
        match (self.granted, self.is_kept()) {
            (false, _) => 0,
            (true, true) => self.request.millibits(),
            (true, false) => self.work.moved.min(self.request.millibits()),
        }
    }
}

/// What its agent needs of all that it asked for, rounded up.
pub(super) fn used(all: u128, used_ppm: u64) -> u128 {
    (all * u128::from(used_ppm)).div_ceil(1_000_000)
}

/// Why a promise was given up, where that is a reason; `None` where it should have been kept.
fn stated(why: CloseWhy) -> Option<&'static str> {
    match why {
        CloseWhy::Completed | CloseWhy::Released => None,
        CloseWhy::Expired => Some("expired"),
        CloseWhy::SessionLost => Some("session_lost"),
        CloseWhy::CapacityLost => Some("capacity_lost"),
        CloseWhy::NoShow => Some("no_show"),
        CloseWhy::Preempted => Some("preempted"),
    }
}

/// What a refusal is called in the output.
pub(super) fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::RuleDenied => "rule_denied",
        Reason::ClassNotAllowed => "class_not_allowed",
        Reason::NoTier => "no_tier",
        Reason::NoPath => "no_path",
        Reason::AboveQuota => "above_quota",
        Reason::QuotaExhausted => "quota_exhausted",
        Reason::RateAboveCapacity => "rate_above_capacity",
        Reason::Drained => "drained",
        Reason::NoHeadroom => "no_headroom",
        Reason::OthersRefused => "others_refused",
        Reason::OtherTaken => "other_taken",
    }
}

pub(super) fn totals(fates: &[Fate]) -> Totals {
    let mut totals = Totals::default();
    totals.kinds.extend(Kind::ALL.map(|kind| (kind, Both::default())));
    for fate in fates {
        let kind = totals.kinds.entry(fate.request.kind()).or_default();
        for both in [&mut totals.total, kind] {
            both.all.add(fate);
            if fate.shows() {
                both.useful.add(fate);
            }
        }
        totals.no_shows += u64::from(!fate.shows());
        if fate.granted {
            totals.end(fate);
        }
    }
    totals
}

impl Totals {
    fn end(&mut self, fate: &Fate) {
        self.deadlines_met += u64::from(fate.is_kept());
        self.released += u64::from(fate.was_released());
        self.reclaimed += u64::from(fate.was_reclaimed());
        self.falsely_reclaimed += u64::from(fate.was_reclaimed() && fate.shows());
        if fate.is_kept() {
            return;
        }
        match fate.closed.and_then(|(why, _)| stated(why)) {
            Some(why) => *self.lost.entry(why).or_default() += 1,
            None => self.broken += 1,
        }
    }
}

/// The value below which `percent` of all lie, by the nearest rank; nothing of nothing.
pub(super) fn percentile_us(sorted_ns: &[u64], percent: usize) -> f64 {
    let rank = (sorted_ns.len() * percent).div_ceil(100).saturating_sub(1);
    sorted_ns.get(rank).map_or(0.0, |ns| float(*ns) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<u64> = (1..=200).map(|it| it * 1000).collect();
        assert_eq!([percentile_us(&values, 50), percentile_us(&values, 99)], [100.0, 198.0]);
        assert_eq!([percentile_us(&values[..1], 99), percentile_us(&[], 50)], [1.0, 0.0]);
    }
}
