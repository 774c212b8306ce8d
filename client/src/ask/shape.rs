//! How much is asked for, and when.

use std::fmt;

use tidegate_policy::{BitRate, ByteCount, Span, Timestamp};
use tidegate_proto::v1;

use super::End;
use crate::error::ClientError;
use crate::wire;

/// How much is asked for, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A fixed rate over a fixed interval.
    Rigid(Rigid),
    /// A rate within bounds, for a fixed time, somewhere in a window.
    Flexible(Flexible),
    /// A volume by a deadline.
    Transfer(Transfer),
}

/// A rate over an interval that is fixed by the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rigid {
    /// The payload rate, in bits per second.
    pub rate: BitRate,
    /// The first instant, at most 400 days ahead; `None` means now.
    pub start: Option<Timestamp>,
    /// When it ends.
    pub until: End,
}

/// A rate within bounds, for a fixed time, somewhere in a window: the earliest start at which the
/// lowest rate fits is taken, and there the highest rate that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flexible {
    /// The lowest payload rate that helps, in bits per second.
    pub min: BitRate,
    /// The highest payload rate that is of use, in bits per second.
    pub max: BitRate,
    /// How long it lasts.
    pub duration: Span,
    /// The earliest start; `None` means now.
    pub window_start: Option<Timestamp>,
    /// The latest end, at most 400 days ahead.
    pub window_end: Timestamp,
}

/// A volume by a deadline, at whatever rates, as soon as possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The payload bytes, at least 1.
    pub volume: ByteCount,
    /// The lowest payload rate that helps while anything moves, in bits per second; zero: any does.
    pub min: BitRate,
    /// The highest payload rate at one instant that is of use, in bits per second.
    pub max: BitRate,
    /// The earliest start; `None` means now.
    pub start: Option<Timestamp>,
    /// When all of it must have arrived, at most 400 days ahead.
    pub deadline: Timestamp,
    /// It may take several ways at once: several sources, or several paths.
    pub split: bool,
}

impl Transfer {
    /// `volume` by `deadline`, from now on, at any rates, on one way at a time.
    #[must_use]
    pub const fn new(volume: ByteCount, deadline: Timestamp) -> Self {
        let (min, max) = (BitRate::ZERO, BitRate::MAX);
        Self { volume, min, max, start: None, deadline, split: false }
    }

    pub(crate) fn to_wire(self) -> v1::Transfer {
        v1::Transfer {
            volume_bytes: wire::to_bytes(self.volume),
            min_bps: wire::to_rate(self.min),
            max_bps: wire::to_rate(self.max),
            start_time: self.start.map(wire::to_timestamp),
            deadline: Some(wire::to_timestamp(self.deadline)),
            split: self.split,
        }
    }

    pub(crate) fn from_wire(it: &v1::Transfer) -> Result<Self, ClientError> {
        Ok(Self {
            volume: wire::bytes("transfer.volume_bytes", it.volume_bytes)?,
            min: wire::rate("transfer.min_bps", it.min_bps)?,
            max: wire::rate("transfer.max_bps", it.max_bps)?,
            start: wire::instant("transfer.start_time", it.start_time)?,
            deadline: wire::instant_required("transfer.deadline", it.deadline)?,
            split: it.split,
        })
    }
}

impl Flexible {
    pub(crate) fn to_wire(self) -> v1::Flexible {
        v1::Flexible {
            min_bps: wire::to_rate(self.min),
            max_bps: wire::to_rate(self.max),
            duration: Some(wire::to_duration(self.duration)),
            window_start_time: self.window_start.map(wire::to_timestamp),
            window_end_time: Some(wire::to_timestamp(self.window_end)),
        }
    }

    pub(crate) fn from_wire(it: &v1::Flexible) -> Result<Self, ClientError> {
        let length = wire::length("flexible.duration", it.duration)?;
        let ms = u64::try_from(length.as_millis()).ok();
        let too_long = || ClientError::bad("flexible.duration", format!("{length:?} is too long"));
        Ok(Self {
            min: wire::rate("flexible.min_bps", it.min_bps)?,
            max: wire::rate("flexible.max_bps", it.max_bps)?,
            duration: ms.and_then(Span::from_ms).ok_or_else(too_long)?,
            window_start: wire::instant("flexible.window_start_time", it.window_start_time)?,
            window_end: wire::instant_required("flexible.window_end_time", it.window_end_time)?,
        })
    }
}

impl Shape {
    /// The lowest rate that an answer yes brings; of a transfer, while anything moves.
    #[must_use]
    pub const fn rate(&self) -> BitRate {
        match self {
            Self::Rigid(rigid) => rigid.rate,
            Self::Flexible(flexible) => flexible.min,
            Self::Transfer(transfer) => transfer.min,
        }
    }

    pub(super) fn to_wire(self) -> v1::create_reservation_request::Shape {
        use v1::create_reservation_request::Shape as Wire;
        match self {
            Self::Rigid(Rigid { rate, start, until }) => Wire::Rigid(v1::Rigid {
                rate_bps: wire::to_rate(rate),
                start_time: start.map(wire::to_timestamp),
                until: Some(match until {
                    End::At(time) => v1::rigid::Until::EndTime(wire::to_timestamp(time)),
                    End::After(span) => v1::rigid::Until::Duration(wire::to_duration(span)),
                }),
            }),
            Self::Flexible(it) => Wire::Flexible(it.to_wire()),
            Self::Transfer(it) => Wire::Transfer(it.to_wire()),
        }
    }
}

/// As it is promised: `40GB by 2030-01-01T18:00:00Z`.
impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.volume, self.deadline)
    }
}

/// As it is promised: `1Gbit/s for 1h by 2030-01-01T18:00:00Z`.
impl fmt::Display for Flexible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {} by {}", self.min, self.duration, self.window_end)
    }
}
