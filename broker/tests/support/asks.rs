//! The rows of what is asked of lanes: reservations, and times that would fit.

use super::{
    CREATE, DAY_S, Expect, HUGE, NOT_RATES, NOT_SIZES, Put, Table, UNKNOWN, WINDOWS, World, text,
    times,
};
use tonic::Code;

pub(super) fn create(world: &World) -> Table {
    let mut t = Table::of(CREATE);
    t.mutation(world.now_s);
    t.parent();
    ends(&mut t);
    t.with(&[("sources", Put::Absent), ("destination", Put::Absent)], lanes);
    terms(&mut t);
    t.span("hold_for");
    t.names("hold_for.seconds", Put::Number(0), &["hold_for"]);
    t.names("hold_for.seconds", Put::Number(901), &["hold_for"]);
    t.fine("hold_for.seconds", Put::Number(900));
    t.fine("hold_best_offer", Put::Flag(true));
    t.named("session", "sessions");
    t.says("session", text(format!("sessions/{UNKNOWN}")), Code::NotFound);
    rigid(&mut t, world.now_s);
    let window = [
        ("flexible.min_bps", Put::Number(1_000_000)),
        ("flexible.max_bps", Put::Number(2_000_000)),
        ("flexible.duration.seconds", Put::Number(60)),
        ("flexible.window_start_time.seconds", Put::Number(world.now_s + 600)),
        ("flexible.window_end_time.seconds", Put::Number(world.now_s + 3600)),
    ];
    t.with(&window, |t| flexible(t, world.now_s));
    let volume = [
        ("transfer.volume_bytes", Put::Number(1_000_000)),
        ("transfer.max_bps", Put::Number(2_000_000)),
        ("transfer.start_time.seconds", Put::Number(world.now_s + 600)),
        ("transfer.deadline.seconds", Put::Number(world.now_s + 3600)),
    ];
    t.with(&volume, |t| transfer(t, world.now_s));
    standing(&mut t);
    t.with(&[("sources", Put::Absent), ("destination", Put::Absent)], |t| offers(t, world));
    together(&mut t, world.now_s);
    t
}

/// Several bad fields at once: those that nothing helps, and those that only the ledger can tell.
fn together(t: &mut Table, now_s: i64) {
    let many = [
        ("parent", text("x")),
        ("request_id", text("")),
        ("sources[0]", text("x")),
        ("destination", text("y")),
        ("via[0]", text("z")),
        ("hold_for.nanos", Put::Number(-1)),
        ("session", text("s")),
        ("path", Put::Number(9)),
        ("assurance", Put::Number(9)),
        ("streams", Put::Number(-1)),
        ("rigid.rate_bps", Put::Number(0)),
        ("rigid.start_time.nanos", Put::Number(-1)),
        ("rigid.duration.nanos", Put::Number(-1)),
    ];
    let fields = many.each_ref().map(|(path, _)| path.trim_end_matches(".nanos"));
    t.all_bad(&many, &fields);
    let told_by_the_ledger = [
        ("hold_for.seconds", Put::Number(901)),
        ("sources[0]", text("storage/glance")),
        ("via[0]", text("hosts/compute-1")),
        ("rigid.start_time.seconds", Put::Number(now_s - 60)),
        ("rigid.end_time.seconds", Put::Number(now_s - 90)),
    ];
    t.all_bad(&told_by_the_ledger, &["hold_for", "via", "rigid.start_time", "rigid.end_time"]);
    let onto_itself = [
        ("destination", text("hosts/compute-1")),
        ("sources[0]", text("hosts/compute-1")),
        ("flexible.min_bps", Put::Number(2)),
        ("flexible.max_bps", Put::Number(1)),
        ("flexible.duration.seconds", Put::Number(60)),
        ("flexible.window_start_time.seconds", Put::Number(now_s - 60)),
        ("flexible.window_end_time.seconds", Put::Number(now_s + 401 * DAY_S)),
    ];
    let fields = [
        "destination",
        "flexible.max_bps",
        "flexible.window_start_time",
        "flexible.window_end_time",
    ];
    t.all_bad(&onto_itself, &fields);
}

