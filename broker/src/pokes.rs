//! Tells the streams of a session that something has changed, so that its agent sends a beat at
//! once. What waits is that something has changed, never how often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_policy::SessionId;
use tokio::sync::watch;

/// How a stream is told: of which session something has changed.
pub(crate) type Sender = watch::Sender<Option<SessionId>>;

/// The streams that are open, by session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pokes {
    streams: Arc<Mutex<HashMap<SessionId, Vec<Sender>>>>,
}

/// One stream's place among them; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Poked {
    pokes: Pokes,
    session: SessionId,
    sender: Sender,
}

impl Pokes {
    /// Tells every stream of a session. It waits for none of them.
    pub(crate) fn poke(&self, session: SessionId) {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams.get(&session).into_iter().flatten() {
            stream.send_replace(Some(session));
        }
    }

    /// From now on the stream hears of this session.
    pub(crate) fn join(&self, session: SessionId, sender: &Sender) -> Poked {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.entry(session).or_default().push(sender.clone());
        Poked { pokes: self.clone(), session, sender: sender.clone() }
    }
}

impl Poked {
    pub(crate) fn session(&self) -> SessionId {
        self.session
    }
}

impl Drop for Poked {
    fn drop(&mut self) {
        let mut streams = self.pokes.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = streams.get_mut(&self.session) {
            open.retain(|sender| !sender.same_channel(&self.sender));
            if open.is_empty() {
                streams.remove(&self.session);
            }
        }
    }
}
