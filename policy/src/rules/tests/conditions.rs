//! What a condition may say, what it means, and what is refused before it is asked.

use super::*;
use crate::rule::CHARACTERS_MAX;

#[test]
fn every_field_can_be_asked_for() {
    let table = [
        ("now == timestamp('2026-11-25T18:30:00Z')", "now > request.start_time"),
        ("project.name == 'vision'", "project.name == 'lab'"),
        ("'lab' in project.lineage", "'default' in project.lineage"),
        ("project.lineage.size() == 2", "project.lineage.all(it, it == 'vision')"),
        ("project.labels[\"cost-center\"] == '42'", "project.labels.tier == 'paid'"),
        ("request.project == project.name", "request.project.startsWith('l')"),
        ("request.principal.startsWith('agent-')", "request.principal == ''"),
        ("request.class == ''", "request.class in ['gold', 'silver']"),
        ("request.shape == 'transfer'", "request.shape in ['rigid', 'offer']"),
        ("request.rate_bps == 10000000000", "request.rate_bps > 10e9"),
        ("request.min_bps == 0", "request.min_bps != 0"),
        ("request.volume_bytes >= 40 * 1000000000", "request.volume_bytes / 1000000000 < 40"),
        ("request.duration == duration('1h60m')", "request.duration > duration('2h')"),
        ("request.start_time - now == duration('10m')", "request.start_time == now"),
        ("request.end_time - request.start_time == request.duration", "request.end_time < now"),
        ("request.priority % 2 == 1", "request.priority - 4 >= 0"),
        ("request.labels.team == 'blue'", "request.labels['job'].endsWith('8')"),
        ("'team' in request.labels", "'owner' in request.labels"),
        ("has(request.labels.team)", "has(request.labels.owner)"),
        ("request.labels.size() == 2", "size(project.labels) == 3"),
        ("'hosts/cache-1' in request.sources", "'cache-1' in request.sources"),
        (
            "request.sources.exists(it, it.startsWith('storage/'))",
            "request.sources.all(it, it.startsWith('storage/'))",
        ),
        ("request.destination == 'hosts/compute-1'", "request.destination in request.sources"),
        ("request.streams == 4", "request.streams < 4"),
        ("!request.held", "request.held"),
        ("request.movable", "!request.movable"),
        ("request.session == true", "request.session && request.held"),
    ];
    let world = World::new();
    for (yes, no) in table {
        assert_eq!(world.asked(yes), Ok(true), "{yes}");
        assert_eq!(world.asked(no), Ok(false), "{no}");
    }
}

#[test]
fn what_is_not_there_is_empty() {
    let world = World::bare();
    for yes in [
        "request.principal == '' && request.destination == ''",
        "size(request.sources) == 0 && size(project.lineage) == 0",
        "request.labels.size() == 0 && project.labels.size() == 0",
        "request.class == 'gold' && project.name == 'nobody'",
        "!request.sources.exists(it, true) && request.sources.all(it, false)",
    ] {
        assert_eq!(world.asked(yes), Ok(true), "{yes}");
    }
}

#[test]
fn the_calendar_is_in_utc_or_in_a_zone() {
    let world = World::new();
    for yes in [
        "now.getHours() == 18 && now.getMinutes() == 30 && now.getSeconds() == 0",
        "now.getDayOfWeek() == 3 && now.getDate() == 25 && now.getMonth() == 10",
        "now.getFullYear() == 2026 && now.getDayOfYear() == 328 && now.getMilliseconds() == 0",
        "now.getHours('Europe/Zurich') == 19 && now.getHours('-03:30') == 15",
        "timestamp('2026-07-01T18:00:00Z').getHours('Europe/Zurich') == 20",
        "timestamp('2026-11-25T23:30:00Z').getDayOfWeek('Europe/Zurich') == 4",
        "request.duration.getHours() == 2 && request.duration.getMinutes() == 120",
        "(request.end_time - now).getMinutes() == 130",
    ] {
        assert_eq!(world.asked(yes), Ok(true), "{yes}");
    }
}

