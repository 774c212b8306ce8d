//! What is usual on a lane: the hours of its week or of its day, the level that they stand on, and the
//! trend, all of them by medians. A burst or a hole moves none of them.

use super::stats::{count, median, weighted_median, winsorised};

pub(super) const DAY: usize = 24;
pub(super) const WEEK: usize = 7 * DAY;
/// The level at the end is that of so many days, and so is that around each day of the past.
const LEVEL_DAYS: usize = 7;
/// The mean level is that of so many weeks, where so many are known.
const MEAN_WEEKS: usize = 4;
/// Two days are compared if so many of their hours are known of both.
const LEAST_HOURS: usize = 6;
/// Nothing is divided by less than this part of what is usual.
const LEAST_PART: f64 = 0.1;
/// No hour of a lane is taken to be surer than this part of its mean level.
const LEAST_SPREAD: f64 = 0.01;
/// A lane whose level was so much lower or higher is still taken to be as sure in proportion, no further.
const MOST_WIDER: f64 = 2.0;
/// What is known of one hour of the week counts as it is; what is known of this hour on all days counts
/// as so many hours more, and what is known of all hours as one.
const SAME_HOUR: f64 = 4.0;
/// What is known of the hour before and of the hour after counts this part.
const NEXT_HOUR: f64 = 0.25;

/// Hourly means in bits per second, the oldest first; what is not known is no number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past<'a> {
    pub(super) hours: &'a [f64],
    /// Which hour of the week the first is, counted from the one that began with the Unix epoch.
    pub(super) first: usize,
}

/// After what the same hours come again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Season {
    Day,
    Week,
}

/// Whether a level is added to the hours of a season or multiplies them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Sum,
    Product,
}

/// What is to be expected of an hour: its mean in bits per second, and how far it usually is from that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usual {
    pub(super) value: f64,
    pub(super) scale: f64,
}

/// What is usual, as it looks at the end of a past.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    form: Form,
    /// By hour of the week, whatever the season, in bits per second.
    profile: Vec<f64>,
    /// How much more it is each day, in bits per second.
    pub(super) slope: f64,
    /// The mean of all hours, in bits per second.
    mean: f64,
    /// Which hour of the week comes next.
    next: usize,
}

// === impl Past ===

impl<'a> Past<'a> {
    /// What was known at the beginning of its hour `origin`.
    pub(super) fn before(self, origin: usize) -> Self {
        Self { hours: &self.hours[..origin], ..self }
    }

    pub(super) fn known(self) -> usize {
        self.hours.iter().filter(|it| !it.is_nan()).count()
    }

    fn slot(self, at: usize) -> usize {
        (self.first + at) % WEEK
    }

    /// The hours of each day, counted back from the end, the last day first.
    fn days(self) -> impl Iterator<Item = &'a [f64]> {
        self.hours.rchunks_exact(DAY)
    }
}

// === impl Form ===

impl Form {
    /// The level that changes nothing.
    fn neutral(self) -> f64 {
        match self {
            Self::Sum => 0.0,
            Self::Product => 1.0,
        }
    }

    fn raise(self, usual: f64, level: f64) -> f64 {
        match self {
            Self::Sum => usual + level,
            Self::Product => usual * level,
        }
    }

    fn lower(self, it: f64, level: f64) -> f64 {
        match self {
            Self::Sum => it - level,
            Self::Product => it / level.max(LEAST_PART),
        }
    }
}

// === impl Fit ===

impl Fit {
    /// What is usual by the end of `past`, and how far each hour of the week usually is from it.
    /// `None` if nothing of it is known.
    pub(super) fn of(
        past: Past<'_>,
        season: Season,
        form: Form,
        slope: f64,
    ) -> Option<(Self, Residues)> {
        let recent = past.hours.len().saturating_sub(MEAN_WEEKS * WEEK);
        let mean = mean(&past.hours[recent..], slope).or_else(|| mean(past.hours, slope))?;
        let form = if mean > 0.0 { form } else { Form::Sum };
        let mut level_at_end = Vec::with_capacity(past.hours.len());
        for (at, it) in past.hours.iter().enumerate() {
            let grown = slope * count(past.hours.len() - at) / count(DAY);
            level_at_end.push(match form {
                Form::Sum => it + grown,
                Form::Product => it / (1.0 - grown / mean).max(LEAST_PART),
            });
        }
        // A level that moved within the past would blur the profile, so it is found first and taken out.
        let rough = profile(Past { hours: &level_at_end, ..past }, season)?;
        let days = day_levels(Past { hours: &level_at_end, ..past }, &rough, form);
        for (back, hours) in level_at_end.rchunks_exact_mut(DAY).enumerate() {
            let level = level_around(&days, back).unwrap_or(form.neutral());
            hours.iter_mut().for_each(|it| *it = form.lower(*it, level));
        }
        let flat = Past { hours: &level_at_end, ..past };
        let fine = profile(flat, season)?;
        let level = level_around(&days, 0).unwrap_or(form.neutral());
        let raised = fine.iter().map(|it| form.raise(*it, level)).collect();
        let fit = Self { form, profile: raised, slope, mean, next: past.slot(past.hours.len()) };
        Some((fit, Residues { flat: level_at_end, first: past.first, profile: fine }))
    }

