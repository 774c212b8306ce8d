//! The rows of what operators ask of the network: topologies, paths, drains and maintenance.

use super::{
    APPLY, DAY_S, DRAIN, Expect, HUGE, MAINTAIN, MAINTENANCES, NOT_RATES, PATHS, Put, Table,
    UNDRAIN, UNKNOWN, UNMAINTAIN, World, text, times,
};
use tonic::Code;

/// Messages about the network may be larger, so what is too large elsewhere is only wrong here.
fn takes_much(t: &mut Table) {
    t.rows.retain(|row| !matches!(row.expect, Expect::Says(Code::OutOfRange)));
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
    let ratios = [-1, 0, 999_999, 100_000_001, i32::MIN.into(), i32::MAX.into()];
    t.numbers(&format!("{at}.allocation_ratio_ppm"), &ratios);
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
    let mut t = Table::of(APPLY);
    t.mutation(world.now_s);
    takes_much(&mut t);
    t.says("request_id", text("g".repeat(40_000_000)), Code::OutOfRange);
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
        "storage[1].mirrors[0]",
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
    t.malformed("topology.storage[0].tier", "");
    t.fine("topology.storage[0].tier", text("ssd"));
    t.names("topology.storage[0].mirrors", twice(), &["topology.storage[0].mirrors[1]"]);
    bundle(&mut t);
    steering(&mut t);
    t.fine("accept_losses", Put::Flag(true));
    // The broker's to say: whatever is sent is ignored.
    for version in [-1, i64::MIN, i64::MAX] {
        t.fine("topology.version", Put::Number(version));
    }
    t
}

fn twice() -> Put {
    times(text("glance"), 2)
}

fn bundle(t: &mut Table) {
    let at = |field: &str| format!("topology.links[0].bundle.{field}");
    let [members, share, streams] = ["members", "ecmp_share_ppm", "streams_min"].map(at);
    let good = [
        (members.as_str(), Put::Number(2)),
        (share.as_str(), Put::Number(500_000)),
        (streams.as_str(), Put::Number(4)),
    ];
    t.names("topology.links[0].bundle", Put::Empty, &[&members]);
    t.with(&good, |t| {
        let wrong = [-1, 0, 1, 1025, 65_536, i32::MIN.into(), i32::MAX.into()];
        t.with(&good[..1], |t| t.numbers(&members, &wrong));
        t.fine(&members, Put::Number(1024));
        let wrong = [-1, 0, 499_999, 1_000_001, i32::MIN.into(), i32::MAX.into()];
        t.numbers(&share, &wrong);
        t.fine(&share, Put::Absent);
        t.fine(&share, Put::Number(1_000_000));
        t.numbers(&streams, &[-1, 0, 65_536, i32::MIN.into(), i32::MAX.into()]);
        t.fine(&streams, Put::Number(65_535));
    });
}

fn steering(t: &mut Table) {
    let at = |field: &str| format!("topology.steerings[0].{field}");
    let [from, to, paths] = ["from", "to", "paths"].map(at);
    let [controller, kind, values] = ["controller", "marks.kind", "marks.values"].map(at);
    let value = |index: usize| format!("{values}[{index}]");
    let network = [
        ("topology.routes", Put::Absent),
        ("topology.links[1].name", text("spine-2")),
        ("topology.links[1].from", text("east")),
        ("topology.links[1].to", text("west")),
        ("topology.links[1].capacity.out_bps", Put::Number(1_000_000_000)),
        (from.as_str(), text("switches/east")),
        (to.as_str(), text("switches/west")),
        (paths.as_str(), Put::Number(2)),
    ];
    let by_controller = [network.as_slice(), &[(controller.as_str(), text("sdn"))]].concat();
    t.with(&by_controller, |t| {
        for end in [&from, &to] {
            for wrong in ["", "east", "storage/swift", "switches/nobody", "hosts/nobody"] {
                t.bad(end, text(wrong));
            }
            t.malformed(end, "switches/");
        }
        t.names(&from, text("switches/west"), &[&to]);
        t.numbers(&paths, &[-1, 0, 1, 3, 5, 256, i32::MIN.into(), i32::MAX.into()]);
        t.word(&controller);
        t.fine(&controller, text("sdn-1"));
        // Where a route is declared there is no choice.
        t.names("topology.routes[0].links[0]", text("spine"), &["topology.steerings[0]"]);
        let again: Vec<(String, Put)> = t.base[5..].to_vec();
        let again: Vec<(String, Put)> =
            again.into_iter().map(|(path, put)| (path.replace("[0]", "[1]"), put)).collect();
        let again: Vec<(&str, Put)> =
            again.iter().map(|(path, put)| (path.as_str(), put.clone())).collect();
        t.all_bad(&again, &["topology.steerings[1]"]);
    });
    let (first, second, how) = (value(0), value(1), at("how"));
    t.with(&network, |t| t.names(&controller, Put::Absent, &[&how]));
    let marks = [
        (kind.as_str(), Put::Number(2)),
        (first.as_str(), text("10")),
        (second.as_str(), text("20")),
    ];
    let by_marks = [network.as_slice(), &marks].concat();
    t.with(&by_marks, |t| {
        t.numbers(&kind, &[-1, 0, 4, i32::MIN.into(), i32::MAX.into()]);
        // Neither number is an address; both are VLANs.
        t.names(&kind, Put::Number(1), &[&first, &second]);
        t.fine(&kind, Put::Number(3));
        t.bad(&values, Put::Absent);
        t.names(&at("marks"), Put::Empty, &[&kind]);
        for wrong in ["", "64", "-1", "x", "1.0", "\u{0}", "+1"] {
            t.bad(&second, text(wrong));
        }
        t.bad(&second, text("9".repeat(HUGE)));
        // The same value, however it is written.
        t.bad(&second, text("10"));
        t.bad(&second, text("010"));
        t.names(&value(2), text("30"), &[&values]);
        long_list(t, &values, &text(""));
    });
}

