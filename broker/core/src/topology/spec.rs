//! The topology as an administrator declares it.

use std::fmt;

use tidegate_policy::{BitRate, Mark, MarkKind, Name};

/// A whole topology. Names are unique within their kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TopologySpec {
    /// Machines with NICs.
    pub hosts: Vec<HostSpec>,
    /// Where links meet.
    pub switches: Vec<Name>,
    /// Links between switches.
    pub links: Vec<LinkSpec>,
    /// Storage backends.
    pub storage: Vec<StorageSpec>,
    /// Declared static paths.
    pub routes: Vec<RouteSpec>,
    /// Pairs of places between which bytes can be steered onto one of several paths.
    pub steerings: Vec<SteeringSpec>,
}

/// A machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostSpec {
    /// Its name.
    pub name: Name,
    /// Its network interfaces.
    pub nics: Vec<NicSpec>,
}

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NicSpec {
    /// Its name on the host.
    pub name: Name,
    /// The switch it is plugged into.
    pub switch: Name,
    /// Egress and ingress.
    pub capacity: Capacity,
    /// Headers on the wire.
    pub framing: Framing,
}

/// A link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkSpec {
    /// Its name.
    pub name: Name,
    /// The switch it starts from.
    pub from: Name,
    /// The switch it leads to.
    pub to: Name,
    /// Forward and reverse.
    pub capacity: Capacity,
    /// Headers on the wire.
    pub framing: Framing,
    /// What a path pays for it.
    pub cost: u32,
    /// It is a bundle of equal links; the capacity is that of one of them.
    pub bundle: Option<BundleSpec>,
}

/// A bundle of equal links over which the network spreads streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BundleSpec {
    /// How many links it has.
    pub members: u32,
    /// What each of them books of a request, in parts per million of its rate; `None` means all
    /// of it, because streams are hashed and not bits.
    pub ecmp_share_ppm: Option<u32>,
    /// The fewest parallel streams for which that holds; 0 only where no share is said.
    pub streams_min: u16,
}

/// A storage backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StorageSpec {
    /// Its name.
    pub name: Name,
    /// Where it stands.
    pub place: Node,
    /// Read and write.
    pub capacity: Capacity,
    /// Hosts that all its bytes pass through, any one of them, best first.
    pub served_via: Vec<Name>,
    /// Backends that hold the same objects.
    pub mirrors: Vec<Name>,
    /// Its quality, as classes name it.
    pub tier: Option<Name>,
}

/// A declared static path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteSpec {
    /// Where it starts.
    pub from: Node,
    /// Where it ends.
    pub to: Node,
    /// The links it takes, in order.
    pub links: Vec<Name>,
}

/// Two places between which bytes can be steered onto one of several paths, this way round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SteeringSpec {
    /// Where it starts.
    pub from: Node,
    /// Where it ends.
    pub to: Node,
    /// How many loop-free paths there are to choose from, the cheapest first.
    pub paths: u32,
    /// Who chooses.
    pub how: SteeringHow,
}

/// Who chooses one of several paths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SteeringHow {
    /// The sender, by marking its packets with one of these, in the order of the paths. All are of
    /// this kind.
    Marks(MarkKind, Vec<Mark>),
    /// This controller, which follows the bookings.
    Controller(Name),
}

/// A place in the network.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Node {
    /// A machine.
    Host(Name),
    /// Where links meet.
    Switch(Name),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => write!(f, "hosts/{name}"),
            Self::Switch(name) => write!(f, "switches/{name}"),
        }
    }
}

/// What a resource carries in its two directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Egress, forward or read.
    pub out: BitRate,
    /// Ingress, reverse or write.
    pub back: BitRate,
    /// A budget that both directions share.
    pub total: Option<BitRate>,
    /// Kept back of each figure, in parts per million; `None` means the default of its kind.
    pub reserved_ppm: Option<u32>,
    /// How much of what is left of each figure can be booked in all, in parts per million; `None`
    /// means once.
    pub allocation_ratio_ppm: Option<u32>,
}

/// How payload becomes wire bytes on a network lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Framing {
    /// The overhead said outright, in parts per million of the payload.
    pub overhead_ppm: Option<u32>,
    /// The largest packet in bytes; `None` means 1500.
    pub mtu: Option<u16>,
}

/// Kept back on NICs and links for acknowledgements, control and unmanaged traffic: 3 %.
pub const NETWORK_RESERVED_PPM: u32 = 30_000;
/// The smallest packet size that may be declared, in bytes.
pub const MTU_MIN: u16 = 576;
/// The packet size where none is declared, in bytes.
pub const MTU_DEFAULT: u16 = 1500;

/// Bytes of an Ethernet frame around the packet: preamble and delimiter 8, header 14, check
/// sequence 4, the gap between frames 12.
const FRAME_BYTES: u32 = 38;
/// Bytes of a packet that are not payload: IPv6 40, TCP 20, its timestamps 12.
const HEADER_BYTES: u32 = 72;

impl Framing {
    /// Headers on top of the payload, in parts per million of it, rounded up: at 1500 bytes a
    /// packet carries 1428 bytes of payload and takes 1538 on the wire.
    #[must_use]
    pub fn overhead_ppm(self) -> u32 {
        let from_mtu = || {
            let mtu = u32::from(self.mtu.unwrap_or(MTU_DEFAULT).max(MTU_MIN));
            let around = FRAME_BYTES.saturating_add(HEADER_BYTES);
            let payload = mtu.saturating_sub(HEADER_BYTES);
            around.saturating_mul(1_000_000).div_ceil(payload)
        };
        self.overhead_ppm.unwrap_or_else(from_mtu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_follows_from_the_packet_size() {
        let of = |mtu| Framing { overhead_ppm: None, mtu: Some(mtu) }.overhead_ppm();
        assert_eq!(of(1500), 77_031, "110 bytes around 1428");
        assert_eq!(of(9000), 12_321, "110 bytes around 8928");
        assert_eq!(Framing::default().overhead_ppm(), of(1500));
        let said = Framing { overhead_ppm: Some(5), mtu: Some(9000) };
        assert_eq!(said.overhead_ppm(), 5);
    }
}
