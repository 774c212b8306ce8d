//! What a person sees who types: dialogues with a real broker, in `tests/transcripts/*.txt`.
//!
//! A line that begins with `$` is typed into a shell, with those that begin with `>` below it;
//! what follows is what it prints on both streams, and at the end its exit code in brackets unless
//! it is 0. Identifiers are numbered in the order in which they appear and may be typed; instants
//! are `TIME`, tokens are `TOKEN`; `$DAY` and `$LATER` are shown as days of 2020. Run with `UPDATE_TRANSCRIPTS=1` to write what is printed now, and
//! read the difference as carefully as code.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/desk.rs"]
mod desk;
#[path = "support/mask.rs"]
mod mask;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use desk::{Desk, text};
use mask::Mask;

/// Types every command of a transcript and compares what is said.
#[track_caller]
fn transcript(name: &str) {
    let path = folder().join(name).with_extension("txt");
    let golden = std::fs::read_to_string(&path).unwrap();
    let desk = match &golden {
        golden if golden.contains("# Without a topology.") => Desk::new(),
        golden if golden.contains("# With a past.") => Desk::lived(),
        _ => Desk::ready(),
    };
    let mut mask = Mask::new();
    let mut now = String::new();
    for part in parts(&golden) {
        now.push_str(&part.typed);
        if let Some(command) = &part.command {
            now.push_str(&answer(&desk, &mut mask, command));
        }
    }
    if update() {
        std::fs::write(&path, &now).unwrap();
    }
    // The width of a column follows from what stands in it, and instants differ in length.
    let squeezed = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    for (line, (now, golden)) in (1..).zip(squeezed(&now).iter().zip(&squeezed(&golden))) {
        assert_eq!(now, golden, "{name}.txt, line {line}");
    }
    assert_eq!(squeezed(&now).len(), squeezed(&golden).len(), "{name}.txt has another end");
}

/// How `$DAY` and `$LATER` are shown: long ago, so that nothing that happened on them is masked.
const SHOWN: [&str; 2] = ["2020-02-01", "2020-02-06"];

/// What a command prints, masked.
fn answer(desk: &Desk, mask: &mut Mask, command: &str) -> String {
    let output = desk.shell(&mask.real(command));
    let mut said = text(&output.stdout);
    for (day, shown) in desk.days.iter().flatten().zip(SHOWN) {
        said = said.replace(day, shown);
    }
    let said = mask.masked(&said);
    let mut said = said.trim_end_matches('\n').to_owned();
    if !said.is_empty() {
        said.push('\n');
    }
    match output.status.code() {
        Some(0) => {}
        code => said.push_str(&format!("[{}]\n", code.unwrap_or(-1))),
    }
    said
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

#[allow(clippy::disallowed_methods, reason = "a switch for whoever runs the tests by hand")]
fn update() -> bool {
    std::env::var("UPDATE_TRANSCRIPTS").is_ok()
}

/// Prose that is kept, or a command with the answer that it had.
struct Part {
    /// As it stands in the file, without the answer.
    typed: String,
    command: Option<String>,
}

fn parts(golden: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut answering = false;
    let mut lines = golden.lines().peekable();
    while let Some(line) = lines.next() {
        let kept = format!("{line}\n");
        let command = line.strip_prefix("$ ");
        let more = line.strip_prefix("> ").or_else(|| (line == ">").then_some(""));
        if let Some(command) = command {
            parts.push(Part { typed: kept, command: Some(format!("{command}\n")) });
            answering = false;
        } else if let (Some(more), false, Some(Part { typed, command: Some(command) })) =
            (more, answering, parts.last_mut())
        {
            typed.push_str(&kept);
            command.push_str(&format!("{more}\n"));
        } else if line.starts_with('#') || line.is_empty() && !answers(lines.peek().copied()) {
            parts.push(Part { typed: kept, command: None });
        } else {
            answering = true;
        }
    }
    parts
}

/// Whether a line is more of an answer, so that a blank one before it is too.
fn answers(line: Option<&str>) -> bool {
    line.is_some_and(|line| !line.starts_with(['#', '$']))
}

macro_rules! transcripts {
    ($($name:ident,)*) => {
        $(#[test]
        fn $name() {
            transcript(stringify!($name));
        })*

        #[test]
        fn every_transcript_is_typed() {
            let mut named = vec![$(stringify!($name).to_owned()),*];
            named.sort();
            let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
            let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
            let mut there: Vec<String> = files.map(stem).collect();
            there.sort();
            assert_eq!(there, named);
        }
    };
}

transcripts! {
    asking,
    batches,
    changing,
    classes,
    copying,
    first_steps,
    formats,
    mistakes,
    operating,
    projects,
    reports,
    reserving,
    rules,
    transfers,
    watching,
}

#[test]
fn the_commands_of_a_refusal_are_granted_as_printed() {
    let ask = "tidegate reserve --from storage/images --to hosts/compute-1 --rate 4Gbit --for 10m";
    let refused = || {
        let desk = Desk::ready();
        assert!(desk.shell(ask).status.success());
        let said = text(&desk.shell(ask).stdout);
        let lines = said.lines().map(str::trim).filter(|line| line.starts_with("tidegate "));
        (lines.map(str::to_owned).collect::<Vec<_>>(), desk)
    };
    let (commands, _) = refused();
    assert!(!commands.is_empty());
    for index in 0..commands.len() {
        // Each by itself: what one takes is not there for the next.
        let (commands, desk) = refused();
        let output = desk.shell(&commands[index]);
        assert!(output.status.success(), "{}: {}", commands[index], text(&output.stdout));
    }
}

#[test]
fn a_file_is_fetched_under_a_grant_and_the_grant_given_back() {
    let desk = Desk::ready();
    let directory: &Path = desk.directory.path();
    std::fs::write(directory.join("source"), vec![7; 3_000_000]).unwrap();
    let source = directory.join("source").display().to_string();
    let way = "--from storage/images --to hosts/compute-1 --rate 1Gbit";
    let output = desk.shell(&format!("tidegate fetch file://{source} copy {way} --mount ."));
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("granted 1Gbit/s from storage/images until"), "{said}");
    assert_eq!(std::fs::read(directory.join("copy")).unwrap(), vec![7; 3_000_000]);
    let left = desk.shell("tidegate ls");
    assert_eq!(text(&left.stdout).trim(), "there are no reservations");
    let wrong = "0".repeat(64);
    let output = desk
        .shell(&format!("tidegate fetch file://{source} other {way} --mount / --sha256 {wrong}"));
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("changed or damaged"), "{said}");
    assert!(!directory.join("other").exists());
}

