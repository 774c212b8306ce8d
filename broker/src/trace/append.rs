//! What is said of an append: what it holds, how long it took, and whom it answers.

use std::time::Duration;

use tracing::Span;
use tracing::field::Empty;

use crate::clock;
use crate::convert::reply::{count, int};
use crate::journal::Seq;

/// An append that is under way.
pub(crate) struct Append {
    span: Span,
    begun: Duration,
}

impl Append {
    /// Begins one of so many events and bytes, behind these requests.
    pub(crate) fn begin<'a>(
        Seq(batch): Seq,
        (events, bytes): (usize, usize),
        requests: impl Iterator<Item = &'a Span>,
    ) -> Self {
        let span = tracing::debug_span!(
            "append",
            batch = int(batch),
            events = count(events),
            bytes = count(bytes),
            duration_us = Empty,
        );
        if span.is_disabled() {
            return Self { span, begun: Duration::ZERO };
        }
        for request in requests.filter(|request| !request.is_disabled()) {
            span.follows_from(request);
        }
        Self { span, begun: clock::uptime() }
    }

    /// It is durable.
    pub(crate) fn end(self) {
        if !self.span.is_disabled() {
            let took = clock::uptime().saturating_sub(self.begun);
            let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.span.in_scope(|| tracing::debug!(duration_us, "appended"));
            self.span.record("duration_us", int(duration_us));
        }
    }
}

/// Says which batch a request waited for.
pub(crate) fn answers(request: &Span, Seq(batch): Seq) {
    if !request.is_disabled() {
        request.in_scope(|| tracing::debug!(batch, "durable"));
    }
}