const WRONG: &[(&str, &str)] = &[
    ("", "at character"),
    ("request.rate_bps >=", "at character"),
    ("request.rate_bps", "it is a number; write a condition"),
    ("request.project == 'a' && reqest.held", "27: there is no field `reqest.held`; there are now"),
    ("request.rate == 1", "no field `request.rate`; there are request.project, "),
    ("project.nme == 'a'", "there are project.name, project.lineage, project.labels"),
    ("request == project", "there is no field `request`; there are request.project"),
    ("request.project.name == 'a'", "no field has a field `name`"),
    ("request.labels.team.lead == 'a'", "no field has a field `team.lead`"),
    ("request.labels['a'].b == 'a'", "no field has a field `b`"),
    (".request.held", "there is no field"),
    ("request.labels == project.labels", "compare one of the labels"),
    ("request.labels < project.labels", "has no order"),
    ("request.labels[1] == 'a'", "it is a number, not a text"),
    ("request.labels.exists(it, it == 'a')", "a map of labels, not a list of texts"),
    ("1 in request.labels", "it is a number, not a text"),
    ("'a' in request.project", "it is a text, not a list of texts"),
    ("has(request.held)", "has() is not known of it"),
    ("has(request.labels)", "has() is not known of it"),
    ("has(request.helt)", "there is no field `request`"),
    ("request.sources[0] == 'a'", "this is not known"),
    ("request.sources == project.lineage", "compare a list with"),
    ("request.rate_bps == '10Gbit'", "it is a text, compared with a number"),
    ("request.rate_bps > 10u", "without `u`"),
    ("request.rate_bps + 1.5 > 2.0", "not known of a number and a number"),
    ("request.shape == 'rigidd'", "write one of \"rigid\", \"flexible\""),
    ("request.shape == request.project", "write one of"),
    ("request.shape.startsWith('r')", "a fixed word, not a text"),
    ("request.duration > 7200", "a number, compared with a length of time"),
    ("request.duration > duration('2 hours')", "write such as \"90m\""),
    ("request.duration > duration('1h30')", "write such as \"90m\""),
    ("request.duration > duration('inf' + 's')", "write such as \"90m\""),
    ("request.duration > duration('nanh')", "write such as \"90m\""),
    ("request.duration > duration('999999999h')", "write such as \"90m\""),
    ("now > timestamp('tomorrow')", "write such as \"2026-11-25T18:00:00Z\""),
    ("now > timestamp(0)", "write such as"),
    ("now.getHours('Mars/Olympus') > 8", "\"Mars/Olympus\" is no time zone"),
    ("now.getHours(request.project) > 8", "takes nothing or a time zone"),
    ("now.getHours('UTC', 'UTC') > 8", "takes nothing or a time zone"),
    ("request.duration.getDayOfWeek() == 1", "not known of a length of time"),
    ("request.duration.getHours('UTC') == 1", "not known of a length of time"),
    ("request.rate_bps.getHours() == 1", "not known of a number"),
    ("now.getDayOfMonth() == 1", "getDayOfMonth() is not known"),
    ("request.project.matches('a.*')", "matches() is not known"),
    ("request.project + 'x' == 'y'", "not known of a text and a text"),
    ("request.held ? true : false", "this is not known"),
    ("int(now) > 0", "int() is not known"),
    ("type(now) == timestamp", "type() is not known"),
    ("dyn(request.held)", "dyn() is not known"),
    ("optional.none().hasValue()", "hasValue() is not known"),
    ("cel.bind(x, true, x)", "bind() is not known"),
    ("request.sources.map(it, it) == []", "is not known"),
    ("request.sources.exists_one(it, it == 'a')", "is not known"),
    ("request.sources.filter(it, true).size() == 1", "is not known"),
    ("request.sources.exists(a, project.lineage.exists(b, a == b))", "inside another"),
    ("['a'].exists(a, a == 'a')", "go through `project.lineage` or `request.sources` only"),
    ("request.sources.exists(request, request.held)", "no field has a field `held`"),
    ("request.sources.exists(it, other == it)", "there is no field `other`"),
    ("request.sources.exists(it, it) ", "it is a text, not yes or no"),
    ("it == 'a'", "there is no field `it`"),
    ("request.priority in []", "the list is empty"),
    ("request.priority in [1, 'a']", "a text, compared with a number"),
    ("null == request.project", "no field is of such a kind"),
    ("{'a': 1} == {'a': 1}", "no field is of such a kind"),
    ("Name{a: 1} == Name{a: 1}", "no field is of such a kind"),
    ("request.project == '''a'''", "one quotation mark at each end"),
    ("-request.held", "write a number"),
    ("!request.rate_bps", "it is a number, not yes or no"),
    ("request.held || 1", "it is a number, not yes or no"),
    ("size(now) == 1", "has no size"),
    ("now + now > now", "not known of an instant and an instant"),
    ("now / 2 > 1", "not known of an instant and a number"),
];

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, expected) in WRONG {
        let why = refused(text);
        assert!(why.contains(expected), "{text}: {why}");
    }
}

