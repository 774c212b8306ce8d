//! Whatever is written, and whatever is asked: nothing panics, and what passes is never of the
//! wrong kind.

use proptest::prelude::*;

use super::*;
use crate::{Effect, Rule, RuleId};

const CONSTANTS: &[&str] = &[
    "true",
    "0",
    "1",
    "-7",
    "9223372036854775807",
    "1.5",
    "1e300",
    "'a'",
    "''",
    "'team'",
    "it",
    "'hosts/cache-1'",
    "'rigid'",
    "duration('2562047h')",
    "duration('-1.5h')",
    "duration('0')",
    "timestamp('9999-12-31T23:59:59Z')",
    "timestamp('0001-01-01T00:00:00Z')",
    "['a', 'team']",
    "request.labels.team",
    "request.labels.owner",
    "project.labels['tier']",
    "null",
    "b'a'",
    "[1, 2]",
    "request",
    "it.a",
    "[]",
    "{'a': 1}",
    "1u",
    "timestamp",
    "int",
];

const OPERATORS: &[&str] =
    &["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in"];

const OF_ONE: &[&str] = &[
    "!(@)",
    "-(@)",
    "size(@)",
    "(@).size()",
    "has((@).team)",
    "(@).team",
    "(@).getHours()",
    "(@).getHours('Asia/Tokyo')",
    "(@).getDayOfYear('+14:00')",
    "(@).getFullYear()",
    "duration(@)",
    "timestamp(@)",
    "[@]",
    "string(@)",
    "type(@)",
    "(@).getMilliseconds()",
];

const OF_TWO: &[&str] = &[
    "(@)[$]",
    "(@).startsWith($)",
    "(@).contains($)",
    "(@).exists(it, $)",
    "(@).all(it, $)",
    "(@) in [$]",
    "(@).map(it, $)",
    "(@) ? ($) : true",
    "(@).matches($)",
    "(@).orValue($)",
];

const INTS: &[&str] = &[
    "request.rate_bps",
    "request.min_bps",
    "request.volume_bytes",
    "request.priority",
    "0",
    "9223372036854775807",
    "-9223372036854775808",
    "request.labels.size()",
    "now.getHours()",
    "(request.end_time - now).getMilliseconds()",
    "now.getDayOfYear('Asia/Tokyo')",
];

const TIMES: &[&str] = &[
    "now",
    "request.start_time",
    "request.end_time",
    "timestamp('9999-12-31T23:59:59.999Z')",
    "timestamp('0001-01-01T00:00:00Z')",
    "timestamp('2026-11-25T23:59:59-23:59')",
];

const SPANS: &[&str] =
    &["request.duration", "duration('2562047h')", "duration('-2562047h')", "duration('1ns')"];

const TEXTS: &[&str] = &[
    "project.name",
    "request.labels.team",
    "request.labels.owner",
    "request.labels[it]",
    "project.labels['cost-center']",
    "request.destination",
    "'team'",
    "'hosts/cache-1'",
    "it",
];

const WITHIN: &[&str] =
    &["request.labels", "project.labels", "request.sources", "project.lineage", "['a', 'team']"];

/// Expressions that are of a kind more often than not. Each takes a few smaller ones.
fn expression() -> impl Strategy<Value = String> {
    parts().prop_recursive(5, 40, 3, |smaller| {
        let two = (smaller.clone(), smaller.clone());
        prop_oneof![
            4 => (two.clone(), prop::sample::select(OPERATORS))
                .prop_map(|((left, right), by)| format!("({left}) {by} ({right})")),
            1 => (smaller, prop::sample::select(OF_ONE))
                .prop_map(|(only, form)| form.replace('@', &only)),
            1 => (two, prop::sample::select(OF_TWO))
                .prop_map(|((one, other), form)| form.replace('$', &other).replace('@', &one)),
        ]
    })
}

/// Each operator and function once, over parts of any kind.
const FORMS: &[&str] = &[
    "size(@) == $",
    "(@).size() > $",
    "-(@) < $",
    "!(@) && $",
    "@ || $",
    "@ == $",
    "@ != $",
    "@ < $",
    "@ >= $",
    "@ in $",
    "@ in [$]",
    "@ + $ < #",
    "@ - $ < #",
    "@ * $ < #",
    "@ / $ < #",
    "@ % $ < #",
    "@[$] == #",
    "@.team == $",
    "has(@.team)",
    "(@).startsWith($)",
    "(@).endsWith($)",
    "(@).contains($)",
    "(@).getHours() == $",
    "(@).getDayOfWeek() == $",
    "(@).getFullYear('Asia/Tokyo') == $",
    "(@).getDate($) == #",
    "timestamp(@) < $",
    "duration(@) < $",
    "(@).exists(it, $ == #)",
    "(@).all(it, it in $)",
];

