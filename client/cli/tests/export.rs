//! What a broker was asked for is exported and replayed: the road from production to a simulation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/desk.rs"]
#[allow(dead_code, reason = "dialogues use more of it")]
mod desk;

use desk::{Desk, text};
use serde_json::{Value, json};

/// Two stores of 3 Gbit/s each, and a host that takes all of both.
const TWO_STORES: &str = r#"switch = [{ name = "tor-1" }]

[[host]]
name = "compute-1"
nic = [{ name = "eth0", switch = "tor-1", capacity = "10Gbit", overhead = "0%", reserved = "0%" }]

[[storage]]
name = "a"
switch = "tor-1"
read = "3Gbit"
write = "3Gbit"

[[storage]]
name = "b"
switch = "tor-1"
read = "3Gbit"
write = "3Gbit"
"#;

/// A desk whose broker knows two stores.
fn two_stores() -> Desk {
    let desk = Desk::new();
    std::fs::write(desk.directory.path().join("topology.toml"), TWO_STORES).unwrap();
    typed(&desk, "tidegate apply topology topology.toml");
    desk
}

/// What is printed on both streams by what must succeed.
#[track_caller]
fn typed(desk: &Desk, script: &str) -> String {
    let output = desk.shell(script);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{script}: {said}");
    said
}

/// Reserves, and says under which id.
#[track_caller]
fn reserved(desk: &Desk, what: &str) -> String {
    let script = format!("tidegate reserve --to hosts/compute-1 {what} -o csv --columns id");
    typed(desk, &script).lines().last().unwrap().to_owned()
}

