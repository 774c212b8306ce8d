//! What a change takes away from those who were promised it, and who moves out of its way.

use std::fmt;

use tidegate_policy::{ReservationId, SessionId, Timestamp};

use crate::lane::LaneName;

/// The most victims that an answer names one by one.
pub const VICTIMS_MAX: usize = 1000;
/// The most reservations that are given up by one change: what happens at once has to fit into
/// one append.
pub const LOSSES_MAX: usize = 20_000;

/// The reservations that do not fit any more, and those that make that fewer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Losses {
    /// The first of them, at most [`VICTIMS_MAX`], in the order in which they are lost.
    pub victims: Vec<Victim>,
    /// How many there are in all.
    pub count: u64,
    /// The first of those whose promises are kept by other plans, at most [`VICTIMS_MAX`].
    pub moves: Vec<Move>,
    /// How many of them there are in all.
    pub move_count: u64,
}

/// A reservation whose promise is kept by another plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// Which.
    pub reservation: ReservationId,
    /// The session that it is bound to.
    pub session: Option<SessionId>,
    /// From when on its plan is another.
    pub from: Timestamp,
    /// When that ends.
    pub end: Timestamp,
    /// When it was to end before.
    pub old_end: Timestamp,
}

/// A reservation that does not fit any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Victim {
    /// Which.
    pub reservation: ReservationId,
    /// The session that it is bound to.
    pub session: Option<SessionId>,
    /// The lane on which it does not fit.
    pub lane: LaneName,
    /// When it is over: now, or when the capacity is gone.
    pub lost: Timestamp,
    /// When it was to end.
    pub end: Timestamp,
}

/// How many victims a sentence names.
const NAMED_MAX: usize = 8;

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self
            .victims
            .iter()
            .take(NAMED_MAX)
            .map(|victim| format!("{} would be lost at {}", victim.reservation, victim.lost))
            .collect();
        f.write_str(&named.join("; "))?;
        let named = u64::try_from(named.len()).unwrap_or(u64::MAX);
        match self.count.saturating_sub(named) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
