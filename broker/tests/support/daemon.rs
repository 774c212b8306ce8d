//! The broker as a process of its own, to be killed or asked to stop.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A running `tidegated`. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: String,
}

/// A command that runs `tidegated`, its log kept back.
pub(crate) fn tidegated(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegated"));
    command.args(arguments).env("TIDEGATE_LOG", "warn");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `tidegated` to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    tidegated(arguments).output().unwrap()
}

/// Standard output and standard error of a run, for people.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Writes `tidegated.toml` with a journal beside it, and `more` at its end.
pub(crate) fn configure(dir: &Path, listen: &str, more: &str) -> PathBuf {
    let journal = dir.join("journal");
    let text = format!("listen = {listen:?}\njournal = {journal:?}\n{more}\n");
    let path = dir.join("tidegated.toml");
    std::fs::write(&path, text).unwrap();
    path
}

impl Daemon {
    /// Starts it without waiting for anything.
    pub(crate) fn spawn(config: &Path) -> Child {
        tidegated(&["serve", "--config", config.to_str().unwrap()]).spawn().unwrap()
    }

    /// Starts it and waits until it listens; the error is all that it said instead.
    pub(crate) fn try_start(config: &Path) -> Result<Self, String> {
        Self::listening(Self::spawn(config))
    }

    fn listening(mut child: Child) -> Result<Self, String> {
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        match line.trim_end().strip_prefix("tidegated listens on ") {
            Some(address) => Ok(Self { child, address: address.to_owned() }),
            None => {
                let mut error = String::new();
                child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
                let status = child.wait().unwrap();
                Err(format!("{status}: {line}{error}"))
            }
        }
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(config: &Path) -> Self {
        Self::try_start(config).unwrap_or_else(|said| panic!("it does not start: {said}"))
    }

    /// Starts it with these variables in its environment. It may not say more than a pipe holds before
    /// somebody waits for it.
    pub(crate) fn start_with(config: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = tidegated(&["serve", "--config", config.to_str().unwrap()]);
        command.envs(variables.iter().copied());
        let started = Self::listening(command.spawn().unwrap());
        started.unwrap_or_else(|said| panic!("it does not start: {said}"))
    }

    /// Ends it without any notice, as a power cut would end the process.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits until it has ended by itself: what it said, and how it ended.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        for _ in 0..1500 {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut error = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
                return (status, error);
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended already cannot be killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
