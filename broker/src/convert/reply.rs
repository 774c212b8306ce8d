//! Answers for the wire.

use prost_types::{Duration, Timestamp as WireTimestamp};
use tidegate_core::reservation::{Phase, State};
use tidegate_core::topology::{How, Steer};
use tidegate_core::{
    Ask, Blocker, CloseWhy, CounterOffer, LiveRate, Machine, MoveWhy, OfferKind, Reason, Refusal,
    Reservation, Route, Session, SessionState, Terms,
};
use tidegate_policy::{
    BitRate, ByteCount, MarkKind, Name, Overcommit, ProjectId, ReservationId, SessionId, Span,
    Timestamp,
};
use tidegate_proto::v1;

use super::{class, limits, plan, rule};
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

/// An instant of the wire in milliseconds since the epoch, rounded down.
pub(crate) fn ms(at: &WireTimestamp) -> i64 {
    let part = i64::from(at.nanos).div_euclid(1_000_000);
    at.seconds.saturating_mul(1000).saturating_add(part)
}

pub(crate) fn duration(span: Span) -> Duration {
    let ms = span.as_ms();
    let nanos = i32::try_from(ms % 1000 * 1_000_000).unwrap_or(0);
    Duration { seconds: int(ms / 1000), nanos }
}

pub(crate) fn reservation_name(project: &ProjectId, id: ReservationId) -> String {
    format!("projects/{project}/reservations/{id}")
}

/// The name of a reservation of which only the identifier is told.
pub(crate) fn name_in(machine: &Machine, id: ReservationId) -> String {
    match machine.reservation(id) {
        Some(found) => reservation_name(&found.owner.project, id),
        None => unknown_name(id),
    }
}

/// The name of one that is not known any more, or not here: of whatever project.
pub(crate) fn unknown_name(id: ReservationId) -> String {
    format!("projects/-/reservations/{id}")
}

pub(crate) fn session_name(id: SessionId) -> String {
    format!("sessions/{id}")
}

pub(crate) fn hosts(names: &[Name]) -> Vec<String> {
    names.iter().map(|name| format!("hosts/{name}")).collect()
}

/// A reservation as it stands at `now`.
#[must_use]
pub fn reservation(reservation: &Reservation, now: Timestamp, used: ByteCount) -> v1::Reservation {
    let interval = reservation.interval;
    let (hold_until, closed_at) = match reservation.state {
        State::Held { until } => (Some(until), None),
        State::Confirmed => (None, None),
        State::Closed { at, .. } => (None, Some(at)),
    };
    let bookings = reservation.plan.booked().into_iter().map(|booked| v1::Booking {
        lane: booked.lane.to_string(),
        booked_bps: int(booked.amount),
    });
    let route = reservation.plan.route();
    let promise = reservation.promise.as_deref();
    v1::Reservation {
        name: reservation_name(&reservation.owner.project, reservation.id),
        state: state(reservation.state).into(),
        phase: phase(reservation.phase(now)).into(),
        close_reason: close_reason(reservation.state).into(),
        source: route.map(source).unwrap_or_default(),
        destination: route
            .and_then(Route::destination)
            .map(ToString::to_string)
            .unwrap_or_default(),
        via: hosts(route.map(Route::via).unwrap_or_default()),
        rate_bps: int(reservation.rate().bps()),
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
        etag: format!("\"{}\"", reservation.revision),
        plan_version: int(reservation.plan_version),
        assurance: assurance(reservation.terms).into(),
        path: route.and_then(Route::path).map_or(0, i32::from),
        steers: steers(route.map(Route::steers).unwrap_or_default()),
        curtailed: reservation.curtailed,
        segments: plan::segments(&reservation.plan, now),
        ways: plan::ways(&reservation.plan),
        promise: promise.map(|promise| plan::promise(promise.what)),
        movable: promise.is_some_and(|promise| promise.movable),
        priority: reservation.standing.priority.into(),
        preemptible: reservation.standing.preemptible,
        class: reservation.owner.class.as_ref().map(class::name).unwrap_or_default(),
        principal: reservation
            .owner
            .principal
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        labels: reservation.owner.labels.clone(),
        ceiling_bps: ceiling(reservation).map(|rate| int(rate.bps())),
        borrowed: reservation.borrowed,
        observed_reason: reservation.despite.map_or(0, |why| reason(why).into()),
    }
}

/// What may be had at most of a rate of which only a part is promised; of a volume all is.
fn ceiling(reservation: &Reservation) -> Option<BitRate> {
    let promise = reservation.promise.as_deref();
    let volume = promise.is_some_and(|promise| promise.what.volume().is_some());
    let ratio = reservation.standing.ratio;
    (ratio != Overcommit::NONE && !volume).then(|| ratio.ceiling(reservation.rate()))
}

