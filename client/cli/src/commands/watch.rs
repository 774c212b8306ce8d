//! `tidegate watch`: one line for each thing that is told.

use tidegate_client::clock;
use tidegate_client::watch::{WatchFilter, Watched};

use super::Desk;
use crate::arguments::Watch;
use crate::exit::Exit;
use crate::output::Sheet;
use crate::things::{Told, told_words};

pub(super) async fn run(desk: &Desk, typed: Watch) -> anyhow::Result<Exit> {
    let sheet: Sheet<Told> = desk.printer.sheet()?;
    let mut lines = sheet.stream();
    let filter = WatchFilter { project: None, filter: typed.filter.unwrap_or_default() };
    let mut watch = desk.client.watch(filter).await?;
    let mut first = true;
    loop {
        let told = tokio::select! {
            told = watch.next() => told,
            ended = tokio::signal::ctrl_c() => {
                ended?;
                return Ok(Exit::Done);
            }
        };
        let Some(what) = told.transpose()? else { return Ok(Exit::Done) };
        let synced = matches!(what, Watched::Synced);
        let told = Told { heard: clock::wall(), what, first };
        let stands = match told.what {
            Watched::Reset => first,
            Watched::Stands(_) | Watched::Synced => true,
            _ => false,
        };
        first = false;
        if !(typed.changes && stands) {
            lines.next(&told, told_words)?;
        }
        if synced && typed.once {
            return Ok(Exit::Done);
        }
    }
}
