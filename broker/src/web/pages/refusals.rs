//! *Why no?*: what was refused, by what, how much was missing, and what would have fit.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use tidegate_proto::v1;
use tidegate_proto::v1::counter_offer::Kind;
use tidegate_proto::v1::refusal::Reason;
use tidegate_proto::v1::report_service_server::ReportService;
use tonic::{Request, Status};

use crate::convert::reply;
use crate::rpc::Rpc;
use crate::web::ask::Asked;
use crate::web::draw::bars::{Part, bar};
use crate::web::frame::{self, Page, Place};
use crate::web::{json, say};

const GROUPS: i32 = 50;
const GROUPS_MAX: i32 = 200;
const RANGES: [(&str, &str, &str); 4] = [
    ("Past hour", "-1h", ""),
    ("Past day", "", ""),
    ("Past week", "-7d", ""),
    ("Past 30 days", "-30d", ""),
];

pub(super) async fn page(State(rpc): State<Rpc>, asked: Asked) -> Response {
    frame::answer(&asked, make(&rpc, &asked).await)
}

async fn make(rpc: &Rpc, asked: &Asked) -> Result<Response, Status> {
    let now = rpc.clock.now();
    let mut read = asked.read(now);
    let project = asked.word("project");
    let request = v1::AggregateRefusalsRequest {
        parent: if project.is_empty() { String::new() } else { format!("projects/{project}") },
        start_time: read.time("from"),
        end_time: read.time("to"),
        bottleneck: asked.word("bottleneck").into(),
        page_size: read.number("size", GROUPS, GROUPS_MAX),
        page_token: asked.word("page").into(),
    };
    let shown = rpc.aggregate_refusals(Request::new(read.finish(request)?)).await?.into_inner();
    if asked.is_json() {
        return json::response("AggregateRefusalsResponse", &shown);
    }
    Ok(drawn(asked, &shown, say::ms(&reply::time(now))).response(asked))
}

/// The page of an answer.
pub(in crate::web) fn drawn(
    asked: &Asked,
    shown: &v1::AggregateRefusalsResponse,
    now: i64,
) -> Page {
    let fields = html! {
        (frame::field(asked, ("project", "Project"), "all"))
        (frame::field(asked, ("bottleneck", "Refused by"), "a lane, a quota or a rule"))
        (frame::field(asked, ("from", "From"), "-24h"))
        (frame::field(asked, ("to", "To"), "now"))
    };
    let body = html! {
        (frame::ranges(asked, &RANGES))
        (frame::form(asked, &fields))
        @if shown.groups.is_empty() {
            p.empty { "Nothing was refused in this range." }
        } @else {
            (table(&shown.groups, now))
            (frame::pager(asked, &shown.next_page_token))
        }
    };
    let flags = [
        ("project", "--project"),
        ("bottleneck", "--bottleneck"),
        ("from", "--from"),
        ("to", "--to"),
    ];
    Page {
        place: Place::Refusals,
        question: "Why were others refused?".into(),
        about: None,
        answer: answer(shown, now),
        body,
        command: asked.command("tidegate report refusals", &flags),
        now_ms: now,
        refresh: Some(60),
    }
}

fn answer(shown: &v1::AggregateRefusalsResponse, now: i64) -> Markup {
    let all = shown.refused_count.saturating_add(shown.granted_count);
    html! {
        "Since " (say::time(shown.start_time.as_ref(), now)) ", "
        @if shown.refused_count == 0 {
            strong { "nothing was refused" }
            ", and " (say::counted(shown.granted_count, "request was", "requests were")) " granted."
        } @else {
            strong { (say::counted(shown.refused_count, "request was", "requests were")) " refused" }
            ", " (say::part_text(shown.refused_count, all)) " of all. "
            @if let Some(most) = shown.groups.first() {
                "Most often: " (why(most.reason()))
                @if !most.bottleneck.is_empty() && most.bottleneck != "-" {
                    ", by " (say::name(&most.bottleneck))
                }
                ", for " (say::name(&most.project)) "."
            }
        }
    }
}

/// A reason in words.
pub(in crate::web) fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Unspecified => "not said",
        Reason::NoPath => "no path leads there",
        Reason::RateAboveCapacity => "more than a lane carries even when it is empty",
        Reason::NoHeadroom => "the lane is booked by others",
        Reason::Drained => "the lane is drained",
        Reason::OthersRefused => "others of its batch do not fit",
        Reason::OtherTaken => "another one of its batch was taken",
        Reason::AboveQuota => "more than the quota allows",
        Reason::QuotaExhausted => "the quota is used up",
        Reason::ClassNotAllowed => "its project may not use the class",
        Reason::NoTier => "no storage is of a tier that the class takes",
        Reason::RuleDenied => "a rule denies it",
    }
}

/// What would have fit.
fn offer(it: &v1::CounterOffer, now: i64) -> Markup {
    let how = match it.kind() {
        Kind::Unspecified => "",
        Kind::SameRateLater => "the same rate later: ",
        Kind::LowerRateNow => "less at once: ",
        Kind::LaterFinish => "all of it, later: ",
        Kind::OtherSource => "from elsewhere: ",
        Kind::LessInTime => "less by then: ",
    };
    html! {
        (how)
        @if 0 < it.volume_bytes { (say::bytes(it.volume_bytes)) " at up to " }
        (say::rate(it.rate_bps))
        @if !it.source.is_empty() { " from " (say::name(&it.source)) }
        ", " (say::time(it.start_time.as_ref(), now)) " to "
        (say::time(it.end_time.as_ref(), now))
    }
}

fn missing(group: &v1::RefusalGroup) -> Markup {
    html! {
        @match (group.least_missing_bps, group.most_missing_bps) {
            (0, 0) => span.none { "\u{2013}" },
            (least, most) if least == most => (say::rate(most)),
            (least, most) => { (say::rate(least)) " to " (say::rate(most)) },
        }
    }
}

/// Groups of refusals with a bar for how many each has.
pub(in crate::web) fn table(groups: &[v1::RefusalGroup], now: i64) -> Markup {
    let most = groups.iter().map(|it| it.refused_count).max().unwrap_or(0).max(1);
    let rows = html! {
        @for group in groups {
            @let told = say::counted(group.refused_count, "refusal", "refusals");
            tr {
                td.first { (why(group.reason())) }
                td {
                    @match group.bottleneck.as_str() {
                        "" => span.none { "\u{2013}" },
                        "-" => "several, too many to keep apart",
                        name => (say::name(name)),
                    }
                }
                td {
                    (say::name(&group.project))
                    @if !group.class.is_empty() { " in " (say::short(&group.class)) }
                }
                td.wide {
                    (bar(&[Part { class: "refused-part", amount: group.refused_count }], most, &told))
                }
                td.number { (say::count(group.refused_count)) }
                td.number {
                    @if group.asked_bps == 0 { "a volume" } @else { (say::rate(group.asked_bps)) }
                }
                td.number { (missing(group)) }
                td.text {
                    @match &group.last_offer {
                        Some(it) => (offer(it, now)),
                        None => span.none { "nothing" },
                    }
                    @if 0 < group.offered_count {
                        span.small {
                            " \u{b7} " (say::grouped(group.offered_count)) " of them were told what fits"
                        }
                    }
                }
                td { (say::time(group.last_time.as_ref(), now)) }
            }
        }
    };
    frame::table(
        "What was refused alike, the most first",
        &[
            "Why",
            "By",
            "For",
            "How often",
            "#Times",
            "#Asked at most",
            "#Missing",
            "What would have fit last",
            "Last",
        ],
        &rows,
    )
}
