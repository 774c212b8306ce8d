//! The published state: what readers see, and nothing that is not durable yet.
//!
//! It is a second machine that follows the same events, behind the journal instead of before it.
//! That costs its memory again, and buys that no read waits for the writer or is waited for, and
//! that what is shown can never be taken back.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use tidegate_core::{Corrupt, Event, Machine, Note};

/// The published state, for whoever reads.
#[derive(Debug)]
pub(crate) struct View {
    shared: RwLock<Published>,
}

/// The published state.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) machine: Machine,
    /// The last batch of the journal that it has followed.
    pub(crate) sequence: u64,
}

impl View {
    pub(crate) fn new(machine: Machine, sequence: u64) -> Self {
        Self { shared: RwLock::new(Published { machine, sequence }) }
    }

    /// The state as it is published now. Hold it for as long as one answer takes.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Published> {
        // A reader cannot leave the state half changed, and a writer that panics ends the process.
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows what has become durable.
    pub(crate) fn publish(
        &self,
        events: &[Event],
        notes: &[Note],
        sequence: u64,
    ) -> Result<(), Corrupt> {
        let mut published = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            published.machine.apply(event)?;
        }
        for note in notes {
            published.machine.note(note);
        }
        published.sequence = sequence;
        Ok(())
    }
}
