//! The topology: what stands, what a file would change, and whom that would hurt.

use std::path::Path;

use anyhow::Context;
use tidegate_client::topology::Applied;
use tidegate_client::topology_file;

use super::Desk;
use super::batch::text;
use crate::arguments::Change;
use crate::exit::Exit;
use crate::output::{Sheet, print};
use crate::things::applied_words;

pub(super) async fn apply(desk: &Desk, file: &Path, change: Change) -> anyhow::Result<Exit> {
    let sheet: Sheet<Applied> = desk.printer.sheet()?;
    let text = text(file)?;
    let topology =
        topology_file::parse(&text).with_context(|| format!("{} is wrong", file.display()))?;
    let applied = desk.client.apply_topology(topology, change.dry_run).await?;
    sheet.one_as(&applied, |style| applied_words(&applied, change.dry_run, style))?;
    Ok(Exit::Done)
}

pub(super) async fn diff(desk: &Desk, file: &Path) -> anyhow::Result<Exit> {
    apply(desk, file, Change { dry_run: true, accept_losses: false }).await
}

pub(super) async fn export(desk: &Desk) -> anyhow::Result<Exit> {
    print(topology_file::to_toml(&desk.client.export_topology().await?).trim_end())?;
    Ok(Exit::Done)
}
