//! The published state: what readers see, and nothing that is not durable yet.
//!
//! It is a second machine that follows the same events, behind the journal instead of before it.
//! That costs its memory again, and buys that no read waits for the writer or is waited for, and
//! that what is shown can never be taken back.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use tidegate_core::{Corrupt, Event, Machine, Note};
use tokio::sync::Notify;

use crate::changes::{self, Changes};
use crate::pokes::Pokes;
use crate::reports::fact::{self, Fact, Reporter};
use crate::reports::refused::Refused;

/// The published state, for whoever reads.
#[derive(Debug)]
pub(crate) struct View {
    shared: RwLock<Published>,
    pokes: Pokes,
    /// Who accounts for what is published.
    reporter: Reporter,
    moved: Notify,
}

/// The published state.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) machine: Machine,
    /// The last batch of the journal that it has followed.
    pub(crate) sequence: u64,
    /// What led to it lately.
    pub(crate) changes: Changes,
}

impl View {
    pub(crate) fn new(
        machine: Machine,
        sequence: u64,
        changes: Changes,
        reporter: Reporter,
    ) -> Self {
        let shared = RwLock::new(Published { machine, sequence, changes });
        Self { shared, pokes: Pokes::default(), reporter, moved: Notify::new() }
    }

    /// The state as it is published now. Hold it for as long as one answer takes.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Published> {
        // A reader cannot leave the state half changed, and a writer that panics ends the process.
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The streams that hear of changes to their session.
    pub(crate) fn pokes(&self) -> &Pokes {
        &self.pokes
    }

    /// Waits until something was published since the last wait ended. For one that waits.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Follows what has become durable.
    pub(crate) fn publish(
        &self,
        events: &[Event],
        notes: &[Note],
        refused: Vec<Refused>,
        sequence: u64,
    ) -> Result<(), Corrupt> {
        let mut published = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        let Published { machine, sequence: followed, changes } = &mut *published;
        let mut concerned = Vec::new();
        for event in events {
            let touched = changes.before(machine, &event.change);
            machine.apply(event)?;
            for (id, before) in touched {
                let after = changes.push(machine, sequence, (id, before.clone()));
                let changed = fact::Changed { id, at: event.at, before, after };
                self.reporter.tell(Fact::Changed(changed.into()));
            }
            concerned.extend(changes::concerned(&event.change, machine));
        }
        for note in notes {
            machine.note(note);
            if let Note::Used { reservation: id, at, .. } = *note {
                self.reporter.tell(Fact::Used { id, at });
            }
        }
        for refused in refused {
            self.reporter.tell(Fact::Refused(refused.into()));
        }
        *followed = sequence;
        // Nobody is waited for: what follows wakes others and returns.
        drop(published);
        for session in concerned {
            self.pokes.poke(session);
        }
        if !events.is_empty() {
            self.moved.notify_one();
        }
        Ok(())
    }
}
