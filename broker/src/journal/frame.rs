//! The bytes of one batch, and the mark every file of a journal begins with.
//!
//! A frame, all numbers little-endian:
//!
//! | at | bytes | what |
//! |----|-------|------|
//! | 0 | 1 | format of the frame, [`FRAME_FORMAT`] |
//! | 1 | 8 | epoch of the writer |
//! | 9 | 8 | number of the batch |
//! | 17 | 4 | length of the payload |
//! | 21 | 32 | SHA-256 of (hash of the batch before, number, epoch, payload) |
//! | 53 | n | payload |
//! | 53 + n | 4 | CRC-32 of everything before it |
//!
//! The CRC finds damage without looking elsewhere, so a single batch can be checked. The chain
//! finds what a checksum cannot: a batch that is whole but stands in the wrong place, an old one
//! that came back, a neighbour that was replaced. A later format keeps the first byte and the CRC
//! at the end, so that a build too old for it can say so instead of calling it damaged.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Batches, Epoch, JournalError, Link, Seq};

/// The format of the frames this build writes and reads.
pub const FRAME_FORMAT: u8 = 1;

const EPOCH_AT: usize = 1;
const SEQ_AT: usize = 9;
const LENGTH_AT: usize = 17;
const HASH_AT: usize = 21;
const PAYLOAD_AT: usize = 53;
const CRC_BYTES: usize = 4;

/// The hash that links a batch to all before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// The link before the first batch.
    pub const START: Self = Self([0; 32]);

    /// The hash of a batch that follows this one.
    #[must_use]
    pub fn followed_by(&self, epoch: Epoch, seq: Seq, payload: &[u8]) -> Self {
        // Everything before the payload has a fixed length, so no two inputs read alike.
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(seq.0.to_le_bytes());
        hasher.update(epoch.0.to_le_bytes());
        hasher.update(payload);
        Self(hasher.finalize().into())
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// What is wrong with the bytes of a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// Fewer bytes than a frame has.
    #[error("{0} bytes are too few for a batch")]
    Short(usize),
    /// The checksum is that of other bytes.
    #[error("its checksum is {found:08x}, its bytes give {computed:08x}")]
    Checksum {
        /// The checksum in the frame.
        found: u32,
        /// The checksum of the frame.
        computed: u32,
    },
    /// Whole, but of a format this build does not know.
    #[error("it has the unknown format {0}")]
    Format(u8),
    /// The length inside is not the length outside.
    #[error("it states {stated} bytes of payload and has {found}")]
    Length {
        /// The length in the frame.
        stated: u32,
        /// The length there is.
        found: usize,
    },
}

impl FrameFault {
    /// The same as an error of the journal.
    #[must_use]
    pub fn at(self, seq: Seq) -> JournalError {
        match self {
            Self::Format(found) => JournalError::UnknownFormat {
                what: format!("batch {seq}"),
                found: u32::from(found),
                known: u32::from(FRAME_FORMAT),
            },
            Self::Short(_) | Self::Checksum { .. } | Self::Length { .. } => {
                JournalError::Corrupt { seq, why: self.to_string() }
            }
        }
    }
}

/// A frame whose checksum holds. Whether it stands where it belongs is the reader's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The epoch of the writer that appended it.
    pub epoch: Epoch,
    /// The number it was appended as.
    pub seq: Seq,
    /// The link to the next.
    pub hash: ChainHash,
    /// What the writer gave.
    pub payload: &'a [u8],
}

/// Frames `payload` as the batch `seq` after the link `before`.
///
/// # Errors
///
/// [`JournalError::BatchTooLarge`] when the length does not fit the frame.
pub fn encode(
    before: &ChainHash,
    epoch: Epoch,
    seq: Seq,
    payload: &[u8],
) -> Result<(Vec<u8>, ChainHash), JournalError> {
    let length = u32::try_from(payload.len()).map_err(|_| JournalError::BatchTooLarge {
        bytes: payload.len(),
        max: super::MAX_BATCH_BYTES,
    })?;
    let hash = before.followed_by(epoch, seq, payload);
    let mut bytes = Vec::with_capacity(PAYLOAD_AT + payload.len() + CRC_BYTES);
    bytes.push(FRAME_FORMAT);
    bytes.extend_from_slice(&epoch.0.to_le_bytes());
    bytes.extend_from_slice(&seq.0.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&hash.0);
    bytes.extend_from_slice(payload);
    seal(&mut bytes);
    Ok((bytes, hash))
}

