//! Projects, what they may have, and what a change of that comes to.

use tidegate_client::policy::{
    Amount, ClassChange, EffectiveLimit, EffectivePolicy, Loan, Overuse, PolicyApplied,
    ProjectChange, ProjectInfo, RuleChange, Whose,
};
use tidegate_policy::{
    BitRate, Budget, Each, Interval, Limit, Period, Project, Share, Weekly, Zone,
};

use super::{class, counted, labels, rule};
use crate::output::{Column, Record, Style, Thing, Tone, Value, painted};

impl Thing for ProjectInfo {
    const ONE: &'static str = "project";
    const MANY: &'static str = "projects";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("name", "name", |it| Value::text(&it.project.id)),
        Column::new("parent", "parent", |it| Value::maybe(it.project.parent.as_ref())),
        Column::new("live", "live_reservation_count", |it| Value::Count(it.live)),
        Column::new("rate", "rate_bps", |it| rate(it.project.quota.rate)),
        Column::new("reservations", "reservation_count", |it| count(it.project.quota.reservations)),
        Column::new("rate-each", "rate_each_bps", |it| rate(it.project.quota.rate_each)),
        Column::new("duration-each", "duration_each", |it| {
            it.project.quota.duration_each.map_or(Value::Nothing, Value::Span)
        }),
        Column::new("horizon", "horizon", |it| {
            it.project.quota.horizon.map_or(Value::Nothing, Value::Span)
        }),
        Column::new("shares", "shares", |it| shares(&it.project.quota.shares)),
        Column::new("principals", "principal_count", |it| count(it.project.quota.principals)),
        Column::new("each-principal", "each_principal", |it| each(&it.project.quota.each)),
        Column::new("budgets", "budgets", |it| budgets(&it.project.quota.budgets)),
        Column::new("lend", "lend_bps", |it| rate(it.project.quota.lend)),
        Column::new("borrow", "borrow_bps", |it| rate(it.project.quota.borrow)),
        Column::new("pool", "pool_bps", |it| rate(it.project.quota.pool)),
        Column::wide("hours", "weekly", |it| hours(&it.project.quota.weekly)),
        Column::wide("overrides", "overrides", |it| overrides(&it.project.quota.overrides)),
        Column::wide("time-zone", "time_zone", |it| zone(&it.project.quota.zone)),
        Column::new("labels", "labels", |it| labels(&it.project.labels)),
    ];
}

fn rate(rate: Option<BitRate>) -> Value {
    rate.map_or(Value::Nothing, Value::Rate)
}

fn count(most: Option<u32>) -> Value {
    most.map_or(Value::Nothing, |most| Value::Count(most.into()))
}

fn zone(zone: &Zone) -> Value {
    Value::unless(*zone == Zone::UTC, Value::text(zone))
}

/// Several things of which people read a word each.
fn several<T>(things: &[T], word: fn(&T) -> String, record: fn(&T) -> Record) -> Value {
    if things.is_empty() {
        return Value::Nothing;
    }
    let words: Vec<String> = things.iter().map(word).collect();
    Value::told(words.join(", "), Value::Records(things.iter().map(record).collect()))
}

fn shares(list: &[Share]) -> Value {
    several(list, share_word, |it| {
        Record(vec![("selector", Value::text(&it.of)), ("part_ppm", class::part(it.part))])
    })
}

fn budgets(list: &[Budget]) -> Value {
    several(list, budget_word, |it| {
        let period = Value::text(it.period);
        Record(vec![("period", period), ("volume_bytes", Value::Size(it.bytes))])
    })
}

fn hours(list: &[(Weekly, BitRate)]) -> Value {
    several(list, hours_word, |(hours, rate)| {
        Record(vec![("hours", Value::text(hours)), ("rate_bps", Value::Rate(*rate))])
    })
}

fn overrides(list: &[(Interval, BitRate)]) -> Value {
    several(list, override_word, |(over, rate)| {
        Record(vec![
            ("start_time", Value::Time(over.start())),
            ("end_time", Value::Time(over.end())),
            ("rate_bps", Value::Rate(*rate)),
        ])
    })
}

fn share_word(it: &Share) -> String {
    format!("{}={}", it.of, it.part)
}

