//! All settings, read once and checked: nothing is edited, nothing is guessed.

mod check;
mod reports;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;
use tidegate_core::Limits;
use tidegate_policy::{ByteCount, Span};

pub use reports::ReportsConfig;

/// What a broker runs by.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen: `127.0.0.1:7411`, `[::1]:7411` or `unix:/path`.
    #[serde(default)]
    pub listen: Listen,
    /// Where promises are kept: a directory, or `memory` for a broker that forgets them all.
    pub journal: JournalPlace,
    /// How long agents may be silent.
    #[serde(default)]
    pub session: SessionConfig,
    /// What is bounded.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// How plans are made, and moved to make room.
    #[serde(default)]
    pub planning: PlanningConfig,
    /// Whether anybody is refused.
    #[serde(default)]
    pub admission: AdmissionConfig,
    /// When the state is written down, so that a start replays little and the log stays short.
    #[serde(default)]
    pub snapshots: SnapshotConfig,
    /// What is told of what was and is.
    #[serde(default)]
    pub reports: ReportsConfig,
}

/// Where to listen.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// A loopback address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// Where promises are kept.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(from = "PathBuf")]
pub enum JournalPlace {
    /// Nowhere: a broker for tests and trials.
    Memory,
    /// In this directory.
    Directory(PathBuf),
}

/// How long agents may be silent.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// How often a session is to send a beat.
    pub beat_every: Span,
    /// How long a beat keeps everything as it is.
    pub lease: Span,
    /// How long after the lease the floor of each grant may still be sent.
    pub grace: Span,
}

/// What is bounded.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// How long closed reservations and ended sessions are remembered; 20 minutes at least.
    pub retain: Span,
    /// How far ahead a reservation may end.
    pub horizon: Span,
    /// The most reservations remembered, closed ones included.
    pub reservations: usize,
    /// The most sessions remembered, ended ones included.
    pub sessions: usize,
    /// The most live reservations bound to one session.
    pub reservations_per_session: usize,
    /// The most requests that wait for a decision; more are shed.
    pub queue: usize,
    /// The most requests that one connection has under way.
    pub requests_per_connection: usize,
    /// The most watches that are open at once.
    pub watchers: usize,
    /// The most changes that are kept for watches to resume behind.
    pub changes: usize,
}

/// How plans are made, and moved to make room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlanningConfig {
    /// What plans of a volume book beyond it, in parts per million.
    pub margin_ppm: u32,
    /// The most segments of a plan.
    pub segments_max: usize,
    /// The most plans that move for one request; 0: none does.
    pub moves_max: usize,
    /// The most pieces of time that are looked at to make room for one request; 0: none is made.
    pub replan_steps: u64,
    /// The most orders of plans that are tried to make room for one request; 0: none is made.
    pub replan_rounds: usize,
    /// How long nothing may move under a grant that is bound to a session which reports what it
    /// moves, before it is taken back.
    pub no_show_grace: Span,
}

/// Whether anybody is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionConfig {
    /// What becomes of what does not fit.
    pub mode: AdmissionMode,
}

/// What becomes of a request that does not fit, or that may not be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdmissionMode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is granted, books nothing, and is counted.
    Observe,
}

impl fmt::Display for AdmissionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        })
    }
}

/// When the state is written down: at whichever comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotConfig {
    /// After so many batches in the journal since the last time.
    pub after_batches: u64,
    /// After so many bytes, or half the size of the last snapshot if that is more.
    pub after_bytes: ByteCount,
}

/// Why a broker cannot run by a configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {why}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The text is not a configuration.
    #[error("{}: {why}", .path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with line and column.
        why: Box<toml::de::Error>,
    },
    /// Settings that make no sense, all of them.
    #[error("{}", .0.join("\n"))]
    Senseless(Vec<String>),
}

/// The port where none is given.
pub const DEFAULT_PORT: u16 = 7411;