#[test]
fn the_entry_of_a_loop_hides_nothing_by_accident() {
    let world = World::new();
    assert_eq!(world.asked("project.lineage.exists(now, now == 'lab')"), Ok(true));
    assert_eq!(world.asked("project.lineage.exists(int, int == project.name)"), Ok(true));
    assert_eq!(world.asked("project.lineage.exists(optional, optional.size() == 3)"), Ok(true));
    let twice = "project.lineage.exists(it, it == 'lab') && !project.lineage.all(it, it == 'lab')";
    assert_eq!(world.asked(twice), Ok(true));
}

#[test]
fn what_cannot_be_said_is_a_failure_with_its_cause() {
    let mut world = World::new();
    let no_label = |key: &str| Err(Failure::NoLabel(key.into()));
    let max = i64::MAX;
    let table = [
        ("request.labels.owner == 'a'", no_label("owner")),
        ("project.labels['a.b'] == 'a'", no_label("a.b")),
        ("request.rate_bps / request.min_bps > 1", Err(Failure::Zero)),
        ("request.rate_bps % request.min_bps > 1", Err(Failure::Zero)),
        (&format!("request.rate_bps + {max} > 0"), Err(Failure::Overflow)),
        (&format!("request.rate_bps * {max} > 0"), Err(Failure::Overflow)),
        ("(-9223372036854775807 - 1) / (request.min_bps - 1) > 0", Err(Failure::Overflow)),
        ("-(-9223372036854775807 - 1 - request.min_bps) > 0", Err(Failure::Overflow)),
        ("now + duration('2562047h') + duration('2562047h') > now", Ok(true)),
        ("duration('2562047h') + duration('2562047h') > request.duration", Err(Failure::Overflow)),
        ("timestamp('9999-12-31T23:59:59Z') + request.duration > now", Err(Failure::Overflow)),
        ("now - timestamp('0001-01-01T00:00:00Z') > request.duration", Err(Failure::Overflow)),
        // What decides already, decides.
        ("request.held || request.labels.owner == 'a' || true", Ok(true)),
        ("'owner' in request.labels && request.labels.owner == 'a'", Ok(false)),
        ("has(request.labels.owner) && request.labels.owner == 'a'", Ok(false)),
        ("request.sources.exists(it, request.labels[it] == 'a')", no_label("hosts/cache-1")),
    ];
    for (text, expected) in table {
        assert_eq!(world.asked(text), expected, "{text}");
    }
    world.volume = ByteCount::new(1 << 63);
    let failure = world.asked("request.volume_bytes > 0").unwrap_err();
    assert!(matches!(failure, Failure::TooLarge(_)), "{failure}");
    assert_eq!(world.asked("request.rate_bps > 0"), Ok(true), "nobody asks for the volume");
    world.volume = ByteCount::new((1 << 63) - 1);
    assert_eq!(world.asked("request.volume_bytes == 9223372036854775807"), Ok(true));
}

#[test]
fn a_condition_costs_what_its_length_and_the_lists_say() {
    let cost = |text: &str| Condition::parse(text, &SCHEMA).unwrap().cost();
    assert_eq!(cost("request.rate_bps > 1"), Cost { plain: 3, each: 0, pairs: 0 });
    assert_eq!(cost("'a' in request.sources"), Cost { plain: 3, each: 1, pairs: 0 });
    let nested = cost("project.lineage.exists(it, it in request.sources)");
    assert_eq!(nested, Cost { plain: 2, each: 7, pairs: 1 });
    assert_eq!(nested.of(ENTRIES_MAX), 2 + 7 * 16 + 16 * 16);
    assert_eq!(Cost { plain: 1, each: usize::MAX, pairs: usize::MAX }.of(2), usize::MAX);
}

/// What makes one think of a text where the parser may see operators, and the other way round.
const BEGINNINGS: &[&str] = &[
    "",
    "r'\\' == ",
    "R\"\\\" == ",
    "br'\\' == ",
    "// '\n",
    "'\n",
    "\"\r",
    "'",
    "\"",
    "'\\q",
    "'''' '''",
    "\"\"\" \" \"\"\"",
    "`",
    "'\\",
    "b'",
    "request.labels['",
];

