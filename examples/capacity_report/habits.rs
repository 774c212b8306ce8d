//! Who pulls what, when: projects that differ, over a day that has a night.

use anyhow::Context;
use tidegate_policy::{BitRate, ByteCount, ClassId, Endpoint, ProjectId, Span, Timestamp};

use crate::chance::Chance;

/// The hour that it is in this network when its past ends, whatever time it is elsewhere: so the same
/// seed leads to the same day.
const ENDS_AT_HOUR: i64 = 15;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// So many seconds a day has.
const DAY_SECS: u64 = 86_400;

/// How busy each hour is, beside the busiest.
const HOURS: [u64; 24] = [
    180, 150, 130, 120, 120, 140, 220, 380, 600, 820, 950, 1000, 930, 960, 1000, 970, 880, 760,
    640, 560, 480, 400, 310, 240,
];

/// What one project is in the habit of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habit {
    pub(crate) project: &'static str,
    pub(crate) class: &'static str,
    /// So many pulls a day.
    per_day: u64,
    /// From where.
    sources: &'static [&'static str],
    /// The size of what is pulled, in megabytes: heavy-tailed between the two.
    size_mb: (u64, u64),
    /// The highest rate that is of use, in Mbit/s.
    max_mbit: u64,
    /// How long each may take, in times of the shortest time that is possible, in hundredths.
    patience: (u64, u64),
    /// It asks for twice of what it moves, does not give the rest back, so that the broker plans that anew,
    /// and now and then moves nothing at all.
    wasteful: bool,
}

/// What the projects do by day.
pub(crate) const HABITS: [Habit; 4] = [
    Habit {
        project: "web",
        class: "silver",
        per_day: 6000,
        sources: &["storage/glance", "storage/swift-east"],
        size_mb: (1_500, 40_000),
        max_mbit: 8_000,
        patience: (150, 500),
        wasteful: false,
    },
    Habit {
        project: "vision",
        class: "bronze",
        per_day: 1500,
        sources: &["storage/swift-west", "storage/swift-east"],
        size_mb: (4_000, 240_000),
        max_mbit: 4_000,
        patience: (200, 600),
        wasteful: true,
    },
    Habit {
        project: "genomics",
        class: "gold",
        per_day: 700,
        sources: &["storage/swift-east"],
        size_mb: (6_000, 240_000),
        max_mbit: 6_000,
        patience: (130, 300),
        wasteful: false,
    },
    Habit {
        project: "render",
        class: "silver",
        per_day: 900,
        sources: &["storage/swift-west"],
        size_mb: (3_000, 120_000),
        max_mbit: 3_000,
        patience: (130, 250),
        wasteful: false,
    },
];

/// Something that somebody wants at a place.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    pub(crate) project: ProjectId,
    pub(crate) class: ClassId,
    /// Which host asks, by its place in the list of them.
    pub(crate) host: usize,
    pub(crate) source: Endpoint,
    /// What is asked for.
    pub(crate) volume: ByteCount,
    /// What is moved of it in the end.
    pub(crate) moved: ByteCount,
    pub(crate) max: BitRate,
    pub(crate) within: Span,
}

/// The hour of the day in this network.
pub(crate) fn hour(at: Timestamp, end: Timestamp) -> usize {
    let ms = at.as_ms().saturating_sub(end.as_ms()).saturating_add(ENDS_AT_HOUR * HOUR_MS);
    usize::try_from(ms.rem_euclid(DAY_MS).div_euclid(HOUR_MS)).unwrap_or(0)
}

impl Habit {
    /// Whether it wants something in a second of this hour.
    pub(crate) fn wants(&self, chance: &mut Chance, hour: usize) -> bool {
        let all: u64 = HOURS.iter().sum();
        let busy = HOURS.get(hour).copied().unwrap_or(0).saturating_mul(24);
        chance.below(all.saturating_mul(DAY_SECS)) < busy.saturating_mul(self.per_day)
    }

    /// What it wants.
    pub(crate) fn pull(&self, chance: &mut Chance, hosts: u64) -> anyhow::Result<Pull> {
        let (least, most) = self.size_mb;
        let volume = chance.pareto(least.saturating_mul(1_000_000), most.saturating_mul(1_000_000));
        let moved = match self.wasteful {
            false => volume,
            true if chance.permille(40) => 0,
            true => volume.div_euclid(2),
        };
        let max = BitRate::from_bps(self.max_mbit.saturating_mul(1_000_000)).context("a rate")?;
        let volume = ByteCount::new(volume);
        let shortest = volume.span_at(max).context("a volume that ends")?;
        let (hurried, patient) = self.patience;
        let times = chance.within(hurried, patient);
        let within = shortest.as_ms().saturating_mul(times).div_euclid(100).saturating_add(30_000);
        let source = chance.one_of(self.sources).context("a source")?;
        Ok(Pull {
            project: ProjectId(self.project.parse()?),
            class: ClassId(self.class.parse()?),
            host: usize::try_from(chance.below(hosts)).unwrap_or(0),
            source: source.parse()?,
            volume,
            moved: ByteCount::new(moved),
            max,
            within: Span::from_ms(within).context("a time")?,
        })
    }
}
