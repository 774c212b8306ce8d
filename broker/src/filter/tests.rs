use super::*;

fn time(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 500_000_000 })
}

fn reservation() -> v1::Reservation {
    let booking = |lane: &str| v1::Booking { lane: lane.into(), booked_bps: 1 };
    v1::Reservation {
        name: "projects/default/reservations/1".into(),
        state: v1::reservation::State::Confirmed.into(),
        phase: v1::reservation::Phase::Active.into(),
        source: "storage/swift".into(),
        destination: "hosts/compute-1".into(),
        via: vec!["hosts/relay-1".into()],
        rate_bps: 2_000_000_000,
        start_time: time(1_800_000_000),
        end_time: time(1_800_003_600),
        create_time: time(1_800_000_000),
        session: "sessions/1".into(),
        bookings: vec![booking("links/spine/forward"), booking("storage/swift/read")],
        used_bytes: 1 << 40,
        path: 1,
        movable: true,
        priority: 3,
        class: "classes/gold".into(),
        principal: "ann@example.org".into(),
        labels: [("team".into(), "vision".into())].into(),
        borrowed: true,
        observed_reason: v1::refusal::Reason::NoHeadroom.into(),
        ..v1::Reservation::default()
    }
}

fn holds(text: &str) -> bool {
    let filter = Filter::parse(text, Use::List).unwrap_or_else(|why| panic!("{text}: {why}"));
    filter.holds(&reservation())
}

