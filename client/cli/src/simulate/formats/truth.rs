//! What agents really do: never for the core, which hears of it by their beats alone.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::line::Id;
use super::{json, lines};
use crate::simulate::numbers::{float, round};

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct Line {
    pub(in crate::simulate) id: Id,
    pub(in crate::simulate) no_show: bool,
    pub(in crate::simulate) used_fraction: f64,
}

/// What one agent does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::simulate) struct Truth {
    /// It never sends.
    pub(in crate::simulate) no_show: bool,
    /// How much of what was asked it has to send, in parts per million.
    pub(in crate::simulate) used_ppm: u64,
}

impl Truth {
    /// It sends all of what was asked.
    pub(in crate::simulate) const AS_ASKED: Self = Self { no_show: false, used_ppm: MILLION };
}

const MILLION: u64 = 1_000_000;

/// What the agents of a file do, by the ids of their requests.
pub(in crate::simulate) fn read(file: &Path) -> anyhow::Result<BTreeMap<Id, Truth>> {
    let mut found = BTreeMap::new();
    lines(file, |_, text| {
        let line: Line = json(text)?;
        if !(0.0..=1.0).contains(&line.used_fraction) {
            return Err(format!("used_fraction is {}; write 0 to 1", line.used_fraction));
        }
        // One that sends nothing at all is a no-show.
        let used_ppm = round(line.used_fraction * float(MILLION));
        let no_show = line.no_show || used_ppm == 0;
        let twice = found.insert(line.id.clone(), Truth { no_show, used_ppm }).is_some();
        if twice { Err(format!("id {} stands here twice", line.id)) } else { Ok(()) }
    })?;
    Ok(found)
}
