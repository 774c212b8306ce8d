//! Lanes that are not as they should be, of all that there are.

use std::collections::BTreeMap;

use maud::{Markup, html};
use tidegate_policy::Selector;
use tidegate_proto::v1;
use tidegate_proto::v1::finding::Kind;
use tonic::Status;

use crate::convert::reply;
use crate::deadline;
use crate::reports::observed;
use crate::rpc::Rpc;
use crate::status::Failure;
use crate::web::say;

/// How many lanes are told at once.
const TOLD_MAX: usize = 20;

/// What was found: of each lane, what is wrong with it.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Findings(pub(super) Vec<(String, Vec<v1::Finding>)>);

/// What was observed to be wrong with the lanes that a selector means, whichever of them a page shows.
pub(super) async fn all(rpc: &Rpc, selector: &str) -> Result<Findings, Status> {
    // Whether it is one was told by the report that was asked for with it.
    let selector = selector.parse::<Selector>().ok();
    let found = rpc.report(deadline::of_one(), move |_, look| {
        let mut found: BTreeMap<String, Vec<v1::Finding>> = BTreeMap::new();
        for (key, finding) in look.findings().map_err(Failure::from)? {
            let lane = observed::lane_of(&key);
            if selector.as_ref().is_none_or(|selector| selector.takes(lane)) {
                found.entry(lane.to_owned()).or_default().push(finding);
            }
        }
        Ok(Findings(found.into_iter().collect()))
    });
    Ok(found.await?.into_inner())
}

/// Whether it says that a lane is not what was promised of it: unused promises are their holders'.
pub(super) fn is_alarming(finding: &v1::Finding) -> bool {
    finding.kind() != Kind::UnusedPromises
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
    html! {
        span.tag.alert[is_alarming(finding)] { (head(finding.kind())) }
        " " (told(finding)) ", "
        (say::time(finding.start_time.as_ref(), now_ms)) " to "
        (say::time(finding.end_time.as_ref(), now_ms))
        @if !finding.observer.is_empty() { ", says " (finding.observer) }
        "."
    }
}

/// The list above everything else; nothing if nothing is wrong.
pub(super) fn listed(found: &Findings, now_ms: i64) -> Markup {
    let rest = found.0.len().saturating_sub(TOLD_MAX);
    html! {
        @if !found.0.is_empty() {
            section.findings aria-labelledby="findings" {
                h2 id="findings" { "Not as promised" }
                ul {
                    @for (lane, findings) in found.0.iter().take(TOLD_MAX) {
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
    }
}
