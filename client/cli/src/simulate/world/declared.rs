//! A topology in TOML, as it would be applied: from what the client sends to what the core takes.
//!
//! The broker's own reading of the wire is behind an edge that this crate does not have; the words
//! of the file are checked already, and how they fit together is the core's to check, so that what
//! is left is one field after the other.

use std::path::Path;
use std::str::FromStr;

use tidegate_client::topology_file::TopologyFile;
use tidegate_core::TopologySpec;
use tidegate_core::topology::compile::compile;
use tidegate_core::topology::spec::{
    BundleSpec, Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, RouteSpec, SteeringHow,
    SteeringSpec, StorageSpec,
};
use tidegate_policy::{BitRate, Mark, MarkKind, ParseError};
use tidegate_proto::v1;

use super::{World, bare_names};
use crate::exit::Mistake;
use crate::simulate::formats::{Faults, called};

pub(super) fn read(file: &Path, text: &str) -> anyhow::Result<World> {
    let mut faults = Faults::new(file);
    let read = match TopologyFile::read(text) {
        Ok(read) => read,
        Err(found) => {
            for fault in found.0 {
                faults.add(fault.line, &fault.message);
            }
            faults.finish()?;
            return Err(Mistake::new(format!("{} cannot be read", called(file))).into());
        }
    };
    let wrong = |why: String| Mistake::new(format!("{}: {why}", called(file)));
    let spec = spec(read.topology()).map_err(wrong)?;
    if let Err(found) = compile(&spec) {
        for fault in found {
            let line = read.place_of(&fault.field).map_or(1, |(line, _)| line);
            faults.add(line, &format!("{}: {}", fault.field, fault.why));
        }
        faults.finish()?;
    }
    let bare = bare_names(&spec);
    if bare.is_empty() {
        let why = format!("{} declares neither hosts nor storage", called(file));
        let hint = "`tidegate export topology` writes what is in force";
        return Err(Mistake::new(why).hint(hint).into());
    }
    Ok(World { spec, bare, demand: Vec::new(), concurrent_bps: None, slot: None, pairs: None })
}

fn spec(wire: &v1::Topology) -> Result<TopologySpec, String> {
    let node = |text: &String| match text.split_once('/') {
        Some(("hosts", name)) => word(name).map(Node::Host),
        Some(("switches", name)) => word(name).map(Node::Switch),
        _ => Err(format!("{text:?} is neither hosts/NAME nor switches/NAME")),
    };
    let route = |it: &v1::Route| {
        Ok(RouteSpec { from: node(&it.from)?, to: node(&it.to)?, links: words(&it.links)? })
    };
    let steered = |it: &v1::Steering| {
        let (from, to) = (node(&it.from)?, node(&it.to)?);
        Ok(SteeringSpec { from, to, paths: count(it.paths)?, how: how(it)? })
    };
    Ok(TopologySpec {
        hosts: wire.hosts.iter().map(host).collect::<Result<_, String>>()?,
        switches: wire.switches.iter().map(|it| word(&it.name)).collect::<Result<_, _>>()?,
        links: wire.links.iter().map(link).collect::<Result<_, _>>()?,
        storage: wire.storage.iter().map(storage).collect::<Result<_, _>>()?,
        routes: wire.routes.iter().map(route).collect::<Result<_, String>>()?,
        steerings: wire.steerings.iter().map(steered).collect::<Result<_, String>>()?,
    })
}

fn word<T: FromStr<Err = ParseError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: ParseError| error.to_string())
}

fn words<T: FromStr<Err = ParseError>>(texts: &[String]) -> Result<Vec<T>, String> {
    texts.iter().map(|text| word(text)).collect()
}

fn count(number: i32) -> Result<u32, String> {
    u32::try_from(number).map_err(|_| format!("{number} is negative"))
}