impl Config {
    /// A broker on a loopback port of the system's choice.
    #[must_use]
    pub fn ephemeral(journal: JournalPlace) -> Self {
        let listen = Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (session, limits) = (SessionConfig::default(), LimitsConfig::default());
        let (planning, snapshots) = (PlanningConfig::default(), SnapshotConfig::default());
        let (admission, reports) = (AdmissionConfig::default(), ReportsConfig::default());
        Self { listen, journal, session, limits, planning, admission, snapshots, reports }
    }

    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`]: what is wrong, where, and what would be right.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |why| ConfigError::Unreadable { path: path.into(), why };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let malformed = |why| ConfigError::Malformed { path: path.into(), why: Box::new(why) };
        let config: Self = toml::from_str(&text).map_err(malformed)?;
        config.check()?;
        Ok(config)
    }

    /// What the core decides by.
    #[must_use]
    pub fn core_limits(&self) -> Limits {
        Limits {
            lease: self.session.lease,
            grace: self.session.grace,
            retain: self.limits.retain,
            horizon: self.limits.horizon,
            reservations_max: self.limits.reservations,
            sessions_max: self.limits.sessions,
            per_session_max: self.limits.reservations_per_session,
            margin_ppm: self.planning.margin_ppm,
            segments_max: self.planning.segments_max,
            moves_max: self.planning.moves_max,
            replan_steps: self.planning.replan_steps,
            replan_rounds: self.planning.replan_rounds,
            no_show_grace: self.planning.no_show_grace,
            observe: self.admission.mode == AdmissionMode::Observe,
            ..Limits::default()
        }
    }
}

/// As a file that says everything and reads back the same.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listen = match &self.listen {
            Listen::Tcp(address) => address.to_string(),
            Listen::Unix(path) => format!("unix:{}", path.display()),
        };
        let journal = match &self.journal {
            JournalPlace::Memory => "memory".into(),
            JournalPlace::Directory(path) => path.display().to_string(),
        };
        let SessionConfig { beat_every, lease, grace } = &self.session;
        let limits = &self.limits;
        writeln!(f, "listen = {listen:?}\njournal = {journal:?}")?;
        writeln!(f, "\n[session]\nbeat_every = \"{beat_every}\"")?;
        writeln!(f, "lease = \"{lease}\"\ngrace = \"{grace}\"")?;
        writeln!(f, "\n[limits]\nretain = \"{}\"", limits.retain)?;
        writeln!(f, "horizon = \"{}\"", limits.horizon)?;
        writeln!(f, "reservations = {}\nsessions = {}", limits.reservations, limits.sessions)?;
        writeln!(f, "reservations_per_session = {}", limits.reservations_per_session)?;
        writeln!(f, "queue = {}", limits.queue)?;
        writeln!(f, "requests_per_connection = {}", limits.requests_per_connection)?;
        writeln!(f, "watchers = {}\nchanges = {}", limits.watchers, limits.changes)?;
        let PlanningConfig { margin_ppm, segments_max, moves_max, .. } = &self.planning;
        let PlanningConfig { replan_steps, replan_rounds, no_show_grace, .. } = &self.planning;
        writeln!(f, "\n[planning]\nmargin_ppm = {margin_ppm}\nsegments_max = {segments_max}")?;
        writeln!(f, "moves_max = {moves_max}\nreplan_steps = {replan_steps}")?;
        writeln!(f, "replan_rounds = {replan_rounds}\nno_show_grace = \"{no_show_grace}\"")?;
        writeln!(f, "\n[admission]\nmode = \"{}\"", self.admission.mode)?;
        let SnapshotConfig { after_batches, after_bytes } = &self.snapshots;
        writeln!(f, "\n[snapshots]\nafter_batches = {after_batches}")?;
        writeln!(f, "after_bytes = \"{after_bytes}\"")?;
        write!(f, "\n{}", self.reports)
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)))
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let hint = "write 127.0.0.1:7411, [::1]:7411 or unix:/path";
        text.parse().map(Self::Tcp).map_err(|_| format!("{text:?} is not an address; {hint}"))
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// As a client is told it: `http://127.0.0.1:7411` or `unix:/path`.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<PathBuf> for JournalPlace {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == "memory" { Self::Memory } else { Self::Directory(path) }
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        let Limits { lease, grace, .. } = Limits::default();
        Self { beat_every: Span::from_secs(5), lease, grace }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            retain: limits.retain,
            horizon: limits.horizon,
            reservations: limits.reservations_max,
            sessions: limits.sessions_max,
            reservations_per_session: limits.per_session_max,
            queue: 4096,
            requests_per_connection: 256,
            watchers: 1000,
            changes: 65_536,
        }
    }
}

