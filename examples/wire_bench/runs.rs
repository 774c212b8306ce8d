//! One contender on the wire, for some seconds.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tidegate_client::Burst;
use tidegate_lab::figures::machine::Quiet;
use tidegate_lab::net::{Net, Running};
use tidegate_lab::sample::{Counting, Way};
use tidegate_lab::trace::Trace;
use tidegate_lab::{machine, now_ns, pause, scratch, serve};
use tidegate_policy::BitRate;

use crate::contenders::Contender;

pub(crate) const CLIENT: &str = "client";
const SERVER: &str = "server";
const ADDRESS: &str = "10.77.0.1";
const EVERY: Duration = Duration::from_millis(1);

/// The wire and what is at its ends.
pub(crate) struct Lab {
    // Dropped in this order: who uses the network before the network.
    _server: Running,
    directory: TempDir,
    pub(crate) net: Net,
}

/// What one run came to.
pub(crate) struct Ran {
    /// From the first byte of content on.
    pub(crate) trace: Trace,
    /// Processor seconds per 10^9 bytes once it was under way; `None` if it ended before.
    pub(crate) cpu_per_gigabyte: Option<f64>,
    /// Its receive buffers, in bytes.
    pub(crate) buffers: u64,
    pub(crate) quiet: Quiet,
}

impl Lab {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut net = Net::new()?;
        net.namespace(SERVER)?;
        net.namespace(CLIENT)?;
        net.wire((SERVER, "eth0"), (CLIENT, "eth0"))?;
        net.address((SERVER, "eth0"), &format!("{ADDRESS}/24"))?;
        net.address((CLIENT, "eth0"), "10.77.0.2/24")?;
        let server = serve::start(&net, SERVER)?;
        Ok(Self { _server: server, directory: scratch::directory()?, net })
    }

    pub(crate) fn url(count: u64) -> String {
        serve::url(ADDRESS, count)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("fetched")
    }

    pub(crate) fn count(&self) -> anyhow::Result<Counting> {
        Counting::start(&self.net, (SERVER, "eth0"), Way::Out, EVERY)
    }

    /// Removes what was fetched.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        scratch::empty(self.directory.path())
    }

    /// One contender at `bps`, from its first byte for `span`.
    pub(crate) async fn run(
        &self,
        contender: Contender,
        bps: u64,
        span: Duration,
    ) -> anyhow::Result<Ran> {
        // Whoever fetched before has left nothing under way.
        pause(Duration::from_millis(200)).await;
        let (url, file) = (Self::url(size(bps, span)), self.file());
        let mut command = contender.command(&self.net, (&url, &file), bps)?;
        let counting = self.count()?;
        let watch = machine::watch();
        let mut running = Running::start(&mut command)?;
        let pid = running.pid();
        // Its start and its first burst are not what a gigabyte costs.
        pause(Duration::from_secs(1)).await;
        let before = machine::cpu_of(pid).map(|cpu| (now_ns(), cpu));
        let buffers = self.net.receive_buffers(CLIENT)?;
        pause(span.saturating_sub(Duration::from_millis(300))).await;
        let after = machine::cpu_of(pid).map(|cpu| (now_ns(), cpu));
        let grown = self.net.receive_buffers(CLIENT)?;
        let quiet = watch.quiet();
        let trace = counting.finish()?;
        running.check().with_context(|| format!("{} failed", contender.name()))?;
        drop(running);
        self.clear()?;
        let cpu_per_gigabyte = before.zip(after).and_then(|((from, before), (until, after))| {
            let bytes = trace.from(from).until(until).bytes();
            (bytes != 0).then(|| after.saturating_sub(before).as_secs_f64() * 1e9 / bytes as f64)
        });
        let trace = trace.content(span);
        Ok(Ran { trace, cpu_per_gigabyte, buffers: buffers.max(grown), quiet })
    }

    /// What passes where nothing limits it, in bit/s.
    pub(crate) async fn unlimited(&self) -> anyhow::Result<(f64, Option<f64>)> {
        let ran = self.run(Contender::Unlimited, UNLIMITED, Duration::from_millis(1500)).await?;
        let most = ran.trace.windows(Duration::from_millis(200)).map_or(0.0, |(_, most)| most);
        Ok((most, ran.cpu_per_gigabyte))
    }
}

/// What decides how much an unlimited contender may fetch.
const UNLIMITED: u64 = 4_000_000_000;

/// More than anybody fetches within `span`, in bytes; those without an end to it read far ahead.
fn size(bps: u64, span: Duration) -> u64 {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).saturating_add(1000);
    (bps / 8000).saturating_mul(millis).saturating_add(64 << 20)
}

/// What passes a limiter of this rate at once, in seconds of it.
pub(crate) fn burst(bps: u64) -> f64 {
    let rate = BitRate::from_bps(bps).unwrap_or(BitRate::MAX);
    Burst::default().at(rate).bytes() as f64 * 8.0 / bps as f64
}

/// The one in the middle; not a number if there is none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
