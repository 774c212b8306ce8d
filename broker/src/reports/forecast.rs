//! How much of a lane is likely to be booked in each hour or day to come, and when it runs full.
//!
//! A function of numbers: what was booked in each hour of the past, what is booked already of the future,
//! and what can be booked there. Rates are bits per second of the lane, as means over an hour or a day;
//! instants are milliseconds since the Unix epoch; hours, days and weeks are those of UTC, so where
//! summer time begins a pattern of local time is an hour off until the past has enough of it.
//!
//! What is expected is the median of what was booked in the same hour of the week (or of the day, where
//! less than two weeks are known), raised to the level of the last days, with the trend (Theil 1950; Sen
//! 1968) if that has proved itself. Whether a level is added to the pattern or multiplies it, and whether
//! the trend goes on, is what would have been better on the lane's own past. The same trials give the
//! band: see `forecast/band.rs`. What is booked already is a floor under all of it, and capacity a roof.
//!
//! What was chosen by which figures, and what lost, stands in `docs/decisions/2026-11-29-reports.md`.

mod band;
mod fit;
mod stats;
#[cfg(test)]
mod tests;

use std::ops::Range;

use band::{Band, Trial, mean_error, mean_of, trials};
use fit::{DAY, Fit, Form, Past, Season, Slopes, Usual, WEEK};
use stats::{real, signed, whole};

const HOUR_MS: i64 = 3_600_000;
/// Older history is not looked at: 90 days.
const LONGEST: usize = 90 * DAY;
/// So many hours have to be known for a daily season: three days.
const LEAST_DAILY: usize = 3 * DAY;
/// And so many for a weekly one, in two weeks or more.
const LEAST_WEEKLY: usize = 10 * DAY;
/// What a trial on the past has to know at least: a season, and a day more, with which a trend begins.
const LEAST_TRIED: [(Season, usize); 2] = [(Season::Day, 2 * DAY), (Season::Week, WEEK + DAY)];
/// A trend goes on only if the errors with it are less than this part of those without: what was no
/// trend must not be carried on for months.
const TREND_PROVES: f64 = 0.97;

/// What a lane's forecast is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LanePast<'a> {
    /// Mean rates booked in the hours before `end_ms`, the last one last, in bits per second. `None` is
    /// an hour of which nothing is known. Of more than 90 days the last 90 count.
    pub(crate) history: &'a [Option<u64>],
    /// When the history ends and the future begins: the start of the current hour.
    pub(crate) end_ms: i64,
    /// Mean rates booked already in the hours from `end_ms` on. The forecast is as long as this.
    pub(crate) booked: &'a [u64],
    /// Mean capacities in the same hours, less what maintenance takes. An hour that is missing has none.
    pub(crate) capacity: &'a [u64],
}

/// How long buckets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BucketLength {
    /// An hour.
    Hour,
    /// A day of UTC; the first is what is left of today, and the last may be cut too.
    Day,
}

/// What a forecast rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Basis {
    /// What is booked only: of the past less than three days are known.
    Bookings,
    /// The hours of the day.
    Daily,
    /// The hours of the week: the past is two weeks or more, of which at least ten days are known.
    Weekly,
}

/// What is to come on a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Forecast {
    /// In order, without gaps.
    pub(crate) buckets: Vec<Bucket>,
    /// What it rests on.
    pub(crate) basis: Basis,
    /// How much more is booked each day by the trend that it follows, in bits per second. Zero if going
    /// on with the trend of the past would have been no better than not to.
    pub(crate) trend_bps: i64,
    /// How many hours of the past are known.
    pub(crate) known_hours: usize,
    /// The start of the first hour in which what is expected reaches capacity. Hours without any
    /// capacity are out of service, not full. The same holds for the other two.
    pub(crate) expected_full_ms: Option<i64>,
    /// When the upper end of the band does.
    pub(crate) high_full_ms: Option<i64>,
    /// When what is booked already does.
    pub(crate) booked_full_ms: Option<i64>,
}

