//! What rules decide together.

use super::*;
use crate::rule::{CHARACTERS_MAX, RULES_MAX};
use crate::{Effect, Rule, RuleFault, RuleId};

fn rule(id: &str, when: &str, then: Effect) -> Rule {
    let id = RuleId(name(id));
    Rule { id, when: when.into(), then, shadow: false, comment: String::new() }
}

fn shadow(rule: Rule) -> Rule {
    Rule { shadow: true, ..rule }
}

fn deny(message: &str) -> Effect {
    Effect::Deny { message: message.into() }
}

fn cap(rate: &str) -> Effect {
    Effect::Cap { rate: rate.parse().unwrap() }
}

fn class(text: &str) -> Effect {
    Effect::Class(ClassId(name(text)))
}

fn judged(rules: &[Rule]) -> Verdict {
    let book = Rulebook::compile(rules).unwrap_or_else(|faults| panic!("{faults:?}"));
    let world = World::new();
    let verdict = book.judge(&world.facts());
    assert_eq!(book.clone().judge(&world.facts()), verdict);
    verdict
}

fn faults(rules: &[Rule]) -> Vec<RuleFault> {
    Rulebook::compile(rules).err().unwrap_or_default()
}

fn ids(rules: &[RuleId]) -> Vec<&str> {
    rules.iter().map(|it| it.0.as_str()).collect()
}

#[test]
fn no_rules_say_nothing() {
    assert_eq!(Rulebook::default().judge(&World::new().facts()), Verdict::default());
    assert_eq!(judged(&[rule("a", "request.held", deny("no"))]), Verdict::default());
}

#[test]
fn all_rules_are_asked_in_the_order_of_their_names() {
    let rules = [
        rule("z-deny", "request.priority == 3", deny("too early")),
        rule("m-cap", "request.project == 'vision'", cap("5Gbit")),
        rule("n-cap", "true", cap("2Gbit")),
        rule("o-cap", "true", cap("2Gbit")),
        rule("p-cap", "true", cap("9Gbit")),
        rule("a-deny", "'lab' in project.lineage", deny("not for the lab")),
        rule("class", "request.shape == 'transfer'", class("bulk")),
        rule("priority", "request.labels.team == 'blue'", Effect::Priority(0)),
        shadow(rule("b-shadow", "true", deny("later"))),
        shadow(rule("c-shadow", "request.held", deny("later"))),
        shadow(rule("class-2", "true", class("gold"))),
    ];
    let verdict = judged(&rules);
    assert!(verdict.denies());
    let denials: Vec<_> =
        verdict.deny.iter().map(|it| (it.rule.0.as_str(), it.message.as_str())).collect();
    assert_eq!(denials, [("a-deny", "not for the lab"), ("z-deny", "too early")]);
    assert_eq!(verdict.cap, Some(("2Gbit".parse().unwrap(), RuleId(name("n-cap")))));
    assert_eq!(verdict.class, Some((ClassId(name("bulk")), RuleId(name("class")))));
    assert_eq!(verdict.priority, Some((0, RuleId(name("priority")))));
    assert_eq!(ids(&verdict.shadow), ["b-shadow", "class-2"]);
    let hits = ["a-deny", "class", "m-cap", "n-cap", "o-cap", "p-cap", "priority", "z-deny"];
    assert_eq!(ids(&verdict.hits), hits);
    let backwards: Vec<Rule> = rules.into_iter().rev().collect();
    assert_eq!(judged(&backwards), verdict, "whatever order they come in");
}

#[test]
fn a_rule_that_fails_refuses_unless_it_is_only_counted() {
    let owner = rule("owner", "request.labels.owner == 'a'", cap("1Gbit"));
    let verdict = judged(std::slice::from_ref(&owner));
    assert_eq!(verdict.deny.len(), 1);
    assert_eq!(verdict.deny[0].rule, owner.id);
    assert!(verdict.deny[0].message.contains("no label \"owner\""), "{verdict:?}");
    assert_eq!((verdict.cap, ids(&verdict.hits)), (None, vec!["owner"]));
    let verdict = judged(&[shadow(owner)]);
    assert_eq!((verdict.denies(), ids(&verdict.shadow)), (false, vec!["owner"]));
}

#[test]
fn a_verdict_tells_of_so_many_denials() {
    let rules: Vec<Rule> =
        (0..100).map(|n| rule(&format!("r{n:03}"), "true", deny("no"))).collect();
    let verdict = judged(&rules);
    assert_eq!(verdict.deny.len(), DENIALS_MAX);
    assert_eq!(verdict.deny[15].rule.0.as_str(), "r015");
    assert_eq!(verdict.hits.len(), 100);
}

#[test]
fn every_fault_is_told_at_once() {
    let rules = [
        rule("a", "request.helt", deny("no")),
        rule("b", "true", deny("")),
        rule("b", "true", deny("no")),
        rule("c", "true", class("gold")),
        rule("d", "true", class("gold")),
        shadow(rule("e", "true", class("gold"))),
        rule("f", "true", Effect::Priority(1)),
        rule("g", "false", Effect::Priority(12)),
        Rule { comment: "\u{1b}[31m".into(), ..rule("h", &"a".repeat(1 << 20), deny("no")) },
    ];
    let faults = faults(&rules);
    let told: Vec<_> = faults.iter().map(|it| (it.rule.0.as_str(), it.field)).collect();
    let expected = [
        ("a", "when"),
        ("b", "deny"),
        ("b", ""),
        ("g", "priority"),
        ("h", "when"),
        ("h", "comment"),
        ("d", "class"),
        ("g", "priority"),
    ];
    assert_eq!(told, expected, "{faults:?}");
    assert!(faults[6].why.contains("both `c` and `d` set a class"), "{faults:?}");
    assert!(faults[7].why.contains("both `f` and `g` set a priority"), "{faults:?}");
}

