//! What lanes could carry, what is booked of it and what was used.

use tidegate_client::report::{
    Finding, FindingKind, LaneUtilization, Outage, Utilization, UtilizationBucket,
};
use tidegate_policy::{BitRate, ByteCount, Span, Timestamp};

use super::{SPARK, bar};
use crate::output::{Column, Record, Style, Thing, Tone, Value, painted, round, sparkline};

/// One lane over a range of time.
pub(crate) struct LaneReport {
    pub(crate) lane: LaneUtilization,
    pub(crate) bucket: Span,
    pub(crate) now: Timestamp,
}

/// One piece of that time.
pub(crate) struct BucketRow {
    pub(crate) lane: String,
    pub(crate) bucket: UtilizationBucket,
    pub(crate) end: Timestamp,
    pub(crate) now: Timestamp,
}

/// Every lane of an answer.
pub(crate) fn lanes(found: Utilization) -> Vec<LaneReport> {
    let Utilization { lanes, bucket, now, .. } = found;
    lanes.into_iter().map(|lane| LaneReport { lane, bucket, now }).collect()
}

impl LaneReport {
    fn known(&self) -> impl Iterator<Item = &UtilizationBucket> {
        self.lane.buckets.iter().filter(|bucket| !bucket.unknown)
    }

    /// What is recorded: all that begins before now.
    fn recorded(&self) -> impl Iterator<Item = &UtilizationBucket> {
        self.known().filter(|bucket| bucket.start < self.now)
    }

    /// What it can carry in the first piece that is ahead of now, or else in the last one: that of now may
    /// have begun before the lane was there.
    pub(crate) fn capacity(&self) -> BitRate {
        let ahead = self.known().find(|bucket| self.now <= bucket.start);
        ahead.or_else(|| self.known().last()).map_or(BitRate::ZERO, |bucket| bucket.capacity)
    }

    /// The largest part of it that is booked at one instant.
    pub(crate) fn peak(&self) -> Value {
        // Of what there is at one instant, not on average: what is booked then, and what is free then.
        let share = |bucket: &UtilizationBucket| {
            let (booked, free) = (u128::from(bucket.peak.bps()), u128::from(bucket.headroom.bps()));
            let percent = (booked * 100).checked_div(booked + free).unwrap_or(0);
            u64::try_from(percent).unwrap_or(u64::MAX)
        };
        self.known().map(share).max().map_or(Value::Nothing, Value::Percent)
    }

    /// The part of it that is booked on average.
    fn booked(&self) -> Value {
        let sum = |of: fn(&UtilizationBucket) -> BitRate| -> u128 {
            self.known().map(|bucket| u128::from(of(bucket).bps())).sum()
        };
        let percent = (sum(|it| it.booked) * 100).checked_div(sum(|it| it.capacity));
        percent.map_or(Value::Nothing, |it| Value::Percent(u64::try_from(it).unwrap_or(u64::MAX)))
    }

    /// What moved across it on average, as far as it is recorded.
    fn used(&self) -> Value {
        let (mut bytes, mut pieces) = (0_u64, 0_u64);
        for bucket in self.recorded() {
            bytes = bytes.saturating_add(bucket.used_bytes.bytes());
            pieces = pieces.saturating_add(1);
        }
        let bits = u128::from(bytes) * 8 * 1000;
        let over = u128::from(pieces) * u128::from(self.bucket.as_ms());
        let mean = bits.checked_div(over).and_then(|bps| u64::try_from(bps).ok());
        mean.and_then(BitRate::from_bps).map_or(Value::Nothing, Value::mean)
    }

    /// How full it is over time, a character for each piece, or as many as there is room for.
    pub(crate) fn spark(&self, width: usize) -> String {
        let part = |bucket: &UtilizationBucket| {
            (!bucket.unknown).then(|| (bucket.booked.bps(), bucket.capacity.bps()))
        };
        let parts: Vec<_> = self.lane.buckets.iter().map(part).collect();
        let ahead = self.lane.buckets.iter().position(|bucket| self.now <= bucket.start);
        let over = self.lane.buckets.last().is_some_and(|last| last.start < self.now);
        let end = over.then_some(parts.len()).filter(|_| self.now_is_inside());
        sparkline(&parts, ahead.or(end), width)
    }

