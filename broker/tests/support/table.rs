//! Every field of every request with the values that are wrong for it, and what is said then.

use super::support::request_id_at;
use tonic::Code;

/// A value to put in place of a good one.
#[derive(Clone, Debug)]
pub(crate) enum Put {
    /// As if it had not been sent.
    Absent,
    Text(String),
    Number(i64),
    Flag(bool),
    /// A message without any field.
    Empty,
    /// A list of this many of the same.
    Times(Box<Put>, usize),
    /// Texts by their keys.
    Map(Vec<(String, String)>),
}

/// What is to be answered.
#[derive(Clone, Debug)]
pub(crate) enum Expect {
    /// `INVALID_ARGUMENT` that names exactly these fields.
    Bad(Vec<String>),
    /// `INVALID_ARGUMENT` that names some of so many entries.
    BadEntries(String),
    /// This code.
    Says(Code),
    /// OK: the value looks odd and is legal.
    Fine,
}

/// A request that differs from a good one.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// `Service/Method`.
    pub(crate) rpc: &'static str,
    pub(crate) puts: Vec<(String, Put)>,
    pub(crate) expect: Expect,
}

/// Names of things that exist.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) held: String,
    pub(crate) confirmed: String,
    pub(crate) session: String,
    pub(crate) window: String,
    /// The tokens of an offer and of an offered volume, and those of some whose time has passed.
    pub(crate) offer: String,
    pub(crate) offered_volume: String,
    pub(crate) old_offers: Vec<String>,
    pub(crate) now_s: i64,
}

#[path = "asks.rs"]
mod asks;
#[path = "methods.rs"]
mod methods;
#[path = "network.rs"]
mod network;
#[path = "policies.rs"]
mod policies;
#[path = "reports.rs"]
mod reports;
#[path = "several.rs"]
mod several;
#[path = "streams.rs"]
mod streams;

use asks::create;

pub(crate) use methods::*;

pub(crate) fn text(text: impl Into<String>) -> Put {
    Put::Text(text.into())
}

fn times(put: Put, count: usize) -> Put {
    Put::Times(Box::new(put), count)
}

