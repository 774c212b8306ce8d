//! *When full?*: how much of each lane is likely to be booked, those that run full soonest first.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use tidegate_proto::v1;
use tidegate_proto::v1::lane_forecast::Basis;
use tidegate_proto::v1::report_service_server::ReportService;
use tonic::{Request, Status};

use crate::convert::reply;
use crate::rpc::Rpc;
use crate::web::ask::Asked;
use crate::web::draw::axis::Axis;
use crate::web::draw::forecast::{forecast, numbers};
use crate::web::frame::{self, Page, Place};
use crate::web::{json, say};

const LANES: i32 = 10;
const LANES_MAX: i32 = 50;
const RANGES: [(&str, &str, &str); 4] =
    [("3 days", "", "+72h"), ("1 week", "", ""), ("4 weeks", "", "+28d"), ("90 days", "", "+90d")];

pub(super) async fn page(State(rpc): State<Rpc>, asked: Asked) -> Response {
    frame::answer(&asked, make(&rpc, &asked).await)
}

async fn make(rpc: &Rpc, asked: &Asked) -> Result<Response, Status> {
    let mut read = asked.read(rpc.clock.now());
    let request = v1::ForecastUtilizationRequest {
        selector: asked.word("selector").into(),
        end_time: read.time("to"),
        bucket: read.span("bucket"),
        page_size: read.number("size", LANES, LANES_MAX),
        page_token: asked.word("page").into(),
    };
    let request = Request::new(read.finish(request)?);
    let shown = rpc.forecast_utilization(request).await?.into_inner();
    if asked.is_json() {
        return json::response("ForecastUtilizationResponse", &shown);
    }
    Ok(drawn(asked, &shown).response(asked))
}

/// The page of an answer.
pub(in crate::web) fn drawn(asked: &Asked, shown: &v1::ForecastUtilizationResponse) -> Page {
    let now = say::ms_or_zero(shown.now.as_ref());
    let step = say::span_ms(shown.bucket.as_ref());
    let buckets = [("", "fitting"), ("1h", "1 hour"), ("1d", "1 day")];
    let fields = html! {
        (frame::field(asked, ("selector", "Lanes"), "all, network, links/*/forward"))
        (frame::field(asked, ("to", "Until"), "+7d"))
        (frame::choice(asked, ("bucket", "Steps of"), &buckets))
    };
    let body = html! {
        (frame::ranges(asked, &RANGES))
        (frame::form(asked, &fields))
        @if shown.lanes.is_empty() {
            p.empty { "There is no lane to look ahead on." }
        } @else {
            (frame::table(
                "Those that run full soonest first, then those that get fullest",
                &["Lane", "Likely full", "Earliest", "Full by bookings", "#Likely at most",
                    "#Trend a day", "Rests on"],
                &rows(shown, now),
            ))
            (legend())
            @for (index, lane) in shown.lanes.iter().enumerate() {
                (picture(lane, index, (now, step)))
            }
            (frame::pager(asked, &shown.next_page_token))
        }
    };
    let flags = [("selector", ""), ("to", "--to"), ("bucket", "--bucket")];
    Page {
        place: Place::Forecast,
        question: "When will it be full?".into(),
        about: None,
        answer: answer(shown, now),
        body,
        command: asked.command("tidegate report forecast", &flags),
        now_ms: now,
        refresh: None,
    }
}

fn answer(shown: &v1::ForecastUtilizationResponse, now: i64) -> Markup {
    let full = shown.lanes.iter().filter(|it| it.full_time.is_some()).count();
    let first = shown.lanes.first().and_then(|it| Some((it, it.full_time.as_ref()?)));
    let ever = shown.lanes.first().and_then(|it| Some((it, it.earliest_full_time.as_ref()?)));
    html! {
        @match (first, ever) {
            (Some((lane, at)), _) => {
                (say::name(&lane.lane)) " is likely to be "
                strong { "full " (say::from_now(say::ms(at), now)) }
                ", " (say::time(Some(at), now))
                @if 1 < full {
                    "; so are " (say::grouped(reply::count(full.saturating_sub(1))))
                    " more of those below"
                }
                "."
            },
            (None, Some((lane, at))) => {
                "None is likely to be full in this time; at the earliest it might be "
                (say::name(&lane.lane)) ", " (say::time(Some(at), now)) "."
            },
            (None, None) if shown.lanes.is_empty() => "There is nothing to be booked yet.",
            (None, None) => "None is likely to be full in this time.",
        }
    }
}

fn basis(lane: &v1::LaneForecast) -> String {
    let hours = say::counted(lane.history_hours_count, "hour", "hours");
    match lane.basis() {
        Basis::Unspecified => "not said".into(),
        Basis::Bookings => format!("what is booked only: {hours} of the past are known"),
        Basis::Daily => format!("hours of the day and trend, of {hours}"),
        Basis::Weekly => format!("hours of the week and trend, of {hours}"),
    }
}

fn rows(shown: &v1::ForecastUtilizationResponse, now: i64) -> Markup {
    let part = |it: &v1::ForecastBucket| say::permille(it.expected_bps, it.capacity_bps);
    html! {
        @for lane in &shown.lanes {
            @let most = lane.buckets.iter().reduce(|most, it| if part(most) < part(it) { it } else { most });
            tr {
                td.first { (say::name(&lane.lane)) }
                td { (say::time(lane.full_time.as_ref(), now)) }
                td { (say::time(lane.earliest_full_time.as_ref(), now)) }
                td { (say::time(lane.booked_full_time.as_ref(), now)) }
                td.number {
                    @match most {
                        Some(it) => (say::part_of_rate(it.expected_bps, it.capacity_bps)),
                        None => "\u{2013}",
                    }
                }
                td.number { (say::change(lane.trend_bps)) }
                td.text { (basis(lane)) }
            }
        }
    }
}

fn picture(lane: &v1::LaneForecast, index: usize, (now, step): (i64, i64)) -> Markup {
    let start = lane.buckets.first().map_or(now, |it| say::ms_or_zero(it.start_time.as_ref()));
    let length = step.saturating_mul(reply::count(lane.buckets.len()));
    let axis = Axis { start, end: start.saturating_add(length), now };
    html! {
        section aria-labelledby={ "lane-" (index) } {
            h2.small-head id={ "lane-" (index) } { (say::name(&lane.lane)) }
            figure.picture data-start=(start) data-step=(step) data-series=(numbers(lane)) {
                (forecast(lane, axis, index))
                (axis.labels())
            }
        }
    }
}

fn legend() -> Markup {
    let area = |class: &str| {
        html! {
            svg.swatch width="14" height="14" aria-hidden="true" {
                rect.(class) width="14" height="14" {}
            }
        }
    };
    let line = |class: &str| {
        html! {
            svg.swatch width="22" height="14" aria-hidden="true" {
                line.(class) x1="0" x2="22" y1="7" y2="7" {}
            }
        }
    };
    html! {
        ul.legend aria-label="Legend" {
            li { (area("booked")) "booked already" }
            li { (line("line expected")) "likely in the end" }
            li { (area("band")) "four of five outcomes" }
            li { (line("line capacity")) "what it can carry" }
            li { (line("full-mark")) "likely full" }
        }
    }
}