#[test]
fn a_watch_tells_what_stands_and_then_what_happens() {
    let desk = Desk::ready();
    let ask = "--from storage/images --to hosts/compute-1 --rate 1Gbit --for 10m";
    let granted = desk.shell(&format!("tidegate reserve {ask} -o csv --columns id | tail -1"));
    let id = text(&granted.stdout).trim().to_owned();
    let mut watch = desk.spawn("watch -o csv --columns event,id,state");
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let stands = format!("stands,{id},confirmed");
    for expected in ["event,id,state", "reset,,", stands.as_str(), "synced,,"] {
        assert_eq!(lines.next().unwrap(), expected);
    }
    assert!(desk.shell(&format!("tidegate release {id}")).status.success());
    assert_eq!(lines.next().unwrap(), format!("changed,{id},closed"));
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn agents_that_are_alive_are_listed() {
    let desk = Desk::ready();
    let session = desk.agent("agent-7");
    let listed = desk.shell("tidegate sessions --columns agent,state,grants");
    let listed = text(&listed.stdout);
    let rows: Vec<Vec<&str>> = listed.lines().map(|it| it.split_whitespace().collect()).collect();
    assert_eq!(rows, [["AGENT", "STATE", "GRANTS"], ["agent-7", "open", "0"]]);
    drop(session);
}

#[test]
fn every_command_has_a_manual_page_and_an_example() {
    let desk = Desk::new();
    assert!(desk.shell("tidegate man pages").status.success());
    let pages = std::fs::read_dir(desk.directory.path().join("pages")).unwrap();
    let pages: Vec<_> = pages.map(|page| page.unwrap().path()).collect();
    assert!(20 < pages.len(), "{pages:?}");
    for page in pages {
        let name = page.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&page).unwrap();
        // Those that only lead to others have their examples there.
        let leads = ["tidegate", "tidegate-apply", "tidegate-diff", "tidegate-export"];
        let example = text.contains("Example");
        assert!(example || leads.contains(&name) || name.contains("-help"), "{name}");
    }
}

#[test]
fn every_shell_is_completed() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = desk.shell(&format!("tidegate completion {shell}"));
        assert!(text(&said.stdout).contains("reserve"), "{shell}");
    }
}

#[test]
fn what_is_piped_passes_at_the_rate_of_its_grant_and_gives_it_back() {
    let desk = Desk::ready();
    let directory: &Path = desk.directory.path();
    let bytes: Vec<u8> = (0..400_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    std::fs::write(directory.join("source"), &bytes).unwrap();
    let reserve = "tidegate reserve --from storage/images --to hosts/compute-1 --rate 8Mbit";
    let id = |until: &str| {
        let output = desk.shell(&format!("{reserve} {until} -o json"));
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        made["id"].as_str().unwrap().to_owned()
    };
    let whole = id("--for 1m");
    let begun = tidegate_client::clock::BootTime::now();
    let output = desk.shell(&format!("cat source | tidegate pipe --grant {whole} > copy"));
    assert!(output.status.success(), "{}", text(&output.stdout));
    assert_eq!(std::fs::read(directory.join("copy")).unwrap(), bytes);
    // 3.2 Mbit at 8 Mbit/s, but for a burst of 10 ms.
    let took = tidegate_client::clock::BootTime::now().since(begun);
    assert!(380 <= took.as_millis(), "{took:?}");
    let shown = text(&desk.shell(&format!("tidegate show {whole}")).stdout);
    assert!(shown.contains("released") && shown.contains("400kB"), "{shown}");
    // A grant that is over, or ends too early, is an error, and says so.
    let output = desk.shell(&format!("cat source | tidegate pipe --grant {whole}"));
    assert!(!output.status.success() && text(&output.stdout).contains("is over"), "{output:?}");
    let short = id("--for 200ms");
    let output = desk.shell(&format!("cat source | tidegate pipe --grant {short} > short"));
    assert!(!output.status.success());
    assert!(text(&output.stdout).contains("the grant ended before"), "{}", text(&output.stdout));
    let short = std::fs::read(directory.join("short")).unwrap();
    assert!(!short.is_empty() && bytes.starts_with(&short) && short.len() < bytes.len());
}
