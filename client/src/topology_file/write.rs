//! From the wire to TOML.

use serde::Serialize;
use tidegate_proto::v1;

use super::words::{Percent, Place, Rate, Ratio, Word};

#[derive(Default, Serialize)]
pub(super) struct File {
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steering: Vec<Steering>,
}

#[derive(Serialize)]
struct Switch {
    name: Word,
}

#[derive(Serialize)]
struct Host {
    name: Word,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nic: Vec<Nic>,
}

/// One table with the three ways to say a capacity, and what goes with one on the network.
macro_rules! resource {
    ($name:ident, $out:ident, $in:ident, { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Default, Serialize)]
                struct $name {
            name: Word,
            $($(#[$meta])* $field: $type,)*
            #[serde(skip_serializing_if = "Option::is_none")]
            capacity: Option<Rate>,
            #[serde(skip_serializing_if = "Option::is_none")]
            $out: Option<Rate>,
            #[serde(skip_serializing_if = "Option::is_none")]
            $in: Option<Rate>,
            #[serde(skip_serializing_if = "Option::is_none")]
            total: Option<Rate>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reserved: Option<Percent>,
            #[serde(skip_serializing_if = "Option::is_none")]
            allocation_ratio: Option<Ratio>,
        }

        impl $name {
            fn capacity_from_wire(self, wire: Option<&v1::Capacity>) -> Self {
                let Some(wire) = wire else { return self };
                let both = wire.in_bps == 0;
                Self {
                    capacity: both.then_some(Rate(wire.out_bps)),
                    $out: (!both).then_some(Rate(wire.out_bps)),
                    $in: (!both).then_some(Rate(wire.in_bps)),
                    total: (wire.total_bps != 0).then_some(Rate(wire.total_bps)),
                    reserved: wire.reserved_ppm.map(Percent),
                    allocation_ratio: wire.allocation_ratio_ppm.map(Ratio),
                    ..self
                }
            }
        }
    };
}

resource!(Nic, egress, ingress, {
    switch: Word,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overhead: Option<Percent>,
});

resource!(Link, forward, reverse, {
    from: Word,
    to: Word,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overhead: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<Bundle>,
});

resource!(Storage, read, write, {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    switch: Option<Word>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    served_via: Vec<Word>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mirrors: Vec<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<Word>,
});

#[derive(Serialize)]
struct Route {
    from: Place,
    to: Place,
    links: Vec<Word>,
}

#[derive(Serialize)]
struct Bundle {
    links: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<i32>,
}

#[derive(Serialize)]
struct Steering {
    from: Place,
    to: Place,
    paths: i32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dscp: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vlan: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    controller: Option<String>,
}

impl File {
    pub(super) fn from_wire(wire: &v1::Topology) -> Self {
        Self {
            host: wire.hosts.iter().map(Host::from_wire).collect(),
            switch: wire.switches.iter().map(|s| Switch { name: word(&s.name) }).collect(),
            link: wire.links.iter().map(Link::from_wire).collect(),
            storage: wire.storage.iter().map(Storage::from_wire).collect(),
            route: wire.routes.iter().map(Route::from_wire).collect(),
            steering: wire.steerings.iter().map(Steering::from_wire).collect(),
        }
    }
}

fn word(text: &str) -> Word {
    Word(text.to_owned())
}

fn words(texts: &[String]) -> Vec<Word> {
    texts.iter().map(|text| word(text)).collect()
}

fn unframed(wire: Option<&v1::Framing>) -> (Option<i32>, Option<Percent>) {
    let mtu = wire.map(|framing| framing.mtu_bytes).filter(|bytes| *bytes != 0);
    (mtu, wire.and_then(|framing| framing.overhead_ppm).map(Percent))
}

impl Host {
    fn from_wire(wire: &v1::Host) -> Self {
        Self { name: word(&wire.name), nic: wire.nics.iter().map(Nic::from_wire).collect() }
    }
}

impl Nic {
    fn from_wire(wire: &v1::Nic) -> Self {
        let (mtu, overhead) = unframed(wire.framing.as_ref());
        let (name, switch) = (word(&wire.name), word(&wire.switch));
        Self { name, switch, mtu, overhead, ..Self::default() }
            .capacity_from_wire(wire.capacity.as_ref())
    }
}

impl Link {
    fn from_wire(wire: &v1::Link) -> Self {
        let (mtu, overhead) = unframed(wire.framing.as_ref());
        let cost = (wire.cost != 0).then_some(wire.cost);
        let (name, from, to) = (word(&wire.name), word(&wire.from), word(&wire.to));
        let bundle = wire.bundle.as_ref().map(|bundle| Bundle {
            links: bundle.members,
            share: bundle.ecmp_share_ppm.map(Percent),
            streams: (bundle.streams_min != 0).then_some(bundle.streams_min),
        });
        Self { name, from, to, mtu, overhead, cost, bundle, ..Self::default() }
            .capacity_from_wire(wire.capacity.as_ref())
    }
}

impl Storage {
    fn from_wire(wire: &v1::Storage) -> Self {
        use v1::storage::Place;
        let (host, switch) = match &wire.place {
            Some(Place::Host(host)) => (Some(word(host)), None),
            Some(Place::Switch(switch)) => (None, Some(word(switch))),
            None => (None, None),
        };
        let (name, served_via) = (word(&wire.name), words(&wire.served_via));
        let mirrors = words(&wire.mirrors);
        let tier = (!wire.tier.is_empty()).then(|| word(&wire.tier));
        Self { name, host, switch, served_via, mirrors, tier, ..Self::default() }
            .capacity_from_wire(wire.capacity.as_ref())
    }
}

impl Route {
    fn from_wire(wire: &v1::Route) -> Self {
        let (from, to) = (Place(wire.from.clone()), Place(wire.to.clone()));
        Self { from, to, links: words(&wire.links) }
    }
}

impl Steering {
    fn from_wire(wire: &v1::Steering) -> Self {
        use v1::mark::Kind;
        use v1::steering::How;
        let (mut source, mut dscp, mut vlan) = (Vec::new(), Vec::new(), Vec::new());
        let mut controller = None;
        match &wire.how {
            Some(How::Marks(marks)) => {
                let numbers = || marks.values.iter().filter_map(|text| text.parse().ok()).collect();
                match marks.kind() {
                    Kind::Dscp => dscp = numbers(),
                    Kind::Vlan => vlan = numbers(),
                    Kind::SourceAddress | Kind::Unspecified => source = marks.values.clone(),
                }
            }
            Some(How::Controller(name)) => controller = Some(name.clone()),
            None => {}
        }
        let (from, to) = (Place(wire.from.clone()), Place(wire.to.clone()));
        Self { from, to, paths: wire.paths, source, dscp, vlan, controller }
    }
}
