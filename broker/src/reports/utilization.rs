//! Lanes over time: what they can carry, what is booked and what was used, the past and the future in one.

use tidegate_core::Machine;
use tidegate_core::lane::{Lane, LaneName};
use tidegate_policy::Interval;
use tidegate_proto::v1;
use tidegate_proto::v1::finding::Kind;

use super::cell::Cell;
use super::frame::Frame;
use super::grain::{Grain, MINUTE_MS, interval, pieces};
use super::look::Look;
use super::names;
use super::store::ReportsError;
use crate::convert::reply;

/// So long is looked back for promises that nobody uses.
const UNUSED_OVER_MS: i64 = 15 * MINUTE_MS;

/// What is added up of one bucket.
#[derive(Clone, Copy, Debug)]
struct Sum {
    cell: Cell,
    /// What the lane can carry, in bits times milliseconds per second.
    capacity: u128,
    /// The least that it can carry at one instant.
    least: u64,
    /// For how long it is known what it can carry, in milliseconds.
    known_ms: i64,
}

impl Sum {
    const NOTHING: Self = Self {
        cell: Cell {
            booked: 0,
            unreported: 0,
            peak: 0,
            used: 0,
            granted: 0,
            refused: 0,
            carried: 0,
            observed_ms: 0,
        },
        capacity: 0,
        least: u64::MAX,
        known_ms: 0,
    };
}

/// What is known of a lane, bucket by bucket.
#[derive(Debug)]
pub(crate) struct Sums(Vec<Sum>);

/// Looks up what is known of a lane's past.
pub(crate) fn past(look: &Look, name: &LaneName, frame: &Frame) -> Result<Sums, ReportsError> {
    let mut sums = vec![Sum::NOTHING; usize::try_from(frame.count()).unwrap_or(0)];
    let (past, _) = frame.parted(look.until());
    if let (Some(past), Some(id)) = (past, look.names().get(&names::lane(name))) {
        for (at, cell) in look.cells(frame.grain(), frame.range(), id)? {
            if let Some(sum) = frame.index(at).and_then(|index| sums.get_mut(index)) {
                sum.cell.merge(&cell);
            }
        }
        let range = (past.start().as_ms(), past.end().as_ms());
        let steps: Vec<_> = look.limits(id, range)?.into_iter().collect();
        for (nth, (from, limit)) in steps.iter().enumerate() {
            let to = steps.get(nth.saturating_add(1)).map_or(range.1, |(next, _)| *next);
            let over = interval((*from).max(range.0), to.min(range.1));
            over.into_iter().for_each(|over| can_carry(&mut sums, frame, over, *limit));
        }
        if frame.grain() == Grain::Minute {
            for (since, until) in look.coarse()? {
                let over = interval(since.max(range.0), until.min(range.1));
                for (at, _) in over.into_iter().flat_map(|over| pieces(over, frame.bucket)) {
                    if let Some(sum) = frame.index(at).and_then(|index| sums.get_mut(index)) {
                        *sum = Sum::NOTHING;
                    }
                }
            }
        }
    }
    Ok(Sums(sums))
}

/// Adds what is to come of it; nothing of a lane that is not there any more. It is looked up where others
/// wait, so it does no more than that.
pub(crate) fn whole(
    look: &Look,
    Sums(mut sums): Sums,
    (name, lane): (&LaneName, Option<&Lane>),
    frame: &Frame,
) -> v1::LaneUtilization {
    let (_, future) = frame.parted(look.until());
    if let (Some(future), Some(lane)) = (future, lane) {
        for (part, level) in lane.timeline.pieces(future) {
            book(&mut sums, frame, part, level);
        }
        for (part, cut) in lane.cuts().pieces(future) {
            can_carry(&mut sums, frame, part, lane.capacity().saturating_sub(cut));
        }
    }
    let buckets = sums.iter().enumerate().map(|(index, sum)| bucket(look, frame, index, sum));
    v1::LaneUtilization {
        lane: name.to_string(),
        buckets: buckets.collect(),
        findings: Vec::new(),
        outages: lane.map(|lane| outages(lane, frame)).unwrap_or_default(),
        drained: lane.is_some_and(Lane::is_drained),
    }
}

fn book(sums: &mut [Sum], frame: &Frame, over: Interval, level: u64) {
    for (at, part) in pieces(over, frame.bucket) {
        let Some(sum) = frame.index(at).and_then(|index| sums.get_mut(index)) else { continue };
        let more = i128::from(level).saturating_mul(part.span().as_ms().into());
        sum.cell.booked = sum.cell.booked.saturating_add(more);
        sum.cell.peak = sum.cell.peak.max(level);
    }
}

fn can_carry(sums: &mut [Sum], frame: &Frame, over: Interval, limit: u64) {
    for (at, part) in pieces(over, frame.bucket) {
        let Some(sum) = frame.index(at).and_then(|index| sums.get_mut(index)) else { continue };
        let more = u128::from(limit).saturating_mul(part.span().as_ms().into());
        sum.capacity = sum.capacity.saturating_add(more);
        sum.least = sum.least.min(limit);
        let ms = i64::try_from(part.span().as_ms()).unwrap_or(i64::MAX);
        sum.known_ms = sum.known_ms.saturating_add(ms);
    }
}