impl Default for PlanningConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            margin_ppm: limits.margin_ppm,
            segments_max: limits.segments_max,
            moves_max: limits.moves_max,
            replan_steps: limits.replan_steps,
            replan_rounds: limits.replan_rounds,
            no_show_grace: limits.no_show_grace,
        }
    }
}

impl Default for SnapshotConfig {
    /// A start replays both in seconds.
    fn default() -> Self {
        Self { after_batches: 50_000, after_bytes: ByteCount::new(64 << 20) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn one_line_is_enough() {
        let config = read("journal = \"/var/lib/tidegate\"").unwrap();
        assert_eq!(config.listen.to_string(), "http://127.0.0.1:7411");
        assert_eq!(config.journal, JournalPlace::Directory("/var/lib/tidegate".into()));
        assert_eq!(config.core_limits(), Limits::default());
    }

    #[test]
    fn what_is_printed_reads_back() {
        for journal in ["memory", "/var/lib/tidegate"] {
            for listen in ["[::1]:7411", "unix:/run/tidegate.sock"] {
                let text = format!("journal = {journal:?}\nlisten = {listen:?}");
                let config = read(&text).unwrap();
                assert_eq!(read(&config.to_string()).unwrap(), config);
            }
        }
    }

    #[test]
    fn faults_say_where_and_what_would_be_right() {
        let table = [
            ("", "missing field `journal`"),
            ("journal = \"memory\"\nlisten = \"0.0.0.0:1\"", "not a loopback address"),
            ("journal = \"memory\"\nlisten = \"nowhere\"", "write 127.0.0.1:7411"),
            ("journal = \"memory\"\nlisen = \"x\"", "unknown field `lisen`"),
            ("journal = \"memory\"\n[session]\nlease = \"5s\"", "at least twice"),
            ("journal = \"memory\"\n[session]\nlease = 30", "invalid type"),
            ("journal = \"memory\"\n[limits]\nretain = \"1s\"", "write at least that"),
            ("journal = \"memory\"\n[limits]\nqueue = 0", "limits.queue"),
            ("journal = \"memory\"\n[planning]\nmargin_ppm = 1000001", "planning.margin_ppm"),
            ("journal = \"memory\"\n[planning]\nsegments_max = 0", "write 1 to 1024"),
            ("journal = \"memory\"\n[planning]\nmoves_max = 10001", "planning.moves_max"),
            ("journal = \"memory\"\n[planning]\nreplan_rounds = 1001", "planning.replan_rounds"),
            ("journal = \"memory\"\n[planning]\nreplan_steps = 2000000000", "1000000000"),
            ("journal = \"memory\"\n[planning]\nno_show_grace = \"9s\"", "write 10s to 1d"),
            ("journal = \"memory\"\n[planning]\nno_show_grace = \"25h\"", "it is 1day1h"),
            ("journal = \"memory\"\n[snapshots]\nafter_batches = 0", "snapshots.after_batches"),
            ("journal = \"memory\"\n[snapshots]\nafter_bytes = \"0B\"", "snapshots.after_bytes"),
            ("journal = \"memory\"\n[reports]\nlanes_in_metrics = 100001", "write 0 to 100000"),
            ("journal = \"memory\"\n[reports]\nmetrics_selector = \"x y\"", "names do not have"),
        ];
        for (text, expected) in table {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
