//! How bytes get onto the path that is booked, where the network offers several.

use std::fmt;

use tidegate_policy::{Mark, MarkKind, Resource};
use tidegate_proto::v1;

use crate::error::ClientError;

/// A choice between several paths, and who makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steer {
    /// Where the choice begins: a host or a switch.
    pub from: Resource,
    /// Where it ends.
    pub to: Resource,
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
    /// The sender, by a mark of a kind that this client does not know, by its number.
    Unknown {
        /// What is marked.
        kind: i32,
        /// With which value.
        value: String,
    },
}

impl Steer {
    pub(crate) fn from_wire(wire: v1::Steer) -> Result<Self, ClientError> {
        use v1::steer::How;
        let by = match wire.how {
            Some(How::Mark(mark)) => marked(mark)?,
            Some(How::Controller(name)) => SteeredBy::Controller(name),
            None => return Err(ClientError::bad("steers.how", "it is missing")),
        };
        Ok(Self {
            from: wire.from.parse().map_err(ClientError::unparsed("steers.from"))?,
            to: wire.to.parse().map_err(ClientError::unparsed("steers.to"))?,
            by,
        })
    }
}

fn marked(wire: v1::Mark) -> Result<SteeredBy, ClientError> {
    use v1::mark::Kind;
    let kind = match Kind::try_from(wire.kind) {
        Ok(Kind::SourceAddress) => MarkKind::SourceAddress,
        Ok(Kind::Dscp) => MarkKind::Dscp,
        Ok(Kind::Vlan) => MarkKind::Vlan,
        Ok(Kind::Unspecified) | Err(_) => {
            return Ok(SteeredBy::Unknown { kind: wire.kind, value: wire.value });
        }
    };
    let mark = Mark::new(kind, &wire.value);
    Ok(SteeredBy::Mark(mark.map_err(ClientError::unparsed("steers.mark.value"))?))
}

impl fmt::Display for Steer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, by } = self;
        write!(f, "from {from} to {to}: {by}")
    }
}

impl fmt::Display for SteeredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark(mark) if mark.kind() == MarkKind::SourceAddress => {
                write!(f, "send from {}", mark.value())
            }
            Self::Mark(mark) => write!(f, "mark with {mark}"),
            Self::Controller(name) => write!(f, "{name} steers"),
            Self::Unknown { value, .. } => {
                write!(f, "mark with {value:?}, in a way that this client does not know")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::steer::How;

    fn steer(how: Option<How>) -> Result<Steer, ClientError> {
        Steer::from_wire(v1::Steer { from: "hosts/a".into(), to: "switches/b".into(), how })
    }

    fn mark(kind: i32, value: &str) -> Option<How> {
        Some(How::Mark(v1::Mark { kind, value: value.into() }))
    }

    #[test]
    fn a_steer_says_what_the_sender_does() {
        let table = [
            (mark(1, "10.0.0.7"), "send from 10.0.0.7"),
            (mark(2, "46"), "mark with DSCP 46"),
            (mark(3, "4094"), "mark with VLAN 4094"),
            (mark(9, "x"), "mark with \"x\", in a way that this client does not know"),
            (Some(How::Controller("sdn-1".into())), "sdn-1 steers"),
        ];
        for (how, expected) in table {
            let text = steer(how).unwrap().to_string();
            assert_eq!(text, format!("from hosts/a to switches/b: {expected}"));
        }
    }

    #[test]
    fn a_steer_that_makes_no_sense_is_an_error() {
        for how in [None, mark(1, "east"), mark(2, "64"), mark(3, "0")] {
            let error = steer(how).unwrap_err();
            assert!(matches!(error, ClientError::BadAnswer { .. }), "{error:?}");
        }
    }
}
