//! What administrators say at random.

use std::collections::BTreeSet;

use tidegate_core::PolicyAsk;
use tidegate_policy::{
    BitRate, Budget, ByteCount, Class, ClassId, Each, Headroom, Interval, Overcommit, Part, Period,
    Project, ProjectId, Quota, Share, TimeOfDay, Weekdays, Weekly,
};

use super::draw::CLASSES;
use super::setting::zone;
use super::{World, at, name};

/// The most levels of a tree.
const LEVELS: usize = 5;

/// The lanes that shares are of.
const SELECTORS: [&str; 7] =
    ["all", "network", "storage", "hosts/h", "hosts/*", "storage/p", "hosts/*/nics/*/ingress"];

impl World {
    fn drawn_id(&mut self) -> ProjectId {
        ProjectId(name(&format!("p{}", self.rng.below(self.setting.projects))))
    }

    /// Other quotas, another parent, a new project, one less, another class.
    pub(super) fn drawn_policy(&mut self) -> PolicyAsk {
        let mut ask = PolicyAsk { accept_overuse: self.rng.below(3) == 0, ..PolicyAsk::default() };
        if self.rng.chance(12) {
            ask.projects.gone.push(self.drawn_project());
            return ask;
        }
        if self.rng.chance(15) {
            match self.drawn_class().filter(|_| self.rng.chance(15)) {
                Some(class) => ask.classes.gone.push(class),
                None => ask.classes.put.push(self.some_class()),
            }
            return ask;
        }
        let more = if self.setting.projects < 50 { 3 } else { 12 };
        for _ in 0..=self.rng.below(more) {
            let id = if self.rng.below(2) == 0 { self.drawn_project() } else { self.drawn_id() };
            let parent = (self.rng.below(5) != 0).then(|| self.drawn_project());
            let shallow = |it: &ProjectId| self.machine.projects().lineage(it).count() < LEVELS;
            let parent = parent.filter(shallow);
            let known = self.machine.projects().get(&id).map(|it| it.parent.clone());
            // Most of them stay where they are.
            let parent = known.filter(|_| self.rng.below(3) != 0).unwrap_or(parent);
            if ask.projects.put.iter().all(|it| it.id != id) {
                let quota = self.drawn_quota(&id);
                ask.projects.put.push(Project { parent, quota, ..Project::new(id) });
            }
        }
        ask
    }

    fn some(&mut self, chance: u64, most: u64) -> Option<u64> {
        (self.rng.below(chance) == 0).then(|| self.rng.below(most))
    }

    fn some_rate(&mut self, chance: u64, tens: u64) -> Option<BitRate> {
        self.some(chance, tens).and_then(|tens| BitRate::from_bps(tens * 10))
    }

    /// A quota: all of it drawn, or what stands with one thing changed.
    fn drawn_quota(&mut self, id: &ProjectId) -> Quota {
        let known = self.machine.projects().get(id).map(|it| it.quota.clone());
        let Some(mut quota) = known.filter(|_| self.rng.chance(50)) else {
            let mut quota = Quota { zone: zone(&mut self.rng), ..Quota::default() };
            for part in 0..8 {
                self.draw_part(&mut quota, part);
            }
            return quota;
        };
        let part = self.rng.below(9);
        self.draw_part(&mut quota, part);
        quota
    }

    fn draw_part(&mut self, quota: &mut Quota, part: u64) {
        match part {
            0 => quota.rate = self.some_rate(3, 61),
            1 => {
                quota.reservations = self.some(8, 13).and_then(|it| u32::try_from(it).ok());
                quota.principals = self.some(12, 5).and_then(|it| u32::try_from(it).ok());
            }
            2 => {
                quota.rate_each = self.some_rate(16, 13);
                quota.duration_each = self.some(16, 9).map(|it| self.units(it));
                quota.horizon = self.some(16, 21).map(|it| self.units(it));
            }
            3 => quota.shares = self.drawn_shares(5),
            4 => {
                let reservations = self.some(10, 6).and_then(|it| u32::try_from(it).ok());
                let rate = self.some_rate(6, 40);
                quota.each = Each { rate, reservations, ..quota.each.clone() };
            }
            5 => quota.each.shares = self.drawn_shares(6),
            6 => {
                quota.budgets = self.drawn_budgets(4);
                quota.each.budgets = self.drawn_budgets(8);
            }
            7 => {
                quota.weekly = self.drawn_hours();
                quota.overrides = self.drawn_overrides();
            }
            _ => quota.zone = zone(&mut self.rng),
        }
    }

