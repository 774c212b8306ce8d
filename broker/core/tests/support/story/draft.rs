//! The topology commands of a story: each changes a draft that `apply` puts in force.

use tidegate_core::TopologySpec;
use tidegate_core::topology::spec::{
    BundleSpec, Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, RouteSpec, SteeringHow,
    SteeringSpec, StorageSpec,
};
use tidegate_policy::{BitRate, Mark, MarkKind, Name};

/// The options that follow the fixed words of a command.
struct Options<'a> {
    words: &'a [&'a str],
}

impl Options<'_> {
    fn word(&self, key: &str) -> Option<&str> {
        let at = self.words.iter().position(|word| *word == key)?;
        self.words.get(at + 1).copied()
    }

    fn raw(&self) -> bool {
        self.words.contains(&"raw")
    }

    fn rate(&self, key: &str) -> Option<BitRate> {
        self.word(key).map(|text| text.parse().unwrap())
    }

    fn capacity(&self, out: BitRate, back: BitRate) -> Capacity {
        let said = self.word("reserved").map(|ppm| ppm.parse().unwrap());
        let reserved_ppm = said.or_else(|| self.raw().then_some(0));
        let allocation_ratio_ppm = self.word("ratio").map(|ppm| ppm.parse().unwrap());
        Capacity { out, back, total: self.rate("total"), reserved_ppm, allocation_ratio_ppm }
    }

    fn framing(&self) -> Framing {
        let overhead_ppm = self.word("overhead").map(|ppm| ppm.parse().unwrap());
        let mtu = self.word("mtu").map(|bytes| bytes.parse().unwrap());
        if self.raw() { Framing::none() } else { Framing { overhead_ppm, mtu } }
    }
}

/// Changes the draft; a second line about a thing that stands replaces it.
pub(super) fn declare(draft: &mut TopologySpec, stands: &TopologySpec, words: &[&str]) {
    match words {
        ["switch", names @ ..] => draft.switches.extend(names.iter().map(|text| name(text))),
        ["host", host, "at", switch, rate, rest @ ..] => {
            let rest = Options { words: rest };
            let back = rest.rate("in").unwrap_or_else(|| rate.parse().unwrap());
            let capacity = rest.capacity(rate.parse().unwrap(), back);
            let host = name(host);
            // A host that stands is declared anew by its first line in a draft.
            let known = stands.hosts.iter().find(|known| known.name == host);
            draft.hosts.retain(|drafted| drafted.name != host || Some(drafted) != known);
            let at = draft.hosts.iter().position(|drafted| drafted.name == host);
            let at = at.unwrap_or_else(|| {
                draft.hosts.push(HostSpec { name: host, nics: Vec::new() });
                draft.hosts.len() - 1
            });
            let nics = &mut draft.hosts[at].nics;
            let nic = name(&format!("eth{}", nics.len()));
            let framing = rest.framing();
            nics.push(NicSpec { name: nic, switch: name(switch), capacity, framing });
        }
        ["link", link, from, to, rate, rest @ ..] => {
            let rest = Options { words: rest };
            let back = rest.rate("in").unwrap_or_else(|| rate.parse().unwrap());
            let capacity = rest.capacity(rate.parse().unwrap(), back);
            let cost = rest.word("cost").map_or(1, |cost| cost.parse().unwrap());
            let (link, from, to) = (name(link), name(from), name(to));
            draft.links.retain(|known| known.name != link);
            let framing = rest.framing();
            let bundle = rest.word("bundle").map(|members| BundleSpec {
                members: members.parse().unwrap(),
                ecmp_share_ppm: rest.word("share").map(|ppm| ppm.parse().unwrap()),
                streams_min: rest.word("streams").map_or(0, |count| count.parse().unwrap()),
            });
            draft.links.push(LinkSpec { name: link, from, to, capacity, framing, cost, bundle });
        }
        ["storage", storage, "at" | "on", place, rest @ ..] => {
            let place_name = name(place);
            let place = match words[2] {
                "at" => Node::Switch(place_name),
                _ => Node::Host(place_name),
            };
            let rest = Options { words: rest };
            let capacity = rest.capacity(rest.rate("read").unwrap(), rest.rate("write").unwrap());
            let served_via = rest.word("via").map_or(Vec::new(), names);
            let storage = name(storage);
            draft.storage.retain(|known| known.name != storage);
            let tier = rest.word("tier").map(name);
            let mirrors = rest.word("mirrors").map_or(Vec::new(), names);
            let declared =
                StorageSpec { name: storage, place, capacity, served_via, mirrors, tier };
            draft.storage.push(declared);
        }
        ["route", from, "->", to, links] => {
            let (from, to) = (node(from), node(to));
            draft.routes.push(RouteSpec { from, to, links: names(links) });
        }
        ["steer", from, "->", to, how @ ..] => steer(draft, (from, to), how),
        ["remove", "steerings"] => draft.steerings.clear(),
        ["remove", kind, text] => remove(draft, kind, text),
        _ => panic!("no such declaration: {}", words.join(" ")),
    }
}

fn steer(draft: &mut TopologySpec, (from, to): (&str, &str), words: &[&str]) {
    let marks = |kind: MarkKind, values: &str| {
        let marks = values.split(',').map(|value| Mark::new(kind, value).unwrap());
        SteeringHow::Marks(kind, marks.collect())
    };
    let how = match words {
        ["dscp", values, ..] => marks(MarkKind::Dscp, values),
        ["vlan", values, ..] => marks(MarkKind::Vlan, values),
        ["source", values, ..] => marks(MarkKind::SourceAddress, values),
        ["controller", text, ..] => SteeringHow::Controller(name(text)),
        _ => panic!("say dscp, vlan, source or controller"),
    };
    let paths = Options { words }.word("paths").unwrap().parse().unwrap();
    draft.steerings.push(SteeringSpec { from: node(from), to: node(to), paths, how });
}

fn remove(draft: &mut TopologySpec, kind: &str, text: &str) {
    let gone = name(text);
    match kind {
        "switch" => draft.switches.retain(|known| *known != gone),
        "host" => draft.hosts.retain(|known| known.name != gone),
        "link" => draft.links.retain(|known| known.name != gone),
        "storage" => draft.storage.retain(|known| known.name != gone),
        "route" => draft.routes.retain(|known| !known.links.contains(&gone)),
        _ => panic!("no such kind: {kind}"),
    }
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn names(text: &str) -> Vec<Name> {
    text.split(',').map(name).collect()
}

fn node(text: &str) -> Node {
    match text.split_once('/') {
        Some(("hosts", host)) => Node::Host(name(host)),
        Some(("switches", switch)) => Node::Switch(name(switch)),
        _ => panic!("write hosts/NAME or switches/NAME, not {text}"),
    }
}
