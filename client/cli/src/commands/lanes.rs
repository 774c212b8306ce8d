//! What lanes there are, and taking them out of use.

use tidegate_client::clock;
use tidegate_policy::Interval;

use super::Desk;
use crate::arguments::Lanes;
use crate::exit::{Exit, Mistake};

pub(super) async fn list(desk: &Desk, typed: &Lanes) -> anyhow::Result<Exit> {
    let sheet = desk.printer.sheet()?;
    let start = typed.start.at(clock::wall());
    let over = Interval::new(start, start.plus(typed.span))
        .ok_or_else(|| Mistake::new("--for 0s looks at no time at all").hint("write --for 1h"))?;
    sheet.list(&desk.client.list_lanes(Some(over)).await?)?;
    Ok(Exit::Done)
}
