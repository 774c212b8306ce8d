//! What a lane or a quota can carry, over time: by the declared network, maintenance and the calendar.

use std::cell::RefCell;
use std::collections::BTreeMap;

use tidegate_core::Machine;
use tidegate_core::lane::{Holder, LaneName};
use tidegate_policy::{BitRate, ClassId, Interval, Part, ProjectId, Quota, Share};

use super::super::at;
use super::{Rules, Steps};

/// The lanes of the network as they are declared, in bits per second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network(pub(crate) BTreeMap<LaneName, u64>);

impl Network {
    pub(crate) fn has(&self, lane: &LaneName) -> bool {
        self.0.contains_key(lane)
    }
}

/// When what is looked up was looked up, and for which times.
type Stamp = (u64, u64, Vec<(i64, i64, u32)>, i64);

/// What lanes carry, remembered while nothing of it changes.
#[derive(Default)]
pub(crate) struct Carried {
    stamp: RefCell<Stamp>,
    known: RefCell<BTreeMap<LaneName, Steps>>,
}

impl Carried {
    /// What a lane or a quota can carry from now on, for so long.
    pub(crate) fn limit(
        &self,
        machine: &Machine,
        network: &Network,
        (lane, now, ahead): (&LaneName, i64, i64),
    ) -> Steps {
        let windows = machine
            .maintenances(None)
            .map(|it| (it.over.start().as_ms(), it.over.end().as_ms(), it.left_ppm));
        let from = now - now.rem_euclid(ahead);
        let stamp = (machine.policy_version(), machine.topology_version(), windows.collect(), from);
        if *self.stamp.borrow() != stamp {
            self.stamp.replace(stamp);
            self.known.borrow_mut().clear();
        }
        if let Some(known) = self.known.borrow().get(lane) {
            return known.clone();
        }
        let limit = limit(Rules::of(machine), (machine, network), lane, (from, from + 3 * ahead));
        self.known.borrow_mut().insert(lane.clone(), limit.clone());
        limit
    }
}

fn least(shares: &[Share], of: &str) -> Option<Part> {
    shares.iter().filter(|share| share.of.takes(of)).map(|share| share.part).min()
}

/// The same without looking whether it is known: of a calendar, between two instants.
pub(super) fn limit(
    rules: Rules<'_>,
    (machine, network): (&Machine, &Network),
    lane: &LaneName,
    over: (i64, i64),
) -> Steps {
    let whole = capacity(rules, network, lane);
    let Some(quota) = lane.as_quota() else { return left(machine, lane.as_str(), whole) };
    match (quota.holder, quota.of) {
        (_, Some(of)) => left(machine, of, whole),
        (Holder::Project(id), None) => match of_project(rules, id) {
            Some(quota) => by_calendar(quota, over),
            None => Steps::default(),
        },
        _ => Steps::constant(whole),
    }
}

fn of_project<'a>(rules: Rules<'a>, id: &str) -> Option<&'a Quota> {
    Some(&rules.projects.get(&ProjectId(id.parse().unwrap()))?.quota)
}

/// What a lane or a quota can carry at the best of times.
pub(super) fn capacity(rules: Rules<'_>, network: &Network, lane: &LaneName) -> u64 {
    let Some(quota) = lane.as_quota() else { return network.0.get(lane).copied().unwrap_or(0) };
    let share = |of: &str, part: Option<Part>| {
        let whole = network.0.get(&LaneName::new(of)).copied().unwrap_or(0);
        let ppm = part.map_or(0, Part::ppm);
        u64::try_from(u128::from(whole) * u128::from(ppm) / 1_000_000).unwrap()
    };
    let class = |id: &str| rules.classes.get(&ClassId(id.parse().unwrap()));
    match (quota.holder, quota.of) {
        (Holder::Project(id), None) => of_project(rules, id).map_or(0, |quota| {
            let all = quota.weekly.iter().map(|(_, rate)| *rate);
            let all = all.chain(quota.overrides.iter().map(|(_, rate)| *rate));
            all.chain([quota.rate.unwrap_or(BitRate::MAX)]).max().unwrap().bps()
        }),
        (Holder::Principal(id, _), None) => {
            of_project(rules, id).and_then(|it| it.each.rate).map_or(0, BitRate::bps)
        }
        (Holder::Project(id), Some(of)) => {
            share(of, of_project(rules, id).and_then(|it| least(&it.shares, of)))
        }
        (Holder::Principal(id, _), Some(of)) => {
            share(of, of_project(rules, id).and_then(|it| least(&it.each.shares, of)))
        }
        (Holder::Class(id), Some(of)) => share(of, class(id).and_then(|it| it.lane_share)),
        (Holder::Long(id), Some(of)) => {
            let part = class(id).and_then(|it| it.headroom).map(|it| it.part.ppm());
            share(of, part.and_then(|ppm| Part::from_ppm(1_000_000 - ppm)))
        }
        (Holder::Class(_) | Holder::Long(_), None) => 0,
    }
}

/// What maintenance leaves of it: of windows that overlap the one that leaves least counts.
fn left(machine: &Machine, lane: &str, whole: u64) -> Steps {
    let of = |resource: &tidegate_policy::Resource| lane.starts_with(&format!("{resource}/"));
    let windows: Vec<(i64, i64, u32)> = machine
        .maintenances(None)
        .filter(|it| of(&it.resource))
        .map(|it| (it.over.start().as_ms(), it.over.end().as_ms(), it.left_ppm))
        .collect();
    let edges = windows.iter().flat_map(|(from, to, _)| [*from, *to]).chain([i64::MIN]);
    let edges: std::collections::BTreeSet<i64> = edges.collect();
    Steps::of(edges.into_iter().map(|instant| {
        let open = windows.iter().filter(|(from, to, _)| *from <= instant && instant < *to);
        let ppm = open.map(|(.., ppm)| *ppm).min().unwrap_or(1_000_000);
        (instant, u64::try_from(u128::from(whole) * u128::from(ppm) / 1_000_000).unwrap())
    }))
}

/// What a rate may be at each instant: what the last override says, else the least of the hours of the
/// week, else what is said for all times.
fn by_calendar(quota: &Quota, (from, to): (i64, i64)) -> Steps {
    let base = quota.rate.unwrap_or(BitRate::MAX).bps();
    if quota.weekly.is_empty() && quota.overrides.is_empty() {
        return Steps::constant(base);
    }
    let dated: Vec<(i64, i64, u64)> = quota
        .overrides
        .iter()
        .map(|(over, rate)| (over.start().as_ms(), over.end().as_ms(), rate.bps()))
        .collect();
    let over = Interval::new(at(from), at(to)).unwrap();
    let hours: Vec<(i64, i64, u64)> = quota
        .weekly
        .iter()
        .flat_map(|(weekly, rate)| {
            let hours = weekly.occurrences(&quota.zone, over);
            hours.map(|it| (it.start().as_ms(), it.end().as_ms(), rate.bps()))
        })
        .collect();
    let edges = dated.iter().chain(&hours).flat_map(|(from, to, _)| [*from, *to]);
    let edges: std::collections::BTreeSet<i64> = edges.chain([from]).collect();
    Steps::of(edges.into_iter().map(|instant| {
        let is_on = |it: &&(i64, i64, u64)| it.0 <= instant && instant < it.1;
        let dated = dated.iter().rev().find(is_on).map(|it| it.2);
        let hours = || hours.iter().filter(is_on).map(|it| it.2).min();
        (instant, dated.or_else(hours).unwrap_or(base))
    }))
}
