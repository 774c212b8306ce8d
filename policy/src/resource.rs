//! What there is in a network, by name.

use std::fmt;
use std::str::FromStr;

use crate::error::ParseError;
use crate::ids::Name;

/// Something with lanes, or that lanes end at.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Resource {
    /// A machine: all of its NICs.
    Host(Name),
    /// A network interface of a machine: the machine, and its own name there.
    Nic(Name, Name),
    /// Where links meet: the links and NICs at it.
    Switch(Name),
    /// A link, or a bundle of links.
    Link(Name),
    /// A storage backend.
    Storage(Name),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => write!(f, "hosts/{name}"),
            Self::Nic(host, nic) => write!(f, "hosts/{host}/nics/{nic}"),
            Self::Switch(name) => write!(f, "switches/{name}"),
            Self::Link(name) => write!(f, "links/{name}"),
            Self::Storage(name) => write!(f, "storage/{name}"),
        }
    }
}

impl FromStr for Resource {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = |why: String| {
            let hint = "write hosts/HOST, hosts/HOST/nics/NIC, switches/NAME, links/NAME or \
                        storage/NAME";
            ParseError::new("resource", text, why, hint)
        };
        let name = |text: &str| text.parse::<Name>().map_err(|error| fault(error.why));
        let parts: Vec<&str> = text.splitn(5, '/').collect();
        match parts.as_slice() {
            ["hosts", host] => Ok(Self::Host(name(host)?)),
            ["hosts", host, "nics", nic] => Ok(Self::Nic(name(host)?, name(nic)?)),
            ["switches", switch] => Ok(Self::Switch(name(switch)?)),
            ["links", link] => Ok(Self::Link(name(link)?)),
            ["storage", storage] => Ok(Self::Storage(name(storage)?)),
            _ => Err(fault("it is in no collection of resources".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_name_their_collection() {
        for good in ["hosts/a", "hosts/a/nics/eth0", "switches/s", "links/l", "storage/p"] {
            assert_eq!(good.parse::<Resource>().unwrap().to_string(), good);
        }
        let bad =
            ["", "a", "hosts/", "hosts/a/b", "hosts/a/nics/", "links/a/forward", "nics/a", "x/a"];
        for text in bad {
            text.parse::<Resource>().unwrap_err();
        }
    }
}
