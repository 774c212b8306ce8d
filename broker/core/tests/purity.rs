//! What the core is free of, and who may depend on whom, read off the files themselves: each
//! failure says what to do.
#![allow(clippy::unwrap_used, reason = "a house that cannot be read fails its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file of code, in lines.
const LINES_MAX: usize = 500;

/// Every crate and the crates of this workspace that it builds on; nothing else is allowed.
const EDGES: [(&str, &[&str]); 7] = [
    ("tidegate-proto", &[]),
    ("tidegate-policy", &[]),
    ("tidegate-core", &["tidegate-policy"]),
    ("tidegate-broker", &["tidegate-core", "tidegate-policy", "tidegate-proto"]),
    ("tidegate-client", &["tidegate-policy", "tidegate-proto"]),
    ("tidegate-cli", &["tidegate-client", "tidegate-core", "tidegate-policy", "tidegate-proto"]),
    ("tidegate-examples", &["tidegate-broker", "tidegate-client", "tidegate-policy"]),
];

/// Edges that are allowed and not there yet.
const TO_COME: [(&str, &str); 0] = [];

/// What only tests may build on: the broker is asked by a client, the command line asks a broker.
const IN_TESTS: [(&str, &str); 2] =
    [("tidegate-broker", "tidegate-client"), ("tidegate-cli", "tidegate-broker")];

/// What the core may use of the standard library: nothing that knows the time, the machine or
/// another thread.
const STD: [&str; 12] = [
    "borrow",
    "cmp",
    "collections",
    "convert",
    "error",
    "fmt",
    "iter",
    "mem",
    "ops",
    "slice",
    "str",
    "sync",
];

/// What the core says nowhere: clocks, threads, hash order, floats, waiting, logging.
const UNSAID: [&str; 22] = [
    "Instant",
    "SystemTime",
    "thread",
    "Mutex",
    "RwLock",
    "Condvar",
    "OnceLock",
    "mpsc",
    "HashMap",
    "HashSet",
    "RandomState",
    "f32",
    "f64",
    "async",
    "await",
    "tokio",
    "tracing",
    "log",
    "println",
    "eprintln",
    "dbg",
    "unsafe",
];

fn core() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn root() -> PathBuf {
    core().join("../..").canonicalize().unwrap()
}

/// Every file of code under a folder, but for what was built.
fn code(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "there is no code");
    files
}

/// A file's code without its comments.
fn without_comments(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    code.collect::<Vec<_>>().join("\n")
}

/// The dependencies of a manifest, by the table that they stand in.
fn dependencies(manifest: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(manifest).unwrap();
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut table = String::new();
    for line in text.lines().map(|line| line.split('#').next().unwrap().trim()) {
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_matches(['[', ']']).to_owned();
            // A table of its own for one dependency: `[dependencies.name]`.
            if let Some((kind, name)) = table.clone().rsplit_once("dependencies.") {
                tables.entry(format!("{kind}dependencies")).or_default().insert(name.to_owned());
            }
        } else if table.ends_with("dependencies")
            && let Some((key, _)) = line.split_once('=')
        {
            let name = key.trim().split('.').next().unwrap().trim_matches('"');
            tables.entry(table.clone()).or_default().insert(name.to_owned());
        }
    }
    tables
}

fn package(manifest: &Path) -> String {
    let text = fs::read_to_string(manifest).unwrap();
    let line = text.lines().find(|line| line.starts_with("name = ")).unwrap();
    line.trim_start_matches("name = ").trim_matches('"').to_owned()
}

/// The manifests of the workspace's members.
fn members() -> Vec<PathBuf> {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, list) = text.split_once("members = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let names = list.split(',').map(|name| name.trim().trim_matches('"'));
    let names = names.filter(|name| !name.is_empty());
    names.map(|name| root().join(name).join("Cargo.toml")).collect()
}

