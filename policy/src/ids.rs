//! Names that people choose and identifiers that the broker makes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::ParseError;

/// A name that a person chose: 1 to 63 letters, digits, `.`, `_` or `-`, with a letter or digit
/// at both ends. A copy shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Longest name, in characters.
const NAME_MAX: usize = 63;

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Name {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = |why: &str| {
            let hint =
                "use 1 to 63 letters, digits, '.', '_' or '-', a letter or digit at both ends";
            ParseError::new("name", text, why, hint)
        };
        if text.is_empty() {
            return Err(fault("it is empty"));
        }
        if text.len() > NAME_MAX {
            return Err(fault("it is too long"));
        }
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !text.chars().all(inner) {
            return Err(fault("it has a character that names do not have"));
        }
        let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        if !end(text.chars().next()) || !end(text.chars().next_back()) {
            return Err(fault("it does not begin and end with a letter or digit"));
        }
        Ok(Self(text.into()))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().into()
    }
}

impl TryFrom<String> for Name {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

/// A project: who a reservation belongs to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProjectId(pub Name);

impl ProjectId {
    /// The project of everything that names none.
    ///
    /// # Panics
    /// Never: `default` is a name.
    #[must_use]
    pub fn default_project() -> Self {
        Self(Name("default".into()))
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A class of service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClassId(pub Name);

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who asks: a user or a service, as its identity provider calls it; 1 to 128 letters, digits or any of
/// `._-@:+`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Principal(Arc<str>);

/// Longest name of a principal, in characters.
const PRINCIPAL_MAX: usize = 128;

impl Principal {
    /// The first of all in their order.
    #[must_use]
    pub fn first() -> Self {
        Self("+".into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Principal {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let inner = |c: char| c.is_ascii_alphanumeric() || "._-@:+".contains(c);
        let why = match text.len() {
            0 => "it is empty",
            length if PRINCIPAL_MAX < length => "it is too long",
            _ if !text.chars().all(inner) => "it has a character that principals do not have",
            _ => return Ok(Self(text.into())),
        };
        let hint = "use 1 to 128 letters, digits, or any of ._-@:+";
        Err(ParseError::new("principal", text, why, hint))
    }
}

/// An admission rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RuleId(pub Name);

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A 128-bit identifier in a room of its own, so that no two kinds are ever confused.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Uuid);

        impl $name {
            /// The identifier with these 128 bits.
            #[must_use]
            pub const fn from_u128(bits: u128) -> Self {
                Self(Uuid::from_u128(bits))
            }

            /// Its 128 bits.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0.as_u128()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                let fault = |error: uuid::Error| {
                    ParseError::new($kind, text, error.to_string(), "give it as 36 hex digits and hyphens")
                };
                Uuid::try_parse(text).map(Self).map_err(fault)
            }
        }
    };
}

identifier! {
    /// One reservation.
    ReservationId, "reservation id"
}
identifier! {
    /// One session: an agent's liveness towards the broker.
    SessionId, "session id"
}
identifier! {
    /// One maintenance window.
    MaintenanceId, "maintenance id"
}
identifier! {
    /// One mutation as its asker knows it, so that asking twice does it once. A UUIDv7: it
    /// carries the time it was made.
    RequestId, "request id"
}

impl RequestId {
    /// When it was made; `None` if it is not a UUIDv7.
    #[must_use]
    pub fn made_at(self) -> Option<crate::Timestamp> {
        if self.0.get_version_num() != 7 {
            return None;
        }
        let ms = i64::try_from(self.0.as_u128() >> 80).ok()?;
        crate::Timestamp::from_ms(ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "compute-1", "Rack_7.row2", "0"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "a b", "a/b", "ä", long.as_str()] {
            bad.parse::<Name>().unwrap_err();
        }
    }

    #[test]
    fn only_the_seventh_kind_of_uuid_tells_its_time() {
        let v7: RequestId = "019aa7e0-8000-7000-8000-000000000001".parse().unwrap();
        assert_eq!(v7.made_at().unwrap().as_ms(), 0x019a_a7e0_8000);
        let v4: RequestId = "b2f1e8a0-8000-4000-8000-000000000001".parse().unwrap();
        assert_eq!(v4.made_at(), None);
        assert_eq!(v7.to_string().parse::<RequestId>().unwrap(), v7);
    }
}