pub(super) fn steers(steers: &[Steer]) -> Vec<v1::Steer> {
    steers.iter().map(steer).collect()
}

/// Where the bytes of a route come from; empty if only lanes were named.
pub(crate) fn source(route: &Route) -> String {
    route.source().map(ToString::to_string).unwrap_or_default()
}

/// How bytes get onto a path, on the wire and in the journal alike.
pub(crate) fn steer(steer: &Steer) -> v1::Steer {
    let how = match &steer.how {
        How::Mark(mark) => {
            let kind = match mark.kind() {
                MarkKind::SourceAddress => v1::mark::Kind::SourceAddress,
                MarkKind::Dscp => v1::mark::Kind::Dscp,
                MarkKind::Vlan => v1::mark::Kind::Vlan,
            };
            v1::steer::How::Mark(v1::Mark { kind: kind.into(), value: mark.value().into() })
        }
        How::Controller(name) => v1::steer::How::Controller(name.to_string()),
    };
    v1::Steer { from: steer.from.to_string(), to: steer.to.to_string(), how: Some(how) }
}

fn assurance(terms: Terms) -> v1::Assurance {
    if terms.shared { v1::Assurance::Shared } else { v1::Assurance::Firm }
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
        CloseWhy::NoShow => v1::CloseReason::NoShow,
        CloseWhy::Preempted => v1::CloseReason::Preempted,
    }
}

/// How a reservation stands that a beat named, of which its holder obeys the plan of the version
/// `obeyed`, and the live rate that it is told; one that is unknown is closed.
pub(crate) fn grant_status(
    (id, obeyed): (ReservationId, u64),
    live: Option<LiveRate>,
    (machine, now): (&Machine, Timestamp),
) -> v1::GrantStatus {
    let closed = v1::GrantStatus {
        reservation: name_in(machine, id),
        state: v1::reservation::State::Closed.into(),
        ..v1::GrantStatus::default()
    };
    let Some(found) = machine.reservation(id) else { return closed };
    v1::GrantStatus {
        state: state(found.state).into(),
        close_reason: close_reason(found.state).into(),
        rate_bps: int(found.rate().bps()),
        starts_in: Some(duration(found.interval.start().since(now))),
        ends_in: Some(duration(found.interval.end().since(now))),
        plan_version: int(found.plan_version),
        notices: notices(found, machine, obeyed),
        segments: plan::segments_left(&found.plan, now),
        ways: plan::ways(&found.plan),
        movable: found.is_movable(),
        offer: instead(found, machine, now),
        live_bps: live.map_or(0, |live| int(live.rate.bps())),
        live_version: live.map_or(0, |live| int(live.version)),
        ..closed
    }
}

/// What the holder of a reservation could have instead, if it was closed for others.
fn instead(found: &Reservation, machine: &Machine, now: Timestamp) -> Option<v1::CounterOffer> {
    let State::Closed { why: CloseWhy::Preempted, .. } = found.state else { return None };
    let (ask, best) = machine.instead_of(now, found.id)?;
    Some(offer(&best, Some(&ask)))
}

/// What the holder of a reservation should know.
fn notices(found: &Reservation, machine: &Machine, obeyed: u64) -> Vec<v1::Notice> {
    let about = |kind: v1::notice::Kind| v1::Notice { kind: kind.into(), ..Default::default() };
    let draining = machine.draining(found);
    let draining = draining.map(|lane| {
        let lane = lane.to_string();
        v1::Notice { lane, ..about(v1::notice::Kind::Draining) }
    });
    let curtailed = found.curtailed.then(|| {
        let time = Some(time(found.interval.end()));
        v1::Notice { time, ..about(v1::notice::Kind::Curtailed) }
    });
    // Until its holder says that it follows; one that says nothing follows the first.
    let last = found.last_move.filter(|last| obeyed.max(1) < last.plan_version);
    let moved = last.map(|last| {
        let kind = match last.why {
            MoveWhy::Preempted | MoveWhy::CapacityLost if was_shrunk(found) => {
                v1::notice::Kind::Shrunk
            }
            MoveWhy::Room
            | MoveWhy::CapacityLost
            | MoveWhy::Lagging
            | MoveWhy::Asked
            | MoveWhy::Preempted => v1::notice::Kind::Moved,
        };
        v1::Notice { time: Some(time(last.from)), ..about(kind) }
    });
    let short = found.last_move.map_or(ByteCount::ZERO, |last| last.short);
    let lagging = (found.is_live() && short != ByteCount::ZERO).then(|| {
        let time = found.promise.as_ref().map(|promise| time(promise.what.window().end()));
        let short_bytes = int(short.bytes());
        v1::Notice { time, short_bytes, ..about(v1::notice::Kind::Lagging) }
    });
    draining.chain(curtailed).chain(moved).chain(lagging).collect()
}

