//! `tidegate maintenance`: capacity that is away for a time.

use tidegate_client::clock;
use tidegate_client::error::ClientError;
use tidegate_client::operator::{Care, Maintenance, MaintenanceAsk};
use tidegate_policy::{ParseError, Span, TimeText};

use super::Desk;
use super::topology::{in_the_way, permitted};
use crate::arguments::AddMaintenance;
use crate::asking;
use crate::exit::{Exit, Mistake};
use crate::output::{Sheet, say};
use crate::things::{Planned, planned_words};

pub(super) async fn add(desk: &Desk, typed: AddMaintenance) -> anyhow::Result<Exit> {
    let sheet: Sheet<Planned> = desk.printer.sheet()?;
    let now = clock::wall();
    let start = typed.start.at(now);
    let end = match (typed.span, typed.until) {
        (Some(span), _) => start.plus(span),
        (None, until) => until.map_or(start, |until| until.at(now)),
    };
    asking::ordered(start, end, "--until")?;
    let plan = MaintenanceAsk {
        resource: typed.resource,
        // Now is the broker's to say: this machine's clock may differ.
        start: (typed.start != TimeText::FromNow(Span::ZERO)).then_some(start),
        end,
        left_ppm: typed.left,
        comment: typed.comment,
    };
    let care =
        Care { validate_only: typed.change.dry_run, accept_losses: typed.change.accept_losses };
    match desk.client.create_maintenance(&plan, care).await {
        Ok((maintenance, losses)) => {
            let planned = Planned { maintenance, losses };
            sheet.one_as(&planned, |style| planned_words(&planned, typed.change.dry_run, style))?;
            Ok(permitted(&planned.losses, typed.change))
        }
        Err(error @ ClientError::LanesInUse { .. }) => {
            let look = Care { validate_only: true, ..care };
            let (_, losses) = desk.client.create_maintenance(&plan, look).await?;
            in_the_way(desk, &losses);
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn ls(desk: &Desk) -> anyhow::Result<Exit> {
    let sheet: Sheet<Maintenance> = desk.printer.sheet()?;
    let mut found: Vec<Maintenance> = Vec::new();
    let mut token = String::new();
    loop {
        let page = desk.client.list_maintenances(1000, &token).await?;
        found.extend(page.items);
        // A page that asks for itself would keep this loop alive forever.
        if page.next_page_token.is_empty() || page.next_page_token == token {
            break;
        }
        token = page.next_page_token;
    }
    sheet.list(&found)?;
    Ok(Exit::Done)
}

pub(super) async fn rm(desk: &Desk, text: &str, dry_run: bool) -> anyhow::Result<Exit> {
    let sheet: Sheet<Maintenance> = desk.printer.sheet()?;
    let id = text.strip_prefix("maintenances/").unwrap_or(text).parse();
    let id = id.map_err(|_: ParseError| {
        Mistake::new(format!("{text:?} is not the id of a maintenance"))
            .hint("`tidegate maintenance ls` shows them: 36 hex digits and hyphens")
    })?;
    let was = desk.client.delete_maintenance(id, dry_run).await?;
    say(if dry_run { "it would be called off; nothing was changed" } else { "called off" });
    sheet.one(&was)?;
    Ok(Exit::Done)
}
