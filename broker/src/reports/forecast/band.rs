//! How far forecasts were from the truth, by trying them on the past, and so how far the next may be.
//!
//! A forecast is made from each of several instants of the past by what was known then (rolling origin;
//! Tashman 2000). The errors, measured in how far each hour usually is from what is usual, make the band
//! as in split conformal prediction with local weights (Vovk, Gammerman and Shafer 2005; Lei, G'Sell,
//! Rinaldo, Tibshirani and Wasserman 2018, section 5.2). The two sides have quantiles of their own, so that
//! a lane with bursts gets a band that is wider above. Errors of one series are not exchangeable, so that
//! the band holds is no theorem here, but measured.

use std::ops::Range;

use super::fit::{DAY, Past, Usual};
use super::stats::count;

/// One of so many errors is below the band, and one above it: four of five are inside.
const TAIL: usize = 10;
/// Forecasts are tried from within so many days before the end, from at most so many instants, and on at
/// most so many days.
const SPAN: usize = 60;
const TRIALS: usize = 15;
const HORIZON: usize = 42;
/// Errors are pooled by how many days ahead they were: fewer than two, a week, two weeks, four, or more.
/// The last number is that of a day in the middle of the pool.
const POOLS: [(usize, f64); 5] = [(2, 1.0), (7, 4.5), (14, 10.5), (28, 21.0), (usize::MAX, 35.0)];
/// A pool of which fewer hours are known borrows the quantiles of the one before it.
const LEAST_HOURS: usize = 2 * DAY;
/// By this power of the time a band widens of which one pool only is known: as in a random walk.
const UNKNOWN_POWER: f64 = 0.5;

/// A forecast from an instant of the past.
#[derive(Debug)]
pub(super) struct Trial {
    /// How many hours of the past were known to it.
    pub(super) origin: usize,
    /// What it says of the hours that came then.
    pub(super) usual: Vec<Usual>,
}

/// What quantiles the errors have, by how far ahead they are.
#[derive(Clone, Debug)]
pub(super) struct Band {
    /// The lower and the upper end in each pool.
    ends: [(f64, f64); POOLS.len()],
    /// The day from which on nothing was measured, and the power of the time by which it widens there.
    measured: f64,
    power: f64,
}

/// From which hours of the past forecasts are tried, and how many hours ahead of each: whole days before
/// the end, so that they see the day as it looks now, and with at least `least` hours before.
pub(super) fn trials(len: usize, least: usize) -> Vec<(usize, usize)> {
    let span = (len.saturating_sub(least) / DAY).min(SPAN);
    // At most 4, so over two weeks or more each day of the week has its turn.
    let step = span.div_ceil(TRIALS).max(1);
    let backs = (1..=span).step_by(step);
    backs.map(|back| (len - back * DAY, back.min(HORIZON) * DAY)).collect()
}

/// The mean absolute error of trials, each pool of horizons counted alike. `None` if nothing is known.
pub(super) fn mean_error(past: Past<'_>, trials: &[Trial]) -> Option<f64> {
    let mut sums = [(0.0, 0.0); POOLS.len()];
    for trial in trials {
        for (ahead, (usual, truth)) in
            trial.usual.iter().zip(&past.hours[trial.origin..]).enumerate()
        {
            if !truth.is_nan() {
                let sum = &mut sums[pool(ahead)];
                *sum = (sum.0 + (truth - usual.value).abs(), sum.1 + 1.0);
            }
        }
    }
    let means: Vec<f64> = sums.iter().filter(|it| it.1 > 0.0).map(|it| it.0 / it.1).collect();
    (!means.is_empty()).then(|| means.iter().sum::<f64>() / count(means.len()))
}

fn pool(ahead: usize) -> usize {
    POOLS.iter().position(|it| ahead / DAY < it.0).unwrap_or(POOLS.len() - 1)
}

/// What is to be expected of the mean over some hours.
pub(super) fn mean_of(usual: &[Usual]) -> Usual {
    let len = count(usual.len().max(1));
    let sum = |of: fn(&Usual) -> f64| usual.iter().map(of).sum::<f64>() / len;
    Usual { value: sum(|it| it.value), scale: sum(|it| it.scale) }
}

