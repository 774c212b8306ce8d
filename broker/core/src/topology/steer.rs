//! How bytes get onto one of several paths between two places.
//!
//! Which paths there are follows from the network alone; a declaration says between which places
//! bytes can be steered at all, and who does it.

use tidegate_policy::{Mark, Name};

use super::spec::Node;

/// How bytes get onto the path that was chosen between two places.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steer {
    /// Where the choice begins.
    pub from: Node,
    /// Where it ends.
    pub to: Node,
    /// Who makes it.
    pub how: How,
}

/// Who chooses a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum How {
    /// The sender, by marking its packets.
    Mark(Mark),
    /// This controller, which follows the bookings; the sender does nothing.
    Controller(Name),
}
