//! The counters of a device, read at a steady pace by a process of its own.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};

use crate::net::{Net, Running};
use crate::now_ns;
use crate::trace::{Reading, Trace};

/// The most readings of one recording: ten minutes at one each millisecond.
const READINGS_MAX: usize = 600_000;

/// Said once the first reading is taken.
const READY: &str = "ready";

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// Into the device.
    In,
    /// Out of it.
    Out,
}

/// What the counting process is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Whose counters
    #[arg(long)]
    device: String,
    /// Which of them
    #[arg(long, value_enum)]
    way: Way,
    /// How long between two readings
    #[arg(long, value_name = "MICROSECONDS")]
    every_us: u64,
}

/// Counts until the input ends, then says what it counted.
///
/// # Errors
/// There is no such device.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    std::thread::spawn(move || {
        drop(io::copy(&mut io::stdin(), &mut io::sink()));
        stop.store(true, Ordering::Relaxed);
    });
    let counters = File::open("/proc/net/dev")?;
    let mut text = vec![0; 16 * 1024];
    let mut readings = Vec::with_capacity(READINGS_MAX);
    let mut out = io::stdout().lock();
    while !stopped.load(Ordering::Relaxed) && readings.len() < READINGS_MAX {
        let length = counters.read_at(&mut text, 0)?;
        let ns = now_ns();
        let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
        let counted = counted(&text, &arguments.device, arguments.way);
        let (bytes, packets) = counted.with_context(|| format!("no {}", arguments.device))?;
        if readings.is_empty() {
            writeln!(out, "{READY}")?;
            out.flush()?;
        }
        readings.push(Reading { ns, bytes, packets });
        std::thread::sleep(Duration::from_micros(arguments.every_us));
    }
    let mut out = io::BufWriter::new(out);
    for Reading { ns, bytes, packets } in readings {
        writeln!(out, "{ns} {bytes} {packets}")?;
    }
    out.flush().map_err(Into::into)
}

/// The bytes and packets of a device in the table of all of them.
fn counted(table: &str, device: &str, way: Way) -> Option<(u64, u64)> {
    let line =
        table.lines().find_map(|line| line.trim().strip_prefix(device)?.strip_prefix(':'))?;
    let mut words = line.split_whitespace().skip(if way == Way::In { 0 } else { 8 });
    let mut number = || words.next()?.parse().ok();
    Some((number()?, number()?))
}

/// A count under way.
#[derive(Debug)]
pub struct Counting {
    running: Running,
    said: BufReader<std::process::ChildStdout>,
}

impl Counting {
    /// Begins to count at one end of a wire; it counts once this returns.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(
        net: &Net,
        (name, device): (&str, &str),
        way: Way,
        every: Duration,
    ) -> anyhow::Result<Self> {
        let way = if way == Way::In { "in" } else { "out" };
        let every = every.as_micros().to_string();
        let mut command = net.role(name, "sample")?;
        command.args(["--device", device, "--way", way, "--every-us", &every]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::start(&mut command)?;
        let out = running.child().stdout.take().context("it has no output")?;
        let mut said = BufReader::new(out);
        let mut line = String::new();
        said.read_line(&mut line)?;
        ensure!(line.trim() == READY, "the counter of {name} did not begin");
        Ok(Self { running, said })
    }

    /// Ends it.
    ///
    /// # Errors
    /// It did not count.
    pub fn finish(mut self) -> anyhow::Result<Trace> {
        drop(self.running.child().stdin.take());
        let mut text = String::new();
        self.said.read_to_string(&mut text)?;
        let readings: Option<Vec<Reading>> = text.lines().map(Reading::parse).collect();
        Ok(Trace::of(&readings.context("the counter told nonsense")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_by_its_whole_name() {
        let table = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs
    lo:       1       2    0    0    0     0          0         0        3       4    0
  eth0: 100       20    0    0    0     0          0         0  300   40    0    0    0
 eth01:       5       6    0    0    0     0          0         0        7       8    0
";
        assert_eq!(counted(table, "eth0", Way::In), Some((100, 20)));
        assert_eq!(counted(table, "eth0", Way::Out), Some((300, 40)));
        assert_eq!(counted(table, "eth01", Way::Out), Some((7, 8)));
        assert_eq!(counted(table, "eth", Way::In), None);
    }
}
