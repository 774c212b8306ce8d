//! `tidegate observe`: what was measured on a lane.

use tidegate_client::report::Observation;
use tidegate_policy::{Interval, Timestamp};

use super::{Desk, report};
use crate::arguments::Observe;
use crate::exit::{Exit, Mistake};
use crate::output::Sheet;
use crate::things::{Observed, observed_words};

pub(super) async fn run(desk: &Desk, typed: Observe) -> anyhow::Result<Exit> {
    let sheet: Sheet<Observed> = desk.printer.sheet()?;
    let [from, to] = report::instants(desk, [Some(typed.from), Some(typed.to)]).await?;
    let (from, to) = (from.unwrap_or(Timestamp::EPOCH), to.unwrap_or(Timestamp::EPOCH));
    let over = Interval::new(from, to).ok_or_else(|| {
        Mistake::new("it was measured for no time at all").hint("write --from -5m")
    })?;
    let Observe { lane, bytes: carried, able, observer, .. } = typed;
    let observation = Observation { lane, over, carried, able };
    let told = std::slice::from_ref(&observation);
    let heard = desk.client.report_observations(&observer, told).await?;
    let observed = Observed { observation, observer, heard: 0 < heard };
    sheet.one_as(&observed, |_| observed_words(&observed))?;
    Ok(Exit::Done)
}