fn host(wire: &v1::Host) -> Result<HostSpec, String> {
    let nic = |it: &v1::Nic| {
        let (name, switch) = (word(&it.name)?, word(&it.switch)?);
        let capacity = capacity(it.capacity.as_ref())?;
        Ok(NicSpec { name, switch, capacity, framing: framing(it.framing.as_ref())? })
    };
    let nics = wire.nics.iter().map(nic).collect::<Result<_, String>>()?;
    Ok(HostSpec { name: word(&wire.name)?, nics })
}

fn link(wire: &v1::Link) -> Result<LinkSpec, String> {
    let bundle = |it: &v1::Bundle| {
        Ok::<_, String>(BundleSpec {
            members: count(it.members)?,
            ecmp_share_ppm: it.ecmp_share_ppm.map(count).transpose()?,
            streams_min: u16::try_from(it.streams_min).map_err(|error| error.to_string())?,
        })
    };
    Ok(LinkSpec {
        name: word(&wire.name)?,
        from: word(&wire.from)?,
        to: word(&wire.to)?,
        capacity: capacity(wire.capacity.as_ref())?,
        framing: framing(wire.framing.as_ref())?,
        cost: count(wire.cost)?.max(1),
        bundle: wire.bundle.as_ref().map(bundle).transpose()?,
    })
}

fn storage(wire: &v1::Storage) -> Result<StorageSpec, String> {
    use v1::storage::Place;
    let place = match &wire.place {
        Some(Place::Host(name)) => Node::Host(word(name)?),
        Some(Place::Switch(name)) => Node::Switch(word(name)?),
        None => return Err(format!("storage {} stands nowhere", wire.name)),
    };
    Ok(StorageSpec {
        name: word(&wire.name)?,
        place,
        capacity: capacity(wire.capacity.as_ref())?,
        served_via: words(&wire.served_via)?,
        mirrors: words(&wire.mirrors)?,
        tier: match wire.tier.as_str() {
            "" => None,
            tier => Some(word(tier)?),
        },
    })
}

fn how(wire: &v1::Steering) -> Result<SteeringHow, String> {
    use v1::mark::Kind;
    use v1::steering::How;
    match &wire.how {
        Some(How::Controller(name)) => word(name).map(SteeringHow::Controller),
        Some(How::Marks(marks)) => {
            let kind = match marks.kind() {
                Kind::SourceAddress => MarkKind::SourceAddress,
                Kind::Dscp => MarkKind::Dscp,
                Kind::Vlan => MarkKind::Vlan,
                Kind::Unspecified => return Err("a steering has marks of no kind".into()),
            };
            let mark = |text: &String| Mark::new(kind, text).map_err(|error| error.to_string());
            let marks = marks.values.iter().map(mark).collect::<Result<_, _>>()?;
            Ok(SteeringHow::Marks(kind, marks))
        }
        None => Err("a steering says neither marks nor a controller".into()),
    }
}

fn capacity(wire: Option<&v1::Capacity>) -> Result<Capacity, String> {
    let wire = wire.ok_or("a capacity is missing")?;
    let rate = |bps: i64| {
        let rate = u64::try_from(bps).ok().and_then(BitRate::from_bps);
        rate.ok_or_else(|| format!("{bps} bit/s are out of bounds"))
    };
    // Zero stands for what is not said.
    let said = |bps: i64| rate(bps).map(|rate| Some(rate).filter(|rate| *rate != BitRate::ZERO));
    let out = rate(wire.out_bps)?;
    Ok(Capacity {
        out,
        back: said(wire.in_bps)?.unwrap_or(out),
        total: said(wire.total_bps)?,
        reserved_ppm: wire.reserved_ppm.map(count).transpose()?,
        allocation_ratio_ppm: wire.allocation_ratio_ppm.map(count).transpose()?,
    })
}

fn framing(wire: Option<&v1::Framing>) -> Result<Framing, String> {
    let Some(wire) = wire else { return Ok(Framing::default()) };
    let mtu = u16::try_from(wire.mtu_bytes).map_err(|error| error.to_string())?;
    let overhead_ppm = wire.overhead_ppm.map(count).transpose()?;
    Ok(Framing { overhead_ppm, mtu: Some(mtu).filter(|mtu| *mtu != 0) })
}
