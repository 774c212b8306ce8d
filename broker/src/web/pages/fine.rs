//! *Am I fine?*: every lane over time, the fullest first, and what is not as it should be.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use tidegate_proto::v1;
use tidegate_proto::v1::query_utilization_request::Order;
use tidegate_proto::v1::report_service_server::ReportService;
use tonic::{Request, Status};

use crate::convert::reply;
use crate::rpc::Rpc;
use crate::web::ask::Asked;
use crate::web::draw::axis::Axis;
use crate::web::draw::strip;
use crate::web::findings::{self, Findings};
use crate::web::frame::{self, Page, Place};
use crate::web::{json, say};

/// How many lanes a page has, and may have at most.
const LANES: i32 = 100;
const LANES_MAX: i32 = 200;
/// What of a lane has to be booked for it to be called nearly full, in parts per thousand.
const NEARLY_FULL: i64 = 900;
/// Ranges that are one click away.
const RANGES: [(&str, &str, &str); 5] = [
    ("\u{b1} 6 h", "-6h", "+6h"),
    ("\u{b1} 1 day", "", ""),
    ("Next 3 days", "now", "+72h"),
    ("Next 2 weeks", "now", "+14d"),
    ("Past week", "-7d", "now"),
];

pub(super) async fn page(State(rpc): State<Rpc>, asked: Asked) -> Response {
    frame::answer(&asked, make(&rpc, &asked).await)
}

async fn make(rpc: &Rpc, asked: &Asked) -> Result<Response, Status> {
    let request = question(asked, rpc)?;
    let selector = request.selector.clone();
    let shown = rpc.query_utilization(Request::new(request)).await?.into_inner();
    if asked.is_json() {
        return json::response("QueryUtilizationResponse", &shown);
    }
    // Of all lanes that are meant, not only of those on this page.
    let found = findings::all(rpc, &selector).await?;
    Ok(drawn(asked, &shown, &found).response(asked))
}

fn question(asked: &Asked, rpc: &Rpc) -> Result<v1::QueryUtilizationRequest, Status> {
    let mut read = asked.read(rpc.clock.now());
    let order = match read.one_of("order", &["fullest", "name"]) {
        "name" => Order::Unspecified,
        _ => Order::Fullest,
    };
    let request = v1::QueryUtilizationRequest {
        selector: asked.word("selector").into(),
        start_time: read.time("from"),
        end_time: read.time("to"),
        bucket: read.span("bucket"),
        page_size: read.number("size", LANES, LANES_MAX),
        page_token: asked.word("page").into(),
        order: order.into(),
    };
    read.finish(request)
}

/// The page of an answer.
pub(in crate::web) fn drawn(
    asked: &Asked,
    shown: &v1::QueryUtilizationResponse,
    found: &Findings,
) -> Page {
    let axis = Axis {
        start: say::ms_or_zero(shown.start_time.as_ref()),
        end: say::ms_or_zero(shown.end_time.as_ref()),
        now: say::ms_or_zero(shown.now.as_ref()),
    };
    let body = html! {
        (findings::listed(found, axis.now))
        section aria-labelledby="lanes" {
            h2 id="lanes" { "Lanes" }
            (frame::ranges(asked, &RANGES))
            (asking(asked))
            @if shown.lanes.is_empty() {
                p.empty { (nothing(asked, shown)) }
            } @else {
                (strip::legend())
                (lanes(shown, axis))
                (frame::pager(asked, &shown.next_page_token))
            }
        }
    };
    let flags = [("selector", ""), ("from", "--from"), ("to", "--to"), ("bucket", "--bucket")];
    let by_name = asked.word("order") == "name";
    let command = asked.command("tidegate report utilization", &flags);
    Page {
        place: Place::Fine,
        question: "Am I fine?".into(),
        about: None,
        answer: answer(asked, shown, found, axis),
        body,
        command: if by_name { command } else { format!("{command} --fullest") },
        now_ms: axis.now,
        refresh: Some(30),
    }
}

