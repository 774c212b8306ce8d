//! What a request wants of a way, its times settled against now.
//!
//! A rigid request is a flexible one without a choice: one rate, one start. So is an offer that is
//! taken.

use tidegate_policy::{BitRate, Interval, Span, Timestamp};

use super::Machine;
use crate::command::{Shape, Until};
use crate::fault::{Fault, FieldFault};

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
    pub(super) fn wanted(&self, now: Timestamp, shape: &Shape) -> Result<Wanted, Fault> {
        let mut faults = Vec::new();
        let wanted = self.wants(now, shape, &mut faults);
        wanted.filter(|_| faults.is_empty()).ok_or(Fault::Invalid(faults))
    }

    /// The same, beside whatever else is wrong.
    pub(super) fn wants(
        &self,
        now: Timestamp,
        shape: &Shape,
        faults: &mut Vec<FieldFault>,
    ) -> Option<Wanted> {
        match *shape {
            Shape::Rigid { rate, start, until } => self.rigid(now, (rate, start, until), faults),
            Shape::Flexible { min, max, span, start, end } => {
                self.flexible(now, (min, max, span, start, end), &FLEXIBLE, faults)
            }
            Shape::Offered { rate, over } => self.offered(now, rate, over, faults),
        }
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