#[test]
fn there_are_so_many_rules_and_faults_and_so_much_text() {
    let many = |count: usize, when: &str| -> Vec<Rule> {
        (0..count).map(|n| rule(&format!("r{n:04}"), when, deny("no"))).collect()
    };
    assert_eq!(faults(&many(RULES_MAX, "request.rate_bps > 40e9")), []);
    let one_more = faults(&many(RULES_MAX + 1, "true"));
    assert_eq!((one_more.len(), one_more[0].rule.0.as_str()), (1, "r1000"));
    assert!(one_more[0].why.contains("1000 is the most"), "{one_more:?}");
    assert_eq!(faults(&many(RULES_MAX, "nothing")).len(), FAULTS_MAX);
    let long = format!("request.project == '{}'", "a".repeat(CHARACTERS_MAX - 21));
    let told = faults(&many(200, &long));
    assert!(told.len() == 1 && told[0].why.contains("characters together"), "{told:?}");
    let dear = ["project.lineage.exists(it, it in request.sources)"; 10].join(" && ");
    let told = faults(&many(10, &dear));
    assert!(told.len() == 1 && told[0].why.contains("20000 is the most"), "{told:?}");
}

#[test]
fn a_rulebook_is_shared_between_threads() {
    fn shared<T: Clone + std::fmt::Debug + Send + Sync + 'static>(_: &T) {}
    let book = Rulebook::compile(&[rule("a", "true", deny("no"))]).unwrap();
    shared(&book);
    let copy = book.clone();
    let world = World::new();
    let there = std::thread::spawn(move || copy.judge(&World::new().facts())).join().unwrap();
    assert_eq!(there, book.judge(&world.facts()));
    assert_eq!(book.rules().count(), 1);
}

/// Run with `--release --run-ignored all --no-capture`.
#[test]
#[ignore = "it measures and checks nothing"]
#[expect(clippy::disallowed_methods, reason = "a measurement has a clock")]
fn what_rules_cost() {
    let whens = [
        "request.rate_bps > 10e9 && request.project != 'vision'",
        "'lab' in project.lineage && request.shape == 'rigid'",
        "'team' in request.labels && request.labels.team == 'red'",
        "request.duration > duration('12h') && !request.movable",
        "now.getHours() >= 8 && now.getHours() < 18 && request.priority > 5",
        "request.sources.exists(it, it.startsWith('storage/tape'))",
        "request.destination.startsWith('hosts/gpu-') && request.streams < 2",
        "request.volume_bytes > 10000000000000",
        "request.end_time - now > duration('720h')",
        "request.principal == '' || request.class == 'gold'",
    ];
    let rules: Vec<Rule> = whens
        .iter()
        .enumerate()
        .map(|(n, when)| rule(&format!("r{n}"), when, deny("no")))
        .collect();
    let book = Rulebook::compile(&rules).unwrap();
    let world = World::new();
    const TIMES: u32 = 20_000;
    let begin = std::time::Instant::now();
    for _ in 0..TIMES {
        std::hint::black_box(book.judge(std::hint::black_box(&world.facts())));
    }
    println!("10 rules, judged: {:?}", begin.elapsed() / TIMES);
    let begin = std::time::Instant::now();
    for _ in 0..100 {
        std::hint::black_box(Rulebook::compile(&rules)).unwrap();
    }
    println!("10 rules, read: {:?}", begin.elapsed() / 100);
    let long = ["request.project == 'some-project-or-other'"; 40].join(" || ");
    let longest = ["request.project == 'a'"; 50].join(" && ");
    for text in [long, longest, "a in ".repeat(400), "1,".repeat(1000), "(".repeat(250)] {
        let begin = std::time::Instant::now();
        let good = Condition::parse(&text, &SCHEMA).is_ok();
        println!("{} characters, {good}: {:?}", text.len(), begin.elapsed());
    }
}

#[test]
fn nobody_passes_by_a_rule_that_only_a_version_of_before_can_read() {
    let old = rule("old", "request.colour == 'red'", cap("1Gbit"));
    let rules = [shadow(rule("seen", "request.colour == 'red'", deny("no"))), old];
    assert_eq!(faults(&rules).len(), 2);
    let world = World::new();
    let verdict = Rulebook::of_standing(&rules).judge(&world.facts());
    assert_eq!((ids(&verdict.hits), ids(&verdict.shadow)), (vec!["old"], vec!["seen"]));
    let [denial] = verdict.deny.as_slice() else { panic!("{verdict:?}") };
    assert!(denial.message.contains("this version cannot read it"), "{denial:?}");
    assert!(denial.message.contains("there is no field `request.colour`"), "{denial:?}");

    let good = [rule("a", "request.held", deny("no")), rule("b", "true", cap("2Gbit"))];
    let judged = Rulebook::of_standing(&good).judge(&world.facts());
    assert_eq!(judged, Rulebook::compile(&good).unwrap().judge(&world.facts()));
}
