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
    pub(crate) now_s: i64,
}

#[path = "methods.rs"]
mod methods;
#[path = "streams.rs"]
mod streams;

pub(crate) use methods::*;

pub(crate) fn text(text: impl Into<String>) -> Put {
    Put::Text(text.into())
}

fn times(put: Put, count: usize) -> Put {
    Put::Times(Box::new(put), count)
}

/// The rows of one RPC.
struct Table {
    rpc: &'static str,
    rows: Vec<Row>,
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
    fn row(&mut self, puts: &[(&str, Put)], expect: Expect) {
        let puts = puts.iter().map(|(path, put)| ((*path).to_owned(), put.clone())).collect();
        self.rows.push(Row { rpc: self.rpc, puts, expect });
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
        let dry = matches!(self.rpc, CREATE | CONFIRM | EXTEND | RELEASE | OPEN | CLOSE | APPLY);
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

    fn reservation(&mut self, path: &str) {
        self.bad(path, text(""));
        self.bad(path, text(format!("projects/other/reservations/{UNKNOWN}")));
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

fn create(world: &World) -> Table {
    let mut t = Table { rpc: CREATE, rows: Vec::new() };
    t.mutation(world.now_s);
    for parent in ["x", "projects/", "projects/other", "folders/default", "projects/-", "\u{7}"] {
        t.bad("parent", text(parent));
    }
    t.too_large("parent");
    sources(&mut t);
    t.bad("destination", text(""));
    t.bad("destination", text("hosts"));
    t.bad("destination", text("switches/west"));
    t.malformed("destination", "hosts/");
    t.says("destination", text("hosts/nobody"), Code::NotFound);
    t.says("destination", text("storage/nobody"), Code::NotFound);
    t.row(&[("sources[0]", text("hosts/compute-1"))], Expect::Bad(vec!["destination".into()]));
    t.too_large("destination");
    t.bad("via", times(text("hosts/relay-1"), 9));
    t.bad("via", times(text("h"), HUGE));
    for relay in ["", "relay-1", "storage/swift", "hosts/"] {
        t.bad("via[0]", text(relay));
    }
    t.malformed("via[0]", "hosts/");
    t.says("via[0]", text("hosts/nobody"), Code::NotFound);
    let not_served = [("sources[0]", text("storage/glance")), ("via[0]", text("hosts/compute-1"))];
    t.row(&not_served, Expect::Bad(vec!["via".into()]));
    t.span("hold_for");
    t.names("hold_for.seconds", Put::Number(0), &["hold_for"]);
    t.names("hold_for.seconds", Put::Number(901), &["hold_for"]);
    t.fine("hold_for.seconds", Put::Number(900));
    t.named("session", "sessions");
    t.says("session", text(format!("sessions/{UNKNOWN}")), Code::NotFound);
    rigid(&mut t, world.now_s);
    let many = [
        ("parent", text("x")),
        ("request_id", text("")),
        ("sources[0]", text("x")),
        ("destination", text("y")),
        ("via[0]", text("z")),
        ("hold_for.nanos", Put::Number(-1)),
        ("session", text("s")),
        ("rigid.rate_bps", Put::Number(-1)),
        ("rigid.start_time.nanos", Put::Number(-1)),
        ("rigid.duration.nanos", Put::Number(-1)),
    ];
    let fields = many.iter().map(|(path, _)| path.trim_end_matches(".nanos").to_owned());
    t.row(&many, Expect::Bad(fields.collect()));
    t
}

fn sources(t: &mut Table) {
    t.bad("sources", Put::Absent);
    t.bad("sources", times(text("storage/swift"), 17));
    t.bad("sources", times(text("a"), HUGE));
    t.says("sources", times(text("storage/swift"), HUGE), Code::OutOfRange);
    for source in ["", "compute-1", "links/spine", "Hosts/compute-1", "storage/"] {
        t.bad("sources[0]", text(source));
    }
    t.malformed("sources[0]", "storage/");
    // The collection is what is unknown, however long it is.
    t.bad("sources[0]", text(format!("{}/a", "k".repeat(HUGE))));
    t.says("sources[0]", text("storage/nobody"), Code::NotFound);
    t.says("sources[1]", text("hosts/nobody"), Code::NotFound);
    let both = [("sources[0]", text("x")), ("sources[2]", text("z"))];
    t.row(&both, Expect::Bad(vec!["sources[0]".into(), "sources[2]".into()]));
    t.too_large("sources[0]");
}

fn rigid(t: &mut Table, now_s: i64) {
    t.names("rigid", Put::Absent, &["shape"]);
    t.names("rigid", Put::Empty, &["rigid.until"]);
    t.numbers("rigid.rate_bps", &NOT_RATES);
    t.bad("rigid.rate_bps", Put::Number(0));
    t.fine("rigid.rate_bps", Put::Number(1));
    t.fine("rigid.rate_bps", Put::Number(1_000_000_000_000_000));
    t.time("rigid.start_time");
    t.names("rigid.start_time.seconds", Put::Number(0), &["rigid.start_time"]);
    t.names("rigid.start_time.seconds", Put::Number(now_s - 60), &["rigid.start_time"]);
    let far = [now_s + 401 * DAY_S, 253_402_300_799];
    for seconds in far {
        t.names("rigid.start_time.seconds", Put::Number(seconds), &["rigid.duration"]);
    }
    t.span("rigid.duration");
    t.names("rigid.duration.seconds", Put::Number(0), &["rigid.duration"]);
    t.fine("rigid.duration.seconds", Put::Number(400 * DAY_S));
    t.time("rigid.end_time");
    for seconds in [0, now_s - 1, now_s + 401 * DAY_S, 253_402_300_799] {
        t.names("rigid.end_time.seconds", Put::Number(seconds), &["rigid.end_time"]);
    }
    for end in [now_s + 49, now_s + 50] {
        let inverted = [
            ("rigid.start_time.seconds", Put::Number(now_s + 50)),
            ("rigid.end_time.seconds", Put::Number(end)),
        ];
        t.row(&inverted, Expect::Bad(vec!["rigid.end_time".into()]));
    }
}

fn steps(world: &World) -> Vec<Table> {
    let mut confirm = Table { rpc: CONFIRM, rows: Vec::new() };
    let mut extend = Table { rpc: EXTEND, rows: Vec::new() };
    let mut release = Table { rpc: RELEASE, rows: Vec::new() };
    let missing = format!("projects/default/reservations/{UNKNOWN}");
    for table in [&mut confirm, &mut extend, &mut release] {
        table.mutation(world.now_s);
        table.reservation("name");
        table.says("name", text(missing.clone()), Code::NotFound);
    }
    extend.bad("hold_for", Put::Absent);
    extend.bad("hold_for", Put::Empty);
    extend.span("hold_for");
    extend.says("name", text(world.confirmed.clone()), Code::FailedPrecondition);
    release.named("session", "sessions");
    release.says("session", text(format!("sessions/{UNKNOWN}")), Code::FailedPrecondition);
    release.numbers("used_bytes", &NOT_SIZES);
    release.fine("used_bytes", Put::Number(i64::MAX));
    vec![confirm, extend, release]
}

fn reads() -> Vec<Table> {
    let mut get = Table { rpc: GET, rows: Vec::new() };
    get.reservation("name");
    get.says("name", text(format!("projects/default/reservations/{UNKNOWN}")), Code::NotFound);
    let mut list = Table { rpc: LIST, rows: Vec::new() };
    for parent in ["x", "projects/", "projects/other", "projects/--", "\u{7}"] {
        list.bad("parent", text(parent));
    }
    list.fine("parent", text("projects/-"));
    list.page();
    list.too_large("page_token");
    list.bad("page_token", text("lanes/x"));
    list.bad("page_token", text("reservations/x"));
    list.bad("page_token", text(format!("reservations/{UNKNOWN}")));
    list.fine("show_closed", Put::Flag(true));
    list.filter();
    let mut lanes = Table { rpc: RESOURCES, rows: Vec::new() };
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

fn capacity(t: &mut Table, at: &str) {
    let at = format!("{at}.capacity");
    let (out, back) = (format!("{at}.out_bps"), format!("{at}.in_bps"));
    let total = format!("{at}.total_bps");
    t.bad(&at, Put::Absent);
    for rate in [&out, &back, &total] {
        t.numbers(rate, &NOT_RATES);
    }
    // An absent `in_bps` is the same as `out_bps`, the fault of it too.
    t.names(&out, Put::Number(0), &[&out, &back]);
    let reserved = [-1, 1_000_000, 1_000_001, i32::MIN.into(), i32::MAX.into()];
    t.numbers(&format!("{at}.reserved_ppm"), &reserved);
}

fn framing(t: &mut Table, at: &str) {
    let wrong = [-1, 1_000_001, i32::MIN.into(), i32::MAX.into()];
    t.numbers(&format!("{at}.framing.overhead_ppm"), &wrong);
    let wrong = [-1, 1, 575, 65_536, i32::MIN.into(), i32::MAX.into()];
    t.numbers(&format!("{at}.framing.mtu_bytes"), &wrong);
}

/// A list that is too long, and one whose every entry is wrong.
fn long_list(t: &mut Table, path: &str, entry: &Put) {
    t.bad(path, times(entry.clone(), HUGE));
    t.row(&[(path, times(entry.clone(), HUGE - 1))], Expect::BadEntries(format!("{path}[")));
}

fn apply(world: &World) -> Table {
    let mut t = Table { rpc: APPLY, rows: Vec::new() };
    t.mutation(world.now_s);
    t.rows.retain(|row| !matches!(row.expect, Expect::Says(Code::OutOfRange)));
    t.says("request_id", text("g".repeat(40_000_000)), Code::OutOfRange);
    t.bad("request_id", text("g".repeat(7_000_000)));
    t.bad("topology", Put::Absent);
    t.says("topology", Put::Empty, Code::FailedPrecondition);
    for list in ["hosts", "switches", "links", "storage", "routes"] {
        long_list(&mut t, &format!("topology.{list}"), &Put::Empty);
    }
    for list in ["hosts[0].nics", "storage[0].served_via", "routes[0].links"] {
        let entry = if list.ends_with("nics") { Put::Empty } else { text("") };
        long_list(&mut t, &format!("topology.{list}"), &entry);
    }
    let names = ["hosts[0].name", "hosts[0].nics[0].name", "switches[0].name", "links[0].name"];
    for name in names.into_iter().chain(["storage[0].name"]) {
        t.word(&format!("topology.{name}"));
    }
    t.bad("topology.hosts[0].name", text("g".repeat(7_000_000)));
    // What named the one that is gone is wrong too.
    let orphans = ["topology.hosts[1].name", "topology.storage[1].served_via[0]"];
    t.names("topology.hosts[1].name", text("compute-1"), &orphans);
    let orphans = [
        "topology.switches[1].name",
        "topology.hosts[0].nics[0].switch",
        "topology.links[0].to",
        "topology.routes[0].to",
    ];
    t.names("topology.switches[1].name", text("east"), &orphans);
    t.bad("topology.storage[1].name", text("swift"));
    let places = [
        "hosts[0].nics[0].switch",
        "links[0].from",
        "links[0].to",
        "storage[0].host",
        "storage[0].switch",
        "storage[1].served_via[0]",
        "routes[0].links[0]",
    ];
    for place in places {
        t.word(&format!("topology.{place}"));
        t.bad(&format!("topology.{place}"), text("nobody"));
    }
    t.bad("topology.links[0].to", text("east"));
    for end in ["topology.routes[0].from", "topology.routes[0].to"] {
        t.bad(end, text("east"));
        t.bad(end, text("storage/swift"));
        t.malformed(end, "switches/");
        t.bad(end, text("switches/nobody"));
        t.bad(end, text("hosts/nobody"));
    }
    t.names("topology.routes[0].from", text("switches/west"), &["topology.routes[0]"]);
    t.names("topology.routes[0].to", text("switches/east"), &["topology.routes[0]"]);
    t.names("topology.storage[0].switch", Put::Absent, &["topology.storage[0].place"]);
    t.bad("topology.routes[0].links", Put::Absent);
    t.bad("topology.routes[0].links", times(text("spine"), 65));
    t.numbers("topology.links[0].cost", &[-1, 1_000_001, i32::MIN.into(), i32::MAX.into()]);
    for at in ["topology.hosts[0].nics[0]", "topology.links[0]"] {
        capacity(&mut t, at);
        framing(&mut t, at);
    }
    capacity(&mut t, "topology.storage[0]");
    // The broker's to say: whatever is sent is ignored.
    for version in [-1, i64::MIN, i64::MAX] {
        t.fine("topology.version", Put::Number(version));
    }
    t
}

/// The whole table.
pub(crate) fn rows(world: &World) -> Vec<Row> {
    let mut tables = vec![create(world), apply(world)];
    tables.extend(steps(world));
    tables.extend(reads());
    tables.extend(streams::tables(world));
    tables.into_iter().flat_map(|table| table.rows).collect()
}
