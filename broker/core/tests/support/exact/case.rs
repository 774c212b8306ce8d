//! A case as it is written down: a network, what is booked on it, and one question.

use std::fmt;

use tidegate_core::lane::LaneName;
use tidegate_core::topology::spec::{
    Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, SteeringHow, SteeringSpec, StorageSpec,
};
use tidegate_core::{Ask, Shape, Standing, Terms, TopologySpec, Ways};
use tidegate_policy::{BitRate, ByteCount, Name, ProjectId, Timestamp};

/// When every question is asked.
pub(crate) const NOW: i64 = 1_767_225_600_000;

/// What a thing of the network carries: two directions, both together, headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carries {
    pub(crate) out: u64,
    pub(crate) back: u64,
    pub(crate) total: Option<u64>,
    pub(crate) ppm: u32,
}

/// Times are in milliseconds after [`NOW`], rates in bits per second, volumes in bytes.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) switches: usize,
    /// From, to, what it costs.
    pub(crate) links: Vec<(usize, usize, u32, Carries)>,
    /// The switch of each host.
    pub(crate) hosts: Vec<(usize, Carries)>,
    /// Where each stands, and the hosts that serve it.
    pub(crate) storage: Vec<(Node, Vec<usize>, Carries)>,
    pub(crate) steered: Vec<(Node, Node, u32)>,
    /// Of what, from, to, what is left in parts per million.
    pub(crate) cuts: Vec<(String, i64, i64, u32)>,
    pub(crate) drained: Vec<String>,
    /// The lanes, from, to, how much.
    pub(crate) bookings: Vec<(Vec<LaneName>, i64, i64, u64)>,
    pub(crate) ways: Ways,
    pub(crate) wish: Wished,
    pub(crate) margin_ppm: u32,
    pub(crate) horizon: i64,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wished {
    pub(crate) volume: u64,
    pub(crate) min: u64,
    pub(crate) max: u64,
    pub(crate) start: Option<i64>,
    pub(crate) deadline: i64,
    pub(crate) split: bool,
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn switch(index: usize) -> Name {
    name(&format!("s{index}"))
}

pub(crate) fn host(index: usize) -> Name {
    name(&format!("h{index}"))
}

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(NOW + ms).unwrap()
}

