//! Namespaces and the wires between them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// What the names of all that a lab makes begin with; the process that made it comes next.
pub(crate) const PREFIX: &str = "tidegate-lab-";

/// Who makes labs, as the kernel calls them: what another process seems to have made is a dead one's.
const MAKERS: [&str; 2] = ["wire_bench", "end_to_end"];

/// A network of its own, which is taken down when it is dropped.
#[derive(Debug)]
pub struct Net {
    prefix: String,
    namespaces: Vec<String>,
}

/// One end of a wire: a namespace and how the device is called there.
pub type End<'a> = (&'a str, &'a str);

impl Net {
    /// An empty one. What runs that were killed left behind is taken down.
    ///
    /// # Errors
    /// Namespaces cannot be listed.
    pub fn new() -> anyhow::Result<Self> {
        for name in leftovers()? {
            take_down(&name);
        }
        Ok(Self { prefix: format!("{PREFIX}{}-", std::process::id()), namespaces: Vec::new() })
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Adds a namespace.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn namespace(&mut self, name: &str) -> anyhow::Result<()> {
        let full = self.full(name);
        // Noted first: half of it is taken down as well.
        self.namespaces.push(full.clone());
        run("ip", ["netns", "add", &full])?;
        run("ip", ["-n", &full, "link", "set", "lo", "up"])
    }

    /// Sets what the kernel lets be set in a namespace.
    ///
    /// # Errors
    /// It cannot be.
    pub fn set(&self, name: &str, what: &str, value: &str) -> anyhow::Result<()> {
        let write = format!("echo {value} > /proc/sys/{what}");
        done(self.command(name, "sh").args(["-c", &write]))
    }

    /// A wire between two namespaces.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn wire(&self, (here, near): End<'_>, (there, far): End<'_>) -> anyhow::Result<()> {
        let (here, there) = (self.full(here), self.full(there));
        let peer = ["peer", "name", far, "netns", &there];
        let make = ["-n", &here, "link", "add", near, "type", "veth"];
        run("ip", make.into_iter().chain(peer))?;
        run("ip", ["-n", &here, "link", "set", near, "up"])?;
        run("ip", ["-n", &there, "link", "set", far, "up"])
    }

    /// Gives a device an address, written with the length of its network.
    ///
    /// # Errors
    /// It cannot be given.
    pub fn address(&self, (name, device): End<'_>, address: &str) -> anyhow::Result<()> {
        run("ip", ["-n", &self.full(name), "address", "add", address, "dev", device])
    }

    /// Sends what goes to `to` by way of `via`.
    ///
    /// # Errors
    /// There is no way.
    pub fn route(&self, name: &str, to: &str, via: &str) -> anyhow::Result<()> {
        run("ip", ["-n", &self.full(name), "route", "add", to, "via", via])
    }

    /// Makes a device as slow as a wire of this rate, written as `tc` does, with a queue of 200 packets.
    ///
    /// # Errors
    /// The kernel has no such queue.
    pub fn slow_down(&self, (name, device): End<'_>, rate: &str) -> anyhow::Result<()> {
        let full = self.full(name);
        let tc = |words: &str| {
            let words = words.split_whitespace();
            run("tc", ["-n", &full].into_iter().chain(words))
        };
        tc(&format!("qdisc add dev {device} root handle 1: htb default 1"))?;
        let class = format!("class add dev {device} parent 1: classid 1:1 htb");
        tc(&format!("{class} rate {rate} ceil {rate} burst 16kb cburst 16kb"))?;
        tc(&format!("qdisc add dev {device} parent 1:1 handle 10: pfifo limit 200"))
    }

