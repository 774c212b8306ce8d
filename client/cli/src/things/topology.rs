//! What a change of the network does, and whom it hurts.

use tidegate_client::operator::{Drained, Losses, Maintenance, Move, Victim};
use tidegate_client::topology::{Applied, ChangeKind, LaneChange};

use super::counted;
use crate::output::{Column, Record, Style, Thing, Tone, Value, block, painted};

/// A maintenance window, and who loses by it.
pub(crate) struct Planned {
    pub(crate) maintenance: Maintenance,
    pub(crate) losses: Losses,
}

/// Lanes that take new bookings again.
pub(crate) struct Undrained {
    pub(crate) lanes: Vec<String>,
}

impl Thing for Applied {
    const ONE: &'static str = "change";
    const MANY: &'static str = "changes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("version", "version", |it| Value::Count(it.version)),
        Column::new("lost", "victim_count", |it| Value::Count(it.losses.count)),
        Column::new("victims", "victims", |it| victims(&it.losses)),
        Column::new("moved", "move_count", |it| Value::Count(it.losses.move_count)),
        Column::new("moves", "moves", |it| moves(&it.losses)),
        Column::new("changes", "changes", |it| {
            Value::Records(it.changes.iter().map(change).collect())
        }),
    ];
}

impl Thing for Planned {
    const ONE: &'static str = "maintenance";
    const MANY: &'static str = "maintenance windows";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("id", "id", |it| Value::text(it.maintenance.id)),
        Column::new("resource", "resource", |it| Value::text(&it.maintenance.resource)),
        Column::new("start", "start_time", |it| Value::Time(it.maintenance.interval.start())),
        Column::new("end", "end_time", |it| Value::Time(it.maintenance.interval.end())),
        Column::new("left", "left_ppm", |it| left(&it.maintenance)),
        Column::new("comment", "comment", |it| comment(&it.maintenance)),
        Column::new("lost", "victim_count", |it| Value::Count(it.losses.count)),
        Column::new("victims", "victims", |it| victims(&it.losses)),
        Column::new("moved", "move_count", |it| Value::Count(it.losses.move_count)),
        Column::new("moves", "moves", |it| moves(&it.losses)),
    ];
}

impl Thing for Maintenance {
    const ONE: &'static str = "maintenance";
    const MANY: &'static str = "maintenance windows";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("id", "id", |it| Value::text(it.id)),
        Column::new("resource", "resource", |it| Value::text(&it.resource)),
        Column::new("start", "start_time", |it| Value::Time(it.interval.start())),
        Column::new("end", "end_time", |it| Value::Time(it.interval.end())),
        Column::new("left", "left_ppm", left),
        Column::new("comment", "comment", comment),
    ];
}

impl Thing for Drained {
    const ONE: &'static str = "drain";
    const MANY: &'static str = "drains";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("lanes", "lanes", |it| Value::texts(&it.lanes)),
        Column::new("still-on-it", "reservation_count", |it| Value::Count(it.count)),
        Column::new("empty", "empty_time", |it| Value::time(it.empty)),
        Column::new("reservations", "reservations", |it| {
            Value::texts(it.reservations.iter().map(|name| name.id))
        }),
    ];
}

impl Thing for Undrained {
    const ONE: &'static str = "undrain";
    const MANY: &'static str = "undrains";
    const COLUMNS: &'static [Column<Self>] =
        &[Column::new("lanes", "lanes", |it| Value::texts(&it.lanes))];
}

/// In percent for people, in parts per million for programs.
fn left(it: &Maintenance) -> Value {
    Value::Ppm(it.left_ppm)
}

fn comment(it: &Maintenance) -> Value {
    if it.comment.is_empty() { Value::Nothing } else { Value::text(&it.comment) }
}

fn victims(losses: &Losses) -> Value {
    Value::Records(losses.victims.iter().map(victim).collect())
}

fn victim(it: &Victim) -> Record {
    Record(vec![
        ("reservation", Value::text(it.reservation.id)),
        ("lane", Value::text(&it.lane)),
        ("lost_time", Value::Time(it.lost)),
        ("end_time", Value::Time(it.end)),
        ("session", Value::maybe(it.session)),
    ])
}

fn moves(losses: &Losses) -> Value {
    Value::Records(losses.moves.iter().map(moved).collect())
}

fn moved(it: &Move) -> Record {
    Record(vec![
        ("reservation", Value::text(it.reservation.id)),
        ("from_time", Value::Time(it.from)),
        ("end_time", Value::Time(it.end)),
        ("old_end_time", Value::Time(it.old_end)),
        ("session", Value::maybe(it.session)),
    ])
}

fn change(it: &LaneChange) -> Record {
    let kind = match it.kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Resized => "resized",
        ChangeKind::Reshaped => "reshaped",
        ChangeKind::Unknown(_) => "unknown",
    };
    Record(vec![
        ("kind", Value::text(kind)),
        ("lane", Value::text(&it.lane)),
        ("old_bps", Value::Rate(it.old)),
        ("new_bps", Value::Rate(it.new)),
    ])
}

/// So many victims are shown to people, and so many that move.
const SHOWN_MAX: usize = 20;

