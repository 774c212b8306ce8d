//! One reservation: its path, its plan, what moved of what is promised, and what happened to it.

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use tidegate_policy::ReservationId;
use tidegate_proto::v1;
use tidegate_proto::v1::reservation::Promise;
use tidegate_proto::v1::reservation_service_server::ReservationService;
use tonic::{Request, Status};

use crate::convert::reply;
use crate::rpc::Rpc;
use crate::web::ask::Asked;
use crate::web::draw::axis::Axis;
use crate::web::draw::bars::{Part, bar};
use crate::web::draw::lane::colour;
use crate::web::draw::plan::plan;
use crate::web::frame::{self, Page, Place};
use crate::web::{changed, json, say};

/// The most changes that are told.
const CHANGES_MAX: usize = 50;

/// Something that happened to it.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::web) struct Past {
    pub(in crate::web) before: Option<v1::Reservation>,
    pub(in crate::web) after: Option<v1::Reservation>,
}

pub(super) async fn page(State(rpc): State<Rpc>, Path(id): Path<String>, asked: Asked) -> Response {
    frame::answer(&asked, make(&rpc, &id, &asked).await)
}

async fn make(rpc: &Rpc, id: &str, asked: &Asked) -> Result<Response, Status> {
    let now = rpc.clock.now();
    let name = format!("projects/-/reservations/{id}");
    let request = Request::new(v1::GetReservationRequest { name });
    let shown = rpc.get_reservation(request).await?.into_inner();
    if asked.is_json() {
        return json::response("Reservation", &shown);
    }
    let past = id.parse().map(|id| past(rpc, id)).unwrap_or_default();
    Ok(drawn(&shown, &past, say::ms(&reply::time(now))).response(asked))
}

/// What is remembered of its changes, the last first.
fn past(rpc: &Rpc, id: ReservationId) -> Vec<Past> {
    let now = rpc.clock.now();
    let published = rpc.view.read();
    let changes = published.changes.latest(Some(id)).take(CHANGES_MAX);
    changes
        .map(|it| {
            let shown = |it: &std::sync::Arc<_>, used| reply::reservation(it, now, used);
            Past {
                before: it.before.as_ref().map(|before| shown(before, it.used)),
                after: it.after.as_ref().map(|after| shown(after, it.used)),
            }
        })
        .collect()
}

/// The page of an answer.
pub(in crate::web) fn drawn(it: &v1::Reservation, past: &[Past], now: i64) -> Page {
    let body = html! {
        (facts(it, now))
        section aria-labelledby="plan" {
            h2 id="plan" { "When it may send how much" }
            (picture(it, now))
            @if 1 < it.segments.len() {
                (frame::table("The plan, piece by piece", &["From", "To", "#Rate", "Way"],
                    &segments(it, now)))
            }
        }
        section aria-labelledby="path" {
            h2 id="path" { "What it holds" }
            @for (index, way) in it.ways.iter().enumerate().filter(|_| 1 < it.ways.len()) {
                (way_line(index, way))
            }
            (frame::table("Lanes, in the order of the path", &["Lane", "#Booked at most"],
                &lanes(it)))
        }
        section aria-labelledby="past" {
            h2 id="past" { "What happened" }
            (history(it, past, now))
        }
    };
    Page {
        place: Place::Inner,
        question: "What is this reservation?".into(),
        about: Some(html! { code { (say::broken(&it.name)) } }),
        answer: answer(it, now),
        body,
        command: format!("tidegate show {}", say::short(&it.name)),
        now_ms: now,
        refresh: Some(10),
    }
}

fn answer(it: &v1::Reservation, now: i64) -> Markup {
    let end = say::ms_or_zero(it.end_time.as_ref());
    html! {
        (changed::tag(it)) " "
        (say::rate(it.rate_bps))
        @if !it.source.is_empty() { " from " (say::broken(&it.source)) }
        @if !it.destination.is_empty() { " to " (say::broken(&it.destination)) }
        ", " (say::time(it.start_time.as_ref(), now)) " to "
        (say::time(it.end_time.as_ref(), now))
        " (" (say::from_now(end, now)) "). "
        @if let Some(until) = &it.hold_until_time {
            "It lapses " (say::from_now(say::ms(until), now)) " unless it is confirmed."
        }
    }
}

