//! What is told to whoever keeps the reports, in the order in which it is published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tidegate_core::Reservation;
use tidegate_core::lane::LaneName;
use tidegate_policy::{BitRate, ByteCount, Interval, Name, ReservationId, Timestamp};
use tokio::sync::oneshot;

use super::refused::Refused;

/// The most facts that wait. One is a few words: what it points to is there anyway.
const WAITING_MAX: usize = 1 << 16;

/// Something that reports follow.
#[derive(Debug)]
pub(crate) enum Fact {
    /// A reservation was made, changed or forgotten.
    Changed(Box<Changed>),
    /// A session reported bytes moved under a reservation.
    Used { id: ReservationId, at: Timestamp },
    /// A request was refused.
    Refused(Box<Refused>),
    /// Somebody measured lanes.
    Observed(Box<Observed>),
    /// Somebody wants everything up to now to be accounted for.
    Advance(oneshot::Sender<()>),
    /// The broker stops: everything is to be written.
    Stop(oneshot::Sender<()>),
}

/// A reservation that was made, changed or forgotten.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) id: ReservationId,
    pub(crate) at: Timestamp,
    /// `None` if it was made.
    pub(crate) before: Option<Arc<Reservation>>,
    /// `None` if it was forgotten.
    pub(crate) after: Option<Arc<Reservation>>,
}

/// What somebody measured.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) observer: Name,
    pub(crate) measured: Vec<Measured>,
}

/// What somebody measured on one lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Measured {
    pub(crate) lane: LaneName,
    pub(crate) over: Interval,
    /// What crossed it in all, in bytes of the lane.
    pub(crate) carried: Option<ByteCount>,
    /// The most that it was able to carry.
    pub(crate) able: Option<BitRate>,
}

/// The way to whoever keeps the reports. It never waits: what finds no place is counted, and made good
/// from the state.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    sender: SyncSender<Fact>,
    lost: Arc<Lost>,
}

/// What did not find a place.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    any: AtomicBool,
    count: AtomicU64,
}

impl Lost {
    /// Whether anything was lost since the last time that this was asked.
    pub(crate) fn take(&self) -> bool {
        self.any.swap(false, Ordering::AcqRel)
    }

    /// How many facts were lost since the start.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Reporter {
    pub(crate) fn new() -> (Self, Receiver<Fact>, Arc<Lost>) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let lost = Arc::new(Lost::default());
        (Self { sender, lost: Arc::clone(&lost) }, receiver, lost)
    }

    /// Tells a fact. Returns whether it found a place.
    pub(crate) fn tell(&self, fact: Fact) -> bool {
        match self.sender.try_send(fact) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost.count.fetch_add(1, Ordering::Relaxed);
                self.lost.any.store(true, Ordering::Release);
                false
            }
            // The broker is stopping.
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}
