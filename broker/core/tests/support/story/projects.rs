//! Projects and quotas in a story.

use std::collections::BTreeMap;

use tidegate_core::machine::Loan;
use tidegate_core::rehearsal::{Asked, Decided};
use tidegate_core::{Answer, Changed, Command, Overuse, PolicyAsk, QuotaBlocker};
use tidegate_policy::{
    BitRate, Budget, Class, ClassId, Each, Effect, Headroom, Interval, Part, Project, ProjectId,
    Quota, Rule, RuleId, Share, Weekly, Zone,
};

use super::World;
use super::draft::name;
use super::print::{instant, over};
use super::shape::{option, span, time};

impl World {
    /// `policy [whole] [etag N] [ignoring checks]`, then with ` ; ` in between `project NAME [in P]
    /// [label K=V]` and its limits, `class NAME` and what it is, `delete NAME`, `delete-class NAME`.
    /// Limits: `rate R`, `reservations N`, `rate-each R`, `duration-each SPAN`, `horizon SPAN`,
    /// `share SELECTOR=PART`, `principals N`, and of each principal `own-rate R`, `own-reservations N`,
    /// `own-share SELECTOR=PART`, `budget PERIOD=BYTES`, `own-budget PERIOD=BYTES`,
    /// `lend R`, `borrow R`, `pool R`, `at DAYS_HOURS=RATE`, `from T..T=RATE`, `zone ZONE`. Classes: `ratio 1:N`, `weight N`, `priority N`, `preemptible`,
    /// `lane-share PART`, `headroom PART longest SPAN`, `grace SPAN`, `hold SPAN`, `only P,P`,
    /// `tiers T,T`. `rule NAME [shadow] deny MESSAGE|cap R|class C|priority N when CONDITION`, the message
    /// with `_` for blanks, and `delete-rule NAME`.
    pub(super) fn policy(&self, words: &[&str]) -> Command {
        let kinds = ["project", "class", "rule", "delete", "delete-class", "delete-rule"];
        let first = words.iter().position(|word| kinds.contains(word));
        let (how, all) = words.split_at(first.unwrap_or(words.len()));
        let mut ask = PolicyAsk {
            version: option(how, "etag").map(|text| text.parse().unwrap()),
            accept_overuse: how.contains(&"ignoring"),
            ..PolicyAsk::default()
        };
        ask.projects.whole = how.contains(&"whole");
        for part in all.split(|word| *word == ";") {
            match part {
                ["project", name, rest @ ..] => ask.projects.put.push(project(name, rest)),
                ["class", name, rest @ ..] => ask.classes.put.push(class(name, rest)),
                ["rule", name, rest @ ..] => ask.rules.put.push(rule(name, rest)),
                ["delete-rule", called] => ask.rules.gone.push(RuleId(name(called))),
                ["delete", name] => ask.projects.gone.push(id(name)),
                ["delete-class", called] => ask.classes.gone.push(ClassId(name(called))),
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

    /// Every rule, and what became of requests by it.
    pub(super) fn rules(&self) -> String {
        let lines = self.machine.rules().map(|rule| {
            let count = self.machine.rule_counts().get(&rule.id).copied().unwrap_or_default();
            format!("{}: {} applied, {} in shadow\n", ruling(rule), count.applied, count.shadow)
        });
        lines.collect()
    }

    /// What a change would have decided otherwise of all that was asked.
    pub(super) fn rehearse(&self, words: &[&str]) -> String {
        let Command::ApplyPolicy(change) = self.policy(words) else { return String::new() };
        // The network and the policy are those of today.
        let reserving = |it: &&Asked| {
            !matches!(it.request.command, Command::ApplyTopology { .. } | Command::ApplyPolicy(_))
        };
        let asked: Vec<Asked> = self.asked.iter().filter(reserving).cloned().collect();
        let told = match self.machine.rehearse(self.now, (&asked, &change), || true) {
            Ok(told) => told,
            Err(fault) => return format!("fault: {}\n", self.tame(&fault.to_string())),
        };
        let mut out = format!("{} decided\n", told.decided);
        for ((before, after), count) in &told.turned {
            out.push_str(&format!("  {count} from {before:?} to {after:?}\n"));
        }
        let words = |decided: &Decided| match decided {
            Decided::Granted { rate, over: when, class } => {
                let class = class.as_ref().map_or(String::new(), |class| format!(" {class}"));
                format!("granted {rate} {}{class}", over(*when))
            }
            Decided::Refused(refusal) => format!("refused, {}", refusal.reason),
            Decided::Wrong(fault) => format!("wrong, {fault}"),
        };
        for it in &told.differing {
            let (at, before, after) = (instant(it.at), words(&it.before), words(&it.after));
            out.push_str(&format!("  {at} {}: {before}; would be {after}\n", it.project));
        }
        out
    }

    /// Who borrows from whom in the tree of a project now.
    pub(super) fn loans(&self, project: &str) -> String {
        let loans = self.machine.loans(&id(project), self.now).into_iter();
        let line = |loan: Loan| {
            let amount = tidegate_policy::BitRate::from_bps(loan.amount).unwrap();
            format!("{} borrows {amount} from {}\n", loan.borrower, loan.lender)
        };
        loans.map(line).collect()
    }

    /// Every class.
    pub(super) fn classes(&self) -> String {
        self.machine.classes().iter().map(|class| format!("{}\n", graded(class))).collect()
    }

    pub(super) fn policy_answer(&self, answer: &Answer) -> String {
        let Answer::Policy { version, changes, overuses } = answer else { return String::new() };
        let mut out = format!("policy {version}\n");
        for change in &changes.projects {
            out.push_str(&line(change, described));
        }
        for change in &changes.classes {
            out.push_str(&line(change, graded));
        }
        for change in &changes.rules {
            out.push_str(&line(change, ruling));
        }
        out + &overuses.iter().map(|it| format!("  {}\n", overused(it))).collect::<String>()
    }
}

fn line<T>(change: &Changed<T>, describe: impl Fn(&T) -> String) -> String {
    match (&change.before, &change.after) {
        (None, Some(after)) => format!("  + {}\n", describe(after)),
        (Some(_), Some(after)) => format!("  ~ {}\n", describe(after)),
        (Some(before), None) => format!("  - {}\n", describe(before).split(' ').next().unwrap()),
        (None, None) => panic!("nothing came of nothing"),
    }
}

/// What is over its quota.
fn overused(overuse: &Overuse) -> String {
    let Overuse { whose, what, of, limit, used, until } = overuse;
    let (limit, used) = (what.amount(*limit), what.amount(*used));
    let of = of.as_ref().map_or(String::new(), |lane| format!(" of {lane}"));
    format!("{whose}: {what}{of}: {used} used of {limit} until {}", instant(*until))
}

/// Which limit of a quota is in the way.
pub(super) fn quota(blocker: &QuotaBlocker) -> String {
    let QuotaBlocker { whose, what, limit, used, asked } = blocker;
    let [limit, used, asked] = [*limit, *used, *asked].map(|it| what.amount(it));
    format!("  {whose}: {what}: {asked} asked for, {used} used of {limit}\n")
}

fn graded(class: &Class) -> String {
    let Class { id, ratio, weight, priority, preemptible, .. } = class;
    let mut out = format!("classes/{id} {ratio} weight {weight} priority {priority}");
    let mut say = |what: &str, text: Option<String>| {
        out.extend(text.map(|text| format!(" {what} {text}").trim_end().to_owned()));
    };
    say("preemptible", preemptible.then(String::new));
    say("lane-share", class.lane_share.map(|it| it.to_string()));
    say("headroom", class.headroom.map(|it| format!("{} longest {}", it.part, it.longest)));
    say("grace", class.no_show_grace.map(|it| it.to_string()));
    say("hold", class.hold_for.map(|it| it.to_string()));
    let only: Vec<String> = class.projects.iter().map(ToString::to_string).collect();
    say("only", (!only.is_empty()).then(|| only.join(",")));
    let tiers: Vec<String> = class.tiers.iter().map(ToString::to_string).collect();
    say("tiers", (!tiers.is_empty()).then(|| tiers.join(",")));
    out
}

fn class(called: &str, words: &[&str]) -> Class {
    let plain = Class::new(ClassId(name(called)));
    let part = |key| option(words, key).map(|text| text.parse::<Part>().unwrap());
    let list = |key| option(words, key).into_iter().flat_map(|text| text.split(',')).map(name);
    let longest = option(words, "longest").map(span);
    let headroom = part("headroom").zip(longest);
    Class {
        ratio: option(words, "ratio").map_or(plain.ratio, |text| text.parse().unwrap()),
        weight: option(words, "weight").map_or(plain.weight, |text| text.parse().unwrap()),
        priority: option(words, "priority").map_or(plain.priority, |text| text.parse().unwrap()),
        preemptible: words.contains(&"preemptible"),
        lane_share: part("lane-share"),
        headroom: headroom.map(|(part, longest)| Headroom { part, longest }),
        no_show_grace: option(words, "grace").map(span),
        hold_for: option(words, "hold").map(span),
        projects: list("only").map(ProjectId).collect(),
        tiers: list("tiers").collect(),
        ..plain
    }
}

/// `budget day=10TB,month=200TB`.
fn budgets(words: &[&str], key: &str) -> Vec<Budget> {
    let budgets = option(words, key).into_iter().flat_map(|text| text.split(','));
    let read = |text: &str| {
        let (period, bytes) = text.split_once('=').unwrap();
        Budget { period: period.parse().unwrap(), bytes: bytes.parse().unwrap() }
    };
    budgets.map(read).collect()
}

/// `at mon-fri_08:00-18:00=1Gbit`, several with commas.
fn weekly(words: &[&str]) -> Vec<(Weekly, BitRate)> {
    let hours = option(words, "at").into_iter().flat_map(|text| text.split(';'));
    let read = |text: &str| {
        let (hours, rate) = text.split_once('=').unwrap();
        (hours.replace('_', " ").parse().unwrap(), rate.parse().unwrap())
    };
    hours.map(read).collect()
}

/// `from 1h..2h=5Gbit`.
fn overrides(words: &[&str]) -> Vec<(Interval, BitRate)> {
    let times = option(words, "from").into_iter().flat_map(|text| text.split(','));
    let read = |text: &str| {
        let (over, rate) = text.split_once('=').unwrap();
        let (from, to) = over.split_once("..").unwrap();
        (Interval::new(time(from), time(to)).unwrap(), rate.parse().unwrap())
    };
    times.map(read).collect()
}

fn rule(called: &str, words: &[&str]) -> Rule {
    let at = words.iter().position(|word| *word == "when").unwrap();
    let (how, when) = words.split_at(at);
    let then = match how {
        [.., "deny", message] => Effect::Deny { message: message.replace('_', " ") },
        [.., "cap", rate] => Effect::Cap { rate: rate.parse().unwrap() },
        [.., "class", class] => Effect::Class(ClassId(name(class))),
        [.., "priority", priority] => Effect::Priority(priority.parse().unwrap()),
        _ => panic!("no such effect: {}", how.join(" ")),
    };
    let (when, shadow) = (when[1..].join(" "), how.contains(&"shadow"));
    Rule { id: RuleId(name(called)), when, then, shadow, comment: String::new() }
}

fn ruling(rule: &Rule) -> String {
    let Rule { id, when, then, shadow, .. } = rule;
    let shadow = if *shadow { " shadow" } else { "" };
    let then = match then {
        Effect::Deny { message } => format!("deny {message:?}"),
        Effect::Cap { rate } => format!("cap {rate}"),
        Effect::Class(class) => format!("class {class}"),
        Effect::Priority(priority) => format!("priority {priority}"),
    };
    format!("rules/{id}{shadow} {then} when {when}")
}

fn shares(shares: &[Share]) -> Option<String> {
    let shares: Vec<String> = shares.iter().map(|it| format!("{}={}", it.of, it.part)).collect();
    (!shares.is_empty()).then(|| shares.join(","))
}

fn share(words: &[&str], key: &str) -> Vec<Share> {
    let shares = option(words, key).into_iter().flat_map(|text| text.split(','));
    let read = |text: &str| {
        let (of, part) = text.split_once('=').unwrap();
        Share { of: of.parse().unwrap(), part: part.parse().unwrap() }
    };
    shares.map(read).collect()
}

fn described(project: &Project) -> String {
    let Project { id, parent, labels, quota } = project;
    let Quota { rate, reservations, rate_each, duration_each, horizon, .. } = quota;
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
    say("share", shares(&quota.shares));
    say("principals", quota.principals.map(|it| it.to_string()));
    say("own-rate", quota.each.rate.map(|it| it.to_string()));
    say("own-reservations", quota.each.reservations.map(|it| it.to_string()));
    say("own-share", shares(&quota.each.shares));
    let budgets = |of: &[Budget]| {
        let all: Vec<String> = of.iter().map(|it| format!("{}={}", it.period, it.bytes)).collect();
        (!all.is_empty()).then(|| all.join(","))
    };
    say("budget", budgets(&quota.budgets));
    say("own-budget", budgets(&quota.each.budgets));
    for (hours, rate) in &quota.weekly {
        say("at", Some(format!("{hours} {rate}")));
    }
    for (times, rate) in &quota.overrides {
        say("from", Some(format!("{} {rate}", over(*times))));
    }
    say("lend", quota.lend.map(|it| it.to_string()));
    say("borrow", quota.borrow.map(|it| it.to_string()));
    say("pool", quota.pool.map(|it| it.to_string()));
    say("zone", (quota.zone != Zone::UTC).then(|| quota.zone.to_string()));
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
        shares: share(words, "share"),
        principals: option(words, "principals").map(|text| text.parse().unwrap()),
        each: Each {
            rate: rate("own-rate"),
            reservations: option(words, "own-reservations").map(|text| text.parse().unwrap()),
            shares: share(words, "own-share"),
            budgets: budgets(words, "own-budget"),
        },
        budgets: budgets(words, "budget"),
        zone: option(words, "zone").map_or(Zone::UTC, |text| text.parse().unwrap()),
        weekly: weekly(words),
        overrides: overrides(words),
        lend: rate("lend"),
        borrow: rate("borrow"),
        pool: rate("pool"),
    };
    Project { id: id(called), parent: option(words, "in").map(id), labels, quota }
}

pub(super) fn id(text: &str) -> ProjectId {
    ProjectId(name(text))
}