fn budget_word(it: &Budget) -> String {
    format!("{}={}", it.period, it.bytes)
}

fn hours_word((hours, rate): &(Weekly, BitRate)) -> String {
    format!("{hours}={rate}")
}

fn override_word((over, rate): &(Interval, BitRate)) -> String {
    format!("{}..{}={rate}", over.start(), over.end())
}

fn each(each: &Each) -> Value {
    if *each == Each::default() {
        return Value::Nothing;
    }
    let Each { rate: at_once, reservations, shares: parts, budgets: bytes } = each;
    let fields = vec![
        ("rate_bps", rate(*at_once)),
        ("reservation_count", count(*reservations)),
        ("shares", shares(parts)),
        ("budgets", budgets(bytes)),
    ];
    Value::told(each_words(each, "").join(", "), Value::Record(Record(fields)))
}

fn each_words(each: &Each, prefix: &str) -> Vec<String> {
    let Each { rate, reservations, shares, budgets } = each;
    let rate = rate.map(|it| format!("{prefix}rate {it}"));
    let reservations = reservations.map(|it| format!("{prefix}reservations {it}"));
    let shares = shares.iter().map(|it| format!("{prefix}share {}", share_word(it)));
    let budgets = budgets.iter().map(|it| format!("{prefix}budget {}", budget_word(it)));
    rate.into_iter().chain(reservations).chain(shares).chain(budgets).collect()
}

/// A limit that binds a project.
pub(crate) struct Binding(pub(crate) EffectiveLimit);

impl Thing for Binding {
    const ONE: &'static str = "limit";
    const MANY: &'static str = "limits";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("limit", "limit", |it| {
            Value::word(limit(it.0.what), limit_words(&it.0), Tone::Plain)
        }),
        Column::new("allowed", "allowed", |it| amount(it.0.allowed)),
        Column::new("used", "used", |it| it.0.used.map_or(Value::Nothing, amount)),
        Column::new("of", "project", |it| Value::text(&it.0.project)),
        Column::data("each-principal", "each_principal", |it| Value::Flag(it.0.each_principal)),
        Column::data("lanes", "selector", |it| Value::maybe(it.0.selector.as_ref())),
        Column::new("by", "principal", |it| Value::maybe(it.0.principal.as_ref())),
        Column::new("on", "lane", |it| Value::maybe(it.0.lane.as_ref())),
        Column::new("until", "until_time", |it| Value::time(it.0.until)),
    ];
}

fn limit_words(it: &EffectiveLimit) -> String {
    let of = it.selector.as_ref().map_or(String::new(), |lanes| format!(" of {lanes}"));
    let whose = if it.each_principal { ", each principal" } else { "" };
    format!("{}{of}{whose}", it.what)
}

/// A project, and what binds it.
pub(crate) struct Described {
    pub(crate) info: ProjectInfo,
    pub(crate) policy: EffectivePolicy,
}

impl Thing for Described {
    const ONE: &'static str = "project";
    const MANY: &'static str = "projects";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("name", "name", |it| Value::text(&it.info.project.id)),
        Column::new("in", "lineage", |it| {
            let above = Value::texts(it.policy.lineage.iter().skip(1));
            if it.policy.lineage.len() <= 1 { Value::Nothing } else { above }
        }),
        Column::new("labels", "labels", |it| labels(&it.info.project.labels)),
        Column::new("live", "live_reservation_count", |it| Value::Count(it.info.live)),
        Column::new("classes", "classes", |it| Value::texts(&it.policy.classes)),
        Column::new("lend", "lend_bps", |it| rate(it.info.project.quota.lend)),
        Column::new("borrow", "borrow_bps", |it| rate(it.info.project.quota.borrow)),
        Column::new("pool", "pool_bps", |it| rate(it.info.project.quota.pool)),
        Column::new("loans", "loans", |it| loans(&it.policy.loans)),
        Column::new("time-zone", "time_zone", |it| zone(&it.info.project.quota.zone)),
        Column::new("hours", "weekly", |it| records(hours(&it.info.project.quota.weekly))),
        Column::new("overrides", "overrides", |it| {
            records(overrides(&it.info.project.quota.overrides))
        }),
        Column::data("limits", "limits", |it| {
            Value::Records(it.policy.limits.iter().map(binding).collect())
        }),
    ];
}