pub(crate) fn rate(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

impl Carries {
    fn capacity(&self) -> Capacity {
        Capacity {
            out: rate(self.out),
            back: rate(self.back),
            total: self.total.map(rate),
            reserved_ppm: Some(0),
            allocation_ratio_ppm: None,
        }
    }

    fn framing(&self) -> Framing {
        Framing { overhead_ppm: Some(self.ppm), mtu: None }
    }
}

impl Case {
    pub(crate) fn spec(&self) -> TopologySpec {
        let link =
            |(index, (from, to, cost, carries)): (usize, &(usize, usize, u32, Carries))| LinkSpec {
                name: name(&format!("l{index}")),
                from: switch(*from),
                to: switch(*to),
                capacity: carries.capacity(),
                framing: carries.framing(),
                cost: *cost,
                bundle: None,
            };
        let machine = |(index, (at, carries)): (usize, &(usize, Carries))| {
            let (capacity, framing) = (carries.capacity(), carries.framing());
            let nic = NicSpec { name: name("eth0"), switch: switch(*at), capacity, framing };
            HostSpec { name: host(index), nics: vec![nic] }
        };
        let storage =
            |(index, (place, via, carries)): (usize, &(Node, Vec<usize>, Carries))| StorageSpec {
                name: name(&format!("p{index}")),
                place: place.clone(),
                capacity: carries.capacity(),
                served_via: via.iter().map(|index| host(*index)).collect(),
                mirrors: Vec::new(),
                tier: None,
            };
        let steering = |(from, to, paths): &(Node, Node, u32)| SteeringSpec {
            from: from.clone(),
            to: to.clone(),
            paths: *paths,
            how: SteeringHow::Controller(name("c")),
        };
        TopologySpec {
            switches: (0..self.switches).map(switch).collect(),
            links: self.links.iter().enumerate().map(link).collect(),
            hosts: self.hosts.iter().enumerate().map(machine).collect(),
            storage: self.storage.iter().enumerate().map(storage).collect(),
            steerings: self.steered.iter().map(steering).collect(),
            ..TopologySpec::default()
        }
    }

    /// Every lane with its capacity and its headers, by the names that lanes have.
    pub(crate) fn lanes(&self) -> Vec<(LaneName, u64, u32)> {
        let mut lanes = Vec::new();
        let mut add = |what: String, (out, back): (&str, &str), carries: &Carries, ppm: u32| {
            let both = [(out, carries.out), (back, carries.back)];
            let total = carries.total.map(|total| ("total", total));
            for (direction, bps) in both.into_iter().chain(total) {
                lanes.push((LaneName::new(&format!("{what}/{direction}")), bps, ppm));
            }
        };
        for (index, (_, _, _, carries)) in self.links.iter().enumerate() {
            add(format!("links/l{index}"), ("forward", "reverse"), carries, carries.ppm);
        }
        for (index, (_, carries)) in self.hosts.iter().enumerate() {
            let nic = format!("hosts/h{index}/nics/eth0");
            add(nic, ("egress", "ingress"), carries, carries.ppm);
        }
        for (index, (_, _, carries)) in self.storage.iter().enumerate() {
            add(format!("storage/p{index}"), ("read", "write"), carries, 0);
        }
        lanes
    }

    pub(crate) fn ask(&self) -> Ask {
        let Wished { volume, min, max, start, deadline, split } = self.wish;
        let shape = Shape::Transfer {
            volume: ByteCount::new(volume),
            min: rate(min),
            max: rate(max),
            start: start.map(at),
            deadline: at(deadline),
            split,
        };
        ask(self.ways.clone(), shape)
    }
}

pub(crate) fn ask(ways: Ways, shape: Shape) -> Ask {
    Ask {
        owner: ProjectId::default_project().into(),
        ways,
        shape,
        terms: Terms::default(),
        hold_for: None,
        session: None,
        hold_best_offer: false,
        movable: false,
        standing: Standing::default(),
    }
}

impl Case {
    /// The same with one thing less.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut without = |change: &dyn Fn(&mut Self)| {
            let mut case = self.clone();
            change(&mut case);
            smaller.push(case);
        };
        if 3 < self.bookings.len() {
            let half = self.bookings.len() / 2;
            without(&|case| case.bookings.truncate(half));
            without(&|case| drop(case.bookings.drain(..half)));
        }
        for index in 0..self.bookings.len() {
            without(&|case| drop(case.bookings.remove(index)));
        }
        for index in 0..self.cuts.len() {
            without(&|case| drop(case.cuts.remove(index)));
        }
        for index in 0..self.steered.len() {
            without(&|case| drop(case.steered.remove(index)));
        }
        if let Ways::Between { sources, .. } = &self.ways
            && 1 < sources.len()
        {
            for index in 0..sources.len() {
                without(&|case| {
                    if let Ways::Between { sources, .. } = &mut case.ways {
                        sources.remove(index);
                    }
                });
            }
        }
        if 0 < self.margin_ppm {
            without(&|case| case.margin_ppm = 0);
        }
        if 0 < self.wish.min {
            without(&|case| case.wish.min = 0);
        }
        smaller
    }
}

impl fmt::Display for Carries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} bit/s", self.out, self.back)?;
        if let Some(total) = self.total {
            write!(f, ", {total} in all")?;
        }
        write!(f, ", headers {} ppm", self.ppm)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, to, cost, carries)) in self.links.iter().enumerate() {
            writeln!(f, "link l{index} s{from} s{to} cost {cost}: {carries}")?;
        }
        for (index, (at, carries)) in self.hosts.iter().enumerate() {
            writeln!(f, "host h{index} at s{at}: {carries}")?;
        }
        for (index, (place, via, carries)) in self.storage.iter().enumerate() {
            writeln!(f, "storage p{index} at {place} via hosts {via:?}: {carries}")?;
        }
        for (from, to, paths) in &self.steered {
            writeln!(f, "steer {from} -> {to} over {paths} paths")?;
        }
        for (what, from, to, left) in &self.cuts {
            writeln!(f, "maintenance of {what} {from}..{to} ms leaves {left} ppm")?;
        }
        writeln!(f, "drained: {:?}", self.drained)?;
        for (lanes, from, to, bps) in &self.bookings {
            let lanes: Vec<&str> = lanes.iter().map(LaneName::as_str).collect();
            writeln!(f, "booked {bps} bit/s on {} {from}..{to} ms", lanes.join(", "))?;
        }
        writeln!(f, "asked over {:?}", self.ways)?;
        let (margin, horizon) = (self.margin_ppm, self.horizon);
        writeln!(f, "for {:?}, margin {margin} ppm, horizon {horizon} ms", self.wish)
    }
}