    /// A program that is to run in a namespace, with an environment that says nothing.
    #[must_use]
    pub fn command(&self, name: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.full(name)]).arg(program);
        command.env_clear().env("PATH", SYSTEM_PATH).stdin(Stdio::null());
        command
    }

    /// This program itself in a namespace, in one of its other roles.
    ///
    /// # Errors
    /// It cannot be found.
    pub fn role(&self, name: &str, role: &str) -> anyhow::Result<Command> {
        let program = std::env::current_exe().context("this program does not find itself")?;
        let mut command = self.command(name, program);
        command.arg(role);
        Ok(command)
    }

    /// The receive buffers of all connections in a namespace, in bytes of payload: the kernel keeps
    /// twice that for its books.
    ///
    /// # Errors
    /// `ss` does not tell.
    pub fn receive_buffers(&self, name: &str) -> anyhow::Result<u64> {
        let listed = self.command(name, "ss").args(["-tmnH", "state", "established"]).output()?;
        let text = String::from_utf8_lossy(&listed.stdout);
        let sizes = text.split("skmem:(").skip(1).filter_map(|memory| {
            let size = memory.split(',').find_map(|word| word.strip_prefix("rb"))?;
            size.parse::<u64>().ok()
        });
        Ok(sizes.sum::<u64>() / 2)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.namespaces.iter().for_each(|name| take_down(name));
    }
}

/// Where programs are looked for.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a program of the system is, if it is installed.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let places = SYSTEM_PATH.split(':').map(|place| PathBuf::from(place).join(name));
    places.into_iter().find(|path| path.is_file())
}

/// A process that ends when this is dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        command.spawn().map(Self).with_context(|| format!("cannot start {command:?}"))
    }

    /// The process itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Tells it to end by ending its input, and waits for it so long at most.
    pub async fn end(&mut self, patience: std::time::Duration) {
        drop(self.0.stdin.take());
        let begun = std::time::Instant::now();
        while begun.elapsed() < patience && matches!(self.0.try_wait(), Ok(None)) {
            crate::pause(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Whether it has failed already.
    ///
    /// # Errors
    /// It has, or nobody knows.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.0.try_wait()? {
            Some(status) if !status.success() => bail!("it ended with {status}"),
            _ => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn run<'a>(program: &str, words: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
    done(Command::new(program).args(words))
}

fn done(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} says: {}", said.trim());
    Ok(())
}

/// The namespaces of runs that are no more.
fn leftovers() -> anyhow::Result<Vec<String>> {
    let listed = Command::new("ip").args(["netns", "list"]).output()?;
    ensure!(listed.status.success(), "`ip netns list` fails: {}", listed.status);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.filter(|name| is_leftover(name, &comm)).map(str::to_owned).collect())
}

/// Whether the maker of what is called so is gone; `comm` says what a process is called.
pub(crate) fn is_leftover(name: &str, comm: &dyn Fn(&str) -> Option<String>) -> bool {
    let Some((maker, _)) = name.strip_prefix(PREFIX).and_then(|it| it.split_once('-')) else {
        return false;
    };
    let numbered = !maker.is_empty() && maker.bytes().all(|it| it.is_ascii_digit());
    numbered && comm(maker).is_none_or(|comm| !MAKERS.contains(&comm.as_str()))
}

/// What a process is called, if it is there.
pub(crate) fn comm(pid: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(text.trim().to_owned())
}

/// Ends what still runs in a namespace and takes it down, as far as it is there.
fn take_down(name: &str) {
    if let Ok(listed) = Command::new("ip").args(["netns", "pids", name]).output() {
        let text = String::from_utf8_lossy(&listed.stdout);
        let pids = text.split_whitespace().filter_map(|it| it.parse().ok().and_then(Pid::from_raw));
        // One that has ended meanwhile is as well.
        pids.for_each(|pid| kill_process(pid, Signal::KILL).unwrap_or_default());
    }
    drop(Command::new("ip").args(["netns", "delete", name]).output());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_namespaces_of_dead_labs_are_left_over() {
        let comm = |pid: &str| match pid {
            "7" => Some("wire_bench".to_owned()),
            "8" => Some("bash".to_owned()),
            _ => None,
        };
        let table = [
            ("tidegate-lab-7-server", false),
            ("tidegate-lab-8-server", true),
            ("tidegate-lab-9-server", true),
            ("tidegate-lab-x-server", false),
            ("tidegate-lab-9", false),
            ("server", false),
        ];
        for (name, expected) in table {
            assert_eq!(is_leftover(name, &comm), expected, "{name}");
        }
    }
}