fn asking(asked: &Asked) -> Markup {
    const BUCKETS: [(&str, &str); 8] = [
        ("", "fitting"),
        ("1m", "1 minute"),
        ("5m", "5 minutes"),
        ("15m", "15 minutes"),
        ("1h", "1 hour"),
        ("3h", "3 hours"),
        ("12h", "12 hours"),
        ("1d", "1 day"),
    ];
    let fields = html! {
        (frame::field(asked, ("selector", "Lanes"), "all, network, links/*/forward"))
        (frame::field(asked, ("from", "From"), "-24h"))
        (frame::field(asked, ("to", "To"), "+24h"))
        (frame::choice(asked, ("bucket", "Cells of"), &BUCKETS))
        (frame::choice(asked, ("order", "First"), &[("", "the fullest"), ("name", "by name")]))
    };
    frame::form(asked, &fields)
}

fn nothing(asked: &Asked, shown: &v1::QueryUtilizationResponse) -> &'static str {
    if asked.word("selector").is_empty() && shown.lane_count == 0 {
        "There are no lanes yet. Declare a network with \u{201c}tidegate apply topology \
         FILE\u{201d}, and it appears here."
    } else {
        "No lane is meant by that. Write all, network, storage, or a name with * in it, such as \
         links/*/forward."
    }
}

/// What most is booked of a lane within some of its buckets.
#[derive(Clone, Copy, Debug)]
struct Most {
    peak: i64,
    capacity: i64,
    free: i64,
    at: i64,
}

/// The bucket that is fullest; the first among equals.
fn fullest<'a>(buckets: impl Iterator<Item = &'a v1::UtilizationBucket>) -> Option<Most> {
    let known = buckets.filter(|it| !it.unknown);
    let most = known.map(|it| Most {
        peak: it.peak_bps,
        capacity: it.capacity_bps,
        free: it.headroom_bps,
        at: say::ms_or_zero(it.start_time.as_ref()),
    });
    most.reduce(|most, it| {
        let more = say::permille(most.peak, most.capacity) < say::permille(it.peak, it.capacity);
        if more { it } else { most }
    })
}

/// Those buckets of which some part is to come.
fn ahead(
    lane: &v1::LaneUtilization,
    now: i64,
    bucket: i64,
) -> impl Iterator<Item = &v1::UtilizationBucket> {
    let is_ahead = move |it: &&v1::UtilizationBucket| {
        now < say::ms_or_zero(it.start_time.as_ref()).saturating_add(bucket)
    };
    lane.buckets.iter().filter(is_ahead)
}

fn answer(
    asked: &Asked,
    shown: &v1::QueryUtilizationResponse,
    found: &Findings,
    axis: Axis,
) -> Markup {
    let bucket = say::span_ms(shown.bucket.as_ref());
    let permille = |lane: &v1::LaneUtilization| {
        fullest(ahead(lane, axis.now, bucket)).map_or(0, |it| say::permille(it.peak, it.capacity))
    };
    let full = shown.lanes.iter().filter(|lane| 1000 <= permille(lane)).count();
    let nearly = shown.lanes.iter().filter(|lane| (NEARLY_FULL..1000).contains(&permille(lane)));
    let (full, nearly) = (reply::count(full), reply::count(nearly.count()));
    let lanes = say::counted(shown.lane_count, "lane", "lanes");
    let wrong = reply::count(found.0.len());
    let until = say::time_text(axis.end, axis.now);
    let these = if is_all(asked, shown) { "" } else { " of those on this page" };
    html! {
        @if shown.lane_count == 0 {
            "There is nothing to be booked yet."
        } @else {
            @if wrong == 0 {
                "Nothing is known to be wrong. "
            } @else {
                strong.alert { (say::counted(wrong, "lane is", "lanes are")) " not as promised" }
                ". "
            }
            @if axis.end <= axis.now {
                "This is the past of " (lanes) "."
            } @else if full == 0 && nearly == 0 {
                "None of " (lanes) " gets nearly full until " (until) (these) "."
            } @else if full == 0 {
                strong { (say::grouped(nearly)) " of " (lanes) (gets(nearly)) " nearly full" }
                " until " (until) (these) ", and none full."
            } @else {
                strong { (say::grouped(full)) " of " (lanes) (gets(full)) " full" }
                " until " (until) ", and " (say::grouped(nearly)) " more nearly so" (these) "."
            }
        }
    }
}

