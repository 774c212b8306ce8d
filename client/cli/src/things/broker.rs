//! What runs at the other end.

use tidegate_client::topology::ServerInfo;

use super::counted;
use super::session::span;
use crate::output::{Column, Thing, Value};

impl Thing for ServerInfo {
    const ONE: &'static str = "tidegated";
    const MANY: &'static str = "brokers";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("version", "version", |it| Value::text(&it.version)),
        Column::new("serves", "api_versions", |it| Value::texts(&it.api_versions)),
        Column::new("since", "start_time", |it| Value::Time(it.started)),
        Column::new("now", "now", |it| Value::Time(it.now)),
        Column::new("journal", "journal", |it| Value::text(&it.journal)),
        Column::new("batches", "journal_sequence", |it| Value::Count(it.journal_sequence)),
        Column::new("topology", "topology_version", |it| Value::Count(it.topology_version)),
        Column::new("lanes", "lane_count", |it| Value::Count(it.lanes)),
        Column::new("reservations", "live_reservation_count", |it| {
            Value::Count(it.live_reservations)
        }),
        Column::new("sessions", "open_session_count", |it| Value::Count(it.open_sessions)),
        Column::new("beat", "beat_every_ms", |it| span(it.beat_every)),
        Column::new("lease", "lease_ms", |it| span(it.lease)),
        Column::new("grace", "grace_ms", |it| span(it.grace)),
        Column::new("no-show-grace", "no_show_grace_ms", |it| span(it.no_show_grace)),
        Column::new("moved", "moved_count", |it| Value::Count(it.moved)),
        Column::new("no-shows", "no_show_count", |it| Value::Count(it.no_shows)),
        Column::new("false-no-shows", "false_no_show_count", |it| Value::Count(it.false_no_shows)),
        Column::new("preempted", "preempted_count", |it| Value::Count(it.preempted)),
        Column::new("room-not-sought", "room_not_sought_count", |it| {
            Value::Count(it.room_not_sought)
        }),
    ];
}

/// In sentences.
pub(crate) fn words(info: &ServerInfo) -> String {
    let ServerInfo { version, now, started, journal, topology_version, .. } = info;
    let ServerInfo { beat_every, lease, grace, no_show_grace, .. } = info;
    let ServerInfo { false_no_shows, preempted, .. } = info;
    let batches = match info.journal_sequence {
        1 => "1 batch".to_owned(),
        count => format!("{count} batches"),
    };
    let lanes = counted(info.lanes, "lane");
    let reservations = counted(info.live_reservations, "live reservation");
    let sessions = counted(info.open_sessions, "open session");
    let moved = counted(info.moved, "plan");
    let no_shows = counted(info.no_shows, "grant");
    let hurried = counted(info.room_not_sought, "request");
    format!(
        "tidegated {version}, serving {} since {started}; its now is {now}\n\
         journal {journal}, {batches}; topology version {topology_version}, {lanes}\n\
         {reservations}, {sessions}\n\
         sessions beat every {beat_every:?}, lease {lease:?}, grace {grace:?}\n\
         a grant is taken back if nothing moves for {no_show_grace:?}\n\
         so far {moved} moved, {no_shows} taken back as unused ({false_no_shows} of them wrongly), \
         {preempted} preempted; no time to look for room for {hurried}",
        info.api_versions.join(", "),
    )
}