/// Who borrows from whom now.
fn loans(list: &[Loan]) -> Value {
    let word = |it: &Loan| format!("{} has {} of {}", it.borrower, it.amount, it.lender);
    several(list, word, |it| {
        Record(vec![
            ("borrower", Value::text(&it.borrower)),
            ("lender", Value::text(&it.lender)),
            ("amount_bps", Value::Rate(it.amount)),
        ])
    })
}

/// All of what people would read a word of.
fn records(value: Value) -> Value {
    match value {
        Value::Told { data, .. } => *data,
        other => other,
    }
}

pub(crate) fn binding(it: &EffectiveLimit) -> Record {
    Record(vec![
        ("limit", Value::word(limit(it.what), limit_words(it), Tone::Plain)),
        ("allowed", amount(it.allowed)),
        ("used", it.used.map_or(Value::Nothing, amount)),
        ("project", Value::text(&it.project)),
        ("each_principal", Value::Flag(it.each_principal)),
        ("selector", Value::maybe(it.selector.as_ref())),
        ("principal", Value::maybe(it.principal.as_ref())),
        ("lane", Value::maybe(it.lane.as_ref())),
        ("until_time", Value::time(it.until)),
    ])
}

impl Thing for PolicyApplied {
    const ONE: &'static str = "change";
    const MANY: &'static str = "changes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("etag", "etag", |it| Value::text(&it.etag)),
        Column::new("changes", "changes", |it| {
            Value::Records(it.changes.iter().map(change).collect())
        }),
        Column::new("class-changes", "class_changes", |it| {
            Value::Records(it.class_changes.iter().map(class::change).collect())
        }),
        Column::new("rule-changes", "rule_changes", |it| {
            Value::Records(it.rule_changes.iter().map(rule::change).collect())
        }),
        Column::new("overuses", "overuses", |it| {
            Value::Records(it.overuses.iter().map(overuse).collect())
        }),
    ];
}

pub(crate) fn limit(what: Limit) -> &'static str {
    match what {
        Limit::Rate => "rate",
        Limit::Reservations => "reservations",
        Limit::RateEach => "rate_each",
        Limit::DurationEach => "duration_each",
        Limit::Horizon => "horizon",
        Limit::Principals => "principals",
        Limit::Share => "share",
        Limit::Budget(Period::Day) => "budget_day",
        Limit::Budget(Period::Week) => "budget_week",
        Limit::Budget(Period::Month) => "budget_month",
    }
}

/// With its unit for people, a number for programs: in bits per second, reservations, time, bytes or
/// parts per million, as the limit beside it says.
pub(crate) fn amount(amount: Amount) -> Value {
    match amount {
        Amount::Rate(rate) => Value::Rate(rate),
        Amount::Count(count) => Value::Count(count),
        Amount::Time(span) => Value::Span(span),
        Amount::Bytes(bytes) => Value::Size(bytes),
        Amount::Part(ppm) => Value::told(amount.to_string(), Value::Ppm(ppm)),
    }
}

/// Whose a limit is: what of it is not meant is nothing.
pub(crate) fn whose(whose: &Whose) -> Vec<(&'static str, Value)> {
    let (project, principal, class) = match whose {
        Whose::Project(project) => (Some(project), None, None),
        Whose::Principal(project, principal) => (Some(project), Some(principal), None),
        Whose::Class(class) => (None, None, Some(class)),
    };
    vec![
        ("project", Value::maybe(project)),
        ("principal", Value::maybe(principal)),
        ("class", Value::maybe(class)),
    ]
}

fn change(it: &ProjectChange) -> Record {
    let kind = match (&it.before, &it.after) {
        (None, _) => "added",
        (Some(_), None) => "deleted",
        (Some(_), Some(_)) => "changed",
    };
    let name = it.after.as_ref().or(it.before.as_ref()).map(|project| &project.id);
    Record(vec![("kind", Value::text(kind)), ("project", Value::maybe(name))])
}

fn overuse(it: &Overuse) -> Record {
    let mut fields = whose(&it.whose);
    fields.extend([
        ("limit", Value::text(limit(it.what))),
        ("lane", Value::maybe(it.lane.as_ref())),
        ("allowed", amount(it.allowed)),
        ("used", amount(it.used)),
        ("until_time", Value::Time(it.until)),
    ]);
    Record(fields)
}