    fn units(&self, units: u64) -> tidegate_policy::Span {
        self.setting.span(i64::try_from(units).unwrap())
    }

    fn drawn_part(&mut self) -> Part {
        let percent = 20 + self.rng.below(81);
        let odd = if self.rng.chance(20) { self.rng.below(10_000) } else { 0 };
        Part::from_ppm(u32::try_from((percent * 10_000 + odd).min(1_000_000)).unwrap()).unwrap()
    }

    fn drawn_shares(&mut self, chance: u64) -> Vec<Share> {
        if self.rng.below(chance) != 0 {
            return Vec::new();
        }
        let of = |world: &mut Self| Share {
            of: world.rng.pick(&SELECTORS).parse().unwrap(),
            part: world.drawn_part(),
        };
        (0..=self.rng.below(2)).map(|_| of(self)).collect()
    }

    fn drawn_budgets(&mut self, chance: u64) -> Vec<Budget> {
        let unit = u64::try_from(self.setting.unit).unwrap();
        let mut budgets = Vec::new();
        for (period, more) in [(Period::Day, 1), (Period::Week, 3), (Period::Month, 6)] {
            if self.rng.below(chance) == 0 {
                // So many units at a usual rate.
                let units = self.rng.below(50) * more;
                let odd = self.rng.below(3);
                let bytes = ByteCount::new(60 * unit * units / 8000 + odd);
                budgets.push(Budget { period, bytes });
            }
        }
        budgets
    }

    fn drawn_hours(&mut self) -> Vec<(Weekly, BitRate)> {
        if self.rng.below(7) != 0 {
            return Vec::new();
        }
        let one = |world: &mut Self| {
            let days = ["mon-sun", "mon-fri", "sat,sun", "sun"];
            let days: Weekdays = world.rng.pick(&days).parse().unwrap();
            let step = world.rng.pick(&[1, 15, 60]);
            let mut time = || {
                let minutes = world.rng.below(24 * 60 / step) * step;
                TimeOfDay::from_minutes(u16::try_from(minutes).unwrap()).unwrap()
            };
            let (from, to) = (time(), time());
            Some((Weekly::new(days, from, to).ok()?, world.drawn_limit()))
        };
        (0..=self.rng.below(3)).filter_map(|_| one(self)).collect()
    }

    fn drawn_limit(&mut self) -> BitRate {
        BitRate::from_bps(self.rng.below(61) * 10).unwrap()
    }

    fn drawn_overrides(&mut self) -> Vec<(Interval, BitRate)> {
        if self.rng.below(7) != 0 {
            return Vec::new();
        }
        let one = |world: &mut Self| {
            let unit = world.setting.unit;
            let start = world.now + world.between(-4, 16) * unit;
            let end = start + world.between(1, 10) * unit;
            (Interval::new(at(start), at(end)).unwrap(), world.drawn_limit())
        };
        (0..=self.rng.below(2)).map(|_| one(self)).collect()
    }

    fn some_class(&mut self) -> Class {
        let id = ClassId(name(self.rng.pick(&CLASSES)));
        let ratio =
            self.rng.pick(&[1_000_000, 1_000_000, 1_500_000, 2_000_000, 3_000_000, 7_300_000]);
        let longest = 1 + self.rng.below(6);
        let headroom = (self.rng.below(3) == 0)
            .then(|| Headroom { part: self.drawn_part(), longest: self.units(longest) });
        let mut projects = BTreeSet::new();
        if self.rng.chance(20) {
            projects.extend((0..3).map(|_| self.drawn_project()));
            // Sometimes of somebody who is not there.
            projects.extend(self.rng.chance(5).then(|| ProjectId(name("nobody"))));
        }
        Class {
            ratio: Overcommit::from_ppm(ratio).unwrap(),
            priority: u8::try_from(self.rng.below(10)).unwrap(),
            preemptible: self.rng.chance(40),
            lane_share: (self.rng.below(3) == 0).then(|| self.drawn_part()),
            headroom,
            hold_for: self.rng.chance(10).then(|| self.units(1)),
            projects,
            tiers: self.rng.chance(15).then(|| name("fast")).into_iter().collect(),
            ..Class::new(id)
        }
    }
}