fn gets(count: i64) -> &'static str {
    if count == 1 { " gets" } else { " get" }
}

/// Whether every lane that is nearly full is on this page: it is the only one, or the first of those
/// with the fullest first, and ends with one that is not.
fn is_all(asked: &Asked, shown: &v1::QueryUtilizationResponse) -> bool {
    let is_first = asked.word("page").is_empty();
    let last = shown.lanes.last().and_then(|lane| fullest(lane.buckets.iter()));
    let low = last.is_none_or(|it| say::permille(it.peak, it.capacity) < NEARLY_FULL);
    is_first && (shown.next_page_token.is_empty() || (asked.word("order") != "name" && low))
}

/// A row for each lane: its name, its strip, and the numbers that matter.
fn lanes(shown: &v1::QueryUtilizationResponse, axis: Axis) -> Markup {
    let bucket = say::span_ms(shown.bucket.as_ref());
    html! {
        div.lanes role="table" aria-label="Lanes over time" data-start=(axis.start)
            data-step=(bucket) {
            div.lane.lane-head role="row" {
                span role="columnheader" { "Lane" }
                span.over role="columnheader" {
                    span.sr { "Booked over time" }
                    (axis.labels())
                }
                span.number role="columnheader" { "Now" }
                span.number role="columnheader" { "Most ahead" }
                span role="columnheader" { "When" }
                span.number role="columnheader" { "Free then" }
            }
            @for lane in &shown.lanes { (row(lane, axis, bucket)) }
        }
    }
}

fn row(lane: &v1::LaneUtilization, axis: Axis, bucket: i64) -> Markup {
    let begun = |it: &&v1::UtilizationBucket| say::ms_or_zero(it.start_time.as_ref()) <= axis.now;
    let now = ahead(lane, axis.now, bucket).next().filter(begun).filter(|it| !it.unknown);
    // Of a range that is over, the most that was.
    let most = fullest(ahead(lane, axis.now, bucket)).or_else(|| fullest(lane.buckets.iter()));
    let told = most.map_or_else(
        || "Nothing is known of it".to_owned(),
        |most| {
            let (part, at) =
                (say::part_text(most.peak, most.capacity), say::time_text(most.at, axis.now));
            format!("Booked over time: at most {part}, at {at}")
        },
    );
    html! {
        div.lane role="row" {
            span.lane-name role="rowheader" {
                a href=(lane_href(&lane.lane)) { (say::broken(&lane.lane)) }
                @if lane.drained { " " span.tag { "drained" } }
                @if lane.findings.iter().any(findings::is_alarming) {
                    " " span.tag.alert { "not as promised" }
                }
            }
            span.over role="cell" data-series=(strip::cells(lane, axis.now)) {
                (strip::strip(lane, axis, &told))
            }
            span.number role="cell" data-label="now" {
                @match now {
                    Some(it) => (say::part_of_rate(it.peak_bps, it.capacity_bps)),
                    None => "\u{2013}",
                }
            }
            span.number role="cell" data-label="most" {
                @match most {
                    Some(most) => (say::part_of_rate(most.peak, most.capacity)),
                    None => "\u{2013}",
                }
            }
            span.when role="cell" data-label="at" {
                @match most {
                    Some(most) if 0 < most.peak => (say::time_ms(most.at, axis.now)),
                    _ => "\u{2013}",
                }
            }
            span.number role="cell" data-label="free" {
                @match most {
                    Some(most) => (say::rate(most.free)),
                    None => "\u{2013}",
                }
            }
        }
    }
}

fn lane_href(lane: &str) -> String {
    say::href(lane).unwrap_or_else(|| format!("/lanes/{}", say::escaped(lane, true)))
}
