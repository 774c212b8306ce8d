//! Plans and promises for the wire.

use tidegate_core::{Plan, PlanWay, Promised, Segment};
use tidegate_policy::Timestamp;
use tidegate_proto::v1;
use tidegate_proto::v1::reservation::Promise;

use super::reply::{duration, hosts, int, source, steers, time};

/// The segments of a plan as they stand at `now`.
pub(super) fn segments(plan: &Plan, now: Timestamp) -> Vec<v1::Segment> {
    plan.segments.iter().map(|it| segment(it, now)).collect()
}

/// Those that are not over; if all are, the last one, because no segments at all would say that
/// one rate is all of the plan.
pub(super) fn segments_left(plan: &Plan, now: Timestamp) -> Vec<v1::Segment> {
    let last = plan.segments.iter().map(|it| it.over.end()).max();
    let left = |end| now < end || Some(end) == last;
    let left = plan.segments.iter().filter(|it| left(it.over.end()));
    left.map(|it| segment(it, now)).collect()
}

fn segment(segment: &Segment, now: Timestamp) -> v1::Segment {
    let (start, end) = (segment.over.start(), segment.over.end());
    v1::Segment {
        way: i32::try_from(segment.way).unwrap_or(i32::MAX),
        rate_bps: int(segment.rate.bps()),
        start_time: Some(time(start)),
        end_time: Some(time(end)),
        starts_in: Some(duration(start.since(now))),
        ends_in: Some(duration(end.since(now))),
    }
}

/// The ways of a plan, in the order in which its segments count them.
pub(super) fn ways(plan: &Plan) -> Vec<v1::PlanWay> {
    plan.ways.iter().map(way).collect()
}

fn way(way: &PlanWay) -> v1::PlanWay {
    let PlanWay { route, lanes } = way;
    v1::PlanWay {
        source: source(route),
        via: hosts(route.via()),
        path: route.path().map(i32::from),
        steers: steers(route.steers()),
        lanes: lanes.iter().map(ToString::to_string).collect(),
    }
}

/// What is promised, with its times settled.
pub(super) fn promise(promised: Promised) -> Promise {
    match promised {
        Promised::Span { min, max, span, window } => Promise::Flexible(v1::Flexible {
            min_bps: int(min.bps()),
            max_bps: int(max.bps()),
            duration: Some(duration(span)),
            window_start_time: Some(time(window.start())),
            window_end_time: Some(time(window.end())),
        }),
        Promised::Volume { volume, min, max, window, split } => Promise::Transfer(v1::Transfer {
            volume_bytes: int(volume.bytes()),
            min_bps: int(min.bps()),
            max_bps: int(max.bps()),
            start_time: Some(time(window.start())),
            deadline: Some(time(window.end())),
            split,
        }),
    }
}
