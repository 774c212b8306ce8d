//! Projects, quotas, classes and rules as a file that people keep: TOML, one table for each project, each
//! class of service and each admission rule.
//!
//! ```
//! use tidegate_client::policy_file;
//!
//! let text = r#"
//! [[project]]
//! name = "lab"
//! rate = "10Gbit"
//! pool = "5Gbit"                                  # what those below it may borrow beside their own
//! shares = [{ of = "network", part = "50%" }]     # of whatever each of these lanes carries
//! weekly = [{ hours = "mon-fri 08:00-18:00", rate = "2Gbit" }]
//! overrides = [{ start = "2026-12-24T00:00:00Z", end = "2026-12-27T00:00:00Z", rate = "20Gbit" }]
//! budgets = [{ period = "month", bytes = "2PB" }]
//! time_zone = "Europe/Berlin"                     # whose hours, days, weeks and months these are
//!
//! [[project]]
//! name = "vision"
//! parent = "lab"
//! rate = "4Gbit"
//! lend = "2Gbit"                                  # of which others may have so much while it is free
//! borrow = "6Gbit"                                # and this much of what others lend
//! reservations = 200
//! rate_each = "2Gbit"
//! duration_each = "12h"
//! horizon = "30d"
//! principals = 10
//! labels = { team = "vision", cost-centre = "4711" }
//!
//! [project.each_principal]
//! rate = "1Gbit"
//! reservations = 20
//! shares = [{ of = "storage/swift-*", part = "12.5%" }]
//! budgets = [{ period = "day", bytes = "10TB" }]
//!
//! [[class]]
//! name = "silver"
//! ratio = "1:2"               # half of what is asked for is promised
//! weight = 2
//! priority = 3
//! preemptible = true
//! lane_share = "80%"
//! headroom = { part = "10%", longest = "10m" }
//! no_show_grace = "5m"
//! hold_for = "30s"
//! projects = ["lab"]
//! tiers = ["ssd", "hdd"]
//!
//! [[rule]]
//! name = "archive-by-night"
//! when = '"storage/archive" in request.sources && now.getHours("Europe/Berlin") >= 8'
//! deny = "the archive is read by night"       # or cap = "2Gbit", class = "gold", priority = 5
//! shadow = true                               # only counted
//! comment = "until the new archive is there"
//! "#;
//! let policy = policy_file::read(text)?;
//! assert_eq!(policy.projects.len(), 2);
//! assert_eq!(policy.classes.as_ref().map(Vec::len), Some(1));
//! assert_eq!(policy_file::read(&policy_file::write(&policy))?, policy);
//! # Ok::<(), policy_file::PolicyFileError>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tidegate_policy::{
    BitRate, Budget, ByteCount, Class, ClassId, Each, Effect, Headroom, Interval, Name, Overcommit,
    Part, Period, Project, ProjectId, Quota, Rule, RuleId, Share, Span, Timestamp, Weekly, Zone,
};

/// What is wrong with a file, and where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PolicyFileError(#[from] toml::de::Error);

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PolicyFile {
    /// All projects that there are to be.
    pub projects: Vec<Project>,
    /// All classes that there are to be; `None` if the file says nothing of classes: `class = []` says
    /// that there are none.
    pub classes: Option<Vec<Class>>,
    /// All admission rules that there are to be; `None` if the file says nothing of rules.
    pub rules: Option<Vec<Rule>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    project: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Vec<ClassEntry>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Vec<RuleEntry>>,
}

/// A project as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<BitRate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservations: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_each: Option<BitRate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_each: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    horizon: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principals: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lend: Option<BitRate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    borrow: Option<BitRate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<BitRate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<Zone>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shares: Vec<Share>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<BudgetEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    weekly: Vec<Hours>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    overrides: Vec<Dated>,
    #[serde(default, skip_serializing_if = "EachEntry::is_empty")]
    each_principal: EachEntry,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// What each principal may have, as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EachEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<BitRate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservations: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shares: Vec<Share>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<BudgetEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetEntry {
    period: Period,
    bytes: ByteCount,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hours {
    hours: Weekly,
    rate: BitRate,
}

/// A rate at one time, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedEntry {
    start: String,
    end: String,
    rate: BitRate,
}

/// The same, with an end behind its start.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "DatedEntry", into = "DatedEntry")]
struct Dated(Interval, BitRate);

impl TryFrom<DatedEntry> for Dated {
    type Error = String;

    fn try_from(DatedEntry { start, end, rate }: DatedEntry) -> Result<Self, String> {
        let read = |text: &str| text.parse::<Timestamp>().map_err(|error| error.to_string());
        let over = Interval::new(read(&start)?, read(&end)?);
        let over = over.ok_or_else(|| format!("it ends at {end}, which is not after {start}"))?;
        Ok(Self(over, rate))
    }
}