fn parts() -> impl Strategy<Value = String> + Clone {
    let fields = SCHEMA.fields.iter().map(|(field, _)| *field);
    let all: Vec<&str> = fields.chain(CONSTANTS.iter().copied()).collect();
    prop::sample::select(all).prop_map(str::to_owned)
}

fn form() -> impl Strategy<Value = String> {
    (prop::sample::select(FORMS), parts(), parts(), parts()).prop_map(|(form, one, two, three)| {
        form.replace('#', &three).replace('$', &two).replace('@', &one)
    })
}

const WRITTEN: [(Kind, &[&str]); 5] = [
    (Kind::Bool, &[]),
    (Kind::Int, &["0", "3", "-7", "10000000000", "9223372036854775807", "-9223372036854775808"]),
    (Kind::Text, &["'vision'", "'agent-7'", "''", "'gold'", "'hosts/compute-1'", "'transfer'"]),
    (
        Kind::Time,
        &[
            "timestamp('2026-11-25T18:30:00Z')",
            "timestamp('2026-11-25T19:30:00+01:00')",
            "timestamp('2026-11-25T18:40:00.000000001Z')",
            "timestamp('1970-01-01T00:00:00Z')",
        ],
    ),
    (Kind::Span, &["duration('2h')", "duration('7200000000001ns')", "duration('-1.5h')"]),
];

/// A field compared with something written out.
fn test() -> impl Strategy<Value = String> {
    let by = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let which = any::<prop::sample::Index>();
    (prop::sample::select(SCHEMA.fields), which, by, any::<bool>()).prop_map(
        |((field, kind), which, by, turned)| {
            let kind = if let Kind::Choice(_) = kind { Kind::Text } else { kind };
            let written = WRITTEN.iter().find(|(of, _)| *of == kind).map(|(_, written)| written);
            let Some(written) = written else {
                return match kind {
                    Kind::Labels => format!("{} in {field}", ["'team'", "'tier'"][which.index(2)]),
                    _ => {
                        let text = ["'lab'", "'storage/east'", "'nowhere'"][which.index(3)];
                        format!("{field}.exists(it, it == {text})")
                    }
                };
            };
            if written.is_empty() {
                return (*field).to_owned();
            }
            let constant = written[which.index(written.len())];
            match (turned, by) {
                (true, _) => format!("{constant} {by} {field}"),
                (false, "<") if kind == Kind::Text => format!("{field} in [{constant}, 'blue']"),
                (false, _) => format!("{field} {by} {constant}"),
            }
        },
    )
}

/// Some of those, and at times something else, one after the other.
fn led() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        6 => test(),
        2 => test().prop_map(|test| format!("!({test})")),
        1 => (test(), test()).prop_map(|(one, other)| format!("({one} || {other})")),
        1 => Just("1 / request.min_bps == 1".to_owned()),
        1 => Just("request.labels.team == 'blue'".to_owned()),
    ];
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.join(" && "))
}

/// Conditions that pass, more often than not: what [`expression`] makes by luck only.
fn condition() -> impl Strategy<Value = String> {
    let int = prop::sample::select(INTS);
    let time = prop::sample::select(TIMES);
    let span = prop::sample::select(SPANS);
    let text = prop::sample::select(TEXTS);
    let sum = (int.clone(), prop::sample::select(vec!["+", "-", "*", "/", "%"]), int.clone())
        .prop_map(|(left, by, right)| format!("({left} {by} {right})"));
    let order = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let leaf = prop_oneof![
        (sum, order.clone(), int).prop_map(|(left, by, right)| format!("{left} {by} {right}")),
        (
            time.clone(),
            prop::sample::select(vec!["+", "-"]),
            span.clone(),
            order.clone(),
            time.clone()
        )
            .prop_map(|(time, sign, span, by, other)| format!("{time} {sign} {span} {by} {other}")),
        (time.clone(), time, order.clone(), span.clone())
            .prop_map(|(one, other, by, span)| format!("{one} - {other} {by} {span}")),
        (span.clone(), span.clone(), order.clone(), span)
            .prop_map(|(one, more, by, span)| format!("{one} + {more} {by} {span}")),
        (text.clone(), order, text.clone())
            .prop_map(|(left, by, right)| format!("{left} {by} {right}")),
        (text.clone(), prop::sample::select(WITHIN))
            .prop_map(|(text, within)| format!("{text} in {within}")),
        text.prop_map(|text| format!("{text}.endsWith('1')")),
    ];
    let joined = leaf.prop_recursive(3, 12, 2, |smaller| {
        (smaller.clone(), prop::sample::select(vec!["&&", "||"]), smaller)
            .prop_map(|(left, by, right)| format!("(!({left}) {by} {right})"))
    });
    let list = prop::sample::select(vec!["request.sources", "project.lineage"]);
    (joined, list, prop::sample::select(vec!["exists", "all"]), any::<bool>()).prop_map(
        |(joined, list, by, looped)| {
            if looped || joined.contains("it") {
                format!("{list}.{by}(it, {joined})")
            } else {
                joined
            }
        },
    )
}

