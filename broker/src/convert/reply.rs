//! Answers for the wire.

use prost_types::{Duration, Timestamp as WireTimestamp};
use tidegate_core::lane::{Lane, LaneName};
use tidegate_core::machine::LaneChange;
use tidegate_core::reservation::{Phase, State};
use tidegate_core::{
    Blocker, CloseWhy, CounterOffer, Machine, OfferKind, Reason, Refusal, Reservation, Session,
    SessionState,
};
use tidegate_policy::{ByteCount, Name, ReservationId, SessionId, Span, Timestamp};
use tidegate_proto::v1;

use crate::config::SessionConfig;

/// A number for the wire; what would not fit into 63 bits does not occur.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn time(at: Timestamp) -> WireTimestamp {
    let ms = at.as_ms();
    let nanos = i32::try_from(ms.rem_euclid(1000) * 1_000_000).unwrap_or(0);
    WireTimestamp { seconds: ms.div_euclid(1000), nanos }
}

pub(crate) fn duration(span: Span) -> Duration {
    let ms = span.as_ms();
    let nanos = i32::try_from(ms % 1000 * 1_000_000).unwrap_or(0);
    Duration { seconds: int(ms / 1000), nanos }
}

pub(crate) fn reservation_name(id: ReservationId) -> String {
    format!("projects/default/reservations/{id}")
}

pub(crate) fn session_name(id: SessionId) -> String {
    format!("sessions/{id}")
}

fn hosts(names: &[Name]) -> Vec<String> {
    names.iter().map(|name| format!("hosts/{name}")).collect()
}

/// A reservation as it stands at `now`.
pub(crate) fn reservation(
    reservation: &Reservation,
    now: Timestamp,
    used: ByteCount,
) -> v1::Reservation {
    let interval = reservation.interval;
    let (hold_until, closed_at) = match reservation.state {
        State::Held { until } => (Some(until), None),
        State::Confirmed => (None, None),
        State::Closed { at, .. } => (None, Some(at)),
    };
    let bookings = reservation.booked.iter().map(|booked| v1::Booking {
        lane: booked.lane.to_string(),
        booked_bps: int(booked.amount),
    });
    v1::Reservation {
        name: reservation_name(reservation.id),
        state: state(reservation.state).into(),
        phase: phase(reservation.phase(now)).into(),
        close_reason: close_reason(reservation.state).into(),
        source: reservation.source.to_string(),
        destination: reservation.destination.to_string(),
        via: hosts(&reservation.via),
        rate_bps: int(reservation.rate.bps()),
        start_time: Some(time(interval.start())),
        end_time: Some(time(interval.end())),
        starts_in: Some(duration(interval.start().since(now))),
        ends_in: Some(duration(interval.end().since(now))),
        hold_until_time: hold_until.map(time),
        session: reservation.session.map(session_name).unwrap_or_default(),
        bookings: bookings.collect(),
        create_time: Some(time(reservation.created)),
        close_time: closed_at.map(time),
        used_bytes: int(used.bytes()),
        ..v1::Reservation::default()
    }
}

fn state(state: State) -> v1::reservation::State {
    match state {
        State::Held { .. } => v1::reservation::State::Held,
        State::Confirmed => v1::reservation::State::Confirmed,
        State::Closed { .. } => v1::reservation::State::Closed,
    }
}

fn phase(phase: Phase) -> v1::reservation::Phase {
    match phase {
        Phase::Scheduled => v1::reservation::Phase::Scheduled,
        Phase::Active => v1::reservation::Phase::Active,
        Phase::Ended => v1::reservation::Phase::Ended,
    }
}

fn close_reason(state: State) -> v1::CloseReason {
    match state {
        State::Held { .. } | State::Confirmed => v1::CloseReason::Unspecified,
        State::Closed { why, .. } => why_closed(why),
    }
}

/// The number of a close reason, on the wire and in the journal alike.
pub(crate) fn why_closed(why: CloseWhy) -> v1::CloseReason {
    match why {
        CloseWhy::Completed => v1::CloseReason::Completed,
        CloseWhy::Released => v1::CloseReason::Released,
        CloseWhy::Expired => v1::CloseReason::Expired,
        CloseWhy::SessionLost => v1::CloseReason::SessionLost,
        CloseWhy::CapacityLost => v1::CloseReason::CapacityLost,
    }
}

