//! What content is known by.

use std::fmt;
use std::str::FromStr;

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512};
use tidegate_policy::ParseError;

/// How content is condensed into a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// 16 bytes. Tells damage, not malice: stores still know their content by it.
    Md5,
    /// 32 bytes.
    #[default]
    Sha256,
    /// 64 bytes.
    Sha512,
}

/// The digest of some content. Written as its algorithm, a colon and hex digits, such as
/// `sha256:e3b0...`; 64 digits alone are a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero behind the length of the algorithm.
    bytes: [u8; 64],
}

const ALGORITHMS: [(Algorithm, &str); 3] =
    [(Algorithm::Md5, "md5"), (Algorithm::Sha256, "sha256"), (Algorithm::Sha512, "sha512")];

impl Algorithm {
    /// The length of its digests, in bytes.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Condenses content as it comes.
    pub(crate) fn hash(self) -> Hash {
        match self {
            Self::Md5 => Hash::Md5(Md5::new()),
            Self::Sha256 => Hash::Sha256(Sha256::new()),
            Self::Sha512 => Hash::Sha512(Sha512::new()),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALGORITHMS.iter().find(|(known, _)| known == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// A digest in the making.
#[derive(Clone, Debug)]
pub(crate) enum Hash {
    Md5(Md5),
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hash {
    pub(crate) fn update(&mut self, content: &[u8]) {
        match self {
            Self::Md5(hash) => hash.update(content),
            Self::Sha256(hash) => hash.update(content),
            Self::Sha512(hash) => hash.update(content),
        }
    }

    pub(crate) fn digest(self) -> Digest {
        match self {
            Self::Md5(hash) => Digest::padded(Algorithm::Md5, &hash.finalize()),
            Self::Sha256(hash) => Digest::padded(Algorithm::Sha256, &hash.finalize()),
            Self::Sha512(hash) => Digest::padded(Algorithm::Sha512, &hash.finalize()),
        }
    }
}

impl Digest {
    /// The SHA-256 with these 64 hex digits, in either case.
    ///
    /// # Errors
    /// A [`ParseError`] if `hex` is anything else.
    pub fn sha256(hex: &str) -> Result<Self, ParseError> {
        Self::new(Algorithm::Sha256, hex)
    }

    /// The digest with these hex digits, in either case.
    ///
    /// # Errors
    /// A [`ParseError`] if they are not as many as the algorithm has, or no hex digits.
    pub fn new(algorithm: Algorithm, hex: &str) -> Result<Self, ParseError> {
        let digits = 2 * algorithm.length();
        let fault = |why: String| {
            let how = "write md5:, sha256: or sha512: and its 32, 64 or 128 hex digits";
            ParseError::new("digest", hex, &why, how)
        };
        if hex.len() != digits || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(fault(format!("it is not the {digits} hex digits of a {algorithm}")));
        }
        let pairs =
            (0..algorithm.length()).map(|at| hex.get(2 * at..2 * at + 2).unwrap_or_default());
        let bytes = pairs.map(|pair| u8::from_str_radix(pair, 16)).collect::<Result<Vec<u8>, _>>();
        bytes.map(|bytes| Self::padded(algorithm, &bytes)).map_err(|error| fault(error.to_string()))
    }

    /// The SHA-256 of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut hash = Algorithm::Sha256.hash();
        hash.update(content);
        hash.digest()
    }

    /// How it was made.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its bytes, as many as its algorithm has.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.algorithm.length()).unwrap_or_default()
    }

    fn padded(algorithm: Algorithm, known: &[u8]) -> Self {
        let mut bytes = [0; 64];
        bytes.iter_mut().zip(known).for_each(|(byte, known)| *byte = *known);
        Self { algorithm, bytes }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.algorithm)?;
        let mut bytes = self.bytes.iter().take(self.algorithm.length());
        bytes.try_for_each(|byte| write!(f, "{byte:02x}"))
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
        let named = text.split_once(':');
        let known = named.and_then(|(name, hex)| {
            let known = ALGORITHMS.iter().find(|(_, known)| *known == name);
            known.map(|(algorithm, _)| (*algorithm, hex))
        });
        let (algorithm, hex) = known.unwrap_or((Algorithm::Sha256, text));
        Self::new(algorithm, hex)
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
        let bad = ["", "sha256:", "e3b0", &"g".repeat(64), &"ä".repeat(32), &"+1".repeat(32)];
        for bad in bad.into_iter().chain(["sha1:e3b0", &format!("sha512:{empty}")]) {
            bad.parse::<Digest>().unwrap_err();
        }
    }

    /// The examples of RFC 1321 and FIPS 180-2.
    #[test]
    fn each_algorithm_is_the_standard_one() {
        let known = [
            (Algorithm::Md5, "md5:900150983cd24fb0d6963f7d28e17f72"),
            (
                Algorithm::Sha256,
                "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Algorithm::Sha512,
                "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ];
        for (algorithm, written) in known {
            let mut hash = algorithm.hash();
            hash.update(b"a");
            hash.update(b"bc");
            assert_eq!(hash.digest().to_string(), written);
            assert_eq!(written.parse::<Digest>().unwrap().algorithm(), algorithm);
        }
    }
}
