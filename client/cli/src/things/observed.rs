//! What was measured on a lane.

use tidegate_client::report::Observation;
use tidegate_policy::BitRate;

use crate::output::{Column, Thing, Value, round};

/// What the broker was told.
pub(crate) struct Observed {
    pub(crate) observation: Observation,
    pub(crate) observer: String,
    /// The broker took it in.
    pub(crate) heard: bool,
}

impl Observed {
    /// What crossed the lane, on average.
    fn mean(&self) -> Option<BitRate> {
        BitRate::mean(self.observation.carried?, self.observation.over.span())
    }
}

impl Thing for Observed {
    const ONE: &'static str = "observation";
    const MANY: &'static str = "observations";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("lane", "lane", |it| Value::text(&it.observation.lane)),
        Column::new("observer", "observer", |it| Value::text(&it.observer)),
        Column::new("start", "start_time", |it| Value::Time(it.observation.over.start())),
        Column::new("end", "end_time", |it| Value::Time(it.observation.over.end())),
        Column::new("carried", "carried_bytes", |it| {
            it.observation.carried.map_or(Value::Nothing, Value::Size)
        }),
        Column::new("mean", "carried_bps", |it| it.mean().map_or(Value::Nothing, Value::mean)),
        Column::new("able", "able_bps", |it| {
            it.observation.able.map_or(Value::Nothing, Value::Rate)
        }),
        Column::new("heard", "heard", |it| Value::Flag(it.heard)),
    ];
}

/// What was heard, and where it is seen.
pub(crate) fn words(it: &Observed) -> String {
    let Observation { lane, over, carried, able } = &it.observation;
    let mean = it.mean().map_or(String::new(), |mean| format!(" ({})", round::rate(mean)));
    let carried = carried.map(|bytes| format!("carried {bytes}{mean}"));
    let able = able.map(|rate| format!("was able to carry {rate}"));
    let said: Vec<String> = carried.into_iter().chain(able).collect();
    let (start, end, by) = (over.start(), over.end(), &it.observer);
    let heard = if it.heard { "heard" } else { "not taken in" };
    format!(
        "{heard}: {lane} {}, {start} to {end}, as {by} observed\n`tidegate report utilization {lane} \
         --from -1h --to now -o wide` shows it beside what was booked",
        said.join(" and ")
    )
}
