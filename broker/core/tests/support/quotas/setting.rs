//! What a world is like: how long an hour is in it, where its calendar stands, what its network carries.

use tidegate_core::Limits;
use tidegate_core::TopologySpec;
use tidegate_core::lane::LaneName;
use tidegate_core::topology::spec::{Capacity, Framing, HostSpec, NicSpec, Node, StorageSpec};
use tidegate_policy::{BitRate, Span, Zone};

use super::super::rng::Rng;
use super::naive::Network;
use super::{TIERED, name};

/// The zones that budgets and hours are meant in.
const ZONES: [&str; 5] =
    ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Cairo"];

/// When clocks are set in one of them, and the beginning of a year by UTC.
const TIMES: [&str; 11] = [
    "2026-01-01T00:00:00Z",
    "2026-03-29T01:00:00Z",
    "2026-10-25T01:00:00Z",
    // Midnight is skipped, and happens twice.
    "2018-11-04T03:00:00Z",
    "2019-02-17T02:00:00Z",
    // Half an hour.
    "2026-04-04T15:00:00Z",
    "2026-10-03T15:30:00Z",
    "2026-04-23T22:00:00Z",
    "2026-10-29T21:00:00Z",
    // The end of a month, of a year.
    "2026-02-28T23:00:00Z",
    "2027-12-31T22:30:00Z",
];

/// What a world is like.
pub(super) struct Setting {
    /// How long most things last, in milliseconds.
    pub(super) unit: i64,
    /// When it begins.
    pub(super) begin: i64,
    /// So many projects come and go.
    pub(super) projects: u64,
    /// What is past is remembered for so long.
    pub(super) retain: Span,
    /// What plans of volumes book beyond them.
    pub(super) margin_ppm: u32,
}

/// What each resource carries, in bits per second.
#[derive(Clone, Copy)]
pub(super) struct Rates {
    pub(super) p: u64,
    pub(super) q: u64,
    pub(super) h: u64,
    pub(super) i: u64,
}

impl Setting {
    pub(super) fn drawn(rng: &mut Rng, projects: u64) -> Self {
        let unit = rng.pick(&[5_000, 600_000, 3_600_000, 21_600_000]);
        let change: tidegate_policy::Timestamp = rng.pick(&TIMES).parse().unwrap();
        let begin = change.as_ms() - rng.ms(unit * 12);
        let retain = rng.pick(&[0, 0, unit, unit * 6]);
        Self {
            unit,
            begin,
            projects,
            retain: Span::from_ms(u64::try_from(retain).unwrap()).unwrap(),
            margin_ppm: rng.pick(&[0, 0, 10_000]),
        }
    }

    pub(super) fn span(&self, units: i64) -> Span {
        Span::from_ms(u64::try_from(units * self.unit).unwrap()).unwrap()
    }

    pub(super) fn limits(&self, observe: bool) -> Limits {
        Limits {
            retain: self.retain,
            request_window: Span::from_secs(5),
            lease: Span::from_ms(u64::try_from(self.unit / 10).unwrap()).unwrap(),
            grace: Span::from_ms(u64::try_from(self.unit / 5).unwrap()).unwrap(),
            hold_max: self.span(6),
            margin_ppm: self.margin_ppm,
            observe,
            ..<_>::default()
        }
    }
}

pub(super) fn zone(rng: &mut Rng) -> Zone {
    rng.pick(&ZONES).parse().unwrap()
}

impl Rates {
    pub(super) fn drawn(rng: &mut Rng) -> Self {
        let mut some = || 100 + rng.below(30) * 10;
        Self { p: some(), q: some(), h: some(), i: some() }
    }

    /// Two backends, of which one is of a tier, and two hosts at one switch.
    pub(super) fn spec(self) -> TopologySpec {
        let switch = name("s");
        let capacity = |bps: u64| {
            let rate = BitRate::from_bps(bps).unwrap();
            let (reserved_ppm, allocation_ratio_ppm) = (Some(0), None);
            Capacity { out: rate, back: rate, total: None, reserved_ppm, allocation_ratio_ppm }
        };
        let host = |host: &str, bps: u64| {
            let (switch, framing) = (switch.clone(), Framing::none());
            let nic = NicSpec { name: name("eth0"), switch, capacity: capacity(bps), framing };
            HostSpec { name: name(host), nics: vec![nic] }
        };
        let storage = |storage: &str, bps: u64| StorageSpec {
            name: name(storage),
            place: Node::Switch(switch.clone()),
            capacity: capacity(bps),
            served_via: Vec::new(),
            mirrors: Vec::new(),
            tier: (storage == TIERED).then(|| name("fast")),
        };
        TopologySpec {
            switches: vec![switch.clone()],
            hosts: vec![host("h", self.h), host("i", self.i)],
            storage: vec![storage("p", self.p), storage("q", self.q)],
            ..<_>::default()
        }
    }

    pub(super) fn network(self) -> Network {
        let both = |kind: &str, [one, other]: [&str; 2], bps: u64| {
            [one, other].map(|way| (LaneName::new(&format!("{kind}/{way}")), bps))
        };
        let nic = ["egress", "ingress"];
        let lanes = [
            both("storage/p", ["read", "write"], self.p),
            both("storage/q", ["read", "write"], self.q),
            both("hosts/h/nics/eth0", nic, self.h),
            both("hosts/i/nics/eth0", nic, self.i),
        ];
        Network(lanes.into_iter().flatten().collect())
    }
}
