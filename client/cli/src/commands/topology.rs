//! The topology: what stands, what a file would change, and whom that would hurt.

use std::path::Path;

use tidegate_client::error::ClientError;
use tidegate_client::operator::{Care, Losses};
use tidegate_client::topology::Applied;
use tidegate_client::topology_file::{self, TopologyFile, TopologyFileError, TopologyFileErrors};

use super::Desk;
use super::batch::text;
use crate::arguments::Change;
use crate::exit::{Exit, Mistake};
use crate::output::{Sheet, hint, print, say};
use crate::things::{applied_words, counted, losses_words};

pub(super) async fn apply(desk: &Desk, file: &Path, change: Change) -> anyhow::Result<Exit> {
    let sheet: Sheet<Applied> = desk.printer.sheet()?;
    let read = TopologyFile::read(&text(file)?).map_err(|faults| wrong(file, &faults))?;
    let care = Care { validate_only: change.dry_run, accept_losses: change.accept_losses };
    let ask = |care| desk.client.apply_topology_with(read.topology().clone(), care);
    match ask(care).await {
        Ok(applied) => {
            sheet.one_as(&applied, |style| applied_words(&applied, change.dry_run, style))?;
            Ok(permitted(&applied.losses, change))
        }
        Err(error @ ClientError::LanesInUse { .. }) => {
            in_the_way(desk, &ask(Care { validate_only: true, ..care }).await?.losses);
            Err(error.into())
        }
        Err(error) => match read.explain(&error) {
            Some(faults) => Err(wrong(file, &faults).into()),
            None => Err(error.into()),
        },
    }
}

/// Every fault of a file, with its place, as compilers say it.
fn wrong(file: &Path, faults: &TopologyFileErrors) -> Mistake {
    let file = if file.as_os_str() == "-" { Path::new("standard input") } else { file };
    let name = file.display();
    let line =
        |it: &TopologyFileError| format!("\n  {name}:{}:{}: {}", it.line, it.column, it.message);
    let lines: String = faults.0.iter().map(line).collect();
    let count = counted(u64::try_from(faults.0.len()).unwrap_or(u64::MAX), "fault");
    Mistake::new(format!("{name} has {count}; nothing was changed{lines}"))
}

/// How a change ends: a rehearsal of one that would not be carried out ends as that would.
pub(super) fn permitted(losses: &Losses, change: Change) -> Exit {
    if losses.count == 0 || change.accept_losses {
        return Exit::Done;
    }
    hint("--accept-losses closes them; else the change is not carried out");
    Exit::Conflict
}

/// Says who is in the way of a change that was not carried out.
pub(super) fn in_the_way(desk: &Desk, losses: &Losses) {
    if desk.printer.for_people() {
        say(&losses_words(losses, false, desk.printer.style).join("\n"));
    }
}

pub(super) async fn diff(desk: &Desk, file: &Path) -> anyhow::Result<Exit> {
    apply(desk, file, Change { dry_run: true, accept_losses: false }).await
}

pub(super) async fn export(desk: &Desk) -> anyhow::Result<Exit> {
    print(topology_file::to_toml(&desk.client.export_topology().await?).trim_end())?;
    Ok(Exit::Done)
}
