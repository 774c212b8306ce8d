//! What binds a project now, and how much of it is used.

use tidegate_core::lane::{Holder, LaneName, QuotaLane};
use tidegate_core::machine::Loan;
use tidegate_core::{Machine, Whose};
use tidegate_policy::{
    BitRate, Budget, Class, Interval, Limit, Principal, Project, ProjectId, Quota, Share, Span,
    Timestamp,
};
use tidegate_proto::v1;
use tidegate_proto::v1::amount::Of;

use super::limits::{amount, limit};
use super::{class, policy, reply};

/// How far ahead another rate is soon.
const SOON: Span = Span::from_secs(32 * 24 * 3600);

/// What binds a project at `now`; `None` if there is none.
pub(crate) fn effective_policy(
    machine: &Machine,
    id: &ProjectId,
    now: Timestamp,
) -> Option<v1::EffectivePolicy> {
    let projects = machine.projects();
    projects.get(id)?;
    let look = Look { machine, now };
    let mut limits: Vec<v1::EffectiveLimit> =
        projects.lineage(id).flat_map(|project| look.limits(project)).collect();
    // Their numbers are in the order of kinds; of a kind they stay as they were, from below upwards.
    limits.sort_by_key(|it| (it.each_principal, it.limit));
    let allowed = |class: &&Class| {
        let mut above = projects.lineage(id);
        class.projects.is_empty() || above.any(|it| class.projects.contains(&it.id))
    };
    let classes = machine.classes().iter().filter(allowed);
    Some(v1::EffectivePolicy {
        name: policy::name(id),
        lineage: projects.lineage(id).map(|project| policy::name(&project.id)).collect(),
        limits,
        classes: classes.map(|it| class::name(&it.id)).collect(),
        loans: machine.loans(id, now).iter().map(loan).collect(),
    })
}

fn loan(loan: &Loan) -> v1::Loan {
    let (borrower, lender) = (policy::name(&loan.borrower), policy::name(&loan.lender));
    v1::Loan { borrower, lender, amount_bps: reply::int(loan.amount) }
}

/// The rate that a project's own quota allows now, and what is booked of it, in bits per second; `None`
/// where it sets none.
pub(crate) fn rate(machine: &Machine, project: &Project, now: Timestamp) -> Option<(u64, u64)> {
    let look = Look { machine, now };
    let (allowed, _) = look.rate(&project.quota);
    allowed.map(|allowed| (allowed, look.load(&LaneName::quota(&project.id))))
}

#[derive(Clone, Copy)]
struct Look<'a> {
    machine: &'a Machine,
    now: Timestamp,
}

impl<'a> Look<'a> {
    /// Every limit that is set of a project itself.
    fn limits(self, project: &Project) -> Vec<v1::EffectiveLimit> {
        let (id, quota) = (&project.id, &project.quota);
        let of = |what: Limit, allowed: Option<u64>, used: Option<u64>| {
            allowed.map(|allowed| v1::EffectiveLimit {
                limit: limit(what).into(),
                allowed: Some(amount(what, allowed)),
                project: policy::name(id),
                used: used.map(|used| amount(what, used)),
                ..v1::EffectiveLimit::default()
            })
        };
        let live = count(self.machine.live_of(id));
        let principals = count(self.machine.live_by(id).count());
        let plain = [
            of(Limit::Reservations, quota.reservations.map(u64::from), Some(live)),
            of(Limit::RateEach, quota.rate_each.map(BitRate::bps), None),
            of(Limit::DurationEach, quota.duration_each.map(Span::as_ms), None),
            of(Limit::Horizon, quota.horizon.map(Span::as_ms), None),
            of(Limit::Principals, quota.principals.map(u64::from), Some(principals)),
        ];
        let budgets = |budgets: &[Budget], used: &dyn Fn(&Budget) -> Option<u64>| {
            let budgets = budgets.iter();
            let told = budgets
                .filter_map(|it| of(Limit::Budget(it.period), Some(it.bytes.bytes()), used(it)));
            told.collect::<Vec<v1::EffectiveLimit>>()
        };
        let whose = Whose::Project(id.clone());
        let used = |budget: &Budget| {
            let used = self.machine.budget_used(&whose, budget.period, &quota.zone, self.now);
            Some(used.bytes())
        };
        let (rate, until) = self.rate(quota);
        let booked = self.load(&LaneName::quota(id));
        let rate = of(Limit::Rate, rate, Some(booked))
            .map(|it| v1::EffectiveLimit { until_time: until.map(reply::time), ..it });
        let shares = quota.shares.iter().map(|share| self.share(project, share, false));
        let each = of(Limit::Rate, quota.each.rate.map(BitRate::bps), Some(0));
        let each = each.map(|it| self.most_booked(id, it));
        let each_live = of(Limit::Reservations, quota.each.reservations.map(u64::from), Some(0));
        let each_live = each_live.map(|it| self.most_live(id, it));
        let each_shares = quota.each.shares.iter().map(|share| self.share(project, share, true));
        let of_each = each.into_iter().chain(each_live).chain(each_shares);
        let of_each = of_each.chain(budgets(&quota.each.budgets, &|_| None));
        let of_each = of_each.map(|it| v1::EffectiveLimit { each_principal: true, ..it });
        let plain = rate.into_iter().chain(plain.into_iter().flatten()).chain(shares);
        plain.chain(budgets(&quota.budgets, &used)).chain(of_each).collect()
    }