/// Means over one bucket in bits per second: `booked <= low <= expected <= high`, and `high` is at most
/// `capacity` unless more than that is booked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bucket {
    /// Its first instant.
    pub(crate) start_ms: i64,
    /// What can be booked.
    pub(crate) capacity: u64,
    /// What is booked already.
    pub(crate) booked: u64,
    /// What is likely to be booked in the end: the median, so that as often more is booked as less.
    pub(crate) expected: u64,
    /// The lower end of the band in which four of five outcomes are to lie.
    pub(crate) low: u64,
    /// Its upper end.
    pub(crate) high: u64,
}

/// What is likely to be booked on a lane, in buckets of `length`.
///
/// It costs two or three milliseconds, and the same input has the same answer.
pub(crate) fn forecast(lane: LanePast<'_>, length: BucketLength) -> Forecast {
    let history = &lane.history[lane.history.len().saturating_sub(LONGEST)..];
    let hours: Vec<f64> = history.iter().map(|it| it.map_or(f64::NAN, real)).collect();
    let past = Past { hours: &hours, first: slot(lane.end_ms, hours.len()) };
    let known_hours = past.known();
    let since = hours.iter().position(|it| !it.is_nan()).map_or(0, |first| hours.len() - first);
    let season = match known_hours {
        LEAST_WEEKLY.. if since >= 2 * WEEK => Some(Season::Week),
        LEAST_DAILY.. => Some(Season::Day),
        _ => None,
    };
    let model = season.and_then(|season| Model::of(past, season, lane.booked.len()));
    let spans = spans(lane, BucketLength::Hour);
    let hourly = buckets(lane, &spans, past, model.as_ref());
    let full = |rate: fn(&Bucket) -> u64| {
        let full = |it: &&Bucket| it.capacity > 0 && rate(it) >= it.capacity;
        hourly.iter().find(full).map(|it| it.start_ms)
    };
    Forecast {
        basis: match model.as_ref().and(season) {
            Some(Season::Week) => Basis::Weekly,
            Some(Season::Day) => Basis::Daily,
            None => Basis::Bookings,
        },
        trend_bps: model.as_ref().map_or(0, |it| signed(it.trend)),
        known_hours,
        expected_full_ms: full(|it| it.expected),
        high_full_ms: full(|it| it.high),
        booked_full_ms: full(|it| it.booked),
        buckets: match length {
            BucketLength::Hour => hourly,
            BucketLength::Day => buckets(lane, &self::spans(lane, length), past, model.as_ref()),
        },
    }
}

/// Which hour of the week it is so many hours before an instant.
fn slot(end_ms: i64, hours: usize) -> usize {
    let week_ms = HOUR_MS * 168;
    let hour = usize::try_from(end_ms.rem_euclid(week_ms) / HOUR_MS).unwrap_or(0);
    (hour + WEEK - hours % WEEK) % WEEK
}

/// The hours ahead that are in each bucket.
fn spans(lane: LanePast<'_>, length: BucketLength) -> Vec<Range<usize>> {
    let len = lane.booked.len();
    let (first, step) = match length {
        BucketLength::Hour => (1, 1),
        BucketLength::Day => (DAY - slot(lane.end_ms, 0) % DAY, DAY),
    };
    let ends = (first..len).step_by(step).chain([len]);
    let starts = [0].into_iter().chain((first..len).step_by(step));
    starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end).collect()
}

