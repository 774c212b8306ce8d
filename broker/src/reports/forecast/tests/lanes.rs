//! Lanes as they are booked in real life, made up: the same seed is the same lane.

use std::f64::consts::TAU;

use super::super::fit::{DAY, WEEK};

/// What the lanes are: the names are those that the figures are printed with.
pub(super) const KINDS: [Kind; 11] = [
    Kind::Office,
    Kind::Backups,
    Kind::Weekend,
    Kind::Growth,
    Kind::Added,
    Kind::Bursts,
    Kind::Shift,
    Kind::Step,
    Kind::Gaps,
    Kind::Wander,
    Kind::Sparse,
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Booked on working days.
    Office,
    /// Every night for some hours, as long as it takes.
    Backups,
    /// A batch at the weekend, and a little work.
    Weekend,
    /// As `Office`, all of it growing or shrinking.
    Growth,
    /// As `Office`, with more and more on top, or less and less.
    Added,
    /// As `Office`, with bursts that have a heavy tail.
    Bursts,
    /// As `Office`, half of it or 1.6 times as much since some day of the last weeks.
    Shift,
    /// As `Office`, with something added for good on some day of the last weeks.
    Step,
    /// As `Office`, a quarter of it unknown.
    Gaps,
    /// As `Office`, with a level that is a random walk.
    Wander,
    /// Idle, but for single bookings on working days.
    Sparse,
}

/// Mean rates in bits per second: `known` hours and `ahead` more. What is unknown is no number.
pub(super) fn lane(kind: Kind, seed: u64, known: usize, ahead: usize) -> Vec<f64> {
    let mut dice = Dice(seed);
    let traits = Traits::thrown(&mut dice, known);
    let mut state = State { last: 0.0, today: 0.0, wander: 0.0, burst: (0.0, 0), night: 0.0 };
    let mut hours: Vec<f64> =
        (0..known + ahead).map(|at| traits.hour(kind, at, &mut state, &mut dice)).collect();
    if kind == Kind::Gaps {
        let mut at = 0;
        while at < known {
            let start = at + dice.below(200);
            at = start + 1 + dice.below(60);
            hours[start.min(known)..at.min(known)].fill(f64::NAN);
        }
    }
    hours
}

/// What one lane has of its own.
struct Traits {
    top: f64,
    base: f64,
    noise: f64,
    first: usize,
    opens: usize,
    closes: usize,
    backup: usize,
    batch: usize,
    growth: f64,
    change: (usize, f64),
}

/// What goes on from hour to hour.
struct State {
    last: f64,
    today: f64,
    wander: f64,
    burst: (f64, usize),
    night: f64,
}

impl Traits {
    fn thrown(dice: &mut Dice, known: usize) -> Self {
        let top = (2.0 + 8.0 * dice.unit()) * 1e9;
        Self {
            top,
            base: (0.1 + 0.4 * dice.unit()) * top,
            noise: 0.06 + 0.1 * dice.unit(),
            first: dice.below(WEEK),
            opens: 7 + dice.below(3),
            closes: 16 + dice.below(4),
            backup: dice.below(DAY),
            batch: 5 + dice.below(2),
            growth: (0.003 + 0.007 * dice.unit()) * if dice.chance(0.2) { -0.5 } else { 1.0 },
            change: (
                known.saturating_sub(DAY * (5 + dice.below(40))),
                if dice.chance(0.5) { 0.5 } else { 1.6 },
            ),
        }
    }

    fn hour(&self, kind: Kind, at: usize, state: &mut State, dice: &mut Dice) -> f64 {
        let slot = (self.first + at) % WEEK;
        let (day, hour) = (slot / DAY, slot % DAY);
        if hour == 0 {
            state.today = 0.08 * dice.normal();
            state.wander += 0.04 * dice.normal();
            state.night = dice.unit();
        }
        state.last = 0.6 * state.last + 0.8 * dice.normal();
        let days = f64::from(u32::try_from(at).unwrap()) / 24.0;
        let works = work(day, hour, self.opens, self.closes);
        let changed = at >= self.change.0;
        let usual = match kind {
            Kind::Sparse => {
                let booked = works > 0.0 && dice.chance(0.3);
                return if booked { self.top * dice.unit() } else { 0.0 };
            }
            Kind::Backups => {
                let since = u32::try_from((hour + DAY - self.backup) % DAY).unwrap();
                let left = 4.0 + state.night - f64::from(since);
                0.2 * self.base + self.top * left.clamp(0.0, 1.0)
            }
            Kind::Weekend if day == self.batch || (day == 6 && hour < 12) => {
                self.base + 1.2 * self.top
            }
            Kind::Weekend => self.base + 0.3 * self.top * works,
            _ => self.base + self.top * works,
        };
        let level = match kind {
            Kind::Growth => usual * (1.0 + self.growth * days),
            Kind::Added => usual + 1.5 * self.growth * self.top * days,
            Kind::Shift if changed => usual * self.change.1,
            Kind::Step if changed => usual + 0.5 * self.top,
            Kind::Wander => usual * state.wander.exp(),
            _ => usual,
        };
        let level = level.max(0.0) * (1.0 + state.today);
        let noise = (0.3 * self.base + 0.7 * level) * self.noise * state.last;
        (level + noise + self.burst(kind, state, dice)).max(0.0)
    }

    fn burst(&self, kind: Kind, state: &mut State, dice: &mut Dice) -> f64 {
        if kind == Kind::Bursts && state.burst.1 == 0 && dice.chance(0.02) {
            // Pareto, without a variance.
            let size = (1.0 - dice.unit()).powf(-1.0 / 1.3).min(20.0);
            state.burst = (0.2 * self.top * size, 1 + dice.below(8));
        }
        if state.burst.1 == 0 {
            return 0.0;
        }
        state.burst.1 -= 1;
        state.burst.0
    }
}

/// All of the work, half of it at its edges, or none.
fn work(day: usize, hour: usize, opens: usize, closes: usize) -> f64 {
    match hour {
        _ if day >= 5 => 0.0,
        hour if (opens..closes).contains(&hour) => 1.0,
        hour if (opens - 2..closes + 2).contains(&hour) => 0.5,
        _ => 0.0,
    }
}

/// Numbers that look random and come again for the same seed (SplitMix64: Steele, Lea and Flood 2014).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 0 and less than 1.
    fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / f64::from(u32::MAX).next_up()
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(most).unwrap()).unwrap()
    }

    pub(super) fn chance(&mut self, part: f64) -> bool {
        self.unit() < part
    }

    /// Box and Muller 1958.
    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (TAU * self.unit()).cos()
    }
}
