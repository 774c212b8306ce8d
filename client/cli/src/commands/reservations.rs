//! What is done with reservations that exist, and who keeps them alive.

use tidegate_client::change::Change;
use tidegate_client::clock;
use tidegate_client::connect::Listing;
use tidegate_client::refusal::Refusal;
use tidegate_client::reservation::{Etag, Outcome, Reservation};
use tidegate_client::sessions::{SessionInfo, SessionListing};
use tidegate_policy::Span;

use super::{Desk, name, shown};
use crate::arguments::{Ls, Modify};
use crate::exit::{Exit, Mistake};
use crate::output::{Sheet, hint, say};
use crate::{asking, clerk};

pub(super) async fn confirm(desk: &Desk, text: &str) -> anyhow::Result<Exit> {
    let sheet = desk.printer.sheet()?;
    shown(&sheet, &desk.client.confirm(&name(text)?).await?)
}

pub(super) async fn extend(desk: &Desk, text: &str, span: Span) -> anyhow::Result<Exit> {
    let sheet = desk.printer.sheet()?;
    shown(&sheet, &desk.client.extend_hold(&name(text)?, span).await?)
}

pub(super) async fn show(desk: &Desk, text: &str) -> anyhow::Result<Exit> {
    let sheet = desk.printer.sheet()?;
    shown(&sheet, &desk.client.get(&name(text)?).await?)
}

pub(super) async fn modify(desk: &Desk, typed: Modify) -> anyhow::Result<Exit> {
    let sheet = desk.printer.sheet()?;
    let name = name(&typed.reservation)?;
    let now = clock::wall();
    let mut change = Change::new();
    change.rate = typed.rate;
    change.start = typed.start.map(|start| start.at(now));
    change.end = typed.until.map(|until| until.at(now));
    change.only_if = typed.etag.map(etag);
    change.validate_only = typed.dry_run;
    if let Some(span) = typed.span {
        let present = desk.client.get(&name).await?;
        change.end = Some(change.start.unwrap_or(present.start).plus(span));
        // The length was counted from a start that must not move meanwhile.
        change.only_if.get_or_insert(present.etag);
    }
    if let (Some(start), Some(end)) = (change.start, change.end) {
        asking::ordered(start, end, "--until")?;
    }
    if (change.rate, change.start, change.end) == (None, None, None) {
        return Err(Mistake::new("it does not say what to change")
            .hint("add --rate, --start, --until or --for")
            .into());
    }
    match desk.client.update(&name, &change).await? {
        Outcome::Granted(reservation) => {
            if typed.dry_run {
                say("it would be changed to this; nothing was changed");
            }
            shown(&sheet, &reservation)
        }
        Outcome::Refused(refusal) => {
            if desk.printer.for_people() {
                say(&clerk::unchanged(&refusal, &desk.client.get(&name).await?));
            } else {
                desk.printer.sheet_of_all::<Refusal>().one(&refusal)?;
            }
            Ok(Exit::Refused)
        }
    }
}

/// An etag as a broker prints it, which shells take the quotes from.
fn etag(typed: String) -> Etag {
    Etag(if typed.contains('"') { typed } else { format!("\"{typed}\"") })
}

/// What is said of each of several.
const LINE: [&str; 2] = ["id", "state"];

pub(super) async fn release(desk: &Desk, texts: &[String]) -> anyhow::Result<Exit> {
    let sheet: Sheet<Reservation> = desk.printer.sheet()?;
    // All names are read before the first is released.
    let names: Vec<_> = texts.iter().map(|text| name(text)).collect::<Result<_, _>>()?;
    let mut released = Vec::new();
    for name in &names {
        match desk.client.release(name).await {
            Ok(reservation) => released.push(reservation),
            Err(error) => {
                // Those before it are released: that is told before the error is.
                sheet.lines(&released, LINE)?;
                return Err(error.into());
            }
        }
    }
    sheet.lines(&released, LINE)?;
    Ok(Exit::Done)
}

/// A page is at most this long.
const PAGE: usize = 1000;

pub(super) async fn ls(desk: &Desk, typed: Ls) -> anyhow::Result<Exit> {
    let sheet = desk.printer.sheet()?;
    let limit = if typed.all_pages { usize::MAX } else { typed.limit };
    let (found, more) = list(desk, typed.closed, typed.filter, limit).await?;
    sheet.list(&found)?;
    if more {
        hint(&format!("there are more than {limit}; see them with --all-pages, or --limit"));
    }
    Ok(Exit::Done)
}

/// Reservations, at most `limit` of them, and whether there are more.
pub(super) async fn list(
    desk: &Desk,
    closed: bool,
    filter: Option<String>,
    limit: usize,
) -> anyhow::Result<(Vec<Reservation>, bool)> {
    let filter = filter.unwrap_or_default();
    let mut listing = Listing { show_closed: closed, filter, ..Listing::default() };
    let mut found: Vec<Reservation> = Vec::new();
    loop {
        let left = limit.saturating_sub(found.len()).min(PAGE);
        listing.page_size = u16::try_from(left).unwrap_or(0);
        let page = desk.client.list(&listing).await?;
        found.extend(page.items);
        listing.page_token = page.next_page_token;
        if listing.page_token.is_empty() || limit <= found.len() {
            return Ok((found, !listing.page_token.is_empty()));
        }
    }
}

pub(super) async fn sessions(desk: &Desk, ended: bool) -> anyhow::Result<Exit> {
    let sheet = desk.printer.sheet()?;
    let mut found: Vec<SessionInfo> = Vec::new();
    let mut listing = SessionListing { show_ended: ended, page_size: 1000, ..Default::default() };
    loop {
        let page = desk.client.list_sessions(&listing).await?;
        found.extend(page.items);
        // A page that asks for itself would keep this loop alive forever.
        if page.next_page_token.is_empty() || page.next_page_token == listing.page_token {
            break;
        }
        listing.page_token = page.next_page_token;
    }
    sheet.list(&found)?;
    Ok(Exit::Done)
}