/// Where the bytes come from and go, and through whom.
fn ends(t: &mut Table) {
    sources(t);
    t.bad("destination", text(""));
    t.bad("destination", text("hosts"));
    t.bad("destination", text("switches/west"));
    t.malformed("destination", "hosts/");
    t.says("destination", text("hosts/nobody"), Code::NotFound);
    t.says("destination", text("storage/nobody"), Code::NotFound);
    t.all_bad(&[("sources[0]", text("hosts/compute-1"))], &["destination"]);
    t.too_large("destination");
    t.bad("via", times(text("hosts/relay-1"), 9));
    t.bad("via", times(text("h"), HUGE));
    for relay in ["", "relay-1", "storage/swift", "hosts/"] {
        t.bad("via[0]", text(relay));
    }
    t.malformed("via[0]", "hosts/");
    t.says("via[0]", text("hosts/nobody"), Code::NotFound);
    let not_served = [("sources[0]", text("storage/glance")), ("via[0]", text("hosts/compute-1"))];
    t.all_bad(&not_served, &["via"]);
    t.numbers("path", &[-1, 4, i32::MIN.into(), i32::MAX.into()]);
    for path in [0, 3] {
        t.fine("path", Put::Number(path));
    }
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
    t.all_bad(&both, &["sources[0]", "sources[2]"]);
    t.too_large("sources[0]");
}

/// Lanes instead of endpoints.
fn lanes(t: &mut Table) {
    let lane = || text("links/spine/forward");
    t.bad("lanes", times(lane(), 257));
    t.bad("lanes", times(text(""), HUGE));
    for wrong in ["", "/", "links//forward", "links/spine/forward/", "/links/spine/forward"] {
        t.bad("lanes[0]", text(wrong));
    }
    let (long, huge) = ("a".repeat(64), "a".repeat(HUGE));
    for part in ["a\u{0}b", "\n", "\u{1b}[31m", "-a", "a b", "..", "ä", "\u{202e}", &long, &huge] {
        t.bad("lanes[0]", text(format!("links/{part}/forward")));
    }
    t.bad("lanes[0]", text("a/".repeat(HUGE)));
    t.bad("lanes[0]", text(format!("{}a", "a/".repeat(100))));
    for unknown in ["spine", "links/spine", "links/spine/Forward", "links/spine/forward/firm"] {
        t.says("lanes[0]", text(unknown), Code::NotFound);
    }
    t.fine("lanes", times(lane(), 256));
    let both = [("lanes[0]", text("")), ("lanes[2]", text("/"))];
    let both = [both.as_slice(), &[("lanes[1]", lane())]].concat();
    t.all_bad(&both, &["lanes[0]", "lanes[2]"]);
    // A number of a path makes no sense where there is nothing to choose from.
    for (field, value) in [("path", Put::Number(0)), ("via[0]", text("hosts/relay-1"))] {
        let named = field.trim_end_matches("[0]");
        t.all_bad(&[("lanes[0]", lane()), (field, value)], &[named]);
    }
    let others = [("sources[0]", text("storage/swift")), ("destination", text("hosts/relay-1"))];
    let others = [[("lanes[0]", lane())].as_slice(), &others].concat();
    t.all_bad(&others, &["sources", "destination"]);
}

fn terms(t: &mut Table) {
    t.numbers("assurance", &[-1, 3, i32::MIN.into(), i32::MAX.into()]);
    for assurance in [0, 1, 2] {
        t.fine("assurance", Put::Number(assurance));
    }
    t.numbers("streams", &[-1, 65_536, i32::MIN.into(), i32::MAX.into()]);
    for streams in [0, 1, 65_535] {
        t.fine("streams", Put::Number(streams));
    }
}

fn rigid(t: &mut Table, now_s: i64) {
    t.names("rigid", Put::Absent, &["shape"]);
    t.names("rigid", Put::Empty, &["rigid.rate_bps", "rigid.until"]);
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
    for end in [now_s + 549, now_s + 550] {
        let inverted = [
            ("rigid.start_time.seconds", Put::Number(now_s + 550)),
            ("rigid.end_time.seconds", Put::Number(end)),
        ];
        t.all_bad(&inverted, &["rigid.end_time"]);
    }
}

