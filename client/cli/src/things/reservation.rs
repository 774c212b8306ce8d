//! Reservations.

use tidegate_client::plan::{PlanWay, Promise, Segment};
use tidegate_client::reservation::{Assurance, CloseReason, Phase, Reservation, State};
use tidegate_policy::{BitRate, ProjectId};

use super::labels;
use super::refusal::reason;
use crate::output::{Column, Record, Thing, Tone, Value};

impl Thing for Reservation {
    const ONE: &'static str = "reservation";
    const MANY: &'static str = "reservations";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("id", "id", |it| Value::text(it.name.id)),
        Column::new("state", "state", state),
        Column::wide("held-until", "hold_until_time", hold_until),
        Column::new("rate", "rate_bps", |it| Value::Rate(it.rate)),
        Column::wide("up-to", "ceiling_bps", |it| it.ceiling.map_or(Value::Nothing, Value::Rate)),
        Column::new("from", "source", |it| Value::maybe(it.source())),
        Column::new("to", "destination", |it| Value::maybe(it.destination())),
        Column::new("start", "start_time", |it| Value::Time(it.start)),
        Column::new("end", "end_time", |it| Value::Time(it.end)),
        Column::wide("via", "via", via),
        Column::wide("session", "session", session),
        Column::wide("used", "used_bytes", |it| Value::Size(it.used)),
        Column::wide("project", "project", project),
        Column::wide("class", "class", |it| Value::maybe(it.class.as_ref())),
        Column::wide("as", "principal", |it| Value::maybe(it.principal.as_ref())),
        Column::wide("labels", "labels", |it| labels(&it.labels)),
        Column::data("path", "path", path),
        Column::wide("assurance", "assurance", assurance),
        Column::wide("created", "create_time", |it| Value::Time(it.created)),
        Column::alone("promise", "promise", promise),
        Column::alone("movable", "movable", |it| {
            Value::Mark(it.movable, "yes: its plan may change, the promise stays", Tone::Plain)
        }),
        Column::alone("priority", "priority", |it| {
            Value::unless(it.priority == 0, Value::Count(it.priority.into()))
        }),
        Column::alone("preemptible", "preemptible", |it| {
            Value::Mark(it.preemptible, "yes: a higher priority may take its lanes", Tone::Plain)
        }),
        Column::alone("borrowed", "borrowed", |it| {
            Value::Mark(it.borrowed, "yes: its owner may have it again", Tone::Plain)
        }),
        Column::alone("observed", "observed_reason", |it| {
            let why =
                |why| Value::word(reason(why), format!("would be refused: {why}"), Tone::Warning);
            it.observed.map_or(Value::Nothing, why)
        }),
        Column::alone("closed", "close_time", |it| Value::time(it.closed)),
        Column::alone("steering", "steers", steers),
        Column::alone("curtailed", "curtailed", curtailed),
        Column::data("etag", "etag", |it| Value::text(&it.etag)),
        Column::data("plan-version", "plan_version", |it| Value::Count(it.plan_version)),
        Column::alone("plan", "segments", segments),
        Column::data("ways", "ways", ways),
        Column::alone("books", "bookings", bookings),
        Column::data("phase", "phase", |it| Value::text(phase(it))),
        Column::data("close-reason", "close_reason", close_reason),
        Column::data("name", "name", |it| Value::text(&it.name)),
    ];
}

/// For people, one word says what is done about it and where now stands in it.
pub(crate) fn state(it: &Reservation) -> Value {
    let (code, words, tone) = match (it.state, it.phase) {
        (State::Held { .. }, _) => ("held", "held", Tone::Warning),
        (State::Confirmed, Phase::Scheduled) => ("confirmed", "scheduled", Tone::Plain),
        (State::Confirmed, Phase::Active) => ("confirmed", "active", Tone::Good),
        (State::Confirmed, Phase::Ended) => ("confirmed", "ended", Tone::Faint),
        (State::Closed { why }, _) => {
            let lost = matches!(
                why,
                CloseReason::SessionLost | CloseReason::CapacityLost | CloseReason::Preempted
            );
            ("closed", closed(why), if lost { Tone::Bad } else { Tone::Faint })
        }
    };
    Value::word(code, words, tone)
}

fn closed(why: CloseReason) -> &'static str {
    match why {
        CloseReason::Completed => "completed",
        CloseReason::Released => "released",
        CloseReason::Expired => "expired",
        CloseReason::SessionLost => "session lost",
        CloseReason::CapacityLost => "capacity lost",
        CloseReason::NoShow => "no show",
        CloseReason::Preempted => "preempted",
        CloseReason::Unknown(_) => "closed",
    }
}

fn phase(it: &Reservation) -> &'static str {
    match it.phase {
        Phase::Scheduled => "scheduled",
        Phase::Active => "active",
        Phase::Ended => "ended",
    }
}

fn via(it: &Reservation) -> Value {
    let via = it.way.iter().flat_map(|way| &way.via);
    Value::texts(via.map(|host| format!("hosts/{host}")))
}

fn path(it: &Reservation) -> Value {
    it.way.as_ref().map_or(Value::Nothing, |way| Value::Count(way.path.into()))
}

