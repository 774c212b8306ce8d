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

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tidegate_proto::v1;
use toml::Spanned;

use words::{Percent, Place, Rate, Word};

mod words;

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
    let fault = |span: Option<Range<usize>>, message: &str| {
        let before = text.get(..span.map_or(0, |span| span.start)).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        TopologyFileError {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            message: message.to_owned(),
        }
    };
    let file: File = toml::from_str(text).map_err(|error| fault(error.span(), error.message()))?;
    file.check().map_err(|(span, why)| fault(Some(span), &why))?;
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
    link: Vec<Spanned<Link>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    storage: Vec<Spanned<Storage>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    route: Vec<Route>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    name: Word,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    name: Word,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nic: Vec<Spanned<Nic>>,
}

/// One table with the three ways to say a capacity, and what goes with one on the network.
macro_rules! resource {
    ($name:ident, $out:ident, $in:ident, { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            name: Word,
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
                        self.name.0, stringify!($out), stringify!($in)
                    )),
                    (None, _, _) => Err(format!(
                        "{:?}: give capacity, or both {} and {}",
                        self.name.0, stringify!($out), stringify!($in)
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
                    allocation_ratio_ppm: None,
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
    switch: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtu: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overhead: Option<Percent>,
});

resource!(Link, forward, reverse, {
    from: Word,
    to: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtu: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overhead: Option<Percent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost: Option<i32>,
});

resource!(Storage, read, write, {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<Word>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    switch: Option<Word>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    served_via: Vec<Word>,
});

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    from: Place,
    to: Place,
    links: Vec<Word>,
}

// === to and from the wire ===

type Fault = (Range<usize>, String);

impl File {
    /// What concerns more than one field of a table.
    fn check(&self) -> Result<(), Fault> {
        for nic in self.host.iter().flat_map(|host| &host.nic) {
            let nic_check = nic.get_ref().check();
            nic_check.and_then(|()| mtu(nic.get_ref().mtu)).map_err(|why| (nic.span(), why))?;
        }
        for link in &self.link {
            let Link { mtu: bytes, cost, .. } = link.get_ref();
            let cost = match cost {
                Some(cost) if !(1..=1_000_000).contains(cost) => {
                    Err(format!("cost is {cost}: write 1 to 1000000, or leave it out"))
                }
                _ => Ok(()),
            };
            let all = link.get_ref().check().and(mtu(*bytes)).and(cost);
            all.map_err(|why| (link.span(), why))?;
        }
        for storage in &self.storage {
            let Storage { name, host, switch, .. } = storage.get_ref();
            let place = if host.is_some() == switch.is_some() {
                Err(format!("{:?}: say either host or switch: where it stands", name.0))
            } else {
                Ok(())
            };
            storage.get_ref().check().and(place).map_err(|why| (storage.span(), why))?;
        }
        Ok(())
    }

    fn into_wire(self) -> v1::Topology {
        v1::Topology {
            hosts: self.host.into_iter().map(Host::into_wire).collect(),
            switches: self.switch.into_iter().map(|s| v1::Switch { name: s.name.0 }).collect(),
            links: self.link.into_iter().map(|l| l.into_inner().into_wire()).collect(),
            storage: self.storage.into_iter().map(|s| s.into_inner().into_wire()).collect(),
            routes: self.route.into_iter().map(Route::into_wire).collect(),
            version: 0,
            steerings: Vec::new(),
        }
    }

    fn from_wire(wire: &v1::Topology) -> Self {
        Self {
            host: wire.hosts.iter().map(Host::from_wire).collect(),
            switch: wire.switches.iter().map(|s| Switch { name: word(&s.name) }).collect(),
            link: wire.links.iter().map(|l| nowhere(Link::from_wire(l))).collect(),
            storage: wire.storage.iter().map(|s| nowhere(Storage::from_wire(s))).collect(),
            route: wire.routes.iter().map(Route::from_wire).collect(),
        }
    }
}

fn word(text: &str) -> Word {
    Word(text.to_owned())
}

fn words(texts: &[String]) -> Vec<Word> {
    texts.iter().map(|text| word(text)).collect()
}

fn texts(words: Vec<Word>) -> Vec<String> {
    words.into_iter().map(String::from).collect()
}

