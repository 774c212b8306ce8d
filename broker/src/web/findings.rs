//! Lanes that are not as they should be, of all that there are.

use maud::{Markup, html};
use tidegate_policy::Span;
use tidegate_proto::v1;
use tidegate_proto::v1::finding::Kind;
use tidegate_proto::v1::report_service_server::ReportService;
use tonic::{Request, Status};

use crate::convert::reply;
use crate::rpc::Rpc;
use crate::web::say;

/// How many lanes are looked at in one go, and how often.
const LANES: i32 = 1000;
const PAGES_MAX: usize = 20;
/// How many are told at once.
const TOLD_MAX: usize = 20;

/// What was found.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Findings {
    /// The lane, and what is wrong with it.
    pub(super) all: Vec<(String, Vec<v1::Finding>)>,
    /// There are more lanes than were looked at.
    pub(super) more: bool,
}

/// What is found of the lanes that a selector means, with one bucket for the last day: what is wrong
/// does not depend on how the page is cut.
pub(super) async fn all(rpc: &Rpc, selector: &str) -> Result<Findings, Status> {
    let now = rpc.clock.now();
    let day = Span::from_secs(24 * 3600);
    let mut request = v1::QueryUtilizationRequest {
        selector: selector.into(),
        start_time: Some(reply::time(now.minus(day))),
        end_time: Some(reply::time(now)),
        bucket: Some(reply::duration(day)),
        page_size: LANES,
        ..Default::default()
    };
    let mut found = Findings::default();
    for _ in 0..PAGES_MAX {
        let page = rpc.query_utilization(Request::new(request.clone())).await?.into_inner();
        let wrong = page.lanes.into_iter().filter(|lane| !lane.findings.is_empty());
        found.all.extend(wrong.map(|lane| (lane.lane, lane.findings)));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(found);
        }
    }
    found.more = true;
    Ok(found)
}

/// What a finding says.
pub(super) fn told(finding: &v1::Finding) -> Markup {
    let (seen, meant) = (say::rate(finding.observed_bps), say::rate(finding.expected_bps));
    html! {
        @match finding.kind() {
            Kind::UnderDelivery => { "carries no more than " (seen) " where " (meant) " can be booked" },
            Kind::UnbookedTraffic => { "carries " (seen) " where " (meant) " was booked and set aside" },
            Kind::UnusedPromises => { "sessions moved " (seen) " where " (meant) " was promised to them" },
            Kind::Unspecified => { (seen) " instead of " (meant) },
        }
    }
}

fn head(kind: Kind) -> &'static str {
    match kind {
        Kind::UnderDelivery => "does not deliver",
        Kind::UnbookedTraffic => "unbooked traffic",
        Kind::UnusedPromises => "promises not used",
        Kind::Unspecified => "not as it should be",
    }
}

/// One finding in a line.
pub(super) fn line(finding: &v1::Finding, now_ms: i64) -> Markup {
    let alert = finding.kind() != Kind::UnusedPromises;
    html! {
        span.tag.alert[alert] { (head(finding.kind())) }
        " " (told(finding)) ", "
        (say::time(finding.start_time.as_ref(), now_ms)) " to "
        (say::time(finding.end_time.as_ref(), now_ms))
        @if !finding.observer.is_empty() { ", says " (finding.observer) }
        "."
    }
}

/// The list above everything else; nothing if nothing is wrong.
pub(super) fn listed(found: &Findings, now_ms: i64) -> Markup {
    let rest = found.all.len().saturating_sub(TOLD_MAX);
    html! {
        @if !found.all.is_empty() {
            section.findings aria-labelledby="findings" {
                h2 id="findings" { "Not as promised" }
                ul {
                    @for (lane, findings) in found.all.iter().take(TOLD_MAX) {
                        @for finding in findings {
                            li { (say::name(lane)) " " (line(finding, now_ms)) }
                        }
                    }
                }
                @if rest != 0 {
                    p { "And " (say::counted(reply::count(rest), "more lane", "more lanes")) "." }
                }
            }
        }
        @if found.more {
            p.note { "Only the first 20,000 lanes by name were looked at: narrow the selector." }
        }
    }
}
