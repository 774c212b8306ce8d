//! The rows of what administrators ask: projects and quotas.

use super::{
    CLASS, CLASSES, DAY_S, EFFECTIVE, Expect, HUGE, NOT_RATES, POLICY, PROJECT, PROJECTS, Put,
    RULE, RULES, Row, SIMULATE, Table, World, text, times,
};
use tonic::Code;

fn apply(world: &World) -> Table {
    let mut t = Table::of(POLICY);
    t.mutation(world.now_s);
    // Messages about the policy may be larger, so what is too large elsewhere is only wrong here.
    t.rows.retain(|row| !matches!(row.expect, Expect::Says(Code::OutOfRange)));
    t.says("request_id", text("g".repeat(40_000_000)), Code::OutOfRange);
    t.bad("request_id", text("g".repeat(7_000_000)));
    t.bad("projects", times(Put::Empty, HUGE));
    t.bad("delete", times(text("x"), HUGE));
    t.names("projects", times(Put::Empty, 2), &["projects[0].name", "projects[1].name"]);
    for (list, field) in [("projects[0].name", ""), ("delete[0]", "delete")] {
        let path = if field.is_empty() { list } else { field };
        for wrong in ["", "x", "projects/", "projects/a b", "projects/-", "lanes/x", "\u{7}"] {
            let put = if field.is_empty() { text(wrong) } else { times(text(wrong), 1) };
            t.names(path, put, &[list]);
        }
    }
    // What no tree could be made of.
    t.names("delete", times(text("projects/nobody"), 1), &["delete[0]"]);
    t.names("delete", times(text("projects/default"), 1), &["delete[0]"]);
    t.names("projects[0].name", text("projects/empty"), &["projects[0]"]);
    for wrong in ["x", "projects/", "projects/nobody", "projects/lab", "projects/empty", "\u{7}"] {
        t.bad("projects[0].parent", text(wrong));
    }
    t.fine("projects[0].parent", text("projects/default"));
    let labels = |key: &str, value: &str| Put::Map(vec![(key.to_owned(), value.to_owned())]);
    let (long, many) = ("x".repeat(64), (0..33).map(|it| (format!("k{it}"), "v".to_owned())));
    for wrong in [labels("", "x"), labels("a\nb", "x"), labels("x", "\u{0}")].into_iter().chain([
        labels(&long, "x"),
        labels("x", &long),
        Put::Map(many.collect()),
    ]) {
        t.bad("projects[0].labels", wrong);
    }
    t.fine("projects[0].labels", labels("ä", ""));
    t.numbers("projects[0].quota.rate_bps", &NOT_RATES);
    t.numbers("projects[0].quota.rate_each_bps", &NOT_RATES);
    t.numbers("projects[0].quota.reservation_count", &[-1, i64::MIN, i64::MAX, 1 << 32]);
    for none in ["rate_bps", "rate_each_bps", "reservation_count"] {
        t.fine(&format!("projects[0].quota.{none}"), Put::Number(0));
    }
    for span in ["duration_each", "horizon"] {
        t.span(&format!("projects[0].quota.{span}"));
        t.fine(&format!("projects[0].quota.{span}.seconds"), Put::Number(400 * DAY_S));
    }
    quotas(&mut t);
    classes(&mut t);
    rules(&mut t);
    t.fine("projects[0].quota", Put::Absent);
    t.fine("projects[0].quota", Put::Empty);
    // The broker's to say: whatever is sent is ignored.
    t.fine("projects[0].live_reservation_count", Put::Number(-7));
    for wrong in ["x", "-1", "+1", "01", "\"1\"", "1.0", "\u{0}", "18446744073709551616"] {
        t.bad("etag", text(wrong));
    }
    for stale in ["0", "2", "18446744073709551615"] {
        t.says("etag", text(stale), Code::Aborted);
    }
    t.fine("etag", text("1"));
    t.fine("replace_all", Put::Flag(true));
    t.fine("ignore_safety_checks", Put::Flag(true));
    let many = [
        ("projects[0].name", text("x")),
        ("projects[0].parent", text("x")),
        ("projects[0].quota.rate_bps", Put::Number(-1)),
        ("etag", text("x")),
        ("request_id", text("x")),
    ];
    t.all_bad(&many, &many.each_ref().map(|(path, _)| *path));
    t
}

