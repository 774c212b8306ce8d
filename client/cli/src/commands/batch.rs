//! `tidegate reserve --file`: several requests at once.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use tidegate_client::ask::Ask;
use tidegate_client::batch::{Batch, Relation};
use tidegate_client::refusal::RefusalReason;
use toml::Spanned;

use super::Desk;
use crate::arguments::{Reserve, Together, Wanted};
use crate::clerk::{self, Typed};
use crate::exit::{Exit, Mistake};
use crate::output::{Sheet, say};
use crate::things::Answered;

/// So many refusals are explained one by one.
const EXPLAINED_MAX: usize = 5;

pub(super) async fn run(desk: &Desk, file: &Path, typed: &Reserve) -> anyhow::Result<Exit> {
    let sheet: Sheet<Answered> = desk.printer.sheet()?;
    let (asks, head) = read(file)?;
    let mut batch = Head::of(typed).over(head).batch(&asks)?;
    batch.validate_only = typed.dry_run;
    let outcomes = match (batch.relation, batch.weeks) {
        // Said in its old words, which every broker knows.
        (Relation::Each, 0..=1) => desk.client.reserve_each(&batch).await?,
        _ => desk.client.reserve_batch(&batch).await?,
    };
    let answers: Vec<Answered> = (1..).zip(outcomes).map(Answered::new).collect();
    sheet.list(&answers)?;
    let asked = asks.iter().cycle().zip(&answers);
    let refused: Vec<(&Ask, &Answered)> =
        asked.filter(|(_, answer)| answer.refusal().is_some()).collect();
    if desk.printer.for_people() {
        tell(&refused, &answers, (&batch, typed));
    }
    let enough = match batch.relation {
        // One for each week is all that was asked.
        Relation::AnyOf => answers
            .chunks(asks.len().max(1))
            .all(|week| week.iter().any(|answer| answer.refusal().is_none())),
        _ => refused.is_empty(),
    };
    Ok(if enough { Exit::Done } else { Exit::Refused })
}

/// What is said of all requests of a file, in the file or on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Head {
    relation: Option<Together>,
    gapless: bool,
    weeks: Option<u8>,
}

impl Head {
    fn of(typed: &Reserve) -> Self {
        let all = typed.all_or_nothing.then_some(Together::AllOf);
        Self { relation: typed.relation.or(all), gapless: typed.gapless, weeks: typed.weeks }
    }

    /// What was typed, and what the file says of the rest.
    fn over(self, file: Self) -> Self {
        Self {
            relation: self.relation.or(file.relation),
            gapless: self.gapless || file.gapless,
            weeks: self.weeks.or(file.weeks),
        }
    }

    fn batch(self, asks: &[Ask]) -> Result<Batch, Mistake> {
        let relation = match self.relation.unwrap_or(Together::Each) {
            Together::InOrder => Relation::InOrder { gapless: self.gapless },
            _ if self.gapless => {
                return Err(Mistake::new("gapless belongs to requests that follow one another")
                    .hint("write relation = \"in-order\", or leave gapless out"));
            }
            Together::Each => Relation::Each,
            Together::AllOf => Relation::AllOf,
            Together::AnyOf => Relation::AnyOf,
        };
        let weeks = self.weeks.unwrap_or(1);
        let count = asks.len().saturating_mul(usize::from(weeks));
        if weeks == 0 {
            return Err(Mistake::new("in 0 weeks nothing is asked for")
                .hint("write weeks = 1, or leave it out"));
        }
        if BATCH_MAX < count {
            return Err(Mistake::new(format!("that makes {count} requests"))
                .hint(format!("all weeks together have at most {BATCH_MAX}")));
        }
        Ok(Batch::new(asks.iter().cloned()).related(relation).weekly(weeks))
    }
}

/// The most requests of one batch, all weeks together.
const BATCH_MAX: usize = 100;

