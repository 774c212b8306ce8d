//! The rows of what administrators ask: projects and quotas.

use super::{
    DAY_S, EFFECTIVE, HUGE, NOT_RATES, POLICY, PROJECT, PROJECTS, Put, Table, World, text, times,
};
use tonic::Code;

fn apply(world: &World) -> Table {
    let mut t = Table::of(POLICY);
    t.mutation(world.now_s);
    // Messages about the policy may be larger, so what is too large elsewhere is only wrong here.
    t.rows.retain(|row| !matches!(row.expect, super::Expect::Says(Code::OutOfRange)));
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

pub(super) fn tables(world: &World) -> Vec<Table> {
    let mut tables = vec![apply(world)];
    for rpc in [PROJECT, EFFECTIVE] {
        let mut t = Table::of(rpc);
        for wrong in ["", "x", "lab", "projects/", "projects/a b", "projects/-", "sessions/lab"] {
            t.bad("name", text(wrong));
        }
        t.malformed("name", "projects/");
        t.says("name", text("projects/nobody"), Code::NotFound);
        t.fine("name", text("projects/default"));
        tables.push(t);
    }
    let mut list = Table::of(PROJECTS);
    list.page();
    list.bad("page_token", text("lanes/x"));
    list.fine("page_token", text("projects/nobody"));
    tables.push(list);
    tables
}
