//! `tidegate reserve --file`: several requests at once.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use tidegate_client::ask::Ask;
use tidegate_client::batch::{AllOrNone, Batch};
use tidegate_client::refusal::RefusalReason;
use tidegate_client::reservation::Outcome;
use toml::Spanned;

use super::Desk;
use crate::arguments::{Reserve, Wanted};
use crate::clerk::{self, Typed};
use crate::exit::{Exit, Mistake};
use crate::output::{Sheet, say};
use crate::things::Answered;

/// So many refusals are explained one by one.
const EXPLAINED_MAX: usize = 5;

pub(super) async fn run(desk: &Desk, file: &Path, typed: &Reserve) -> anyhow::Result<Exit> {
    let sheet: Sheet<Answered> = desk.printer.sheet()?;
    let asks = read(file)?;
    let mut batch = Batch::new(asks.iter().cloned());
    batch.validate_only = typed.dry_run;
    let outcomes = if typed.all_or_nothing {
        match desk.client.reserve_all(&batch).await? {
            AllOrNone::All(all) => all.into_iter().map(Outcome::Granted).collect(),
            AllOrNone::None(none) => none.into_iter().map(Outcome::Refused).collect(),
        }
    } else {
        desk.client.reserve_each(&batch).await?
    };
    let answers: Vec<Answered> = (1..).zip(outcomes).map(Answered::new).collect();
    sheet.list(&answers)?;
    let refused: Vec<(&Ask, &Answered)> =
        asks.iter().zip(&answers).filter(|(_, answer)| answer.refusal().is_some()).collect();
    if desk.printer.for_people() {
        tell(&refused, answers.len(), typed);
    }
    Ok(if refused.is_empty() { Exit::Done } else { Exit::Refused })
}

fn tell(refused: &[(&Ask, &Answered)], all: usize, typed: &Reserve) {
    // That it would fit by itself is said already.
    let reasons = refused.iter().filter_map(|(ask, answer)| {
        let refusal = answer.refusal()?;
        let itself = refusal.reason != RefusalReason::OthersRefused;
        itself.then_some((ask, answer.number, refusal))
    });
    for (ask, number, refusal) in reasons.take(EXPLAINED_MAX) {
        say(&format!("\nrequest {number}, {}", clerk::explain(refusal, ask, &Typed::Other)));
    }
    let count = all.saturating_sub(refused.len());
    if typed.all_or_nothing && !refused.is_empty() {
        say("nothing was booked: all or none was asked");
    } else if typed.dry_run {
        say(&format!("{count} of {all} would be granted; nothing was booked"));
    } else {
        say(&format!("{count} of {all} granted"));
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    reserve: Vec<Spanned<Wanted>>,
}

/// The requests of a file, or everything that is wrong with it.
fn read(file: &Path) -> anyhow::Result<Vec<Ask>> {
    let text = text(file)?;
    let name = match file.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => file.display().to_string(),
    };
    let lines = text.trim_start().starts_with('{');
    let wanted = if lines { from_lines(&text) } else { from_toml(&text) };
    let mut faults = Vec::new();
    let mut asks = Vec::new();
    for (line, wanted) in wanted {
        let ask = wanted.and_then(|wanted| {
            let hold = wanted.hold;
            let ask = wanted.ask().map_err(|mistake| mistake.one_line())?;
            Ok(hold.map_or(ask.clone(), |hold| ask.held_for(hold)))
        });
        match ask {
            Ok(ask) => asks.push(ask),
            Err(why) => faults.push(format!("  line {line}: {why}")),
        }
    }
    if faults.is_empty() && asks.is_empty() {
        return Err(Mistake::new(format!("{name} asks for nothing"))
            .hint("write a [[reserve]] table for each request; `tidegate reserve --help` has one")
            .into());
    }
    if !faults.is_empty() {
        let faults = faults.join("\n");
        return Err(Mistake::new(format!("{name} is wrong, nothing was asked:\n{faults}")).into());
    }
    Ok(asks)
}

/// What stands in a file; `-` is standard input.
pub(super) fn text(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Requests by the line on which they stand, as far as they can be read.
type Read = Vec<(usize, Result<Wanted, String>)>;

fn from_lines(text: &str) -> Read {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| (number, json(line))).collect()
}

fn json(line: &str) -> Result<Wanted, String> {
    serde_json::from_str(line).map_err(|error| {
        // Its own place says line 1 of this line.
        let text = error.to_string();
        let why = text.split(" at line ").next().unwrap_or_default();
        format!("column {}: {why}", error.column())
    })
}

fn from_toml(text: &str) -> Read {
    let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    match toml::from_str::<File>(text) {
        Ok(file) => {
            let read = |one: Spanned<Wanted>| (line(one.span().start), Ok(one.into_inner()));
            file.reserve.into_iter().map(read).collect()
        }
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            vec![(line(at), Err(error.message().to_owned()))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_file_say_the_same() {
        let toml = "[[reserve]]\nfrom = \"storage/a\"\nto = \"hosts/b\"\nrate = \"1Gbit\"\n\
                    for = \"10m\"\nhold = \"1m\"\n";
        let json =
            r#"{"from":["storage/a"],"to":"hosts/b","rate":"1Gbit","for":"10m","hold":"1m"}"#;
        let (toml, json) = (from_toml(toml), from_lines(json));
        let same = |(_, wanted): &(usize, Result<Wanted, String>)| format!("{wanted:?}");
        assert!(toml[0].1.is_ok(), "{toml:?}");
        assert_eq!(
            toml.iter().map(same).collect::<Vec<_>>(),
            json.iter().map(same).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_fault_says_where() {
        let toml = from_toml("[[reserve]]\nrate = \"4\"\n");
        assert_eq!(toml[0].0, 2);
        assert!(toml[0].1.as_ref().unwrap_err().contains("it has no unit"), "{toml:?}");
        let json = from_lines("{\"rate\":\"4Gbit\"}\n\n{\"rat\":1}");
        assert_eq!(json[1].0, 3);
        assert!(json[1].1.as_ref().unwrap_err().contains("unknown field"), "{json:?}");
    }
}
