//! How exactly and how cheaply the limiter keeps a rate, with governor beside it in the same run.
//!
//! `cargo bench -p tidegate-client --bench limiter` prints one line of JSON per figure: what was
//! measured, its goal if it has one and whether it was met. The contenders take turns, three
//! rounds each, so that other work on the machine falls on all of them alike; a goal that is
//! missed on a machine too busy to tell is inconclusive. The first lines say how busy it was:
//! read no figure without them.
//!
//! Everything moves in memory: this is the limiter and the timer, not a network. The governor is
//! used in two ways: `governor-1B` with a cell per byte, as one would at first, and
//! `governor-tuned` with a cell of 100 us, the remainder carried, a chunk of at most a millisecond
//! and tokio's timer.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::large_futures, reason = "one task on a deep stack, and no allocation per step")]

use std::hint::black_box;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use rustix::time::{ClockId, clock_gettime};
use tidegate_client::clock::BootTime;
use tidegate_client::limiter::Stream;
use tidegate_client::{Burst, Limiter};
use tidegate_policy::BitRate;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

const RATES: [(&str, u64); 4] = [
    ("10 Mbit/s", 10_000_000),
    ("100 Mbit/s", 100_000_000),
    ("1 Gbit/s", 1_000_000_000),
    ("10 Gbit/s", 10_000_000_000),
];
const ROUNDS: usize = 3;
/// Long enough to spend the first burst and to come into step.
const WARM_UP: Duration = Duration::from_millis(150);
const WINDOW: Duration = Duration::from_millis(800);
const CHUNK: usize = 64 * 1024;
const MILLION: u128 = 1_000_000;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let host = runtime.block_on(calibrate())?;
    poll_costs(&host)?;
    runtime.block_on(fairness(&host))?;
    runtime.block_on(steady_rates(&host))?;
    println!(r#"{{"bench":"host","metric":"load average at the end","value":"{}"}}"#, load()?);
    Ok(())
}

// === What the machine can do ===

/// What the machine did when nothing was limited.
struct Host {
    /// A busy machine cannot miss a goal, only fail to show it.
    busy: bool,
    bits_per_second: u128,
    cpu_ns_per_megabyte: u128,
}

async fn calibrate() -> Result<Host, Box<dyn std::error::Error>> {
    let load = load()?;
    let mut late = Vec::new();
    for _ in 0..200 {
        let due = Instant::now() + Duration::from_millis(1);
        tokio::time::sleep_until(due.into()).await;
        late.push(due.elapsed().as_nanos());
    }
    late.sort_unstable();
    let lateness = late[late.len() / 2];
    let free = measure(&mut Copy::new(Memory::new())).await?;
    let copy = free.bytes * 8 * 1_000_000_000 / free.elapsed_ns;
    let clock = per_call(2_000_000, || {
        black_box(Instant::now());
    });
    println!(r#"{{"bench":"host","metric":"load average","value":"{load}"}}"#);
    println!(
        r#"{{"bench":"host","metric":"timer lateness, median, us","value":{}}}"#,
        lateness / 1000
    );
    println!(r#"{{"bench":"host","metric":"unlimited copy, Mbit/s","value":{}}}"#, copy / MILLION);
    println!(r#"{{"bench":"host","metric":"one clock reading, ns","value":{}}}"#, tenths(clock));
    let cores = std::thread::available_parallelism()?.get();
    let running: f64 = load.split(' ').next().unwrap_or("0").parse()?;
    let busy = running > f64::from(u32::try_from(cores)?) || lateness > 5 * MILLION;
    Ok(Host { busy, bits_per_second: copy, cpu_ns_per_megabyte: free.cpu_ns_per_megabyte() })
}

fn load() -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

impl Host {
    fn verdict(&self, met: bool) -> &'static str {
        match (met, self.busy) {
            (true, _) => "ok",
            (false, true) => "inconclusive",
            (false, false) => "miss",
        }
    }
}

// === Costs of a poll ===

fn poll_costs(host: &Host) -> Outcome {
    let report = |metric: &str, picoseconds: u128, goal_ns: u128| {
        let verdict = host.verdict(picoseconds <= goal_ns * 1000);
        let value = tenths(picoseconds);
        println!(
            r#"{{"bench":"poll","metric":"{metric}, ns","value":{value},"goal":"<= {goal_ns}","verdict":"{verdict}"}}"#
        );
    };
    let leased = || {
        let mut stream = unbounded().stream();
        let mut cx = Context::from_waker(Waker::noop());
        per_call(20_000_000, || spend(&mut stream, &mut cx, 1))
    };
    report("leased poll and charge", best(leased), 3);
    report("shared operation", best(|| shared_operation(&unbounded(), 1_000_000)), 60);
    let ending = || {
        let limiter = unbounded();
        limiter.expires_at(BootTime::now().plus(Duration::from_secs(3600)));
        shared_operation(&limiter, 1_000_000)
    };
    report("shared operation under an end", best(ending), 100);
    let contended = || {
        let limiter = unbounded();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| shared_operation(&limiter, 1_000_000));
            let own = shared_operation(&limiter, 1_000_000);
            own.max(other.join().unwrap_or(u128::MAX))
        })
    };
    report("shared operation, two threads", best(contended), 150);
    Ok(())
}

