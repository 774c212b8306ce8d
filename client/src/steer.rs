//! How bytes get onto the path that is booked, where the network offers several.

use std::fmt;
use std::net::IpAddr;

use tidegate_proto::v1;

use crate::error::ClientError;

/// A choice between several paths, and who makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steer {
    /// Where the choice begins: `hosts/{name}` or `switches/{name}`.
    pub from: String,
    /// Where it ends.
    pub to: String,
    /// Who makes it.
    pub by: SteeredBy,
}

/// Who puts bytes onto the path that is booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SteeredBy {
    /// The sender, by marking its packets like this.
    Mark(Mark),
    /// This controller, which follows the bookings; the sender does nothing.
    Controller(String),
}

/// What a sender marks its packets with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The source address to bind to.
    SourceAddress(IpAddr),
    /// The DSCP, 0 to 63.
    Dscp(u8),
    /// The VLAN, 1 to 4094.
    Vlan(u16),
    /// Something that this client does not know: its number and its value.
    Unknown(i32, String),
}

impl Steer {
    pub(crate) fn from_wire(wire: v1::Steer) -> Result<Self, ClientError> {
        use v1::steer::How;
        let by = match wire.how {
            Some(How::Mark(mark)) => SteeredBy::Mark(Mark::from_wire(mark)?),
            Some(How::Controller(name)) => SteeredBy::Controller(name),
            None => return Err(ClientError::bad("steers.how", "it is missing")),
        };
        Ok(Self { from: wire.from, to: wire.to, by })
    }
}

impl Mark {
    fn from_wire(wire: v1::Mark) -> Result<Self, ClientError> {
        use v1::mark::Kind;
        let value = wire.value.as_str();
        let mark = match Kind::try_from(wire.kind) {
            Ok(Kind::SourceAddress) => value.parse().ok().map(Self::SourceAddress),
            Ok(Kind::Dscp) => value.parse().ok().filter(|dscp| *dscp < 64).map(Self::Dscp),
            Ok(Kind::Vlan) => {
                value.parse().ok().filter(|vlan| (1..4095).contains(vlan)).map(Self::Vlan)
            }
            Ok(Kind::Unspecified) | Err(_) => Some(Self::Unknown(wire.kind, value.to_owned())),
        };
        mark.ok_or_else(|| ClientError::bad("steers.mark.value", format!("{value:?} is no such")))
    }
}

impl fmt::Display for Steer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, by } = self;
        match by {
            SteeredBy::Mark(mark) => write!(f, "from {from} to {to}: {mark}"),
            SteeredBy::Controller(name) => write!(f, "from {from} to {to}: {name} steers"),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceAddress(address) => write!(f, "send from {address}"),
            Self::Dscp(dscp) => write!(f, "mark with DSCP {dscp}"),
            Self::Vlan(vlan) => write!(f, "send in VLAN {vlan}"),
            Self::Unknown(_, value) => {
                write!(f, "mark with {value:?}, in a way that this client does not know")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(kind: i32, value: &str) -> Result<Mark, ClientError> {
        Mark::from_wire(v1::Mark { kind, value: value.into() })
    }

    #[test]
    fn a_mark_is_what_a_socket_can_be_told() {
        assert_eq!(mark(1, "10.0.0.7").unwrap(), Mark::SourceAddress([10, 0, 0, 7].into()));
        assert_eq!(mark(2, "46").unwrap(), Mark::Dscp(46));
        assert_eq!(mark(3, "4094").unwrap(), Mark::Vlan(4094));
        assert_eq!(mark(9, "x").unwrap(), Mark::Unknown(9, "x".into()));
        for (kind, value) in [(1, "east"), (2, "64"), (2, "-1"), (3, "0"), (3, "4095")] {
            let error = mark(kind, value).unwrap_err();
            assert!(matches!(error, ClientError::BadAnswer { .. }), "{value}: {error:?}");
        }
    }

    #[test]
    fn somebody_steers() {
        let steer = |how| {
            Steer::from_wire(v1::Steer { from: "switches/a".into(), to: "switches/b".into(), how })
        };
        let by = steer(Some(v1::steer::How::Controller("sdn-1".into()))).unwrap();
        assert_eq!(by.to_string(), "from switches/a to switches/b: sdn-1 steers");
        steer(None).unwrap_err();
    }
}