/// The lines of a file in the directory of the desk.
fn lines(desk: &Desk, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(desk.directory.path().join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A line without its instants, each of which has to be one.
fn timeless(mut line: Value) -> Value {
    let fields = line.as_object_mut().unwrap();
    for name in ["arrive_s", "start_s", "end_s", "start_min_s", "end_max_s", "deadline_s"] {
        if let Some(at) = fields.remove(name) {
            let at: Result<tidegate_policy::Timestamp, _> = at.as_str().unwrap().parse();
            assert!(at.is_ok(), "{name} of {line}");
        }
    }
    line
}

const EXPORT: &str = "tidegate export topology > net.toml
tidegate export reservations > requests.jsonl
tidegate simulate --topology net.toml --requests requests.jsonl --plan full,rigid -o json";

#[test]
fn what_was_asked_for_is_exported_as_it_was_and_replayed() {
    let desk = two_stores();
    let rigid = reserved(&desk, "--from storage/a --rate 1Gbit --start +1h --for 10m");
    let flex =
        reserved(&desk, "--from storage/a --rate 1Gbit..2Gbit --for 30m --by +9h --priority 3");
    // 6 hours of 5 Gbit/s: neither store has them.
    let volume = "--volume 13500GB --by +6h --max-rate 6Gbit --min-rate 1Mbit --split";
    let volume = reserved(&desk, &format!("--from storage/a --from storage/b {volume}"));
    let granted = typed(&desk, &format!("tidegate show {volume} -o json"));
    let granted: Value = serde_json::from_str(&granted).unwrap();
    let replayed: Value = serde_json::from_str(&typed(&desk, EXPORT)).unwrap();
    let written = lines(&desk, "requests.jsonl");
    let mut bare: Vec<Value> = written.iter().cloned().map(timeless).collect();
    let took = |field: &str| bare[2][field].as_f64().unwrap();
    // One rate for as long as the plan takes, which moves it all and hardly more.
    let moved = took("ref_rate_bps") * took("ref_duration_s") / 8.0;
    assert!((13_500e9..13_501e9).contains(&moved), "{moved}");
    for field in ["ref_rate_bps", "ref_duration_s"] {
        bare[2].as_object_mut().unwrap().remove(field);
    }
    let to = "hosts/compute-1";
    assert_eq!(
        bare,
        [
            json!({"id": rigid, "src": ["storage/a"], "dst": to, "kind": "rigid",
                "rate_bps": 1_000_000_000}),
            json!({"id": flex, "src": ["storage/a"], "dst": to, "kind": "flex",
                "prio": 3, "rate_bps": 2_000_000_000, "duration_s": 1800}),
            json!({"id": volume, "src": ["storage/a", "storage/b"], "dst": to, "kind": "volume",
                "volume_bytes": 13_500_000_000_000_u64, "max_bps": 6_000_000_000_u64,
                "min_bps": 1_000_000}),
        ]
    );
    assert_eq!(written[2]["deadline_s"], granted["promise"]["deadline"], "{granted:#}");
    assert_eq!(written[2]["arrive_s"], granted["create_time"]);
    let [full, rigid] = replayed.as_array().unwrap().as_slice() else { panic!("{replayed:#}") };
    for report in [full, rigid] {
        assert_eq!(report["requests"], 3, "{report:#}");
        // 10 minutes of 1 Gbit/s, 30 of 2 Gbit/s, and the volume.
        assert_eq!(
            report["offered_bytes"],
            75_000_000_000_u64 + 450_000_000_000 + 13_500_000_000_000
        );
        assert_eq!(report["overbooked_bit_ms"], 0);
    }
    assert_eq!(full["accepted"], 3, "{full:#}");
    assert_eq!(full["deadlines_met"], 3, "{full:#}");
    assert_eq!(rigid["accepted"], 2, "no store has its rate: {rigid:#}");
}

#[test]
fn closed_ones_are_exported_if_they_are_asked_for_and_lanes_are_not() {
    let desk = two_stores();
    let released = reserved(&desk, "--from storage/a --rate 3Gbit --for 10m");
    typed(&desk, &format!("tidegate release {released}"));
    let said = typed(&desk, "tidegate export reservations");
    let hint = "there are no reservations to replay\nhint: --all takes those that are closed too\n";
    assert_eq!(said, hint);
    let held = reserved(&desk, "--from storage/b --rate 3Gbit --for 10m --hold 5m");
    typed(&desk, "tidegate reserve --lane storage/a/read --rate 1Gbit --for 10m");
    let said = typed(&desk, "tidegate export reservations --all > all.jsonl; cat all.jsonl >&2");
    assert!(said.contains("1 reservation left out: their lanes were named"), "{said}");
    let all = lines(&desk, "all.jsonl");
    let ids: Vec<&Value> = all.iter().map(|line| &line["id"]).collect();
    assert_eq!(ids, [&json!(released), &json!(held)]);
    // As it was asked for, although it was given back at once.
    let at = |field: &str| -> tidegate_policy::Timestamp {
        all[0][field].as_str().unwrap().parse().unwrap()
    };
    assert_eq!(at("end_s").since(at("start_s")), tidegate_policy::Span::from_secs(600));
    let filter = "tidegate export reservations --all --filter 'source == \"storage/b\"'";
    assert_eq!(typed(&desk, filter).lines().count(), 1);
}

#[test]
fn every_page_is_exported() {
    let desk = two_stores();
    let one = "[[reserve]]\nfrom = \"storage/a\"\nto = \"hosts/compute-1\"\nrate = \"1Mbit\"\n\
               for = \"10m\"\n";
    std::fs::write(desk.directory.path().join("batch.toml"), one.repeat(100)).unwrap();
    for _ in 0..11 {
        typed(&desk, "tidegate reserve --file batch.toml > /dev/null");
    }
    typed(&desk, "tidegate export reservations > requests.jsonl");
    let mut ids: Vec<String> =
        lines(&desk, "requests.jsonl").iter().map(|line| line["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1100);
}

/// The commands of a page: those after a prompt, and whole scripts.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut blocks = page.split("```");
    while let (Some(_), Some(block)) = (blocks.next(), blocks.next()) {
        let (kind, body) = block.split_once('\n').unwrap();
        match kind {
            "sh" => commands.push(format!("set -e\n{body}")),
            "console" => {
                commands.extend(
                    body.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned),
                );
            }
            _ => {}
        }
    }
    commands
}

#[test]
fn every_command_of_the_page_works_as_it_stands_there() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulate.md");
    let commands = commands(&std::fs::read_to_string(page).unwrap());
    assert!(8 <= commands.len(), "{commands:#?}");
    let desk = two_stores();
    reserved(&desk, "--from storage/a --rate 1Gbit --for 10m");
    for command in commands {
        typed(&desk, &command);
    }
    let drawn = std::fs::read_to_string(desk.directory.path().join("lanes.svg")).unwrap();
    assert!(drawn.contains(">a → b</text>"));
}
