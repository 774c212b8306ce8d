//! Replays of small files whose answers can be worked out by hand, and of workloads that are made up
//! for a ring of four. No broker runs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Two nodes, and 10 Gbit/s each way between them.
const PAIR: &str = r#"{"nodes": ["a", "b"], "links": [
    {"src": "a", "dst": "b", "cap_bps": 10000000000},
    {"src": "b", "dst": "a", "cap_bps": 10000000000}]}"#;

/// A ring of four, 10 Gbit/s each way, with two ways between any two. Half of the demand is between
/// neighbours, half across.
fn ring() -> String {
    let pairs = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")];
    let both = pairs.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
    let links = both.map(|(a, b)| json!({"src": a, "dst": b, "cap_bps": 10_000_000_000_u64}));
    let od = json!([["a", "b", 0.25], ["c", "d", 0.25], ["a", "c", 0.25], ["d", "b", 0.25]]);
    let links: Vec<Value> = links.collect();
    json!({"nodes": ["a", "b", "c", "d"], "links": links, "od": od}).to_string()
}

fn desk(topology: &str) -> TempDir {
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(desk.path().join("net.json"), topology).unwrap();
    desk
}

fn typed(desk: &Path, line: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    program.current_dir(desk).env_clear().args(line.split_whitespace()).output().unwrap()
}

