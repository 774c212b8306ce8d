//! The last changes of reservations, for whoever follows them: in memory, bounded, each with its
//! place in the journal.
//!
//! They are part of the published state, so a reader sees a state and exactly the changes that led
//! to it. A place is a batch of the journal and a number within it; nothing is told twice or
//! skipped by whoever goes on behind the last place that it was told.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tidegate_core::{Change, Machine, Reservation, Segment};
use tidegate_policy::{ByteCount, ReservationId, SessionId};

/// The most memory that the changes take, in bytes.
const BYTES_MAX: usize = 64 << 20;

/// A place in the order of all changes: everything up to and with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    /// The batch of the journal.
    pub(crate) sequence: u64,
    /// Which change of it.
    nth: u32,
}

impl Place {
    /// All changes of a batch.
    pub(crate) fn all_of(sequence: u64) -> Self {
        Self { sequence, nth: u32::MAX }
    }
}

/// One reservation that was made, changed or forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) place: Place,
    pub(crate) id: ReservationId,
    /// As it was; `None` if it was made.
    pub(crate) before: Option<Arc<Reservation>>,
    /// As it is; `None` if it was forgotten.
    pub(crate) after: Option<Arc<Reservation>>,
    /// Bytes reported as moved by then.
    pub(crate) used: ByteCount,
    /// The batch in which it was closed, of one that is forgotten; `None` if that was before this
    /// broker began.
    pub(crate) closed: Option<u64>,
    /// All bytes of changes up to and with this one.
    bytes: u64,
}

/// The last changes.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Tells the places of this process from those of another, which may count alike.
    life: u64,
    most: usize,
    ring: VecDeque<Changed>,
    /// Everything behind it is in the ring.
    floor: Place,
    /// Bytes of all changes that ever were, and of those that have left the ring.
    bytes: u64,
    bytes_gone: u64,
    /// The last version of each reservation in the ring: it is cloned once for each change.
    latest: HashMap<ReservationId, (Place, Arc<Reservation>)>,
    /// When each remembered reservation was closed, of those that were in this life.
    closed: HashMap<ReservationId, u64>,
}

/// The place is not in the ring any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooOld;

impl Changes {
    pub(crate) fn new(life: u64, most: usize, sequence: u64) -> Self {
        Self {
            life,
            most,
            ring: VecDeque::new(),
            floor: Place::all_of(sequence),
            bytes: 0,
            bytes_gone: 0,
            latest: HashMap::new(),
            closed: HashMap::new(),
        }
    }

    /// At most `most` changes behind a place, in order.
    pub(crate) fn behind(&self, place: Place, most: usize) -> Result<Vec<Changed>, TooOld> {
        if place < self.floor {
            return Err(TooOld);
        }
        let from = self.ring.partition_point(|changed| changed.place <= place);
        Ok(self.ring.iter().skip(from).take(most).cloned().collect())
    }

    /// The last changes that are remembered, the last first; of one reservation, or of all.
    pub(crate) fn latest(&self, of: Option<ReservationId>) -> impl Iterator<Item = &Changed> + '_ {
        let wanted = move |changed: &&Changed| of.is_none_or(|id| changed.id == id);
        self.ring.iter().rev().filter(wanted)
    }

    /// Whether whoever is at this place has to hurry: seven eighths of the ring lie before it.
    pub(crate) fn nearly_gone(&self, place: Place) -> bool {
        let from = self.ring.partition_point(|changed| changed.place <= place);
        let waiting = self.ring.len().saturating_sub(from);
        let told = from.checked_sub(1).and_then(|last| self.ring.get(last));
        let told = told.map_or(self.bytes_gone, |last| last.bytes);
        let bytes = usize::try_from(self.bytes.saturating_sub(told)).unwrap_or(usize::MAX);
        place < self.floor || eighths(waiting, self.most) || eighths(bytes, BYTES_MAX)
    }

    /// Whether a token is of this process, and of a place that there was.
    pub(crate) fn knows(&self, token: &Token, head: u64) -> bool {
        token.life == self.life && token.place.sequence <= head && token.begin <= head
    }

    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    /// The reservations that a change touches as they are before it.
    pub(crate) fn before(
        &self,
        machine: &Machine,
        change: &Change,
    ) -> Vec<(ReservationId, Option<Arc<Reservation>>)> {
        let known = |id: &ReservationId| match self.latest.get(id) {
            Some((_, latest)) => Some(Arc::clone(latest)),
            None => machine.reservation(*id).cloned().map(Arc::new),
        };
        touched(change).iter().map(|id| (*id, known(id))).collect()
    }

    /// Takes in a change that the machine has followed. Returns the reservation as it is after it.
    pub(crate) fn push(
        &mut self,
        machine: &Machine,
        sequence: u64,
        (id, before): (ReservationId, Option<Arc<Reservation>>),
    ) -> Option<Arc<Reservation>> {
        let last = self.ring.back().map(|changed| changed.place);
        let last = last.filter(|last| last.sequence == sequence);
        let place = Place { sequence, nth: last.map_or(0, |last| last.nth.saturating_add(1)) };
        let after = machine.reservation(id).cloned().map(Arc::new);
        let closed = match &after {
            Some(after) if !after.is_live() => {
                self.closed.insert(id, sequence);
                None
            }
            Some(_) => None,
            None => self.closed.remove(&id),
        };
        let size = after.as_deref().or(before.as_deref()).map_or(0, size);
        self.bytes = self.bytes.saturating_add(size);
        match &after {
            Some(after) => drop(self.latest.insert(id, (place, Arc::clone(after)))),
            None => drop(self.latest.remove(&id)),
        }
        let (used, is) = (machine.used(id), after.clone());
        self.ring.push_back(Changed { place, id, before, after, used, closed, bytes: self.bytes });
        self.evict();
        is
    }

    fn evict(&mut self) {
        let most = u64::try_from(BYTES_MAX).unwrap_or(u64::MAX);
        while self.most < self.ring.len() || most < self.bytes.saturating_sub(self.bytes_gone) {
            let Some(gone) = self.ring.pop_front() else { return };
            self.floor = gone.place;
            self.bytes_gone = gone.bytes;
            if self.latest.get(&gone.id).is_some_and(|(place, _)| *place == gone.place) {
                self.latest.remove(&gone.id);
            }
        }
    }
}