/// Reads a frame and verifies its checksum.
///
/// # Errors
///
/// The first thing found wrong with it.
pub fn decode(bytes: &[u8]) -> Result<Frame<'_>, FrameFault> {
    let short = FrameFault::Short(bytes.len());
    if bytes.len() < PAYLOAD_AT + CRC_BYTES {
        return Err(short);
    }
    let body = unseal(bytes)?;
    if body[0] != FRAME_FORMAT {
        return Err(FrameFault::Format(body[0]));
    }
    let (Some(epoch), Some(seq), Some(stated), Some(hash)) = (
        array_at(body, EPOCH_AT),
        array_at(body, SEQ_AT),
        array_at(body, LENGTH_AT),
        array_at(body, HASH_AT),
    ) else {
        return Err(short);
    };
    let (stated, payload) = (u32::from_le_bytes(stated), &body[PAYLOAD_AT..]);
    if usize::try_from(stated) != Ok(payload.len()) {
        return Err(FrameFault::Length { stated, found: payload.len() });
    }
    Ok(Frame {
        epoch: Epoch(u64::from_le_bytes(epoch)),
        seq: Seq(u64::from_le_bytes(seq)),
        hash: ChainHash(hash),
        payload,
    })
}

/// Appends the checksum of `bytes` to them.
pub(crate) fn seal(bytes: &mut Vec<u8>) {
    let crc = crc32fast::hash(bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
}

/// Takes the checksum off again, if it holds.
pub(crate) fn unseal(bytes: &[u8]) -> Result<&[u8], FrameFault> {
    let Some((body, crc)) = bytes.split_last_chunk::<CRC_BYTES>() else {
        return Err(FrameFault::Short(bytes.len()));
    };
    let (found, computed) = (u32::from_le_bytes(*crc), crc32fast::hash(body));
    if found != computed {
        return Err(FrameFault::Checksum { found, computed });
    }
    Ok(body)
}

/// The `N` bytes at `at`, if there are so many.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The link a stored frame makes, for whoever continues or reads after it.
pub(crate) fn link_of(seq: Seq, bytes: &[u8]) -> Result<(Link, Epoch), JournalError> {
    let frame = decode(bytes).map_err(|fault| fault.at(seq))?;
    if frame.seq != seq {
        let why = format!("it is batch {} in the wrong place", frame.seq);
        return Err(JournalError::Corrupt { seq, why });
    }
    Ok((Link { seq, hash: frame.hash }, frame.epoch))
}

/// The length of a [`mark`].
pub(crate) const MARK_BYTES: usize = 16;

/// What each file of a journal begins with: eight letters that say what it is, the version of its
/// format, and a checksum over both. This never changes, whatever follows it does, so that any
/// build can tell a file that is too new for it from one that is damaged.
pub(crate) fn mark(kind: [u8; 8], version: u32) -> Vec<u8> {
    let mut bytes = kind.to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    seal(&mut bytes);
    bytes
}

/// Why a [`mark`] was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MarkFault {
    /// Damaged, or something else altogether.
    Unreadable,
    /// Whole, and of this version.
    Version(u32),
}

/// Checks the mark at the beginning of `bytes` and returns what follows it.
pub(crate) fn after_mark(bytes: &[u8], kind: [u8; 8], known: u32) -> Result<&[u8], MarkFault> {
    let (mark, rest) = bytes.split_at_checked(MARK_BYTES).ok_or(MarkFault::Unreadable)?;
    let body = unseal(mark).map_err(|_| MarkFault::Unreadable)?;
    let version = array_at(body, kind.len()).map(u32::from_le_bytes);
    match version {
        Some(version) if body.starts_with(&kind) && version == known => Ok(rest),
        Some(version) if body.starts_with(&kind) => Err(MarkFault::Version(version)),
        _ => Err(MarkFault::Unreadable),
    }
}

/// Where a reader stands in the chain: accepts the next frame, or says what is wrong with it.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The batch read last, or the link before the first.
    last: Link,
    epoch: Epoch,
    newest_epoch: Epoch,
}

impl Chain {
    /// After the batch `last` of `epoch`, with no epoch past `newest` begun.
    pub(crate) fn after(last: Link, epoch: Epoch, newest: Epoch) -> Self {
        Self { last, epoch, newest_epoch: newest }
    }

