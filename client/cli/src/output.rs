//! Tables for people and JSON for programs, both to standard output.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::{Value, json};
use tidegate_client::refusal::{OfferKind, Refusal, RefusalReason};
use tidegate_client::reservation::{CloseReason, Phase, Reservation, State};
use tidegate_client::topology::{Applied, ChangeKind, Lane, ServerInfo};
use tidegate_policy::{BitRate, Endpoint};

/// Prints what was asked for.
#[allow(clippy::print_stdout, reason = "what the command was asked for")]
pub(crate) fn print(text: impl std::fmt::Display) {
    println!("{text}");
}

/// Prints JSON. Numbers wear their unit in the key; rates and sizes stay below 2^53.
pub(crate) fn print_json(value: &Value) {
    print(format_args!("{value:#}"));
}

/// A table with a header line and no borders: easy to read, easy to cut.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    table.add_rows(rows);
    for index in numbers {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

pub(crate) fn state(reservation: &Reservation) -> String {
    match (reservation.state, reservation.phase) {
        (State::Held { until }, _) => format!("held until {until}"),
        (State::Confirmed, Phase::Scheduled) => "scheduled".into(),
        (State::Confirmed, Phase::Active) => "active".into(),
        (State::Confirmed, Phase::Ended) => "ended".into(),
        (State::Closed { why }, _) => format!("closed: {why}"),
    }
}

pub(crate) fn reservations(list: &[Reservation]) -> Table {
    let rows = list.iter().map(|it| {
        vec![
            it.name.id.to_string(),
            state(it),
            it.rate.to_string(),
            end(it.source()),
            end(it.destination()),
            it.start.to_string(),
            it.end.to_string(),
        ]
    });
    let header = ["id", "state", "rate", "from", "to", "start", "end"];
    table(&header, rows.collect(), &[2])
}

/// An end of a reservation; a dash where its lanes were named one by one.
fn end(endpoint: Option<&Endpoint>) -> String {
    endpoint.map_or_else(|| "-".into(), Endpoint::to_string)
}

fn hosts(it: &Reservation) -> Vec<String> {
    let via = it.way.iter().flat_map(|way| &way.via);
    via.map(|host| format!("hosts/{host}")).collect()
}

/// One reservation in full.
pub(crate) fn details(it: &Reservation) -> String {
    let via: Vec<String> = hosts(it);
    let session = it.session.map_or("none".into(), |session| format!("sessions/{session}"));
    let mut lines = vec![
        format!("reservation {}", it.name.id),
        format!("  state    {}", state(it)),
        format!("  rate     {}", it.rate),
        format!("  from     {}", end(it.source())),
        format!("  to       {}", end(it.destination())),
    ];
    if !via.is_empty() {
        lines.push(format!("  via      {}", via.join(", ")));
    }
    lines.extend([
        format!("  start    {}", it.start),
        format!("  end      {}", it.end),
        format!("  session  {session}"),
        format!("  used     {}", it.used),
        "  books    on".into(),
    ]);
    let widest = it.bookings.iter().map(|one| one.booked.to_string().len()).max().unwrap_or(0);
    for booking in &it.bookings {
        let booked = booking.booked.to_string();
        lines.push(format!("    {booked:>widest$}  {}", booking.lane));
    }
    lines.join("\n")
}

pub(crate) fn lanes(list: &[Lane]) -> Table {
    let rows = list.iter().map(|lane| {
        vec![
            lane.name.clone(),
            lane.capacity.to_string(),
            lane.booked.to_string(),
            share(lane.booked, lane.capacity),
            lane.used.to_string(),
        ]
    });
    table(&["lane", "capacity", "booked", "share", "used"], rows.collect(), &[1, 2, 3, 4])
}

/// `part` of `whole` in whole percent, rounded down; a dash where there is nothing to share.
pub(crate) fn share(part: BitRate, whole: BitRate) -> String {
    let percent = (u128::from(part.bps()) * 100).checked_div(whole.bps().into());
    percent.map_or("-".into(), |percent| format!("{percent} %"))
}

pub(crate) fn applied(applied: &Applied, dry_run: bool) -> String {
    let mut lines: Vec<String> = applied
        .changes
        .iter()
        .map(|change| match change.kind {
            ChangeKind::Added => format!("+ {}  {}", change.lane, change.new),
            ChangeKind::Removed => format!("- {}  {}", change.lane, change.old),
            ChangeKind::Reshaped => format!("~ {}  is used in another way", change.lane),
            ChangeKind::Resized | ChangeKind::Unknown(_) => {
                format!("~ {}  {} -> {}", change.lane, change.old, change.new)
            }
        })
        .collect();
    let (count, version) = (applied.changes.len(), applied.version);
    lines.push(if dry_run {
        format!("{count} lanes would change; nothing was changed")
    } else {
        format!("{count} lanes changed; topology version {version} is in force")
    });
    lines.join("\n")
}

pub(crate) fn info(info: &ServerInfo) -> String {
    let ServerInfo { version, now, started, journal, .. } = info;
    let ServerInfo { lanes, live_reservations, open_sessions, topology_version, .. } = info;
    format!(
        "tidegated {version}, serving {} since {started}; its now is {now}\n\
         journal {journal}, {} batches; topology version {topology_version}, {lanes} lanes\n\
         {live_reservations} live reservations, {open_sessions} open sessions\n\
         sessions beat every {:?}, lease {:?}, grace {:?}",
        info.api_versions.join(", "),
        info.journal_sequence,
        info.beat_every,
        info.lease,
        info.grace,
    )
}

pub(crate) fn reservation_json(it: &Reservation) -> Value {
    let (hold_until, why) = match it.state {
        State::Held { until } => (Some(until.to_string()), None),
        State::Confirmed => (None, None),
        State::Closed { why } => (None, Some(close_reason(why))),
    };
    let phase = match it.phase {
        Phase::Scheduled => "scheduled",
        Phase::Active => "active",
        Phase::Ended => "ended",
    };
    let state = match it.state {
        State::Held { .. } => "held",
        State::Confirmed => "confirmed",
        State::Closed { .. } => "closed",
    };
    json!({
        "id": it.name.id.to_string(),
        "name": it.name.to_string(),
        "state": state,
        "phase": phase,
        "close_reason": why,
        "hold_until_time": hold_until,
        "rate_bps": it.rate.bps(),
        "source": it.source().map(Endpoint::to_string),
        "destination": it.destination().map(Endpoint::to_string),
        "via": hosts(it),
        "start_time": it.start.to_string(),
        "end_time": it.end.to_string(),
        "session": it.session.map(|session| format!("sessions/{session}")),
        "used_bytes": it.used.bytes(),
        "bookings": it.bookings.iter().map(|one| json!({
            "lane": one.lane, "booked_bps": one.booked.bps(),
        })).collect::<Vec<_>>(),
    })
}

fn close_reason(why: CloseReason) -> &'static str {
    match why {
        CloseReason::Completed => "completed",
        CloseReason::Released => "released",
        CloseReason::Expired => "expired",
        CloseReason::SessionLost => "session_lost",
        CloseReason::CapacityLost => "capacity_lost",
        CloseReason::Unknown(_) => "unknown",
    }
}

