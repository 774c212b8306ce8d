//! A network in a box, for benchmarks: namespaces and wires, a server, a counter that is read every
//! millisecond, and what a recording of it tells.
//!
//! Linux alone, as root, with the commands `ip`, `tc` and `ss`. Everything is taken down with the
//! [`net::Net`] that made it; what a killed run left is taken down by the next one.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(clippy::cast_precision_loss, reason = "figures are for people")]

#[path = "../../client/benches/figures/mod.rs"]
pub mod figures;
pub mod machine;
pub mod net;
pub mod sample;
pub mod scratch;
pub mod serve;
pub mod trace;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use rustix::time::{ClockId, clock_gettime};

/// The processes of a run tell each other instants of this clock, in nanoseconds.
#[must_use]
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    secs.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Runs a benchmark until it is done or somebody stops it; either way what it made is dropped.
/// Without root, or without a command that it needs, it says so and the code is 2.
#[allow(clippy::print_stderr, reason = "what a person reads")]
pub async fn until_stopped(
    name: &str,
    needs: &[&str],
    run: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("{name} builds network namespaces, which only root may: run it as root");
        return Ok(ExitCode::from(2));
    }
    if let Some(missing) = needs.iter().find(|it| net::program(it).is_none()) {
        eprintln!("{name} needs the command `{missing}`: install iproute2");
        return Ok(ExitCode::from(2));
    }
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = run => done.map(|()| ExitCode::SUCCESS),
        _ = tokio::signal::ctrl_c() => bail!("stopped; its network is taken down"),
        _ = terminated.recv() => bail!("terminated; its network is taken down"),
    }
}

/// Waits until the input ends: whoever started this process is gone, or wants it to end.
pub async fn abandoned() {
    let read = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    // A thread of its own, and none of the runtime's, which waits for those when it ends.
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || drop(tell.send(read())));
    drop(told.await);
}

/// Waits; written out because a benchmark measures at fixed times.
pub async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}
