//! The statement of a project: what it was promised, used, wasted and refused, and what is left.

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use tidegate_proto::v1;
use tidegate_proto::v1::report_service_server::ReportService;
use tonic::{Request, Status};

use super::projects::{had, legend, longest, numbers as consumption, who};
use super::refusals;
use crate::convert::reply;
use crate::rpc::Rpc;
use crate::web::ask::{Asked, quoted};
use crate::web::draw::axis::Axis;
use crate::web::draw::columns::{columns, numbers};
use crate::web::frame::{self, Page, Place};
use crate::web::{json, limits, say};

const RANGES: [(&str, &str, &str); 4] = [
    ("Past day", "-24h", ""),
    ("Past week", "-7d", ""),
    ("Past 30 days", "", ""),
    ("Past 90 days", "-90d", ""),
];
/// The most projects below that are shown.
const BELOW_MAX: usize = 200;
const HEADS: [&str; 6] = ["#Promised", "#Used", "#Wasted", "#Not reported", "#Granted", "#Refused"];

pub(super) async fn page(
    State(rpc): State<Rpc>,
    Path(project): Path<String>,
    asked: Asked,
) -> Response {
    frame::answer(&asked, make(&rpc, &project, &asked).await)
}

async fn make(rpc: &Rpc, project: &str, asked: &Asked) -> Result<Response, Status> {
    let now = rpc.clock.now();
    let mut read = asked.read(now);
    let request = v1::GetUsageStatementRequest {
        name: format!("projects/{project}"),
        start_time: read.time("from"),
        end_time: read.time("to"),
        own_only: read.one_of("own", &["", "only"]) == "only",
    };
    let shown = rpc.get_usage_statement(Request::new(read.finish(request)?)).await?.into_inner();
    if asked.is_json() {
        return json::response("UsageStatement", &shown);
    }
    Ok(drawn(asked, &shown, say::ms(&reply::time(now))).response(asked))
}

/// The page of an answer.
pub(in crate::web) fn drawn(asked: &Asked, shown: &v1::UsageStatement, now: i64) -> Page {
    let start = say::ms_or_zero(shown.start_time.as_ref());
    let axis = Axis { start, end: say::ms_or_zero(shown.end_time.as_ref()), now };
    let flags = [("from", "--from"), ("to", "--to")];
    let command = format!("tidegate report statement {}", quoted(say::short(&shown.name)));
    let own = if asked.word("own") == "only" { " --own" } else { "" };
    let body = html! {
        (frame::ranges(asked, &RANGES))
        (limited(shown, now))
        section aria-labelledby="had" {
            h2 id="had" { "What it had" }
            (legend())
            (picture(shown, axis))
            @let heads: Vec<&str> = ["From"].into_iter().chain(HEADS).collect();
            (frame::table("Period by period", &heads, &periods(shown, now)))
        }
        (below(asked, shown))
        section aria-labelledby="refused" {
            h2 id="refused" { "What it was refused" }
            @if shown.refusals.is_empty() {
                p.empty { "Nothing." }
            } @else {
                (refusals::table(&shown.refusals, now))
            }
        }
    };
    Page {
        place: Place::Inner,
        question: "What did this project have?".into(),
        about: Some(html! {
            code { (shown.name) } " \u{b7} "
            a href=(reservations(&shown.name)) { "its reservations" }
        }),
        answer: answer(shown, now),
        body,
        command: asked.command(&command, &flags) + own,
        now_ms: now,
        refresh: Some(60),
    }
}

fn reservations(project: &str) -> String {
    format!("/reservations?project={}", say::escaped(say::short(project), false))
}

fn answer(shown: &v1::UsageStatement, now: i64) -> Markup {
    let total = shown.total.unwrap_or_default();
    let tightest = limits::tightest(&shown.limits);
    html! {
        "Since " (say::time(shown.start_time.as_ref(), now)) " it was promised "
        (say::bytes(total.promised_bytes)) " and used "
        strong { (say::bytes(total.used_bytes)) }
        "; " (say::counted(total.granted_count, "request was", "requests were")) " granted, "
        (say::grouped(total.refused_count)) " refused. "
        @match tightest {
            Some(limit) => { "Nearest to its limit: " (limits::short(limit)) },
            None => "No quota that is counted binds it.",
        }
    }
}

fn limited(shown: &v1::UsageStatement, now: i64) -> Markup {
    html! {
        section aria-labelledby="limits" {
            h2 id="limits" { "What limits it" }
            @if shown.limits.is_empty() {
                p.empty { "No quota of its own or of a project above it." }
            } @else {
                (frame::table(
                    "Limits, and what is used of them now",
                    &["Of what", "Whose", "Used", "#Used", "#Allowed", "Until"],
                    &limits::rows(&shown.limits, now),
                ))
            }
        }
    }
}

fn picture(shown: &v1::UsageStatement, axis: Axis) -> Markup {
    let first = shown.periods.first().map_or(0, |it| say::ms_or_zero(it.start_time.as_ref()));
    let second = shown.periods.get(1).map(|it| say::ms_or_zero(it.start_time.as_ref()));
    let step = second.map_or(axis.end, |second| second).saturating_sub(first).max(1);
    let length = step.saturating_mul(reply::count(shown.periods.len()));
    // Columns are as wide as whole periods.
    let axis = Axis { start: first, end: first.saturating_add(length), now: axis.now };
    html! {
        @if shown.periods.is_empty() {
            p.empty { "Nothing in this range." }
        } @else {
            figure.picture data-start=(axis.start) data-step=(step)
                data-series=(numbers(&shown.periods)) {
                (columns(&shown.periods, axis))
                (axis.labels())
            }
        }
    }
}

fn periods(shown: &v1::UsageStatement, now: i64) -> Markup {
    html! {
        @for period in &shown.periods {
            @let it = period.consumption.unwrap_or_default();
            // Periods in which nothing happened are in the picture, and would only fill pages.
            @if it != v1::Consumption::default() {
                tr {
                    td.first { (say::time(period.start_time.as_ref(), now)) }
                    (consumption(&it))
                }
            }
        }
    }
}

fn below(asked: &Asked, shown: &v1::UsageStatement) -> Markup {
    let most = longest(shown.projects.iter());
    let rows = html! {
        @for consumer in shown.projects.iter().take(BELOW_MAX) {
            @let it = consumer.consumption.unwrap_or_default();
            tr {
                td.first { (who(&consumer.name)) }
                td.wide { (had(&it, most)) }
                (consumption(&it))
            }
        }
    };
    let heads: Vec<&str> = ["Project", "Of what was promised"].into_iter().chain(HEADS).collect();
    html! {
        @if 1 < shown.projects.len() {
            section aria-labelledby="below" {
                h2 id="below" { "It and those below it" }
                p { a href=(asked.with(&[("own", "only")])) { "Only its own" } }
                (frame::table("Projects", &heads, &rows))
                @if BELOW_MAX < shown.projects.len() {
                    p.note { "The first 200 by name; the JSON has all of them." }
                }
            }
        }
    }
}
