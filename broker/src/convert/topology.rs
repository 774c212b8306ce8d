//! The topology, from the wire and back.

use std::str::FromStr;

use tidegate_core::TopologySpec;
use tidegate_core::topology::spec::{
    BundleSpec, Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, RouteSpec, SteeringHow,
    SteeringSpec, StorageSpec,
};
use tidegate_policy::{BitRate, Mark, MarkKind, ParseError};
use tidegate_proto::v1;

use super::reply::int;
use crate::fields::Fields;

/// The most entries of one list that are looked at: past that, the list itself is the fault.
const LIST_MAX: usize = 100_000;
const PPM: u32 = 1_000_000;
/// The highest allocation ratio, in parts per million.
const RATIO_MAX: u32 = 100_000_000;

/// A declaration, every malformed field of it reported at once. Whether names match and links
/// join is the core's to check.
pub(crate) fn from_wire(fields: &mut Fields, topology: &v1::Topology) -> Option<TopologySpec> {
    let hosts = list(fields, "topology.hosts", &topology.hosts, host);
    let switches = list(fields, "topology.switches", &topology.switches, |fields, at, switch| {
        fields.word(&format!("{at}.name"), &switch.name)
    });
    let links = list(fields, "topology.links", &topology.links, link);
    let storage = list(fields, "topology.storage", &topology.storage, storage);
    let routes = list(fields, "topology.routes", &topology.routes, route);
    let steerings = list(fields, "topology.steerings", &topology.steerings, steering);
    Some(TopologySpec {
        hosts: hosts?,
        switches: switches?,
        links: links?,
        storage: storage?,
        routes: routes?,
        steerings: steerings?,
    })
}

fn list<W, T>(
    fields: &mut Fields,
    field: &str,
    wire: &[W],
    read: impl Fn(&mut Fields, &str, &W) -> Option<T>,
) -> Option<Vec<T>> {
    if LIST_MAX < wire.len() {
        fields.fault(field, format!("there are {}; declare at most {LIST_MAX}", wire.len()));
        return None;
    }
    let read = |(index, entry): (usize, &W)| read(fields, &format!("{field}[{index}]"), entry);
    // Collected first, so that every bad entry is reported and not only the first.
    let entries: Vec<Option<T>> = wire.iter().enumerate().map(read).collect();
    entries.into_iter().collect()
}

fn host(fields: &mut Fields, at: &str, host: &v1::Host) -> Option<HostSpec> {
    let name = fields.word(&format!("{at}.name"), &host.name);
    let nics = list(fields, &format!("{at}.nics"), &host.nics, nic);
    Some(HostSpec { name: name?, nics: nics? })
}

fn nic(fields: &mut Fields, at: &str, nic: &v1::Nic) -> Option<NicSpec> {
    let name = fields.word(&format!("{at}.name"), &nic.name);
    let switch = fields.word(&format!("{at}.switch"), &nic.switch);
    let capacity = capacity(fields, at, nic.capacity.as_ref());
    let framing = framing(fields, at, nic.framing.as_ref());
    Some(NicSpec { name: name?, switch: switch?, capacity: capacity?, framing: framing? })
}

fn link(fields: &mut Fields, at: &str, link: &v1::Link) -> Option<LinkSpec> {
    let name = fields.word(&format!("{at}.name"), &link.name);
    let from = fields.word(&format!("{at}.from"), &link.from);
    let to = fields.word(&format!("{at}.to"), &link.to);
    let capacity = capacity(fields, at, link.capacity.as_ref());
    let framing = framing(fields, at, link.framing.as_ref());
    let bundle = link.bundle.as_ref().map(|it| bundle(fields, &format!("{at}.bundle"), it));
    let cost = fields.number(&format!("{at}.cost"), link.cost, PPM)?.max(1);
    Some(LinkSpec {
        name: name?,
        from: from?,
        to: to?,
        capacity: capacity?,
        framing: framing?,
        cost,
        bundle: bundle.map_or(Some(None), |checked| checked.map(Some))?,
    })
}

fn bundle(fields: &mut Fields, at: &str, bundle: &v1::Bundle) -> Option<BundleSpec> {
    let members = fields.number(&format!("{at}.members"), bundle.members, u32::from(u16::MAX));
    let share = bundle.ecmp_share_ppm;
    let share = share.map(|ppm| fields.number(&format!("{at}.ecmp_share_ppm"), ppm, PPM));
    let most = u32::from(u16::MAX);
    let streams = fields.number(&format!("{at}.streams_min"), bundle.streams_min, most);
    Some(BundleSpec {
        members: members?,
        ecmp_share_ppm: share.map_or(Some(None), |checked| checked.map(Some))?,
        streams_min: streams.and_then(|count| u16::try_from(count).ok())?,
    })
}

