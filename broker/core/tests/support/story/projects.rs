//! Projects and quotas in a story.

use std::collections::BTreeMap;

use tidegate_core::{Answer, Command, Overuse, PolicyAsk, QuotaBlocker};
use tidegate_policy::{Project, ProjectId, Quota};

use super::World;
use super::draft::name;
use super::print::instant;
use super::shape::{option, span};

impl World {
    /// `policy [whole] [etag N] [ignoring checks]`, then `project NAME [in P] [rate R]
    /// [reservations N] [rate-each R] [duration-each SPAN] [horizon SPAN] [label K=V]` or
    /// `delete NAME` with ` ; ` in between.
    pub(super) fn policy(&self, words: &[&str]) -> Command {
        let first = words.iter().position(|word| matches!(*word, "project" | "delete"));
        let (how, all) = words.split_at(first.unwrap_or(words.len()));
        let mut ask = PolicyAsk {
            whole: how.contains(&"whole"),
            version: option(how, "etag").map(|text| text.parse().unwrap()),
            accept_overuse: how.contains(&"ignoring"),
            ..PolicyAsk::default()
        };
        for part in all.split(|word| *word == ";") {
            match part {
                ["project", name, rest @ ..] => ask.put.push(project(name, rest)),
                ["delete", name] => ask.gone.push(id(name)),
                [] => {}
                _ => self.fail(&format!("no such change of policy: {}", part.join(" "))),
            }
        }
        Command::ApplyPolicy(ask.into())
    }

    /// Every project, what it may have and how much of it is used now.
    pub(super) fn projects(&self) -> String {
        let lines = self.machine.projects().iter().map(|project| {
            let live = self.machine.live_of(&project.id);
            format!("{}, {live} live\n", described(project))
        });
        lines.collect()
    }

    pub(super) fn policy_answer(&self, answer: &Answer) -> String {
        let Answer::Policy { version, changes, overuses } = answer else { return String::new() };
        let mut out = format!("policy {version}\n");
        for change in changes {
            let line = match (&change.before, &change.after) {
                (None, Some(after)) => format!("  + {}\n", described(after)),
                (Some(_), Some(after)) => format!("  ~ {}\n", described(after)),
                (Some(before), None) => format!("  - projects/{}\n", before.id),
                (None, None) => self.fail("nothing came of nothing"),
            };
            out.push_str(&line);
        }
        out + &overuses.iter().map(overused).collect::<String>()
    }
}

/// What is over its quota.
fn overused(overuse: &Overuse) -> String {
    let Overuse { project, what, limit, used, until } = overuse;
    let (limit, used) = (what.amount(*limit), what.amount(*used));
    format!("  projects/{project}: {what}: {used} used of {limit} until {}\n", instant(*until))
}

/// Which limit of a quota is in the way.
pub(super) fn quota(blocker: &QuotaBlocker) -> String {
    let QuotaBlocker { project, what, limit, used, asked } = blocker;
    let [limit, used, asked] = [*limit, *used, *asked].map(|it| what.amount(it));
    format!("  projects/{project}: {what}: {asked} asked for, {used} used of {limit}\n")
}

fn described(project: &Project) -> String {
    let Project { id, parent, labels, quota } = project;
    let Quota { rate, reservations, rate_each, duration_each, horizon } = quota;
    let mut out = format!("projects/{id}");
    let mut say = |what: &str, text: Option<String>| {
        out.extend(text.map(|text| format!(" {what} {text}")));
    };
    say("in", parent.as_ref().map(ToString::to_string));
    say("rate", rate.map(|it| it.to_string()));
    say("reservations", reservations.map(|it| it.to_string()));
    say("rate-each", rate_each.map(|it| it.to_string()));
    say("duration-each", duration_each.map(|it| it.to_string()));
    say("horizon", horizon.map(|it| it.to_string()));
    for (key, value) in labels {
        say("label", Some(format!("{key}={value}")));
    }
    out
}

fn project(called: &str, words: &[&str]) -> Project {
    let rate = |key| option(words, key).map(|text| text.parse().unwrap());
    let label = option(words, "label").and_then(|text| text.split_once('='));
    let labels: BTreeMap<String, String> =
        label.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
    let quota = Quota {
        rate: rate("rate"),
        reservations: option(words, "reservations").map(|text| text.parse().unwrap()),
        rate_each: rate("rate-each"),
        duration_each: option(words, "duration-each").map(span),
        horizon: option(words, "horizon").map(span),
    };
    Project { id: id(called), parent: option(words, "in").map(id), labels, quota }
}

pub(super) fn id(text: &str) -> ProjectId {
    ProjectId(name(text))
}