fn eighths(part: usize, whole: usize) -> bool {
    whole.saturating_mul(7) < part.saturating_mul(8)
}

/// What a version of a reservation takes in memory, in bytes, roughly.
fn size(reservation: &Reservation) -> u64 {
    let plan = &reservation.plan;
    let parts = [
        (1, size_of::<Reservation>().saturating_add(size_of::<Changed>()).saturating_add(256)),
        (plan.lanes().count().saturating_add(reservation.kept.len()), 64),
        (plan.ways.iter().map(|way| way.route.via().len()).sum(), 48),
        (plan.segments.len(), size_of::<Segment>()),
        (plan.segments.iter().map(|segment| segment.amounts.len()).sum(), size_of::<u64>()),
    ];
    let whole = parts.map(|(count, each)| count.saturating_mul(each));
    u64::try_from(whole.into_iter().fold(0, usize::saturating_add)).unwrap_or(u64::MAX)
}

/// The reservations that a change touches.
fn touched(change: &Change) -> &[ReservationId] {
    match change {
        Change::Reserved(reserved) => std::slice::from_ref(&reserved.id),
        Change::Confirmed { id } | Change::HoldExtended { id, .. } | Change::Closed { id, .. } => {
            std::slice::from_ref(id)
        }
        Change::Modified(modified) => std::slice::from_ref(&modified.id),
        Change::Moved(moved) => std::slice::from_ref(&moved.id),
        Change::Curtailed { id, .. } => std::slice::from_ref(id),
        Change::Forgotten { reservations, .. } => reservations,
        // What they change of a reservation is not shown of it, or is not told by itself.
        Change::Settled { .. } | Change::Metered { .. } => &[],
        Change::TopologyApplied { .. }
        | Change::PolicyApplied { .. }
        | Change::Drained { .. }
        | Change::Undrained { .. }
        | Change::MaintenanceCreated { .. }
        | Change::MaintenanceEnded { .. }
        | Change::SessionOpened { .. }
        | Change::SessionEnded { .. } => &[],
    }
}

/// The sessions that should hear of a change at once. What a new reservation is, its holder hears
/// by the answer.
pub(crate) fn concerned(change: &Change, machine: &Machine) -> Vec<SessionId> {
    let holder = |id: ReservationId| {
        machine.reservation(id).and_then(|found| found.session).into_iter().collect()
    };
    match change {
        Change::Confirmed { id }
        | Change::HoldExtended { id, .. }
        | Change::Curtailed { id, .. }
        | Change::Closed { id, .. } => holder(*id),
        Change::Modified(modified) => holder(modified.id),
        Change::Moved(moved) => holder(moved.id),
        Change::SessionEnded { id, .. } => vec![*id],
        Change::Drained { resource } | Change::Undrained { resource } => {
            machine.sessions_on(resource)
        }
        Change::Reserved(_)
        | Change::Settled { .. }
        | Change::Metered { .. }
        | Change::Forgotten { .. }
        | Change::PolicyApplied { .. }
        | Change::TopologyApplied { .. }
        | Change::MaintenanceCreated { .. }
        | Change::MaintenanceEnded { .. }
        | Change::SessionOpened { .. } => Vec::new(),
    }
}

/// Where a watch was, to go on behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    /// The process that told it.
    pub(crate) life: u64,
    /// The last place that was told.
    pub(crate) place: Place,
    /// The batch at which the watch began: what was closed by then was never told.
    pub(crate) begin: u64,
    /// What was asked for.
    pub(crate) digest: u64,
}

/// As 72 hexadecimal digits behind the version of this form.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { life, place: Place { sequence, nth }, begin, digest } = self;
        write!(f, "w1-{life:016x}{sequence:016x}{nth:08x}{begin:016x}{digest:016x}")
    }
}

impl FromStr for Token {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix("w1-").ok_or(())?;
        let plain = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if digits.len() != 72 || !digits.bytes().all(plain) {
            return Err(());
        }
        let number = |from: usize, to: usize| {
            let digits = digits.get(from..to).ok_or(())?;
            u64::from_str_radix(digits, 16).map_err(drop)
        };
        let nth = u32::try_from(number(32, 40)?).map_err(drop)?;
        let place = Place { sequence: number(16, 32)?, nth };
        Ok(Self { life: number(0, 16)?, place, begin: number(40, 56)?, digest: number(56, 72)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written_and_nothing_else_is() {
        let place = Place { sequence: u64::MAX, nth: 7 };
        let token = Token { life: 1, place, begin: 3, digest: u64::MAX };
        let text = token.to_string();
        assert_eq!(text.parse(), Ok(token));
        let upper = text.to_uppercase();
        let wrong = ["", "w1-", &text[1..], &text[..74], &format!("{text}0"), &upper];
        for wrong in wrong {
            assert_eq!(wrong.parse::<Token>(), Err(()), "{wrong}");
        }
    }
}
