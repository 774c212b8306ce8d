//! What a report looks like as a picture.

use tidegate_client::report::Basis;
use tidegate_policy::ByteCount;

use super::*;

const G: u64 = 1_000_000_000;

fn hour(count: u32) -> Timestamp {
    Timestamp::EPOCH.plus(Span::from_secs(count * 3600))
}

fn rate(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

/// Two days of a lane of 10 Gbit/s, of which 4 hours are not known, and 3 are maintenance to come.
fn found() -> Utilization {
    let bucket = |count: u32| {
        let capacity = if (38..41).contains(&count) { 4 * G } else { 10 * G };
        let wave = u64::from((count + 18) % 24).abs_diff(12) * G / 2;
        let booked = if count < 26 { 8 * G - wave } else { (8 * G - wave) / 2 };
        UtilizationBucket {
            start: hour(count),
            capacity: rate(capacity),
            booked: rate(booked.min(capacity)),
            peak: rate(booked.min(capacity)),
            headroom: rate(capacity.saturating_sub(booked)),
            used: rate(booked * 7 / 10),
            used_bytes: ByteCount::new(booked * 7 / 80 * 3600),
            booked_bytes: ByteCount::new(booked / 8 * 3600),
            observed: (18..24).contains(&count).then(|| rate(booked + G)),
            unknown: count < 4,
        }
    };
    let lane = |name: &str| LaneUtilization {
        lane: name.into(),
        buckets: (0..48).map(bucket).collect(),
        findings: Vec::new(),
        outages: Vec::new(),
        drained: name.ends_with("reverse"),
    };
    Utilization {
        lanes: vec![lane("links/tor-1--spine/forward"), lane("links/tor-1--spine/reverse")],
        bucket: Span::from_secs(3600),
        start: hour(0),
        end: hour(48),
        now: hour(26).plus(Span::from_secs(1200)),
        lane_count: 2,
    }
}

fn foreseen() -> Forecast {
    let bucket = |count: u32| {
        let wave = u64::from(count % 24).abs_diff(12) * G / 4;
        let expected = 6 * G - wave + u64::from(count) * G / 48;
        ForecastBucket {
            start: hour(count),
            capacity: rate(10 * G),
            booked: rate(expected.saturating_sub(u64::from(count) * G / 12)),
            expected: rate(expected),
            low: rate(expected - G / 2),
            high: rate(expected + u64::from(count) * G / 60),
        }
    };
    let lane = LaneForecast {
        lane: "links/tor-1--spine/forward".into(),
        buckets: (0..168).map(bucket).collect(),
        full: Some(hour(160)),
        earliest_full: Some(hour(130)),
        booked_full: None,
        trend_bps: 500_000_000,
        history_hours: 400,
        basis: Basis::Weekly,
    };
    let bucket = Span::from_secs(3600);
    Forecast { lanes: vec![lane], more: false, bucket, now: hour(0) }
}

/// The paths of a kind, as they are drawn.
fn paths<'a>(drawn: &'a str, class: &str) -> Vec<&'a str> {
    let begin = format!("<path class=\"{class}\" d=\"");
    // Samples in the legend have words behind them.
    let lines = drawn.lines().filter(|line| line.ends_with("\"/>"));
    lines.filter_map(|line| line.strip_prefix(begin.as_str())).collect()
}

#[test]
fn what_was_and_what_is_to_come_are_drawn_apart() {
    let drawn = utilization(&found());
    for class in ["unknown", "booked", "ahead", "capacity", "used", "observed"] {
        assert_eq!(paths(&drawn, class).len(), 2, "{class} of two lanes");
    }
    let (past, ahead) = (paths(&drawn, "booked")[0], paths(&drawn, "ahead")[0]);
    // 48 hours are 696 pixels: the past begins behind 4 hours and ends with that of now.
    assert!(past.starts_with("M58 ") && past.contains("H391.5"), "{past}");
    assert!(ahead.starts_with("M391.5 ") && ahead.contains("H696"), "{ahead}");
    assert!(!paths(&drawn, "used")[0].contains("H696"), "nothing has moved ahead of now");
    for said in [
        "10Gbit/s can be booked; at most 87 % is; drained",
        ">not known<",
        ">observed<",
        "At most 8Gbit/s booked on links/tor-1--spine/forward.",
    ] {
        assert!(drawn.contains(said), "{said} in {drawn}");
    }
}

#[test]
fn what_is_not_there_has_no_place_in_the_legend() {
    let mut found = found();
    for bucket in found.lanes.iter_mut().flat_map(|lane| &mut lane.buckets) {
        (bucket.unknown, bucket.observed) = (false, None);
    }
    let drawn = utilization(&found);
    assert!(!drawn.contains(">not known<") && !drawn.contains(">observed<"), "{drawn}");
    found.lanes = vec![found.lanes[0].clone(); CHARTS_MAX + 3];
    let drawn = utilization(&found);
    assert!(drawn.contains("the first 50 lanes; 3 more are not drawn"), "{drawn}");
    assert_eq!(paths(&drawn, "booked").len(), CHARTS_MAX);
}

#[test]
fn a_forecast_has_its_band_and_says_when_it_is_full() {
    let drawn = forecast(&foreseen());
    for class in ["band", "ahead", "capacity", "expected"] {
        assert_eq!(paths(&drawn, class).len(), 1, "{class}");
    }
    let says = "likely to be full from 1970-01-07T16:00:00Z; +500Mbit/s a day";
    assert_eq!(drawn.matches(says).count(), 2, "seen and described: {drawn}");
    let mut calm = foreseen();
    (calm.lanes[0].full, calm.lanes[0].earliest_full) = (None, None);
    assert!(forecast(&calm).contains("not likely to be full"));
}
