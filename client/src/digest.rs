//! What content is known by.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use tidegate_policy::ParseError;

/// The SHA-256 of some content. Written `sha256:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest with these 64 hex digits, in either case.
    ///
    /// # Errors
    /// A [`ParseError`] if `hex` is anything else.
    pub fn sha256(hex: &str) -> Result<Self, ParseError> {
        let fault = |why: &str| {
            ParseError::new("digest", hex, why, "write sha256: and the 64 hex digits of a SHA-256")
        };
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(fault("it is not 64 hex digits"));
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = hex.get(2 * index..2 * index + 2).unwrap_or_default();
            *byte = u8::from_str_radix(pair, 16).map_err(|error| fault(&error.to_string()))?;
        }
        Ok(Self(bytes))
    }

    /// The digest of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self::of_sha256(Sha256::new_with_prefix(content))
    }

    pub(crate) fn of_sha256(hash: Sha256) -> Self {
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::sha256(text.strip_prefix("sha256:").unwrap_or(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_read_back() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), format!("sha256:{empty}"));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(Digest::sha256(&empty.to_uppercase()), Ok(digest));
        for bad in ["", "sha256:", "e3b0", &"g".repeat(64), &"ä".repeat(32), &"+1".repeat(32)] {
            bad.parse::<Digest>().unwrap_err();
        }
    }
}