fn resolve() -> Table {
    let mut t = Table::of(PATHS);
    for end in ["source", "destination"] {
        for wrong in ["", "hosts", "switches/west", "compute-1", "links/spine"] {
            t.bad(end, text(wrong));
        }
        t.malformed(end, "storage/");
        t.says(end, text("hosts/nobody"), Code::NotFound);
        t.says(end, text("storage/nobody"), Code::NotFound);
    }
    t.names("source", text("hosts/compute-1"), &["destination"]);
    t.bad("via", times(text("hosts/relay-1"), 9));
    t.bad("via", times(text("h"), HUGE));
    for relay in ["", "relay-1", "storage/swift", "hosts/"] {
        t.bad("via[0]", text(relay));
    }
    t.malformed("via[0]", "hosts/");
    t.says("via[0]", text("hosts/nobody"), Code::NotFound);
    let not_served = [("source", text("storage/glance")), ("via[0]", text("hosts/compute-1"))];
    t.all_bad(&not_served, &["via"]);
    let all = [("source", text("x")), ("destination", text("y")), ("via[1]", text("z"))];
    t.all_bad(&all, &["source", "destination", "via[0]", "via[1]"]);
    t
}

/// What takes or gives capacity, by its name.
fn resource(t: &mut Table, path: &str) {
    let wrong =
        ["", "spine", "lanes/x", "links", "links/", "hosts/compute-1/nics", "hosts//nics/x"];
    for wrong in wrong {
        t.bad(path, text(wrong));
    }
    t.bad(path, text("hosts/compute-1/nics/eth0/egress"));
    t.malformed(path, "links/");
    t.malformed(path, "hosts/compute-1/nics/");
    for unknown in ["links/nobody", "hosts/nobody", "hosts/compute-1/nics/eth9", "switches/spine"] {
        t.says(path, text(unknown), Code::NotFound);
    }
    t.fine(path, text("hosts/compute-1/nics/eth0"));
}

fn drains(world: &World) -> Vec<Table> {
    let mut tables = vec![Table::of(DRAIN), Table::of(UNDRAIN)];
    for t in &mut tables {
        t.mutation(world.now_s);
        resource(t, "resource");
        t.all_bad(
            &[("resource", text("x")), ("request_id", text(""))],
            &["resource", "request_id"],
        );
    }
    tables
}

fn maintain(world: &World) -> Table {
    let mut t = Table::of(MAINTAIN);
    let now_s = world.now_s;
    t.mutation(now_s);
    t.bad("maintenance", Put::Absent);
    let empty = ["maintenance.resource", "maintenance.end_time"];
    t.names("maintenance", Put::Empty, &empty);
    // The broker's to say: whatever is sent is ignored.
    t.fine("maintenance.name", text("x"));
    resource(&mut t, "maintenance.resource");
    t.time("maintenance.start_time");
    for seconds in [0, now_s - 60] {
        let path = "maintenance.start_time.seconds";
        t.names(path, Put::Number(seconds), &["maintenance.start_time"]);
    }
    t.bad("maintenance.end_time", Put::Absent);
    t.time("maintenance.end_time");
    for seconds in [0, now_s - 1, now_s + 401 * DAY_S] {
        let path = "maintenance.end_time.seconds";
        t.names(path, Put::Number(seconds), &["maintenance.end_time"]);
    }
    t.numbers("maintenance.left_ppm", &[-1, 1_000_000, i32::MIN.into(), i32::MAX.into()]);
    t.fine("maintenance.left_ppm", Put::Number(0));
    for wrong in ["a".repeat(201), "\u{202e}".repeat(HUGE), "a\nb".into(), "\u{0}".into()] {
        t.bad("maintenance.comment", text(wrong));
    }
    t.fine("maintenance.comment", text("ä".repeat(200)));
    t.fine("accept_losses", Put::Flag(true));
    let many = [
        ("maintenance.resource", text("x")),
        ("maintenance.start_time.nanos", Put::Number(-1)),
        ("maintenance.end_time.nanos", Put::Number(-1)),
        ("maintenance.left_ppm", Put::Number(-1)),
        ("maintenance.comment", text("\n")),
        ("request_id", text("x")),
    ];
    t.all_bad(&many, &many.each_ref().map(|(path, _)| path.trim_end_matches(".nanos")));
    t
}

fn maintenances(world: &World) -> Vec<Table> {
    let mut list = Table::of(MAINTENANCES);
    list.page();
    list.bad("page_token", text("lanes/x"));
    list.bad("page_token", text("maintenances/x"));
    list.fine("page_token", text(format!("maintenances/{UNKNOWN}")));
    let mut cancel = Table::of(UNMAINTAIN);
    cancel.mutation(world.now_s);
    cancel.bad("name", text(""));
    cancel.named("name", "maintenances");
    cancel.says("name", text(format!("maintenances/{UNKNOWN}")), Code::NotFound);
    vec![maintain(world), list, cancel]
}

pub(super) fn tables(world: &World) -> Vec<Table> {
    let mut tables = vec![resolve()];
    tables.extend(drains(world));
    tables.extend(maintenances(world));
    tables.iter_mut().for_each(takes_much);
    tables.push(apply(world));
    tables
}
