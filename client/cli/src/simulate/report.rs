//! What is printed of a replay.

use super::formats::line::Kind;
use super::run::Replayed;
use super::tally::{self, Both, Counts, Sums, Totals, percentile_us};
use crate::output::{Column, Record, Thing, Value};

/// One replay, counted.
pub(super) struct Report {
    plan: &'static str,
    seed: u64,
    totals: Totals,
    counts: Counts,
    overbooked: u128,
}

impl Report {
    pub(super) fn new(plan: &'static str, seed: u64, replayed: &Replayed) -> Self {
        let mut counts = replayed.counts.clone();
        counts.decisions_ns.sort_unstable();
        let totals = tally::totals(&replayed.fates);
        Self { plan, seed, totals, counts, overbooked: replayed.overbooked }
    }

    fn all(&self) -> &Sums {
        &self.totals.total.all
    }

    fn useful(&self) -> &Sums {
        &self.totals.total.useful
    }

    fn kind(&self, kind: Kind) -> Both {
        self.totals.kinds.get(&kind).copied().unwrap_or_default()
    }
}

/// Bytes out of bits times 1000, rounded down.
fn bytes(millibits: u128) -> Value {
    let bytes = u64::try_from(millibits / 8000).unwrap_or(u64::MAX);
    Value::Size(tidegate_policy::ByteCount::new(bytes))
}

fn count(sum: u128) -> Value {
    Value::Count(u64::try_from(sum).unwrap_or(u64::MAX))
}

fn sums(both: Both) -> Record {
    let Both { all, useful } = both;
    Record(vec![
        ("requests", Value::Count(all.requests)),
        ("accepted", Value::Count(all.accepted)),
        ("acceptance", Value::Ratio(all.acceptance())),
        ("offered_bytes", bytes(all.offered)),
        ("carried_bytes", bytes(all.carried)),
        ("carried", Value::Ratio(all.carried_share())),
        ("useful_acceptance", Value::Ratio(useful.acceptance())),
        ("useful_carried", Value::Ratio(useful.carried_share())),
    ])
}

fn per_kind(it: &Report) -> Value {
    let one = |kind: Kind| (kind.name(), Value::Record(sums(it.kind(kind))));
    Value::Record(Record(Kind::ALL.map(one).into()))
}

/// For people: both shares of a kind in one cell.
fn shares(it: &Report, kind: Kind) -> Value {
    let Sums { requests, .. } = it.kind(kind).all;
    if requests == 0 {
        return Value::Nothing;
    }
    let all = it.kind(kind).all;
    Value::Text(format!("{:.3} / {:.3}", all.acceptance(), all.carried_share()))
}

fn decisions(it: &Report) -> Value {
    let of = |percent| Value::Ratio(percentile_us(&it.counts.decisions_ns, percent));
    Value::Named(Record(vec![("p50", of(50)), ("p99", of(99))]))
}

fn counted<'a>(of: impl IntoIterator<Item = (&'a &'static str, &'a u64)>) -> Value {
    Value::Named(Record(of.into_iter().map(|(why, count)| (*why, Value::Count(*count))).collect()))
}

impl Thing for Report {
    const ONE: &'static str = "plan";
    const MANY: &'static str = "plans";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("plan", "plan", |it| Value::text(it.plan)),
        Column::new("requests", "requests", |it| Value::Count(it.all().requests)),
        Column::new("accepted", "accepted", |it| Value::Count(it.all().accepted)),
        Column::new("acceptance", "acceptance", |it| Value::Ratio(it.all().acceptance())),
        Column::new("carried", "carried", |it| Value::Ratio(it.all().carried_share())),
        Column::alone("offered", "offered_bytes", |it| bytes(it.all().offered)),
        Column::alone("moved-bytes", "carried_bytes", |it| bytes(it.all().carried)),
        Column::new("useful-acceptance", "useful_acceptance", |it| useful(it, Sums::acceptance)),
        Column::new("useful-carried", "useful_carried", |it| useful(it, Sums::carried_share)),
        Column::data("per-kind", "per_kind", per_kind),
        Column::new("rigid", "rigid", |it| shares(it, Kind::Rigid)),
        Column::new("flex", "flex", |it| shares(it, Kind::Flex)),
        Column::new("volume", "volume", |it| shares(it, Kind::Volume)),
        Column::alone("deadlines-met", "deadlines_met", |it| Value::Count(it.totals.deadlines_met)),
        Column::new("broken", "promises_broken", |it| Value::Count(it.totals.broken)),
        Column::alone("lost", "promises_lost", |it| counted(&it.totals.lost)),
        Column::new("overbooked", "overbooked_bit_ms", |it| count(it.overbooked)),
        Column::wide("replans", "replans", |it| Value::Count(it.counts.replans)),
        Column::wide("moved", "moved", |it| Value::Count(it.counts.moved)),
        Column::alone("decision-us", "decision_us", decisions),
        Column::wide("offers-tried", "counter_offers_tried", |it| {
            Value::Count(it.counts.offers_tried)
        }),
        Column::wide("offers-held", "counter_offers_held", |it| {
            Value::Count(it.counts.offers_held)
        }),
        Column::alone("without-offer", "refusals_without_offer", |it| {
            Value::Count(it.counts.without_offer)
        }),
        Column::alone("refused", "refusals", |it| counted(&it.counts.refusals)),
        Column::alone("no-shows", "no_shows", |it| some(it.totals.no_shows)),
        Column::alone("released", "released_early", |it| some(it.totals.released)),
        Column::alone("reclaimed", "reclaimed", |it| some(it.totals.reclaimed)),
        Column::wide("false-reclaims", "false_reclaims", |it| {
            Value::Count(it.totals.falsely_reclaimed)
        }),
        Column::alone("seed", "seed", |it| Value::Count(it.seed)),
    ];
}

/// A count of which people are told if there are any.
fn some(count: u64) -> Value {
    Value::unless(count == 0, Value::Count(count))
}

/// A share of what shows up: people are told where that is not all.
fn useful(it: &Report, of: fn(&Sums) -> f64) -> Value {
    Value::unless(it.totals.no_shows == 0, Value::Ratio(of(it.useful())))
}
