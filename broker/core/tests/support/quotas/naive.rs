//! Who has what, counted from the list of reservations and nothing else.

use std::collections::BTreeMap;

use tidegate_core::lane::LaneName;
use tidegate_core::{Machine, Reason, Reservation};
use tidegate_policy::{BitRate, Interval, Project, ProjectId, Projects, ReservationId};

/// What is live.
#[derive(Debug, Default)]
pub(super) struct Naive {
    /// Whose, from when to when, how much.
    pieces: Vec<(ProjectId, i64, i64, u64)>,
    /// How many of each project itself.
    live: BTreeMap<ProjectId, u64>,
}

impl Naive {
    pub(super) fn of(machine: &Machine, now: i64) -> Self {
        Self::those(machine, now, |_| true)
    }

    pub(super) fn without(machine: &Machine, now: i64, id: ReservationId) -> Self {
        Self::those(machine, now, |found| found.id != id)
    }

    fn those(machine: &Machine, now: i64, is_one: impl Fn(&Reservation) -> bool) -> Self {
        let mut naive = Self::default();
        for found in machine.reservations(None).filter(|it| it.is_live() && is_one(it)) {
            *naive.live.entry(found.owner.project.clone()).or_default() += 1;
            for segment in &found.plan.segments {
                let (from, to) =
                    (segment.over.start().as_ms().max(now), segment.over.end().as_ms());
                if from < to {
                    naive.pieces.push((found.owner.project.clone(), from, to, segment.rate.bps()));
                }
            }
        }
        naive
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.live.is_empty()
    }

    pub(super) fn has(&self, id: &ProjectId) -> bool {
        self.live.contains_key(id)
    }

    /// How much a project and those below it have at one instant.
    fn level(&self, projects: &Projects, id: &ProjectId, instant: i64) -> u64 {
        let on = self.pieces.iter().filter(|(_, from, to, _)| *from <= instant && instant < *to);
        let below = on.filter(|(whose, ..)| is_below(projects, whose, id));
        below.map(|(.., rate)| rate).sum()
    }

    fn peak(&self, projects: &Projects, id: &ProjectId, (from, to): (i64, i64)) -> u64 {
        let starts = self.pieces.iter().map(|(_, start, ..)| *start);
        let instants = starts.filter(|start| from < *start && *start < to).chain([from]);
        instants.map(|instant| self.level(projects, id, instant)).max().unwrap_or(0)
    }

    fn live_below(&self, projects: &Projects, id: &ProjectId) -> u64 {
        let below = self.live.iter().filter(|(whose, _)| is_below(projects, whose, id));
        below.map(|(_, live)| live).sum()
    }

    /// Whether nobody has more than its quota, but what it had before.
    pub(super) fn keeps(&self, projects: &Projects, before: &Self) -> Result<(), String> {
        for Project { id, quota, .. } in projects.iter() {
            if let Some(limit) = quota.rate {
                for (_, start, ..) in &self.pieces {
                    let level = self.level(projects, id, *start);
                    if level > limit.bps().max(before.level(projects, id, *start)) {
                        return Err(format!("{id} has {level} of {limit} at {start}"));
                    }
                }
            }
            if let Some(limit) = quota.reservations {
                let live = self.live_below(projects, id);
                if live > u64::from(limit).max(before.live_below(projects, id)) {
                    return Err(format!("{id} has {live} reservations of {limit}"));
                }
            }
        }
        Ok(())
    }

    /// Whether what the machine counts is what there is.
    pub(super) fn is_counted(&self, machine: &Machine) -> Result<(), String> {
        let projects = machine.projects();
        for project in projects.iter() {
            let (counted, live) =
                (machine.live_of(&project.id), self.live_below(projects, &project.id));
            if u64::try_from(counted).unwrap() != live {
                return Err(format!("{} counts {counted} and has {live}", project.id));
            }
            let lane = machine.lanes(None).find(|(lane, _)| **lane == LaneName::quota(&project.id));
            if lane.is_some() != project.quota.rate.is_some() {
                return Err(format!("{}: its quota is no lane, or one too many", project.id));
            }
            let Some((_, lane)) = lane else { continue };
            for (_, start, ..) in &self.pieces {
                let (booked, level) = (
                    lane.timeline.level_at(super::at(*start)),
                    self.level(projects, &project.id, *start),
                );
                if booked != level {
                    return Err(format!(
                        "{} books {booked} and has {level} at {start}",
                        project.id
                    ));
                }
            }
        }
        Ok(())
    }