    fn now_is_inside(&self) -> bool {
        let last = self.lane.buckets.last();
        last.is_some_and(|last| self.now <= last.start.plus(self.bucket))
    }

    /// Its pieces, one by one.
    pub(crate) fn rows(&self) -> impl Iterator<Item = BucketRow> {
        self.lane.buckets.iter().map(|bucket| BucketRow {
            lane: self.lane.lane.clone(),
            bucket: *bucket,
            end: bucket.start.plus(self.bucket),
            now: self.now,
        })
    }
}

impl Thing for LaneReport {
    const ONE: &'static str = "lane";
    const MANY: &'static str = "lanes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("lane", "lane", |it| Value::text(&it.lane.lane)),
        Column::new("booked", "booked_percent", Self::booked),
        Column::new("peak", "peak_percent", Self::peak),
        Column::pictured("over-time", "over_time", |it| Value::Text(it.spark(SPARK))),
        Column::new("used", "used_bps", Self::used),
        Column::new("capacity", "capacity_bps", |it| Value::mean(it.capacity())),
        Column::new("state", "drained", |it| {
            Value::Mark(it.lane.drained, "drained", Tone::Warning)
        }),
        Column::new("findings", "findings", |it| match it.lane.findings.as_slice() {
            [] => Value::Usual(Box::new(Value::Records(Vec::new()))),
            some => {
                let records = Value::Records(some.iter().map(finding).collect());
                Value::told(format!("{} below", some.len()), records)
            }
        }),
        Column::data("outages", "outages", |it| {
            Value::Records(it.lane.outages.iter().map(outage).collect())
        }),
        Column::data("now", "now", |it| Value::Time(it.now)),
        Column::data("bucket", "bucket_ms", |it| Value::Span(it.bucket)),
        Column::data("buckets", "buckets", |it| {
            Value::Records(it.rows().map(|row| piece(&row)).collect())
        }),
    ];
}

impl Thing for BucketRow {
    const ONE: &'static str = "bucket";
    const MANY: &'static str = "buckets";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::data("lane", "lane", |it| Value::text(&it.lane)),
        Column::new("start", "start_time", |it| Value::Time(it.bucket.start)),
        Column::data("end", "end_time", |it| Value::Time(it.end)),
        Column::new("when", "when", BucketRow::when),
        Column::new("share", "booked_percent", |it| {
            it.of(|bucket| Value::share(bucket.booked, bucket.capacity))
        }),
        Column::drawn("load", "load", |it| {
            it.of(|bucket| Value::Text(bar(bucket.booked.bps(), bucket.capacity.bps())))
        }),
        Column::new("booked", "booked_bps", |it| it.of(|bucket| Value::mean(bucket.booked))),
        Column::new("peak", "peak_bps", |it| it.of(|bucket| Value::mean(bucket.peak))),
        Column::new("free", "headroom_bps", |it| it.of(|bucket| Value::mean(bucket.headroom))),
        Column::new("used", "used_bps", |it| it.recorded(|bucket| Value::mean(bucket.used))),
        Column::new("observed", "observed_bps", |it| {
            it.bucket.observed.map_or(Value::Nothing, Value::mean)
        }),
        Column::new("capacity", "capacity_bps", |it| it.of(|bucket| Value::mean(bucket.capacity))),
        Column::data("booked-bytes", "booked_bytes", |it| {
            it.of(|bucket| Value::Size(bucket.booked_bytes))
        }),
        Column::data("used-bytes", "used_bytes", |it| {
            it.recorded(|bucket| Value::Size(bucket.used_bytes))
        }),
    ];
}

impl BucketRow {
    /// What is said of it; nothing where nothing is known.
    fn of(&self, read: fn(&UtilizationBucket) -> Value) -> Value {
        if self.bucket.unknown { Value::Nothing } else { read(&self.bucket) }
    }

    /// The same, of what can only be recorded.
    fn recorded(&self, read: fn(&UtilizationBucket) -> Value) -> Value {
        if self.now <= self.bucket.start { Value::Nothing } else { self.of(read) }
    }

    fn when(&self) -> Value {
        match (self.bucket.unknown, self.bucket.start < self.now) {
            (true, _) => Value::word("unknown", "not known", Tone::Faint),
            (false, true) => Value::word("recorded", "recorded", Tone::Plain),
            (false, false) => Value::word("booked", "booked", Tone::Plain),
        }
    }
}

