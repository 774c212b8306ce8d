//! What a watcher is told.

use tidegate_client::reservation::{Reservation, ReservationName};
use tidegate_client::watch::Watched;
use tidegate_policy::Timestamp;

use crate::output::{Column, Style, Thing, Tone, Value, painted, records};
use crate::things::reservation;

/// One thing that a watcher is told, and when it was heard.
pub(crate) struct Told {
    pub(crate) heard: Timestamp,
    pub(crate) what: Watched,
    /// Whether nothing was told before.
    pub(crate) first: bool,
}

impl Told {
    fn reservation(&self) -> Option<&Reservation> {
        match &self.what {
            Watched::Stands(it) | Watched::Changed(it) => Some(it),
            Watched::Reset
            | Watched::Synced
            | Watched::Left(_)
            | Watched::Interrupted(_)
            | Watched::Resumed => None,
        }
    }

    fn name(&self) -> Option<&ReservationName> {
        match &self.what {
            Watched::Left(name) => Some(name),
            _ => self.reservation().map(|it| &it.name),
        }
    }

    fn of(&self, read: fn(&Reservation) -> Value) -> Value {
        self.reservation().map_or(Value::Nothing, read)
    }

    fn event(&self) -> (&'static str, Tone) {
        match &self.what {
            Watched::Reset => ("reset", Tone::Faint),
            Watched::Stands(_) => ("stands", Tone::Plain),
            Watched::Synced => ("synced", Tone::Faint),
            Watched::Changed(_) => ("changed", Tone::Plain),
            Watched::Left(_) => ("left", Tone::Faint),
            Watched::Interrupted(_) => ("interrupted", Tone::Bad),
            Watched::Resumed => ("resumed", Tone::Good),
        }
    }
}

impl Thing for Told {
    const ONE: &'static str = "event";
    const MANY: &'static str = "events";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("heard", "heard_time", |it| Value::Time(it.heard)),
        Column::new("event", "event", |it| {
            let (event, tone) = it.event();
            Value::word(event, event, tone)
        }),
        Column::new("id", "id", |it| Value::maybe(it.name().map(|name| name.id))),
        Column::new("state", "state", |it| it.of(reservation::state)),
        Column::new("rate", "rate_bps", |it| it.of(|one| Value::Rate(one.rate))),
        Column::new("from", "source", |it| it.of(|one| Value::maybe(one.source()))),
        Column::new("to", "destination", |it| it.of(|one| Value::maybe(one.destination()))),
        Column::new("start", "start_time", |it| it.of(|one| Value::Time(one.start))),
        Column::new("end", "end_time", |it| it.of(|one| Value::Time(one.end))),
        Column::data("reservation", "reservation", |it| {
            it.of(|one| match records(std::slice::from_ref(one)).pop() {
                Some(record) => Value::Record(record),
                None => Value::Nothing,
            })
        }),
    ];
}

/// One line for people; nothing where it is of no interest to them.
pub(crate) fn words(told: &Told, style: Style) -> Option<String> {
    let heard = Value::Time(told.heard).brief();
    let (event, tone) = told.event();
    let event = painted(&format!("{event:8}"), tone, style);
    Some(match &told.what {
        Watched::Reset if told.first => return None,
        Watched::Reset => {
            format!(
                "{heard}  {event}  what was missed is not known; forget the above, what stands follows"
            )
        }
        Watched::Synced => {
            format!("{heard}  {event}  that is all for now; changes follow")
        }
        Watched::Resumed => format!("{heard}  {event}  what was missed follows"),
        Watched::Left(name) => format!("{heard}  {event}  {}", name.id),
        Watched::Interrupted(error) => format!("{heard}  {event}  {error}"),
        Watched::Stands(it) | Watched::Changed(it) => {
            let state = reservation::state(it);
            let words = painted(&state.exact(), state.tone(), style);
            let way = match (it.source(), it.destination()) {
                (Some(source), Some(destination)) => format!("{source} to {destination}"),
                _ => format!("{} lanes", it.bookings.len()),
            };
            let end = Value::Time(it.end).brief();
            let (id, rate) = (it.name.id, it.rate.to_string());
            format!("{heard}  {event}  {id}  {rate:>11}  {way}, until {end}, {words}")
        }
    })
}
