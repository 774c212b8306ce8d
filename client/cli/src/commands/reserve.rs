//! `tidegate reserve`: one request, an offer, or a file of requests.

use std::io::Read;

use anyhow::Context;
use tidegate_client::ask::{Ask, OfferToken};
use tidegate_client::refusal::Refusal;
use tidegate_client::reservation::{Outcome, Reservation};

use super::{Desk, shown};
use crate::arguments::Reserve;
use crate::clerk::{self, Typed};
use crate::exit::{Exit, Mistake};
use crate::output::{Sheet, hint, say};

pub(super) async fn run(desk: &Desk, typed: Reserve) -> anyhow::Result<Exit> {
    if let Some(file) = &typed.file {
        return super::batch::run(desk, file, &typed).await;
    }
    let sheet: Sheet<Reservation> = desk.printer.sheet()?;
    let mut ask = match &typed.offer {
        Some(token) => Ask::token(offer(token)?),
        None => typed.wanted.ask()?,
    };
    if let Some(hold) = typed.hold {
        ask = ask.held_for(hold);
    }
    if typed.hold_best {
        ask = ask.hold_best_offer();
    }
    if typed.dry_run {
        ask = ask.validate_only();
    }
    let refusal = match desk.client.reserve(&ask).await? {
        Outcome::Granted(reservation) => {
            if typed.dry_run {
                say("it would be granted; nothing was booked");
            }
            return shown(&sheet, &reservation);
        }
        Outcome::Refused(refusal) => refusal,
    };
    match typed.take {
        Some(number) => take(desk, &sheet, &refusal, &ask, number).await,
        None => refused(desk, &refusal, &ask, &Typed::Reserve),
    }
}

/// Says why, and what would fit.
pub(super) fn refused(
    desk: &Desk,
    refusal: &Refusal,
    ask: &Ask,
    typed: &Typed,
) -> anyhow::Result<Exit> {
    if desk.printer.for_people() {
        say(&clerk::explain(refusal, ask, typed));
    } else {
        desk.printer.sheet_of_all::<Refusal>().one(refusal)?;
    }
    Ok(Exit::Refused)
}

/// Takes one of the offers of a refusal.
async fn take(
    desk: &Desk,
    sheet: &Sheet<Reservation>,
    refusal: &Refusal,
    ask: &Ask,
    number: usize,
) -> anyhow::Result<Exit> {
    let Some(offer) = number.checked_sub(1).and_then(|index| refusal.offers.get(index)) else {
        let count = refusal.offers.len();
        refused(desk, refusal, ask, &Typed::Reserve)?;
        hint(&format!("there is no offer {number}: there are {count}, and 1 is the best"));
        return Ok(Exit::Refused);
    };
    say(&format!("refused: {}; taking {}", refusal.reason, clerk::offered(offer)));
    let ask = offer.ask(ask);
    match desk.client.reserve(&ask).await? {
        Outcome::Granted(reservation) => shown(sheet, &reservation),
        // Somebody was faster.
        Outcome::Refused(refusal) => refused(desk, &refusal, &ask, &Typed::Other),
    }
}

fn offer(text: &str) -> anyhow::Result<OfferToken> {
    let mut token = text.to_owned();
    if text == "-" {
        token.clear();
        std::io::stdin().read_to_string(&mut token).context("cannot read standard input")?;
    }
    let token = token.trim().trim_matches('"').parse();
    Ok(token.map_err(|error: tidegate_policy::ParseError| {
        Mistake::new(format!("the token is not one: {}", error.why))
            .hint("`tidegate reserve -o json` prints the token of each offer")
    })?)
}
