//! What was measured on lanes, and where it is not what it should be.

use tidegate_core::Machine;
use tidegate_core::lane::{Lane, LaneName};
use tidegate_policy::{ByteCount, Interval};
use tidegate_proto::v1;
use tidegate_proto::v1::finding::Kind;

use super::book::Book;
use super::fact::{Measured, Observed};
use super::grain::{MINUTE_MS, pieces};
use super::mean;
use super::store::Pending;
use crate::convert::reply;

/// What is measured may be off by so much: a hundredth of what the lane carries by declaration.
const TOLERANCE: u64 = 100;

/// The key of a finding: of one lane, observer and kind the last one counts.
fn key(lane: &LaneName, observer: &str, kind: Kind) -> String {
    format!("{lane} {observer} {}", kind.as_str_name())
}

/// The lane of a key.
pub(crate) fn lane_of(key: &str) -> &str {
    key.split(' ').next().unwrap_or_default()
}

impl Book {
    /// Takes in what somebody measured.
    pub(super) fn observe(&mut self, machine: &Machine, observed: &Observed) {
        for measured in &observed.measured {
            let Some(lane) = machine.lane_named(&measured.lane) else { continue };
            if let Some(carried) = measured.carried {
                self.carry(&measured.lane, measured.over, carried);
            }
            let (_, pending) = self.parts();
            judge(pending, measured, observed.observer.as_str(), lane);
        }
    }

    /// Adds what crossed a lane, spread evenly, except where somebody said so before.
    fn carry(&mut self, lane: &LaneName, over: Interval, carried: ByteCount) {
        let id = self.lane(lane);
        let until = self.observed_until(id, over.end());
        let (mut left, mut left_ms) = (carried.bytes(), over.span().as_ms());
        for (minute, part) in pieces(over, MINUTE_MS) {
            let ms = part.span().as_ms();
            let share = u128::from(left).saturating_mul(ms.into()).checked_div(left_ms.into());
            let share = share.and_then(|share| u64::try_from(share).ok()).unwrap_or(0);
            (left, left_ms) = (left.saturating_sub(share), left_ms.saturating_sub(ms));
            if until <= part.start() {
                let (minutes, _) = self.parts();
                let cell = minutes.cell(minute, id);
                cell.carried = cell.carried.saturating_add(share);
                cell.observed_ms = cell.observed_ms.saturating_add(ms);
            }
        }
    }
}

/// Says what is wrong, or that it is not any more.
fn judge(pending: &mut Pending, measured: &Measured, observer: &str, lane: &Lane) {
    let Measured { over, .. } = *measured;
    let ms = over.end().as_ms().saturating_sub(over.start().as_ms());
    let nominal = lane.def.as_ref().map_or(0, |def| def.nominal);
    let booked = lane
        .timeline
        .pieces(over)
        .map(|(part, level)| u128::from(level).saturating_mul(part.span().as_ms().into()));
    // What is set aside for everything that is not booked may be used by it.
    let aside = nominal.saturating_sub(lane.capacity());
    let expected = mean(booked.sum(), ms).saturating_add(aside);
    let bits = |bytes: ByteCount| u128::from(bytes.bytes()).saturating_mul(8000);
    let rate = measured.carried.map(|carried| mean(bits(carried), ms));
    let able = measured.able.map(|able| (able.bps(), lane.capacity()));
    let slack = nominal.checked_div(TOLERANCE).unwrap_or(0);
    let too_little = |(able, capacity): (u64, u64)| able.saturating_add(slack) < capacity;
    let too_much = |(rate, expected): (u64, u64)| expected.saturating_add(slack) < rate;
    let rate = rate.map(|rate| (rate, expected));
    for (kind, pair, wrong) in [
        (Kind::UnderDelivery, able, able.is_some_and(too_little)),
        (Kind::UnbookedTraffic, rate, rate.is_some_and(too_much)),
    ] {
        let Some((observed, expected)) = pair else { continue };
        let finding = wrong.then(|| v1::Finding {
            kind: kind.into(),
            observed_bps: reply::int(observed),
            expected_bps: reply::int(expected),
            start_time: Some(reply::time(over.start())),
            end_time: Some(reply::time(over.end())),
            observer: observer.to_owned(),
        });
        pending.findings.insert(key(&measured.lane, observer, kind), finding);
    }
}
