//! Where volumes and rates fit among what is booked: pure functions over step functions.
//!
//! - [`fill`] moves a volume as soon as possible, over one way at a time or several at once;
//! - [`thin`] leaves out what a plan of few segments can do without;
//! - [`split`] says how much several ways carry together, exactly ([`flow`] where it has to);
//! - [`place`] finds a constant rate its earliest place;
//! - [`board`] is what is free on many lanes, to try things on;
//! - [`prices`] says what lanes are worth to many jobs together;
//! - [`put`] finds one plan its first place, over the cheapest ways;
//! - [`replan`] finds many plans new places, all of them or none, [`round`] by round, in an ever
//!   wider [`circle`];
//! - [`shares`] says what is fair of what lanes have left.
//!
//! Nothing here knows reservations, sessions or names: lanes are places in a list.

pub(crate) mod board;
mod circle;
pub(crate) mod fill;
mod flow;
pub(crate) mod place;
pub(crate) mod prices;
pub(crate) mod put;
pub(crate) mod replan;
mod round;
pub(crate) mod shares;
pub(crate) mod split;
mod thin;

use tidegate_policy::{BitRate, Interval, Span, Timestamp};

use crate::lane::Factor;

/// Ways, and the lanes that they are made of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Fan<L> {
    /// Every lane that a way crosses, once.
    pub(crate) lanes: Vec<L>,
    /// The ways, best first.
    pub(crate) ways: Vec<Vec<Crossing>>,
}

/// A lane on a way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Crossing {
    /// The place of the lane among those of the fan.
    pub(crate) lane: usize,
    /// What a rate books there.
    pub(crate) factor: Factor,
}

/// A rate on a way over an interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// The place of the way in its fan.
    pub(crate) way: usize,
    pub(crate) over: Interval,
    pub(crate) rate: BitRate,
}

impl Piece {
    /// What is left of it from `from` on.
    pub(crate) fn from(&self, from: Timestamp) -> Option<Self> {
        Some(Self { over: self.over.from(from)?, ..*self })
    }
}

/// A volume to be moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Volume {
    /// How much, in bits per second times milliseconds.
    pub(crate) need: u128,
    /// The lowest rate that helps while anything moves.
    pub(crate) min: BitRate,
    /// The highest rate at one instant, all ways together.
    pub(crate) max: BitRate,
    /// It may take several ways at once.
    pub(crate) split: bool,
}

/// A constant rate for some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Steady {
    /// The lowest rate that will do.
    pub(crate) min: BitRate,
    /// The highest rate that is of use.
    pub(crate) max: BitRate,
    pub(crate) span: Span,
}

/// What a job wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    Volume(Volume),
    Steady(Steady),
}

/// How much is to be moved, in bits per second times milliseconds.
fn volume_of(need: &Need) -> u128 {
    match need {
        Need::Volume(volume) => volume.need,
        Need::Steady(steady) => {
            u128::from(steady.min.bps()).saturating_mul(steady.span.as_ms().into())
        }
    }
}

impl<L> Fan<L> {
    /// All ways, in their order.
    pub(crate) fn order(&self) -> Vec<usize> {
        (0..self.ways.len()).collect()
    }
}

impl<L: PartialEq> Fan<L> {
    /// Ways by the lanes that each crosses, and what a rate books there.
    pub(crate) fn of<I, W>(ways: I) -> Self
    where
        I: IntoIterator<Item = W>,
        W: IntoIterator<Item = (L, Factor)>,
    {
        let mut fan = Self { lanes: Vec::new(), ways: Vec::new() };
        for way in ways {
            let way = way.into_iter().map(|(lane, factor)| {
                let known = fan.lanes.iter().position(|known| *known == lane);
                let place = known.unwrap_or(fan.lanes.len());
                if known.is_none() {
                    fan.lanes.push(lane);
                }
                Crossing { lane: place, factor }
            });
            let way = way.collect();
            fan.ways.push(way);
        }
        fan
    }
}