fn storage(fields: &mut Fields, at: &str, storage: &v1::Storage) -> Option<StorageSpec> {
    let name = fields.word(&format!("{at}.name"), &storage.name);
    let place = match &storage.place {
        Some(v1::storage::Place::Host(host)) => {
            fields.word(&format!("{at}.host"), host).map(Node::Host)
        }
        Some(v1::storage::Place::Switch(switch)) => {
            fields.word(&format!("{at}.switch"), switch).map(Node::Switch)
        }
        None => {
            fields.fault(&format!("{at}.place"), "it is required; name a host or a switch");
            None
        }
    };
    let capacity = capacity(fields, at, storage.capacity.as_ref());
    let served_via = words(fields, &format!("{at}.served_via"), &storage.served_via);
    let mirrors = words(fields, &format!("{at}.mirrors"), &storage.mirrors);
    let tier = match storage.tier.as_str() {
        "" => Some(None),
        tier => fields.word(&format!("{at}.tier"), tier).map(Some),
    };
    Some(StorageSpec {
        name: name?,
        place: place?,
        capacity: capacity?,
        served_via: served_via?,
        mirrors: mirrors?,
        tier: tier?,
    })
}

fn route(fields: &mut Fields, at: &str, route: &v1::Route) -> Option<RouteSpec> {
    let from = node(fields, &format!("{at}.from"), &route.from);
    let to = node(fields, &format!("{at}.to"), &route.to);
    let links = words(fields, &format!("{at}.links"), &route.links);
    Some(RouteSpec { from: from?, to: to?, links: links? })
}

fn steering(fields: &mut Fields, at: &str, steering: &v1::Steering) -> Option<SteeringSpec> {
    use v1::steering::How;
    let from = node(fields, &format!("{at}.from"), &steering.from);
    let to = node(fields, &format!("{at}.to"), &steering.to);
    let paths = fields.number(&format!("{at}.paths"), steering.paths, u32::from(u8::MAX));
    let how = match &steering.how {
        Some(How::Marks(marks)) => self::marks(fields, &format!("{at}.marks"), marks),
        Some(How::Controller(name)) => {
            fields.word(&format!("{at}.controller"), name).map(SteeringHow::Controller)
        }
        None => {
            let why = "it is required: say marks that the sender sets, or a controller that \
                       follows the bookings";
            fields.fault(&format!("{at}.how"), why);
            None
        }
    };
    Some(SteeringSpec { from: from?, to: to?, paths: paths?, how: how? })
}

fn marks(fields: &mut Fields, at: &str, marks: &v1::Marks) -> Option<SteeringHow> {
    use v1::mark::Kind;
    let kind = match Kind::try_from(marks.kind) {
        Ok(Kind::SourceAddress) => MarkKind::SourceAddress,
        Ok(Kind::Dscp) => MarkKind::Dscp,
        Ok(Kind::Vlan) => MarkKind::Vlan,
        Ok(Kind::Unspecified) | Err(_) => {
            let why = format!("it is {}; say source address, DSCP or VLAN", marks.kind);
            fields.fault(&format!("{at}.kind"), why);
            return None;
        }
    };
    let values = list(fields, &format!("{at}.values"), &marks.values, |fields, at, text| {
        fields.keep(at, Mark::new(kind, text))
    });
    Some(SteeringHow::Marks(kind, values?))
}

fn words<T: FromStr<Err = ParseError>>(
    fields: &mut Fields,
    field: &str,
    texts: &[String],
) -> Option<Vec<T>> {
    list(fields, field, texts, |fields, at, text| fields.word(at, text))
}

pub(crate) fn node(fields: &mut Fields, field: &str, text: &str) -> Option<Node> {
    match text.split_once('/') {
        Some(("hosts", name)) => fields.word(field, name).map(Node::Host),
        Some(("switches", name)) => fields.word(field, name).map(Node::Switch),
        _ => {
            fields.fault(field, "it is not a place; write hosts/NAME or switches/NAME");
            None
        }
    }
}

fn capacity(fields: &mut Fields, at: &str, wire: Option<&v1::Capacity>) -> Option<Capacity> {
    let at = format!("{at}.capacity");
    let wire = fields.required(&at, wire)?;
    let out = fields.rate(&format!("{at}.out_bps"), wire.out_bps);
    let back = fields.rate(&format!("{at}.in_bps"), wire.in_bps);
    let total = fields.rate(&format!("{at}.total_bps"), wire.total_bps);
    let reserved =
        wire.reserved_ppm.map(|ppm| fields.number(&format!("{at}.reserved_ppm"), ppm, PPM));
    let ratio = wire.allocation_ratio_ppm;
    let ratio =
        ratio.map(|ppm| fields.number(&format!("{at}.allocation_ratio_ppm"), ppm, RATIO_MAX));
    let out = out?;
    Some(Capacity {
        out,
        back: back.map(|back| if back == BitRate::ZERO { out } else { back })?,
        total: Some(total?).filter(|total| *total != BitRate::ZERO),
        reserved_ppm: reserved.map_or(Some(None), |checked| checked.map(Some))?,
        allocation_ratio_ppm: ratio.map_or(Some(None), |checked| checked.map(Some))?,
    })
}

