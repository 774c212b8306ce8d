//! Who fetches, and how each is told a rate.

use std::path::Path;
use std::process::{Command, Stdio};

use tidegate_lab::net::{Net, program};

/// One way of fetching under a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// Ours without a limit: what the wire and the machine can do.
    Unlimited,
    Tidegate,
    Curl,
    Wget,
    Rclone,
    Aria2,
}

impl Contender {
    /// Those that keep a rate.
    pub(crate) const LIMITED: [Self; 5] =
        [Self::Tidegate, Self::Curl, Self::Wget, Self::Rclone, Self::Aria2];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unlimited => "unlimited",
            Self::Tidegate => "tidegate",
            Self::Curl => "curl",
            Self::Wget => "wget",
            Self::Rclone => "rclone",
            Self::Aria2 => "aria2",
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        match self {
            Self::Unlimited | Self::Tidegate => true,
            Self::Aria2 => program("aria2c").is_some(),
            other => program(other.name()).is_some(),
        }
    }

    /// What fetches `url` to `file` at `bps`: all of them take bytes per second, and whole ones.
    pub(crate) fn command(
        self,
        net: &Net,
        (url, file): (&str, &Path),
        bps: u64,
    ) -> anyhow::Result<Command> {
        let bytes = (bps / 8).to_string();
        let (name, home) = (crate::runs::CLIENT, file.parent().unwrap_or(file));
        let mut command = match self {
            Self::Unlimited | Self::Tidegate => net.role(name, "fetch")?,
            Self::Aria2 => net.command(name, "aria2c"),
            other => net.command(name, other.name()),
        };
        // Nobody's own settings are part of this.
        command.env("HOME", home).stdout(Stdio::null());
        match self {
            Self::Unlimited => command.args(["--url", url, "--to"]).arg(file),
            Self::Tidegate => {
                command.args(["--url", url, "--rate", &format!("{bps}bit"), "--to"]).arg(file)
            }
            Self::Curl => {
                command.args(["--silent", "--show-error", "--limit-rate", &bytes, url, "--output"]);
                command.arg(file)
            }
            Self::Wget => {
                command.args(["--quiet", "--limit-rate", &bytes, url, "--output-document"]);
                command.arg(file)
            }
            Self::Rclone => {
                command.args(["copyurl", "--quiet", "--config", "", "--bwlimit"]);
                command.arg(format!("{bytes}B")).arg(url).arg(file)
            }
            Self::Aria2 => {
                command.args(["--quiet", "--no-conf", "--file-allocation=none", "--dir"]).arg(home);
                command.arg("--max-overall-download-limit").arg(bytes);
                command.arg("--out").arg(file.file_name().unwrap_or_default()).arg(url)
            }
        };
        Ok(command)
    }
}
