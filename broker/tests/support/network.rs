//! The rows of what operators ask of the network.

use super::*;

const MIN: i64 = -1 << 31;
const MAX: i64 = (1 << 31) - 1;

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
    let ratio = [-1, 0, 999_999, 100_000_001, i32::MIN.into(), i32::MAX.into()];
    t.numbers(&format!("{at}.allocation_ratio_ppm"), &ratio);
    t.fine(&format!("{at}.allocation_ratio_ppm"), Put::Number(1_500_000));
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

fn lists(t: &mut Table) {
    for list in ["hosts", "switches", "links", "storage", "routes", "steerings"] {
        long_list(t, &format!("topology.{list}"), &Put::Empty);
    }
    let lists = ["hosts[0].nics", "storage[0].served_via", "storage[0].mirrors", "routes[0].links"];
    for list in lists {
        let entry = if list.ends_with("nics") { Put::Empty } else { text("") };
        long_list(t, &format!("topology.{list}"), &entry);
    }
}

fn apply(world: &World) -> Table {
    let mut t = Table { rpc: APPLY, rows: Vec::new() };
    t.mutation(world.now_s);
    t.bad("request_id", text("g".repeat(7_000_000)));
    t.bad("topology", Put::Absent);
    t.says("topology", Put::Empty, Code::FailedPrecondition);
    lists(&mut t);
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
        "storage[0].mirrors[0]",
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
    t.bad("topology.storage[0].mirrors[0]", text("swift"));
    t.fine("topology.storage[0].mirrors[0]", text("glance"));
    t.fine("accept_losses", Put::Flag(true));
    bundle(&mut t);
    steering(&mut t);
    // The broker's to say: whatever is sent is ignored.
    for version in [-1, i64::MIN, i64::MAX] {
        t.fine("topology.version", Put::Number(version));
    }
    t
}

/// A bundle whose other fields are right.
fn bundle(t: &mut Table) {
    let field = |name: &str| format!("topology.links[0].bundle.{name}");
    let base = [("members", 4), ("ecmp_share_ppm", 500_000), ("streams_min", 8)];
    let wrong: [(&str, &[i64]); 3] = [
        ("members", &[-1, 0, 1, 1025, MIN, MAX]),
        ("ecmp_share_ppm", &[-1, 0, 249_999, 1_000_001, MIN, MAX]),
        ("streams_min", &[-1, 0, 65_536, MIN, MAX]),
    ];
    for (name, numbers) in wrong {
        for number in numbers {
            let rest = base.iter().filter(|(other, _)| *other != name);
            let rest = rest.map(|(other, number)| (field(other), Put::Number(*number)));
            let puts: Vec<(String, Put)> =
                [(field(name), Put::Number(*number))].into_iter().chain(rest).collect();
            // Of too few links no share is small enough.
            let also =
                (name == "members" && [0, 1].contains(number)).then(|| field("ecmp_share_ppm"));
            let fields = [field(name)].into_iter().chain(also).collect();
            t.rows.push(Row { rpc: t.rpc, puts, expect: Expect::Bad(fields) });
        }
    }
}

/// A steering whose other fields are right, but that there is only one path.
fn steering(t: &mut Table) {
    let field = |name: &str| format!("topology.steerings[0].{name}");
    let places = [("from", text("hosts/compute-1")), ("to", text("hosts/relay-1"))];
    let paths = ("paths", Put::Number(2));
    let controller = ("controller", text("c"));
    let marks = [
        ("marks.kind", Put::Number(2)),
        ("marks.values[0]", text("1")),
        ("marks.values[1]", text("2")),
    ];
    let mut row = |name: &str, put: Put, rest: &[(&str, Put)], named: &[&str]| {
        let others = places.iter().chain([&paths]).chain(rest);
        let others = others.filter(|(other, _)| *other != name);
        let others = others.map(|(other, put)| (field(other), put.clone()));
        let puts = [(field(name), put)].into_iter().chain(others).collect();
        let fields = named.iter().map(|name| field(name)).collect();
        t.rows.push(Row { rpc: t.rpc, puts, expect: Expect::Bad(fields) });
    };
    let by_controller = [controller.clone()];
    for name in ["from", "to"] {
        for wrong in ["", "east", "storage/swift", "switches/", "hosts/nobody"] {
            row(name, text(wrong), &by_controller, &[name]);
        }
    }
    row("to", text("hosts/compute-1"), &by_controller, &["to"]);
    for number in [-1, 0, 1, 5, 256, i32::MIN.into(), i32::MAX.into()] {
        row("paths", Put::Number(number), &by_controller, &["paths"]);
    }
    // Nothing is wrong with it, but that there is only one path.
    row("paths", Put::Number(2), &by_controller, &["paths"]);
    row("controller", text("-a"), &[], &["controller"]);
    row("paths", Put::Number(2), &[], &["how"]);
    for kind in [-1, 0, 4, i32::MIN.into(), i32::MAX.into()] {
        row("marks.kind", Put::Number(kind), &marks[1..], &["marks.kind"]);
    }
    row("marks.kind", Put::Number(2), &marks[1..], &["paths"]);
    for wrong in ["", "x", "64", "-1", "+1"] {
        row("marks.values[0]", text(wrong), &marks, &["marks.values[0]"]);
    }
    row("marks.values[0]", text("02"), &marks, &["marks.values[1]"]);
    row("marks.values", times(text("7"), HUGE), &marks[..1], &["marks.values"]);
    row("marks.values", Put::Absent, &marks[..1], &["marks.values"]);
}

