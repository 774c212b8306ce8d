//! Who holds a lane over time: the largest apart, all others in one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tidegate_core::lane::LaneName;
use tidegate_core::{Reservation, Route};
use tidegate_policy::{Interval, ReservationId, Span, Timestamp};

use crate::convert::reply;
use crate::rpc::Rpc;

/// The most holders that are told apart.
pub(super) const APART_MAX: usize = 40;
/// The most reservations that are read without letting others go on.
const SLICE: usize = 2048;

/// A reservation that books the lane within the range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Holder {
    /// `projects/{project}/reservations/{id}`.
    pub(super) name: String,
    /// Where its bytes come from and where they go, empty where only lanes were named.
    pub(super) source: String,
    pub(super) destination: String,
    /// Who asked, and in which class, as far as that was said.
    pub(super) whom: String,
    /// The most that it books there at one instant, in bits per second of the lane.
    pub(super) peak: u64,
    /// From when to when it books anything there, as far as it was asked for.
    pub(super) over: Interval,
    /// What it books in all, in bits times milliseconds: what holders are ranked by.
    volume: u128,
    id: ReservationId,
    /// What it books there, piece by piece.
    pieces: Vec<(Interval, u64)>,
}

/// The holders of a lane over a range.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Holders {
    /// The largest first.
    pub(super) apart: Vec<Holder>,
    /// How many more there are.
    pub(super) others: usize,
}

impl Holder {
    /// The mean that it books over each bucket of `step` from `start` on, in bits per second.
    pub(super) fn means(&self, start: i64, step: i64, count: usize) -> Vec<i64> {
        let mut means = vec![0_u128; count];
        let step = step.max(1);
        for (over, amount) in &self.pieces {
            let (from, until) = (over.start().as_ms(), over.end().as_ms());
            let first = from.saturating_sub(start).div_euclid(step).max(0);
            for (index, mean) in means.iter_mut().enumerate().skip(usize_of(first)) {
                let begin = start.saturating_add(step.saturating_mul(reply::count(index)));
                if until <= begin {
                    break;
                }
                let end = begin.saturating_add(step);
                let length = until.min(end).saturating_sub(from.max(begin)).max(0);
                *mean += u128::from(*amount) * u128::from(length.unsigned_abs());
            }
        }
        let mean = |sum: u128| i64::try_from(sum / u128::from(step.unsigned_abs()));
        means.into_iter().map(|sum| mean(sum).unwrap_or(i64::MAX)).collect()
    }
}

