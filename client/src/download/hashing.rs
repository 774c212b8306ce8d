//! Condenses a file while it is being written: behind the bytes that are there without a gap, so it
//! does not matter in which order they come, nor whether some were there before.

use std::os::unix::fs::FileExt;

use tokio::sync::watch;

use super::digest::{Algorithm, Digest, Hash};
use super::error::DownloadError;
use super::part::Part;

/// How far a file is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frontier {
    /// Counts beginnings: what was there before another one is of no use.
    pub(super) begun: u64,
    /// So many bytes are there from the first one on.
    pub(super) prefix: u64,
    /// Known with the source.
    pub(super) algorithm: Algorithm,
    /// Nothing more will come.
    pub(super) over: bool,
}

/// Read at once, in bytes.
const STEP: usize = 1 << 20;
/// The same, to count with.
const STEP_BYTES: u64 = 1 << 20;
/// Read by one call to a thread that may block, in bytes: a file that is resumed has many.
const STRETCH: u64 = 64 << 20;

/// The digest of all that comes, once nothing more will.
pub(super) async fn follow(
    part: &Part,
    mut frontier: watch::Receiver<Frontier>,
) -> Result<Digest, DownloadError> {
    let mut seen = *frontier.borrow_and_update();
    let (mut hash, mut at) = (seen.algorithm.hash(), 0_u64);
    loop {
        let there = seen.prefix.saturating_sub(at);
        // Less than a step is not worth a call to another thread, until it is all there is.
        if STEP_BYTES <= there || seen.over && there != 0 {
            let until = seen.prefix.min(at.saturating_add(STRETCH));
            match stretch(part, hash, (at, until)).await {
                Ok(further) => (hash, at) = (further, until),
                // It was cut off for another beginning while it was read.
                Err(_) if frontier.borrow().begun != seen.begun => hash = seen.algorithm.hash(),
                Err(error) => return Err(error),
            }
        } else if seen.over {
            return Ok(hash.digest());
        } else if frontier.changed().await.is_err() {
            // Whoever fetches has given up; nobody asks for the digest.
            return Ok(hash.digest());
        }
        let now = *frontier.borrow_and_update();
        if now.begun != seen.begun || now.algorithm != seen.algorithm {
            (hash, at) = (now.algorithm.hash(), 0);
        }
        seen = now;
    }
}

async fn stretch(
    part: &Part,
    mut hash: Hash,
    (from, until): (u64, u64),
) -> Result<Hash, DownloadError> {
    let (file, path) = (part.reader()?, part.path.clone());
    let work = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; STEP];
        let mut at = from;
        while at < until {
            let most = usize::try_from(until.saturating_sub(at)).unwrap_or(STEP).min(STEP);
            let room = buffer.get_mut(..most).unwrap_or_default();
            file.read_exact_at(room, at)?;
            hash.update(room);
            at = at.saturating_add(u64::try_from(most).unwrap_or(u64::MAX));
        }
        Ok(hash)
    });
    let done = work.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    done.map_err(|error| DownloadError::file(&path, error))
}
