//! What happened to a reservation, in words: by what it was before and what it is since.

use maud::{Markup, html};
use tidegate_proto::v1;
use tidegate_proto::v1::CloseReason;
use tidegate_proto::v1::refusal::Reason;
use tidegate_proto::v1::reservation::{Phase, State};

use super::say;

/// How a reservation stands, in a word.
pub(super) fn standing(it: &v1::Reservation) -> &'static str {
    match (it.state(), it.phase()) {
        (State::Held, _) => "held",
        (State::Closed, _) => closed(it.close_reason()),
        (State::Confirmed, Phase::Scheduled) => "scheduled",
        (State::Confirmed, Phase::Active) => "active",
        (State::Confirmed, _) => "ended",
        (State::Unspecified, _) => "forgotten",
    }
}

/// Why it is over, in a word.
fn closed(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Unspecified => "closed",
        CloseReason::Completed => "completed",
        CloseReason::Released => "released",
        CloseReason::Expired => "expired",
        CloseReason::SessionLost => "session lost",
        CloseReason::CapacityLost => "capacity lost",
        CloseReason::NoShow => "no show",
        CloseReason::Preempted => "preempted",
    }
}

/// Whether an operator should look at why it is over.
pub(super) fn is_alarming(it: &v1::Reservation) -> bool {
    use CloseReason::{CapacityLost, NoShow, Preempted, SessionLost};
    matches!(it.close_reason(), CapacityLost | NoShow | Preempted | SessionLost)
}

/// A word for how it stands, as a mark.
pub(super) fn tag(it: &v1::Reservation) -> Markup {
    html! {
        span.tag.alert[is_alarming(it)] { (standing(it)) }
        @if it.observed_reason() != Reason::Unspecified {
            " " span.tag { "only observed" }
        }
    }
}

/// When it happened, where that is told of it: when it was made, and when it was closed.
pub(super) fn when(
    before: Option<&v1::Reservation>,
    after: Option<&v1::Reservation>,
) -> Option<prost_types::Timestamp> {
    match (before, after?) {
        (None, after) => after.create_time,
        (Some(before), after) if before.close_time.is_none() => after.close_time,
        (Some(_), _) => None,
    }
}

/// What changed, in a word and some more.
pub(super) fn what(
    before: Option<&v1::Reservation>,
    after: Option<&v1::Reservation>,
    now_ms: i64,
) -> Markup {
    let Some(after) = after else {
        return html! { "forgotten" };
    };
    let end = html! { (say::time(after.end_time.as_ref(), now_ms)) };
    let Some(before) = before else {
        return html! {
            @if after.state() == State::Held { "held" } @else { "granted" }
            " " (say::rate(after.rate_bps)) " until " (end)
        };
    };
    if after.state() != before.state() {
        return html! {
            @match after.state() {
                State::Confirmed => "confirmed",
                State::Closed => (closed(after.close_reason())),
                _ => "held again",
            }
            @if after.state() == State::Closed { ", " (say::bytes(after.used_bytes)) " moved" }
        };
    }
    html! {
        @if after.curtailed && !before.curtailed { "cut short: ends at " (end) }
        @else if after.hold_until_time != before.hold_until_time {
            "hold lasts until " (say::time(after.hold_until_time.as_ref(), now_ms))
        }
        @else if after.etag != before.etag {
            "changed: " (say::rate(after.rate_bps)) " until " (end)
        }
        @else if after.plan_version != before.plan_version {
            "moved: " (say::time(after.start_time.as_ref(), now_ms)) " to " (end) ", "
            (say::counted(crate::convert::reply::count(after.segments.len()), "piece", "pieces"))
        }
        @else { "changed" }
    }
}
