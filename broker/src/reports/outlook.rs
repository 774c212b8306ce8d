//! The future of lanes: what the past of one and its bookings say of it, and which run full soonest.

use std::cmp::Reverse;

use tidegate_core::lane::{Lane, LaneName};
use tidegate_policy::Interval;
use tidegate_proto::v1;
use tidegate_proto::v1::lane_forecast::Basis as WireBasis;

use super::forecast::{self, Basis, Bucket, BucketLength, LanePast};
use super::frame::Frame;
use super::grain::{DAY_MS, Grain, HOUR_MS, floor, interval, pieces};
use super::look::Look;
use super::mean;
use super::names;
use super::store::ReportsError;
use crate::convert::reply;

/// How much of the past is looked at.
const BACK_MS: i64 = 90 * DAY_MS;
/// The most lanes whose future is worked out for one answer: each takes a millisecond or two. Of more,
/// those that get fullest are.
pub(crate) const LANES_MAX: usize = 200;

/// What a forecast of one lane is made of.
#[derive(Debug)]
pub(crate) struct Known {
    lane: String,
    history: Vec<Option<u64>>,
    /// The start of the hour of now.
    from: i64,
    booked: Vec<u64>,
    capacity: Vec<u64>,
}

/// Looks up what is known of a lane's past.
pub(crate) fn past(look: &Look, name: &LaneName) -> Result<Known, ReportsError> {
    let from = floor(look.until(), HOUR_MS);
    let id = look.names().get(&names::lane(name));
    let so_far = id.map(|id| look.sum(Grain::Hour, (from, from.saturating_add(HOUR_MS)), id));
    let so_far = so_far.transpose()?.unwrap_or_default();
    Ok(Known {
        lane: name.to_string(),
        history: history(look, name, from)?,
        from,
        booked: vec![mean(so_far.booked.max(0).unsigned_abs(), HOUR_MS)],
        capacity: Vec::new(),
    })
}

/// Adds what is booked from an instant on, to the end of the frame. It is looked up where others wait, so it
/// does no more than that.
pub(crate) fn ahead(known: Known, lane: &Lane, (until, frame): (i64, &Frame)) -> Known {
    let range = (known.from, frame.end);
    let mut booked = hours(range, |over| {
        // What has passed of this hour is accounted for already.
        let ahead = interval(over.start().as_ms().max(until), over.end().as_ms());
        ahead.into_iter().flat_map(|ahead| lane.timeline.pieces(ahead))
    });
    for (sum, so_far) in booked.iter_mut().zip(&known.booked) {
        *sum = sum.saturating_add(*so_far);
    }
    let capacity = hours(range, |over| {
        lane.cuts().pieces(over).map(|(part, cut)| (part, lane.capacity().saturating_sub(cut)))
    });
    Known { booked, capacity, ..known }
}

/// The future of one lane, from the hour of now to the end of the frame.
pub(crate) fn told(known: &Known, frame: &Frame) -> v1::LaneForecast {
    let Known { lane, history, from, booked, capacity } = known;
    let past = LanePast { history, end_ms: *from, booked, capacity };
    let length = if frame.bucket == HOUR_MS { BucketLength::Hour } else { BucketLength::Day };
    let told = forecast::forecast(past, length);
    let basis = match told.basis {
        Basis::Bookings => WireBasis::Bookings,
        Basis::Daily => WireBasis::Daily,
        Basis::Weekly => WireBasis::Weekly,
    };
    v1::LaneForecast {
        lane: lane.clone(),
        buckets: told.buckets.iter().map(bucket).collect(),
        full_time: told.expected_full_ms.and_then(super::time),
        earliest_full_time: told.high_full_ms.and_then(super::time),
        booked_full_time: told.booked_full_ms.and_then(super::time),
        trend_bps: told.trend_bps,
        history_hours_count: reply::count(told.known_hours),
        basis: basis.into(),
    }
}

fn bucket(it: &Bucket) -> v1::ForecastBucket {
    v1::ForecastBucket {
        start_time: super::time(it.start_ms),
        capacity_bps: reply::int(it.capacity),
        booked_bps: reply::int(it.booked),
        expected_bps: reply::int(it.expected),
        low_bps: reply::int(it.low),
        high_bps: reply::int(it.high),
    }
}

/// Means of what was booked hour by hour before an instant; nothing of hours that are not known whole.
fn history(look: &Look, name: &LaneName, until: i64) -> Result<Vec<Option<u64>>, ReportsError> {
    let from = until.saturating_sub(BACK_MS).max(super::grain::ceil(look.since(), HOUR_MS));
    let count = usize::try_from(until.saturating_sub(from).div_euclid(HOUR_MS)).unwrap_or(0);
    let mut hours = vec![Some(0); count];
    let Some(id) = look.names().get(&names::lane(name)) else { return Ok(Vec::new()) };
    for (at, cell) in look.cells(Grain::Hour, (from, until), id)? {
        let index = usize::try_from(at.saturating_sub(from).div_euclid(HOUR_MS)).ok();
        if let Some(hour) = index.and_then(|index| hours.get_mut(index)) {
            *hour = Some(mean(cell.booked.max(0).unsigned_abs(), HOUR_MS));
        }
    }
    Ok(hours)
}

/// Hourly means of a step function.
fn hours<I: Iterator<Item = (Interval, u64)>>(
    (from, end): (i64, i64),
    steps: impl Fn(Interval) -> I,
) -> Vec<u64> {
    let count = usize::try_from(end.saturating_sub(from).div_euclid(HOUR_MS)).unwrap_or(0);
    let mut sums = vec![0_u128; count];
    let over = interval(from, end);
    for (part, level) in over.into_iter().flat_map(steps) {
        for (hour, piece) in pieces(part, HOUR_MS) {
            let index = usize::try_from(hour.saturating_sub(from).div_euclid(HOUR_MS)).ok();
            if let Some(sum) = index.and_then(|index| sums.get_mut(index)) {
                let more = u128::from(level).saturating_mul(piece.span().as_ms().into());
                *sum = sum.saturating_add(more);
            }
        }
    }
    sums.into_iter().map(|sum| mean(sum, HOUR_MS)).collect()
}

/// Those that run full soonest first, then those that get fullest.
pub(crate) fn rank(told: &v1::LaneForecast) -> impl Ord + use<> {
    let at = |time: &Option<prost_types::Timestamp>| time.map_or(i64::MAX, |time| time.seconds);
    let share = |it: &v1::ForecastBucket| {
        let expected = i128::from(it.expected_bps).saturating_mul(1_000_000);
        expected.checked_div(it.capacity_bps.into()).unwrap_or(0)
    };
    let fullest = told.buckets.iter().map(share).max().unwrap_or(0);
    (at(&told.full_time), at(&told.earliest_full_time), Reverse(fullest), told.lane.clone())
}
