//! The topology: what stands, what a file would change, and whom that would hurt.

use std::path::Path;

use tidegate_client::error::ClientError;
use tidegate_client::operator::{Care, Losses};
use tidegate_client::topology::Applied;
use tidegate_client::topology_file;

use super::Desk;
use super::batch::text;
use crate::arguments::Change;
use crate::exit::{Exit, Mistake};
use crate::output::{Sheet, hint, print, say};
use crate::things::{applied_words, losses_words};

pub(super) async fn apply(desk: &Desk, file: &Path, change: Change) -> anyhow::Result<Exit> {
    let sheet: Sheet<Applied> = desk.printer.sheet()?;
    let text = text(file)?;
    let topology = topology_file::parse(&text).map_err(|fault| {
        let file = if file.as_os_str() == "-" { Path::new("standard input") } else { file };
        Mistake::new(format!("{} is wrong: {fault}", file.display()))
    })?;
    let care = Care { validate_only: change.dry_run, accept_losses: change.accept_losses };
    match desk.client.apply_topology_with(topology.clone(), care).await {
        Ok(applied) => {
            sheet.one_as(&applied, |style| applied_words(&applied, change.dry_run, style))?;
            Ok(permitted(&applied.losses, change))
        }
        Err(error @ ClientError::LanesInUse { .. }) => {
            let look = Care { validate_only: true, ..care };
            let would = desk.client.apply_topology_with(topology, look).await?;
            in_the_way(desk, &would.losses);
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
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
        say(&losses_words(losses, false, desk.printer.style));
    }
}

pub(super) async fn diff(desk: &Desk, file: &Path) -> anyhow::Result<Exit> {
    apply(desk, file, Change { dry_run: true, accept_losses: false }).await
}

pub(super) async fn export(desk: &Desk) -> anyhow::Result<Exit> {
    print(topology_file::to_toml(&desk.client.export_topology().await?).trim_end())?;
    Ok(Exit::Done)
}
