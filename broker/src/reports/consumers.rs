//! Who had most, what one project had, and what was refused.

use std::collections::BTreeMap;

use tidegate_policy::Selector;
use tidegate_proto::v1;

use super::cell::Cell;
use super::frame::Frame;
use super::grain::Grain;
use super::look::Look;
use super::names::{self, NameId, OTHERS};
use super::store::ReportsError;
use crate::convert::reply;

/// What consumers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    Projects,
    Classes,
}

impl Group {
    /// The name on the wire.
    fn called(self, name: &str) -> String {
        match self {
            Self::Projects => format!("projects/{name}"),
            Self::Classes => format!("classes/{name}"),
        }
    }
}

/// A consumer and what it had.
pub(crate) type Had = (String, Cell);

/// What every consumer had, and all of them together.
pub(crate) fn had(
    look: &Look,
    (group, lanes): (Group, Option<&Selector>),
    frame: &Frame,
) -> Result<(Vec<Had>, Cell), ReportsError> {
    let mut all: BTreeMap<&str, Cell> = BTreeMap::new();
    let mut total = Cell::default();
    let mut add = |name, id: NameId| {
        let cell = look.sum(frame.grain(), frame.range(), id)?;
        if !cell.is_empty() {
            all.entry(name).or_default().merge(&cell);
            total.merge(&cell);
        }
        Ok::<_, ReportsError>(())
    };
    let names = look.names();
    match (lanes, group) {
        (Some(lanes), _) => names.shares(lanes).try_for_each(|(name, id)| add(name, id))?,
        (None, Group::Projects) => names.projects().try_for_each(|(name, id)| add(name, id))?,
        (None, Group::Classes) => names.classes().try_for_each(|(name, id)| add(name, id))?,
    }
    let all = all.into_iter().map(|(name, cell)| (group.called(name), cell));
    Ok((all.collect(), total))
}

/// What somebody is ranked by.
pub(crate) fn rank(order: v1::list_top_consumers_request::Order, cell: &Cell) -> i128 {
    use v1::list_top_consumers_request::Order;
    match order {
        Order::Unspecified => cell.used.into(),
        Order::Promised => cell.booked,
        Order::Wasted => wasted(cell),
    }
}

/// What was promised to holders that report and did not move, in bits times milliseconds per second.
fn wasted(cell: &Cell) -> i128 {
    let used = i128::from(cell.used).saturating_mul(8000);
    cell.booked.saturating_sub(cell.unreported).saturating_sub(used).max(0)
}

/// A cell as the wire has it.
pub(crate) fn consumption(cell: &Cell) -> v1::Consumption {
    v1::Consumption {
        promised_bytes: super::bytes(cell.booked),
        used_bytes: reply::int(cell.used),
        wasted_bytes: super::bytes(wasted(cell)),
        unreported_bytes: super::bytes(cell.unreported),
        granted_count: reply::int(cell.granted),
        refused_count: reply::int(cell.refused),
    }
}

/// What one project had by itself, bucket by bucket.
pub(crate) fn of_project(
    look: &Look,
    project: &str,
    frame: &Frame,
) -> Result<BTreeMap<i64, Cell>, ReportsError> {
    let Some(id) = look.names().get(&names::project(project)) else { return Ok(BTreeMap::new()) };
    let mut periods: BTreeMap<i64, Cell> = BTreeMap::new();
    for (at, cell) in look.cells(frame.grain(), frame.range(), id)? {
        let start = super::grain::floor(at, frame.bucket);
        periods.entry(start).or_default().merge(&cell);
    }
    Ok(periods)
}

/// What was granted in all in a range.
pub(crate) fn granted(
    look: &Look,
    project: Option<&str>,
    (grain, range): (Grain, (i64, i64)),
) -> Result<u64, ReportsError> {
    let mut sum = 0_u64;
    for (name, id) in look.names().projects() {
        if name != OTHERS && project.is_none_or(|project| project == name) {
            sum = sum.saturating_add(look.sum(grain, range, id)?.granted);
        }
    }
    Ok(sum)
}
