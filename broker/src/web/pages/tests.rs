//! Pages from answers that mean ill, and from as much as an answer can have.

use maud::Markup;
use tidegate_proto::v1;

use super::{
    events, fine, forecast, lane, projects, refusals, reservation, reservations, statement,
};
use crate::web::ask::Asked;
use crate::web::draw::axis::Axis;
use crate::web::draw::testing::is_well_formed;
use crate::web::findings::Findings;
use crate::web::frame::Page;
use crate::web::holders::Holders;
use crate::web::say;

/// A name that would be markup, an attribute or a path, if anybody let it.
const HOSTILE: &str = "links/\"><script>alert(1)</script>&'/../forward";
const NOW: i64 = 1_764_451_200_000;

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: NOW / 1000 + seconds, nanos: 0 })
}

/// Whether a page is HTML, and nothing in it is more than text; the page.
fn checked(page: &Page) -> String {
    let query = "selector=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&from=%27&project=%3Cb%3E";
    let shown: Markup = page.markup(&Asked::of("/x\"><script>", query));
    let shown = shown.into_string();
    assert_eq!(is_well_formed(&shown), Ok(()), "{}", page.question);
    assert!(!shown.contains("<script>"), "{}", page.question);
    // No rule of the page's policy has to hold these back.
    for forbidden in [" style=\"", " onclick", " onload", "javascript:", "<b>"] {
        assert!(!shown.contains(forbidden), "{forbidden} on {}", page.question);
    }
    assert!(shown.contains("<h1>") && shown.contains("UTC"), "{}", page.question);
    shown
}

fn asked() -> Asked {
    Asked::of("/x", "selector=%3Cb%3E&page=%22%3E")
}

fn busy(index: i64, peak: i64) -> v1::UtilizationBucket {
    v1::UtilizationBucket {
        start_time: at((index - 10) * 60),
        capacity_bps: 1000,
        booked_bps: peak / 2,
        peak_bps: peak,
        headroom_bps: 1000 - peak,
        used_bps: peak / 3,
        observed_bps: Some(peak / 4),
        unknown: index == 3,
        ..Default::default()
    }
}

fn finding() -> v1::Finding {
    v1::Finding {
        kind: 1,
        observed_bps: 1,
        expected_bps: 2,
        start_time: at(-60),
        end_time: at(0),
        observer: HOSTILE.into(),
    }
}

fn utilization() -> v1::LaneUtilization {
    v1::LaneUtilization {
        lane: HOSTILE.into(),
        buckets: (0..20).map(|index| busy(index, index * 50)).collect(),
        findings: vec![finding()],
        outages: vec![v1::Outage { start_time: at(60), end_time: at(180), left_bps: 100 }],
        drained: true,
    }
}

fn consumption() -> v1::Consumption {
    v1::Consumption {
        promised_bytes: 10,
        used_bytes: 4,
        wasted_bytes: 3,
        unreported_bytes: 3,
        granted_count: 2,
        refused_count: 1,
    }
}

fn group() -> v1::RefusalGroup {
    v1::RefusalGroup {
        reason: 3,
        project: format!("projects/{HOSTILE}"),
        class: format!("classes/{HOSTILE}"),
        bottleneck: HOSTILE.into(),
        refused_count: 3,
        asked_bps: 5,
        least_missing_bps: 1,
        most_missing_bps: 2,
        offered_count: 1,
        last_offer: Some(v1::CounterOffer {
            kind: 1,
            source: HOSTILE.into(),
            volume_bytes: 7,
            ..Default::default()
        }),
        last_time: at(-1),
    }
}

fn limit() -> v1::EffectiveLimit {
    let amount = |bps| Some(v1::Amount { of: Some(v1::amount::Of::RateBps(bps)) });
    v1::EffectiveLimit {
        limit: v1::Limit::Rate.into(),
        allowed: amount(10),
        used: amount(12),
        project: format!("projects/{HOSTILE}"),
        principal: HOSTILE.into(),
        selector: HOSTILE.into(),
        lane: HOSTILE.into(),
        ..Default::default()
    }
}

fn promised() -> v1::Reservation {
    v1::Reservation {
        name: format!("projects/{HOSTILE}/reservations/1"),
        state: v1::reservation::State::Held.into(),
        source: HOSTILE.into(),
        destination: HOSTILE.into(),
        rate_bps: 5,
        start_time: at(0),
        end_time: at(600),
        hold_until_time: at(60),
        session: HOSTILE.into(),
        bookings: vec![v1::Booking { lane: HOSTILE.into(), booked_bps: 6 }],
        segments: vec![v1::Segment {
            rate_bps: 5,
            start_time: at(0),
            end_time: at(600),
            ..Default::default()
        }],
        ways: vec![
            v1::PlanWay {
                source: HOSTILE.into(),
                via: vec![HOSTILE.into()],
                ..Default::default()
            };
            2
        ],
        class: format!("classes/{HOSTILE}"),
        principal: HOSTILE.into(),
        labels: [(HOSTILE.to_owned(), HOSTILE.to_owned())].into(),
        ..Default::default()
    }
}