fn framing(fields: &mut Fields, at: &str, wire: Option<&v1::Framing>) -> Option<Framing> {
    let Some(wire) = wire else { return Some(Framing::default()) };
    let overhead =
        wire.overhead_ppm.map(|ppm| fields.number(&format!("{at}.framing.overhead_ppm"), ppm, PPM));
    let mtu = fields.number(&format!("{at}.framing.mtu_bytes"), wire.mtu_bytes, u16::MAX.into())?;
    Some(Framing {
        overhead_ppm: overhead.map_or(Some(None), |checked| checked.map(Some))?,
        mtu: u16::try_from(mtu).ok().filter(|mtu| *mtu != 0),
    })
}

/// A declaration as it would be applied.
pub(crate) fn to_wire(spec: &TopologySpec, version: u64) -> v1::Topology {
    let hosts = spec.hosts.iter().map(|host| v1::Host {
        name: host.name.to_string(),
        nics: host.nics.iter().map(nic_to_wire).collect(),
    });
    let switches = spec.switches.iter().map(|switch| v1::Switch { name: switch.to_string() });
    let links = spec.links.iter().map(|link| v1::Link {
        name: link.name.to_string(),
        from: link.from.to_string(),
        to: link.to.to_string(),
        capacity: Some(capacity_to_wire(link.capacity)),
        framing: framing_to_wire(link.framing),
        cost: i32::try_from(link.cost).unwrap_or(i32::MAX),
        bundle: link.bundle.map(bundle_to_wire),
    });
    let routes = spec.routes.iter().map(|route| v1::Route {
        from: route.from.to_string(),
        to: route.to.to_string(),
        links: route.links.iter().map(ToString::to_string).collect(),
    });
    v1::Topology {
        hosts: hosts.collect(),
        switches: switches.collect(),
        links: links.collect(),
        storage: spec.storage.iter().map(storage_to_wire).collect(),
        routes: routes.collect(),
        version: int(version),
        steerings: spec.steerings.iter().map(steering_to_wire).collect(),
    }
}

fn nic_to_wire(nic: &NicSpec) -> v1::Nic {
    v1::Nic {
        name: nic.name.to_string(),
        switch: nic.switch.to_string(),
        capacity: Some(capacity_to_wire(nic.capacity)),
        framing: framing_to_wire(nic.framing),
    }
}

fn storage_to_wire(storage: &StorageSpec) -> v1::Storage {
    let place = match &storage.place {
        Node::Host(name) => v1::storage::Place::Host(name.to_string()),
        Node::Switch(name) => v1::storage::Place::Switch(name.to_string()),
    };
    v1::Storage {
        name: storage.name.to_string(),
        place: Some(place),
        capacity: Some(capacity_to_wire(storage.capacity)),
        served_via: storage.served_via.iter().map(ToString::to_string).collect(),
        mirrors: storage.mirrors.iter().map(ToString::to_string).collect(),
        tier: storage.tier.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

fn capacity_to_wire(capacity: Capacity) -> v1::Capacity {
    let same = capacity.out == capacity.back;
    v1::Capacity {
        out_bps: int(capacity.out.bps()),
        in_bps: if same { 0 } else { int(capacity.back.bps()) },
        total_bps: capacity.total.map_or(0, |total| int(total.bps())),
        reserved_ppm: capacity.reserved_ppm.and_then(|ppm| i32::try_from(ppm).ok()),
        allocation_ratio_ppm: capacity.allocation_ratio_ppm.and_then(|it| i32::try_from(it).ok()),
    }
}

fn bundle_to_wire(bundle: BundleSpec) -> v1::Bundle {
    v1::Bundle {
        members: i32::try_from(bundle.members).unwrap_or(i32::MAX),
        ecmp_share_ppm: bundle.ecmp_share_ppm.and_then(|ppm| i32::try_from(ppm).ok()),
        streams_min: bundle.streams_min.into(),
    }
}

fn steering_to_wire(steering: &SteeringSpec) -> v1::Steering {
    use v1::steering::How;
    let how = match &steering.how {
        SteeringHow::Marks(kind, marks) => How::Marks(v1::Marks {
            kind: mark_kind(*kind).into(),
            values: marks.iter().map(|mark| mark.value().to_owned()).collect(),
        }),
        SteeringHow::Controller(name) => How::Controller(name.to_string()),
    };
    v1::Steering {
        from: steering.from.to_string(),
        to: steering.to.to_string(),
        paths: i32::try_from(steering.paths).unwrap_or(i32::MAX),
        how: Some(how),
    }
}

pub(crate) fn mark_kind(kind: MarkKind) -> v1::mark::Kind {
    match kind {
        MarkKind::SourceAddress => v1::mark::Kind::SourceAddress,
        MarkKind::Dscp => v1::mark::Kind::Dscp,
        MarkKind::Vlan => v1::mark::Kind::Vlan,
    }
}

fn framing_to_wire(framing: Framing) -> Option<v1::Framing> {
    if framing == Framing::default() {
        return None;
    }
    Some(v1::Framing {
        overhead_ppm: framing.overhead_ppm.and_then(|ppm| i32::try_from(ppm).ok()),
        mtu_bytes: framing.mtu.map_or(0, i32::from),
    })
}