/// A piece inside of its lane, which has its name and when it ends.
fn piece(row: &BucketRow) -> Record {
    let said = |column: &&Column<BucketRow>| !matches!(column.name, "lane" | "end" | "load");
    let columns = BucketRow::COLUMNS.iter().filter(said);
    Record(columns.map(|column| (column.key, (column.read)(row))).collect())
}

fn finding(it: &Finding) -> Record {
    Record(vec![
        ("kind", Value::text(kind(it.kind))),
        ("observed_bps", Value::Rate(it.observed)),
        ("expected_bps", Value::Rate(it.expected)),
        ("start_time", Value::Time(it.start)),
        ("end_time", Value::Time(it.end)),
        ("observer", Value::maybe(it.observer.as_ref())),
    ])
}

fn kind(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::UnderDelivery => "under_delivery",
        FindingKind::UnbookedTraffic => "unbooked_traffic",
        FindingKind::UnusedPromises => "unused_promises",
        FindingKind::Unknown(_) => "unknown",
    }
}

fn outage(it: &Outage) -> Record {
    Record(vec![
        ("start_time", Value::Time(it.start)),
        ("end_time", Value::Time(it.end)),
        ("left_bps", Value::Rate(it.left)),
    ])
}

/// What was found, and what to do next, each on a line with a mark.
pub(crate) fn finding_lines(lanes: &[LaneReport], style: Style) -> Vec<String> {
    let lines = lanes.iter().flat_map(|it| {
        it.lane.findings.iter().flat_map(|found| {
            let (said, next) = words(&it.lane.lane, found);
            [painted(&format!("! {said}"), Tone::Warning, style), format!("  next: {next}")]
        })
    });
    lines.collect()
}

/// What was observed, and what helps.
fn words(lane: &str, it: &Finding) -> (String, String) {
    let (observed, expected) = (round::rate(it.observed), round::rate(it.expected));
    let by = it.observer.as_ref().map_or(String::new(), |by| format!(", as {by} observed"));
    let (start, end) = (Value::Time(it.start).brief(), Value::Time(it.end).brief());
    let when = format!("{start} to {end}{by}");
    let resource = lane.rsplit_once('/').map_or(lane, |(resource, _)| resource);
    match it.kind {
        FindingKind::UnderDelivery => (
            format!("{lane} carried at most {observed}, where {expected} can be booked: {when}"),
            format!(
                "look for errors and the speed of its ports; until it is mended, `tidegate \
                 maintenance add {resource}` with --left books no more than it carries"
            ),
        ),
        FindingKind::UnbookedTraffic => (
            format!("{lane} carried {observed}, where {expected} was booked and set aside: {when}"),
            "find who sends without a reservation, or set more aside with `reserved` in the topology"
                .to_owned(),
        ),
        FindingKind::UnusedPromises => (
            format!("sessions moved {observed} across {lane}, where {expected} was promised: {when}"),
            format!("`tidegate report top --by wasted --lane {lane}` says whose promises they are"),
        ),
        FindingKind::Unknown(number) => (
            format!("{lane}: {observed} instead of {expected}: {when}"),
            format!("a newer tidegate knows what {number} means"),
        ),
    }
}

/// How full a lane was, for a table of something else.
pub(crate) fn last_hour(lane: &LaneUtilization, width: usize) -> String {
    let part = |bucket: &UtilizationBucket| {
        (!bucket.unknown).then(|| (bucket.booked.bps(), bucket.capacity.bps()))
    };
    sparkline(&lane.buckets.iter().map(part).collect::<Vec<_>>(), None, width)
}

/// Nothing at all is booked or used in all of this.
pub(crate) fn is_idle(lanes: &[LaneReport]) -> bool {
    let idle = |it: &UtilizationBucket| {
        it.peak == BitRate::ZERO && it.used_bytes == ByteCount::ZERO && it.observed.is_none()
    };
    lanes.iter().flat_map(LaneReport::known).all(idle)
}

/// Nothing is known of what was.
pub(crate) fn knows_no_past(lanes: &[LaneReport]) -> bool {
    let past = |it: &&LaneReport| it.lane.buckets.iter().any(|bucket| bucket.start < it.now);
    lanes.iter().any(|it| past(&it)) && lanes.iter().all(|it| it.recorded().next().is_none())
}

#[cfg(test)]
#[path = "../../report_tests.rs"]
mod tests;