impl From<Dated> for DatedEntry {
    fn from(Dated(over, rate): Dated) -> Self {
        Self { start: over.start().to_string(), end: over.end().to_string(), rate }
    }
}

/// A class as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassEntry {
    name: Name,
    #[serde(default)]
    ratio: Overcommit,
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    priority: u8,
    #[serde(default)]
    preemptible: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane_share: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_show_grace: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_for: Option<Span>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    projects: BTreeSet<Name>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    tiers: BTreeSet<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headroom: Option<HeadroomEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadroomEntry {
    part: Part,
    longest: Span,
}

fn one() -> u32 {
    1
}

impl EachEntry {
    fn is_empty(&self) -> bool {
        let Self { rate, reservations, shares, budgets } = self;
        rate.is_none() && reservations.is_none() && shares.is_empty() && budgets.is_empty()
    }
}

fn budgets(entries: Vec<BudgetEntry>) -> Vec<Budget> {
    entries.into_iter().map(|BudgetEntry { period, bytes }| Budget { period, bytes }).collect()
}

fn budget_entries(budgets: Vec<Budget>) -> Vec<BudgetEntry> {
    budgets.into_iter().map(|Budget { period, bytes }| BudgetEntry { period, bytes }).collect()
}

impl From<Entry> for Project {
    fn from(entry: Entry) -> Self {
        let each = entry.each_principal;
        let quota = Quota {
            rate: entry.rate,
            reservations: entry.reservations,
            rate_each: entry.rate_each,
            duration_each: entry.duration_each,
            horizon: entry.horizon,
            shares: entry.shares,
            principals: entry.principals,
            each: Each {
                rate: each.rate,
                reservations: each.reservations,
                shares: each.shares,
                budgets: budgets(each.budgets),
            },
            budgets: budgets(entry.budgets),
            weekly: entry.weekly.into_iter().map(|it| (it.hours, it.rate)).collect(),
            overrides: entry.overrides.into_iter().map(|Dated(over, rate)| (over, rate)).collect(),
            zone: entry.time_zone.unwrap_or_default(),
            lend: entry.lend,
            borrow: entry.borrow,
            pool: entry.pool,
        };
        let parent = entry.parent.map(ProjectId);
        Self { id: ProjectId(entry.name), parent, labels: entry.labels, quota }
    }
}

impl From<Project> for Entry {
    fn from(project: Project) -> Self {
        let Project { id: ProjectId(name), parent, labels, quota } = project;
        let Quota {
            rate,
            reservations,
            rate_each,
            duration_each,
            horizon,
            shares,
            principals,
            each,
            budgets,
            weekly,
            overrides,
            zone,
            lend,
            borrow,
            pool,
        } = quota;
        let Each { rate: rate_of_each, reservations: held, shares: parts, budgets: bytes } = each;
        Self {
            name,
            parent: parent.map(|ProjectId(name)| name),
            rate,
            reservations,
            rate_each,
            duration_each,
            horizon,
            principals,
            lend,
            borrow,
            pool,
            time_zone: Some(zone).filter(|zone| *zone != Zone::UTC),
            shares,
            budgets: budget_entries(budgets),
            weekly: weekly.into_iter().map(|(hours, rate)| Hours { hours, rate }).collect(),
            overrides: overrides.into_iter().map(|(over, rate)| Dated(over, rate)).collect(),
            each_principal: EachEntry {
                rate: rate_of_each,
                reservations: held,
                shares: parts,
                budgets: budget_entries(bytes),
            },
            labels,
        }
    }
}

impl From<ClassEntry> for Class {
    fn from(entry: ClassEntry) -> Self {
        let headroom = entry.headroom;
        Self {
            id: ClassId(entry.name),
            ratio: entry.ratio,
            weight: entry.weight,
            priority: entry.priority,
            preemptible: entry.preemptible,
            lane_share: entry.lane_share,
            headroom: headroom.map(|HeadroomEntry { part, longest }| Headroom { part, longest }),
            no_show_grace: entry.no_show_grace,
            hold_for: entry.hold_for,
            projects: entry.projects.into_iter().map(ProjectId).collect(),
            tiers: entry.tiers,
        }
    }
}

impl From<Class> for ClassEntry {
    fn from(class: Class) -> Self {
        let Class { id: ClassId(name), ratio, weight, priority, preemptible, .. } = class;
        let headroom = class.headroom;
        Self {
            name,
            ratio,
            weight,
            priority,
            preemptible,
            lane_share: class.lane_share,
            no_show_grace: class.no_show_grace,
            hold_for: class.hold_for,
            projects: class.projects.into_iter().map(|ProjectId(name)| name).collect(),
            tiers: class.tiers,
            headroom: headroom.map(|Headroom { part, longest }| HeadroomEntry { part, longest }),
        }
    }
}

/// A rule as it is written: with just one of what it may do.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleWords {
    name: Name,
    when: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deny: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cap: Option<BitRate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shadow: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    comment: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "RuleWords", into = "RuleWords")]