/// How a reservation stands that a beat named; one that is unknown is closed.
pub(crate) fn grant_status(
    id: ReservationId,
    found: Option<&Reservation>,
    now: Timestamp,
) -> v1::GrantStatus {
    let closed = v1::GrantStatus {
        reservation: reservation_name(id),
        state: v1::reservation::State::Closed.into(),
        ..v1::GrantStatus::default()
    };
    let Some(found) = found else { return closed };
    v1::GrantStatus {
        state: state(found.state).into(),
        close_reason: close_reason(found.state).into(),
        rate_bps: int(found.rate.bps()),
        ends_in: Some(duration(found.interval.end().since(now))),
        starts_in: Some(duration(found.interval.start().since(now))),
        ..closed
    }
}

pub(crate) fn refusal(refusal: &Refusal) -> v1::Refusal {
    let reason = match refusal.reason {
        Reason::NoPath => v1::refusal::Reason::NoPath,
        Reason::RateAboveCapacity => v1::refusal::Reason::RateAboveCapacity,
        Reason::NoHeadroom => v1::refusal::Reason::NoHeadroom,
    };
    v1::Refusal {
        reason: reason.into(),
        blockers: refusal.blockers.iter().map(blocker).collect(),
        offers: refusal.offers.iter().map(offer).collect(),
        held: None,
    }
}

fn blocker(blocker: &Blocker) -> v1::Blocker {
    v1::Blocker {
        source: blocker.source.to_string(),
        lane: blocker.lane.to_string(),
        limit_bps: int(blocker.limit),
        free_bps: int(blocker.free),
        needed_bps: int(blocker.needed),
        missing_bps: int(blocker.missing()),
        first_free_time: blocker.first_free.map(time),
    }
}

fn offer(offer: &CounterOffer) -> v1::CounterOffer {
    let kind = match offer.kind {
        OfferKind::SameRateLater => v1::counter_offer::Kind::SameRateLater,
        OfferKind::LowerRateNow => v1::counter_offer::Kind::LowerRateNow,
    };
    v1::CounterOffer {
        kind: kind.into(),
        source: offer.source.to_string(),
        via: hosts(&offer.via),
        rate_bps: int(offer.rate.bps()),
        start_time: Some(time(offer.interval.start())),
        end_time: Some(time(offer.interval.end())),
        ..v1::CounterOffer::default()
    }
}

/// A session, with what `machine` knows of it.
pub(crate) fn session(session: &Session, machine: &Machine, config: &SessionConfig) -> v1::Session {
    let state = match session.state {
        SessionState::Open => v1::session::State::Open,
        SessionState::Closed { .. } => v1::session::State::Closed,
        SessionState::Lost { .. } => v1::session::State::Lost,
    };
    v1::Session {
        name: session_name(session.id),
        agent: session.agent.to_string(),
        state: state.into(),
        beat_every: Some(duration(config.beat_every)),
        lease: Some(duration(config.lease)),
        grace: Some(duration(config.grace)),
        create_time: Some(time(session.created)),
        reservation_count: count(machine.bound(session.id)),
        heard_time: machine.heard(session.id).map(time),
    }
}

pub(crate) fn lane_change(change: &LaneChange) -> v1::LaneChange {
    let kind = match (change.before, change.after) {
        (None, _) => v1::lane_change::Kind::Added,
        (Some(_), None) => v1::lane_change::Kind::Removed,
        (Some(_), Some(_)) => v1::lane_change::Kind::Resized,
    };
    v1::LaneChange {
        kind: kind.into(),
        lane: change.lane.to_string(),
        old_bps: int(change.before.unwrap_or(0)),
        new_bps: int(change.after.unwrap_or(0)),
    }
}

/// A lane with the most that is booked on it and what is used.
pub(crate) fn lane(name: &LaneName, lane: &Lane, booked: u64, used: u64) -> v1::Lane {
    v1::Lane {
        name: name.to_string(),
        nominal_bps: int(lane.def.as_ref().map_or(0, |def| def.nominal)),
        capacity_bps: int(lane.capacity()),
        booked_bps: int(booked),
        used_bps: int(used),
        ..v1::Lane::default()
    }
}
