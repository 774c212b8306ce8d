//! Collects every bad field of a request before anything is said about it.

use std::str::FromStr;

use prost_types::{Duration, Timestamp as WireTimestamp};
use tidegate_core::FieldFault;
use tidegate_policy::{BitRate, ByteCount, ParseError, Span, Timestamp};

/// The bad fields found so far.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<FieldFault>);

impl Fields {
    /// `value`, which is there unless a fault was found.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Vec<FieldFault>> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            Some(_) => Err(self.0),
            None => {
                if self.0.is_empty() {
                    self.fault("request", "it is incomplete");
                }
                Err(self.0)
            }
        }
    }

    /// Reads a part of the request, whose fields are named behind it: `requests[3].sources`.
    pub(crate) fn within<T>(
        &mut self,
        part: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let mut inside = Self::default();
        let value = read(&mut inside);
        for FieldFault { field, why } in inside.0 {
            self.fault(&format!("{part}.{field}"), why);
        }
        value
    }

    pub(crate) fn fault(&mut self, field: &str, why: impl Into<String>) {
        self.0.push(FieldFault::new(field, why));
    }

    /// A required message.
    pub(crate) fn required<T>(&mut self, field: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.fault(field, "it is required");
        }
        value
    }

    /// A required word.
    pub(crate) fn word<T: FromStr<Err = ParseError>>(
        &mut self,
        field: &str,
        text: &str,
    ) -> Option<T> {
        if text.is_empty() {
            self.fault(field, "it is required");
            return None;
        }
        self.keep(field, text.parse())
    }

    /// What was read, or the fault of it.
    pub(crate) fn keep<T>(&mut self, field: &str, read: Result<T, ParseError>) -> Option<T> {
        read.map_err(|error| self.fault(field, error.to_string())).ok()
    }

    /// A required word in a collection, such as `sessions/{id}`.
    pub(crate) fn named<T: FromStr<Err = ParseError>>(
        &mut self,
        field: &str,
        collection: &str,
        text: &str,
    ) -> Option<T> {
        if text.is_empty() {
            self.fault(field, format!("it is required; write {collection}/NAME"));
            return None;
        }
        let Some(word) = text.strip_prefix(collection).and_then(|rest| rest.strip_prefix('/'))
        else {
            let shown: String = text.chars().take(80).collect();
            self.fault(field, format!("{shown:?} is not in {collection}; write {collection}/NAME"));
            return None;
        };
        self.word(field, word)
    }

    /// An optional word in a collection.
    pub(crate) fn optional<T: FromStr<Err = ParseError>>(
        &mut self,
        field: &str,
        collection: &str,
        text: &str,
    ) -> Option<T> {
        if text.is_empty() { None } else { self.named(field, collection, text) }
    }

    /// A rate; zero is left to whoever knows whether it makes sense.
    pub(crate) fn rate(&mut self, field: &str, bps: i64) -> Option<BitRate> {
        let rate = u64::try_from(bps).ok().and_then(BitRate::from_bps);
        if rate.is_none() {
            let most = BitRate::MAX.bps();
            self.fault(field, format!("it is {bps}; write 1 to {most} bit/s"));
        }
        rate
    }

    /// A rate that is asked for, which is never zero.
    pub(crate) fn some_rate(&mut self, field: &str, bps: i64) -> Option<BitRate> {
        if bps == 0 {
            self.fault(field, "it is zero; ask for at least 1 bit/s");
            return None;
        }
        self.rate(field, bps)
    }

    /// A size in bytes.
    pub(crate) fn bytes(&mut self, field: &str, bytes: i64) -> Option<ByteCount> {
        let size = u64::try_from(bytes).ok().map(ByteCount::new);
        if size.is_none() {
            self.fault(field, format!("it is {bytes}; bytes are never negative"));
        }
        size
    }

    /// A size that is asked for, which is never zero.
    pub(crate) fn some_bytes(&mut self, field: &str, bytes: i64) -> Option<ByteCount> {
        if bytes == 0 {
            self.fault(field, "it is zero; ask for at least one byte");
            return None;
        }
        self.bytes(field, bytes)
    }

    /// A small number from 0 to `most`.
    pub(crate) fn number(&mut self, field: &str, value: i32, most: u32) -> Option<u32> {
        let number = u32::try_from(value).ok().filter(|number| *number <= most);
        if number.is_none() {
            self.fault(field, format!("it is {value}; write 0 to {most}"));
        }
        number
    }

    /// An instant that rounds down to milliseconds: a start.
    pub(crate) fn start(&mut self, field: &str, time: WireTimestamp) -> Option<Timestamp> {
        self.instant(field, time, 0)
    }

    /// An instant that rounds up to milliseconds: an end.
    pub(crate) fn end(&mut self, field: &str, time: WireTimestamp) -> Option<Timestamp> {
        self.instant(field, time, 999_999)
    }

    fn instant(&mut self, field: &str, time: WireTimestamp, up: i32) -> Option<Timestamp> {
        let ms = millis(time.seconds, time.nanos, up).and_then(Timestamp::from_ms);
        if ms.is_none() {
            let why = "it is not an instant of the years 1970 to 9999 with nanos of 0 to 999999999";
            self.fault(field, why);
        }
        ms
    }

    /// A length of time, rounded up to milliseconds.
    pub(crate) fn span(&mut self, field: &str, span: Duration) -> Option<Span> {
        let ms = millis(span.seconds, span.nanos, 999_999);
        let span = ms.and_then(|ms| u64::try_from(ms).ok()).and_then(Span::from_ms);
        if span.is_none() {
            self.fault(field, "it is not a length of 0 to 400 days with nanos of 0 to 999999999");
        }
        span
    }
}

/// Seconds and nanoseconds as milliseconds; `up` nanoseconds are added before rounding down.
fn millis(seconds: i64, nanos: i32, up: i32) -> Option<i64> {
    if !(0..1_000_000_000).contains(&nanos) {
        return None;
    }
    let rest = nanos.checked_add(up)? / 1_000_000;
    seconds.checked_mul(1000)?.checked_add(rest.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_round_down_and_ends_round_up() {
        let time = |nanos| WireTimestamp { seconds: 1, nanos };
        let mut fields = Fields::default();
        assert_eq!(fields.start("t", time(1)).unwrap().as_ms(), 1000);
        assert_eq!(fields.end("t", time(1)).unwrap().as_ms(), 1001);
        assert_eq!(fields.end("t", time(1_000_000)).unwrap().as_ms(), 1001);
        assert_eq!(fields.end("t", time(999_999_999)).unwrap().as_ms(), 2000);
        assert!(fields.finish(Some(())).is_ok());
    }

    #[test]
    fn impossible_times_are_faults() {
        let mut fields = Fields::default();
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (-1, 0), (0, -1), (0, 1_000_000_000)]
        {
            assert_eq!(fields.start("t", WireTimestamp { seconds, nanos }), None);
            assert_eq!(fields.span("d", Duration { seconds, nanos }), None);
        }
        assert_eq!(fields.finish(Some(())).unwrap_err().len(), 10);
    }
}