fn usize_of(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The part of `range` that lies in both.
fn of(range: Interval, over: Interval) -> Option<Interval> {
    over.within(range)
}

/// What a reservation has of a lane within a range.
fn holder(reservation: &Reservation, lane: &LaneName, range: Interval) -> Option<Holder> {
    let booked = reservation.bookings().filter(|(name, ..)| *name == lane);
    let pieces: Vec<(Interval, u64)> =
        booked.filter_map(|(_, over, amount)| Some((of(range, over)?, amount))).collect();
    let start = pieces.iter().map(|(over, _)| over.start()).min()?;
    let end = pieces.iter().map(|(over, _)| over.end()).max()?;
    let volume =
        |(over, amount): &(Interval, u64)| u128::from(*amount) * u128::from(over.span().as_ms());
    let owner = &reservation.owner;
    let whom = [
        owner.principal.as_ref().map(ToString::to_string),
        owner.class.as_ref().map(|class| format!("in {class}")),
    ];
    let whom: Vec<String> = whom.into_iter().flatten().collect();
    let route = reservation.plan.route();
    Some(Holder {
        name: reply::reservation_name(&owner.project, reservation.id),
        source: route.map(reply::source).unwrap_or_default(),
        destination: route
            .and_then(Route::destination)
            .map(ToString::to_string)
            .unwrap_or_default(),
        whom: whom.join(" "),
        peak: peak(&pieces),
        over: Interval::new(start, end)?,
        volume: pieces.iter().map(volume).sum(),
        id: reservation.id,
        pieces,
    })
}

/// The most of all pieces at one instant: a lane that is on the way twice is booked twice.
fn peak(pieces: &[(Interval, u64)]) -> u64 {
    let mut steps: BTreeMap<Timestamp, i128> = BTreeMap::new();
    for (over, amount) in pieces {
        *steps.entry(over.start()).or_default() += i128::from(*amount);
        *steps.entry(over.end()).or_default() -= i128::from(*amount);
    }
    let levels = steps.values().scan(0_i128, |level, step| {
        *level += step;
        Some(*level)
    });
    u64::try_from(levels.max().unwrap_or(0)).unwrap_or(0)
}

/// Reads all reservations once, in slices, and keeps the largest.
pub(super) async fn of_lane(rpc: &Rpc, lane: &LaneName, range: Interval) -> Holders {
    let mut largest: BTreeMap<(Reverse<u128>, ReservationId), Holder> = BTreeMap::new();
    let (mut after, mut found) = (None, 0_usize);
    loop {
        let read = {
            let published = rpc.view.read();
            let slice = published.machine.reservations(after).take(SLICE);
            let mut read = 0_usize;
            for reservation in slice {
                (after, read) = (Some(reservation.id), read.saturating_add(1));
                let Some(holder) = holder(reservation, lane, range) else { continue };
                found = found.saturating_add(1);
                largest.insert((Reverse(holder.volume), holder.id), holder);
                if APART_MAX < largest.len() {
                    largest.pop_last();
                }
            }
            read
        };
        if read < SLICE {
            break;
        }
        tokio::task::yield_now().await;
    }
    let apart: Vec<Holder> = largest.into_values().collect();
    Holders { others: found.saturating_sub(apart.len()), apart }
}

/// A range in milliseconds as an interval, cut to the instants that there are.
pub(super) fn range(start: i64, end: i64) -> Option<Interval> {
    let start = Timestamp::from_ms(start)?;
    let length = u64::try_from(end.saturating_sub(start.as_ms())).ok()?;
    Interval::new(start, start.plus(Span::from_ms(length).unwrap_or(Span::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms).unwrap()
    }

    fn held(pieces: &[(i64, i64, u64)]) -> Holder {
        let piece = |(start, length, amount): &(i64, i64, u64)| {
            (Interval::new(at(*start), at(start + length)).unwrap(), *amount)
        };
        let pieces: Vec<_> = pieces.iter().map(piece).collect();
        Holder {
            name: String::new(),
            source: String::new(),
            destination: String::new(),
            whom: String::new(),
            peak: peak(&pieces),
            over: Interval::new(at(0), at(1)).unwrap(),
            volume: 0,
            id: "01890000-0000-7000-8000-000000000000".parse().unwrap(),
            pieces,
        }
    }

    #[test]
    fn what_lies_upon_each_other_is_added_up_and_what_follows_is_not() {
        assert_eq!(held(&[(0, 10, 5), (10, 10, 7)]).peak, 7);
        assert_eq!(held(&[(0, 11, 5), (10, 10, 7)]).peak, 12);
        assert_eq!(held(&[]).peak, 0);
    }

    proptest! {
        #[test]
        fn means_are_what_is_booked_bucket_by_bucket(
            pieces in proptest::collection::vec((0_i64..90, 1_i64..40, 0_u64..1000), 0..6),
            start in 0_i64..50,
            step in 1_i64..20,
            count in 1_usize..12,
        ) {
            let means = held(&pieces).means(start, step, count);
            for (index, mean) in means.iter().enumerate() {
                let begin = start + step * i64::try_from(index).unwrap();
                // Millisecond by millisecond.
                let within = |ms: &i64, (from, length, _): &&(i64, i64, u64)| {
                    *from <= *ms && *ms < from + length
                };
                let sum: u64 = (begin..begin + step)
                    .flat_map(|ms| pieces.iter().filter(move |it| within(&ms, it)))
                    .map(|(_, _, amount)| amount)
                    .sum();
                prop_assert_eq!(*mean, i64::try_from(sum).unwrap() / step);
            }
        }
    }
}