/// What a change does, for people.
pub(crate) fn applied_words(applied: &PolicyApplied, dry_run: bool, style: Style) -> String {
    let (projects, classes, rules) =
        (&applied.changes, &applied.class_changes, &applied.rule_changes);
    if projects.is_empty() && classes.is_empty() && rules.is_empty() {
        return "nothing differs".into();
    }
    let project = |it: &ProjectChange| {
        difference(it.before.as_ref().map(described), it.after.as_ref().map(described), style)
    };
    let class = |it: &ClassChange| {
        let [before, after] = [&it.before, &it.after].map(|it| it.as_ref().map(class::described));
        difference(before, after, style)
    };
    let rule = |it: &RuleChange| {
        let [before, after] = [&it.before, &it.after].map(|it| it.as_ref().map(rule::described));
        difference(before, after, style)
    };
    let projects_changed = projects.iter().map(project).chain(classes.iter().map(class));
    let mut lines: Vec<String> = projects_changed.chain(rules.iter().map(rule)).collect();
    if !applied.overuses.is_empty() {
        lines.push(overuse_words(&applied.overuses));
    }
    let changed = [
        (!projects.is_empty()).then(|| counted(whole(projects.len()), "project")),
        (!classes.is_empty()).then(|| some_classes(whole(classes.len()))),
        (!rules.is_empty()).then(|| counted(whole(rules.len()), "rule")),
    ];
    let changed = changed.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    lines.push(match dry_run {
        true => format!("{changed} would change; nothing was changed"),
        false => format!("{changed} changed"),
    });
    lines.join("\n")
}

/// A count as one that people are told.
pub(super) fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn some_classes(count: u64) -> String {
    if count == 1 { "1 class".into() } else { format!("{count} classes") }
}

/// What was, and what is instead.
fn difference(before: Option<String>, after: Option<String>, style: Style) -> String {
    match (before, after) {
        (None, Some(after)) => painted(&format!("+ {after}"), Tone::Good, style),
        (Some(before), Some(after)) => format!("- {before}\n+ {after}"),
        (Some(before), None) => painted(&format!("- {before}"), Tone::Bad, style),
        (None, None) => String::new(),
    }
}

/// Which quotas are below what is used.
pub(crate) fn overuse_words(overuses: &[Overuse]) -> String {
    /// So many are told one by one.
    const NAMED_MAX: usize = 8;
    let mut lines: Vec<String> = overuses.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = overuses.len().saturating_sub(NAMED_MAX);
    if 0 < more {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

fn described(project: &Project) -> String {
    let quota = &project.quota;
    let parts = [
        project.parent.as_ref().map(|parent| format!("in {parent}")),
        quota.rate.map(|it| format!("rate {it}")),
        quota.reservations.map(|it| format!("reservations {it}")),
        quota.rate_each.map(|it| format!("rate-each {it}")),
        quota.duration_each.map(|it| format!("duration-each {it}")),
        quota.horizon.map(|it| format!("horizon {it}")),
        quota.principals.map(|it| format!("principals {it}")),
        quota.lend.map(|it| format!("lend {it}")),
        quota.borrow.map(|it| format!("borrow {it}")),
        quota.pool.map(|it| format!("pool {it}")),
    ];
    let shares = quota.shares.iter().map(|it| format!("share {}", share_word(it)));
    let budgets = quota.budgets.iter().map(|it| format!("budget {}", budget_word(it)));
    let hours = quota.weekly.iter().map(|it| format!("hours {}", hours_word(it)));
    let dated = quota.overrides.iter().map(|it| format!("override {}", override_word(it)));
    let zone = Some(&quota.zone).filter(|zone| **zone != Zone::UTC);
    let zone = zone.map(|zone| format!("time-zone {zone}"));
    let labels = project.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let words = [project.id.to_string()].into_iter().chain(parts.into_iter().flatten());
    let words = words.chain(shares).chain(each_words(&quota.each, "principal-")).chain(budgets);
    words.chain(hours).chain(dated).chain(zone).chain(labels).collect::<Vec<_>>().join(" ")
}