pub(crate) fn refusal_json(refusal: &Refusal) -> Value {
    let reason = match refusal.reason {
        RefusalReason::NoPath => "no_path",
        RefusalReason::RateAboveCapacity => "rate_above_capacity",
        RefusalReason::NoHeadroom => "no_headroom",
        RefusalReason::Drained => "drained",
        RefusalReason::OthersRefused => "others_refused",
        RefusalReason::Unknown(_) => "unknown",
    };
    let kind = |kind| match kind {
        OfferKind::SameRateLater => "same_rate_later",
        OfferKind::LowerRateNow => "lower_rate_now",
        OfferKind::LaterFinish => "later_finish",
        OfferKind::OtherSource => "other_source",
        OfferKind::Unknown(_) => "unknown",
    };
    json!({ "refusal": {
        "reason": reason,
        "blockers": refusal.blockers.iter().map(|one| json!({
            "source": one.source.as_ref().map(Endpoint::to_string),
            "lane": one.lane,
            "limit_bps": one.limit.bps(),
            "free_bps": one.free.bps(),
            "needed_bps": one.needed.bps(),
            "missing_bps": one.missing.bps(),
            "first_free_time": one.first_free.map(|time| time.to_string()),
        })).collect::<Vec<_>>(),
        "offers": refusal.offers.iter().map(|one| json!({
            "kind": kind(one.kind),
            "source": one.source.as_ref().map(Endpoint::to_string),
            "via": one.via.iter().map(|host| format!("hosts/{host}")).collect::<Vec<_>>(),
            "rate_bps": one.rate.bps(),
            "start_time": one.start.to_string(),
            "end_time": one.end.to_string(),
        })).collect::<Vec<_>>(),
    }})
}

pub(crate) fn lanes_json(list: &[Lane]) -> Value {
    list.iter()
        .map(|lane| {
            json!({
                "lane": lane.name,
                "nominal_bps": lane.nominal.bps(),
                "capacity_bps": lane.capacity.bps(),
                "booked_bps": lane.booked.bps(),
                "used_bps": lane.used.bps(),
            })
        })
        .collect()
}

pub(crate) fn applied_json(applied: &Applied) -> Value {
    let kind = |kind| match kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Resized => "resized",
        ChangeKind::Reshaped => "reshaped",
        ChangeKind::Unknown(_) => "unknown",
    };
    json!({ "version": applied.version, "changes": applied.changes.iter().map(|change| json!({
        "kind": kind(change.kind),
        "lane": change.lane,
        "old_bps": change.old.bps(),
        "new_bps": change.new.bps(),
    })).collect::<Vec<_>>() })
}

pub(crate) fn info_json(info: &ServerInfo) -> Value {
    json!({
        "version": info.version,
        "api_versions": info.api_versions,
        "now": info.now.to_string(),
        "start_time": info.started.to_string(),
        "journal": info.journal,
        "journal_sequence": info.journal_sequence,
        "topology_version": info.topology_version,
        "lane_count": info.lanes,
        "live_reservation_count": info.live_reservations,
        "open_session_count": info.open_sessions,
    })
}
