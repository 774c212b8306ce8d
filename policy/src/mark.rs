//! What packets are marked with, so that the network takes them along one of several paths.

use std::fmt;
use std::net::IpAddr;

use crate::error::ParseError;

/// What is marked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MarkKind {
    /// The source address that the sender binds to.
    SourceAddress,
    /// The DSCP, 0 to 63.
    Dscp,
    /// The VLAN, 1 to 4094.
    Vlan,
}

/// A kind of mark with its value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mark {
    kind: MarkKind,
    value: Box<str>,
}

/// The largest DSCP: it has six bits (RFC 2474).
const DSCP_MAX: u16 = 63;
/// The smallest and the largest VLAN: 0 and 4095 are reserved (IEEE 802.1Q).
const VLAN_MIN: u16 = 1;
const VLAN_MAX: u16 = 4094;

impl Mark {
    /// The mark of this kind with the value that `text` says, in the one form that such a value
    /// has: two marks are equal exactly if packets carry the same.
    ///
    /// # Errors
    /// [`ParseError`] if `text` is no such value.
    pub fn new(kind: MarkKind, text: &str) -> Result<Self, ParseError> {
        let value = match kind {
            MarkKind::SourceAddress => {
                let hint = "write an IPv4 or IPv6 address that the sender has";
                let fault = |why: String| ParseError::new("source address", text, why, hint);
                let address: IpAddr =
                    text.parse().map_err(|e: std::net::AddrParseError| fault(e.to_string()))?;
                if address.is_unspecified() || address.is_multicast() {
                    return Err(fault("no sender can bind to it".into()));
                }
                address.to_string()
            }
            MarkKind::Dscp => number(("DSCP", "write 0 to 63"), text, (0, DSCP_MAX))?.to_string(),
            MarkKind::Vlan => {
                number(("VLAN", "write 1 to 4094"), text, (VLAN_MIN, VLAN_MAX))?.to_string()
            }
        };
        Ok(Self { kind, value: value.into() })
    }

    /// What is marked.
    #[must_use]
    pub const fn kind(&self) -> MarkKind {
        self.kind
    }

    /// With which value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

fn number(
    (kind, hint): (&'static str, &'static str),
    text: &str,
    (least, most): (u16, u16),
) -> Result<u16, ParseError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    let number: u16 = number.ok_or_else(|| ParseError::new(kind, text, "it is no number", hint))?;
    if number < least || most < number {
        return Err(ParseError::new(kind, text, "it is out of range", hint));
    }
    Ok(number)
}

impl fmt::Display for MarkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SourceAddress => "source address",
            Self::Dscp => "DSCP",
            Self::Vlan => "VLAN",
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_checked_and_have_one_form() {
        let good = [
            (MarkKind::SourceAddress, "2001:DB8:0::1", "2001:db8::1"),
            (MarkKind::SourceAddress, "192.0.2.7", "192.0.2.7"),
            (MarkKind::Dscp, "0", "0"),
            (MarkKind::Dscp, "063", "63"),
            (MarkKind::Vlan, "1", "1"),
            (MarkKind::Vlan, "4094", "4094"),
        ];
        for (kind, text, value) in good {
            let mark = Mark::new(kind, text).unwrap();
            assert_eq!((mark.kind(), mark.value()), (kind, value));
        }
        let bad = [
            (MarkKind::SourceAddress, "::"),
            (MarkKind::SourceAddress, "224.0.0.1"),
            (MarkKind::SourceAddress, "192.0.2.7/32"),
            (MarkKind::SourceAddress, "a"),
            (MarkKind::Dscp, "64"),
            (MarkKind::Dscp, "+4"),
            (MarkKind::Dscp, ""),
            (MarkKind::Vlan, "0"),
            (MarkKind::Vlan, "4095"),
            (MarkKind::Vlan, "99999"),
        ];
        for (kind, text) in bad {
            Mark::new(kind, text).unwrap_err();
        }
    }
}