    /// Why a rate is not granted; `None` if it is.
    pub(super) fn admits(
        &self,
        projects: &Projects,
        (whose, now): (&ProjectId, i64),
        over: Interval,
        rate: BitRate,
    ) -> Option<Reason> {
        let lineage: Vec<&Project> = projects.lineage(whose).collect();
        let counted = lineage.iter().filter_map(|it| Some((it, u64::from(it.quota.reservations?))));
        let full = counted.filter(|(it, limit)| *limit <= self.live_below(projects, &it.id));
        let full: Vec<u64> = full.map(|(_, limit)| limit).collect();
        if !full.is_empty() {
            let never = full.contains(&0);
            return Some(if never { Reason::AboveQuota } else { Reason::QuotaExhausted });
        }
        let each = |it: &&Project| {
            let ahead = u64::try_from(over.end().as_ms() - now).unwrap();
            it.quota.rate_each.is_some_and(|limit| limit < rate)
                || it.quota.duration_each.is_some_and(|limit| limit < over.span())
                || it.quota.horizon.is_some_and(|limit| limit.as_ms() < ahead)
        };
        if lineage.iter().any(each) {
            return Some(Reason::AboveQuota);
        }
        self.fits(projects, whose, over, rate)
    }

    fn fits(
        &self,
        projects: &Projects,
        whose: &ProjectId,
        over: Interval,
        rate: BitRate,
    ) -> Option<Reason> {
        let limits = projects.lineage(whose).filter_map(|it| Some((&it.id, it.quota.rate?)));
        let limits: Vec<_> = limits.collect();
        if limits.iter().any(|(_, limit)| *limit < rate) {
            return Some(Reason::AboveQuota);
        }
        let over = (over.start().as_ms(), over.end().as_ms());
        let tight = |(id, limit): &(&ProjectId, BitRate)| {
            limit.bps() < self.peak(projects, id, over) + rate.bps()
        };
        limits.iter().any(tight).then_some(Reason::QuotaExhausted)
    }

    /// Why a reservation does not get another rate; `None` if it does. It is not counted itself.
    pub(super) fn changes(
        &self,
        projects: &Projects,
        found: &Reservation,
        (_, over): (i64, Interval),
        rate: BitRate,
    ) -> Option<Reason> {
        // Whatever its quotas were cut to, less than it has is granted.
        if rate <= found.rate() {
            return None;
        }
        let each =
            |it: &Project| it.quota.rate_each.is_some_and(|limit| limit.max(found.rate()) < rate);
        if projects.lineage(&found.owner.project).any(each) {
            return Some(Reason::AboveQuota);
        }
        self.fits(projects, &found.owner.project, over, rate)
    }

    /// Whether other quotas leave somebody with more above what they allow than before.
    pub(super) fn is_over(&self, before: &Projects, after: &Projects) -> bool {
        let all = (i64::MIN, i64::MAX);
        let excesses = |projects: &Projects, id: &ProjectId| {
            let quota = projects.get(id).map(|it| it.quota.clone()).unwrap_or_default();
            let rate = quota
                .rate
                .map_or(0, |limit| self.peak(projects, id, all).saturating_sub(limit.bps()));
            let count = quota
                .reservations
                .map_or(0, |limit| self.live_below(projects, id).saturating_sub(u64::from(limit)));
            [rate, count]
        };
        after.iter().any(|it| {
            let [now, was] = [after, before].map(|projects| excesses(projects, &it.id));
            now.iter().zip(was).any(|(now, was)| was < *now)
        })
    }
}

fn is_below(projects: &Projects, whose: &ProjectId, id: &ProjectId) -> bool {
    projects.lineage(whose).any(|it| it.id == *id)
}
