//! Where bytes come from and where they go.

use std::fmt;
use std::str::FromStr;

use crate::error::ParseError;
use crate::ids::Name;

/// One end of a transfer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Endpoint {
    /// A host's memory or an unmanaged disk: only its NICs and links are booked.
    Host(Name),
    /// A storage backend: its read or write lane is booked, and the way to where it stands.
    Storage(Name),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => write!(f, "hosts/{name}"),
            Self::Storage(name) => write!(f, "storage/{name}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = |why: String| {
            ParseError::new("endpoint", text, why, "write hosts/NAME or storage/NAME")
        };
        let (kind, name) =
            text.split_once('/').ok_or_else(|| fault("it names no collection".into()))?;
        let name: Name = name.parse().map_err(|e: ParseError| fault(e.why))?;
        match kind {
            "hosts" => Ok(Self::Host(name)),
            "storage" => Ok(Self::Storage(name)),
            _ => Err(fault("there is no such collection".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_name_their_collection() {
        for good in ["hosts/compute-1", "storage/swift-east"] {
            assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
        }
        for bad in ["", "compute-1", "hosts/", "hosts/a/b", "links/a", "Hosts/a"] {
            bad.parse::<Endpoint>().unwrap_err();
        }
    }
}
