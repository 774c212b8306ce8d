//! The calendar of people: time zones, days, weeks and months, hours of the week, and limits that
//! follow them.
//!
//! Everything here becomes plain intervals of instants, exact to the millisecond. What they are
//! depends on the time-zone database that is built in: keep the intervals where they have to stay
//! as they are, not the zone.

mod period;
mod profile;
mod weekly;
mod zone;

pub use period::Period;
pub use profile::{OVERRIDES_MAX, Profile, ProfileFault, WEEKLY_MAX};
pub use weekly::{TimeOfDay, Weekdays, Weekly};
pub use zone::Zone;

use crate::time::{Interval, Span};

/// Its first 400 days: the bound of all that is counted over an interval here.
fn bounded(over: Interval) -> Interval {
    let end = over.start().plus(Span::MAX).min(over.end());
    Interval::new(over.start(), end).unwrap_or(over)
}

#[cfg(test)]
mod naive;
