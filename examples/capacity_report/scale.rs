//! The same at the size of a region: about 5000 lanes, and as many reservations as somebody asks for, most of
//! them in the day to come.

use std::fmt::Write as _;

use anyhow::{Context, ensure};
use futures_util::TryStreamExt;
use tidegate_broker::config::Config;
use tidegate_broker::past::{Became, Past, Wish};
use tidegate_client::clock::{BootTime, wall};
use tidegate_client::report::{ConsumersAsk, ExportAsk, ExportFormat, UtilizationAsk};
use tidegate_client::{Client, topology_file};
use tidegate_policy::{BitRate, ByteCount, Span};

use crate::chance::Chance;
use crate::day::HOUR;
use crate::words::{bytes, percent};

const RACKS: u64 = 48;
const HOSTS: u64 = 46;
const SPINES: u64 = 4;
const STORES: u64 = 100;
/// What is asked for in each hour of the past, beside what is in the day to come.
const PAST_PERMILLE: u64 = 200;
const HOURS: u64 = 24;
const PROJECTS: [&str; 5] = ["genomics", "vision", "render", "web", "backup"];

/// Racks with hosts under four spines, and stores at the spines: 2 lanes for each NIC, link and store.
fn topology() -> String {
    let mut text = String::new();
    // Writing to a text cannot fail.
    for spine in 1..=SPINES {
        writeln!(text, "[[switch]]\nname = \"spine-{spine}\"").ok();
    }
    for rack in 1..=RACKS {
        writeln!(text, "[[switch]]\nname = \"rack-{rack}\"").ok();
        for spine in 1..=SPINES {
            writeln!(text, "[[link]]\nname = \"rack-{rack}--spine-{spine}\"").ok();
            writeln!(text, "from = \"rack-{rack}\"\nto = \"spine-{spine}\"").ok();
            writeln!(text, "capacity = \"100Gbit\"").ok();
        }
        for host in 1..=HOSTS {
            writeln!(
                text,
                "[[host]]\nname = \"compute-{rack}-{host}\"\nnic = [{{ name = \"eth0\","
            )
            .ok();
            writeln!(text, "switch = \"rack-{rack}\", capacity = \"25Gbit\" }}]").ok();
        }
    }
    for store in 1..=STORES {
        let spine = store.rem_euclid(SPINES).saturating_add(1);
        writeln!(text, "[[storage]]\nname = \"store-{store}\"\nswitch = \"spine-{spine}\"").ok();
        writeln!(text, "read = \"40Gbit\"\nwrite = \"20Gbit\"").ok();
    }
    text
}

fn wish(chance: &mut Chance) -> anyhow::Result<Wish> {
    let (rack, host) = (chance.within(1, RACKS), chance.within(1, HOSTS));
    let store = chance.within(1, STORES);
    let project = chance.one_of(&PROJECTS).context("a project")?;
    Ok(Wish {
        project: tidegate_policy::ProjectId(project.parse()?),
        class: None,
        source: format!("storage/store-{store}").parse()?,
        destination: format!("hosts/compute-{rack}-{host}").parse()?,
        volume: ByteCount::new(chance.pareto(1_000_000_000, 100_000_000_000)),
        max: BitRate::from_bps(5_000_000_000).context("a rate")?,
        within: HOUR,
    })
}

/// Lives through a day and books another one.
pub(crate) fn live(config: &Config, count: u64, seed: u64) -> anyhow::Result<()> {
    let begun = BootTime::now();
    let span = Span::from_secs(u32::try_from(HOURS)?.saturating_mul(3600));
    let mut past = Past::begin(config, wall().minus(span))?;
    past.apply_topology(&topology_file::parse(&topology())?)?;
    let projects = PROJECTS.map(|name| format!("[[project]]\nname = \"{name}\"\n")).concat();
    let policy = tidegate_client::policy_file::read(&projects)?;
    past.apply_policy(policy.projects, Vec::new(), Vec::new())?;
    let mut chance = Chance::new(seed);
    let mut book = |past: &mut Past, count: u64, within: Span| -> anyhow::Result<u64> {
        let mut granted = 0_u64;
        for _ in 0..count {
            let later = Span::from_ms(chance.below(within.as_ms())).unwrap_or_default();
            let became = past.book(past.now().plus(later), &wish(&mut chance)?)?;
            granted = granted.saturating_add(u64::from(matches!(became, Became::Granted(..))));
        }
        Ok(granted)
    };
    let hourly = count.saturating_mul(PAST_PERMILLE).div_euclid(1000).div_euclid(HOURS);
    let mut granted = 0_u64;
    for _ in 0..HOURS {
        granted = granted.saturating_add(book(&mut past, hourly, HOUR)?);
        let next = past.now().plus(HOUR);
        past.pass(next)?;
    }
    let took = BootTime::now().since(begun).as_secs_f64();
    println!("past       {granted} reservations of {HOURS} h, in {took:.1} s");
    let begun = BootTime::now();
    let ahead = book(&mut past, count.saturating_sub(hourly.saturating_mul(HOURS)), span)?;
    past.end()?;
    let took = BootTime::now().since(begun).as_secs_f64();
    println!("ahead      {ahead} reservations of {HOURS} h, in {took:.1} s");
    ensure!(
        count == granted.saturating_add(ahead),
        "{granted} and {ahead} of {count} were granted"
    );
    Ok(())
}

/// Asks for reports on all of it, and says how long each took.
pub(crate) async fn tell(client: &Client) -> anyhow::Result<()> {
    let begun = BootTime::now();
    let ask = UtilizationAsk { fullest: true, count: 5, ..UtilizationAsk::default() };
    let told = client.utilization(&ask).await?;
    took(begun, &format!("the fullest of {} lanes", told.lane_count));
    for lane in &told.lanes {
        let peak = lane.buckets.iter().max_by_key(|it| it.peak);
        let peak = peak.map_or_else(|| "-".into(), |it| percent(it.peak.bps(), it.capacity.bps()));
        println!("  {:<44} {peak} at its peak", lane.lane);
    }
    let begun = BootTime::now();
    let told = client.top_consumers(&ConsumersAsk::default()).await?;
    took(begun, &format!("top: {} promised", bytes(told.total.promised)));
    let begun = BootTime::now();
    let format = ExportFormat::Csv;
    let mut file =
        client.export_reservations(&ExportAsk { format, ..ExportAsk::default() }).await?;
    let (mut lines, mut size) = (0_u64, 0_u64);
    while let Some(piece) = file.try_next().await? {
        lines = lines.saturating_add(piece.reservations);
        size = size.saturating_add(u64::try_from(piece.data.len())?);
    }
    took(begun, &format!("export: {lines} lines of 24 h, {}", bytes(ByteCount::new(size))));
    Ok(())
}

fn took(begun: BootTime, what: &str) {
    println!("{:>8.2} s  {what}", BootTime::now().since(begun).as_secs_f64());
}
