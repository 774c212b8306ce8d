//! Numbers and times between the wire and checked types. Nothing unchecked leaves this file.

use std::time::Duration;

use tidegate_policy::{BitRate, ByteCount, Endpoint, RequestId, SessionId, Span, Timestamp};
use uuid::Uuid;

use crate::clock;
use crate::error::ClientError;
use crate::reservation::Etag;

/// A fresh request id: a UUIDv7 of now.
pub(crate) fn new_request_id() -> RequestId {
    let ms = u64::try_from(clock::wall().as_ms()).unwrap_or(0);
    let nanos = u32::try_from(ms % 1000).unwrap_or(0) * 1_000_000;
    let time = uuid::Timestamp::from_unix(uuid::NoContext, ms / 1000, nanos);
    RequestId::from_u128(Uuid::new_v7(time).as_u128())
}

pub(crate) fn to_timestamp(time: Timestamp) -> prost_types::Timestamp {
    let ms = time.as_ms();
    let nanos = i32::try_from(ms.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    prost_types::Timestamp { seconds: ms.div_euclid(1000), nanos }
}

pub(crate) fn to_duration(span: Span) -> prost_types::Duration {
    let ms = span.as_ms();
    let nanos = i32::try_from(ms % 1000).unwrap_or(0) * 1_000_000;
    prost_types::Duration { seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX), nanos }
}

/// An instant, in whole milliseconds rounded down; `None` where the field is absent.
pub(crate) fn instant(
    field: &'static str,
    time: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, ClientError> {
    let Some(time) = time else { return Ok(None) };
    let nanos = i64::from(time.nanos);
    let in_second = (0..1_000_000_000).contains(&nanos);
    let ms = time.seconds.checked_mul(1000).and_then(|ms| ms.checked_add(nanos / 1_000_000));
    ms.filter(|_| in_second)
        .and_then(Timestamp::from_ms)
        .map(Some)
        .ok_or_else(|| ClientError::bad(field, format!("{time:?} is no time of 1970 to 9999")))
}

/// An instant that has to be there.
pub(crate) fn instant_required(
    field: &'static str,
    time: Option<prost_types::Timestamp>,
) -> Result<Timestamp, ClientError> {
    instant(field, time)?.ok_or_else(|| ClientError::bad(field, "it is missing"))
}

/// A length of time that has to be there and is not negative.
pub(crate) fn length(
    field: &'static str,
    span: Option<prost_types::Duration>,
) -> Result<Duration, ClientError> {
    let span = span.ok_or_else(|| ClientError::bad(field, "it is missing"))?;
    let fault = || ClientError::bad(field, format!("{span:?} is no length of time"));
    let secs = u64::try_from(span.seconds).map_err(|_| fault())?;
    let nanos = u32::try_from(span.nanos).map_err(|_| fault())?;
    if nanos < 1_000_000_000 { Ok(Duration::new(secs, nanos)) } else { Err(fault()) }
}

/// A rate of at most [`BitRate::MAX`].
pub(crate) fn rate(field: &'static str, bps: i64) -> Result<BitRate, ClientError> {
    let rate = u64::try_from(bps).ok().and_then(BitRate::from_bps);
    rate.ok_or_else(|| ClientError::bad(field, format!("{bps} bit/s is out of range")))
}

/// A rate on a lane, where payload and headers may add up to more than the largest payload rate:
/// shown as the largest.
pub(crate) fn lane_rate(field: &'static str, bps: i64) -> Result<BitRate, ClientError> {
    let largest = i64::try_from(BitRate::MAX.bps()).unwrap_or(i64::MAX);
    rate(field, bps.min(largest))
}

pub(crate) fn to_rate(rate: BitRate) -> i64 {
    i64::try_from(rate.bps()).unwrap_or(i64::MAX)
}

pub(crate) fn bytes(field: &'static str, count: i64) -> Result<ByteCount, ClientError> {
    let count = u64::try_from(count);
    count.map(ByteCount::new).map_err(|_| ClientError::bad(field, "it is negative"))
}

pub(crate) fn to_bytes(count: ByteCount) -> i64 {
    i64::try_from(count.bytes()).unwrap_or(i64::MAX)
}

/// A number that is not negative.
pub(crate) fn count(field: &'static str, number: i64) -> Result<u64, ClientError> {
    u64::try_from(number).map_err(|_| ClientError::bad(field, "it is negative"))
}

/// The number of a path.
pub(crate) fn index(field: &'static str, number: i32) -> Result<u32, ClientError> {
    u32::try_from(number).map_err(|_| ClientError::bad(field, "it is negative"))
}

/// An endpoint; `None` where it is empty, because lanes were named.
pub(crate) fn endpoint(field: &'static str, name: &str) -> Result<Option<Endpoint>, ClientError> {
    if name.is_empty() {
        return Ok(None);
    }
    name.parse().map(Some).map_err(ClientError::unparsed(field))
}

/// `sessions/{id}`; `None` where it is empty.
pub(crate) fn session(field: &'static str, name: &str) -> Result<Option<SessionId>, ClientError> {
    if name.is_empty() {
        return Ok(None);
    }
    let id = name
        .strip_prefix("sessions/")
        .ok_or_else(|| ClientError::bad(field, format!("{name:?} is not sessions/ID")))?;
    id.parse().map(Some).map_err(ClientError::unparsed(field))
}

pub(crate) fn to_etag(etag: Option<&Etag>) -> String {
    etag.map(|etag| etag.0.clone()).unwrap_or_default()
}

pub(crate) fn to_session(id: Option<SessionId>) -> String {
    id.map(|id| format!("sessions/{id}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_survive_the_wire(ms in 0..=Timestamp::MAX.as_ms(), len in 0..=Span::MAX.as_ms()) {
            let time = Timestamp::from_ms(ms).unwrap();
            prop_assert_eq!(instant("t", Some(to_timestamp(time))).unwrap(), Some(time));
            let span = Span::from_ms(len).unwrap();
            prop_assert_eq!(length("d", Some(to_duration(span))).unwrap(), span.to_duration());
        }

        #[test]
        fn no_number_panics(seconds: i64, nanos: i32, bps: i64) {
            drop(instant("t", Some(prost_types::Timestamp { seconds, nanos })));
            drop(length("d", Some(prost_types::Duration { seconds, nanos })));
            drop(rate("r", bps));
            drop(lane_rate("r", bps));
            drop(bytes("b", bps));
        }
    }

    #[test]
    fn request_ids_tell_when_they_were_made() {
        let before = clock::wall();
        let (one, two) = (new_request_id(), new_request_id());
        assert!(one.made_at().unwrap() >= before);
        assert_ne!(one, two);
    }
}
