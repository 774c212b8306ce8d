//! What a request wants of a way, its times settled against now.
//!
//! A rigid request is a flexible one without a choice: one rate, one start. So is an offer that is
//! taken.

use tidegate_policy::{BitRate, ByteCount, Interval, Overcommit, Span, Timestamp};

use super::Machine;
use crate::command::{Ask, Shape, Until};
use crate::fault::{Fault, FieldFault};
use crate::planner::{Need, Steady, Volume};
use crate::reservation::Reservation;

/// What a request wants.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    /// A constant rate for some time.
    Steady(Wanted),
    /// A volume by a deadline.
    Volume(Sought),
}

/// A volume that is wanted by a deadline, with its times settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    /// The payload bytes that are promised.
    pub(super) bytes: ByteCount,
    /// What a plan for them books: with a margin, so that an exact limiter still ends in time.
    pub(super) volume: Volume,
    /// From the earliest start to the deadline.
    pub(super) window: Interval,
    /// Nothing is promised past it.
    pub(super) horizon: Timestamp,
    /// What is offered begins here at the earliest: it takes a moment to take an offer.
    pub(super) offered: Timestamp,
}

impl Wish {
    /// What the planner is to find a place for, and when.
    pub(super) fn need(&self) -> Option<(Need, Interval)> {
        Some(match self {
            Self::Steady(wanted) => {
                let Wanted { min, max, span, first, latest, .. } = *wanted;
                let window = Interval::new(first, latest.plus(span))?;
                (Need::Steady(Steady { min, max, span }), window)
            }
            Self::Volume(sought) => (Need::Volume(sought.volume), sought.window),
        })
    }

    /// Whether it has just one time and one rate.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(self, Self::Steady(it) if (it.first, it.min) == (it.latest, it.max))
    }

    /// The same, not before `from`; `None` if nothing of its window is left then.
    pub(super) fn not_before(&self, from: Option<Timestamp>) -> Option<Self> {
        let Some(from) = from else { return Some(*self) };
        match self {
            Self::Steady(wanted) => {
                let first = wanted.first.max(from);
                (first <= wanted.latest).then_some(Self::Steady(Wanted { first, ..*wanted }))
            }
            Self::Volume(sought) => {
                let window = sought.window.from(from)?;
                Some(Self::Volume(Sought { window, ..*sought }))
            }
        }
    }

    /// The same at exactly this start, if it has a length of its own.
    pub(super) fn exactly_at(&self, start: Timestamp) -> Option<Self> {
        match self {
            Self::Steady(wanted) => {
                Some(Self::Steady(Wanted { first: start, latest: start, ..*wanted }))
            }
            Self::Volume(_) => None,
        }
    }

    /// It, or the constant rate that a volume comes to if it takes the whole window.
    pub(super) fn steady(&self) -> Wanted {
        match self {
            Self::Steady(wanted) => *wanted,
            Self::Volume(sought) => {
                let Sought { volume, window, horizon, .. } = sought;
                let span = window.span();
                let mean = volume.need.div_ceil(u128::from(span.as_ms()).max(1));
                let mean = u64::try_from(mean).ok().and_then(BitRate::from_bps);
                let min = mean.unwrap_or(BitRate::MAX).max(volume.min);
                let (first, max) = (window.start(), volume.max.max(min));
                Wanted { min, max, span, first, latest: first, horizon: *horizon }
            }
        }
    }
}

/// What is wanted of a way, with its times settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The lowest rate that helps.
    pub(super) min: BitRate,
    /// The highest rate that is of use.
    pub(super) max: BitRate,
    pub(super) span: Span,
    /// The first start that will do.
    pub(super) first: Timestamp,
    /// The last start that will do.
    pub(super) latest: Timestamp,
    /// Nothing is promised past it.
    pub(super) horizon: Timestamp,
}

impl Wanted {
    /// What has been granted, wanted again where it is.
    pub(super) fn of(made: &Reservation) -> Self {
        let (start, end) = (made.interval.start(), made.interval.end());
        let (min, span) = (made.rate(), made.interval.span());
        Self { min, max: min, span, first: start, latest: start, horizon: end }
    }

