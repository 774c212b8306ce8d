//! The rows of requests inside other requests: of a batch, and of what is explained.

use super::{BATCH, EXPLAIN, Expect, HUGE, Put, Row, Table, World, create, text, times};

impl Row {
    /// Whether it is about something as large as can be: asked as a part of something else it is no
    /// other question.
    pub(super) fn is_large(&self) -> bool {
        /// The longest text and the longest list that are asked again.
        const LARGE: usize = 1000;
        self.puts.iter().any(|(_, put)| match put {
            Put::Text(text) => LARGE < text.len(),
            Put::Times(_, count) => LARGE < *count,
            Put::Absent | Put::Number(_) | Put::Flag(_) | Put::Empty | Put::Map(_) => false,
        })
    }
}

/// The rows of a request by itself, asked as a part of another one.
fn inside(world: &World, rpc: &'static str, part: &str) -> Vec<Row> {
    let own = ["request_id", "validate_only", "hold_best_offer"];
    let said_by_the_whole = |row: &Row| own.contains(&row.puts[0].0.as_str());
    let rows = create(world).rows.into_iter().filter(|row| !said_by_the_whole(row));
    let rows = rows.filter(|row| !row.is_large());
    let within = |row: Row| {
        let puts = row.puts.into_iter().filter_map(|(path, put)| match path.as_str() {
            "validate_only" => (rpc == BATCH).then_some((path, put)),
            "request_id" => None,
            _ => Some((format!("{part}.{path}"), put)),
        });
        let expect = match row.expect {
            Expect::Bad(fields) => {
                let fields = fields.iter().filter(|field| *field != "request_id");
                Expect::Bad(fields.map(|field| format!("{part}.{field}")).collect())
            }
            other => other,
        };
        Row { rpc, puts: puts.collect(), expect }
    };
    rows.map(within).collect()
}

fn batch(world: &World) -> Table {
    let mut t = Table::of(BATCH);
    t.mutation(world.now_s);
    t.parent();
    t.fine("all_or_nothing", Put::Flag(true));
    relations(&mut t);
    weeks(&mut t, world.now_s);
    t.bad("requests", Put::Absent);
    for count in [101, HUGE] {
        t.bad("requests", times(Put::Empty, count));
    }
    t.row(&[("requests", times(Put::Empty, 100))], Expect::BadEntries("requests[".into()));
    t.bad("requests[1].request_id", text(super::super::support::request_id()));
    t.bad("requests[1].request_id", text("x"));
    t.bad("requests[1].validate_only", Put::Flag(true));
    t.bad("requests[1].hold_best_offer", Put::Flag(true));
    t.rows.extend(inside(world, BATCH, "requests[1]"));
    // Whoever finds it, the form or the ledger: what is wrong with any of them is said at once.
    let form = [("requests[0].destination", text("x")), ("requests[1].streams", Put::Number(-1))];
    t.all_bad(&form, &["requests[0].destination", "requests[1].streams"]);
    let ledger = [
        ("requests[0].hold_for.seconds", Put::Number(901)),
        ("requests[0].rigid.start_time.seconds", Put::Number(world.now_s - 60)),
        ("requests[1].rigid.duration.seconds", Put::Number(0)),
    ];
    let named =
        ["requests[0].hold_for", "requests[0].rigid.start_time", "requests[1].rigid.duration"];
    t.all_bad(&ledger, &named);
    t
}

/// How the requests hang together.
fn relations(t: &mut Table) {
    t.numbers("relation", &[-1, 5, i32::MIN.into(), i32::MAX.into()]);
    for relation in [0, 1, 2, 3, 4] {
        t.fine("relation", Put::Number(relation));
    }
    t.bad("gapless", Put::Flag(true));
    let both = [("relation", Put::Number(1)), ("all_or_nothing", Put::Flag(true))];
    t.all_bad(&both, &["relation"]);
    let many = [
        ("relation", Put::Number(9)),
        ("weeks", Put::Number(-1)),
        ("requests[1].streams", Put::Number(-1)),
    ];
    t.all_bad(&many, &many.each_ref().map(|(path, _)| *path));
}

/// The same two requests again in the weeks that follow.
fn weeks(t: &mut Table, now_s: i64) {
    t.numbers("weeks", &[-1, 51, i32::MIN.into(), i32::MAX.into()]);
    for weeks in [0, 1] {
        t.fine("weeks", Put::Number(weeks));
    }
    let starts = ["requests[0].rigid.start_time", "requests[1].rigid.start_time"];
    t.names("weeks", Put::Number(2), &starts);
    let seconds = starts.map(|start| format!("{start}.seconds"));
    let begun = seconds.each_ref().map(|path| (path.as_str(), Put::Number(now_s + 600)));
    // Each week is answered for itself, all of it or none.
    let whole = [("all_or_nothing", Put::Flag(true))];
    let whole: Vec<(&str, Put)> = begun.iter().cloned().chain(whole).collect();
    t.with(&whole, |t| t.fine("weeks", Put::Number(2)));
    t.with(&begun, |t| {
        t.fine("weeks", Put::Number(50));
        // Only the last weeks of it end behind the horizon.
        let long = ("requests[1].rigid.duration.seconds", Put::Number(60 * 24 * 3600));
        t.all_bad(&[("weeks", Put::Number(50)), long], &["requests[1].rigid.duration"]);
    });
}

fn explain(world: &World) -> Table {
    let mut t = Table::of(EXPLAIN);
    t.bad("request", Put::Absent);
    let empty = ["request.sources", "request.destination", "request.shape"];
    t.names("request", Put::Empty, &empty);
    t.rows.extend(inside(world, EXPLAIN, "request"));
    // Nothing is carried out, so these mean nothing.
    t.fine("request.request_id", text("x"));
    t.fine("request.validate_only", Put::Flag(true));
    t.fine("request.hold_best_offer", Put::Flag(true));
    t.too_large("request.parent");
    t
}

pub(super) fn tables(world: &World) -> Vec<Table> {
    vec![batch(world), explain(world)]
}
