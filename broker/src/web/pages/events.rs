//! *Live*: who is connected, and what happens to reservations as it happens.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use tidegate_core::Reservation;
use tidegate_policy::Timestamp;
use tidegate_proto::v1;
use tidegate_proto::v1::session::State as SessionState;
use tidegate_proto::v1::session_service_server::SessionService;
use tonic::{Request, Status};

use super::reservations::short;
use crate::changes::Changed;
use crate::convert::reply;
use crate::rpc::Rpc;
use crate::web::ask::Asked;
use crate::web::frame::{self, Page, Place};
use crate::web::{changed, json, say};

const SESSIONS: i32 = 50;
const SESSIONS_MAX: i32 = 500;
/// How many changes the page has; the script drops those behind.
const CHANGES: usize = 100;

pub(super) async fn page(State(rpc): State<Rpc>, asked: Asked) -> Response {
    frame::answer(&asked, make(&rpc, &asked).await)
}

async fn make(rpc: &Rpc, asked: &Asked) -> Result<Response, Status> {
    let now = rpc.clock.now();
    let mut read = asked.read(now);
    let request = v1::ListSessionsRequest {
        page_size: read.number("size", SESSIONS, SESSIONS_MAX),
        page_token: asked.word("page").into(),
        show_ended: read.one_of("ended", &["", "shown"]) == "shown",
    };
    let shown = rpc.list_sessions(Request::new(read.finish(request)?)).await?.into_inner();
    if asked.is_json() {
        return json::response("ListSessionsResponse", &shown);
    }
    let (open, rows) = {
        let published = rpc.view.read();
        let open = reply::count(published.machine.open_sessions());
        let latest = published.changes.latest(None).take(CHANGES);
        let rows: Vec<Markup> = latest.map(|it| of(it, now)).collect();
        (open, rows)
    };
    Ok(drawn(asked, &shown, (open, &rows), say::ms(&reply::time(now))).response(asked))
}

/// A change of the published state as a row.
pub(in crate::web) fn of(changed: &Changed, now: Timestamp) -> Markup {
    let shown = |it: &Arc<Reservation>| reply::reservation(it, now, changed.used);
    let (before, after) = (changed.before.as_ref().map(shown), changed.after.as_ref().map(shown));
    change(before.as_ref(), after.as_ref(), say::ms(&reply::time(now)))
}

/// One change as a row: about what, and what happened.
pub(in crate::web) fn change(
    before: Option<&v1::Reservation>,
    after: Option<&v1::Reservation>,
    now: i64,
) -> Markup {
    let about = after.or(before);
    html! {
        li {
            @if let Some(about) = about {
                (short(&about.name)) " "
                @if let Some(at) = changed::when(before, after) {
                    span.at { (say::clock_time(say::ms(&at))) } " "
                }
                span.what { (changed::what(before, after, now)) }
                @if !about.destination.is_empty() {
                    span.where-to { (about.source) " \u{2192} " (about.destination) }
                }
            }
        }
    }
}

/// The page of an answer: sessions, how many are open, and the last changes.
pub(in crate::web) fn drawn(
    asked: &Asked,
    shown: &v1::ListSessionsResponse,
    (open, changes): (i64, &[Markup]),
    now: i64,
) -> Page {
    let ended = asked.word("ended") == "shown";
    let body = html! {
        div.two {
            section aria-labelledby="changes" {
                h2 id="changes" { "Changes" }
                p.note { span id="live-state" { "The last ones when the page was made." } }
                @if changes.is_empty() {
                    p.empty id="no-changes" { "Nothing has changed since this broker began." }
                }
                ol.changes id="live" data-stream="/events/stream" data-most=(CHANGES) {
                    @for change in changes { (change) }
                }
            }
            section aria-labelledby="sessions" {
                h2 id="sessions" { "Sessions" }
                p.note {
                    @if ended {
                        a href=(asked.with(&[("ended", ""), ("page", "")])) { "Only open ones" }
                    } @else {
                        a href=(asked.with(&[("ended", "shown"), ("page", "")])) { "Ended ones too" }
                    }
                }
                @if shown.sessions.is_empty() {
                    p.empty { "No agent has a session." }
                } @else {
                    (frame::table("Sessions, in the order they were opened",
                        &["Agent", "State", "#Reservations", "Heard", "Opened"],
                        &sessions(&shown.sessions, now)))
                    (frame::pager(asked, &shown.next_page_token))
                }
            }
        }
    };
    Page {
        place: Place::Events,
        question: "What is happening?".into(),
        about: None,
        answer: html! {
            strong { (say::counted(open, "session is", "sessions are")) " open" }
            "; changes of reservations appear below as they become durable."
        },
        body,
        command: "tidegate watch".into(),
        now_ms: now,
        // The sessions: changes come by themselves.
        refresh: Some(5),
    }
}

fn sessions(sessions: &[v1::Session], now: i64) -> Markup {
    html! {
        @for it in sessions {
            tr {
                td.first title=(it.name) { (it.agent) }
                td {
                    span.tag.alert[it.state() == SessionState::Lost] {
                        (say::word(it.state().as_str_name(), "STATE_"))
                    }
                }
                td.number { (say::count(it.reservation_count)) }
                td {
                    @match &it.heard_time {
                        Some(at) => (say::from_now(say::ms(at), now)),
                        None => span.none { "\u{2013}" },
                    }
                }
                td { (say::time(it.create_time.as_ref(), now)) }
            }
        }
    }
}