/// What is written has no place in a text yet.
fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn mtu(bytes: Option<i32>) -> Result<(), String> {
    match bytes {
        Some(bytes) if !(576..=65535).contains(&bytes) => {
            Err(format!("mtu is {bytes}: write 576 to 65535 bytes, or leave it out"))
        }
        _ => Ok(()),
    }
}

fn framing(mtu: Option<i32>, overhead: Option<Percent>) -> Option<v1::Framing> {
    let said = mtu.is_some() || overhead.is_some();
    said.then(|| v1::Framing {
        overhead_ppm: overhead.map(|percent| percent.0),
        mtu_bytes: mtu.unwrap_or(0),
    })
}

fn unframed(wire: Option<&v1::Framing>) -> (Option<i32>, Option<Percent>) {
    let mtu = wire.map(|framing| framing.mtu_bytes).filter(|bytes| *bytes != 0);
    (mtu, wire.and_then(|framing| framing.overhead_ppm).map(Percent))
}

impl Host {
    fn into_wire(self) -> v1::Host {
        let nics = self.nic.into_iter().map(|nic| nic.into_inner().into_wire());
        v1::Host { nics: nics.collect(), name: self.name.0 }
    }

    fn from_wire(wire: &v1::Host) -> Self {
        let nic = wire.nics.iter().map(|nic| nowhere(Nic::from_wire(nic)));
        Self { name: word(&wire.name), nic: nic.collect() }
    }
}

impl Nic {
    fn into_wire(self) -> v1::Nic {
        v1::Nic {
            capacity: self.capacity_to_wire(),
            framing: framing(self.mtu, self.overhead),
            name: self.name.0,
            switch: self.switch.0,
        }
    }

    fn from_wire(wire: &v1::Nic) -> Self {
        let (mtu, overhead) = unframed(wire.framing.as_ref());
        let (name, switch) = (word(&wire.name), word(&wire.switch));
        Self { name, switch, mtu, overhead, ..Self::default() }
            .capacity_from_wire(wire.capacity.as_ref())
    }
}

impl Link {
    fn into_wire(self) -> v1::Link {
        v1::Link {
            capacity: self.capacity_to_wire(),
            framing: framing(self.mtu, self.overhead),
            cost: self.cost.unwrap_or(0),
            bundle: None,
            name: self.name.0,
            from: self.from.0,
            to: self.to.0,
        }
    }

    fn from_wire(wire: &v1::Link) -> Self {
        let (mtu, overhead) = unframed(wire.framing.as_ref());
        let cost = (wire.cost != 0).then_some(wire.cost);
        let (name, from, to) = (word(&wire.name), word(&wire.from), word(&wire.to));
        Self { name, from, to, mtu, overhead, cost, ..Self::default() }
            .capacity_from_wire(wire.capacity.as_ref())
    }
}

impl Storage {
    fn into_wire(self) -> v1::Storage {
        use v1::storage::Place;
        let place = self.host.as_ref().map(|host| Place::Host(host.0.clone()));
        let place = place.or_else(|| self.switch.as_ref().map(|s| Place::Switch(s.0.clone())));
        v1::Storage {
            capacity: self.capacity_to_wire(),
            place,
            served_via: texts(self.served_via),
            mirrors: Vec::new(),
            name: self.name.0,
        }
    }

    fn from_wire(wire: &v1::Storage) -> Self {
        use v1::storage::Place;
        let (host, switch) = match &wire.place {
            Some(Place::Host(host)) => (Some(word(host)), None),
            Some(Place::Switch(switch)) => (None, Some(word(switch))),
            None => (None, None),
        };
        let (name, served_via) = (word(&wire.name), words(&wire.served_via));
        Self { name, host, switch, served_via, ..Self::default() }
            .capacity_from_wire(wire.capacity.as_ref())
    }
}

impl Route {
    fn into_wire(self) -> v1::Route {
        v1::Route { from: self.from.0, to: self.to.0, links: texts(self.links) }
    }

    fn from_wire(wire: &v1::Route) -> Self {
        Self {
            from: Place(wire.from.clone()),
            to: Place(wire.to.clone()),
            links: words(&wire.links),
        }
    }
}

#[cfg(test)]
#[path = "topology_file_tests.rs"]
mod tests;