/// How many bytes its plan carries in all; rates by their times, rounded down once.
fn planned_bytes(it: &v1::Reservation) -> i64 {
    let bits_ms = |it: &v1::Segment| {
        let (start, end) =
            (say::ms_or_zero(it.start_time.as_ref()), say::ms_or_zero(it.end_time.as_ref()));
        i128::from(it.rate_bps) * i128::from(end.saturating_sub(start).max(0))
    };
    let sum: i128 = it.segments.iter().map(bits_ms).sum();
    i64::try_from(sum / 8000).unwrap_or(i64::MAX)
}

fn facts(it: &v1::Reservation, now: i64) -> Markup {
    let (promised, told) = match &it.promise {
        Some(Promise::Transfer(transfer)) => (transfer.volume_bytes, "of the volume promised"),
        Some(Promise::Flexible(_)) | None => (planned_bytes(it), "of what its plan carries"),
    };
    let moved =
        format!("{} of {} {told}", say::bytes_text(it.used_bytes), say::bytes_text(promised));
    html! {
        dl.facts {
            div.wide {
                dt { "Moved" }
                dd {
                    (bar(&[Part { class: "used-part", amount: it.used_bytes }], promised.max(1), &moved))
                    (say::bytes(it.used_bytes)) " of " (say::bytes(promised)) " " (told)
                    @if it.session.is_empty() { ": it has no session that could report" }
                }
            }
            @match &it.promise {
                Some(Promise::Transfer(transfer)) => div {
                    dt { "Promise" }
                    dd {
                        (say::bytes(transfer.volume_bytes)) " by "
                        (say::time(transfer.deadline.as_ref(), now))
                    }
                },
                Some(Promise::Flexible(flexible)) => div {
                    dt { "Promise" }
                    dd {
                        (say::rate(flexible.min_bps)) " to " (say::rate(flexible.max_bps)) " for "
                        (say::span_text(say::span_ms(flexible.duration.as_ref())))
                        ", by " (say::time(flexible.window_end_time.as_ref(), now))
                    }
                },
                None => {},
            }
            (more_facts(it, now))
        }
    }
}

fn more_facts(it: &v1::Reservation, now: i64) -> Markup {
    let project = it.name.split("/reservations/").next().unwrap_or_default();
    let session = if it.session.is_empty() { "none".into() } else { it.session.clone() };
    let mut traits = Vec::new();
    for (holds, told) in [
        (it.movable, "its plan may move"),
        (it.preemptible, "gives way to higher priorities"),
        (it.borrowed, "granted what others lend"),
        (it.curtailed, "cut short"),
    ] {
        if holds {
            traits.push(told);
        }
    }
    html! {
        div { dt { "Project" } dd { (say::name(project)) } }
        @if !it.class.is_empty() { div { dt { "Class" } dd { (say::short(&it.class)) } } }
        @if !it.principal.is_empty() { div { dt { "Asked by" } dd { (it.principal) } } }
        div { dt { "Session" } dd.name { (session) } }
        div { dt { "Priority" } dd { (it.priority) } }
        @if let Some(ceiling) = it.ceiling_bps {
            div { dt { "While others leave it" } dd { "up to " (say::rate(ceiling)) } }
        }
        @if !traits.is_empty() { div { dt { "Also" } dd { (traits.join(", ")) } } }
        div { dt { "Granted" } dd { (say::time(it.create_time.as_ref(), now)) } }
        @for (key, value) in &it.labels { div { dt { (key) } dd { (value) } } }
    }
}

