//! The span of a caller, from the header `traceparent` of W3C Trace Context.

use std::fmt;

use http::HeaderMap;

/// A span of somebody else, to which a request belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parent {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// Its trace as it is written: 32 digits.
impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace)
    }
}

impl Parent {
    /// What a caller says; `None` if it says nothing, or nothing that can be read.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut said = headers.get_all("traceparent").iter();
        let (first, second) = (said.next()?, said.next());
        match second {
            None => Self::read(first.to_str().ok()?),
            Some(_) => None,
        }
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let [version, trace, span, flags] = [(); 4].map(|()| parts.next());
        let version = number(version?, 2)?;
        // Later versions may say more behind it, and this one must not.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let trace = number(trace?, 32).filter(|trace| *trace != 0)?;
        let span = number(span?, 16).filter(|span| *span != 0)?;
        let flags = number(flags?, 2)?;
        Some(Self { trace, span: u64::try_from(span).ok()?, sampled: flags & 1 == 1 })
    }

    /// Makes a span that has just begun a part of that of the caller.
    #[cfg(feature = "otel")]
    pub(crate) fn adopt(self, span: &tracing::Span) {
        use opentelemetry::trace::{
            SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState,
        };
        use tracing_opentelemetry::OpenTelemetrySpanExt;
        let trace = TraceId::from_bytes(self.trace.to_be_bytes());
        let parent = SpanId::from_bytes(self.span.to_be_bytes());
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let remote = SpanContext::new(trace, parent, flags, true, TraceState::default());
        let context = opentelemetry::Context::new().with_remote_span_context(remote);
        // It fails where nothing is exported.
        drop(span.set_parent(context));
    }
}

/// A number of so many digits as the header writes them: in lower case.
fn number(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let right = text.len() == digits && text.bytes().all(is_digit);
    right.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_parent_is_read_as_the_standard_writes_it() {
        let parent = Parent::read(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!(parent.to_string(), TRACE);
        assert_eq!((parent.span, parent.sampled), (0x00f0_67aa_0ba9_02b7, true));
        let parent = Parent::read(&format!("00-{TRACE}-{SPAN}-00")).unwrap();
        assert!(!parent.sampled);
        assert!(Parent::read(&format!("01-{TRACE}-{SPAN}-03-more")).unwrap().sampled);
    }

    #[test]
    fn what_is_malformed_is_no_parent() {
        let zeros = ["0".repeat(32), "0".repeat(16)];
        for malformed in [
            String::new(),
            "00".into(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", zeros[0]),
            format!("00-{TRACE}-{}-01", zeros[1]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}-+{}-01", &SPAN[1..]),
        ] {
            assert_eq!(Parent::read(&malformed), None, "{malformed}");
        }
    }

    #[test]
    fn two_parents_are_none() {
        let mut headers = HeaderMap::new();
        headers.append("traceparent", format!("00-{TRACE}-{SPAN}-01").parse().unwrap());
        assert!(Parent::of(&headers).is_some());
        headers.append("traceparent", format!("00-{TRACE}-{SPAN}-01").parse().unwrap());
        assert_eq!(Parent::of(&headers), None);
    }
}