fn bucket(look: &Look, frame: &Frame, index: usize, sum: &Sum) -> v1::UtilizationBucket {
    let Sum { cell, capacity, least, known_ms } = sum;
    let known = 0 < *known_ms;
    let start = frame.at(index);
    let end = start.saturating_add(frame.bucket);
    // What was used is known so far.
    let so_far = look.until().clamp(start.saturating_add(1), end).saturating_sub(start);
    let booked = cell.booked.max(0).unsigned_abs();
    let bits = |bytes: u64| u128::from(bytes).saturating_mul(8000);
    let observed = i64::try_from(cell.observed_ms).ok().filter(|ms| 0 < *ms);
    v1::UtilizationBucket {
        start_time: super::time(start),
        // Where the lane was there for a part of the bucket, this is what it could carry then.
        capacity_bps: mean(*capacity, *known_ms),
        booked_bps: mean(booked, frame.bucket),
        peak_bps: reply::int(cell.peak),
        headroom_bps: if known { reply::int(least.saturating_sub(cell.peak)) } else { 0 },
        used_bps: mean(bits(cell.used), so_far),
        used_bytes: reply::int(cell.used),
        booked_bytes: super::bytes(cell.booked),
        observed_bps: observed.map(|ms| mean(bits(cell.carried), ms)),
        unknown: !known,
    }
}

/// [`super::mean`], as the wire has it.
fn mean(sum: u128, ms: i64) -> i64 {
    reply::int(super::mean(sum, ms))
}

fn outages(lane: &Lane, frame: &Frame) -> Vec<v1::Outage> {
    let Some(over) = interval(frame.start, frame.end) else { return Vec::new() };
    let cuts = lane.cuts().pieces(over).filter(|(_, cut)| 0 < *cut);
    let outage = |(part, cut): (Interval, u64)| v1::Outage {
        start_time: Some(reply::time(part.start())),
        end_time: Some(reply::time(part.end())),
        left_bps: reply::int(lane.capacity().saturating_sub(cut)),
    };
    cuts.map(outage).collect()
}

/// Promises on a lane that are not used, of late.
pub(crate) fn unused(look: &Look, name: &LaneName) -> Result<Option<v1::Finding>, ReportsError> {
    let until = look.until();
    let from = until.saturating_sub(UNUSED_OVER_MS);
    let Some(id) = look.names().get(&names::lane(name)) else { return Ok(None) };
    if from < look.since() {
        return Ok(None);
    }
    let cell = look.sum(Grain::Minute, (from, until), id)?;
    let promised = cell.booked.saturating_sub(cell.unreported).max(0).unsigned_abs();
    let used = u128::from(cell.used).saturating_mul(8000);
    let wrong = used < promised.div_euclid(2);
    Ok(wrong.then(|| v1::Finding {
        kind: Kind::UnusedPromises.into(),
        observed_bps: mean(used, UNUSED_OVER_MS),
        expected_bps: mean(promised, UNUSED_OVER_MS),
        start_time: super::time(from),
        end_time: super::time(until),
        observer: String::new(),
    }))
}

/// The most that was booked on a lane at one instant of the part of a range that has passed.
pub(crate) fn past_peak(look: &Look, name: &LaneName, frame: &Frame) -> Result<u64, ReportsError> {
    let (past, _) = frame.parted(look.until());
    let (Some(_), Some(id)) = (past, look.names().get(&names::lane(name))) else { return Ok(0) };
    // Longer buckets will do: whoever was full for a minute was full that hour.
    let few = frame.end.saturating_sub(frame.start) <= 3 * Grain::Day.ms();
    let grain = if few { Grain::Hour } else { Grain::Day };
    Ok(look.sum(grain, (grain.floor(frame.start), frame.end), id)?.peak)
}

/// How full a lane gets at most within a range, in parts per million of what it can carry.
pub(crate) fn fullest(look: &Look, (past, lane): (u64, &Lane), frame: &Frame) -> u64 {
    let (_, future) = frame.parted(look.until());
    let peak = future.map_or(0, |future| lane.timeline.peak(future)).max(past);
    let share = u128::from(peak).saturating_mul(1_000_000);
    let share = share.checked_div(lane.capacity().into()).unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// The lanes of a topology that a selector takes, in the order of their names: those of the network, not
/// those that quotas are, which are there only while somebody has something of them.
pub(crate) fn chosen(machine: &Machine, selector: &tidegate_policy::Selector) -> Vec<LaneName> {
    let all = machine.lanes(None).filter(|(name, _)| !name.is_quota());
    let all = all.filter(|(name, _)| selector.takes(name.as_str()));
    all.map(|(name, _)| name.clone()).collect()
}
