//! Backups by night: large, booked ahead, and by nobody who reports how far they are.

use anyhow::Context;
use tidegate_broker::past::Wish;
use tidegate_policy::{BitRate, ByteCount, ClassId, ProjectId, Span};

use crate::chance::Chance;

/// The hosts whose content is saved: the first of each node.
pub(crate) fn hosts(all: &[String]) -> Vec<String> {
    all.iter().filter(|host| host.ends_with("-1")).cloned().collect()
}

/// A night's backup of a host: 200 GB to 2 TB, within five hours.
pub(crate) fn wish(chance: &mut Chance, host: String) -> anyhow::Result<Wish> {
    let volume = chance.pareto(200_000_000_000, 2_000_000_000_000);
    Ok(Wish {
        project: ProjectId("backup".parse()?),
        class: Some(ClassId("bronze".parse()?)),
        source: format!("hosts/{host}").parse()?,
        destination: "storage/archive".parse()?,
        volume: ByteCount::new(volume),
        max: BitRate::from_bps(2_000_000_000).context("a rate")?,
        within: Span::from_secs(5 * 3600),
    })
}
