//! What a service manager is told: that the broker serves, that it is alive, that it stops.
//!
//! It is told over the socket that `NOTIFY_SOCKET` names, as systemd does; without one nobody is told.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::writer::Queue;

/// Tells whether a broker is alive: a timer that goes on while nothing is decided proves nothing.
#[derive(Clone, Debug)]
pub struct Pulse {
    pub(crate) queue: Queue,
}

impl Pulse {
    /// Whether the writer has taken something from its queue and the recorder has answered it, within so
    /// long: behind all that was asked before, and behind the sync that is under way.
    pub async fn is_felt(&self, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.queue.ping()).await, Ok(Ok(())))
    }
}

/// The broker serves at this address.
pub fn ready(address: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("serves at {address}"))]);
}

/// The broker was told to stop.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stops: answers what is under way")]);
}

/// Tells that the broker is alive as often as the service manager wants to hear it, if it does, and for
/// as long as that is true. Never ends.
pub async fn watch(pulse: Pulse) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    // Three signs of life in the time in which one is missed.
    let (every, mut lives) = (patience / 3, true);
    loop {
        let felt = pulse.is_felt(every).await;
        if felt {
            tell(&[NotifyState::Watchdog]);
        } else if lives {
            tracing::error!(
                ?every,
                "the writer or the journal does not answer; the watchdog hears nothing"
            );
        }
        lives = felt;
        tokio::time::sleep(every).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how this broker stands");
    }
}
