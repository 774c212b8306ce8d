//! Every dialogue under `tests/stories` is held with a fresh machine and must go as written.
//!
//! A line that starts with `> ` is a command, the lines up to the next one are what it answers,
//! and lines that start with `#` are prose. After a wanted change of behaviour, rewrite the answers
//! with `UPDATE_STORIES=1 cargo test -p tidegate-core --test stories` and review the difference as
//! an operator would. `support/story/mod.rs` lists the commands.
#![allow(clippy::unwrap_used, reason = "a story that cannot be told fails its test")]

use std::fs;
use std::path::PathBuf;

#[path = "support/story/mod.rs"]
mod story;

use story::World;

/// The prose and commands of a story as written, the answers as they are given now.
fn told(name: &str, text: &str) -> String {
    let mut world = World::new();
    let mut out = String::new();
    let mut prose_follows = true;
    for (index, line) in text.lines().enumerate() {
        if let Some(command) = line.strip_prefix("> ") {
            world.place = format!("{name}:{}", index + 1);
            out.push_str(&format!("> {command}\n{}", world.run(command)));
            prose_follows = false;
        } else if line.starts_with('#') {
            // One empty line sets a paragraph of prose off from the answer before it.
            if !prose_follows {
                out.push('\n');
            }
            out.push_str(&format!("{line}\n"));
            prose_follows = true;
        }
    }
    out
}

/// The first lines that differ, as an operator would want to see them.
fn difference(written: &str, told: &str) -> String {
    let lines = written.lines().zip(told.lines());
    let same = lines.take_while(|(a, b)| a == b).count();
    let from = |text: &str| -> String {
        text.lines().skip(same).take(6).map(|line| format!("    {line}\n")).collect()
    };
    let (written, told) = (from(written), from(told));
    format!("line {}: written\n{written}  told\n{told}", same + 1)
}

fn stories() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_story_goes_as_written() {
    #[allow(clippy::disallowed_methods, reason = "a switch for people, not a setting of the core")]
    let update = std::env::var("UPDATE_STORIES").is_ok_and(|set| set == "1");
    let mut broken = Vec::new();
    let files = stories();
    assert!(!files.is_empty(), "there are no stories");
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let written = fs::read_to_string(&file).unwrap();
        let told = told(&name, &written);
        if written == told {
            continue;
        }
        if update {
            fs::write(&file, told).unwrap();
        } else {
            broken.push(format!("{name}, {}", difference(&written, &told)));
        }
    }
    assert!(
        broken.is_empty(),
        "{}\nif the change is wanted, rewrite them with UPDATE_STORIES=1 and review the difference",
        broken.join("\n")
    );
}

/// Whoever shaves a little off again and again is stopped before what is kept for it grows without
/// bound.
#[test]
fn a_staircase_of_changes_has_a_last_step() {
    let mut world = World::new();
    for line in [
        "switch s",
        "host h at s 1Gbit raw",
        "storage p at s read 100Mbit write 100Mbit",
        "apply",
        "open agent",
        "reserve storage/p -> hosts/h 1Mbit now..80s session agent",
    ] {
        world.run(line);
    }
    let mut last = String::new();
    for step in 1..3000 {
        last = world.run(&format!("modify a rate {}bit end {}ms", 1_000_000 + step, 80_000 - step));
        if last.starts_with("fault: ") {
            break;
        }
    }
    assert!(last.contains("at most 1024 pieces"), "{last}");
    assert!(!world.run("release a by agent").starts_with("fault"));
    assert_eq!(world.run("free storage/p/read 1s"), "100Mbit/s\n");
}