/// A limiter that is never in the way.
fn unbounded() -> Limiter {
    Limiter::new(BitRate::MAX, Burst::default())
}

fn spend(stream: &mut Stream, cx: &mut Context<'_>, want: usize) {
    if let Poll::Ready(Ok(bytes)) = stream.poll_lease(cx, black_box(want)) {
        stream.charge(bytes);
    }
}

/// Leases and spends whole quanta, so that each call goes to the bucket.
fn shared_operation(limiter: &Limiter, calls: u64) -> u128 {
    let mut stream = limiter.stream();
    let mut cx = Context::from_waker(Waker::noop());
    per_call(calls, || spend(&mut stream, &mut cx, 256 * 1024))
}

/// Picoseconds per call.
fn per_call(calls: u64, mut call: impl FnMut()) -> u128 {
    let begin = Instant::now();
    for _ in 0..calls {
        call();
    }
    begin.elapsed().as_nanos() * 1000 / u128::from(calls)
}

/// The least of five: what is above it is somebody else's work.
fn best(mut run: impl FnMut() -> u128) -> u128 {
    (0..5).map(|_| run()).min().unwrap_or(u128::MAX)
}

// === Fairness ===

async fn fairness(host: &Host) -> Outcome {
    let limiter = Limiter::new(rate(1_000_000_000)?, Burst::default());
    let begin = Instant::now();
    let streams: Vec<_> = (0..8)
        .map(|_| {
            let mut reader = limiter.reader(Memory::new());
            tokio::spawn(async move {
                let mut buf = vec![0; CHUNK];
                let mut moved = 0;
                while begin.elapsed() < Duration::from_secs(2) {
                    moved += u128::try_from(reader.read(&mut buf).await?).unwrap_or(0);
                }
                Ok::<_, io::Error>(moved)
            })
        })
        .collect();
    let (mut sum, mut squares) = (0, 0);
    for stream in streams {
        let moved = stream.await??;
        sum += moved;
        squares += moved * moved;
    }
    let index = sum * sum * MILLION / (8 * squares);
    let verdict = host.verdict(index >= 999_000);
    println!(
        r#"{{"bench":"fairness","metric":"Jain index of 8 streams at 1 Gbit/s, millionths","value":{index},"goal":">= 999000","verdict":"{verdict}"}}"#
    );
    Ok(())
}

// === Steady rates ===

async fn steady_rates(host: &Host) -> Outcome {
    for (name, bps) in RATES {
        let mut runs: [Vec<Run>; 3] = Default::default();
        for _ in 0..ROUNDS {
            let limiter = Limiter::new(rate(bps)?, Burst::default());
            let ours = measure(&mut Copy::new(limiter.reader(Memory::new()))).await?;
            let naive = measure(&mut PerByte::new(bps)?).await?;
            let tuned = measure(&mut Tuned::new(bps)?).await?;
            for (list, run) in runs.iter_mut().zip([ours, naive, tuned]) {
                list.push(run);
            }
        }
        for (who, runs) in ["tidegate", "governor-1B", "governor-tuned"].iter().zip(&runs) {
            report_steady(host, name, bps, (who, runs));
        }
    }
    Ok(())
}

fn report_steady(host: &Host, name: &str, bps: u64, (who, runs): (&str, &[Run])) {
    let mut parts: Vec<u128> = runs.iter().map(|run| run.of(bps)).collect();
    parts.sort_unstable();
    let (least, median, most) = (parts[0], parts[parts.len() / 2], parts[parts.len() - 1]);
    let capable = host.bits_per_second > u128::from(bps) * 3 / 2;
    let verdict = match host.verdict(median.abs_diff(MILLION) <= MILLION / 100) {
        _ if who != "tidegate" => "for comparison",
        _ if !capable => "inconclusive",
        verdict => verdict,
    };
    println!(
        r#"{{"bench":"steady {name}","metric":"{who}, millionths of the grant","value":{median},"range":[{least},{most}],"goal":"990000..1010000","verdict":"{verdict}"}}"#
    );
    let mut cpu: Vec<u128> = runs.iter().map(Run::cpu_ns_per_megabyte).collect();
    cpu.sort_unstable();
    let (cpu, free) = (cpu[cpu.len() / 2], host.cpu_ns_per_megabyte);
    println!(
        r#"{{"bench":"steady {name}","metric":"{who}, CPU us per MB","value":{},"unlimited":{}}}"#,
        tenths(cpu),
        tenths(free)
    );
}

/// One window of one contender.
struct Run {
    bytes: u128,
    elapsed_ns: u128,
    cpu_ns: u128,
}

impl Run {
    /// Achieved, in millionths of `bps`.
    fn of(&self, bps: u64) -> u128 {
        self.bytes * 8 * 1_000_000_000 * MILLION / (u128::from(bps) * self.elapsed_ns)
    }