    /// What is to be expected of the hours ahead, with the trend or without it.
    pub(super) fn ahead(&self, hours: usize, trend: bool, spread: &Spread) -> Vec<Usual> {
        let slope = if trend { self.slope } else { 0.0 };
        let then = if spread.mean > 0.0 { self.mean / spread.mean } else { 1.0 };
        let then = then.clamp(MOST_WIDER.recip(), MOST_WIDER);
        let at = |ahead: usize| {
            let slot = (self.next + ahead) % WEEK;
            let grown = slope * count(ahead) / count(DAY);
            let part = if self.mean > 0.0 { (1.0 + grown / self.mean).max(0.0) } else { 1.0 };
            let value = match self.form {
                Form::Sum => self.profile[slot] + grown,
                Form::Product => self.profile[slot] * part,
            };
            // What is made of many bookings is further off by the root of how many more they are.
            let wider = match self.form {
                Form::Sum => (part * then).sqrt(),
                Form::Product => part * then,
            };
            Usual { value: value.max(0.0), scale: spread.of_week[slot] * wider }
        };
        (0..hours).map(at).collect()
    }
}

/// How much more was booked on one day than on another, per day between them, of all pairs of days: those
/// of a weekly season are whole weeks apart (Hirsch, Slack and Smith 1982).
#[derive(Debug)]
pub(super) struct Slopes {
    /// How many days before the end the later day of the pair is, and the slope in bits per second and day.
    pairs: Vec<(usize, f64)>,
}

impl Slopes {
    pub(super) fn of(past: Past<'_>, season: Season) -> Self {
        let step = if season == Season::Week { 7 } else { 1 };
        let days: Vec<&[f64]> = past.days().collect();
        let (mut pairs, mut rises) = (Vec::new(), Vec::with_capacity(DAY));
        for (back, late) in days.iter().enumerate() {
            for (further, early) in days.iter().enumerate().skip(back + step).step_by(step) {
                rises.clear();
                let each = late.iter().zip(*early).map(|(late, early)| late - early);
                rises.extend(each.filter(|it| !it.is_nan()));
                if rises.len() >= LEAST_HOURS {
                    let rise = winsorised(&mut rises) / count(rises.len());
                    pairs.push((back, rise / count(further - back)));
                }
            }
        }
        Self { pairs }
    }

    /// The trend as it looked so many days before the end: the median (Theil 1950; Sen 1968).
    pub(super) fn before(&self, back: usize) -> f64 {
        let seen = self.pairs.iter().filter(|it| it.0 >= back).map(|it| it.1);
        median(&mut seen.collect::<Vec<_>>()).unwrap_or(0.0)
    }
}

/// The mean of what is known, as it would be at the end.
fn mean(hours: &[f64], slope: f64) -> Option<f64> {
    let (mut sum, mut known) = (0.0, 0.0);
    for (back, it) in hours.iter().rev().enumerate().filter(|(_, it)| !it.is_nan()) {
        sum += it + slope * count(back + 1) / count(DAY);
        known += 1.0;
    }
    (known > 0.0).then(|| sum / known)
}

/// What is usual in each hour of the week: the median of those that are known, else of that hour of the
/// day, else of all.
fn profile(past: Past<'_>, season: Season) -> Option<Vec<f64>> {
    let mut profile = match season {
        Season::Day => vec![f64::NAN; WEEK],
        Season::Week => medians(past, WEEK),
    };
    if profile.iter().any(|it| it.is_nan()) {
        let daily = medians(past, DAY);
        let mut known: Vec<f64> = daily.iter().copied().filter(|it| !it.is_nan()).collect();
        let all = median(&mut known)?;
        for (slot, it) in profile.iter_mut().enumerate().filter(|(_, it)| it.is_nan()) {
            *it = if daily[slot % DAY].is_nan() { all } else { daily[slot % DAY] };
        }
    }
    Some(profile)
}