#[test]
fn the_core_depends_on_the_words_alone() {
    let tables = dependencies(&core().join("Cargo.toml"));
    let expected = BTreeSet::from(["tidegate-policy".to_owned()]);
    assert_eq!(
        tables["dependencies"], expected,
        "the purity of the core is its list of dependencies: take an argument instead, or put the \
         code into the broker"
    );
    let others = tables
        .keys()
        .filter(|table| !["dependencies", "dev-dependencies"].contains(&table.as_str()));
    assert_eq!(others.count(), 0, "the core has no build script and no dependencies by platform");
}

#[test]
fn crates_build_on_each_other_as_drawn() {
    let drawn: BTreeSet<(String, String)> = EDGES
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| ((*from).to_owned(), (*to).to_owned())))
        .collect();
    let crates: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let mut found: BTreeSet<(String, String)> = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for manifest in members() {
        let from = package(&manifest);
        for (table, names) in dependencies(&manifest) {
            for to in names.into_iter().filter(|name| name.starts_with("tidegate-")) {
                if table != "dev-dependencies" {
                    found.insert((from.clone(), to));
                } else if !IN_TESTS.contains(&(from.as_str(), to.as_str())) {
                    let edge = (from.clone(), to.clone());
                    assert!(
                        drawn.contains(&edge) || from == to,
                        "the tests of {from} use {to}, which is not drawn: test it from the side \
                         that may, or add it to IN_TESTS with its reason"
                    );
                }
            }
        }
        seen.insert(from);
    }
    let seen: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, crates, "a crate came or went: draw it in EDGES and in ARCHITECTURE.md");
    let undrawn: Vec<_> = found.difference(&drawn).collect();
    assert!(
        undrawn.is_empty(),
        "{undrawn:?} are not drawn: move the code to where it may be used, or redraw the house"
    );
    for (from, to) in drawn.difference(&found) {
        let to_come = TO_COME.contains(&(from.as_str(), to.as_str()));
        assert!(to_come, "{from} does not depend on {to} any more: take the edge out of EDGES");
    }
}

#[test]
fn the_core_uses_nothing_that_knows_time_or_machine() {
    for file in code(&core().join("src")) {
        let text = without_comments(&file);
        let name = file.strip_prefix(core()).unwrap().display();
        for used in std_modules(&text) {
            assert!(
                STD.contains(&used.as_str()),
                "{name} uses std::{used}: time and what the machine knows are arguments of the core"
            );
        }
        let words: BTreeSet<&str> =
            text.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
        for word in UNSAID {
            assert!(
                !words.contains(word),
                "{name} says {word}: the core has no clock, thread, hash order, float or log; use \
                 Timestamp, BTreeMap, integers, and tell by the answer"
            );
        }
    }
}

/// The modules of the standard library that a text names, also in lists and as `core` or `alloc`.
fn std_modules(text: &str) -> BTreeSet<String> {
    let packed: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = BTreeSet::new();
    for root in ["std::", "core::", "alloc::"] {
        for (at, _) in packed.match_indices(root) {
            let whole =
                !packed[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            let rest = packed[at + root.len()..].trim_start();
            let list = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap());
            let items: Vec<&str> =
                if rest.starts_with('{') { list.split(',').collect() } else { vec![list] };
            for item in items.into_iter().filter(|_| whole) {
                let end = item.trim().find(|c: char| !(c.is_alphanumeric() || c == '_'));
                let module = item.trim();
                found.insert(module[..end.unwrap_or(module.len())].to_owned());
            }
        }
    }
    found.remove("");
    found
}

#[test]
fn what_is_used_is_found_however_it_is_written() {
    let found = std_modules("use std::{fs, net::TcpStream};\nlet now = std::time::Instant::now();");
    let expected = ["fs", "net", "time"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
}

#[test]
fn no_file_is_longer_than_a_screenful_of_screens() {
    let mut long = Vec::new();
    for file in code(&root()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        if LINES_MAX < lines {
            long.push(format!(
                "{} has {lines} lines",
                file.strip_prefix(root()).unwrap().display()
            ));
        }
    }
    assert!(
        long.is_empty(),
        "{}: find the second subject in it and give that a file of its own; {LINES_MAX} is the most",
        long.join(", ")
    );
}