    /// The rate that a quota allows now, and until when.
    fn rate(self, quota: &Quota) -> (Option<u64>, Option<Timestamp>) {
        let Some(profile) = quota.profile() else { return (quota.rate.map(BitRate::bps), None) };
        let soon = self.now.plus(SOON);
        let steps = Interval::new(self.now, soon).map(|ahead| profile.steps(ahead));
        match steps.as_deref() {
            Some([(step, rate), ..]) => {
                let until = Some(step.end()).filter(|end| *end < soon);
                (rate.map(BitRate::bps), until)
            }
            Some([]) | None => (quota.rate.map(BitRate::bps), None),
        }
    }

    /// What is booked on a lane now.
    fn load(self, lane: &LaneName) -> u64 {
        let instant = Span::from_ms(1).and_then(|ms| Interval::new(self.now, self.now.plus(ms)));
        instant.map_or(0, |instant| self.machine.peak(lane, instant))
    }

    /// The quotas of a project that something is booked on, and how much now.
    fn booked(self, id: &ProjectId) -> impl Iterator<Item = (QuotaLane<'a>, u64)> + use<'a> {
        let prefix = format!("{}/", policy::name(id));
        let from = LaneName::new(&prefix);
        let lanes = self.machine.lanes(Some(&from)).map(|(name, _)| name);
        let lanes = lanes.take_while(|name| name.as_str().starts_with(&prefix));
        let names: Vec<&'a LaneName> = lanes.collect();
        names.into_iter().filter_map(move |name| Some((name.as_quota()?, self.load(name))))
    }

    /// The principal that has most booked.
    fn most_booked(self, id: &ProjectId, it: v1::EffectiveLimit) -> v1::EffectiveLimit {
        let rates = self.booked(id).filter_map(|(quota, load)| match quota {
            QuotaLane { holder: Holder::Principal(_, whose), of: None } => Some((load, whose)),
            _ => None,
        });
        match rates.filter(|(load, _)| *load != 0).max_by_key(|(load, _)| *load) {
            None => it,
            Some((load, whose)) => v1::EffectiveLimit {
                used: Some(amount(Limit::Rate, load)),
                principal: whose.to_owned(),
                ..it
            },
        }
    }

    /// The principal that has most reservations.
    fn most_live(self, id: &ProjectId, it: v1::EffectiveLimit) -> v1::EffectiveLimit {
        match self.machine.live_by(id).max_by_key(|(_, live)| *live) {
            None => it,
            Some((whose, live)) => v1::EffectiveLimit {
                used: Some(amount(Limit::Reservations, count(live))),
                principal: Principal::to_string(whose),
                ..it
            },
        }
    }

    /// A share of lanes, and of which of them most is used.
    fn share(self, project: &Project, share: &Share, each: bool) -> v1::EffectiveLimit {
        let used = self.booked(&project.id).filter_map(|(quota, load)| {
            let of = quota.of.filter(|of| share.of.takes(of))?;
            let whose = match quota.holder {
                Holder::Project(_) if !each => "",
                Holder::Principal(_, whose) if each => whose,
                _ => return None,
            };
            Some((self.part(of, load)?, of, whose))
        });
        let most = used.filter(|(part, ..)| *part != 0).max_by_key(|(part, ..)| *part);
        let (part, lane, principal) = most.unwrap_or_default();
        let amount =
            |ppm: u32| v1::Amount { of: Some(Of::PartPpm(i32::try_from(ppm).unwrap_or(i32::MAX))) };
        v1::EffectiveLimit {
            limit: limit(Limit::Share).into(),
            allowed: Some(amount(share.part.ppm())),
            project: policy::name(&project.id),
            used: Some(amount(part)),
            selector: share.of.to_string(),
            lane: lane.to_owned(),
            principal: principal.to_owned(),
            ..v1::EffectiveLimit::default()
        }
    }

    /// What part of a lane so much is where no maintenance takes anything away, rounded up, in parts per
    /// million.
    fn part(self, lane: &str, load: u64) -> Option<u32> {
        let whole = self.machine.topology().lanes.get(&LaneName::new(lane))?.capacity;
        let whole = u128::from(whole).max(1);
        let part = u128::from(load).saturating_mul(1_000_000).div_ceil(whole);
        Some(u32::try_from(part).unwrap_or(u32::MAX))
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
