//! *What holds this lane?*: who has how much of it until when, under what it can carry.

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use tidegate_core::Fault;
use tidegate_core::lane::LaneName;
use tidegate_proto::v1;
use tidegate_proto::v1::report_service_server::ReportService;
use tonic::{Request, Status};

use super::reservations::short;
use crate::convert::reply;
use crate::rpc::Rpc;
use crate::status::Failure;
use crate::web::ask::{Asked, quoted};
use crate::web::draw::axis::Axis;
use crate::web::draw::lane::{Layer, colour, numbers, stack};
use crate::web::frame::{self, Page, Place};
use crate::web::holders::{self, Holder, Holders};
use crate::web::{findings, json, say};

const RANGES: [(&str, &str, &str); 5] = [
    ("\u{b1} 6 h", "-6h", "+6h"),
    ("\u{b1} 1 day", "", ""),
    ("Next 3 days", "now", "+72h"),
    ("Next 2 weeks", "now", "+14d"),
    ("Past week", "-7d", "now"),
];
/// How many holders are drawn apart: more nobody can tell apart.
const DRAWN_MAX: usize = 24;

pub(super) async fn page(
    State(rpc): State<Rpc>,
    Path(lane): Path<String>,
    asked: Asked,
) -> Response {
    frame::answer(&asked, make(&rpc, &lane, &asked).await)
}

async fn make(rpc: &Rpc, lane: &str, asked: &Asked) -> Result<Response, Status> {
    let missing = || Failure::from(Fault::NotFound { what: lane.into() });
    let mut read = asked.read(rpc.clock.now());
    let request = v1::QueryUtilizationRequest {
        selector: lane.into(),
        start_time: read.time("from"),
        end_time: read.time("to"),
        bucket: read.span("bucket"),
        page_size: 1,
        ..Default::default()
    };
    let shown = rpc.query_utilization(Request::new(read.finish(request)?)).await?.into_inner();
    // A selector that means several is no lane.
    let found = shown.lanes.iter().find(|found| found.lane == lane).ok_or_else(missing)?;
    if asked.is_json() {
        return json::response("QueryUtilizationResponse", &shown);
    }
    let axis = Axis {
        start: say::ms_or_zero(shown.start_time.as_ref()),
        end: say::ms_or_zero(shown.end_time.as_ref()),
        now: say::ms_or_zero(shown.now.as_ref()),
    };
    let holders = match holders::range(axis.start, axis.end) {
        Some(range) => holders::of_lane(rpc, &LaneName::new(lane), range).await,
        None => Holders::default(),
    };
    let step = say::span_ms(shown.bucket.as_ref());
    Ok(drawn(asked, (found, step), axis, &holders).response(asked))
}

/// The page of an answer: the lane, how long its buckets are, and who holds it.
pub(in crate::web) fn drawn(
    asked: &Asked,
    (lane, step): (&v1::LaneUtilization, i64),
    axis: Axis,
    holders: &Holders,
) -> Page {
    let layers = layers(lane, step, axis, holders);
    let flags = [("from", "--from"), ("to", "--to"), ("bucket", "--bucket")];
    let command = format!("tidegate report utilization {}", quoted(&lane.lane));
    let body = html! {
        @if !lane.findings.is_empty() {
            section.findings aria-label="Not as promised" {
                ul { @for it in &lane.findings { li { (findings::line(it, axis.now)) } } }
            }
        }
        (frame::ranges(asked, &RANGES))
        figure.picture data-start=(axis.start) data-step=(step) data-series=(numbers(lane, axis.now)) {
            (stack(lane, axis, &layers))
            (axis.labels())
            (legend(lane))
        }
        (table(holders, axis.now))
        (frame::table(
            "Bucket by bucket",
            &["From", "#Capacity", "#Booked", "#At most", "#Free at least", "#Used", "#Observed"],
            &buckets(lane, axis.now),
        ))
    };
    Page {
        place: Place::Inner,
        question: "What holds this lane?".into(),
        about: Some(html! {
            code { (say::broken(&lane.lane)) }
            @if lane.drained { " " span.tag { "drained: it takes nothing new" } }
        }),
        answer: answer(lane, step, axis, holders),
        body,
        command: asked.command(&command, &flags),
        now_ms: axis.now,
        refresh: Some(30),
    }
}

/// The bucket in which now lies.
fn present(lane: &v1::LaneUtilization, step: i64, now: i64) -> Option<&v1::UtilizationBucket> {
    lane.buckets.iter().find(|it| {
        let start = say::ms_or_zero(it.start_time.as_ref());
        start <= now && now < start.saturating_add(step)
    })
}

fn answer(lane: &v1::LaneUtilization, step: i64, axis: Axis, holders: &Holders) -> Markup {
    let count = holders.apart.len().saturating_add(holders.others);
    let now = present(lane, step, axis.now).filter(|it| !it.unknown);
    let ahead = lane
        .buckets
        .iter()
        .filter(|it| axis.now < say::ms_or_zero(it.start_time.as_ref()).saturating_add(step));
    let tightest = ahead.filter(|it| !it.unknown).min_by_key(|it| it.headroom_bps);
    html! {
        @match holders.apart.first() {
            None => "Nobody holds it in this range. ",
            Some(first) => {
                strong { (say::counted(reply::count(count), "reservation", "reservations")) }
                @if count == 1 { " holds it: " } @else { " hold it, the largest is " }
                (short(&first.name))
                ", until " (say::time_ms(first.over.end().as_ms(), axis.now)) ". "
            },
        }
        @if let Some(now) = now {
            "Booked now: " (say::part_of_rate(now.peak_bps, now.capacity_bps)) " of "
            (say::rate(now.capacity_bps)) ". "
        }
        @if let Some(tightest) = tightest {
            "Tightest ahead: " (say::rate(tightest.headroom_bps)) " free at "
            (say::time(tightest.start_time.as_ref(), axis.now)) "."
        }
    }
}