/// Each bucket, with the band that was measured of such buckets.
fn buckets(
    lane: LanePast<'_>,
    spans: &[Range<usize>],
    past: Past<'_>,
    model: Option<&Model>,
) -> Vec<Bucket> {
    let band = model.map(|it| Band::of(past, &it.trials, spans));
    let mean = |rates: &[u64], span: &Range<usize>| {
        let inside = rates.get(span.start..).unwrap_or_default();
        let sum: u128 = inside.iter().take(span.len()).map(|it| u128::from(*it)).sum();
        let len = u128::try_from(span.len().max(1)).unwrap_or(1);
        u64::try_from(sum / len).unwrap_or(u64::MAX)
    };
    let one = |span: &Range<usize>| {
        let (capacity, booked) = (mean(lane.capacity, span), mean(lane.booked, span));
        let fit = |rate: f64| whole(rate).clamp(booked, capacity.max(booked));
        let (expected, (low, high)) = match (model, &band) {
            (Some(model), Some(band)) => {
                let usual = mean_of(&model.floored(lane, span));
                (fit(usual.value), band.around(usual, span.start))
            }
            _ => (booked, (real(booked), real(booked))),
        };
        let (low, high) = (fit(low).min(expected), fit(high).max(expected));
        let start_ms = lane
            .end_ms
            .saturating_add(HOUR_MS.saturating_mul(i64::try_from(span.start).unwrap_or(i64::MAX)));
        Bucket { start_ms, capacity, booked, expected, low, high }
    };
    spans.iter().map(one).collect()
}

/// What is expected of a lane before its bookings are looked at, and how the same did on its past.
struct Model {
    ahead: Vec<Usual>,
    trials: Vec<Trial>,
    /// In bits per second and day.
    trend: f64,
}

impl Model {
    /// The form, with or without the trend, that would have been best on the past.
    fn of(past: Past<'_>, season: Season, ahead: usize) -> Option<Self> {
        let mut best: Option<(f64, Self)> = None;
        let slopes = Slopes::of(past, season);
        let origins = origins(past, season, &slopes);
        for form in [Form::Sum, Form::Product] {
            let Some((fit, residues)) = Fit::of(past, season, form, slopes.before(0)) else {
                continue;
            };
            let spread = residues.spread(&fit);
            let tried = |&(origin, hours, slope): &(usize, usize, f64)| {
                Some((origin, hours, Fit::of(past.before(origin), season, form, slope)?.0))
            };
            let fits: Vec<(usize, usize, Fit)> = origins.iter().filter_map(tried).collect();
            for trend in [false, true] {
                let trial = |(origin, hours, fit): &(usize, usize, Fit)| Trial {
                    origin: *origin,
                    usual: fit.ahead(*hours, trend, &spread),
                };
                let trials: Vec<Trial> = fits.iter().map(trial).collect();
                let error = mean_error(past, &trials).unwrap_or(f64::INFINITY)
                    * if trend { TREND_PROVES.recip() } else { 1.0 };
                if best.as_ref().is_none_or(|best| error < best.0) {
                    let ahead = fit.ahead(ahead, trend, &spread);
                    let trend = if trend { fit.slope } else { 0.0 };
                    best = Some((error, Self { ahead, trials, trend }));
                }
            }
        }
        best.map(|it| it.1)
    }

    /// What is expected of the hours of a bucket, each at least what is booked and at most what it can
    /// carry: what one hour lacks is not booked in another. Where more is booked than is usual, the band
    /// stands on that: nobody who books late is known to stay away because others were early.
    fn floored(&self, lane: LanePast<'_>, span: &Range<usize>) -> Vec<Usual> {
        let one = |at: usize| {
            let booked = lane.booked.get(at).copied().unwrap_or(0);
            let roof = lane.capacity.get(at).copied().unwrap_or(0).max(booked);
            let usual = self.ahead[at];
            Usual { value: usual.value.clamp(real(booked), real(roof)), ..usual }
        };
        span.clone().map(one).collect()
    }
}

/// The instants of the past from which forecasts are tried: how many hours were known there, how many
/// ahead of it are known now, and the trend that was seen there.
fn origins(past: Past<'_>, season: Season, slopes: &Slopes) -> Vec<(usize, usize, f64)> {
    let least = LEAST_TRIED.iter().find(|it| it.0 == season).map_or(0, |it| it.1);
    let one = |(origin, hours): (usize, usize)| {
        let enough = past.before(origin).known() >= least;
        let back = (past.hours.len() - origin) / DAY;
        enough.then(|| (origin, hours, slopes.before(back)))
    };
    trials(past.hours.len(), least).into_iter().filter_map(one).collect()
}
