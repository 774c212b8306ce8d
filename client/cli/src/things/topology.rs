//! What a change of the topology does.

use tidegate_client::topology::{Applied, ChangeKind, LaneChange};

use super::counted;
use crate::output::{Column, Record, Style, Thing, Tone, Value, painted};

impl Thing for Applied {
    const ONE: &'static str = "change";
    const MANY: &'static str = "changes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("version", "version", |it| Value::Count(it.version)),
        Column::new("changes", "changes", |it| {
            Value::Records(it.changes.iter().map(change).collect())
        }),
    ];
}

fn change(it: &LaneChange) -> Record {
    let kind = match it.kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Resized => "resized",
        ChangeKind::Unknown(_) => "unknown",
    };
    Record(vec![
        ("kind", Value::text(kind)),
        ("lane", Value::text(&it.lane)),
        ("old_bps", Value::Rate(it.old)),
        ("new_bps", Value::Rate(it.new)),
    ])
}

/// The differences lane by lane, and what has become of them.
pub(crate) fn words(it: &Applied, dry_run: bool, style: Style) -> String {
    let line = |change: &LaneChange| match change.kind {
        ChangeKind::Added => {
            painted(&format!("+ {}  {}", change.lane, change.new), Tone::Good, style)
        }
        ChangeKind::Removed => {
            painted(&format!("- {}  {}", change.lane, change.old), Tone::Bad, style)
        }
        ChangeKind::Resized | ChangeKind::Unknown(_) => {
            let words = format!("~ {}  {} -> {}", change.lane, change.old, change.new);
            painted(&words, Tone::Warning, style)
        }
    };
    let mut lines: Vec<String> = it.changes.iter().map(line).collect();
    let lanes = counted(u64::try_from(it.changes.len()).unwrap_or(u64::MAX), "lane");
    lines.push(if dry_run {
        format!("{lanes} would change; nothing was changed")
    } else {
        format!("{lanes} changed; topology version {} is in force", it.version)
    });
    lines.join("\n")
}
