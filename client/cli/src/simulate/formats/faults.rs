//! Links whose capacity changes while requests are replayed.

use std::path::Path;

use serde::Deserialize;
use serde_json::Number;
use tidegate_policy::{BitRate, Timestamp};

use super::line::When;
use super::numbers::{Rounds, instant, rate};
use super::{Faults, text};
use crate::simulate::world::{Direction, World};

/// The most changes of a file.
const FAULTS_MAX: usize = 10_000;

/// A link's capacity from then on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::simulate) struct LinkFault {
    pub(in crate::simulate) at: Timestamp,
    pub(in crate::simulate) link: Direction,
    pub(in crate::simulate) capacity: BitRate,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at_s: When,
    src: String,
    dst: String,
    cap_bps: Number,
}

/// The faults of a file in the order of their times: a JSON array, or one on each line.
pub(in crate::simulate) fn read(file: &Path, world: &World) -> anyhow::Result<Vec<LinkFault>> {
    let text = text(file)?;
    let mut found = Vec::new();
    let mut faults = Faults::new(file);
    if text.trim_start().starts_with('[') {
        match serde_json::from_str::<Vec<Line>>(&text) {
            Ok(lines) => {
                for (index, line) in lines.iter().enumerate() {
                    match fault(line, world) {
                        Ok(read) => found.push(read),
                        Err(why) => faults.add(line_of(&text, index), &why),
                    }
                }
            }
            Err(error) => faults.add(error.line(), &error.to_string()),
        }
    } else {
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            match super::json(line).and_then(|line| fault(&line, world)) {
                Ok(read) => found.push(read),
                Err(why) => faults.add(number, &why),
            }
        }
    }
    if FAULTS_MAX < found.len() {
        faults.add(1, &format!("there are {} faults; at most {FAULTS_MAX}", found.len()));
    }
    faults.finish()?;
    found.sort_by_key(|fault| fault.at);
    Ok(found)
}

/// The line on which an object of an array begins, from 1.
fn line_of(text: &str, index: usize) -> usize {
    let begins = text.match_indices('{').nth(index).map_or(0, |(at, _)| at);
    text.get(..begins).unwrap_or_default().matches('\n').count() + 1
}

fn fault(line: &Line, world: &World) -> Result<LinkFault, String> {
    // A link that carries nothing keeps its place in the topology, and a bit per second.
    let capacity = rate("cap_bps", &line.cap_bps, 0)?.max(BitRate::from_bps(1).unwrap_or_default());
    let at = instant("at_s", &line.at_s, Rounds::Down)?;
    Ok(LinkFault { at, link: world.link(&line.src, &line.dst)?, capacity })
}