fn worlds() -> Vec<World> {
    let far = World { now: Timestamp::MAX, ..World::new() };
    let huge = World { volume: ByteCount::new(u64::MAX), ..World::new() };
    vec![World::new(), World::bare(), far, huge]
}

/// What passes is true, false, or fails by what it was asked about; what is decided without its
/// evaluation comes to the same.
fn sound(text: &str) -> Result<bool, TestCaseError> {
    let Ok(condition) = Condition::parse(text, &SCHEMA) else { return Ok(false) };
    let lead = Lead::of(&condition);
    for world in worlds() {
        if let Some(holds) = lead.holds(&View::new(&world.facts())) {
            prop_assert_eq!(condition.holds(&View::new(&world.facts())), Ok(holds), "{}", text);
        }
        match condition.holds(&View::new(&world.facts())) {
            Ok(_) | Err(Failure::Zero | Failure::Overflow | Failure::NoLabel(_)) => {}
            Err(Failure::TooLarge(_)) => {
                prop_assert!(
                    text.contains("volume_bytes") && world.volume == ByteCount::new(u64::MAX)
                );
            }
            Err(other) => prop_assert!(false, "{text}: {other}"),
        }
    }
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(text in "[a-z_0-9 ()\\[\\]{}.,:?!=<>+*/%&|\"'\\\\\u{e4}\u{0}-]{0,60}") {
        sound(&text)?;
    }

    #[test]
    fn no_unicode_panics(text in "\\PC{0,40}") {
        sound(&text)?;
    }

    #[test]
    fn what_passes_is_of_the_right_kind(text in expression()) {
        sound(&text)?;
    }

    #[test]
    fn no_form_takes_what_is_of_the_wrong_kind(text in form()) {
        sound(&text)?;
    }

    #[test]
    fn what_is_of_the_right_kind_passes(text in condition()) {
        prop_assert!(sound(&text)?, "{}: {:?}", text, Condition::parse(&text, &SCHEMA));
    }

    #[test]
    fn what_comes_first_is_decided_alike(text in led()) {
        sound(&text)?;
    }

    #[test]
    fn rules_decide_as_one_by_one(
        rules in prop::collection::btree_map("[a-z]{1,3}", (0..3_usize, 0..2_u8, any::<bool>(), 1..9_u64), 0..40),
    ) {
        let whens = ["request.priority == 3", "request.held", "1 / request.min_bps == 1"];
        let made = rules.iter().map(|(id, (when, then, shadow, amount))| Rule {
            id: RuleId(name(id)),
            when: whens[*when].into(),
            then: match then {
                0 => Effect::Deny { message: "no".into() },
                _ => Effect::Cap { rate: BitRate::from_bps(*amount).unwrap() },
            },
            shadow: *shadow,
            comment: String::new(),
        });
        let made: Vec<Rule> = made.rev().collect();
        let verdict = Rulebook::compile(&made).unwrap().judge(&World::new().facts());

        let of = |keep: &dyn Fn(usize, u8, bool) -> bool| -> Vec<String> {
            let kept = rules.iter().filter(|(_, (when, then, shadow, _))| keep(*when, *then, *shadow));
            kept.map(|(id, _)| id.clone()).collect()
        };
        let ids = |them: &[RuleId]| them.iter().map(ToString::to_string).collect::<Vec<_>>();
        prop_assert_eq!(ids(&verdict.hits), of(&|when, _, shadow| when != 1 && !shadow));
        prop_assert_eq!(ids(&verdict.shadow), of(&|when, _, shadow| when != 1 && shadow));
        let mut denied = of(&|when, then, shadow| !shadow && (when == 2 || when == 0 && then == 0));
        denied.truncate(DENIALS_MAX);
        prop_assert_eq!(verdict.deny.iter().map(|it| it.rule.to_string()).collect::<Vec<_>>(), denied);
        let caps = rules.iter().filter(|(_, (when, then, shadow, _))| *when == 0 && *then == 1 && !shadow);
        let least = caps.min_by_key(|(_, (.., amount))| *amount).map(|(id, (.., amount))| (*amount, id.clone()));
        prop_assert_eq!(verdict.cap.map(|(rate, id)| (rate.bps(), id.to_string())), least);
    }
}
