//! Sessions.

use std::time::Duration;

use tidegate_client::sessions::{SessionInfo, SessionState};
use tidegate_policy::Span;

use crate::output::{Column, Thing, Tone, Value};

impl Thing for SessionInfo {
    const ONE: &'static str = "session";
    const MANY: &'static str = "sessions";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("id", "id", |it| Value::text(it.id)),
        Column::new("agent", "agent", |it| Value::text(&it.agent)),
        Column::new("state", "state", state),
        Column::new("grants", "reservation_count", |it| Value::Count(it.reservations)),
        Column::new("heard", "heard_time", |it| Value::time(it.heard)),
        Column::new("opened", "create_time", |it| Value::Time(it.opened)),
        Column::wide("beat", "beat_every_ms", |it| span(it.beat_every)),
        Column::wide("lease", "lease_ms", |it| span(it.lease)),
        Column::wide("grace", "grace_ms", |it| span(it.grace)),
    ];
}

fn state(it: &SessionInfo) -> Value {
    match it.state {
        SessionState::Open => Value::word("open", "open", Tone::Good),
        SessionState::Closed => Value::word("closed", "closed", Tone::Faint),
        SessionState::Lost => Value::word("lost", "lost", Tone::Bad),
    }
}

pub(super) fn span(length: Duration) -> Value {
    let ms = u64::try_from(length.as_millis()).ok();
    ms.and_then(Span::from_ms).map_or(Value::Nothing, Value::Span)
}
