//! What is said of lanes over time.

use tidegate_client::report::{Finding, FindingKind};

use super::*;

const MINUTE: i64 = 60_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

fn rate(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

/// A lane of 800 bit/s, booked as said minute by minute, half of which moved; `None` is not known.
fn lane(booked: &[Option<u64>], now: i64) -> LaneReport {
    let bucket = |(index, booked): (i64, &Option<u64>)| {
        let bps = booked.unwrap_or(0);
        UtilizationBucket {
            start: at(index * MINUTE),
            capacity: rate(800),
            booked: rate(bps),
            peak: rate(bps),
            headroom: rate(800_u64.saturating_sub(bps)),
            used: rate(bps / 2),
            used_bytes: ByteCount::new(bps / 2 * 60 / 8),
            booked_bytes: ByteCount::new(bps * 60 / 8),
            observed: None,
            unknown: booked.is_none(),
        }
    };
    LaneReport {
        lane: LaneUtilization {
            lane: "links/a/forward".into(),
            buckets: (0..).zip(booked).map(bucket).collect(),
            findings: Vec::new(),
            outages: Vec::new(),
            drained: false,
        },
        bucket: Span::from_secs(60),
        now: at(now),
    }
}

fn said(it: &LaneReport, name: &str) -> Value {
    let column = LaneReport::COLUMNS.iter().find(|column| column.name == name).unwrap();
    (column.read)(it)
}

#[test]
fn a_lane_says_how_full_it_was_and_will_be() {
    let it = lane(&[None, Some(0), Some(400), Some(800)], 2 * MINUTE + 1);
    assert_eq!(said(&it, "over-time"), Value::text("· ▄│█"));
    assert_eq!(said(&it, "peak"), Value::Percent(100));
    assert_eq!(said(&it, "booked"), Value::Percent(50), "of what is known");
    assert_eq!(said(&it, "used"), Value::mean(rate(100)), "of what is recorded: 0 and 200");
    assert_eq!(said(&it, "capacity"), Value::mean(rate(800)));
    let over = lane(&[Some(800), Some(0)], 9 * MINUTE);
    assert_eq!(said(&over, "over-time"), Value::text("█ "), "now is far behind it");
    assert_eq!(said(&lane(&[Some(8)], MINUTE), "over-time"), Value::text("▁│"));
    let unknown = lane(&[None, None], 9 * MINUTE);
    assert!(said(&unknown, "peak").is_nothing() && said(&unknown, "used").is_nothing());
}

#[test]
fn what_is_booked_on_nothing_is_full() {
    let mut it = lane(&[Some(8)], MINUTE);
    (it.lane.buckets[0].capacity, it.lane.buckets[0].headroom) = Default::default();
    assert_eq!(said(&it, "peak"), Value::Percent(100));
    it.lane.buckets[0].peak = BitRate::ZERO;
    assert_eq!(said(&it, "peak"), Value::Percent(0));
}

#[test]
fn little_to_be_seen_has_a_reason() {
    let idle = [lane(&[Some(0), Some(0)], MINUTE)];
    assert!(is_idle(&idle) && !knows_no_past(&idle));
    let busy = [lane(&[Some(0), Some(8)], MINUTE)];
    assert!(!is_idle(&busy));
    let unknown = [lane(&[None, Some(8)], MINUTE)];
    assert!(knows_no_past(&unknown));
    let ahead = [lane(&[Some(8)], 0)];
    assert!(!knows_no_past(&ahead), "there is no past in it");
}

#[test]
fn pieces_say_nothing_of_what_nobody_knows() {
    let it = lane(&[None, Some(400), Some(400)], MINUTE + 1);
    let rows: Vec<BucketRow> = it.rows().collect();
    let read = |row: &BucketRow, key: &str| {
        let column = BucketRow::COLUMNS.iter().find(|column| column.key == key).unwrap();
        (column.read)(row).cell()
    };
    let keys = ["when", "booked_bps", "used_bps", "used_bytes"];
    let table = rows.iter().map(|row| keys.map(|key| read(row, key)));
    assert_eq!(
        table.collect::<Vec<_>>(),
        [["unknown", "", "", ""], ["recorded", "400", "200", "1500"], ["booked", "400", "", ""]]
    );
}

#[test]
fn findings_say_what_was_observed_and_what_next() {
    let mut it = lane(&[Some(400)], MINUTE);
    let finding = |kind, observer: Option<&str>| Finding {
        kind,
        observed: rate(400_000_000),
        expected: rate(970_000_000),
        start: at(0),
        end: at(5 * MINUTE),
        observer: observer.map(str::to_owned),
    };
    it.lane.findings = vec![
        finding(FindingKind::UnderDelivery, Some("snmp")),
        finding(FindingKind::UnbookedTraffic, Some("snmp")),
        finding(FindingKind::UnusedPromises, None),
        finding(FindingKind::Unknown(9), None),
    ];
    let lines = finding_lines(&[it], Style::Plain);
    let over = "1970-01-01T00:00:00Z to 1970-01-01T00:05:00Z";
    assert_eq!(
        lines[..2],
        [
            format!(
                "! links/a/forward carried at most 400Mbit/s, where 970Mbit/s can be booked: {over}, \
                 as snmp observed"
            ),
            "  next: look for errors and the speed of its ports; until it is mended, `tidegate \
             maintenance add links/a` with --left books no more than it carries"
                .to_owned(),
        ]
    );
    assert!(lines[2].contains("carried 400Mbit/s, where 970Mbit/s was booked and set aside"));
    assert!(lines[4].ends_with(over) && lines[5].contains("--by wasted --lane links/a/forward"));
    assert_eq!(lines.len(), 8);
}