// === impl Band ===

impl Band {
    /// The band of means over `buckets`, which are ranges of hours ahead.
    pub(super) fn of(past: Past<'_>, trials: &[Trial], buckets: &[Range<usize>]) -> Self {
        let mut errors: [Vec<f64>; POOLS.len()] = Default::default();
        let (mut hours, mut tried) = ([0; POOLS.len()], [0; POOLS.len()]);
        for trial in trials {
            let truths = &past.hours[trial.origin..];
            let mut pooled = [0; POOLS.len()];
            for bucket in buckets.iter().take_while(|it| it.end <= trial.usual.len()) {
                if let Some((error, known)) =
                    error(&truths[bucket.clone()], &trial.usual[bucket.clone()])
                {
                    errors[pool(bucket.start)].push(error);
                    pooled[pool(bucket.start)] += known;
                }
            }
            for (at, known) in pooled.into_iter().enumerate().filter(|it| it.1 > 0) {
                hours[at] += known;
                tried[at] += 1;
            }
        }
        let mut ends = [(0.0, 0.0); POOLS.len()];
        let mut measured = Vec::new();
        for at in 0..POOLS.len() {
            let before = at.checked_sub(1).map_or((0.0, 0.0), |before| ends[before]);
            ends[at] = before;
            if hours[at] >= LEAST_HOURS || at == 0 {
                // What is further ahead is no surer, whatever the errors happen to be.
                let (low, high) = quantiles(&mut errors[at]);
                // The errors of one trial are much alike, so few trials say less than many errors.
                let wider = 1.0 + count(tried[at].max(1)).recip();
                ends[at] = ((low * wider).min(before.0), (high * wider).max(before.1));
                measured.push(at);
            }
        }
        let first = measured.first().copied().unwrap_or(0);
        let last = measured.last().copied().unwrap_or(0);
        let width = |at: usize| ends[at].1 - ends[at].0;
        let power = if last > first && width(first) > 0.0 {
            (width(last) / width(first)).ln() / (POOLS[last].1 / POOLS[first].1).ln()
        } else {
            UNKNOWN_POWER
        };
        Self { ends, measured: POOLS[last].1, power: power.clamp(0.0, 1.0) }
    }

    /// The ends of the band around what is to be expected so many hours ahead. Beyond what was measured
    /// it widens as it did until there.
    pub(super) fn around(&self, usual: Usual, ahead: usize) -> (f64, f64) {
        let beyond = (count(ahead / DAY + 1) / self.measured).max(1.0).powf(self.power);
        let (low, high) = self.ends[pool(ahead)];
        let end = |of: f64| (usual.value + of * usual.scale * beyond).max(0.0);
        (end(low), end(high))
    }
}

/// How far a mean was from the truth, in what is usual, and of how many hours that is known. `None`
/// where fewer than half of them are.
fn error(truths: &[f64], usual: &[Usual]) -> Option<(f64, usize)> {
    let (mut sum, mut known) = (0.0, 0);
    for (truth, usual) in truths.iter().zip(usual).filter(|(truth, _)| !truth.is_nan()) {
        sum += truth - usual.value;
        known += 1;
    }
    let scale = mean_of(usual).scale;
    // Without a scale all of the past is zero, and so is every error.
    let error = if scale > 0.0 { sum / count(known.max(1)) / scale } else { 0.0 };
    (2 * known >= truths.len() && known > 0).then_some((error, known))
}

/// Between which all but a tenth of the errors on either side are: the conformal ranks, which count one
/// more error than there is. Fewer than nine errors cannot say that much, and the furthest is taken.
fn quantiles(errors: &mut [f64]) -> (f64, f64) {
    errors.sort_unstable_by(f64::total_cmp);
    let rank = ((errors.len() + 1) / TAIL).max(1);
    let low = errors.get(rank - 1).copied().unwrap_or(0.0);
    let high = errors.len().checked_sub(rank).map_or(0.0, |at| errors[at]);
    (low.min(0.0), high.max(0.0))
}
