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
//!
//! [[storage]]
//! name = "swift-east"
//! switch = "spine"        # or host
//! read = "20Gbit"         # or capacity for both
//! write = "10Gbit"
//! served_via = ["compute-1"]
//!
//! [[route]]
//! from = "hosts/compute-1"
//! to = "switches/spine"
//! links = ["tor-1--spine"]
//! ```
//!
//! NICs say `egress` and `ingress` where the two differ. Rates carry their unit. What is not said
//! is left to the broker's defaults. Whether the parts fit together, the broker checks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tidegate_policy::{BitRate, Name, ParseError};
use tidegate_proto::v1;

/// Why a text is no topology, and where.
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

/// Reads a topology.
///
/// # Errors
/// The first fault, with its line and column.
pub fn parse(text: &str) -> Result<v1::Topology, TopologyFileError> {
    let file: File = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        TopologyFileError {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            message: error.message().to_owned(),
        }
    })?;
    Ok(file.into_wire())
}

/// Writes a topology so that [`parse`] reads the same one, its version aside: that is the
/// broker's to count.
#[must_use]
pub fn to_toml(topology: &v1::Topology) -> String {
    // The types below serialise by themselves and hold no map with other keys than texts, which
    // are the only two things that TOML can refuse.
    toml::to_string(&File::from_wire(topology)).unwrap_or_default()
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    switch: Vec<Switch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    host: Vec<Host>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    link: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    storage: Vec<Storage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    route: Vec<Route>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    #[serde(deserialize_with = "name")]
    name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    #[serde(deserialize_with = "name")]
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nic: Vec<Nic>,
}

/// One table with the three ways to say a capacity, and what goes with one on the network.
macro_rules! resource {
    ($name:ident, $out:ident, $in:ident, { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            #[serde(deserialize_with = "name")]
            name: String,
            $($(#[$meta])* $field: $type,)*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            capacity: Option<Rate>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            $out: Option<Rate>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            $in: Option<Rate>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            total: Option<Rate>,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            reserved: Option<Percent>,
        }

        impl $name {
            fn check(&self) -> Result<(), String> {
                match (self.capacity, self.$out, self.$in) {
                    (Some(_), None, None) | (None, Some(_), Some(_)) => Ok(()),
                    (Some(_), _, _) => Err(format!(
                        "{:?}: capacity says both directions; leave {} and {} out",
                        self.name, stringify!($out), stringify!($in)
                    )),
                    (None, _, _) => Err(format!(
                        "{:?}: give capacity, or both {} and {}",
                        self.name, stringify!($out), stringify!($in)
                    )),
                }
            }

            fn capacity_to_wire(&self) -> Option<v1::Capacity> {
                let bps = |rate: Option<Rate>| rate.map_or(0, |rate| rate.0);
                Some(v1::Capacity {
                    out_bps: bps(self.capacity.or(self.$out)),
                    in_bps: bps(self.$in),
                    total_bps: bps(self.total),
                    reserved_ppm: self.reserved.map(|percent| percent.0),
                })
            }

            fn capacity_from_wire(self, wire: Option<&v1::Capacity>) -> Self {
                let Some(wire) = wire else { return self };
                let both = wire.in_bps == 0;
                Self {
                    capacity: both.then_some(Rate(wire.out_bps)),
                    $out: (!both).then_some(Rate(wire.out_bps)),
                    $in: (!both).then_some(Rate(wire.in_bps)),
                    total: (wire.total_bps != 0).then_some(Rate(wire.total_bps)),
                    reserved: wire.reserved_ppm.map(Percent),
                    ..self
                }
            }
        }
    };
}

resource!(Nic, egress, ingress, {
    #[serde(deserialize_with = "name")]
    switch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtu: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overhead: Option<Percent>,
});

resource!(Link, forward, reverse, {
    #[serde(deserialize_with = "name")]
    from: String,
    #[serde(deserialize_with = "name")]
    to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtu: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overhead: Option<Percent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost: Option<i32>,
});

resource!(Storage, read, write, {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    switch: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    served_via: Vec<String>,
});

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    from: String,
    to: String,
    links: Vec<String>,
}