/// The median of each hour of a period that divides the week; no number where none is known.
fn medians(past: Past<'_>, period: usize) -> Vec<f64> {
    let mut same = Vec::with_capacity(past.hours.len() / period + 1);
    let one = |slot: usize| {
        let first = (slot + WEEK - past.first % period) % period;
        same.clear();
        same.extend(past.hours.iter().skip(first).step_by(period).filter(|it| !it.is_nan()));
        median(&mut same).unwrap_or(f64::NAN)
    };
    (0..period).map(one).collect()
}

/// The level of each day, and how much it weighs: the last day first.
fn day_levels(past: Past<'_>, profile: &[f64], form: Form) -> Vec<(f64, f64)> {
    let mut off = Vec::with_capacity(DAY);
    let one = |(back, hours): (usize, &[f64])| {
        let first = past.hours.len() - DAY * (back + 1);
        let mut usual = 0.0;
        off.clear();
        for (at, it) in hours.iter().enumerate().filter(|(_, it)| !it.is_nan()) {
            usual += profile[past.slot(first + at)];
            off.push(it - profile[past.slot(first + at)]);
        }
        let (known, off) = (count(off.len()), winsorised(&mut off));
        match form {
            Form::Sum if known > 0.0 => (off / known, known),
            Form::Product if usual > 0.0 => (1.0 + off / usual, usual),
            _ => (form.neutral(), 0.0),
        }
    };
    past.days().enumerate().map(one).collect()
}

/// The median level of the days around one, which is not in their middle at either end.
fn level_around(days: &[(f64, f64)], back: usize) -> Option<f64> {
    let last = days.len().saturating_sub(LEVEL_DAYS);
    let from = back.saturating_sub(LEVEL_DAYS / 2).min(last);
    let around = &days[from.min(days.len())..days.len().min(from + LEVEL_DAYS)];
    weighted_median(&mut around.iter().copied().filter(|it| it.1 > 0.0).collect::<Vec<_>>())
}

/// What is left of a past without its level and its trend, beside what is usual then.
#[derive(Debug)]
pub(super) struct Residues {
    flat: Vec<f64>,
    first: usize,
    profile: Vec<f64>,
}

/// How far each hour of the week usually is from what is usual, in bits per second: only how these
/// compare with each other matters, since a band is measured in them.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    of_week: Vec<f64>,
    /// The mean level that they belong to.
    mean: f64,
}

impl Residues {
    /// Mean absolute deviations. Those of one hour of the week are few, so they are mixed with those of
    /// the hours beside it, of the same hour on all days, and of all hours.
    pub(super) fn spread(&self, fit: &Fit) -> Spread {
        let past = Past { hours: &self.flat, first: self.first };
        let mut own = vec![(0.0, 0.0); WEEK];
        for (at, it) in self.flat.iter().enumerate().filter(|(_, it)| !it.is_nan()) {
            let slot = past.slot(at);
            add(&mut own[slot], ((it - self.profile[slot]).abs(), 1.0), 1.0);
        }
        let (mut all, mut daily) = ((0.0, 0.0), [(0.0, 0.0); DAY]);
        for (slot, it) in own.iter().enumerate() {
            add(&mut daily[slot % DAY], *it, 1.0);
            add(&mut all, *it, 1.0);
        }
        let each = |of: (f64, f64)| (of.0 / f64::max(of.1, 1.0), 1.0);
        let of_week = (0..WEEK).map(|slot| {
            let mut mixed = own[slot];
            add(&mut mixed, own[(slot + 1) % WEEK], NEXT_HOUR);
            add(&mut mixed, own[(slot + WEEK - 1) % WEEK], NEXT_HOUR);
            add(&mut mixed, each(daily[slot % DAY]), SAME_HOUR);
            add(&mut mixed, each(all), 1.0);
            each(mixed).0.max(LEAST_SPREAD * fit.mean)
        });
        Spread { of_week: of_week.collect(), mean: fit.mean }
    }
}

/// Adds a sum and the number of those that are in it, as often as `times`.
fn add(to: &mut (f64, f64), more: (f64, f64), times: f64) {
    to.0 += more.0 * times;
    to.1 += more.1 * times;
}