/// What of lanes, of principals and over time a quota says.
fn quotas(t: &mut Table) {
    let field = |part: &str| format!("projects[0].quota.{part}");
    for list in ["shares", "each_principal.shares"] {
        let list = field(list);
        t.bad(&list, times(Put::Empty, 17));
        let long = "*".repeat(HUGE);
        for wrong in ["", "x", "hosts", "hosts/ä", "nics/x", "hosts/\u{0}", &long] {
            t.bad(&format!("{list}[0].selector"), text(wrong));
        }
        t.numbers(&format!("{list}[0].part_ppm"), &[-1, 1_000_001, i32::MIN.into()]);
        t.fine(&format!("{list}[0].part_ppm"), Put::Number(0));
        t.fine(&format!("{list}[0].selector"), text("links/*/forward"));
    }
    for list in ["budgets", "each_principal.budgets"] {
        let list = field(list);
        t.bad(&list, times(Put::Empty, 4));
        t.numbers(&format!("{list}[0].period"), &[0, 4, -1]);
        t.numbers(&format!("{list}[0].volume_bytes"), &[-1, i64::MIN]);
        t.fine(&format!("{list}[0].volume_bytes"), Put::Number(0));
        let twice = [0, 1].map(|at| (format!("{list}[{at}].period"), Put::Number(2)));
        let twice = twice.each_ref().map(|(path, put)| (path.as_str(), put.clone()));
        t.all_bad(&twice, &[&list]);
    }
    for count in ["principal_count", "each_principal.reservation_count"] {
        t.numbers(&field(count), &[-1, i64::MIN, i64::MAX, 1 << 32]);
        t.fine(&field(count), Put::Absent);
    }
    t.numbers(&field("each_principal.rate_bps"), &NOT_RATES);
    t.fine(&field("each_principal"), Put::Empty);
    t.bad(&field("weekly"), times(Put::Empty, 33));
    for wrong in ["", "x", "mon", "mon 8-9", "mon 08:00-08:00", "mon 24:01-25:00", "ä", "\u{0}"] {
        t.bad(&field("weekly[0].hours"), text(wrong));
    }
    t.numbers(&field("weekly[0].rate_bps"), &NOT_RATES);
    t.bad(&field("overrides"), times(Put::Empty, 65));
    t.numbers(&field("overrides[0].rate_bps"), &NOT_RATES);
    for time in ["overrides[0].start_time", "overrides[0].end_time"] {
        t.bad(&field(time), Put::Absent);
        t.time(&field(time));
    }
    let (start, end) = (field("overrides[0].start_time.seconds"), field("overrides[0].end_time"));
    t.names(&start, Put::Number(7), &[&end]);
    for wrong in ["x", "Berlin", "+02:00", "\u{0}", &"x".repeat(HUGE)] {
        t.bad(&field("time_zone"), text(wrong));
    }
    t.fine(&field("time_zone"), text(""));
    for rate in ["lend_bps", "borrow_bps", "pool_bps"] {
        t.numbers(&field(rate), &NOT_RATES);
        t.fine(&field(rate), Put::Absent);
    }
}

/// What a rule says.
fn rules(t: &mut Table) {
    t.bad("rules", times(Put::Empty, 1001));
    t.bad("delete_rules", times(text("x"), 1001));
    for wrong in ["", "x", "rules/", "rules/a b", "rules/-", "projects/x", "\u{7}"] {
        t.bad("rules[0].name", text(wrong));
        t.names("delete_rules", times(text(wrong), 1), &["delete_rules[0]"]);
    }
    t.names("delete_rules", times(text("rules/nothing"), 1), &["delete_rules[0]"]);
    t.names("rules[0].name", text("rules/other"), &["rules[0]"]);
    let many = "request.streams > 1 && ".repeat(200) + "true";
    for wrong in
        ["", "x", "1", "request.projekt == \"a\"", "request.streams", "(((", "\u{0}", many.as_str()]
    {
        t.bad("rules[0].when", text(wrong));
    }
    t.bad("rules[0].when", text("x".repeat(HUGE)));
    t.fine("rules[0].when", text("request.streams > 1"));
    t.numbers("rules[0].cap_bps", &NOT_RATES);
    t.bad("rules[0].cap_bps", Put::Number(0));
    for wrong in ["", "\u{7}", &"x".repeat(257)] {
        t.bad("rules[0].deny", text(wrong));
    }
    t.fine("rules[0].deny", text("no"));
    for wrong in ["", "x", "classes/", "classes/a b", "projects/x"] {
        t.bad("rules[0].class", text(wrong));
    }
    t.bad("rules[0].class", text("classes/iron"));
    t.fine("rules[0].class", text("classes/gold"));
    t.numbers("rules[0].priority", &[-1, 10, i32::MAX.into()]);
    t.fine("rules[0].priority", Put::Number(0));
    t.bad("rules[0].comment", text("x".repeat(257)));
    t.fine("rules[0].shadow", Put::Flag(false));
    // The broker's to say: whatever is sent is ignored.
    t.fine("rules[0].applied_count", Put::Number(-7));
    t.fine("rules[0].shadow_count", Put::Number(-7));
    t.fine("replace_rules", Put::Flag(true));
}

