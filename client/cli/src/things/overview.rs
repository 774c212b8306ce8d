//! Everything at a glance.

use tidegate_client::reservation::Reservation;
use tidegate_client::topology::{Lane, ServerInfo};

use crate::output::{Column, Thing, Value, records};

/// The broker, its fullest lanes and its largest reservations.
pub(crate) struct Overview {
    pub(crate) info: ServerInfo,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) reservations: Vec<Reservation>,
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
        Column::new("fullest", "fullest_lanes", |it| Value::Records(records(&it.lanes))),
        Column::new("largest", "largest_reservations", |it| {
            Value::Records(records(&it.reservations))
        }),
    ];
}