/// Holders upon each other, and above them what others have and had.
fn layers(lane: &v1::LaneUtilization, step: i64, axis: Axis, holders: &Holders) -> Vec<Layer> {
    let count = lane.buckets.len();
    let mut rest: Vec<i64> = lane.buckets.iter().map(|it| it.booked_bps).collect();
    let mut layers = Vec::new();
    for (index, holder) in holders.apart.iter().take(DRAWN_MAX).enumerate() {
        let amounts = holder.means(axis.start, step, count);
        // Never above what is booked in all: the two were not read in the same instant.
        let amounts: Vec<i64> =
            amounts.iter().zip(&rest).map(|(amount, rest)| *amount.min(rest)).collect();
        for (rest, amount) in rest.iter_mut().zip(&amounts) {
            *rest = rest.saturating_sub(*amount);
        }
        layers.push(Layer {
            told: format!(
                "{}: at most {}, until {}",
                holder.name,
                say::rate_text(reply::int(holder.peak)),
                say::time_text(holder.over.end().as_ms(), axis.now),
            ),
            href: say::href(&holder.name),
            class: colour(index),
            amounts,
        });
    }
    layers.push(Layer {
        told: "Others, and those that are over and forgotten".into(),
        href: None,
        class: "others",
        amounts: rest,
    });
    layers
}

fn legend(lane: &v1::LaneUtilization) -> Markup {
    let line = |class: &str| {
        html! {
            svg.swatch width="22" height="14" aria-hidden="true" {
                line.line.(class) x1="0" x2="22" y1="7" y2="7" {}
            }
        }
    };
    let area = |class: &str, fill: Option<&str>| {
        html! {
            svg.swatch width="14" height="14" aria-hidden="true" {
                rect.(class) width="14" height="14" fill=[fill] {}
            }
        }
    };
    let observed = lane.buckets.iter().any(|it| it.observed_bps.is_some());
    html! {
        ul.legend aria-label="Legend" {
            li { (line("capacity")) "what it can carry" }
            li { (area("c0", None)) (area("c1", None)) (area("c2", None)) "holders, as in the table" }
            li { (area("others", None)) "others" }
            li { (line("used")) "used, as sessions report it (payload)" }
            @if observed { li { (line("observed")) "observed to cross it" } }
            li { (area("outage", Some("url(#hatch)"))) "maintenance" }
            li { (area("unknown", Some("url(#unknown)"))) "not known" }
        }
    }
}

fn table(holders: &Holders, now: i64) -> Markup {
    let rows = html! {
        @for (index, holder) in holders.apart.iter().enumerate() { (row(index, holder, now)) }
        @if holders.others != 0 {
            tr {
                td.first { "and " (say::count(reply::count(holders.others))) " smaller ones" }
                td {} td {} td {} td {} td {}
            }
        }
    };
    html! {
        @if holders.apart.is_empty() {
            p.empty { "No reservation that is known books anything here in this range." }
        } @else {
            (frame::table(
                "Who holds it, the largest first",
                &["Reservation", "From where to where", "For", "#At most", "Since", "Until"],
                &rows,
            ))
        }
    }
}

fn row(index: usize, holder: &Holder, now: i64) -> Markup {
    let class = if index < DRAWN_MAX { colour(index) } else { "others" };
    html! {
        tr {
            td.first {
                svg.swatch width="14" height="14" aria-hidden="true" {
                    rect.(class) width="14" height="14" {}
                }
                (short(&holder.name))
            }
            td { (say::broken(&holder.source)) " \u{2192} " (say::broken(&holder.destination)) }
            td { (holder.whom) }
            td.number { (say::rate(reply::int(holder.peak))) }
            td { (say::time_ms(holder.over.start().as_ms(), now)) }
            td { (say::time_ms(holder.over.end().as_ms(), now)) }
        }
    }
}

fn buckets(lane: &v1::LaneUtilization, now: i64) -> Markup {
    // Neighbours that say the same are one row.
    let same = |a: &v1::UtilizationBucket, b: &v1::UtilizationBucket| {
        v1::UtilizationBucket { start_time: None, ..*a }
            == v1::UtilizationBucket { start_time: None, ..*b }
    };
    html! {
        @for run in lane.buckets.chunk_by(same) {
            @if let Some(it) = run.first() {
                tr {
                    td.first { (say::time(it.start_time.as_ref(), now)) }
                    @if it.unknown {
                        td colspan="6" { "not known" }
                    } @else {
                        td.number { (say::rate(it.capacity_bps)) }
                        td.number { (say::rate(it.booked_bps)) }
                        td.number { (say::rate(it.peak_bps)) }
                        td.number { (say::rate(it.headroom_bps)) }
                        td.number { (say::rate(it.used_bps)) }
                        td.number {
                            @match it.observed_bps {
                                Some(bps) => (say::rate(bps)),
                                None => "\u{2013}",
                            }
                        }
                    }
                }
            }
        }
    }
}
