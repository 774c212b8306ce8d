//! The fields that a filter may name, and what they are of a reservation.

use cel::Value;
use cel::common::types::CelString;
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use chrono::{DateTime, FixedOffset};
use prost_types::Timestamp as WireTimestamp;
use tidegate_policy::rules::{Kind, labels_as_value};
use tidegate_proto::v1;

const STATES: &[&str] = &["HELD", "CONFIRMED", "CLOSED"];
const PHASES: &[&str] = &["SCHEDULED", "ACTIVE", "ENDED"];
const REASONS: &[&str] = &[
    "",
    "COMPLETED",
    "RELEASED",
    "EXPIRED",
    "SESSION_LOST",
    "CAPACITY_LOST",
    "NO_SHOW",
    "PREEMPTED",
];
const ASSURANCES: &[&str] = &["FIRM", "SHARED"];

/// Every field, as the comment of `ListReservationsRequest.filter` lists them.
pub(super) const FIELDS: [(&str, Kind); 24] = [
    ("name", Kind::Text),
    ("state", Kind::Choice(STATES)),
    ("phase", Kind::Choice(PHASES)),
    ("close_reason", Kind::Choice(REASONS)),
    ("source", Kind::Text),
    ("destination", Kind::Text),
    ("via", Kind::Texts),
    ("rate_bps", Kind::Int),
    ("start_time", Kind::Time),
    ("end_time", Kind::Time),
    ("session", Kind::Text),
    ("lanes", Kind::Texts),
    ("create_time", Kind::Time),
    ("used_bytes", Kind::Int),
    ("path", Kind::Int),
    ("assurance", Kind::Choice(ASSURANCES)),
    ("movable", Kind::Bool),
    ("priority", Kind::Int),
    ("preemptible", Kind::Bool),
    ("class", Kind::Text),
    ("principal", Kind::Text),
    ("labels", Kind::Labels),
    ("borrowed", Kind::Bool),
    ("observed_reason", Kind::Choice(OBSERVED)),
];

const IN_SILENCE: &str = "changes without a change that a watch is told of; compare times or states \
                          instead";

/// What changes without a change that a watcher is told, and why that is not to be asked for.
pub(super) const SILENT: [(&str, &str); 2] = [("phase", IN_SILENCE), ("used_bytes", IN_SILENCE)];

/// Why one is refused, as a filter calls it; nothing if it was granted.
const OBSERVED: &[&str] = &[
    "",
    "RULE_DENIED",
    "CLASS_NOT_ALLOWED",
    "ABOVE_QUOTA",
    "QUOTA_EXHAUSTED",
    "NO_TIER",
    "NO_PATH",
    "RATE_ABOVE_CAPACITY",
    "DRAINED",
    "NO_HEADROOM",
    "OTHERS_REFUSED",
    "OTHER_TAKEN",
];

/// A reservation as a filter sees it.
pub(super) struct Shown<'a>(pub(super) &'a v1::Reservation);

impl VariableResolver for Shown<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let it = self.0;
        let text = |text: &'b str| Some(CowVal::owned(CelString::from(text)));
        match variable {
            "name" => text(&it.name),
            "state" => text(word(it.state().as_str_name(), "STATE_")),
            "phase" => text(word(it.phase().as_str_name(), "PHASE_")),
            "close_reason" => text(word(it.close_reason().as_str_name(), "CLOSE_REASON_")),
            "source" => text(&it.source),
            "destination" => text(&it.destination),
            "via" => value(it.via.clone()),
            "rate_bps" => value(it.rate_bps),
            "start_time" => instant(it.start_time),
            "end_time" => instant(it.end_time),
            "session" => text(&it.session),
            "lanes" => {
                value(it.bookings.iter().map(|booking| booking.lane.clone()).collect::<Vec<_>>())
            }
            "create_time" => instant(it.create_time),
            "used_bytes" => value(it.used_bytes),
            "path" => value(i64::from(it.path)),
            "movable" => value(it.movable),
            "priority" => value(i64::from(it.priority)),
            "preemptible" => value(it.preemptible),
            "class" => text(&it.class),
            "principal" => text(&it.principal),
            "labels" => Some(labels_as_value(&it.labels)),
            "borrowed" => value(it.borrowed),
            "observed_reason" => text(word(it.observed_reason().as_str_name(), "REASON_")),
            // What is not said is firm.
            "assurance" => match it.assurance() {
                v1::Assurance::Unspecified => text("FIRM"),
                said => text(word(said.as_str_name(), "ASSURANCE_")),
            },
            _ => None,
        }
    }
}

/// The name of an enum's value without its prefix; none for what is not said.
fn word(name: &'static str, prefix: &str) -> &'static str {
    let word = name.strip_prefix(prefix).unwrap_or(name);
    if word == "UNSPECIFIED" { "" } else { word }
}

fn value<'b>(value: impl Into<Value>) -> Option<CowVal<'b, 'b>> {
    let value: Box<dyn Val> = value.into().try_into().ok()?;
    Some(CowVal::Owned(value))
}

fn instant<'b>(time: Option<WireTimestamp>) -> Option<CowVal<'b, 'b>> {
    let time = time.unwrap_or_default();
    let nanos = u32::try_from(time.nanos).unwrap_or(0);
    let time: DateTime<FixedOffset> = DateTime::from_timestamp(time.seconds, nanos)?.into();
    value(Value::Timestamp(time))
}
