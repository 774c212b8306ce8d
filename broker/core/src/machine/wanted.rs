//! What a request wants of a way, its times settled against now.
//!
//! A rigid request is a flexible one without a choice: one rate, one start.

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

impl Machine {
    /// Resolves the times of a request against now.
    pub(super) fn wanted(&self, now: Timestamp, shape: &Shape) -> Result<Wanted, Fault> {
        let mut faults = Vec::new();
        let wanted = match *shape {
            Shape::Rigid { rate, start, until } => {
                self.rigid(now, (rate, start, until), &mut faults)
            }
            Shape::Flexible { min, max, span, start, end } => {
                self.flexible(now, (min, max), (span, start, end), &mut faults)
            }
        };
        match wanted {
            Some(wanted) if faults.is_empty() => Ok(wanted),
            _ => Err(Fault::Invalid(faults)),
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

    fn flexible(
        &self,
        now: Timestamp,
        (min, max): (BitRate, BitRate),
        (span, start, end): (Span, Option<Timestamp>, Timestamp),
        faults: &mut Vec<FieldFault>,
    ) -> Option<Wanted> {
        let mut fault = |field: &str, why: String| faults.push(FieldFault::new(field, why));
        if min == BitRate::ZERO {
            fault("flexible.min_bps", "it is zero; ask for at least 1 bit/s".into());
        }
        if max < min {
            fault("flexible.max_bps", format!("it is {max}, below the lowest rate of {min}"));
        }
        if span == Span::ZERO {
            fault("flexible.duration", "it is zero; ask for at least a millisecond".into());
        }
        let first = self.start(now, start, "flexible.window_start_time", faults);
        let horizon = self.within_horizon(now, end, "flexible.window_end_time", faults);
        let latest = end.minus(span);
        if latest < first || end < first.plus(span) {
            let why = format!("{span} from {first} on do not end by {end}; widen the window");
            faults.push(FieldFault::new("flexible.window_end_time", why));
        }
        Some(Wanted { min, max, span, first, latest, horizon })
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
            let why = format!("{start} is past: it is {now}; leave it out to start now");
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