/// Whether one path is a part of the other.
fn related(one: &str, other: &str) -> bool {
    let inside = |whole: &str, part: &str| {
        part.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    inside(one, other) || inside(other, one)
}

/// The rows of one RPC.
struct Table {
    rpc: &'static str,
    rows: Vec<Row>,
    /// What else is put into each request, unless the row says something about it.
    base: Vec<(String, Put)>,
}

const UNKNOWN: &str = "019aa7e0-8000-7000-8000-000000000001";
const DAY_S: i64 = 24 * 3600;
/// A random UUID, the nil one, and one of a time that never comes.
const NOT_V7: [&str; 3] = [
    "b2f1e8a0-8000-4000-8000-000000000001",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-7fff-bfff-ffffffffffff",
];
/// One list entry more than is looked at, and a text that no header could carry back.
const HUGE: usize = 100_001;

impl Table {
    fn of(rpc: &'static str) -> Self {
        Self { rpc, rows: Vec::new(), base: Vec::new() }
    }

    fn row(&mut self, puts: &[(&str, Put)], expect: Expect) {
        let said = |base: &str| puts.iter().any(|(path, _)| related(base, path));
        let base = self.base.iter().filter(|(path, _)| !said(path)).cloned();
        let puts = puts.iter().map(|(path, put)| ((*path).to_owned(), put.clone()));
        let puts = puts.chain(base).collect();
        self.rows.push(Row { rpc: self.rpc, puts, expect });
    }

    /// These values together: all of these fields are named.
    fn all_bad(&mut self, puts: &[(&str, Put)], fields: &[&str]) {
        let fields = fields.iter().map(ToString::to_string).collect();
        self.row(puts, Expect::Bad(fields));
    }

    /// Rows about requests that have these values besides.
    fn with(&mut self, base: &[(&str, Put)], rows: impl FnOnce(&mut Self)) {
        let base = base.iter().map(|(path, put)| ((*path).to_owned(), put.clone())).collect();
        let before = std::mem::replace(&mut self.base, base);
        rows(self);
        self.base = before;
    }

    /// The value is wrong and the field is named.
    fn bad(&mut self, path: &str, put: Put) {
        self.names(path, put, &[path]);
    }

    fn names(&mut self, path: &str, put: Put, fields: &[&str]) {
        let fields = fields.iter().map(ToString::to_string).collect();
        self.row(&[(path, put)], Expect::Bad(fields));
    }

    fn says(&mut self, path: &str, put: Put, code: Code) {
        self.row(&[(path, put)], Expect::Says(code));
    }

    /// The value is legal; asked so that it changes nothing.
    fn fine(&mut self, path: &str, put: Put) {
        let dry = MUTATIONS.contains(&self.rpc);
        let dry = dry.then_some(("validate_only", Put::Flag(true)));
        let puts: Vec<(&str, Put)> = [(path, put)].into_iter().chain(dry).collect();
        self.row(&puts, Expect::Fine);
    }

    fn mutation(&mut self, now_s: i64) {
        for wrong in ["", "x", "\u{0}", "ä"].into_iter().chain(NOT_V7) {
            self.bad("request_id", text(wrong));
        }
        self.bad("request_id", text("9".repeat(HUGE)));
        let now_ms = u64::try_from(now_s).unwrap() * 1000;
        for at in [0, now_ms - 601_000, now_ms + 700_000, now_ms * 2] {
            self.says("request_id", text(request_id_at(at)), Code::FailedPrecondition);
        }
        self.fine("validate_only", Put::Flag(true));
        self.too_large("request_id");
    }

    /// More than a message may have.
    fn too_large(&mut self, path: &str) {
        self.says(path, text("g".repeat(10_000_000)), Code::OutOfRange);
    }

    /// A required name that a person chose.
    fn word(&mut self, path: &str) {
        self.bad(path, text(""));
        self.malformed(path, "");
    }

    /// What no name after `prefix` looks like.
    fn malformed(&mut self, path: &str, prefix: &str) {
        let long = "a".repeat(HUGE);
        let wrong =
            ["a\u{0}b", "\n", "\u{1b}[31m", "-a", "a b", "a/b", "..", "ä", "\u{202e}", &long];
        for wrong in wrong {
            self.bad(path, text(format!("{prefix}{wrong}")));
        }
        self.bad(path, text(format!("{prefix}{}", "\u{1}".repeat(HUGE))));
    }

    /// `{collection}/{uuid}` of something that exists.
    fn named(&mut self, path: &str, collection: &str) {
        let other = if collection == "sessions" { "reservations" } else { "sessions" };
        self.bad(path, text(format!("{other}/{UNKNOWN}")));
        self.bad(path, text(UNKNOWN));
        self.bad(path, text(format!("{collection}/")));
        self.bad(path, text(format!("/{collection}/{UNKNOWN}")));
        self.bad(path, text(format!("{collection}/{UNKNOWN}/")));
        self.malformed(path, &format!("{collection}/"));
        self.too_large(path);
    }

    fn parent(&mut self) {
        for parent in ["x", "projects/", "folders/default", "projects/-", "\u{7}"] {
            self.bad("parent", text(parent));
        }
        self.says("parent", text("projects/nobody"), Code::NotFound);
        self.fine("parent", text("projects/default"));
        self.too_large("parent");
    }

    /// What was last seen of a reservation that was made and never changed.
    fn etag(&mut self, path: &str) {
        for wrong in ["x", "-1", "+1", "01", "\"1", "1.0", "\u{0}", "18446744073709551616"] {
            self.bad(path, text(wrong));
        }
        self.bad(path, text("9".repeat(HUGE)));
        self.says(path, text("\"2\""), Code::Aborted);
        self.says(path, text("0"), Code::Aborted);
        self.fine(path, text("\"1\""));
        self.fine(path, text("1"));
        self.too_large(path);
    }

    fn reservation(&mut self, path: &str) {
        self.bad(path, text(""));
        self.bad(path, text(format!("projects/a b/reservations/{UNKNOWN}")));
        self.bad(path, text(format!("projects/-/sessions/{UNKNOWN}")));
        self.named(path, "projects/default/reservations");
    }

    fn span(&mut self, path: &str) {
        let field = |part: &str| format!("{path}.{part}");
        for seconds in [-1, i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, 400 * DAY_S + 1] {
            self.names(&field("seconds"), Put::Number(seconds), &[path]);
        }
        self.nanos(path);
    }

    fn nanos(&mut self, path: &str) {
        for nanos in [-1, 1_000_000_000, i32::MIN.into(), i32::MAX.into()] {
            self.names(&format!("{path}.nanos"), Put::Number(nanos), &[path]);
        }
    }

    fn time(&mut self, path: &str) {
        for seconds in [-1, i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, 253_402_300_800] {
            self.names(&format!("{path}.seconds"), Put::Number(seconds), &[path]);
        }
        self.nanos(path);
    }

    fn numbers(&mut self, path: &str, wrong: &[i64]) {
        for number in wrong {
            self.bad(path, Put::Number(*number));
        }
    }

    fn page(&mut self) {
        self.numbers("page_size", &[-1, 1001, i32::MIN.into(), i32::MAX.into()]);
        for number in [0, 1, 1000] {
            self.fine("page_size", Put::Number(number));
        }
        self.bad("page_token", text("x"));
        self.bad("page_token", text("g".repeat(HUGE)));
    }
}

const NOT_SIZES: [i64; 3] = [-1, i64::MIN, i64::MIN + 1];
const NOT_RATES: [i64; 6] =
    [-1, i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, 1_000_000_000_000_001];

fn steps(world: &World) -> Vec<Table> {
    let mut confirm = Table::of(CONFIRM);
    let mut extend = Table::of(EXTEND);
    let mut release = Table::of(RELEASE);
    let missing = format!("projects/default/reservations/{UNKNOWN}");
    for table in [&mut confirm, &mut extend, &mut release] {
        table.mutation(world.now_s);
        table.reservation("name");
        table.says("name", text(missing.clone()), Code::NotFound);
        table.etag("etag");
    }
    extend.bad("hold_for", Put::Absent);
    extend.bad("hold_for", Put::Empty);
    extend.span("hold_for");
    extend.says("name", text(world.confirmed.clone()), Code::FailedPrecondition);
    release.named("session", "sessions");
    release.says("session", text(format!("sessions/{UNKNOWN}")), Code::FailedPrecondition);
    release.numbers("used_bytes", &NOT_SIZES);
    release.fine("used_bytes", Put::Number(i64::MAX));
    let far = [("name", text("x")), ("hold_for", Put::Empty), ("etag", text("x"))];
    extend.all_bad(&far, &["name", "hold_for", "etag"]);
    vec![confirm, extend, release, update(world)]
}

fn update(world: &World) -> Table {
    let mut t = Table::of(UPDATE);
    t.mutation(world.now_s);
    t.bad("reservation", Put::Absent);
    t.reservation("reservation.name");
    let missing = text(format!("projects/default/reservations/{UNKNOWN}"));
    t.says("reservation.name", missing, Code::NotFound);
    t.etag("reservation.etag");
    t.numbers("reservation.rate_bps", &NOT_RATES);
    t.bad("reservation.rate_bps", Put::Number(0));
    t.fine("reservation.rate_bps", Put::Number(1_000_000_000_000_000));
    t.named("session", "sessions");
    t.says("session", text(format!("sessions/{UNKNOWN}")), Code::FailedPrecondition);
    t.numbers("plan_version", &[-1, i64::MIN]);
    for version in [0, 1, i64::MAX] {
        t.fine("plan_version", Put::Number(version));
    }
    t.bad("update_mask", Put::Absent);
    t.bad("update_mask", Put::Empty);
    for count in [4, HUGE] {
        t.names("update_mask.paths", times(text("rate_bps"), count), &["update_mask"]);
    }
    let huge = "a".repeat(HUGE);
    for path in ["", "*", "name", "state", "RATE_BPS", "rate_bps.x", "\u{0}", "ä", "etag", &huge] {
        t.bad("update_mask.paths[0]", text(path));
    }
    t.bad("update_mask.paths[0]", text("transfer"));
    for path in ["transfer.volume_bytes", "transfer.max_bps", "transfer.deadline"] {
        t.names("update_mask.paths[0]", text(path), &["reservation.transfer"]);
    }
    t.with(&[("update_mask.paths[0]", text("start_time"))], |t| {
        t.bad("reservation.start_time", Put::Absent);
        t.time("reservation.start_time");
        for seconds in [0, world.now_s - 60] {
            let path = "reservation.start_time.seconds";
            t.names(path, Put::Number(seconds), &["reservation.start_time"]);
        }
        // It does not end after that.
        let late = Put::Number(world.now_s + 2 * 3600);
        t.names("reservation.start_time.seconds", late, &["reservation.end_time"]);
    });
    t.with(&[("update_mask.paths[0]", text("end_time"))], |t| {
        t.bad("reservation.end_time", Put::Absent);
        t.time("reservation.end_time");
        for seconds in [0, world.now_s - 60, world.now_s + 401 * DAY_S] {
            let path = "reservation.end_time.seconds";
            t.names(path, Put::Number(seconds), &["reservation.end_time"]);
        }
    });
    // What is not to change is not looked at.
    t.fine("reservation.end_time.nanos", Put::Number(-1));
    all_changed(world, &mut t);
    let many = [
        ("reservation.name", text("x")),
        ("reservation.etag", text("x")),
        ("reservation.rate_bps", Put::Number(0)),
        ("update_mask.paths[1]", text("name")),
        ("session", text("x")),
        ("request_id", text("x")),
    ];
    t.all_bad(&many, &many.each_ref().map(|(path, _)| *path));
    let no_reservation = [("reservation", Put::Absent), ("update_mask.paths[0]", text("x"))];
    t.all_bad(&no_reservation, &["reservation", "update_mask.paths[0]"]);
    t
}

/// All that can be changed, changed at once.
fn all_changed(world: &World, t: &mut Table) {
    let changed = ["rate_bps", "start_time", "end_time"];
    let named = changed.map(|path| format!("reservation.{path}"));
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let mask: Vec<String> = (0..3).map(|index| format!("update_mask.paths[{index}]")).collect();
    let mask: Vec<(&str, Put)> =
        mask.iter().zip(changed).map(|(path, name)| (path.as_str(), text(name))).collect();
    t.with(&mask, |t| {
        t.names("reservation.rate_bps", Put::Number(-1), &named);
        // What only the ledger can tell is told at once too.
        let times = [
            ("reservation.start_time.seconds", Put::Number(world.now_s - 60)),
            ("reservation.end_time.seconds", Put::Number(world.now_s - 90)),
            ("reservation.rate_bps", Put::Number(7)),
        ];
        t.all_bad(&times, &named[1..]);
    });
}

fn reads(world: &World) -> Vec<Table> {
    let mut get = Table::of(GET);
    get.reservation("name");
    get.says("name", text(format!("projects/default/reservations/{UNKNOWN}")), Code::NotFound);
    get.says("name", text(format!("projects/-/reservations/{UNKNOWN}")), Code::NotFound);
    let elsewhere = world.held.replace("projects/default", "projects/lab");
    get.says("name", text(elsewhere), Code::NotFound);
    get.fine("name", text(world.held.replace("projects/default", "projects/-")));
    let mut list = Table::of(LIST);
    for parent in ["x", "projects/", "projects/--", "\u{7}"] {
        list.bad("parent", text(parent));
    }
    list.says("parent", text("projects/nobody"), Code::NotFound);
    list.fine("parent", text("projects/-"));
    list.page();
    list.too_large("page_token");
    list.bad("page_token", text("lanes/x"));
    list.bad("page_token", text("reservations/x"));
    list.bad("page_token", text(format!("reservations/{UNKNOWN}")));
    list.fine("show_closed", Put::Flag(true));
    list.filter();
    let mut lanes = Table::of(RESOURCES);
    lanes.page();
    lanes.bad("page_token", text("g".repeat(10_000_000)));
    lanes.bad("page_token", text(format!("reservations/{UNKNOWN}")));
    lanes.fine("page_token", text("lanes/zzz"));
    lanes.time("start_time");
    lanes.time("end_time");
    for end in [999_999, 1_000_000] {
        let inverted = [
            ("start_time.seconds", Put::Number(1_000_000)),
            ("end_time.seconds", Put::Number(end)),
        ];
        lanes.row(&inverted, Expect::Bad(vec!["end_time".into()]));
    }
    let last = [
        ("start_time.seconds", Put::Number(253_402_300_799)),
        ("start_time.nanos", Put::Number(999_999_999)),
    ];
    lanes.row(&last, Expect::Bad(vec!["end_time".into()]));
    vec![get, list, lanes]
}

/// The whole table.
pub(crate) fn rows(world: &World) -> Vec<Row> {
    let mut tables = vec![create(world)];
    tables.extend(steps(world));
    tables.extend(reads(world));
    tables.extend(asks::tables(world));
    tables.extend(several::tables(world));
    tables.extend(network::tables(world));
    tables.extend(policies::tables(world));
    tables.extend(reports::tables(world));
    tables.extend(streams::tables(world));
    tables.into_iter().flat_map(|table| table.rows).collect()
}