fn flexible(t: &mut Table, now_s: i64) {
    let empty = ["min_bps", "max_bps", "duration", "window_end_time"];
    let empty = empty.map(|field| format!("flexible.{field}"));
    t.row(&[("flexible", Put::Empty)], Expect::Bad(empty.to_vec()));
    t.numbers("flexible.min_bps", &NOT_RATES);
    t.bad("flexible.min_bps", Put::Number(0));
    t.names("flexible.min_bps", Put::Number(2_000_001), &["flexible.max_bps"]);
    t.fine("flexible.min_bps", Put::Number(1));
    t.numbers("flexible.max_bps", &NOT_RATES);
    t.numbers("flexible.max_bps", &[0, 999_999]);
    t.fine("flexible.max_bps", Put::Number(1_000_000_000_000_000));
    t.bad("flexible.duration", Put::Absent);
    t.bad("flexible.duration", Put::Empty);
    t.span("flexible.duration");
    t.time("flexible.window_start_time");
    t.fine("flexible.window_start_time", Put::Absent);
    for seconds in [0, now_s - 60] {
        let path = "flexible.window_start_time.seconds";
        t.names(path, Put::Number(seconds), &["flexible.window_start_time"]);
    }
    t.bad("flexible.window_end_time", Put::Absent);
    t.time("flexible.window_end_time");
    // Past, before the start, too early for the length, and behind the horizon.
    for seconds in [0, now_s + 599, now_s + 659, now_s + 401 * DAY_S] {
        let path = "flexible.window_end_time.seconds";
        t.names(path, Put::Number(seconds), &["flexible.window_end_time"]);
    }
    t.names("flexible.duration.seconds", Put::Number(3001), &["flexible.window_end_time"]);
    t.fine("flexible.duration.seconds", Put::Number(3000));
}

fn transfer(t: &mut Table, now_s: i64) {
    let empty = ["volume_bytes", "max_bps", "deadline"];
    let empty = empty.map(|field| format!("transfer.{field}"));
    t.row(&[("transfer", Put::Empty)], Expect::Bad(empty.to_vec()));
    t.numbers("transfer.volume_bytes", &NOT_SIZES);
    t.bad("transfer.volume_bytes", Put::Number(0));
    for bytes in [1, i64::MAX] {
        t.fine("transfer.volume_bytes", Put::Number(bytes));
    }
    t.numbers("transfer.min_bps", &NOT_RATES);
    t.names("transfer.min_bps", Put::Number(2_000_001), &["transfer.max_bps"]);
    for rate in [0, 1, 2_000_000] {
        t.fine("transfer.min_bps", Put::Number(rate));
    }
    t.numbers("transfer.max_bps", &NOT_RATES);
    t.bad("transfer.max_bps", Put::Number(0));
    t.fine("transfer.max_bps", Put::Number(1_000_000_000_000_000));
    t.time("transfer.start_time");
    t.fine("transfer.start_time", Put::Absent);
    for seconds in [0, now_s - 60] {
        let path = "transfer.start_time.seconds";
        t.names(path, Put::Number(seconds), &["transfer.start_time"]);
    }
    t.bad("transfer.deadline", Put::Absent);
    t.time("transfer.deadline");
    // Past, at the start, and behind the horizon.
    for seconds in [0, now_s + 599, now_s + 600, now_s + 401 * DAY_S] {
        let path = "transfer.deadline.seconds";
        t.names(path, Put::Number(seconds), &["transfer.deadline"]);
    }
    t.fine("transfer.split", Put::Flag(true));
    // Nobody could be told of a move.
    t.bad("movable", Put::Flag(true));
    let many = [
        ("transfer.volume_bytes", Put::Number(-1)),
        ("transfer.min_bps", Put::Number(-1)),
        ("transfer.max_bps", Put::Number(0)),
        ("transfer.start_time.nanos", Put::Number(-1)),
        ("transfer.deadline.nanos", Put::Number(-1)),
        ("priority", Put::Number(10)),
        ("sources[0]", text("x")),
    ];
    let fields = many.each_ref().map(|(path, _)| path.trim_end_matches(".nanos"));
    t.all_bad(&many, &fields);
    let told_by_the_ledger = [
        ("transfer.min_bps", Put::Number(3_000_000)),
        ("transfer.start_time.seconds", Put::Number(now_s - 60)),
        ("transfer.deadline.seconds", Put::Number(now_s - 90)),
        ("hold_for.seconds", Put::Number(901)),
    ];
    let fields = ["transfer.max_bps", "transfer.start_time", "transfer.deadline", "hold_for"];
    t.all_bad(&told_by_the_ledger, &fields);
}