fn assurance(it: &Reservation) -> Value {
    let firm = it.assurance == Assurance::Firm;
    Value::unless(firm, Value::text(if firm { "firm" } else { "shared" }))
}

/// How its bytes get onto its path: nothing where there is no choice.
fn steers(it: &Reservation) -> Value {
    Value::texts(&it.steers)
}

fn curtailed(it: &Reservation) -> Value {
    Value::Mark(it.curtailed, "its end was brought forward: capacity is lost from then", Tone::Bad)
}

/// What tells one from another, where it is part of something else.
pub(crate) fn brief(it: &Reservation) -> Value {
    Value::Record(Record(vec![
        ("id", Value::text(it.name.id)),
        ("state", state(it)),
        ("hold_until_time", hold_until(it)),
        ("rate_bps", Value::Rate(it.rate)),
        ("start_time", Value::Time(it.start)),
        ("end_time", Value::Time(it.end)),
    ]))
}

fn project(it: &Reservation) -> Value {
    let Some(project) = &it.name.project else { return Value::Nothing };
    Value::unless(*project == ProjectId::default_project(), Value::text(project))
}

fn session(it: &Reservation) -> Value {
    it.session.map_or(Value::Nothing, |session| Value::text(format!("sessions/{session}")))
}

/// What is promised; of a volume also how far it is.
fn promise(it: &Reservation) -> Value {
    let Some(promise) = it.promise else { return Value::Nothing };
    let mut words = promise.to_string();
    if let Some(volume) = promise.volume() {
        let percent = u128::from(it.used.bytes()) * 100;
        let percent = percent.checked_div(u128::from(volume.bytes())).unwrap_or(100).min(100);
        words.push_str(&format!("; {} moved, {percent} %", it.used));
    }
    let time = |time: Option<_>| time.map_or(Value::Nothing, Value::Time);
    Value::told(
        words,
        Value::Record(match promise {
            Promise::Transfer(it) => Record(vec![
                ("kind", Value::text("transfer")),
                ("volume_bytes", Value::Size(it.volume)),
                ("min_bps", Value::Rate(it.min)),
                ("max_bps", highest(it.max)),
                ("start_time", time(it.start)),
                ("deadline", Value::Time(it.deadline)),
                ("split", Value::Flag(it.split)),
            ]),
            Promise::Flexible(it) => Record(vec![
                ("kind", Value::text("flexible")),
                ("min_bps", Value::Rate(it.min)),
                ("max_bps", highest(it.max)),
                ("duration_ms", Value::Span(it.duration)),
                ("window_start_time", time(it.window_start)),
                ("window_end_time", Value::Time(it.window_end)),
            ]),
        }),
    )
}

/// The highest rate that is of use, where any bound is said.
pub(super) fn highest(rate: BitRate) -> Value {
    if rate == BitRate::MAX { Value::Nothing } else { Value::Rate(rate) }
}

/// When it sends at which rate, on which way; people are told unless it is one rate all the time.
fn segments(it: &Reservation) -> Value {
    let way = |segment: &Segment| {
        let number = u64::try_from(segment.way).unwrap_or(u64::MAX);
        let words = it.ways.get(segment.way).map_or(number.to_string(), PlanWay::to_string);
        Value::told(words, Value::Count(number))
    };
    let record = |segment: &Segment| {
        Record(vec![
            ("start_time", Value::Time(segment.start)),
            ("end_time", Value::Time(segment.end)),
            ("rate_bps", Value::Rate(segment.rate)),
            ("way", way(segment)),
        ])
    };
    let plain = it.segments.len() <= 1 && it.promise.is_none();
    Value::unless(plain, Value::Records(it.segments.iter().map(record).collect()))
}

fn ways(it: &Reservation) -> Value {
    let record = |way: &PlanWay| {
        Record(vec![
            ("source", Value::maybe(way.source.as_ref())),
            ("via", Value::texts(way.via.iter().map(|host| format!("hosts/{host}")))),
            ("path", way.path.map_or(Value::Nothing, |path| Value::Count(path.into()))),
            ("steers", Value::texts(&way.steers)),
            ("lanes", Value::texts(&way.lanes)),
        ])
    };
    Value::Records(it.ways.iter().map(record).collect())
}

fn bookings(it: &Reservation) -> Value {
    let record = |one: &tidegate_client::reservation::Booking| {
        Record(vec![("booked_bps", Value::Rate(one.booked)), ("lane", Value::text(&one.lane))])
    };
    Value::Records(it.bookings.iter().map(record).collect())
}

fn hold_until(it: &Reservation) -> Value {
    match it.state {
        State::Held { until } => Value::Time(until),
        State::Confirmed | State::Closed { .. } => Value::Nothing,
    }
}

fn close_reason(it: &Reservation) -> Value {
    let State::Closed { why } = it.state else { return Value::Nothing };
    Value::text(match why {
        CloseReason::Completed => "completed",
        CloseReason::Released => "released",
        CloseReason::Expired => "expired",
        CloseReason::SessionLost => "session_lost",
        CloseReason::CapacityLost => "capacity_lost",
        CloseReason::NoShow => "no_show",
        CloseReason::Preempted => "preempted",
        CloseReason::Unknown(_) => "unknown",
    })
}