/// Whether its rate falls at some instant of its plan, which promises one rate.
fn was_shrunk(found: &Reservation) -> bool {
    let steady = found.promise.as_ref().is_some_and(|promise| promise.what.volume().is_none());
    let last = found.plan.segments.last().map(|segment| segment.rate);
    steady && last.is_some_and(|last| last < found.rate())
}

/// A refusal as it stands at `now` of what was `asked`, if it was a reservation.
pub(crate) fn refusal(refusal: &Refusal, now: Timestamp, asked: Option<&Ask>) -> v1::Refusal {
    v1::Refusal {
        reason: reason(refusal.reason).into(),
        blockers: refusal.blockers.iter().map(blocker).collect(),
        offers: refusal.offers.iter().map(|it| offer(it, asked)).collect(),
        // Just made: nothing has moved under it.
        held: refusal.held.as_deref().map(|held| reservation(held, now, ByteCount::ZERO)),
        quotas: refusal.quotas.iter().map(limits::blocker).collect(),
        rules: refusal.rules.iter().map(rule::blocker).collect(),
    }
}

/// Why something is refused.
pub(crate) fn reason(reason: Reason) -> v1::refusal::Reason {
    match reason {
        Reason::RuleDenied => v1::refusal::Reason::RuleDenied,
        Reason::ClassNotAllowed => v1::refusal::Reason::ClassNotAllowed,
        Reason::NoTier => v1::refusal::Reason::NoTier,
        Reason::AboveQuota => v1::refusal::Reason::AboveQuota,
        Reason::QuotaExhausted => v1::refusal::Reason::QuotaExhausted,
        Reason::NoPath => v1::refusal::Reason::NoPath,
        Reason::RateAboveCapacity => v1::refusal::Reason::RateAboveCapacity,
        Reason::Drained => v1::refusal::Reason::Drained,
        Reason::NoHeadroom => v1::refusal::Reason::NoHeadroom,
        Reason::OthersRefused => v1::refusal::Reason::OthersRefused,
        Reason::OtherTaken => v1::refusal::Reason::OtherTaken,
    }
}

/// What [`reason`] says; `None` for what no broker of this version says.
pub(crate) fn reason_of(number: i32) -> Option<Reason> {
    Some(match v1::refusal::Reason::try_from(number).ok()? {
        v1::refusal::Reason::RuleDenied => Reason::RuleDenied,
        v1::refusal::Reason::ClassNotAllowed => Reason::ClassNotAllowed,
        v1::refusal::Reason::NoTier => Reason::NoTier,
        v1::refusal::Reason::AboveQuota => Reason::AboveQuota,
        v1::refusal::Reason::QuotaExhausted => Reason::QuotaExhausted,
        v1::refusal::Reason::NoPath => Reason::NoPath,
        v1::refusal::Reason::RateAboveCapacity => Reason::RateAboveCapacity,
        v1::refusal::Reason::Drained => Reason::Drained,
        v1::refusal::Reason::NoHeadroom => Reason::NoHeadroom,
        v1::refusal::Reason::OthersRefused => Reason::OthersRefused,
        v1::refusal::Reason::OtherTaken => Reason::OtherTaken,
        v1::refusal::Reason::Unspecified => return None,
    })
}

fn blocker(blocker: &Blocker) -> v1::Blocker {
    v1::Blocker {
        source: blocker.source.as_ref().map(ToString::to_string).unwrap_or_default(),
        lane: blocker.lane.to_string(),
        limit_bps: int(blocker.limit),
        free_bps: int(blocker.free),
        needed_bps: int(blocker.needed),
        missing_bps: int(blocker.missing()),
        first_free_time: blocker.first_free.map(time),
    }
}

fn offer(offer: &CounterOffer, asked: Option<&Ask>) -> v1::CounterOffer {
    let kind = match offer.kind {
        OfferKind::SameRateLater => v1::counter_offer::Kind::SameRateLater,
        OfferKind::LowerRateNow => v1::counter_offer::Kind::LowerRateNow,
        OfferKind::LaterFinish => v1::counter_offer::Kind::LaterFinish,
        OfferKind::LessInTime => v1::counter_offer::Kind::LessInTime,
        OfferKind::OtherSource => v1::counter_offer::Kind::OtherSource,
    };
    v1::CounterOffer {
        kind: kind.into(),
        source: source(&offer.route),
        via: hosts(offer.route.via()),
        token: super::offer::token(offer, asked),
        path: offer.route.path().map(i32::from),
        rate_bps: int(offer.rate.bps()),
        start_time: Some(time(offer.interval.start())),
        end_time: Some(time(offer.interval.end())),
        volume_bytes: offer.volume.map_or(0, |volume| int(volume.bytes())),
    }
}

/// A session, with what `machine` knows of it.
#[must_use]
pub fn session(session: &Session, machine: &Machine, config: &SessionConfig) -> v1::Session {
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
