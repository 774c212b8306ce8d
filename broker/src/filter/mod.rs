//! Filters of lists and watches: conditions over the fields of a reservation.
//!
//! What a condition is, how it is checked and what it costs is `tidegate_policy::rules`'s affair;
//! here is what it may ask for.

mod fields;

use tidegate_policy::rules::{Condition, Schema};
use tidegate_proto::v1;

use fields::{FIELDS, SILENT, Shown};

#[cfg(test)]
use tidegate_policy::rule::CHARACTERS_MAX;

/// A condition that holds for a reservation or does not.
#[derive(Debug)]
pub(crate) struct Filter(Condition);

/// Who filters: a list sees reservations as they are now, a watch is told of changes only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    List,
    Watch,
}

impl Filter {
    /// Reads and checks a filter.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right.
    pub(crate) fn parse(text: &str, by: Use) -> Result<Self, String> {
        let withheld: &[_] = if by == Use::Watch { &SILENT } else { &[] };
        let schema = Schema { fields: &FIELDS, withheld, extras: &[] };
        Condition::parse(text, &schema).map(Self)
    }

    /// Whether it holds. Where its arithmetic overflows, or a label is not there, it does not.
    pub(crate) fn holds(&self, reservation: &v1::Reservation) -> bool {
        matches!(self.0.holds(&Shown(reservation)), Ok(true))
    }

    /// What [`Self::holds`] costs at most for this one, in nodes of the expression.
    pub(crate) fn cost(&self, reservation: &v1::Reservation) -> usize {
        self.0.cost().of(reservation.bookings.len().max(reservation.via.len()))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