/// Who loses, and who moves so that no more do; `done` says that they have already.
pub(crate) fn losses_words(losses: &Losses, done: bool, style: Style) -> Vec<String> {
    let [lose, move_] = if done { ["lost", "moved"] } else { ["would be lost", "would move"] };
    let victims = losses.victims.iter().take(SHOWN_MAX).map(victim).collect();
    let moves = losses.moves.iter().take(SHOWN_MAX).map(moved).collect();
    let victims = told((losses.count, lose, Tone::Bad), victims, style);
    let moves = told((losses.move_count, move_, Tone::Warning), moves, style);
    victims.into_iter().chain(moves).collect()
}

/// What becomes of so many reservations, the first of them one by one; nothing of none.
fn told((count, what, tone): (u64, &str, Tone), shown: Vec<Record>, style: Style) -> Vec<String> {
    if count == 0 {
        return Vec::new();
    }
    let reservations = counted(count, "reservation");
    let mut lines = vec![painted(&format!("{reservations} {what}:"), tone, style)];
    lines.extend(block(&shown, style).iter().map(|line| format!("  {line}")));
    let told = u64::try_from(shown.len()).unwrap_or(u64::MAX);
    let more = count.saturating_sub(told);
    if 0 < more {
        lines.push(format!("  and {more} more; -o yaml has the first 1000"));
    }
    lines
}

/// Who loses first, then the differences lane by lane, and what has become of them.
pub(crate) fn applied_words(it: &Applied, dry_run: bool, style: Style) -> String {
    let mut lines = losses_words(&it.losses, !dry_run, style);
    lines.extend(it.changes.iter().map(|change| change_words(change, style)));
    let lanes = counted(u64::try_from(it.changes.len()).unwrap_or(u64::MAX), "lane");
    lines.push(if dry_run {
        format!("{lanes} would change; nothing was changed")
    } else {
        format!("{lanes} changed; topology version {} is in force", it.version)
    });
    lines.join("\n")
}

fn change_words(change: &LaneChange, style: Style) -> String {
    let LaneChange { kind, lane, old, new } = change;
    let (words, tone) = match kind {
        ChangeKind::Added => (format!("+ {lane}  {new}"), Tone::Good),
        ChangeKind::Removed => (format!("- {lane}  {old}"), Tone::Bad),
        ChangeKind::Resized => (format!("~ {lane}  {old} -> {new}"), Tone::Warning),
        ChangeKind::Reshaped => {
            (format!("~ {lane}  {new}, booked or crossed otherwise"), Tone::Warning)
        }
        ChangeKind::Unknown(_) => (format!("? {lane}  {old} -> {new}"), Tone::Warning),
    };
    painted(&words, tone, style)
}

/// What is planned, and who loses by it first.
pub(crate) fn planned_words(it: &Planned, dry_run: bool, style: Style) -> String {
    let mut lines = losses_words(&it.losses, !dry_run, style);
    let Maintenance { id, resource, interval, .. } = &it.maintenance;
    let (start, end) = (interval.start(), interval.end());
    let left = left(&it.maintenance).exact();
    lines.push(format!("{resource} has {left} of its capacity, {start} to {end}"));
    lines.push(if dry_run {
        "nothing was changed".to_owned()
    } else {
        format!("planned; call it off with: tidegate maintenance rm {id}")
    });
    lines.join("\n")
}

/// So many reservations on drained lanes are named to people.
const NAMED_MAX: usize = 20;

/// What takes nothing new, and what is still on it.
pub(crate) fn drained_words(it: &Drained, dry_run: bool, style: Style) -> String {
    let lanes = counted(u64::try_from(it.lanes.len()).unwrap_or(u64::MAX), "lane");
    let would = if dry_run { "would take nothing new; nothing was changed" } else { "drained" };
    let mut lines = vec![painted(&format!("{lanes} {would}"), Tone::Warning, style)];
    lines.extend(it.lanes.iter().map(|lane| format!("  {lane}")));
    let still = counted(it.count, "reservation");
    lines.push(match it.empty {
        Some(time) => format!("{still} still on it, the last until {time}"),
        None => "nothing is booked on it any more".to_owned(),
    });
    lines.extend(it.reservations.iter().take(NAMED_MAX).map(|name| format!("  {}", name.id)));
    let named = u64::try_from(it.reservations.len().min(NAMED_MAX)).unwrap_or(u64::MAX);
    if named < it.count {
        lines.push(format!("  and {} more", it.count.saturating_sub(named)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_loses_and_who_moves_are_counted_and_named() {
        let reservation: tidegate_client::reservation::ReservationName =
            "projects/lab/reservations/019ac3f0-0000-7000-8000-000000000001".parse().unwrap();
        let [from, end, old_end] =
            ["2026-11-25T18:00:00Z", "2026-11-25T20:00:00Z", "2026-11-25T19:00:00Z"]
                .map(|it| it.parse().unwrap());
        let moved = Move { reservation, session: None, from, end, old_end };
        let losses = Losses { moves: vec![moved], move_count: 2, ..Losses::default() };
        let lines = losses_words(&losses, false, Style::Plain);
        assert_eq!(lines[0], "2 reservations would move:");
        assert!(lines[1].contains("FROM") && lines[1].contains("OLD END"), "{lines:?}");
        assert!(lines[2].contains("019ac3f0-0000-7000-8000-000000000001"), "{lines:?}");
        assert_eq!(lines[3], "  and 1 more; -o yaml has the first 1000");
        assert_eq!(losses_words(&Losses::default(), true, Style::Plain), Vec::<String>::new());
    }
}