    fn cpu_ns_per_megabyte(&self) -> u128 {
        self.cpu_ns * MILLION / self.bytes.max(1)
    }
}

/// Counts from the end of one step to the end of another, so that no window ends in a sleep.
async fn measure(contender: &mut impl Contender) -> io::Result<Run> {
    let begin = Instant::now();
    while begin.elapsed() < WARM_UP {
        contender.step().await?;
    }
    let (begin, cpu) = (Instant::now(), cpu_ns());
    let mut bytes = 0;
    while begin.elapsed() < WINDOW {
        bytes += u128::try_from(contender.step().await?).unwrap_or(0);
    }
    Ok(Run { bytes, elapsed_ns: begin.elapsed().as_nanos(), cpu_ns: cpu_ns() - cpu })
}

fn cpu_ns() -> u128 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    (Duration::from_secs(secs) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0)))
        .as_nanos()
}

// === The contenders ===

/// Moves some bytes, as many as it may, and says how many.
trait Contender {
    async fn step(&mut self) -> io::Result<usize>;
}

/// An endless source whose reads are copies.
struct Memory(Vec<u8>);

impl Memory {
    fn new() -> Self {
        Self(vec![b'x'; CHUNK])
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = buf.remaining().min(self.0.len());
        buf.put_slice(self.0.get(..count).unwrap_or(&[]));
        Poll::Ready(Ok(()))
    }
}

/// A reader and where its bytes go.
struct Copy<R> {
    from: R,
    to: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Copy<R> {
    fn new(from: R) -> Self {
        Self { from, to: vec![0; CHUNK] }
    }

    async fn up_to(&mut self, count: usize) -> io::Result<usize> {
        let moved = self.from.read(self.to.get_mut(..count).unwrap_or(&mut [])).await?;
        black_box(&self.to);
        Ok(moved)
    }
}

/// Nobody limits it, or its reader does.
impl<R: AsyncRead + Unpin> Contender for Copy<R> {
    async fn step(&mut self) -> io::Result<usize> {
        self.up_to(CHUNK).await
    }
}

/// A cell per byte, 10 ms of burst.
struct PerByte {
    limiter: DefaultDirectRateLimiter,
    chunk: NonZeroU32,
    copy: Copy<Memory>,
}

impl PerByte {
    fn new(bps: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let cells = nonzero(bps / 8)?;
        let burst = nonzero(bps / 800)?;
        let limiter = RateLimiter::direct(Quota::per_second(cells).allow_burst(burst));
        let chunk = burst.min(nonzero(u64::try_from(CHUNK)?)?);
        Ok(Self { limiter, chunk, copy: Copy::new(Memory::new()) })
    }
}

impl Contender for PerByte {
    async fn step(&mut self) -> io::Result<usize> {
        self.limiter.until_n_ready(self.chunk).await.map_err(io::Error::other)?;
        self.copy.up_to(usize::try_from(self.chunk.get()).unwrap_or(CHUNK)).await
    }
}

/// Cells of 100 us of the rate.
struct Tuned {
    limiter: DefaultDirectRateLimiter,
    cell: usize,
    chunk: usize,
    /// Bytes paid and not moved yet.
    carried: usize,
    copy: Copy<Memory>,
}

impl Tuned {
    fn new(bps: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let cell = bps / 80_000;
        let chunk = (bps / 8000).clamp(1448, u64::try_from(CHUNK)?);
        let period = Duration::from_nanos((cell * 8_000_000_000).div_ceil(bps));
        let quota = Quota::with_period(period).ok_or("a period of zero")?;
        let burst = nonzero(100 + chunk.div_ceil(cell))?;
        let limiter = RateLimiter::direct(quota.allow_burst(burst));
        let (cell, chunk) = (usize::try_from(cell)?, usize::try_from(chunk)?);
        Ok(Self { limiter, cell, chunk, carried: 0, copy: Copy::new(Memory::new()) })
    }
}

impl Contender for Tuned {
    async fn step(&mut self) -> io::Result<usize> {
        let cells = self.chunk.saturating_sub(self.carried).div_ceil(self.cell);
        if let Some(count) = u32::try_from(cells).ok().and_then(NonZeroU32::new) {
            while let Err(not_until) = self.limiter.check_n(count).map_err(io::Error::other)? {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                tokio::time::sleep(wait).await;
            }
        }
        self.carried += cells * self.cell;
        let moved = self.copy.up_to(self.chunk).await?;
        self.carried -= moved;
        Ok(moved)
    }
}

// === Numbers ===

fn rate(bps: u64) -> Result<BitRate, &'static str> {
    BitRate::from_bps(bps).ok_or("the rate is above the largest")
}

fn nonzero(count: u64) -> Result<NonZeroU32, Box<dyn std::error::Error>> {
    Ok(NonZeroU32::new(u32::try_from(count)?).ok_or("a count of zero")?)
}

/// Thousandths as a decimal with one place.
fn tenths(thousandths: u128) -> String {
    format!("{}.{}", thousandths / 1000, thousandths % 1000 / 100)
}
