//! A topology as a person writes it, in TOML.
//!
//! ```toml
//! [[host]]
//! name = "compute-1"
//! nic = [{ name = "eth0", switch = "tor-1", capacity = "25Gbit" }]
//!
//! [[switch]]
//! name = "tor-1"
//!
//! [[switch]]
//! name = "spine"
//!
//! [[link]]
//! name = "tor-1--spine"
//! from = "tor-1"
//! to = "spine"
//! capacity = "100Gbit"    # or forward and reverse; total is a budget that both share
//! reserved = "3%"         # kept back for acknowledgements and unmanaged traffic
//! mtu = 9000              # in bytes; or overhead = "7.7%" of the payload
//! cost = 1
//! allocation_ratio = "1.5"  # how often it may be booked in all; firm bookings stay within once
//! bundle = { links = 4, share = "40%", streams = 16 }   # then capacity is that of one of them
//!
//! [[storage]]
//! name = "swift-east"
//! switch = "spine"        # or host
//! read = "20Gbit"         # or capacity for both
//! write = "10Gbit"
//! served_via = ["compute-1"]
//! mirrors = ["swift-west"]    # hold the same objects
//! tier = "ssd"            # its quality, as classes of service name it
//!
//! [[storage]]
//! name = "swift-west"
//! switch = "tor-1"
//! capacity = "10Gbit"
//!
//! [[route]]
//! from = "hosts/compute-1"
//! to = "switches/spine"
//! links = ["tor-1--spine"]
//!
//! [[steering]]              # bytes can be steered onto one of several paths, this way round
//! from = "switches/spine"
//! to = "hosts/compute-1"
//! paths = 2                 # loop-free, the cheapest first: 2 to 4
//! dscp = [10, 18]           # or vlan, or source = ["192.0.2.1", ...], or controller = "name"
//! ```
//!
//! NICs say `egress` and `ingress` where the two differ. Rates carry their unit. What is not said
//! is left to the broker's defaults. Whether the parts fit together, the broker checks.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use tidegate_proto::v1;

use crate::error::ClientError;

mod read;
mod words;
mod write;

/// A fault of a topology file, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct TopologyFileError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// Every fault of a topology file, in the order of their places; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyFileErrors(pub Vec<TopologyFileError>);

impl fmt::Display for TopologyFileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for TopologyFileErrors {}

/// A topology that was read from a text, and where in it each field stands.
#[derive(Clone, Debug)]
pub struct TopologyFile {
    topology: v1::Topology,
    text: String,
    places: BTreeMap<String, Range<usize>>,
}

impl TopologyFile {
    /// Reads a topology.
    ///
    /// # Errors
    /// Every fault of the text, with its line and column.
    pub fn read(text: &str) -> Result<Self, TopologyFileErrors> {
        let (topology, reader) = read::read(text);
        let faults = reader.faults.into_iter().map(|(span, message)| located(text, &span, message));
        let mut faults: Vec<TopologyFileError> = faults.collect();
        if !faults.is_empty() {
            faults.sort_by_key(|fault| (fault.line, fault.column));
            return Err(TopologyFileErrors(faults));
        }
        Ok(Self { topology, text: text.to_owned(), places: reader.places })
    }

    /// As it goes to a broker.
    #[must_use]
    pub const fn topology(&self) -> &v1::Topology {
        &self.topology
    }

    /// The line and column of a field of the wire, such as `topology.links[3].to`; of what it is a
    /// part of where the text does not say it by itself. `None` if it is no field of a topology.
    #[must_use]
    pub fn place_of(&self, field: &str) -> Option<(usize, usize)> {
        let mut part = field;
        loop {
            if let Some(span) = self.places.get(part) {
                let place = located(&self.text, span, String::new());
                return Some((place.line, place.column));
            }
            let cut = part.rfind(['.', '['])?;
            part = part.get(..cut)?;
        }
    }

    /// What a broker found wrong with this topology, field by field with line and column; `None`
    /// if the error is about something else.
    #[must_use]
    pub fn explain(&self, error: &ClientError) -> Option<TopologyFileErrors> {
        let ClientError::Invalid { violations, .. } = error else { return None };
        let faults = violations.iter().filter_map(|violation| {
            let (line, column) = self.place_of(&violation.field)?;
            let message = format!("{}: {}", violation.field, violation.description);
            Some(TopologyFileError { line, column, message })
        });
        let mut faults: Vec<TopologyFileError> = faults.collect();
        faults.sort_by_key(|fault| (fault.line, fault.column));
        (!faults.is_empty()).then_some(TopologyFileErrors(faults))
    }
}

fn located(text: &str, span: &Range<usize>, message: String) -> TopologyFileError {
    let before = text.get(..span.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    TopologyFileError {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        message,
    }
}

/// Reads a topology. [`TopologyFile::read`] also remembers where each field stands.
///
/// # Errors
/// Every fault of the text, with its line and column.
pub fn parse(text: &str) -> Result<v1::Topology, TopologyFileErrors> {
    TopologyFile::read(text).map(|file| file.topology)
}

/// Writes a topology so that [`parse`] reads the same one, its version aside: that is the
/// broker's to count.
#[must_use]
pub fn to_toml(topology: &v1::Topology) -> String {
    // The types of `write` serialise by themselves and hold no map with other keys than texts,
    // which are the only two things that TOML can refuse.
    toml::to_string(&write::File::from_wire(topology)).unwrap_or_default()
}

#[cfg(test)]
#[path = "topology_file_tests.rs"]
mod tests;