    /// The batch accepted last.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.last.seq
    }

    /// The hash that the next batch is linked to.
    #[must_use]
    pub fn hash(&self) -> ChainHash {
        self.last.hash
    }

    /// Accepts the frame that is stored as `stored` and returns its payload.
    ///
    /// # Errors
    ///
    /// [`JournalError::Corrupt`] unless it is whole and follows.
    pub fn accept<'a>(&mut self, stored: Seq, bytes: &'a [u8]) -> Result<&'a [u8], JournalError> {
        let seq = self.last.seq.next();
        let corrupt = |why: String| JournalError::Corrupt { seq, why };
        if stored != seq {
            return Err(corrupt(format!("it is missing, the next one there is {stored}")));
        }
        let frame = decode(bytes).map_err(|fault| fault.at(seq))?;
        if frame.seq != seq {
            return Err(corrupt(format!("it is batch {} in the wrong place", frame.seq)));
        }
        if frame.epoch < self.epoch || frame.epoch > self.newest_epoch {
            let (low, high) = (self.epoch, self.newest_epoch);
            return Err(corrupt(format!("its epoch {} is not in {low} to {high}", frame.epoch)));
        }
        let hash = self.last.hash.followed_by(frame.epoch, seq, frame.payload);
        if hash != frame.hash {
            return Err(corrupt("its hash does not follow from the batches before it".to_owned()));
        }
        self.last = Link { seq, hash };
        self.epoch = frame.epoch;
        Ok(frame.payload)
    }

    /// Reads `frames` as verified batches up to `head`.
    pub(crate) fn read<'a>(
        self,
        frames: impl Iterator<Item = Result<(Seq, Vec<u8>), JournalError>> + 'a,
        head: Seq,
    ) -> Batches<'a> {
        Box::new(Verified { frames, chain: self, head, over: false })
    }
}

/// Turns stored frames into verified batches; the one reader of all journals.
#[derive(Debug)]
struct Verified<I> {
    frames: I,
    chain: Chain,
    head: Seq,
    over: bool,
}

impl<I> Iterator for Verified<I>
where
    I: Iterator<Item = Result<(Seq, Vec<u8>), JournalError>>,
{
    type Item = Result<(Seq, Vec<u8>), JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over || self.chain.seq() >= self.head {
            return None;
        }
        let seq = self.chain.seq().next();
        let batch = match self.frames.next() {
            Some(Ok((stored, bytes))) => {
                self.chain.accept(stored, &bytes).map(|payload| (seq, payload.to_vec()))
            }
            Some(Err(error)) => Err(error),
            // Silence before the head would pass for the end of the history.
            None => Err(JournalError::Corrupt { seq, why: "it is missing".to_owned() }),
        };
        self.over = batch.is_err();
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_frame_is_found() {
        let (bytes, _) = encode(&ChainHash::START, Epoch(3), Seq(1), b"some payload").unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit} went unnoticed");
        }
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length} bytes passed for the frame");
        }
    }

    #[test]
    fn a_later_format_is_not_called_damage() {
        let (mut bytes, _) = encode(&ChainHash::START, Epoch(3), Seq(1), b"x").unwrap();
        bytes[0] = 9;
        bytes.truncate(bytes.len() - CRC_BYTES);
        seal(&mut bytes);
        assert_eq!(decode(&bytes), Err(FrameFault::Format(9)));
        let text = FrameFault::Format(9).at(Seq(7)).to_string();
        assert!(text.contains("batch 7 has format 9, this build knows 1"), "{text}");
    }

    #[test]
    fn a_mark_tells_too_new_from_damaged() {
        let bytes = mark(*b"TGTESTED", 2);
        assert_eq!(bytes.len(), MARK_BYTES);
        assert_eq!(after_mark(&bytes, *b"TGTESTED", 2), Ok(&[][..]));
        assert_eq!(after_mark(&bytes, *b"TGTESTED", 1), Err(MarkFault::Version(2)));
        assert_eq!(after_mark(&bytes, *b"TGOTHERS", 2), Err(MarkFault::Unreadable));
        let mut damaged = bytes;
        damaged[9] ^= 1;
        assert_eq!(after_mark(&damaged, *b"TGTESTED", 2), Err(MarkFault::Unreadable));
    }
}