    /// What is promised of it where only a part is.
    fn promised(self, ratio: Overcommit) -> Self {
        Self { min: ratio.floor(self.min), max: ratio.floor(self.max), ..self }
    }

    /// The first interval that would do.
    pub(super) fn at_first(&self) -> Option<Interval> {
        self.starting(self.first)
    }

    pub(super) fn starting(&self, start: Timestamp) -> Option<Interval> {
        Interval::new(start, start.plus(self.span))
    }

    /// The last start of anything like it that ends within the horizon.
    pub(super) fn last_start(&self) -> Timestamp {
        self.horizon.minus(self.span)
    }
}

/// What the fields are called that say a rate within bounds somewhere in a window.
pub(super) struct Called {
    min: &'static str,
    max: &'static str,
    span: &'static str,
    start: &'static str,
    end: &'static str,
}

/// In a request.
const FLEXIBLE: Called = Called {
    min: "flexible.min_bps",
    max: "flexible.max_bps",
    span: "flexible.duration",
    start: "flexible.window_start_time",
    end: "flexible.window_end_time",
};

/// In a question for times that would fit, which asks for no highest rate.
pub(super) const QUERY: Called = Called {
    min: "min_bps",
    max: "min_bps",
    span: "duration",
    start: "start_time",
    end: "end_time",
};

/// The field that says all of an offer.
const OFFERED: &str = "offer_token";

impl Machine {
    /// Resolves the times of a request against now.
    pub(super) fn wish(&self, now: Timestamp, ask: &Ask) -> Result<Wish, Fault> {
        let mut faults = Vec::new();
        let wish = self.wishes(now, ask, &mut faults);
        wish.filter(|_| faults.is_empty()).ok_or(Fault::Invalid(faults))
    }

    /// The same, beside whatever else is wrong.
    pub(super) fn wishes(
        &self,
        now: Timestamp,
        ask: &Ask,
        faults: &mut Vec<FieldFault>,
    ) -> Option<Wish> {
        let steady = match ask.shape {
            Shape::Rigid { rate, start, until } => {
                let wanted = self.rigid(now, (rate, start, until), faults);
                wanted.map(|wanted| wanted.promised(ask.standing.ratio))
            }
            Shape::Flexible { min, max, span, start, end } => {
                let wanted = self.flexible(now, (min, max, span, start, end), &FLEXIBLE, faults);
                wanted.map(|wanted| wanted.promised(ask.standing.ratio))
            }
            Shape::Offered { rate, over } => self.offered(now, rate, over, faults),
            Shape::Transfer { .. } => return self.sought(now, ask, faults).map(Wish::Volume),
        };
        steady.map(Wish::Steady)
    }

    fn sought(&self, now: Timestamp, ask: &Ask, faults: &mut Vec<FieldFault>) -> Option<Sought> {
        let Shape::Transfer { volume: bytes, min, max, start, deadline, split } = ask.shape else {
            return None;
        };
        let mut fault = |field: &str, why: String| faults.push(FieldFault::new(field, why));
        if bytes == ByteCount::ZERO {
            fault("transfer.volume_bytes", "it is zero; ask for at least one byte".into());
        }
        if max == BitRate::ZERO {
            fault("transfer.max_bps", "it is zero; ask for at least 1 bit/s".into());
        }
        if max < min {
            fault("transfer.max_bps", format!("it is {max}, below the lowest rate of {min}"));
        }
        let first = self.start(now, start, "transfer.start_time", faults);
        let horizon = self.within_horizon(now, deadline, "transfer.deadline", faults);
        // A hold must still fit if it is confirmed at its last instant.
        let first = ask.hold_for.map_or(first, |hold_for| first.max(now.plus(hold_for)));
        let window = Interval::new(first, deadline);
        if window.is_none() {
            let why =
                format!("it is at {deadline}, not after the start at {first}; ask for a later one");
            faults.push(FieldFault::new("transfer.deadline", why));
        }
        let need = self.with_margin(bytes);
        let volume = Volume { need, min, max, split };
        let offered = first.max(now.plus(self.limits.past_start));
        Some(Sought { bytes, volume, window: window?, horizon, offered })
    }

