//! What is promised beyond the plan of the day: whatever a plan is changed to keeps to it.

use tidegate_policy::{BitRate, ByteCount, Interval, Overcommit, Span, Timestamp};

use crate::command::Ways;

/// What any plan of a reservation keeps to. A reservation without one promises just its plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Promise {
    /// What is promised.
    pub what: Promised,
    /// The ways that a plan may take.
    pub ways: Ways,
    /// What lies behind the freeze may be moved to make room for others.
    pub movable: bool,
}

/// What is promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promised {
    /// A constant rate within bounds, for so long, somewhere in a window.
    Span {
        /// The lowest payload rate that keeps it: the floor.
        min: BitRate,
        /// The highest payload rate that is of use.
        max: BitRate,
        /// How long.
        span: Span,
        /// From the earliest start to the latest end.
        window: Interval,
    },
    /// A volume by a deadline, at whatever rates.
    Volume {
        /// The payload bytes.
        volume: ByteCount,
        /// The lowest payload rate that helps while anything moves; zero: any does.
        min: BitRate,
        /// The highest payload rate at one instant, all ways together.
        max: BitRate,
        /// From the earliest start to the deadline.
        window: Interval,
        /// It may take several ways at once.
        split: bool,
    },
}

impl Promised {
    /// From the earliest start to the latest end.
    #[must_use]
    pub fn window(&self) -> Interval {
        match self {
            Self::Span { window, .. } | Self::Volume { window, .. } => *window,
        }
    }

    /// The same between these instants, as far as its window has them.
    #[must_use]
    pub(crate) fn narrowed(mut self, from: Timestamp, until: Timestamp) -> Self {
        let (Self::Span { window, .. } | Self::Volume { window, .. }) = &mut self;
        let narrow = Interval::new(window.start().max(from), window.end().min(until));
        *window = narrow.unwrap_or(*window);
        self
    }

    /// The payload bytes promised by the end of the window, if a volume is.
    #[must_use]
    pub fn volume(&self) -> Option<ByteCount> {
        match self {
            Self::Span { .. } => None,
            Self::Volume { volume, .. } => Some(*volume),
        }
    }
}

/// How a reservation stands to others that want its lanes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Higher ones may take from lower ones that can be preempted.
    pub priority: u8,
    /// It may be shifted, shrunk to its floor, and at last closed for a higher priority.
    pub preemptible: bool,
    /// How much of a rate that is asked for is booked and promised; of a volume all of it is.
    pub ratio: Overcommit,
    /// How much of what is left over it gets beside others.
    pub weight: u32,
}

impl Default for Standing {
    fn default() -> Self {
        Self { priority: 0, preemptible: false, ratio: Overcommit::NONE, weight: 1 }
    }
}

pub use tidegate_policy::class::PRIORITY_MAX;