/// What a class says.
fn classes(t: &mut Table) {
    t.bad("classes", times(Put::Empty, 101));
    t.bad("delete_classes", times(text("x"), 101));
    for wrong in ["", "x", "classes/", "classes/a b", "classes/-", "projects/x", "\u{7}"] {
        t.bad("classes[0].name", text(wrong));
        t.names("delete_classes", times(text(wrong), 1), &["delete_classes[0]"]);
    }
    t.names("delete_classes", times(text("classes/iron"), 1), &["delete_classes[0]"]);
    t.names("classes[0].name", text("classes/bronze"), &["classes[0]"]);
    t.numbers("classes[0].ratio_ppm", &[-1, 1, 999_999, 100_000_001, i32::MIN.into()]);
    t.numbers("classes[0].weight", &[-1, 1001, i32::MAX.into()]);
    t.numbers("classes[0].priority", &[-1, 10, i32::MAX.into()]);
    for none in ["ratio_ppm", "weight", "priority"] {
        t.fine(&format!("classes[0].{none}"), Put::Number(0));
    }
    t.numbers("classes[0].lane_share_ppm", &[-1, 1_000_001]);
    t.fine("classes[0].lane_share_ppm", Put::Number(0));
    t.numbers("classes[0].headroom.part_ppm", &[-1, 1_000_001]);
    t.bad("classes[0].headroom.longest", Put::Absent);
    t.fine("classes[0].headroom", Put::Absent);
    for span in ["headroom.longest", "no_show_grace", "hold_for"] {
        let span = format!("classes[0].{span}");
        t.span(&span);
        t.bad(&span, Put::Empty);
    }
    t.bad("classes[0].projects", times(text("projects/lab"), 101));
    for wrong in ["", "x", "projects/", "projects/a b", "classes/gold", "\u{7}"] {
        t.bad("classes[0].projects[0]", text(wrong));
    }
    t.names("classes[0].projects[0]", text("projects/nobody"), &["classes[0].projects"]);
    t.bad("classes[0].tiers", times(text("ssd"), 101));
    for wrong in ["", "-a", "a b", "a/b", "ä", "\u{0}"] {
        t.bad("classes[0].tiers[0]", text(wrong));
    }
    t.fine("classes[0].tiers[0]", text("hdd"));
    t.fine("classes[0].preemptible", Put::Flag(false));
    t.fine("replace_classes", Put::Flag(true));
}

/// A change that is only rehearsed is wrong where one that is made is.
fn rehearsed(world: &World) -> Table {
    let mut t = Table::of(SIMULATE);
    t.bad("change", Put::Absent);
    t.numbers("request_count", &[-1, 10_001, i32::MAX.into()]);
    t.fine("request_count", Put::Number(0));
    let within = |path: &String| format!("change.{path}");
    for Row { puts, expect, .. } in apply(world).rows {
        if puts.iter().any(|(path, _)| path == "request_id") {
            continue;
        }
        let puts = puts.into_iter().map(|(path, put)| (within(&path), put)).collect();
        let expect = match expect {
            Expect::Bad(fields) => Expect::Bad(fields.iter().map(within).collect()),
            Expect::BadEntries(list) => Expect::BadEntries(within(&list)),
            other => other,
        };
        t.rows.push(Row { rpc: SIMULATE, puts, expect });
    }
    // Nothing is done twice that is not done.
    t.fine("change.request_id", text("x"));
    t
}

pub(super) fn tables(world: &World) -> Vec<Table> {
    let mut tables = vec![apply(world)];
    let named = [
        (PROJECT, "projects", "lab", "default"),
        (EFFECTIVE, "projects", "lab", "default"),
        (CLASS, "classes", "gold", "gold"),
        (RULE, "rules", "other", "kept"),
    ];
    for (rpc, things, bare, there) in named {
        let mut t = Table::of(rpc);
        for wrong in ["", "x", bare, "sessions/lab"] {
            t.bad("name", text(wrong));
        }
        let other = if things == "projects" { "classes" } else { "projects" };
        t.bad("name", text(format!("{other}/{bare}")));
        for wrong in ["", "a b", "-"] {
            t.bad("name", text(format!("{things}/{wrong}")));
        }
        t.malformed("name", &format!("{things}/"));
        t.says("name", text(format!("{things}/nobody")), Code::NotFound);
        t.fine("name", text(format!("{things}/{there}")));
        tables.push(t);
    }
    tables.push(rehearsed(world));
    let lists =
        [(PROJECTS, "projects/nobody"), (CLASSES, "classes/iron"), (RULES, "rules/nothing")];
    for (rpc, nobody) in lists {
        let mut list = Table::of(rpc);
        list.page();
        list.bad("page_token", text("lanes/x"));
        list.fine("page_token", text(nobody));
        tables.push(list);
    }
    tables
}
