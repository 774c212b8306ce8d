//! Questions that book nothing: when would it fit, and what would be answered and why.

use tidegate_client::ask::Assurance;
use tidegate_client::reservation::Outcome;
use tidegate_client::windows::{Search, Windows};

use super::Desk;
use crate::arguments::{Wanted, When};
use crate::clerk::{self, Typed};
use crate::exit::Exit;
use crate::output::Sheet;
use crate::things::{way_words, window_words};

pub(super) async fn run(desk: &Desk, typed: &When) -> anyhow::Result<Exit> {
    let sheet: Sheet<Windows> = desk.printer.sheet()?;
    let wanted = &typed.wanted;
    let (span, start, end) = wanted.window()?;
    let mut search = Search::new(wanted.along()?, wanted.lowest()?, span, end);
    search.start = start;
    search.streams = wanted.streams()?;
    search.steps_max = typed.steps;
    (search.class, search.principal) = (wanted.class.clone(), wanted.principal.clone());
    if let Some(project) = &wanted.project {
        search.project = project.clone();
    }
    if wanted.shared {
        search.assurance = Assurance::Shared;
    }
    let found = desk.client.find_windows(&search).await?;
    sheet.one_as(&found, |style| window_words(&found, &search, style))?;
    Ok(if found.windows.is_empty() { Exit::Refused } else { Exit::Done })
}

pub(super) async fn explain(desk: &Desk, wanted: &Wanted) -> anyhow::Result<Exit> {
    let sheet = desk.printer.sheet()?;
    let ask = wanted.ask()?;
    let explanation = desk.client.explain(&ask).await?;
    sheet.one_as(&explanation, |style| {
        let answer = match &explanation.answer {
            Outcome::Granted(it) => {
                format!("it would be granted: {}, {} to {}", it.rate, it.start, it.end)
            }
            Outcome::Refused(refusal) => {
                format!("it would be {}", clerk::explain(refusal, &ask, &Typed::Other))
            }
        };
        format!("{answer}\n\n{}", way_words(&explanation, style))
    })?;
    Ok(match explanation.answer {
        Outcome::Granted(_) => Exit::Done,
        Outcome::Refused(_) => Exit::Refused,
    })
}