fn standing(t: &mut Table) {
    // A rigid request has one plan only.
    t.bad("movable", Put::Flag(true));
    t.fine("movable", Put::Flag(false));
    t.numbers("priority", &[-1, 10, i32::MIN.into(), i32::MAX.into()]);
    for priority in [0, 1, 9] {
        t.fine("priority", Put::Number(priority));
    }
    t.fine("preemptible", Put::Flag(true));
    whose(t);
    let labels = |key: &str, value: &str| Put::Map(vec![(key.to_owned(), value.to_owned())]);
    let many = Put::Map((0..33).map(|it| (format!("k{it}"), "v".to_owned())).collect());
    let long = "x".repeat(64);
    for wrong in [labels("", "x"), labels("a\nb", "x"), labels("x", &long), many] {
        t.bad("labels", wrong);
    }
    t.fine("labels", labels("ä", ""));
}

/// An offer says everything itself.
fn offers(t: &mut Table, world: &World) {
    let token = &world.offer;
    let cut = token.get(1..).unwrap_or_default();
    let more = format!("{token}x");
    for wrong in ["", "x", "o1.", "o1.AAAA", "\u{0}", "ä", cut, &more] {
        t.bad("offer_token", text(wrong));
    }
    t.bad("offer_token", text(format!("o1.{}", "A".repeat(HUGE))));
    for old in &world.old_offers {
        t.bad("offer_token", text(old));
    }
    for token in [token, &world.offered_volume] {
        t.fine("offer_token", text(token));
    }
    t.too_large("offer_token");
    let said = [
        ("sources[0]", text("storage/swift")),
        ("destination", text("hosts/compute-1")),
        ("via[0]", text("hosts/relay-1")),
        ("lanes[0]", text("links/spine/forward")),
        ("path", Put::Number(0)),
        ("assurance", Put::Number(1)),
        ("streams", Put::Number(1)),
    ];
    let named = said.each_ref().map(|(path, _)| path.trim_end_matches("[0]"));
    let all = [[("offer_token", text(token))].as_slice(), &said].concat();
    t.all_bad(&all, &named);
    // It is of a class, or of none; whose it is may be said anew.
    t.all_bad(&[("class", text("classes/gold")), ("offer_token", text(token))], &["class"]);
    let cut = [[("offer_token", text(cut))].as_slice(), &said[..1]].concat();
    t.all_bad(&cut, &["sources", "offer_token"]);
}

/// Of which class a request would be, and who asks.
fn whose(t: &mut Table) {
    for wrong in ["x", "classes/", "classes/a b", "classes/-", "projects/gold", "\u{7}"] {
        t.bad("class", text(wrong));
    }
    t.says("class", text("classes/iron"), Code::NotFound);
    t.fine("class", text("classes/bronze"));
    t.too_large("class");
    for wrong in ["a b", "ä", "\u{0}", "a/b", &"a".repeat(129)] {
        t.bad("principal", text(wrong));
    }
    t.fine("principal", text("ann+test@example.org"));
    t.too_large("principal");
}

fn windows(world: &World) -> Table {
    let mut t = Table::of(WINDOWS);
    let now_s = world.now_s;
    t.parent();
    ends(&mut t);
    t.with(&[("sources", Put::Absent), ("destination", Put::Absent)], lanes);
    terms(&mut t);
    t.numbers("min_bps", &NOT_RATES);
    t.bad("min_bps", Put::Number(0));
    t.fine("min_bps", Put::Number(1_000_000_000_000_000));
    t.bad("duration", Put::Absent);
    t.bad("duration", Put::Empty);
    t.span("duration");
    t.names("duration.seconds", Put::Number(3601), &["end_time"]);
    t.time("start_time");
    for seconds in [0, now_s - 60] {
        t.names("start_time.seconds", Put::Number(seconds), &["start_time"]);
    }
    t.bad("end_time", Put::Absent);
    t.time("end_time");
    for seconds in [0, now_s + 1, now_s + 401 * DAY_S] {
        t.names("end_time.seconds", Put::Number(seconds), &["end_time"]);
    }
    t.numbers("steps_max", &[-1, 1001, i32::MIN.into(), i32::MAX.into()]);
    for steps in [0, 1, 1000] {
        t.fine("steps_max", Put::Number(steps));
    }
    whose(&mut t);
    let told_by_the_ledger = [
        ("start_time.seconds", Put::Number(now_s - 60)),
        ("end_time.seconds", Put::Number(now_s - 90)),
        ("duration.seconds", Put::Number(0)),
        ("sources[0]", text("hosts/compute-1")),
    ];
    let fields = ["start_time", "end_time", "duration", "destination"];
    t.all_bad(&told_by_the_ledger, &fields);
    t
}

pub(super) fn tables(world: &World) -> Vec<Table> {
    vec![windows(world)]
}