/// What names a resource.
fn resource(t: &mut Table, path: &str) {
    for wrong in ["", "spine", "lanes/spine", "links/", "hosts/compute-1/nics", "links/a/forward"] {
        t.bad(path, text(wrong));
    }
    t.malformed(path, "links/");
    for missing in ["links/nobody", "hosts/compute-1/nics/eth9", "storage/nobody"] {
        t.says(path, text(missing), Code::NotFound);
    }
    t.too_large(path);
}

fn maintenance(world: &World) -> Table {
    let mut t = Table { rpc: MAINTAIN, rows: Vec::new() };
    t.mutation(world.now_s);
    t.bad("maintenance", Put::Absent);
    resource(&mut t, "maintenance.resource");
    t.time("maintenance.start_time");
    t.time("maintenance.end_time");
    t.bad("maintenance.end_time", Put::Absent);
    let past = Put::Number(world.now_s - 100);
    t.names("maintenance.start_time.seconds", past, &["maintenance.start_time"]);
    for end in [world.now_s - 100, world.now_s + 401 * DAY_S] {
        let end = Put::Number(end);
        t.names("maintenance.end_time.seconds", end, &["maintenance.end_time"]);
    }
    t.numbers("maintenance.left_ppm", &[-1, 1_000_000, i32::MIN.into(), i32::MAX.into()]);
    t.fine("maintenance.left_ppm", Put::Number(999_999));
    for wrong in ["a\u{0}b".to_owned(), "\n".to_owned(), "a".repeat(201), "a".repeat(HUGE)] {
        t.bad("maintenance.comment", text(wrong));
    }
    t.fine("maintenance.comment", text("ä".repeat(200)));
    t.fine("accept_losses", Put::Flag(true));
    let both = [("maintenance.resource", text("x")), ("maintenance.left_ppm", Put::Number(-1))];
    let fields = both.iter().map(|(path, _)| (*path).to_owned()).collect();
    t.row(&both, Expect::Bad(fields));
    t
}

fn paths() -> Table {
    let mut t = Table { rpc: PATHS, rows: Vec::new() };
    for end in ["source", "destination"] {
        for wrong in ["", "compute-1", "switches/west", "hosts/"] {
            t.bad(end, text(wrong));
        }
        t.malformed(end, "hosts/");
        t.says(end, text("storage/nobody"), Code::NotFound);
        t.too_large(end);
    }
    t.bad("via", times(text("hosts/relay-1"), 9));
    t.bad("via", times(text("h"), HUGE));
    t.malformed("via[0]", "hosts/");
    t.says("via[0]", text("hosts/nobody"), Code::NotFound);
    let not_served = [("source", text("storage/glance")), ("via[0]", text("hosts/compute-1"))];
    t.row(&not_served, Expect::Bad(vec!["via".into()]));
    t
}

pub(super) fn tables(world: &World) -> Vec<Table> {
    let drains = [DRAIN, UNDRAIN].map(|rpc| {
        let mut t = Table { rpc, rows: Vec::new() };
        t.mutation(world.now_s);
        resource(&mut t, "resource");
        t
    });
    let mut delete = Table { rpc: UNMAINTAIN, rows: Vec::new() };
    delete.mutation(world.now_s);
    delete.bad("name", text(""));
    delete.named("name", "maintenances");
    delete.says("name", text(format!("maintenances/{UNKNOWN}")), Code::NotFound);
    let mut list = Table { rpc: MAINTENANCES, rows: Vec::new() };
    list.page();
    list.bad("page_token", text(format!("reservations/{UNKNOWN}")));
    list.fine("page_token", text(format!("maintenances/{UNKNOWN}")));
    let tables = [apply(world), maintenance(world), delete, list, paths()];
    tables.into_iter().chain(drains).collect()
}
