//! What was refused alike: why, by what, and what would have fit.

use std::collections::BTreeMap;

use prost::Message;
use tidegate_core::{Ask, Command, Machine, Reason, Refusal, Shape};
use tidegate_policy::{BitRate, Timestamp};
use tidegate_proto::v1;

use super::names::OTHERS;
use crate::convert::{class, policy, reply};

/// The most groups of one bucket that are kept apart.
const GROUPS_MAX: usize = 1000;

/// Requests that were refused alike, in one bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Groups(BTreeMap<Key, v1::RefusalGroup>);

/// What makes refusals alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    reason: i32,
    project: String,
    class: String,
    bottleneck: String,
}

impl Key {
    fn of(group: &v1::RefusalGroup) -> Self {
        Self {
            reason: group.reason,
            project: group.project.clone(),
            class: group.class.clone(),
            bottleneck: group.bottleneck.clone(),
        }
    }
}

impl Groups {
    /// Those that bytes of the database say.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let stored = v1::AggregateRefusalsResponse::decode(bytes).unwrap_or_default();
        let mut groups = Self::default();
        stored.groups.into_iter().for_each(|group| groups.add(group));
        groups
    }

    /// Their bytes in the database.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let groups = self.0.values().cloned().collect();
        v1::AggregateRefusalsResponse { groups, ..Default::default() }.encode_to_vec()
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        other.0.values().cloned().for_each(|group| self.add(group));
    }

    /// Takes more of the same in.
    pub(crate) fn add(&mut self, mut group: v1::RefusalGroup) {
        let mut key = Key::of(&group);
        if !self.0.contains_key(&key) && GROUPS_MAX <= self.0.len() {
            // Too many to keep apart: by reason only, of which there are few.
            for text in [&mut group.project, &mut group.class, &mut group.bottleneck] {
                OTHERS.clone_into(text);
            }
            key = Key::of(&group);
        }
        match self.0.get_mut(&key) {
            Some(known) => add(known, group),
            None => drop(self.0.insert(key, group)),
        }
    }

    /// Those for which something holds, the most first.
    pub(crate) fn ranked(self, keep: impl Fn(&v1::RefusalGroup) -> bool) -> Vec<v1::RefusalGroup> {
        let mut groups: Vec<_> = self.0.into_values().filter(keep).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.refused_count));
        groups
    }
}

fn add(known: &mut v1::RefusalGroup, more: v1::RefusalGroup) {
    known.refused_count = known.refused_count.saturating_add(more.refused_count);
    known.offered_count = known.offered_count.saturating_add(more.offered_count);
    known.asked_bps = known.asked_bps.max(more.asked_bps);
    known.least_missing_bps = known.least_missing_bps.min(more.least_missing_bps);
    known.most_missing_bps = known.most_missing_bps.max(more.most_missing_bps);
    let time = |it: &v1::RefusalGroup| it.last_time.map(|at| (at.seconds, at.nanos));
    if time(known) <= time(&more) {
        known.last_offer = more.last_offer.or_else(|| known.last_offer.take());
        known.last_time = more.last_time;
    }
}

/// One request that was refused, with everything that is kept of it.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) at: Timestamp,
    pub(crate) group: v1::RefusalGroup,
}

impl Refused {
    /// One request of a command, by its place in it, that was refused.
    pub(crate) fn new(
        machine: &Machine,
        at: Timestamp,
        (command, index): (&Command, usize),
        refusal: &Refusal,
    ) -> Self {
        let ask = command.asks().get(index).or(command.asks().first());
        let changed = match command {
            Command::Modify(modify) => machine.reservation(modify.target.id),
            _ => None,
        };
        let owner = ask.map(|ask| &ask.owner).or(changed.map(|found| &found.owner));
        let (bottleneck, missing) = bottleneck(refusal);
        let offer = refusal.offers.first().map(|_| reply::refusal(refusal, at, None));
        let offer = offer.and_then(|said| said.offers.into_iter().next());
        let group = v1::RefusalGroup {
            reason: reply::reason(refusal.reason).into(),
            project: owner.map(|owner| policy::name(&owner.project)).unwrap_or_default(),
            class: owner
                .and_then(|owner| owner.class.as_ref())
                .map(class::name)
                .unwrap_or_default(),
            bottleneck,
            refused_count: 1,
            asked_bps: reply::int(rate(ask, command).bps()),
            least_missing_bps: reply::int(missing),
            most_missing_bps: reply::int(missing),
            offered_count: i64::from(offer.is_some()),
            last_offer: offer.map(|offer| v1::CounterOffer { token: String::new(), ..offer }),
            last_time: Some(reply::time(at)),
        };
        Self { at, group }
    }
}

/// The rate asked for; zero of a volume, which any rate would do for.
fn rate(ask: Option<&Ask>, command: &Command) -> BitRate {
    let changed = match command {
        Command::Modify(modify) => modify.rate.unwrap_or_default(),
        _ => BitRate::default(),
    };
    ask.map_or(changed, |ask| match ask.shape {
        Shape::Rigid { rate, .. } | Shape::Offered { rate, .. } => rate,
        Shape::Flexible { min, .. } => min,
        Shape::Transfer { .. } => BitRate::default(),
    })
}

/// What was in the way, and how much was missing there in bits per second, if it is a lane.
fn bottleneck(refusal: &Refusal) -> (String, u64) {
    let lane = refusal.blockers.iter().max_by_key(|blocker| blocker.missing());
    let lane = lane.map(|blocker| (blocker.lane.to_string(), blocker.missing()));
    let quota = refusal.quotas.first().map(|it| (format!("{} ({})", it.whose, it.what), 0));
    let rule = refusal.rules.first().map(|it| (format!("rules/{}", it.rule), 0));
    let first = match refusal.reason {
        Reason::RuleDenied => rule,
        Reason::AboveQuota | Reason::QuotaExhausted => quota.or(lane),
        _ => lane.or(quota),
    };
    first.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(project: &str, count: i64, missing: i64, second: i64) -> v1::RefusalGroup {
        v1::RefusalGroup {
            project: project.into(),
            refused_count: count,
            least_missing_bps: missing,
            most_missing_bps: missing,
            last_time: Some(prost_types::Timestamp { seconds: second, nanos: 0 }),
            ..Default::default()
        }
    }

    #[test]
    fn alike_ones_are_one_group_with_the_last_word() {
        let mut groups = Groups::default();
        groups.add(group("projects/a", 1, 7, 5));
        groups.add(group("projects/b", 5, 1, 5));
        groups.add(group("projects/a", 2, 3, 4));
        let ranked = Groups::read(&groups.bytes()).ranked(|_| true);
        assert_eq!(ranked[0], group("projects/b", 5, 1, 5));
        let both = v1::RefusalGroup { least_missing_bps: 3, ..group("projects/a", 3, 7, 5) };
        assert_eq!(ranked[1], both);
    }

    #[test]
    fn what_is_too_much_to_keep_apart_is_counted_together() {
        let mut groups = Groups::default();
        for number in 0..GROUPS_MAX + 10 {
            groups.add(group(&format!("projects/p{number}"), 1, 0, 0));
        }
        assert_eq!(groups.0.len(), GROUPS_MAX + 1);
        let all: i64 = groups.0.values().map(|group| group.refused_count).sum();
        assert_eq!(usize::try_from(all).unwrap(), GROUPS_MAX + 10);
        assert!(groups.ranked(|group| group.project == OTHERS)[0].refused_count == 10);
    }
}