fn tell(refused: &[(&Ask, &Answered)], answers: &[Answered], (batch, typed): (&Batch, &Reserve)) {
    let all = answers.len();
    // That it would fit by itself is said already.
    let reasons = refused.iter().filter_map(|(ask, answer)| {
        let refusal = answer.refusal()?;
        let others = [RefusalReason::OthersRefused, RefusalReason::OtherTaken];
        let itself = !others.contains(&refusal.reason);
        itself.then_some((ask, answer.number, refusal))
    });
    for (ask, number, refusal) in reasons.take(EXPLAINED_MAX) {
        say(&format!("\nrequest {number}, {}", clerk::explain(refusal, ask, &Typed::Other)));
    }
    let count = all.saturating_sub(refused.len());
    if batch.relation.is_all_or_none() && count == 0 {
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
    relation: Option<Together>,
    #[serde(default)]
    gapless: bool,
    #[serde(default)]
    weeks: Option<u8>,
    #[serde(default)]
    reserve: Vec<Spanned<Wanted>>,
}

/// The requests of a file and what it says of all of them, or everything that is wrong with it.
fn read(file: &Path) -> anyhow::Result<(Vec<Ask>, Head)> {
    let text = text(file)?;
    let name = match file.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => file.display().to_string(),
    };
    let lines = text.trim_start().starts_with('{');
    let (wanted, head) = if lines { from_lines(&text) } else { from_toml(&text) };
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
    Ok((asks, head))
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

/// The first line may say what is said of all: `{"relation": "in-order", "gapless": true}`.
fn from_lines(text: &str) -> (Read, Head) {
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).peekable();
    let head = lines.peek().and_then(|(_, line)| serde_json::from_str::<Head>(line).ok());
    let head = head.filter(|head| *head != Head::default());
    if head.is_some() {
        lines.next();
    }
    (lines.map(|(number, line)| (number, json(line))).collect(), head.unwrap_or_default())
}

fn json(line: &str) -> Result<Wanted, String> {
    serde_json::from_str(line).map_err(|error| {
        // Its own place says line 1 of this line.
        let text = error.to_string();
        let why = text.split(" at line ").next().unwrap_or_default();
        format!("column {}: {why}", error.column())
    })
}

fn from_toml(text: &str) -> (Read, Head) {
    let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    match toml::from_str::<File>(text) {
        Ok(file) => {
            let read = |one: Spanned<Wanted>| (line(one.span().start), Ok(one.into_inner()));
            let head = Head { relation: file.relation, gapless: file.gapless, weeks: file.weeks };
            (file.reserve.into_iter().map(read).collect(), head)
        }
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            (vec![(line(at), Err(error.message().to_owned()))], Head::default())
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
        let ((toml, _), (json, _)) = (from_toml(toml), from_lines(json));
        let same = |(_, wanted): &(usize, Result<Wanted, String>)| format!("{wanted:?}");
        assert!(toml[0].1.is_ok(), "{toml:?}");
        assert_eq!(
            toml.iter().map(same).collect::<Vec<_>>(),
            json.iter().map(same).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_fault_says_where() {
        let (toml, _) = from_toml("[[reserve]]\nrate = \"4\"\n");
        assert_eq!(toml[0].0, 2);
        assert!(toml[0].1.as_ref().unwrap_err().contains("it has no unit"), "{toml:?}");
        let (json, _) = from_lines("{\"rate\":\"4Gbit\"}\n\n{\"rat\":1}");
        assert_eq!(json[1].0, 3);
        assert!(json[1].1.as_ref().unwrap_err().contains("unknown field"), "{json:?}");
    }

    #[test]
    fn both_kinds_of_file_say_how_their_requests_hang_together() {
        let toml = "relation = \"in_order\"\ngapless = true\nweeks = 4\n[[reserve]]\n\
                    from = \"storage/a\"\nto = \"hosts/b\"\nvolume = \"40GB\"\nby = \"+2h\"\n\
                    max-rate = \"4Gbit\"\nsplit = true\n";
        let json = "{\"relation\":\"in-order\",\"gapless\":true,\"weeks\":4}\n\
                    {\"from\":\"storage/a\",\"to\":\"hosts/b\",\"volume\":\"40GB\",\"by\":\"+2h\",\
                    \"max-rate\":\"4Gbit\",\"split\":true}";
        let (toml, json) = (from_toml(toml), from_lines(json));
        assert_eq!(toml.1, json.1);
        let wanted = json.0[0].1.as_ref().unwrap();
        assert_eq!(format!("{:?}", toml.0[0].1.as_ref().unwrap()), format!("{wanted:?}"));
        let ask = wanted.ask().map_err(|mistake| mistake.one_line()).unwrap();
        let batch = json.1.batch(std::slice::from_ref(&ask)).map_err(|it| it.one_line()).unwrap();
        assert_eq!((batch.relation, batch.weeks), (Relation::InOrder { gapless: true }, 4));
        let wrong = [
            (Head { gapless: true, ..Head::default() }, "gapless belongs"),
            (Head { weeks: Some(0), ..Head::default() }, "in 0 weeks"),
            (Head { weeks: Some(101), ..Head::default() }, "101 requests"),
        ];
        for (head, expected) in wrong {
            let why = head.batch(std::slice::from_ref(&ask)).unwrap_err().one_line();
            assert!(why.contains(expected), "{why}");
        }
    }
}