struct RuleEntry(Rule);

impl TryFrom<RuleWords> for RuleEntry {
    type Error = String;

    fn try_from(words: RuleWords) -> Result<Self, String> {
        let RuleWords { name, when, deny, cap, class, priority, shadow, comment } = words;
        let then = match (deny, cap, class, priority) {
            (Some(message), None, None, None) => Effect::Deny { message },
            (None, Some(rate), None, None) => Effect::Cap { rate },
            (None, None, Some(class), None) => Effect::Class(ClassId(class)),
            (None, None, None, Some(priority)) => Effect::Priority(priority),
            _ => {
                let why = "a rule does one thing; write one of deny, cap, class and priority";
                return Err(format!("{name}: {why}"));
            }
        };
        Ok(Self(Rule { id: RuleId(name), when, then, shadow, comment }))
    }
}

impl From<RuleEntry> for RuleWords {
    fn from(RuleEntry(rule): RuleEntry) -> Self {
        let Rule { id: RuleId(name), when, then, shadow, comment } = rule;
        let (deny, cap, class, priority) = Default::default();
        let words = Self { name, when, deny, cap, class, priority, shadow, comment };
        match then {
            Effect::Deny { message } => Self { deny: Some(message), ..words },
            Effect::Cap { rate } => Self { cap: Some(rate), ..words },
            Effect::Class(ClassId(class)) => Self { class: Some(class), ..words },
            Effect::Priority(priority) => Self { priority: Some(priority), ..words },
        }
    }
}

/// What a file says. Whether it makes sense, the broker says.
///
/// # Errors
/// [`PolicyFileError`]: what is wrong, with its line and column.
pub fn read(text: &str) -> Result<PolicyFile, PolicyFileError> {
    let file: File = toml::from_str(text)?;
    let classes = file.class.map(|classes| classes.into_iter().map(Class::from).collect());
    let rules = file.rule.map(|rules| rules.into_iter().map(|RuleEntry(rule)| rule).collect());
    let projects = file.project.into_iter().map(Project::from).collect();
    Ok(PolicyFile { projects, classes, rules })
}

/// A policy as a file that [`read`] takes.
#[must_use]
pub fn write(policy: &PolicyFile) -> String {
    let project = policy.projects.iter().cloned().map(Entry::from).collect();
    let class = policy.classes.as_ref();
    let class = class.map(|classes| classes.iter().cloned().map(ClassEntry::from).collect());
    // Names, numbers and texts always have a form in TOML.
    let rule = policy.rules.as_ref();
    let rule = rule.map(|rules| rules.iter().cloned().map(RuleEntry).collect());
    toml::to_string(&File { project, class, rule }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, told) in [
            ("[[project]]\nname = \"a\"\nrate = 10", "line 3"),
            ("[[project]]\nname = \"a b\"", "not a name"),
            ("[[project]]\nrate = \"1Gbit\"", "missing field `name`"),
            ("[[project]]\nname = \"a\"\nrates = \"1Gbit\"", "unknown field `rates`"),
            ("[project]\nname = \"a\"", "expected"),
            ("[[class]]\nname = \"a\"\nratio = \"2\"", "write 1:1 to 1:100"),
            ("[[rule]]\nname = \"a\"\nwhen = \"true\"", "one of deny, cap, class and priority"),
            ("[[rule]]\nname = \"a\"\nwhen = \"true\"\ncap = \"1\"", "has no unit"),
            ("[[class]]\nname = \"a\"\nlane_share = \"101%\"", "over the largest"),
            ("[[class]]\nratio = \"1:2\"", "missing field `name`"),
            ("[[project]]\nname = \"a\"\ntime_zone = \"Berlin\"", "IANA name"),
            ("[[project]]\nname = \"a\"\nshares = [{ of = \"nics\", part = \"1%\" }]", "line 3"),
            (
                "[[project]]\nname = \"a\"\noverrides = [{ start = \"2026-12-02T00:00:00Z\", \
                 end = \"2026-12-01T00:00:00Z\", rate = \"1Gbit\" }]",
                "not after",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert_eq!(read("").unwrap(), PolicyFile::default());
    }

    #[test]
    fn a_file_says_all_about_classes_or_nothing() {
        let text = "[[project]]\nname = \"a\"\n";
        assert_eq!(read(text).unwrap().classes, None);
        let none = read(&format!("class = []\n{text}")).unwrap();
        assert_eq!(none.classes, Some(Vec::new()));
        assert_eq!(read(&write(&none)).unwrap(), none, "{}", write(&none));
        let shipped: Vec<Class> = tidegate_policy::Classes::default().iter().cloned().collect();
        let all = PolicyFile { classes: Some(shipped), ..none };
        assert_eq!(read(&write(&all)).unwrap(), all, "{}", write(&all));
    }
}