    fn rigid(
        &self,
        now: Timestamp,
        (rate, start, until): (BitRate, Option<Timestamp>, Until),
        faults: &mut Vec<FieldFault>,
    ) -> Option<Wanted> {
        if rate == BitRate::ZERO {
            faults.push(FieldFault::new("rigid.rate_bps", "it is zero; ask for at least 1 bit/s"));
        }
        let start = self.start(now, start, "rigid.start_time", faults);
        let (field, end) = match until {
            Until::At(end) => ("rigid.end_time", end),
            Until::After(span) => ("rigid.duration", start.plus(span)),
        };
        let horizon = self.within_horizon(now, end, field, faults);
        let over = Interval::new(start, end);
        if over.is_none() {
            let why = format!("it ends at {end}, not after its start at {start}");
            faults.push(FieldFault::new(field, why));
        }
        let span = over?.span();
        Some(Wanted { min: rate, max: rate, span, first: start, latest: start, horizon })
    }

    /// The rates, how long, and the window, of which the fields are called as `called` says.
    pub(super) fn flexible(
        &self,
        now: Timestamp,
        (min, max, span, start, end): (BitRate, BitRate, Span, Option<Timestamp>, Timestamp),
        called: &Called,
        faults: &mut Vec<FieldFault>,
    ) -> Option<Wanted> {
        let mut fault = |field: &str, why: String| faults.push(FieldFault::new(field, why));
        if min == BitRate::ZERO {
            fault(called.min, "it is zero; ask for at least 1 bit/s".into());
        }
        if max < min {
            fault(called.max, format!("it is {max}, below the lowest rate of {min}"));
        }
        if span == Span::ZERO {
            fault(called.span, "it is zero; ask for at least a millisecond".into());
        }
        let first = self.start(now, start, called.start, faults);
        let horizon = self.within_horizon(now, end, called.end, faults);
        let latest = end.minus(span);
        if latest < first || end < first.plus(span) {
            let why = format!("{span} from {first} on do not end by {end}; widen the window");
            faults.push(FieldFault::new(called.end, why));
        }
        Some(Wanted { min, max, span, first, latest, horizon })
    }

    /// Exactly what was offered, which may have begun just now.
    fn offered(
        &self,
        now: Timestamp,
        rate: BitRate,
        over: Interval,
        faults: &mut Vec<FieldFault>,
    ) -> Option<Wanted> {
        let start = over.start();
        let rest = over.from(now).filter(|_| now.minus(self.limits.past_start) <= start);
        if rest.is_none() {
            let (from, to) = (start, over.end());
            let why = format!("it is for {from} to {to}, and now it is {now}; ask for a fresh one");
            faults.push(FieldFault::new(OFFERED, why));
        }
        if rate == BitRate::ZERO {
            faults.push(FieldFault::new(OFFERED, "it offers nothing; copy it from a refusal"));
        }
        let horizon = self.within_horizon(now, over.end(), OFFERED, faults);
        let (span, first) = (rest?.span(), rest?.start());
        Some(Wanted { min: rate, max: rate, span, first, latest: first, horizon })
    }

    /// The start that is meant: now where none is said, or one that has just passed.
    pub(super) fn start(
        &self,
        now: Timestamp,
        start: Option<Timestamp>,
        field: &str,
        faults: &mut Vec<FieldFault>,
    ) -> Timestamp {
        let Some(start) = start else { return now };
        if start < now.minus(self.limits.past_start) {
            let why = format!("{start} is past: it is {now}; leave it out or ask for a later one");
            faults.push(FieldFault::new(field, why));
        }
        start.max(now)
    }

    pub(super) fn within_horizon(
        &self,
        now: Timestamp,
        end: Timestamp,
        field: &str,
        faults: &mut Vec<FieldFault>,
    ) -> Timestamp {
        let horizon = now.plus(self.limits.horizon);
        if horizon < end {
            let why = format!("it ends at {end}; the horizon ends at {horizon}, ask for less");
            faults.push(FieldFault::new(field, why));
        }
        horizon
    }
}
