//! What a person sees who types: every command against a real broker, its words and its exit code.
//! Times and ids are masked; everything else is the text as printed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use tidegate_broker::Broker;
use tidegate_broker::config::{Config, JournalPlace};

const TOPOLOGY: &str = r#"
switch = [{ name = "tor-1" }]
[[host]]
name = "compute-1"
nic = [{ name = "eth0", switch = "tor-1", capacity = "10Gbit", overhead = "0%", reserved = "0%" }]
[[storage]]
name = "images"
switch = "tor-1"
read = "6Gbit"
write = "1Gbit"
"#;

/// A broker of its own, and a directory to type in.
struct Desk {
    runtime: tokio::runtime::Runtime,
    broker: Broker,
    directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let config = Config::ephemeral(JournalPlace::Memory);
        let broker = runtime.block_on(Broker::start(config)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("topology.toml"), TOPOLOGY).unwrap();
        Self { runtime, broker, directory }
    }

    /// A desk whose broker knows the topology.
    fn ready() -> Self {
        let desk = Self::new();
        assert!(desk.run("apply topology topology.toml").status.success());
        desk
    }

    fn run(&self, line: &str) -> Output {
        self.run_at(&self.broker.address(), line)
    }

    fn run_at(&self, broker: &str, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.current_dir(self.directory.path()).env_clear().env("TIDEGATE_BROKER", broker);
        command.args(line.split_whitespace()).output().unwrap()
    }

    /// Types a line and compares both streams and the exit code.
    #[track_caller]
    fn expect(&self, line: &str, code: i32, expected: &str) {
        let output = self.run(line);
        let mut said = text(&output.stdout);
        said.push_str(&text(&output.stderr));
        assert_eq!(masked(&said).trim(), expected.trim(), "$ tidegate {line}");
        assert_eq!(output.status.code(), Some(code), "$ tidegate {line}\n{said}");
    }

    /// Reserves and returns the id.
    fn reserve(&self, line: &str) -> String {
        let output = self.run(&format!("reserve {line} -o json"));
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        said["id"].as_str().unwrap().to_owned()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _guard = self.runtime.enter();
        self.broker.stopper().cancel();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Replaces what differs from run to run: instants by TIME and ids by ID.
fn masked(text: &str) -> String {
    let mask = |word: &str| -> String {
        let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let name = match core.len() {
            36 if core.matches('-').count() == 4 => "ID",
            20.. if core.ends_with('Z') && core.as_bytes()[4] == b'-' => "TIME",
            _ => return word.to_owned(),
        };
        word.replace(core, name)
    };
    let line = |line: &str| line.split(' ').map(mask).collect::<Vec<_>>().join(" ");
    text.lines().map(|it| line(it).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_topology_is_applied_and_printed_as_it_was() {
    let desk = Desk::new();
    let lanes = "+ hosts/compute-1/nics/eth0/egress  10Gbit/s
+ hosts/compute-1/nics/eth0/ingress  10Gbit/s
+ storage/images/read  6Gbit/s
+ storage/images/write  1Gbit/s
";
    let dry = format!("{lanes}4 lanes would change; nothing was changed");
    desk.expect("apply topology topology.toml --dry-run", 0, &dry);
    let done = format!("{lanes}4 lanes changed; topology version 1 is in force");
    desk.expect("apply topology topology.toml", 0, &done);
    let exported = desk.run("export topology");
    std::fs::write(desk.directory.path().join("again.toml"), &exported.stdout).unwrap();
    let same = "0 lanes changed; topology version 1 is in force";
    desk.expect("apply topology again.toml", 0, same);
}

#[test]
fn a_grant_shows_what_it_books() {
    let desk = Desk::ready();
    desk.expect(
        "reserve --from storage/images --to hosts/compute-1 --rate 4Gbit --for 10m",
        0,
        "
reservation ID
  state    active
  rate     4Gbit/s
  from     storage/images
  to       hosts/compute-1
  start    TIME
  end      TIME
  session  none
  used     0B
  books    on
    4Gbit/s  storage/images/read
    4Gbit/s  hosts/compute-1/nics/eth0/ingress",
    );
}

#[test]
fn a_refusal_reads_like_a_helpful_clerk() {
    let desk = Desk::ready();
    desk.reserve("--from storage/images --to hosts/compute-1 --rate 4Gbit --for 10m");
    desk.expect(
        "reserve --from storage/images --to hosts/compute-1 --rate 4Gbit --for 10m --hold 1m",
        3,
        "
refused: others have booked what it needs
  storage/images/read lacks 2Gbit/s: 4Gbit/s needed, 2Gbit/s free of 6Gbit/s; it has room from TIME
what fits now, and the command that asks for it:
  the same rate later: 4Gbit/s from storage/images, TIME to TIME
    tidegate reserve --from storage/images --to hosts/compute-1 --rate 4Gbit/s --start TIME --until TIME --hold 1m
  a lower rate at the time you asked for: 2Gbit/s from storage/images
    tidegate reserve --from storage/images --to hosts/compute-1 --rate 2Gbit/s --for 10m --hold 1m",
    );
}

#[test]
fn the_commands_of_a_refusal_are_granted_as_printed() {
    let desk = Desk::ready();
    desk.reserve("--from storage/images --to hosts/compute-1 --rate 4Gbit --for 10m");
    let refused =
        desk.run("reserve --from storage/images --to hosts/compute-1 --rate 4Gbit --for 10m");
    let said = text(&refused.stderr);
    let commands: Vec<&str> =
        said.lines().filter_map(|line| line.trim().strip_prefix("tidegate ")).collect();
    assert_eq!(commands.len(), 2, "{said}");
    for command in commands {
        let output = desk.run(command);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }
}

#[test]
fn a_hold_is_confirmed_listed_and_released() {
    let desk = Desk::ready();
    let id =
        desk.reserve("--from storage/images --to hosts/compute-1 --rate 1Gbit --for 10m --hold 1m");
    let shown = |state: &str, rate: &str| {
        format!(
            "
 ID                                    STATE   RATE     FROM            TO                 START                     END
 ID  {state}  {rate}  storage/images  hosts/compute-1  TIME  TIME"
        )
    };
    assert!(text(&desk.run("ls").stdout).contains("held until"));
    assert!(desk.run(&format!("extend {id} --for 5m")).status.success());
    assert!(desk.run(&format!("confirm {id}")).status.success());
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let listed = masked(&text(&desk.run("ls").stdout));
    assert_eq!(squeezed(&listed), squeezed(&shown("active", "1Gbit/s")));
    desk.expect(&format!("release {id}"), 0, "ID  closed: it was given back");
    desk.expect("ls", 0, "there are no reservations");
    assert!(text(&desk.run("ls --closed").stdout).contains("it was given back"));
    let again = format!("confirm {id}");
    desk.expect(
        &again,
        6,
        "tidegate: not possible in the present state: cannot confirm reservation ID: it was closed \
         at TIME (released); reserve again",
    );
}

/// The commonest mistakes of a new user, each with an answer that gets them on.
#[test]
fn mistakes_are_answered_with_what_to_do() {
    let desk = Desk::ready();
    let reserve = "reserve --from storage/images --to hosts/compute-1";
    let table: [(String, i32, &str); 9] = [
        (format!("{reserve} --rate 4 --for 10m"), 2, "write bits as in 10Gbit"),
        (format!("{reserve} --rate 4Gbit"), 2, "--for <DURATION>"),
        (format!("{reserve} --rate 4Gbit --for 10"), 2, "write 90s, 15m, 2h"),
        (format!("{reserve} --rate 4Gbit --for 500days"), 2, "longer than 400 days"),
        (format!("{reserve} --rate 0bit --for 10m"), 2, "ask for at least 1 bit/s"),
        (
            "reserve --from images --to hosts/compute-1 --rate 1Gbit --for 1m".into(),
            2,
            "write hosts/NAME or storage/NAME",
        ),
        (
            "reserve --from storage/imags --to hosts/compute-1 --rate 1Gbit --for 1m".into(),
            5,
            "storage/imags does not exist",
        ),
        ("show 01a20af0-d8cc-758e-b485-64acd3bb72f2".into(), 5, "does not exist"),
        ("apply topology nowhere.toml".into(), 1, "cannot read nowhere.toml"),
    ];
    for (line, code, expected) in &table {
        let output = desk.run(line);
        let said = text(&output.stderr);
        assert!(said.contains(expected), "$ tidegate {line}\n{said}");
        assert_eq!(output.status.code(), Some(*code), "$ tidegate {line}\n{said}");
    }
}

#[test]
fn without_a_broker_it_says_so() {
    let desk = Desk::new();
    let nobody = desk.run_at("http://127.0.0.1:1", "info");
    assert_eq!(nobody.status.code(), Some(7));
    let said = text(&nobody.stderr);
    assert!(said.contains("check the address and that tidegated runs"), "{said}");
    let malformed = desk.run_at("localhost", "info");
    assert_eq!(malformed.status.code(), Some(2), "{}", text(&malformed.stderr));
}

#[test]
fn a_file_is_fetched_under_a_grant_and_the_grant_given_back() {
    let desk = Desk::ready();
    let directory: &Path = desk.directory.path();
    std::fs::write(directory.join("source"), vec![7; 3_000_000]).unwrap();
    let line = format!(
        "fetch file://{}/source copy --from storage/images --to hosts/compute-1 --rate 1Gbit",
        directory.display()
    );
    let output = desk.run(&line);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("granted 1Gbit/s"), "{}", text(&output.stdout));
    assert_eq!(std::fs::read(directory.join("copy")).unwrap(), vec![7; 3_000_000]);
    desk.expect("ls", 0, "there are no reservations");
    let wrong = format!("{line} --sha256 {}", "0".repeat(64)).replace(" copy ", " other ");
    let output = desk.run(&wrong);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("changed or damaged"), "{}", text(&output.stderr));
    assert!(!directory.join("other").exists());
}
