//! Everything at a glance.

use tidegate_client::report::{Consumers, LaneUtilization, Refusals, UtilizationBucket};
use tidegate_client::reservation::Reservation;
use tidegate_client::topology::{Lane, ServerInfo};

use super::report::{refusals, utilization};
use crate::output::{Column, Record, Thing, Value, records};

/// The broker, its fullest lanes, its largest reservations, and who had what in the last hour.
pub(crate) struct Overview {
    pub(crate) info: ServerInfo,
    pub(crate) lanes: Vec<BusyLane>,
    pub(crate) reservations: Vec<Reservation>,
    /// `None` where the broker has no reports.
    pub(crate) hour: Option<LastHour>,
}

/// A lane as it is, and as it was in the last hour.
pub(crate) struct BusyLane {
    pub(crate) lane: Lane,
    pub(crate) hour: Option<LaneUtilization>,
}

/// Who had most in the last hour, and what was refused.
pub(crate) struct LastHour {
    pub(crate) consumers: Consumers,
    pub(crate) refusals: Refusals,
}

impl LastHour {
    /// How much was refused, and why most of it.
    pub(crate) fn refusal_words(&self) -> String {
        let Refusals { refused, granted, groups, .. } = &self.refusals;
        let asked = refused.saturating_add(*granted);
        let why = refusals::first_words(groups).map_or(String::new(), |why| format!(": {why}"));
        format!("{refused} of {asked} refused in the last hour{why}")
    }
}

/// How many characters an hour is.
const HOUR: usize = 20;

impl Thing for BusyLane {
    const ONE: &'static str = "lane";
    const MANY: &'static str = "lanes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("lane", "lane", |it| Value::text(&it.lane.name)),
        Column::new("share", "booked_percent", |it| Value::share(it.lane.booked, it.lane.capacity)),
        Column::drawn("last-hour", "last_hour", |it| match &it.hour {
            // As wide as an hour that is full, so that heads stay where they are.
            Some(hour) => Value::Text(format!("{:<HOUR$}", utilization::last_hour(hour, HOUR))),
            None => Value::Nothing,
        }),
        Column::new("booked", "booked_bps", |it| Value::mean(it.lane.booked)),
        Column::new("used", "used_bps", |it| Value::mean(it.lane.used)),
        Column::new("capacity", "capacity_bps", |it| Value::mean(it.lane.capacity)),
    ];
}

/// All of a lane, with its last hour minute by minute.
fn busy(it: &BusyLane) -> Record {
    let mut record = records(std::slice::from_ref(&it.lane)).pop().unwrap_or_default();
    let minute = |it: &UtilizationBucket| {
        let known = |value| if it.unknown { Value::Nothing } else { value };
        Record(vec![
            ("start_time", Value::Time(it.start)),
            ("booked_bps", known(Value::Rate(it.booked))),
            ("used_bps", known(Value::Rate(it.used))),
        ])
    };
    let minutes = it.hour.as_ref().map(|hour| hour.buckets.iter().map(minute).collect());
    record.0.push(("last_hour", Value::Records(minutes.unwrap_or_default())));
    record
}

impl Thing for Overview {
    const ONE: &'static str = "overview";
    const MANY: &'static str = "overviews";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("now", "now", |it| Value::Time(it.info.now)),
        Column::new("reservations", "live_reservation_count", |it| {
            Value::Count(it.info.live_reservations)
        }),
        Column::new("sessions", "open_session_count", |it| Value::Count(it.info.open_sessions)),
        Column::new("fullest", "fullest_lanes", |it| {
            Value::Records(it.lanes.iter().map(busy).collect())
        }),
        Column::new("largest", "largest_reservations", |it| {
            Value::Records(records(&it.reservations))
        }),
        Column::new("projects", "top_projects", |it| {
            it.hour
                .as_ref()
                .map_or(Value::Nothing, |hour| Value::Records(records(&hour.consumers.consumers)))
        }),
        Column::new("refusals", "top_refusals", |it| {
            it.hour
                .as_ref()
                .map_or(Value::Nothing, |hour| Value::Records(refusals::all(&hour.refusals.groups)))
        }),
        Column::new("refused", "refused_count", |it| {
            it.hour.as_ref().map_or(Value::Nothing, |hour| Value::Count(hour.refusals.refused))
        }),
    ];
}
