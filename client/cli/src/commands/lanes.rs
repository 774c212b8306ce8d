//! What lanes there are, which lead where, and taking them out of use.

use tidegate_client::clock;
use tidegate_client::operator::Drained;
use tidegate_policy::Interval;

use super::Desk;
use crate::arguments::{Lanes, Path, Resource};
use crate::exit::{Exit, Mistake};
use crate::output::{Sheet, hint, say};
use crate::things::{Undrained, counted, drained_words, path_words};

pub(super) async fn list(desk: &Desk, typed: &Lanes) -> anyhow::Result<Exit> {
    let sheet = desk.printer.sheet()?;
    let start = typed.start.at(clock::wall());
    let over = Interval::new(start, start.plus(typed.span))
        .ok_or_else(|| Mistake::new("--for 0s looks at no time at all").hint("write --for 1h"))?;
    sheet.list(&desk.client.list_lanes(Some(over)).await?)?;
    Ok(Exit::Done)
}

pub(super) async fn path(desk: &Desk, typed: &Path) -> anyhow::Result<Exit> {
    let sheet = desk.printer.sheet()?;
    let Path { source, destination, via } = typed;
    let paths = desk.client.resolve_path(source, via, destination).await?;
    if paths.is_empty() {
        say(&format!("no path leads from {source} to {destination}"));
        hint("`tidegate export topology` shows what is linked to what");
        sheet.list_as(&paths, |_, _| String::new())?;
        return Ok(Exit::Refused);
    }
    sheet.list_as(&paths, path_words)?;
    Ok(Exit::Done)
}

pub(super) async fn drain(desk: &Desk, typed: &Resource) -> anyhow::Result<Exit> {
    let sheet: Sheet<Drained> = desk.printer.sheet()?;
    let drained = desk.client.drain(&typed.resource, typed.dry_run).await?;
    sheet.one_as(&drained, |style| drained_words(&drained, typed.dry_run, style))?;
    Ok(Exit::Done)
}

pub(super) async fn undrain(desk: &Desk, typed: &Resource) -> anyhow::Result<Exit> {
    let sheet: Sheet<Undrained> = desk.printer.sheet()?;
    let lanes = desk.client.undrain(&typed.resource, typed.dry_run).await?;
    let undrained = Undrained { lanes };
    sheet.one_as(&undrained, |_| {
        let count = u64::try_from(undrained.lanes.len()).unwrap_or(u64::MAX);
        let lanes = counted(count, "lane");
        let mut lines: Vec<String> = undrained.lanes.iter().map(|it| format!("  {it}")).collect();
        lines.insert(
            0,
            match (count, typed.dry_run) {
                (0, _) => "nothing of it is drained".to_owned(),
                (_, true) => format!("{lanes} would take new bookings again; nothing was changed"),
                (_, false) => format!("{lanes} back in use"),
            },
        );
        lines.join("\n")
    })?;
    Ok(Exit::Done)
}
