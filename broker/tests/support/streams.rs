//! The rows of sessions, and of what is followed, asked on streams, or filtered.

use super::super::support::{GBIT, request_id};
use super::{
    ADMIT, BEAT, CLOSE, CONFIRM, DAY_S, Expect, GET_SESSION, HUGE, LIST_SESSIONS, NOT_RATES,
    NOT_SIZES, OPEN, Put, RELEASE, Row, Table, UNKNOWN, UPDATE, WATCH, World, create, related,
    steps, text, times,
};
use tonic::Code;

impl Table {
    /// A filter that can be neither read nor asked.
    pub(super) fn filter(&mut self) {
        let wrong = ["x", "rate_bps", "rate_bps >", "(", "\u{0}", "ä == 'x'", "state == 'GONE'"];
        for wrong in wrong {
            self.bad("filter", text(wrong));
        }
        self.bad("filter", text("(".repeat(2048)));
        self.bad("filter", text("a".repeat(2049)));
        self.bad("filter", text("\u{202e}".repeat(HUGE)));
        self.fine("filter", text("state == 'HELD' && rate_bps > 1e9"));
        self.too_large("filter");
    }
}

fn watch() -> Table {
    let mut t = Table::of(WATCH);
    for parent in ["x", "projects/", "projects/--", "\u{7}"] {
        t.bad("parent", text(parent));
    }
    t.says("parent", text("projects/nobody"), Code::NotFound);
    t.fine("parent", text("projects/-"));
    t.too_large("parent");
    t.filter();
    t.bad("filter", text("phase == 'ACTIVE'"));
    t.bad("filter", text("used_bytes > 0"));
    let token = format!("w1-{}", "0".repeat(72));
    for wrong in ["x", "w1-", &token[1..], &format!("{token}0"), &"w1-g".repeat(HUGE), &token] {
        t.bad("resume_token", text(wrong));
    }
    t.too_large("resume_token");
    t
}

fn sessions(world: &World) -> Vec<Table> {
    let mut open = Table::of(OPEN);
    open.mutation(world.now_s);
    open.word("agent");
    open.too_large("agent");
    let mut close = Table::of(CLOSE);
    close.mutation(world.now_s);
    close.bad("name", text(""));
    close.named("name", "sessions");
    close.says("name", text(format!("sessions/{UNKNOWN}")), Code::NotFound);
    let mut beat = Table::of(BEAT);
    beat.bad("session", text(""));
    beat.named("session", "sessions");
    beat.says("session", text(format!("sessions/{UNKNOWN}")), Code::NotFound);
    for sequence in [-1, 0, i64::MIN, i64::MAX] {
        beat.fine("sequence", Put::Number(sequence));
    }
    beat.bad("usage", times(Put::Empty, 1001));
    beat.bad("usage", times(Put::Empty, HUGE));
    beat.reservation("usage[0].reservation");
    let missing = format!("projects/default/reservations/{UNKNOWN}");
    beat.fine("usage[0].reservation", text(missing));
    beat.numbers("usage[0].used_bytes", &NOT_SIZES);
    beat.fine("usage[0].used_bytes", Put::Number(i64::MAX));
    beat.numbers("usage[0].plan_version", &NOT_SIZES);
    for version in [0, i64::MAX] {
        beat.fine("usage[0].plan_version", Put::Number(version));
        beat.fine("usage[0].live_version", Put::Number(version));
    }
    beat.numbers("usage[0].live_version", &NOT_SIZES);
    beat.numbers("usage[0].live_bps", &NOT_RATES);
    beat.fine("usage[0].live_bps", Put::Number(0));
    beat.span("usage[0].held_back");
    for known in [0, 1, 400 * DAY_S] {
        beat.fine("usage[0].held_back.seconds", Put::Number(known));
    }
    let both = [("usage[1].reservation", text("x")), ("usage[0].used_bytes", Put::Number(-1))];
    let fields = both.iter().map(|(path, _)| (*path).to_owned()).collect();
    beat.row(&both, Expect::Bad(fields));
    beat.row(&[("usage", times(Put::Empty, 1000))], Expect::BadEntries("usage[".into()));
    vec![open, close, beat]
}

fn session_reads() -> Vec<Table> {
    let mut get = Table::of(GET_SESSION);
    get.bad("name", text(""));
    get.named("name", "sessions");
    get.says("name", text(format!("sessions/{UNKNOWN}")), Code::NotFound);
    let mut list = Table::of(LIST_SESSIONS);
    list.page();
    list.too_large("page_token");
    list.bad("page_token", text("lanes/x"));
    list.bad("page_token", text("sessions/x"));
    list.fine("page_token", text(format!("sessions/{UNKNOWN}")));
    list.fine("show_ended", Put::Flag(true));
    vec![get, list]
}

/// The rows of a call, asked on a stream as its question `ask`, with what is good for the rest.
fn asked(rows: Vec<Row>, ask: &str, good: &[(&str, Put)]) -> Vec<Row> {
    let on_stream = |row: Row| {
        let said = |field: &str| row.puts.iter().any(|(path, _)| related(field, path));
        let rest = good.iter().filter(|(field, _)| !said(field));
        let rest = rest.map(|(field, value)| (format!("{ask}.{field}"), value.clone()));
        let rest: Vec<_> = rest.collect();
        let puts = row.puts.into_iter().map(|(path, put)| (format!("{ask}.{path}"), put));
        Row { rpc: ADMIT, puts: puts.chain(rest).collect(), expect: row.expect }
    };
    rows.into_iter().filter(|row| !row.is_large()).map(on_stream).collect()
}

fn admit(world: &World) -> Table {
    let mut t = Table::of(ADMIT);
    t.names("create", Put::Absent, &["ask"]);
    for sequence in [0, -1, i64::MIN, i64::MAX] {
        let dry = ("create.validate_only", Put::Flag(true));
        t.row(&[("sequence", Put::Number(sequence)), dry], Expect::Fine);
    }
    t.rows.extend(asked(create(world).rows, "create", &[]));
    for step in steps(world) {
        let id = ("request_id", text(request_id()));
        let confirmed = || text(&world.confirmed);
        let (ask, good) = match step.rpc {
            CONFIRM => ("confirm", vec![("name", text(&world.held)), id]),
            RELEASE => ("release", vec![("name", confirmed()), id]),
            UPDATE => {
                let rate = ("reservation.rate_bps", Put::Number(GBIT));
                let mask = ("update_mask.paths[0]", text("rate_bps"));
                ("update", vec![("reservation.name", confirmed()), rate, mask, id])
            }
            _ => continue,
        };
        t.rows.extend(asked(step.rows, ask, &good));
    }
    t.too_large("create.parent");
    t
}

pub(super) fn tables(world: &World) -> Vec<Table> {
    let mut tables = vec![watch(), admit(world)];
    tables.extend(sessions(world));
    tables.extend(session_reads());
    tables
}
