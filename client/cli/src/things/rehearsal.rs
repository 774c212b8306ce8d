//! What a change of the policy would have decided otherwise.

use tidegate_client::policy::{Decided, Differing, Rehearsal, Verdict};

use super::refusal::{reason, record};
use super::{counted, policy::whole};
use crate::output::{Column, Record, Thing, Value};

impl Thing for Rehearsal {
    const ONE: &'static str = "rehearsal";
    const MANY: &'static str = "rehearsals";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("decided", "decided_count", |it| Value::Count(it.decided)),
        Column::new("turned", "turned", |it| {
            let turned = it.turned.iter().map(|(before, after, count)| {
                let (before, after) = (verdict(*before), verdict(*after));
                Record(vec![
                    ("before", Value::text(before)),
                    ("after", Value::text(after)),
                    ("count", Value::Count(*count)),
                ])
            });
            Value::Records(turned.collect())
        }),
        Column::new("differing", "differing", |it| {
            Value::Records(it.differing.iter().map(differing).collect())
        }),
        Column::new("from", "start_time", |it| Value::time(it.over.map(|over| over.start()))),
        Column::new("to", "end_time", |it| Value::time(it.over.map(|over| over.end()))),
        Column::new("cut-short", "cut_short", |it| Value::Flag(it.cut_short)),
    ];
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Granted => "granted",
        Verdict::Refused(why) => reason(why),
        Verdict::Wrong => "wrong",
    }
}

fn differing(it: &Differing) -> Record {
    Record(vec![
        ("request_id", Value::text(&it.request)),
        ("request_time", Value::Time(it.at)),
        ("project", Value::text(&it.project)),
        ("before", Value::Record(decided(&it.before))),
        ("after", Value::Record(decided(&it.after))),
    ])
}

fn decided(decided: &Decided) -> Record {
    match decided {
        Decided::Granted { rate, over, class } => Record(vec![
            ("rate_bps", Value::Rate(*rate)),
            ("start_time", Value::Time(over.start())),
            ("end_time", Value::Time(over.end())),
            ("class", Value::maybe(class.as_ref())),
        ]),
        Decided::Refused(refusal) => Record(vec![("refusal", Value::Record(record(refusal)))]),
        Decided::Wrong(error) => Record(vec![("error", Value::text(error))]),
    }
}

/// What a change would have decided otherwise, for people.
pub(crate) fn words(told: &Rehearsal) -> String {
    /// So many are told one by one.
    const NAMED_MAX: usize = 20;
    let Some(over) = told.over else {
        return "nothing was asked lately that it could be tried on".into();
    };
    let asked = counted(told.decided, "request");
    let mut lines = vec![format!("tried on {asked} from {} to {}", over.start(), over.end())];
    if told.turned.is_empty() {
        lines.push("every one of them would be decided as it was".into());
    }
    for (before, after, count) in &told.turned {
        lines.push(format!("{count} {} would be {}", spoken(*before), spoken(*after)));
    }
    for it in told.differing.iter().take(NAMED_MAX) {
        let (before, after) = (said(&it.before), said(&it.after));
        lines.push(format!("  {} {}: {before}; {after}", it.at, it.project));
    }
    let more = told.differing.len().saturating_sub(NAMED_MAX);
    if 0 < more {
        lines.push(format!("  and {} more", whole(more)));
    }
    if told.cut_short {
        lines.push("there was no time for all of them; ask about fewer with --replay=N".into());
    }
    lines.join("\n")
}

fn spoken(verdict: Verdict) -> String {
    match verdict {
        Verdict::Granted => "granted".into(),
        Verdict::Refused(why) => format!("refused ({})", reason(why).replace('_', " ")),
        Verdict::Wrong => "wrong".into(),
    }
}

fn said(decided: &Decided) -> String {
    match decided {
        Decided::Granted { rate, over, class } => {
            let class = class.as_ref().map_or(String::new(), |class| format!(" in {class}"));
            format!("granted {rate}{class}, {} to {}", over.start(), over.end())
        }
        Decided::Refused(refusal) => format!("refused: {}", refusal.reason),
        Decided::Wrong(error) => format!("wrong: {error}"),
    }
}