const REPEATED: &[&str] = &[
    "(",
    "[",
    "{",
    "!",
    "-",
    "1+",
    "a.",
    "a[",
    "a?",
    "true&&",
    "a?b:",
    "\"",
    "'",
    "\\",
    "\u{0}",
    "\u{202e}",
    "\u{1f980}",
    "request.sources.exists(x,",
    "1 in ",
    "[1,",
    "a b ",
    "//",
    "0x",
    "1e9",
    "9",
    "((((((((((\n",
    "f(",
    "a.f(",
    "has(",
    "'(",
    "r'\\'(",
];

const NESTED: &[(&str, &str, &str)] = &[
    ("(", "true", ")"),
    ("!", "true", ""),
    ("[", "1", "]"),
    ("true && ", "true", ""),
    ("request.priority + ", "1 > 0", ""),
    ("request.sources.exists(a, ", "true", ")"),
    ("request.labels[", "'a'", "]"),
    ("", "request.labels", ".a"),
];

#[test]
fn whatever_is_written_is_read_or_refused_without_harm() {
    let mut hostile = vec!["a".repeat(1 << 20), "(".repeat(1 << 20)];
    for begin in BEGINNINGS {
        let rest = CHARACTERS_MAX - begin.chars().count();
        for text in REPEATED {
            hostile.push(begin.chars().chain(text.chars().cycle().take(rest)).collect());
        }
    }
    for times in [10, 60, 100, 127, 500] {
        for (open, middle, close) in NESTED {
            hostile.push(format!("{}{middle}{}", open.repeat(times), close.repeat(times)));
        }
    }
    let world = World::new();
    for text in &hostile {
        match Condition::parse(text, &SCHEMA) {
            Ok(condition) => {
                let holds = condition.holds(&View::new(&world.facts()));
                assert!(!matches!(holds, Err(Failure::Other(_))), "{text}: {holds:?}");
            }
            Err(why) => assert!(why.chars().count() <= 600, "{why}"),
        }
    }
    let plain = ["true"; 80].join(" && ");
    assert_eq!(world.asked(&plain), Ok(true), "what is long and plain is fine");
}

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rules.md")).unwrap()
}

#[test]
fn every_field_is_on_the_page_for_administrators() {
    let page = page();
    for (field, _) in SCHEMA.fields {
        assert!(page.contains(&format!("| `{field}` |")), "{field} is not in docs/rules.md");
    }
    for function in crate::rules::constant::CALENDAR {
        assert!(page.contains(function), "{function} is not in docs/rules.md");
    }
}

#[test]
fn the_examples_of_that_page_are_conditions() {
    let page = page();
    let whens = page.split("\nwhen: ").skip(1).map(|it| it.split("\nthen: ").next().unwrap());
    let world = World::new();
    let said: Vec<_> = whens.map(|when| world.asked(when)).collect();
    assert_eq!(said, [Ok(false), Ok(false), Ok(true)]);
}

#[test]
fn comparisons_at_the_beginning_are_decided_without_an_evaluation() {
    let world = World::new();
    for (text, decided) in [
        ("request.project == 'vision'", Some(true)),
        ("'lab' != request.project && 1 / request.min_bps == 1", None),
        ("'vision' != request.project && 1 / request.min_bps == 1", Some(false)),
        ("request.principal in ['agent-6', 'agent-7']", Some(true)),
        ("'lab' in project.lineage && !request.held && request.movable", Some(true)),
        ("project.lineage.exists(it, 'lab' == it)", Some(true)),
        ("project.lineage.exists(it, it == 'untrusted')", Some(false)),
        ("'storage/west' in request.sources", Some(false)),
        ("'team' in request.labels && request.labels.team == 'blue'", None),
        ("!('team' in request.labels) && request.labels.team == 'blue'", Some(false)),
        (
            "(request.duration <= duration('2h')) && (now > timestamp('2026-11-25T19:29:00+01:00'))",
            Some(true),
        ),
        ("10000000000 < request.rate_bps", Some(false)),
        ("request.rate_bps > 1e9", None),
        ("request.held || request.movable", None),
    ] {
        let condition = Condition::parse(text, &SCHEMA).unwrap();
        let decided_now = Lead::of(&condition).holds(&View::new(&world.facts()));
        assert_eq!(decided_now, decided, "{text}");
    }
}