#[test]
fn lanes_that_mean_ill_are_only_text() {
    let lane = utilization();
    let shown = v1::QueryUtilizationResponse {
        lanes: vec![lane.clone()],
        next_page_token: HOSTILE.into(),
        bucket: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        start_time: at(-600),
        end_time: at(600),
        now: at(0),
        lane_count: 2,
    };
    let found = Findings(vec![(HOSTILE.into(), vec![finding()])]);
    let page = checked(&fine::drawn(&asked(), &shown, &found));
    assert!(page.contains("1 lane is</strong>") || page.contains("1 lane is not as promised"));
    let axis = Axis { start: NOW - 600_000, end: NOW + 600_000, now: NOW };
    let page = checked(&lane::drawn(&asked(), (&lane, 60_000), axis, &Holders::default()));
    assert!(page.contains("drained"));
    let forecast = v1::LaneForecast {
        lane: HOSTILE.into(),
        buckets: vec![v1::ForecastBucket { capacity_bps: 9, high_bps: 11, ..Default::default() }],
        full_time: at(60),
        ..Default::default()
    };
    let shown = v1::ForecastUtilizationResponse {
        lanes: vec![forecast],
        next_page_token: HOSTILE.into(),
        bucket: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        now: at(0),
    };
    assert!(checked(&forecast::drawn(&asked(), &shown)).contains("full in"));
}

#[test]
fn people_who_mean_ill_are_only_text() {
    let consumer =
        v1::Consumer { name: format!("projects/{HOSTILE}"), consumption: Some(consumption()) };
    let shown = v1::ListTopConsumersResponse {
        consumers: vec![consumer.clone(); 2],
        next_page_token: HOSTILE.into(),
        total: Some(consumption()),
        start_time: at(-60),
        end_time: at(0),
    };
    checked(&projects::drawn(&asked(), &shown, &[Some(limit()), None], NOW));
    let shown = v1::AggregateRefusalsResponse {
        groups: vec![group()],
        next_page_token: HOSTILE.into(),
        refused_count: 3,
        granted_count: 1,
        start_time: at(-60),
        end_time: at(0),
    };
    assert!(checked(&refusals::drawn(&asked(), &shown, NOW)).contains("75"));
    let period = v1::StatementPeriod { start_time: at(-60), consumption: Some(consumption()) };
    let shown = v1::UsageStatement {
        name: format!("projects/{HOSTILE}"),
        start_time: at(-60),
        end_time: at(0),
        total: Some(consumption()),
        projects: vec![consumer; 2],
        periods: vec![period],
        refusals: vec![group()],
        limits: vec![limit()],
    };
    checked(&statement::drawn(&asked(), &shown, NOW));
}

#[test]
fn reservations_that_mean_ill_are_only_text() {
    let it = promised();
    let later = v1::Reservation { close_time: at(1), state: 3, ..it.clone() };
    let past = [
        reservation::Past { before: Some(it.clone()), after: Some(later.clone()) },
        reservation::Past { before: None, after: Some(it.clone()) },
        reservation::Past { before: Some(it.clone()), after: None },
    ];
    checked(&reservation::drawn(&it, &past, NOW));
    let shown = v1::ListReservationsResponse {
        reservations: vec![it.clone()],
        next_page_token: HOSTILE.into(),
    };
    checked(&reservations::drawn(&asked(), &shown, 1, NOW));
    let session = v1::Session { agent: HOSTILE.into(), name: HOSTILE.into(), ..Default::default() };
    let shown =
        v1::ListSessionsResponse { sessions: vec![session], next_page_token: HOSTILE.into() };
    let changes =
        [events::change(Some(&it), Some(&later), NOW), events::change(None, Some(&it), NOW)];
    let page = checked(&events::drawn(&asked(), &shown, (1, &changes), NOW));
    assert!(page.contains("data-stream=\"/events/stream\""));
}

#[test]
fn the_largest_page_is_bounded_whatever_is_booked() {
    // As many cells as an answer may have, no two neighbours alike.
    let lane = |index: i64| v1::LaneUtilization {
        lane: format!("links/pod-{index:04}-leaf-{index:04}--spine-{index:04}/forward"),
        buckets: (0..250)
            .map(|cell| v1::UtilizationBucket {
                used_bps: (cell * 13 + index) % 97,
                unknown: false,
                ..busy(cell, (cell * 379 + index * 31) % 1003)
            })
            .collect(),
        ..Default::default()
    };
    let shown = v1::QueryUtilizationResponse {
        lanes: (0..200).map(lane).collect(),
        next_page_token: "200".into(),
        bucket: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        start_time: at(-600),
        end_time: at(14_400),
        now: at(0),
        lane_count: 5000,
    };
    let page = checked(&fine::drawn(&asked(), &shown, &Findings::default()));
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    assert_eq!(page.matches("role=\"row\"").count(), 201);
    assert!(page.contains(&say::counted(5000, "lane", "lanes")));
}
