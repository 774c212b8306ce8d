//! When a reservation may send at which rate on which way, and what stands behind it.

use std::fmt;

use tidegate_policy::{BitRate, ByteCount, Endpoint, Name, Timestamp};
use tidegate_proto::v1;
// What is told of a way that is taken; what is told of one that was looked at is another message.
use v1::PlanWay as WireWay;

use crate::ask::{Flexible, Transfer};
use crate::clock::BootTime;
use crate::error::ClientError;
use crate::reservation::{Timing, relays};
use crate::steer::Steer;
use crate::wire;

/// More segments than any plan has; an answer with more makes no sense.
const SEGMENTS_MAX: usize = 4096;

/// A rate on one way over a piece of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The place of its way among those of the plan, from 0.
    pub way: usize,
    /// The payload rate, in bits per second.
    pub rate: BitRate,
    /// The first instant.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
    /// The first instant, on the clock of this machine, at which it has surely begun: counted from
    /// when the answer was received, so late by up to one round trip.
    pub starts_at: BootTime,
    /// The instant, on the clock of this machine, at which its bytes must have stopped: counted from
    /// when the question was sent, so early by up to one round trip.
    pub ends_at: BootTime,
}

/// A way that the bytes of a plan take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanWay {
    /// Where they come from; `None` if lanes were named.
    pub source: Option<Endpoint>,
    /// The relays on the way, in order.
    pub via: Vec<Name>,
    /// Which of the paths that steering allows, 0 for the cheapest; `None` where there is no choice.
    pub path: Option<u32>,
    /// How bytes get onto it.
    pub steers: Vec<Steer>,
    /// The lanes that are booked, in path order.
    pub lanes: Vec<String>,
}

/// What is promised, whatever the plan is changed to; its times are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A constant rate within bounds.
    Flexible(Flexible),
    /// A volume by a deadline.
    Transfer(Transfer),
}

impl Segment {
    fn from_wire(wire: &v1::Segment, timing: Timing) -> Result<Self, ClientError> {
        let start = wire::instant_required("segments.start_time", wire.start_time)?;
        let end = wire::instant_required("segments.end_time", wire.end_time)?;
        if end <= start {
            return Err(ClientError::bad("segments.end_time", "it does not lie after the start"));
        }
        Ok(Self {
            way: usize::try_from(wire.way)
                .map_err(|_| ClientError::bad("segments.way", "it is negative"))?,
            rate: wire::rate("segments.rate_bps", wire.rate_bps)?,
            start,
            end,
            starts_at: timing.received.plus(wire::length("segments.starts_in", wire.starts_in)?),
            ends_at: timing.sent.plus(wire::length("segments.ends_in", wire.ends_in)?),
        })
    }
}

/// The segments of an answer in the order of their starts; those of one way do not overlap.
pub(crate) fn segments(
    wire: &[v1::Segment],
    ways: usize,
    timing: Timing,
) -> Result<Vec<Segment>, ClientError> {
    if SEGMENTS_MAX < wire.len() {
        return Err(ClientError::bad("segments", format!("there are {}", wire.len())));
    }
    let read = wire.iter().map(|one| Segment::from_wire(one, timing));
    let mut segments: Vec<Segment> = read.collect::<Result<_, _>>()?;
    if segments.iter().any(|segment| ways <= segment.way) {
        return Err(ClientError::bad("segments.way", format!("it is none of the {ways} ways")));
    }
    segments.sort_by_key(|segment| (segment.way, segment.start));
    let overlap = |pair: &[Segment]| match pair {
        [one, next] => one.way == next.way && next.start < one.end,
        _ => false,
    };
    if segments.windows(2).any(overlap) {
        return Err(ClientError::bad("segments", "two of one way overlap"));
    }
    segments.sort_by_key(|segment| (segment.start, segment.way));
    Ok(segments)
}

pub(crate) fn ways(wire: Vec<WireWay>) -> Result<Vec<PlanWay>, ClientError> {
    wire.into_iter().map(PlanWay::from_wire).collect()
}

impl PlanWay {
    fn from_wire(wire: WireWay) -> Result<Self, ClientError> {
        Ok(Self {
            source: wire::endpoint("ways.source", &wire.source)?,
            via: relays(&wire.via)?,
            path: wire.path.map(|path| wire::index("ways.path", path)).transpose()?,
            steers: wire.steers.into_iter().map(Steer::from_wire).collect::<Result<_, _>>()?,
            lanes: wire.lanes,
        })
    }
}

impl Promise {
    pub(crate) fn from_wire(wire: &v1::reservation::Promise) -> Result<Self, ClientError> {
        use v1::reservation::Promise as Wire;
        match wire {
            Wire::Flexible(it) => Flexible::from_wire(it).map(Self::Flexible),
            Wire::Transfer(it) => Transfer::from_wire(it).map(Self::Transfer),
        }
    }

    /// The payload bytes that are promised; `None` where a rate is.
    #[must_use]
    pub const fn volume(&self) -> Option<ByteCount> {
        match self {
            Self::Transfer(transfer) => Some(transfer.volume),
            Self::Flexible(_) => None,
        }
    }
}

/// `40GB by 2030-01-01T18:00:00Z`.
impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flexible(it) => it.fmt(f),
            Self::Transfer(it) => it.fmt(f),
        }
    }
}

/// The way alone, in words: `from storage/a via hosts/b, path 1`.
impl fmt::Display for PlanWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "from {source}")?,
            None => f.write_str("on the lanes named")?,
        }
        for (index, host) in self.via.iter().enumerate() {
            write!(f, "{}hosts/{host}", if index == 0 { " via " } else { ", " })?;
        }
        match self.path {
            Some(path) => write!(f, ", path {path}"),
            None => Ok(()),
        }
    }
}
