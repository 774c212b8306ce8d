//! The rows of what is asked of the past and the future, and of what was measured.

use super::{
    DAY_S, EXPORT_FILE, Expect, FORECAST, HUGE, NOT_RATES, NOT_SIZES, OBSERVE, Put, REFUSALS,
    STATEMENT, TOP, Table, UTILIZATION, World, text, times,
};
use tonic::Code;

impl Table {
    fn selector(&mut self) {
        for wrong in [" ", "\u{0}", "a b", "ä", "*********", "\u{202e}"] {
            self.bad("selector", text(wrong));
        }
        self.bad("selector", text("a".repeat(256)));
        self.bad("selector", text("*".repeat(HUGE)));
        self.says("selector", text("links/nobody/forward"), Code::NotFound);
        for fine in ["all", "network", "storage", "links/*", "links/nobody*", "links/spine"] {
            self.fine("selector", text(fine));
        }
        self.too_large("selector");
    }

    fn range(&mut self) {
        self.time("start_time");
        self.time("end_time");
        for (start, end) in [(1_000_000, 999_999), (1_000_000, 1_000_000)] {
            let inverted = [
                ("start_time.seconds", Put::Number(start)),
                ("end_time.seconds", Put::Number(end)),
            ];
            self.row(&inverted, Expect::Bad(vec!["end_time".into()]));
        }
        self.fine("start_time.seconds", Put::Number(0));
    }

    fn report_page(&mut self) {
        self.page();
        self.too_large("page_token");
        let one = "0".repeat(16);
        for wrong in [
            "report/".to_owned(),
            format!("report/{one}/0/0/60000/60000"),
            format!("report/{one}/-1/0/60000/60000"),
            format!("report/{one}/0/60000/0/60000"),
            format!("report/{one}/0/0/60000/0"),
            format!("report/{one}/0/{}/{}/60000", i64::MIN, i64::MAX),
        ] {
            self.bad("page_token", text(wrong));
        }
    }

    fn choice(&mut self, path: &str, most: i64) {
        self.numbers(path, &[-1, most + 1, i32::MIN.into(), i32::MAX.into()]);
        self.fine(path, Put::Number(most));
    }
}

fn utilization(world: &World) -> Table {
    let mut t = Table::of(UTILIZATION);
    t.selector();
    t.range();
    t.report_page();
    t.choice("order", 1);
    t.span("bucket");
    for seconds in [0, 1, 90, 420, 5 * 3600, DAY_S + 60] {
        t.names("bucket.seconds", Put::Number(seconds), &["bucket"]);
    }
    t.fine("bucket.seconds", Put::Number(15 * 60));
    let far = Put::Number(world.now_s + 401 * DAY_S);
    t.names("end_time.seconds", far, &["end_time"]);
    // More buckets than anybody looks at, and shorter ones than are kept.
    let minutes = ("bucket.seconds", Put::Number(60));
    for start in [0, world.now_s - 30 * DAY_S] {
        let old = [("start_time.seconds", Put::Number(start)), minutes.clone()];
        t.row(&old, Expect::Bad(vec!["bucket".into()]));
    }
    let many = [minutes, ("end_time.seconds", Put::Number(world.now_s + 300 * DAY_S))];
    t.row(&many, Expect::Bad(vec!["bucket".into()]));
    let days = [("start_time.seconds", Put::Number(0)), ("bucket.seconds", Put::Number(DAY_S))];
    t.row(&days, Expect::Bad(vec!["bucket".into()]));
    t
}

fn top() -> Table {
    let mut t = Table::of(TOP);
    t.selector();
    t.range();
    t.report_page();
    t.choice("order", 2);
    t.choice("group_by", 1);
    let both = [("selector", text("links/*")), ("group_by", Put::Number(1))];
    t.row(&both, Expect::Bad(vec!["group_by".into()]));
    t
}

fn any_project(t: &mut Table) {
    for parent in ["x", "projects/", "projects/--", "\u{7}"] {
        t.bad("parent", text(parent));
    }
    t.says("parent", text("projects/nobody"), Code::NotFound);
    t.fine("parent", text("projects/-"));
    t.too_large("parent");
}

fn refusals() -> Table {
    let mut t = Table::of(REFUSALS);
    any_project(&mut t);
    t.range();
    t.report_page();
    t.bad("bottleneck", text("b".repeat(256)));
    t.bad("bottleneck", text("b".repeat(HUGE)));
    t.fine("bottleneck", text("links/nobody/forward"));
    t.too_large("bottleneck");
    t
}

fn forecast(world: &World) -> Table {
    let mut t = Table::of(FORECAST);
    t.selector();
    t.time("end_time");
    for seconds in [0, world.now_s - DAY_S, world.now_s + 91 * DAY_S] {
        t.names("end_time.seconds", Put::Number(seconds), &["end_time"]);
    }
    t.span("bucket");
    for seconds in [0, 60, 2 * 3600, 2 * DAY_S] {
        t.names("bucket.seconds", Put::Number(seconds), &["bucket"]);
    }
    t.fine("bucket.seconds", Put::Number(DAY_S));
    t.numbers("page_size", &[-1, 101, i32::MIN.into(), i32::MAX.into()]);
    t.fine("page_size", Put::Number(100));
    t.bad("page_token", text("x"));
    t.bad("page_token", text("g".repeat(HUGE)));
    t
}

fn statement() -> Table {
    let mut t = Table::of(STATEMENT);
    for name in ["", "x", "projects/", "projects/a b", "projects/-", "\u{7}"] {
        t.bad("name", text(name));
    }
    t.says("name", text("projects/nobody"), Code::NotFound);
    t.too_large("name");
    t.range();
    t.fine("own_only", Put::Flag(true));
    t
}

fn export() -> Table {
    let mut t = Table::of(EXPORT_FILE);
    any_project(&mut t);
    t.range();
    t.choice("format", 1);
    t.filter();
    t
}

fn observe(world: &World) -> Table {
    let mut t = Table::of(OBSERVE);
    t.word("observer");
    t.bad("observations", Put::Absent);
    t.bad("observations", times(Put::Empty, 1001));
    t.bad("observations[0].lane", text(""));
    t.bad("observations[0].lane", text("l".repeat(HUGE)));
    t.says("observations[0].lane", text("links/nobody/forward"), Code::NotFound);
    for end in ["start_time", "end_time"] {
        let path = format!("observations[0].{end}");
        t.bad(&path, Put::Absent);
        t.time(&path);
    }
    let start = "observations[0].start_time";
    let end = "observations[0].end_time";
    t.names(&format!("{start}.seconds"), Put::Number(world.now_s - 2 * 3600), &[start, end]);
    t.names(&format!("{end}.seconds"), Put::Number(world.now_s - 60), &[end]);
    t.names(&format!("{end}.seconds"), Put::Number(world.now_s + 3000), &[end]);
    t.numbers("observations[0].carried_bytes", &NOT_SIZES);
    t.bad("observations[0].carried_bytes", Put::Absent);
    t.numbers("observations[0].able_bps", &NOT_RATES);
    t.fine("observations[0].able_bps", Put::Number(0));
    t
}

pub(super) fn tables(world: &World) -> Vec<Table> {
    vec![
        utilization(world),
        top(),
        refusals(),
        forecast(world),
        statement(),
        export(),
        observe(world),
    ]
}