#[test]
fn every_field_can_be_asked_for() {
    let table = [
        ("name == \"projects/default/reservations/1\"", "name.endsWith(\"/2\")"),
        ("state == \"CONFIRMED\"", "state != 'CONFIRMED'"),
        ("state in [\"HELD\", \"CONFIRMED\"]", "state in ['CLOSED']"),
        ("phase == 'ACTIVE'", "phase == 'ENDED'"),
        ("close_reason == ''", "close_reason == 'SESSION_LOST'"),
        ("source.startsWith('storage/')", "source == destination"),
        ("'hosts/relay-1' in via", "size(via) == 0"),
        ("rate_bps >= 1000000000 && destination == \"hosts/compute-1\"", "rate_bps < 1"),
        ("rate_bps > 1e9 && rate_bps <= 2 * 1000000000", "rate_bps == 1.5"),
        ("start_time < timestamp('2027-01-15T08:00:01Z')", "start_time > end_time"),
        ("start_time == timestamp('2027-01-15T09:00:00.5+01:00')", "end_time == start_time"),
        ("end_time - start_time == duration('1h')", "end_time - start_time < duration('3599s')"),
        ("end_time > start_time + duration('30m')", "create_time - duration('1s') > start_time"),
        ("session != ''", "session == ''"),
        ("lanes.exists(it, it.startsWith('links/'))", "lanes.all(it, it.startsWith('links/'))"),
        ("lanes.size() == 2 && 'storage/swift/read' in lanes", "'links/spine' in lanes"),
        ("used_bytes - 1 > 0 && !(used_bytes < -1)", "-used_bytes > 0"),
        ("path == 1 || path == 2", "path in [0, 2]"),
        ("assurance == 'FIRM'", "assurance == \"SHARED\""),
        ("movable", "!movable"),
        ("priority >= 3 && close_reason != 'PREEMPTED'", "priority == 9"),
        ("!preemptible", "preemptible == true"),
        ("class == 'classes/gold'", "class == ''"),
        ("principal.endsWith('@example.org')", "principal == 'bob'"),
        ("labels.team == 'vision'", "labels['team'] == 'speech'"),
        ("'team' in labels && !has(labels.run)", "labels.run == '7' || labels['run'] != '7'"),
        ("borrowed && observed_reason == 'NO_HEADROOM'", "observed_reason == ''"),
        ("true", "used_bytes * 9223372036854775807 > 0"),
    ];
    for (yes, no) in table {
        assert!(holds(yes), "{yes}");
        assert!(!holds(no), "{no}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let table = [
        ("", "at character"),
        ("rate_bps >=", "at character"),
        ("rate >= 1", "at character 1: there is no field `rate`; there are name, state, phase"),
        ("state == 'HELD' && sate == 'HELD'", "at character 20: there is no field `sate`"),
        ("rate_bps", "a number; write a condition"),
        ("rate_bps == 'x'", "a text, compared with a number"),
        ("rate_bps > 1u", "without `u`"),
        ("state == 'Held'", "write one of \"HELD\", \"CONFIRMED\", \"CLOSED\""),
        ("state in ['HELD', 'GONE']", "at character 19: write one of"),
        ("state > 'HELD'", "a fixed word has no order"),
        ("source.name == 'x'", "no field has a field `name`"),
        ("has(source.name)", "has() is not known"),
        ("lanes[0] == 'x'", "this is not known"),
        ("lanes == via", "compare a list with"),
        ("rate_bps / 2 > 1", "this is not known"),
        ("source + 'x' == 'y'", "not known of a text and a text"),
        ("source.matches('.*')", "matches() is not known"),
        ("lanes.map(it, it) == lanes", "is not known"),
        ("lanes.filter(it, true).size() == 1", "is not known"),
        ("lanes.exists(a, via.exists(b, a == b))", "inside another is not known"),
        ("['a'].exists(a, a == 'a')", "go through `via` or `lanes` only"),
        ("lanes.exists(it, other == it)", "there is no field `other`"),
        ("start_time < timestamp('soon')", "write such as \"2026-11-25T18:00:00Z\""),
        ("start_time < timestamp(name)", "not an instant"),
        ("end_time - start_time < duration('long')", "write such as \"90m\""),
        ("start_time + end_time > start_time", "not known of an instant and an instant"),
        ("start_time > 5", "a number, compared with an instant"),
        ("null == name", "no field is of such a kind"),
        ("path in []", "the list is empty"),
        ("{'a': 1} == {'a': 1}", "no field is of such a kind"),
    ];
    for (text, expected) in table {
        let why = Filter::parse(text, Use::List).unwrap_err();
        assert!(why.contains(expected), "{text}: {why}");
    }
}

#[test]
fn a_watch_filters_by_nothing_that_changes_in_silence() {
    for text in ["phase == 'ACTIVE'", "used_bytes > 0"] {
        let why = Filter::parse(text, Use::Watch).unwrap_err();
        assert!(why.contains("a watch is told of"), "{text}: {why}");
    }
    Filter::parse("state == 'HELD'", Use::Watch).unwrap();
}

#[test]
fn whatever_is_written_is_read_or_refused_without_harm() {
    let long = |text: &str| text.chars().cycle().take(CHARACTERS_MAX).collect::<String>();
    let nested = |open: &str, middle: &str, close: &str, times: usize| {
        format!("{}{middle}{}", open.repeat(times), close.repeat(times))
    };
    let mut hostile: Vec<String> = [
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
        "lanes.exists(x,",
        "1 in ",
        "[1,",
        "a b ",
        "//",
        "0x",
        "1e9",
        "9",
    ]
    .into_iter()
    .map(long)
    .collect();
    for times in [10, 60, 100, 127, 500] {
        hostile.push(nested("(", "true", ")", times));
        hostile.push(nested("!", "true", "", times));
        hostile.push(nested("[", "1", "]", times));
        hostile.push(nested("true && ", "true", "", times));
        hostile.push(nested("path + ", "1 > 0", "", times));
        hostile.push(nested("lanes.exists(a, ", "true", ")", times));
    }
    hostile.push("a".repeat(1 << 20));
    for text in &hostile {
        if let Ok(filter) = Filter::parse(text, Use::List) {
            filter.holds(&reservation());
        }
    }
    let long = ["true"; 80].join(" && ");
    assert!(holds(&long), "what is long and plain is fine");
}

#[test]
fn a_filter_costs_what_its_length_and_the_path_say() {
    let cost = |text: &str| Filter::parse(text, Use::List).unwrap().cost(&reservation());
    assert_eq!(cost("path == 1"), 3);
    assert!(cost("lanes.exists(it, it == 'a')") < 25);
    let longest = format!("lanes.exists(it, {})", ["it == name"; 60].join(" || "));
    assert!(cost(&longest) < 700, "{}", cost(&longest));
}

proptest::proptest! {
    #[test]
    fn nothing_panics(text in "[a-z_0-9 ()\\[\\]{}.,:?!=<>+*/%&|\"'\\\\\u{e4}\u{0}-]{0,60}") {
        if let Ok(filter) = Filter::parse(&text, Use::Watch) {
            filter.holds(&reservation());
        }
    }
}
