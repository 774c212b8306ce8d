//! The answers to several requests at once.

use tidegate_client::refusal::Refusal;
use tidegate_client::reservation::{Outcome, Reservation, State};

use crate::output::{Column, Thing, Tone, Value, records};
use crate::things::refusal;

/// The answer to one of several requests.
pub(crate) struct Answered {
    /// Which one, from 1.
    pub(crate) number: u64,
    outcome: Outcome,
}

impl Answered {
    pub(crate) fn new((number, outcome): (u64, Outcome)) -> Self {
        Self { number, outcome }
    }

    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        match &self.outcome {
            Outcome::Refused(refusal) => Some(refusal),
            Outcome::Granted(_) => None,
        }
    }

    fn granted(&self, read: fn(&Reservation) -> Value) -> Value {
        match &self.outcome {
            Outcome::Granted(reservation) => read(reservation),
            Outcome::Refused(_) => Value::Nothing,
        }
    }
}

impl Thing for Answered {
    const ONE: &'static str = "answer";
    const MANY: &'static str = "answers";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("request", "request", |it| Value::Count(it.number)),
        Column::new("answer", "answer", answer),
        Column::new("rate", "rate_bps", |it| it.granted(|one| Value::Rate(one.rate))),
        Column::new("start", "start_time", |it| it.granted(|one| Value::Time(one.start))),
        Column::new("end", "end_time", |it| it.granted(|one| Value::Time(one.end))),
        Column::new("id", "id", |it| it.granted(|one| Value::text(one.name.id))),
        Column::data("reservation", "reservation", |it| {
            it.granted(|one| match records(std::slice::from_ref(one)).pop() {
                Some(record) => Value::Record(record),
                None => Value::Nothing,
            })
        }),
        Column::data("refusal", "refusal", |it| {
            it.refusal().map_or(Value::Nothing, |one| Value::Record(refusal::record(one)))
        }),
    ];
}

fn answer(it: &Answered) -> Value {
    match &it.outcome {
        Outcome::Granted(reservation) => match reservation.state {
            State::Held { .. } => Value::word("held", "held", Tone::Warning),
            State::Confirmed | State::Closed { .. } => {
                Value::word("granted", "granted", Tone::Good)
            }
        },
        Outcome::Refused(refusal) => {
            Value::word("refused", format!("refused: {}", refusal.reason), Tone::Bad)
        }
    }
}
