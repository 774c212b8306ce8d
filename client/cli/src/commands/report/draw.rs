//! Reports as pictures: which shapes say what.

use tidegate_client::report::{
    Forecast, ForecastBucket, LaneForecast, LaneUtilization, Utilization, UtilizationBucket,
};
use tidegate_policy::{BitRate, Span, Timestamp};

use crate::output::round;
use crate::plot::{Chart, Ink, Picture, Shape, Step, svg};
use crate::things::counted;
use crate::things::report::utilization::LaneReport;

/// The most lanes of a picture: with more, nobody finds anything.
const CHARTS_MAX: usize = 50;

/// What lanes could carry, what was booked of it, what was used, and what is booked ahead.
pub(super) fn utilization(found: &Utilization) -> String {
    let (start, end, now) = (found.start, found.end, found.now);
    let drawn = found.lanes.iter().take(CHARTS_MAX);
    let charts = drawn.map(|lane| utilized(lane, found.bucket, (start, end, now))).collect();
    let observed = found.lanes.iter().flat_map(|lane| &lane.buckets);
    let observed = observed.map(|bucket| bucket.observed).any(|observed| observed.is_some());
    let unknown = found.lanes.iter().flat_map(|lane| &lane.buckets).any(|bucket| bucket.unknown);
    let mut legend = vec![
        (Ink::Booked, "booked"),
        (Ink::Ahead, "booked ahead"),
        (Ink::Capacity, "can be booked"),
        (Ink::Used, "moved (payload)"),
    ];
    legend.extend(observed.then_some((Ink::Observed, "observed")));
    legend.extend(unknown.then_some((Ink::Unknown, "not known")));
    svg(&Picture {
        title: format!("Utilization{}", left_out(found.lanes.len())),
        description: format!(
            "What can be booked on each lane, what is booked of it and what sessions moved across \
             it, from {start} to {end}, in pieces of {}; now is {now}.{}",
            found.bucket,
            described(found),
        ),
        legend,
        charts,
    })
}

/// What is said of each lane to whoever does not see it.
fn described(found: &Utilization) -> String {
    let said = |lane: &LaneUtilization| {
        let peak = lane.buckets.iter().map(|bucket| bucket.peak).max().unwrap_or(BitRate::ZERO);
        format!(" At most {} booked on {}.", round::rate(peak), lane.lane)
    };
    found.lanes.iter().take(CHARTS_MAX).map(said).collect()
}

fn left_out(lanes: usize) -> String {
    match lanes.saturating_sub(CHARTS_MAX) {
        0 => String::new(),
        more => format!(", the first {CHARTS_MAX} lanes; {more} more are not drawn"),
    }
}

fn utilized(
    lane: &LaneUtilization,
    length: Span,
    (start, end, now): (Timestamp, Timestamp, Timestamp),
) -> Chart {
    let steps = |keep: &dyn Fn(&UtilizationBucket) -> bool,
                 high: &dyn Fn(&UtilizationBucket) -> BitRate| {
        let kept = lane.buckets.iter().filter(|bucket| keep(bucket));
        kept.map(|it| step(it.start, length, (BitRate::ZERO, high(it)))).collect()
    };
    let known = |it: &UtilizationBucket| !it.unknown;
    let past = |it: &UtilizationBucket| !it.unknown && it.start < now;
    let all = lane.buckets.iter().map(|it| it.capacity.max(it.booked)).max();
    let all = all.unwrap_or(BitRate::ZERO);
    let shapes = vec![
        Shape { ink: Ink::Unknown, steps: steps(&|it| it.unknown, &|_| all) },
        Shape { ink: Ink::Booked, steps: steps(&past, &|it| it.booked) },
        Shape {
            ink: Ink::Ahead,
            steps: steps(&|it| known(it) && now <= it.start, &|it| it.booked),
        },
        Shape { ink: Ink::Capacity, steps: steps(&known, &|it| it.capacity) },
        Shape { ink: Ink::Used, steps: steps(&past, &|it| it.used) },
        Shape {
            ink: Ink::Observed,
            steps: steps(&|it| it.observed.is_some(), &|it| it.observed.unwrap_or_default()),
        },
    ];
    Chart { name: lane.lane.clone(), note: note(lane, length, now), start, end, now, shapes }
}

fn note(lane: &LaneUtilization, bucket: Span, now: Timestamp) -> String {
    let report = LaneReport { lane: lane.clone(), bucket, now };
    let capacity = round::rate(report.capacity());
    let mut note = format!("{capacity} can be booked; at most {} is", report.peak().exact());
    if lane.drained {
        note.push_str("; drained");
    }
    let found = u64::try_from(lane.findings.len()).unwrap_or(u64::MAX);
    if 0 < found {
        note.push_str(&format!("; {} not as it should be", counted(found, "time")));
    }
    note
}

/// The band in which it is to lie, what is expected, and what is booked already.
pub(super) fn forecast(found: &Forecast) -> String {
    let drawn = found.lanes.iter().take(CHARTS_MAX);
    let charts = drawn.map(|lane| expected(lane, found)).collect();
    let said = |lane: &LaneForecast| format!(" {}: {}.", lane.lane, outlook(lane));
    svg(&Picture {
        title: format!("Forecast{}", left_out(found.lanes.len())),
        description: format!(
            "What is likely to be booked on each lane from {} on, in pieces of {}, with the band in \
             which four of five outcomes are to lie.{}",
            found.now,
            found.bucket,
            found.lanes.iter().take(CHARTS_MAX).map(said).collect::<String>(),
        ),
        legend: vec![
            (Ink::Ahead, "booked already"),
            (Ink::Expected, "expected"),
            (Ink::Band, "four of five outcomes"),
            (Ink::Capacity, "can be booked"),
        ],
        charts,
    })
}

fn expected(lane: &LaneForecast, found: &Forecast) -> Chart {
    let steps = |ends: &dyn Fn(&ForecastBucket) -> (BitRate, BitRate)| {
        lane.buckets.iter().map(|it| step(it.start, found.bucket, ends(it))).collect()
    };
    let zero = BitRate::ZERO;
    let start = lane.buckets.first().map_or(found.now, |first| first.start);
    let end = lane.buckets.last().map_or(found.now, |last| last.start.plus(found.bucket));
    Chart {
        name: lane.lane.clone(),
        note: outlook(lane),
        start,
        end,
        now: found.now,
        shapes: vec![
            Shape { ink: Ink::Band, steps: steps(&|it| (it.low, it.high)) },
            Shape { ink: Ink::Ahead, steps: steps(&|it| (zero, it.booked)) },
            Shape { ink: Ink::Capacity, steps: steps(&|it| (zero, it.capacity)) },
            Shape { ink: Ink::Expected, steps: steps(&|it| (zero, it.expected)) },
        ],
    }
}

fn outlook(lane: &LaneForecast) -> String {
    let when = match (lane.full, lane.earliest_full) {
        (Some(full), _) => format!("likely to be full from {full}"),
        (None, Some(earliest)) => format!("may be full from {earliest}"),
        (None, None) => "not likely to be full".to_owned(),
    };
    format!("{when}; {} a day", round::signed(lane.trend_bps))
}

fn step(start: Timestamp, length: Span, (low, high): (BitRate, BitRate)) -> Step {
    let end = start.plus(length).as_ms();
    Step { start: start.as_ms(), end, low: low.bps(), high: high.bps() }
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
