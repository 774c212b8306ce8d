//! Reservations, in the order in which they were made.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use tidegate_proto::v1;
use tidegate_proto::v1::reservation_service_server::ReservationService;
use tonic::{Request, Status};

use crate::convert::reply;
use crate::rpc::Rpc;
use crate::web::ask::Asked;
use crate::web::frame::{self, Page, Place};
use crate::web::{changed, json, say};

const ROWS: i32 = 100;
const ROWS_MAX: i32 = 500;

pub(super) async fn page(State(rpc): State<Rpc>, asked: Asked) -> Response {
    frame::answer(&asked, make(&rpc, &asked).await)
}

async fn make(rpc: &Rpc, asked: &Asked) -> Result<Response, Status> {
    let now = rpc.clock.now();
    let mut read = asked.read(now);
    let project = asked.word("project");
    let request = v1::ListReservationsRequest {
        parent: format!("projects/{}", if project.is_empty() { "-" } else { project }),
        page_size: read.number("size", ROWS, ROWS_MAX),
        page_token: asked.word("page").into(),
        show_closed: read.one_of("closed", &["", "shown"]) == "shown",
        filter: asked.word("filter").into(),
    };
    let shown = rpc.list_reservations(Request::new(read.finish(request)?)).await?.into_inner();
    if asked.is_json() {
        return json::response("ListReservationsResponse", &shown);
    }
    let live = reply::count(rpc.view.read().machine.live_reservations());
    Ok(drawn(asked, &shown, live, say::ms(&reply::time(now))).response(asked))
}

/// The page of an answer.
pub(in crate::web) fn drawn(
    asked: &Asked,
    shown: &v1::ListReservationsResponse,
    live: i64,
    now: i64,
) -> Page {
    let fields = html! {
        (frame::field(asked, ("project", "Project"), "all"))
        (frame::field(asked, ("filter", "For which holds"), "rate_bps >= 1000000000"))
        (frame::choice(asked, ("closed", "Those that are over"),
            &[("", "left out"), ("shown", "shown too")]))
    };
    let count = reply::count(shown.reservations.len());
    let more = !shown.next_page_token.is_empty();
    let first = asked.word("page").is_empty();
    let body = html! {
        (frame::form(asked, &fields))
        p.note {
            "A filter is an expression in CEL, such as " code { "destination == \"hosts/compute-1\"" }
            " or " code { "\"links/spine-1/forward\" in lanes" } "."
        }
        @if shown.reservations.is_empty() {
            p.empty {
                @if more { "None among those looked at so far; go on to the next page." }
                @else { "No reservation is meant by that." }
            }
        } @else {
            (frame::table(
                "Reservations, in the order they were made",
                &["Reservation", "Stands", "From", "To", "#Rate", "Start", "End", "#Moved", "Class"],
                &rows(&shown.reservations, now),
            ))
        }
        (frame::pager(asked, &shown.next_page_token))
    };
    let flags = [("project", "--project"), ("filter", "--filter")];
    let all = if asked.word("closed") == "shown" { " --all" } else { "" };
    Page {
        place: Place::Reservations,
        question: "What is promised?".into(),
        about: None,
        answer: html! {
            strong { (say::counted(live, "reservation is", "reservations are")) }
            " held or confirmed. "
            @if first && !more {
                (say::counted(count, "is", "are")) " shown here."
            } @else {
                "This page has " (say::grouped(count)) "."
            }
        },
        body,
        command: asked.command("tidegate ls", &flags) + all,
        now_ms: now,
        refresh: Some(30),
    }
}

/// A reservation in a word: its project, and the end of its identifier, which differs from others.
pub(in crate::web) fn short(name: &str) -> Markup {
    let project = name.split('/').nth(1).unwrap_or_default();
    let id = say::short(name);
    let tail: String = id.chars().skip(id.chars().count().saturating_sub(8)).collect();
    html! { a.name.short href=[say::href(name)] title=(name) { (project) " / \u{2026}" (tail) } }
}

/// The rows of a table of reservations.
fn rows(reservations: &[v1::Reservation], now: i64) -> Markup {
    html! {
        @for it in reservations {
            tr {
                td.first { (short(&it.name)) }
                td { (changed::tag(it)) }
                td { (say::broken(&it.source)) }
                td { (say::broken(&it.destination)) }
                td.number { (say::rate(it.rate_bps)) }
                td { (say::time(it.start_time.as_ref(), now)) }
                td { (say::time(it.end_time.as_ref(), now)) }
                td.number { (say::bytes(it.used_bytes)) }
                td { (say::short(&it.class)) }
            }
        }
    }
}
