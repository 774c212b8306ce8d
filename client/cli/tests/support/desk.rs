//! A broker of its own, and a directory to type in.

#[path = "lived.rs"]
mod lived;

use std::process::{Child, Command, Output, Stdio};

use tidegate_broker::Broker;
use tidegate_broker::config::{Config, JournalPlace};
use tidegate_client::{Client, Session, clock};
use tidegate_policy::{Span, Timestamp};

/// One host, one store, and a link between them that is never in the way.
pub(crate) const TOPOLOGY: &str = r#"switch = [{ name = "tor-1" }, { name = "spine" }]

[[host]]
name = "compute-1"
nic = [{ name = "eth0", switch = "tor-1", capacity = "10Gbit", overhead = "0%", reserved = "0%" }]

[[link]]
name = "tor-1--spine"
from = "tor-1"
to = "spine"
capacity = "40Gbit"
overhead = "0%"
reserved = "0%"

[[storage]]
name = "images"
switch = "spine"
read = "6Gbit"
write = "1Gbit"
"#;

/// A broker of its own, and a directory to type in.
pub(crate) struct Desk {
    runtime: tokio::runtime::Runtime,
    broker: Broker,
    pub(crate) directory: tempfile::TempDir,
    /// The days that commands know as `$DAY`, the day before yesterday, and `$LATER`, in three days: only
    /// where there is a past.
    pub(crate) days: Option<[String; 2]>,
}

/// The date of so many days from now.
fn date(days: u32, ahead: bool) -> String {
    let span = Span::from_secs(days * 24 * 3600);
    let now = clock::wall();
    let at = if ahead { now.plus(span) } else { now.minus(span) };
    at.to_string().split('T').next().unwrap().to_owned()
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::of(Config::ephemeral(JournalPlace::Memory), tempfile::tempdir().unwrap(), None)
    }

    /// A desk whose broker knows the topology, and remembers the day before yesterday.
    pub(crate) fn lived() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journal = JournalPlace::Directory(directory.path().join("journal"));
        let config = Config::ephemeral(journal);
        let days = [date(2, false), date(3, true)];
        let midnight = format!("{}T00:00:00Z", days[0]).parse::<Timestamp>().unwrap();
        lived::live(&config, TOPOLOGY, midnight);
        Self::of(config, directory, Some(days))
    }

    fn of(config: Config, directory: tempfile::TempDir, days: Option<[String; 2]>) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let broker = runtime.block_on(Broker::start(config)).unwrap();
        std::fs::write(directory.path().join("topology.toml"), TOPOLOGY).unwrap();
        Self { runtime, broker, directory, days }
    }

    /// A desk whose broker knows the topology.
    pub(crate) fn ready() -> Self {
        let desk = Self::new();
        let applied = desk.shell("tidegate apply topology topology.toml");
        assert!(applied.status.success(), "{}", text(&applied.stdout));
        desk
    }

    /// A program that goes on while others are typed.
    pub(crate) fn spawn(&self, line: &str) -> Child {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        program.current_dir(self.directory.path()).env_clear();
        program.env("TIDEGATE_BROKER", self.broker.address());
        program.args(line.split_whitespace()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// An agent that is alive until it is dropped.
    pub(crate) fn agent(&self, name: &str) -> Session {
        self.runtime.block_on(async {
            let client = Client::connect(&self.broker.address()).unwrap();
            client.open_session(name).await.unwrap()
        })
    }

    /// Types into a shell; both streams end up in the first, in the order in which they are written.
    pub(crate) fn shell(&self, script: &str) -> Output {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_tidegate"));
        let programs = program.parent().unwrap().display();
        let mut shell = Command::new("sh");
        shell.current_dir(self.directory.path()).env_clear();
        shell.env("PATH", format!("{programs}:/usr/bin:/bin"));
        shell.env("TIDEGATE_BROKER", self.broker.address());
        if let Some([day, later]) = &self.days {
            shell.env("DAY", day).env("LATER", later);
        }
        shell.arg("-c").arg(format!("exec 2>&1\n{script}")).stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _guard = self.runtime.enter();
        self.broker.stopper().cancel();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
