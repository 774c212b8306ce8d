//! Windows and explanations for the wire.

use tidegate_core::Machine;
use tidegate_core::machine::{Availability, Holder, LaneCheck, WayCheck, Window, Windows};
use tidegate_proto::v1;

use super::reply::{hosts, int, name_in, source, time};

pub(crate) fn windows(windows: &Windows) -> v1::FindWindowsResponse {
    v1::FindWindowsResponse {
        windows: windows.windows.iter().map(window).collect(),
        availability: windows.availability.iter().map(availability).collect(),
    }
}

fn window(window: &Window) -> v1::Window {
    v1::Window {
        source: source(&window.route),
        via: hosts(window.route.via()),
        path: window.route.path().map(i32::from),
        start_time: Some(time(window.over.start())),
        end_time: Some(time(window.over.end())),
        rate_bps: int(window.rate.bps()),
    }
}

fn availability(free: &Availability) -> v1::Availability {
    let steps = free
        .steps
        .iter()
        .map(|(from, rate)| v1::Step { start_time: Some(time(*from)), rate_bps: int(rate.bps()) });
    v1::Availability {
        source: source(&free.route),
        via: hosts(free.route.via()),
        path: free.route.path().map(i32::from),
        steps: steps.collect(),
        until_time: Some(time(free.until)),
    }
}

pub(crate) fn way(check: &WayCheck, machine: &Machine) -> v1::Way {
    v1::Way {
        source: source(&check.route),
        via: hosts(check.route.via()),
        path: check.route.path().map(i32::from),
        fits: check.fits,
        highest_bps: int(check.highest.bps()),
        earliest_time: check.earliest.map(time),
        lanes: check.lanes.iter().map(|check| lane(check, machine)).collect(),
    }
}

fn lane(check: &LaneCheck, machine: &Machine) -> v1::LaneCheck {
    v1::LaneCheck {
        lane: check.lane.to_string(),
        limit_bps: int(check.limit),
        booked_bps: int(check.booked),
        free_bps: int(check.free),
        needed_bps: int(check.needed),
        tightest_time: Some(time(check.tightest)),
        first_free_time: check.first_free.map(time),
        drained: check.drained,
        holders: check.holders.iter().map(|it| holder(it, machine)).collect(),
    }
}

fn holder(holder: &Holder, machine: &Machine) -> v1::Holder {
    v1::Holder {
        reservation: name_in(machine, holder.id),
        booked_bps: int(holder.amount),
        end_time: Some(time(holder.end)),
    }
}