fn picture(it: &v1::Reservation, now: i64) -> Markup {
    let (start, end) =
        (say::ms_or_zero(it.start_time.as_ref()), say::ms_or_zero(it.end_time.as_ref()));
    let mut ends = Vec::new();
    if let Some(Promise::Transfer(transfer)) = &it.promise
        && let Some(deadline) = &transfer.deadline
    {
        ends.push(("Deadline", say::ms(deadline)));
    }
    if let Some(until) = &it.hold_until_time {
        ends.push(("The hold lapses", say::ms(until)));
    }
    let last = ends.iter().map(|(_, at)| *at).fold(end, i64::max);
    // A little air on both sides, so that the first and the last instant can be seen.
    let air = last.saturating_sub(start) / 40;
    let axis = Axis { start: start.saturating_sub(air), end: last.saturating_add(air).max(1), now };
    html! {
        figure.picture {
            (plan(&it.segments, axis, &ends))
            (axis.labels())
        }
        @for (told, at) in &ends {
            p.note { (told) ": " (say::time_ms(*at, now)) ", the line in the picture." }
        }
    }
}

fn way_line(index: usize, way: &v1::PlanWay) -> Markup {
    html! {
        p.note {
            svg.swatch width="14" height="14" aria-hidden="true" {
                rect.(colour(index)) width="14" height="14" {}
            }
            "Way " (index + 1) ": from " (say::broken(&way.source))
            @for via in &way.via { ", through " (say::broken(via)) }
            ", " (say::counted(reply::count(way.lanes.len()), "lane", "lanes"))
        }
    }
}

fn segments(it: &v1::Reservation, now: i64) -> Markup {
    html! {
        @for segment in &it.segments {
            tr {
                td.first { (say::time(segment.start_time.as_ref(), now)) }
                td { (say::time(segment.end_time.as_ref(), now)) }
                td.number { (say::rate(segment.rate_bps)) }
                td { (i64::from(segment.way).saturating_add(1)) }
            }
        }
    }
}

fn lanes(it: &v1::Reservation) -> Markup {
    html! {
        @for booking in &it.bookings {
            tr {
                td.first { (say::name(&booking.lane)) }
                td.number { (say::rate(booking.booked_bps)) }
            }
        }
    }
}

/// What happened to it, the last first. Of before this broker began, only its grant is known.
fn history(it: &v1::Reservation, past: &[Past], now: i64) -> Markup {
    let granted = past.iter().any(|it| it.before.is_none());
    html! {
        ol.history {
            @let closed = past.iter().any(|it| it.after.as_ref().is_some_and(|it| it.close_time.is_some()));
            @if let Some(at) = it.close_time.as_ref().filter(|_| !closed) {
                li { (say::time(Some(at), now)) ": " (changed::standing(it)) }
            }
            @for past in past {
                @let (before, after) = (past.before.as_ref(), past.after.as_ref());
                li {
                    @if let Some(at) = changed::when(before, after) {
                        (say::time(Some(&at), now)) ": "
                    }
                    (changed::what(before, after, now))
                }
            }
            @if !granted {
                li { (say::time(it.create_time.as_ref(), now)) ": granted" }
            }
        }
        p.note {
            "Its plan is in its " (ordinal(it.plan_version)) " version, and what was asked in its "
            (ordinal(it.etag.trim_matches('"').parse().unwrap_or(1))) "."
        }
    }
}

/// A number as a place in an order.
fn ordinal(number: i64) -> String {
    let ending = match (number % 10, number % 100) {
        (1, last) if last != 11 => "st",
        (2, last) if last != 12 => "nd",
        (3, last) if last != 13 => "rd",
        _ => "th",
    };
    format!("{}{ending}", say::grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_an_order_are_said_as_people_say_them() {
        let said = [1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal);
        assert_eq!(
            said,
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]
        );
    }

    #[test]
    fn a_plan_carries_its_rates_by_their_times() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let segment = |start, end, rate_bps| v1::Segment {
            rate_bps,
            start_time: at(start),
            end_time: at(end),
            ..Default::default()
        };
        let it = v1::Reservation {
            segments: vec![segment(0, 10, 8), segment(20, 21, 8_000)],
            ..Default::default()
        };
        assert_eq!(planned_bytes(&it), 1010);
    }
}
