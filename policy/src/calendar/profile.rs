//! A limit that follows the calendar: less in office hours, more at a date.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::calendar::{Weekly, Zone};
use crate::time::{Interval, Timestamp};
use crate::units::BitRate;

/// The most entries of hours of the week.
pub const WEEKLY_MAX: usize = 32;
/// The most overrides.
pub const OVERRIDES_MAX: usize = 64;

/// The limit of a rate over time. An override wins over the hours of the week, these over the base; of
/// overrides that overlap the last in the list wins, of hours that overlap the least rate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// What holds where nothing else does; `None` is unlimited.
    pub base: Option<BitRate>,
    /// What holds at hours of the week, at most [`WEEKLY_MAX`].
    pub weekly: Vec<(Weekly, BitRate)>,
    /// What holds at dates, at most [`OVERRIDES_MAX`].
    pub overrides: Vec<(Interval, BitRate)>,
    /// The zone that the hours of the week are hours of.
    pub zone: Zone,
}

/// What is wrong with a profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProfileFault {
    /// The part of it that is wrong.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub why: String,
}

/// A part of a profile that begins or ends.
#[derive(Clone, Copy)]
enum Part {
    Weekly(BitRate),
    Override(usize),
}

/// What is in force at one instant.
#[derive(Default)]
struct InForce {
    /// How many of the hours with a rate are running.
    weekly: BTreeMap<BitRate, usize>,
    overrides: BTreeSet<usize>,
}

impl Profile {
    /// The same limit at all times.
    #[must_use]
    pub const fn constant(base: Option<BitRate>) -> Self {
        Self { base, weekly: Vec::new(), overrides: Vec::new(), zone: Zone::UTC }
    }

    /// All that is wrong with it; nothing if it may be used.
    #[must_use]
    pub fn faults(&self) -> Vec<ProfileFault> {
        let lists = [
            ("weekly", self.weekly.len(), WEEKLY_MAX),
            ("overrides", self.overrides.len(), OVERRIDES_MAX),
        ];
        let long = lists.into_iter().filter(|(_, count, most)| most < count);
        long.map(|(field, count, most)| {
            let why = format!("there are {count}; {most} is the most: join or leave out some");
            ProfileFault { field, why }
        })
        .collect()
    }

    /// The limits over an interval, in order, without a gap between them; two that touch differ. Of an
    /// interval longer than 400 days, its first 400 days are covered.
    #[must_use]
    pub fn steps(&self, over: Interval) -> Vec<(Interval, Option<BitRate>)> {
        let over = super::bounded(over);
        let mut changes = self.changes(over);
        changes.sort_by_key(|(at, ..)| *at);
        let mut steps: Vec<(Interval, Option<BitRate>)> = Vec::new();
        let mut in_force = InForce::default();
        let mut start = over.start();
        for (at, begins, part) in changes {
            push(&mut steps, start, at, self.limit(&in_force));
            in_force.change(part, begins);
            start = at;
        }
        push(&mut steps, start, over.end(), self.limit(&in_force));
        steps
    }

    /// The highest limit over an interval; `None` if it is unlimited at some instant of it.
    #[must_use]
    pub fn highest(&self, over: Interval) -> Option<BitRate> {
        let limits = self.steps(over).into_iter().map(|(_, limit)| limit);
        limits.max_by(|a, b| by_room(*a, *b)).flatten()
    }

    /// The lowest limit over an interval: what may go on through all of it; `None` if it is unlimited
    /// throughout.
    #[must_use]
    pub fn lowest(&self, over: Interval) -> Option<BitRate> {
        self.steps(over).into_iter().filter_map(|(_, limit)| limit).min()
    }

    fn limit(&self, in_force: &InForce) -> Option<BitRate> {
        let dated = in_force.overrides.last().and_then(|index| self.overrides.get(*index));
        let dated = dated.map(|(_, rate)| *rate);
        let weekly = || in_force.weekly.first_key_value().map(|(rate, _)| *rate);
        dated.or_else(weekly).or(self.base)
    }

    /// When which part begins (`true`) and ends inside of an interval.
    fn changes(&self, over: Interval) -> Vec<(Timestamp, bool, Part)> {
        let weekly = self.weekly.iter().flat_map(|(weekly, rate)| {
            weekly.occurrences(&self.zone, over).map(|it| (it, Part::Weekly(*rate)))
        });
        let dated = self.overrides.iter().enumerate();
        let dated = dated.map(|(index, (it, _))| (*it, Part::Override(index)));
        let inside = weekly.chain(dated).filter_map(|(it, part)| Some((it.within(over)?, part)));
        inside.flat_map(|(it, part)| [(it.start(), true, part), (it.end(), false, part)]).collect()
    }
}

impl InForce {
    fn change(&mut self, part: Part, begins: bool) {
        match part {
            Part::Override(index) if begins => {
                self.overrides.insert(index);
            }
            Part::Override(index) => {
                self.overrides.remove(&index);
            }
            Part::Weekly(rate) => {
                let running = self.weekly.entry(rate).or_default();
                *running =
                    if begins { running.saturating_add(1) } else { running.saturating_sub(1) };
                if *running == 0 {
                    self.weekly.remove(&rate);
                }
            }
        }
    }
}

/// Which of two limits leaves more room: no limit leaves the most.
fn by_room(a: Option<BitRate>, b: Option<BitRate>) -> Ordering {
    (a.is_none(), a).cmp(&(b.is_none(), b))
}

/// Puts a step behind the others, or makes the last one longer; a step of no length is none.
fn push(
    steps: &mut Vec<(Interval, Option<BitRate>)>,
    start: Timestamp,
    end: Timestamp,
    limit: Option<BitRate>,
) {
    let Some(step) = Interval::new(start, end) else { return };
    match steps.last_mut() {
        Some((last, same)) if *same == limit => *last = last.hull(step),
        _ => steps.push((step, limit)),
    }
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