/// What is printed on standard output by what must succeed.
#[track_caller]
fn said(desk: &Path, line: &str) -> String {
    let output = typed(desk, line);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{line}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A replay of `requests.jsonl` on `net.json`, one plan after the other.
#[track_caller]
fn replayed(desk: &Path, more: &str) -> Vec<Value> {
    let line = format!("simulate --topology net.json --requests requests.jsonl {more} -o json");
    match serde_json::from_str(&said(desk, &line)).unwrap() {
        Value::Array(plans) => plans,
        one => vec![one],
    }
}

fn write(desk: &Path, file: &str, lines: &[Value]) {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(desk.join(file), lines.join("\n")).unwrap();
}

fn lines(desk: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(desk.join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rigid(id: u64, (src, dst): (&str, &str), gbps: u64, (start, end): (u64, u64)) -> Value {
    json!({"id": id, "arrive_s": start, "src": [src], "dst": dst, "kind": "rigid",
        "rate_bps": gbps * 1_000_000_000, "start_s": start, "end_s": end})
}

/// One that is there, one for what is left beside it, one that has to wait, and one too many.
fn four() -> [Value; 4] {
    [
        rigid(1, ("a", "b"), 6, (0, 1000)),
        json!({"id": 2, "arrive_s": 0, "src": ["a"], "dst": "b", "kind": "volume",
            "volume_bytes": 500_000_000_000_u64, "max_bps": 10_000_000_000_u64, "min_bps": 0,
            "ref_rate_bps": 5_000_000_000_u64, "ref_duration_s": 800,
            "start_min_s": 0, "deadline_s": 1000}),
        json!({"id": 3, "arrive_s": 0, "src": ["a"], "dst": "b", "kind": "flex",
            "rate_bps": 8_000_000_000_u64, "duration_s": 500, "start_min_s": 0, "end_max_s": 1500}),
        rigid(4, ("a", "b"), 1, (0, 10)),
    ]
}

#[test]
fn a_small_file_is_answered_as_it_is_by_hand() {
    let desk = desk(PAIR);
    write(desk.path(), "requests.jsonl", &four());
    let [full, rigid] = replayed(desk.path(), "--plan full,rigid").try_into().unwrap();
    // 6 Gbit/s leave the volume just the 4 that it needs; the flexible one starts after both; the
    // last finds nothing, and is offered the time after.
    assert_eq!(
        picked(&full),
        json!({"plan": "full", "requests": 4, "accepted": 3, "acceptance": 0.75,
            "offered_bytes": 1_751_250_000_000_u64, "carried_bytes": 1_750_000_000_000_u64,
            "deadlines_met": 3, "promises_broken": 0, "promises_lost": {}, "overbooked_bit_ms": 0,
            "counter_offers_tried": 1, "counter_offers_held": 1, "refusals_without_offer": 0,
            "refusals": {"no_headroom": 1}})
    );
    assert_eq!(full["per_kind"]["flex"]["carried_bytes"], 500_000_000_000_u64);
    // Each at one rate from its start: the first and the last.
    assert_eq!(
        picked(&rigid),
        json!({"plan": "rigid", "requests": 4, "accepted": 2, "acceptance": 0.5,
            "offered_bytes": 1_751_250_000_000_u64, "carried_bytes": 751_250_000_000_u64,
            "deadlines_met": 2, "promises_broken": 0, "promises_lost": {}, "overbooked_bit_ms": 0,
            "counter_offers_tried": 2, "counter_offers_held": 2, "refusals_without_offer": 0,
            "refusals": {"no_headroom": 2}})
    );
}

fn picked(report: &Value) -> Value {
    let names = [
        "plan",
        "requests",
        "accepted",
        "acceptance",
        "offered_bytes",
        "carried_bytes",
        "deadlines_met",
        "promises_broken",
        "promises_lost",
        "overbooked_bit_ms",
        "counter_offers_tried",
        "counter_offers_held",
        "refusals_without_offer",
        "refusals",
    ];
    names.into_iter().map(|name| (name.to_owned(), report[name].clone())).collect()
}

#[test]
fn people_read_the_same_in_a_table() {
    let desk = desk(PAIR);
    write(desk.path(), "requests.jsonl", &four());
    let line = "simulate --topology net.json --requests requests.jsonl --plan full,rigid";
    let table = said(desk.path(), line);
    let table: Vec<Vec<&str>> = table.lines().map(|it| it.split_whitespace().collect()).collect();
    let [head, full, rigid] = table.try_into().unwrap();
    assert_eq!(head[..5], ["PLAN", "REQUESTS", "ACCEPTED", "ACCEPTANCE", "CARRIED"]);
    assert_eq!(full[..5], ["full", "4", "3", "0.750", "0.999"]);
    assert_eq!(rigid[..5], ["rigid", "4", "2", "0.500", "0.429"]);
    let alone = said(desk.path(), "simulate --topology net.json --requests requests.jsonl");
    assert!(alone.contains("refused") && alone.contains("no headroom 1"), "{alone}");
}

#[test]
fn a_link_that_fails_loses_what_it_cannot_carry_and_breaks_nothing() {
    let desk = desk(PAIR);
    write(desk.path(), "requests.jsonl", &four()[..1]);
    let fault = json!({"at_s": 500, "src": "a", "dst": "b", "cap_bps": 4_000_000_000_u64});
    write(desk.path(), "faults.json", &[fault]);
    let [report] = replayed(desk.path(), "--faults faults.json").try_into().unwrap();
    assert_eq!(report["promises_lost"], json!({"capacity_lost": 1}));
    assert_eq!(report["promises_broken"], 0);
    assert_eq!(report["overbooked_bit_ms"], 0);
    assert_eq!(report["carried_bytes"], 375_000_000_000_u64, "half of it was carried");
}

#[test]
fn what_a_no_show_leaves_goes_to_who_asks_later() {
    let desk = desk(PAIR);
    let requests = [
        rigid(1, ("a", "b"), 10, (0, 4000)),
        // By its reports its session is known to tell what it moves.
        rigid(2, ("b", "a"), 1, (0, 4000)),
        rigid(3, ("a", "b"), 10, (1500, 3000)),
        // Gives the second half of its time back.
        rigid(4, ("b", "a"), 9, (0, 2000)),
        rigid(5, ("b", "a"), 9, (1000, 2000)),
    ];
    write(desk.path(), "requests.jsonl", &requests);
    let truth = |id: u64| json!({"id": id, "no_show": id == 1, "used_fraction": 1.0});
    let mut truth: Vec<Value> = (1..=5).map(truth).collect();
    truth[3]["used_fraction"] = json!(0.5);
    write(desk.path(), "truth.jsonl", &truth);
    let accepted = |reclaim: &str| {
        let more = format!("--truth truth.jsonl --reclaim {reclaim}");
        let [report] = replayed(desk.path(), &more).try_into().unwrap();
        let names =
            ["accepted", "reclaimed", "false_reclaims", "released_early", "promises_broken"];
        names.map(|name| report[name].as_u64().unwrap_or(0))
    };
    assert_eq!(accepted("off"), [3, 0, 0, 0, 0]);
    assert_eq!(accepted("on"), [5, 1, 0, 1, 0]);
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_line() {
    let desk = desk(PAIR);
    let with = |field: &str, value: Value| {
        let mut line = four()[1].clone();
        line[field] = value;
        line.to_string()
    };
    let wrong = [
        (with("src", json!("a")), "src and via are lists of names, such as [\"a\"]"),
        (with("via", json!(["hosts/x"])), "via: hosts/x does not exist"),
        (with("arrive_s", json!("2026-01-01T00:00:00Z")), "some instants are seconds, others"),
        ("{".to_owned(), "column 1: EOF while parsing an object"),
        (with("kind", json!("bulk")), "unknown variant `bulk`"),
        (with("volume", json!(1)), "unknown field `volume`"),
        (with("rate_bps", json!(1)), "a volume request has no rate_bps"),
        (with("src", json!(["c"])), "src: there is no node \"c\""),
        (with("src", json!(["b"])), "dst: b is one of the sources"),
        (with("arrive_s", json!(1)), "it starts 1s before it arrives"),
        (with("deadline_s", json!(0)), "deadline_s is not after start_min_s"),
        (with("deadline_s", json!(399)), "take longer than its window"),
        (with("max_bps", json!(-1)), "max_bps is -1; write a whole number from 1 to"),
        (with("prio", json!(10)), "prio is 10; write a whole number from 0 to 9"),
        (with("ref_duration_s", json!(1)), "is less than 500GB"),
        (with("volume_bytes", Value::Null), "volume_bytes is missing"),
    ];
    for (line, why) in wrong {
        std::fs::write(desk.path().join("bad.jsonl"), format!("\n{line}\n")).unwrap();
        let output = typed(desk.path(), "simulate --topology net.json --requests bad.jsonl");
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {error}");
        assert!(error.contains(&format!("bad.jsonl:2: {why}")) || error.contains(why), "{error}");
        assert!(
            error.contains("bad.jsonl:2: ") && error.contains("nothing was simulated"),
            "{error}"
        );
    }
    let twice = [four()[0].clone(), four()[0].clone()];
    write(desk.path(), "bad.jsonl", &twice);
    let output = typed(desk.path(), "simulate --topology net.json --requests bad.jsonl");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("bad.jsonl:2: id 1 stands in line 1 already"), "{error}");
}

const GENERATE: &str = "simulate generate --topology net.json";

#[test]
fn a_workload_is_the_same_for_the_same_seed_and_only_then() {
    let desk = desk(&ring());
    let drawn = |more: &str| said(desk.path(), &format!("{GENERATE} {more}"));
    let first = drawn("--seed 7");
    assert_eq!(first, drawn("--seed 7"));
    assert_ne!(first, drawn("--seed 8"));
    // Another mix asks for the same in another way, between the same at the same times.
    let same = |text: &str| -> Vec<[Value; 4]> {
        let line = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
        let names = ["id", "arrive_s", "src", "dst"];
        text.lines().map(|it| names.map(|name| line(it)[name].clone())).collect()
    };
    assert_eq!(same(&first), same(&drawn("--seed 7 --mix 0,0,1")));
    // What was drawn once: a workload is known by its seed in every version.
    assert_eq!(
        first.lines().take(3).collect::<Vec<_>>(),
        [
            r#"{"id":0,"arrive_s":0,"src":["d"],"dst":"b","kind":"flex","project":"p7","prio":0,"rate_bps":2000000000,"duration_s":3600,"start_min_s":11400,"end_max_s":19200}"#,
            r#"{"id":1,"arrive_s":0,"src":["a"],"dst":"b","kind":"flex","project":"p2","prio":2,"rate_bps":2000000000,"duration_s":2400,"start_min_s":2400,"end_max_s":11400}"#,
            r#"{"id":2,"arrive_s":600,"src":["a"],"dst":"b","kind":"volume","project":"p3","prio":0,"volume_bytes":1200000000000,"max_bps":5000000000,"min_bps":0,"ref_rate_bps":2000000000,"ref_duration_s":4800,"start_min_s":2400,"deadline_s":21600}"#,
        ]
    );
}

#[test]
fn a_workload_asks_for_its_load_in_its_mix() {
    let desk = desk(&ring());
    let line = format!(
        "{GENERATE} --load 1.5 --hours 200 --mix 0.5,0.25,0.25 --unit 2Gbit --requests r.jsonl \
         --replicas 2 --truth truth.jsonl --no-shows 20%"
    );
    let output = typed(desk.path(), &line);
    let error = String::from_utf8(output.stderr).unwrap();
    // All but c to d cross the lanes from a to b or from d to c, wherever they go: 3/4 of it are at
    // most 20 Gbit/s.
    let carries = error.split("carries ").nth(1).unwrap().split("Gbit").next().unwrap();
    let carries: f64 = carries.parse().unwrap();
    assert!((26.5..26.7).contains(&carries), "{error}");
    let drawn = lines(desk.path(), "r.jsonl");
    let bits = |it: &Value| {
        let number = |name: &str| it[name].as_f64();
        let rate = number("ref_rate_bps").or(number("rate_bps")).unwrap();
        let length = number("ref_duration_s").or(number("duration_s"));
        rate * length.unwrap_or_else(|| number("end_s").unwrap() - number("start_s").unwrap())
    };
    let offered: f64 = drawn.iter().map(bits).sum::<f64>() / (200.0 * 3600.0);
    let load = offered / (carries * 1e9);
    assert!((1.42..1.58).contains(&load), "{load} over {} requests", drawn.len());
    let mut kinds: BTreeMap<&str, f64> = BTreeMap::new();
    for line in &drawn {
        *kinds.entry(line["kind"].as_str().unwrap()).or_default() += 1.0;
        let src = line["src"].as_array().unwrap();
        assert!(src.len() == 2 && src[0] != src[1] && !src.contains(&line["dst"]), "{line}");
    }
    let all = f64::from(u32::try_from(drawn.len()).unwrap());
    let near = |kind: &str, share: f64| (kinds[kind] / all - share).abs() < 0.03;
    assert!(near("rigid", 0.5) && near("flex", 0.25) && near("volume", 0.25), "{kinds:?}");
    let truth = lines(desk.path(), "truth.jsonl");
    let ids = |lines: &[Value]| lines.iter().map(|it| it["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&truth), ids(&drawn));
    let no_shows = truth.iter().filter(|it| it["no_show"] == true).count();
    let no_shows = f64::from(u32::try_from(no_shows).unwrap()) / all;
    assert!((0.17..0.23).contains(&no_shows), "{no_shows}");
}

#[test]
fn more_freedom_gets_more_carried_and_no_promise_is_broken() {
    let desk = desk(&ring());
    said(desk.path(), &format!("{GENERATE} --load 1.2 --requests requests.jsonl"));
    for jitter in ["0s", "300s"] {
        let more = format!("--plan full,pinned,rigid,rigid-1path --jitter {jitter}");
        let reports = replayed(desk.path(), &more);
        for report in &reports {
            for zero in ["promises_broken", "overbooked_bit_ms", "refusals_without_offer"] {
                assert_eq!(report[zero], 0, "{zero} {report:#}");
            }
            assert_eq!(report["promises_lost"], json!({}));
            assert_eq!(report["counter_offers_held"], report["counter_offers_tried"], "{report:#}");
            assert_eq!(report["deadlines_met"], report["accepted"], "{report:#}");
        }
        let carried: Vec<f64> = reports.iter().map(|it| it["carried"].as_f64().unwrap()).collect();
        let [full, pinned, rigid, one_path] = carried.try_into().unwrap();
        assert!(pinned < full + 0.02 && rigid + 0.05 < pinned && one_path + 0.02 < rigid);
        let moved = |plan: usize| reports[plan]["moved"].as_u64().unwrap();
        assert!(0 < moved(0) && moved(1) == 0, "{reports:#?}");
        // The same again is the same, but for how long decisions took.
        let mut again = replayed(desk.path(), &more);
        for (now, before) in again.iter_mut().zip(&reports) {
            now["decision_us"] = before["decision_us"].clone();
        }
        assert_eq!(again, reports);
    }
}

/// The same requests under a quota: what it refuses is told, and nobody else hears of it.
#[test]
fn a_quota_can_be_tried_before_it_is_in_force() {
    let desk = desk(&ring());
    let of = |id, project: &str| {
        let mut line = rigid(id, ("a", "b"), 4, (0, 100));
        line["project"] = json!(project);
        line
    };
    write(desk.path(), "requests.jsonl", &[of(1, "lab"), of(2, "lab"), of(3, "shop")]);
    let accepted = |reports: &[Value]| reports[0]["accepted"].clone();
    assert_eq!(accepted(&replayed(desk.path(), "")), 3, "two paths carry ten each");
    let policy = "[[project]]\nname = \"lab\"\nrate = \"3Gbit\"\n";
    std::fs::write(desk.path().join("policy.toml"), policy).unwrap();
    let reports = replayed(desk.path(), "--policy policy.toml");
    assert_eq!(accepted(&reports), 1, "{reports:#?}");
    assert_eq!(reports[0]["refusals"], json!({"above_quota": 2}), "{reports:#?}");
}

#[test]
fn the_picture_has_a_row_for_each_lane_that_carried_anything() {
    let desk = desk(PAIR);
    write(desk.path(), "requests.jsonl", &four());
    let fault = json!({"at_s": 100, "src": "b", "dst": "a", "cap_bps": 4_000_000_000_u64});
    write(desk.path(), "faults.json", &[fault]);
    replayed(desk.path(), "--plan full,rigid --faults faults.json --plot lanes.svg");
    let drawn = std::fs::read_to_string(desk.path().join("lanes.svg")).unwrap();
    assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
    // The way there carries, the way back is cut; both are drawn in both pictures.
    assert_eq!(drawn.matches("class=\"name\"").count(), 4, "{drawn}");
    let hatched = drawn.matches("<title>b → a: 40% of its capacity is left</title>").count();
    assert_eq!(hatched, 2, "{drawn}");
    for title in ["full: 2 lanes", "rigid: 2 lanes", ">a → b</text>"] {
        assert!(drawn.contains(title), "{drawn}");
    }
}

#[test]
fn what_cannot_be_meant_of_a_workload_is_said() {
    let desk = desk(&ring());
    let wrong = [
        ("--load 0", "--load is 0"),
        ("--mix 0.5,0.5", "three shares"),
        ("--mix 0,0,0", "three shares"),
        ("--replicas 4", "the network has 3 sources"),
        ("--no-shows 20%", "--truth"),
        ("--load 1000 --hours 7000", "at most 200000"),
        ("--slot 2h", "--slot is 2h"),
        ("--requests x --truth x", "the same file"),
    ];
    for (more, why) in wrong {
        let output = typed(desk.path(), &format!("{GENERATE} {more}"));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{more}: {error}");
        assert!(error.contains(why), "{more}: {error}");
    }
}
