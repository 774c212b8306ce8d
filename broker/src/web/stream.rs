//! `/events/stream`: changes of reservations as server-sent events, each a piece of the page.
//!
//! Nobody waits for a page. Each reads the published changes by itself, a few times a second at most,
//! and where more has changed than a page shows, only the last ones are told.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::pages;
use crate::changes::{Changed, Place};
use crate::clock;
use crate::rpc::Rpc;

/// The most pages that follow changes at once.
const STREAMS_MAX: usize = 64;
/// The most changes that are told at once: as many as the page shows.
const TOLD_MAX: usize = 100;
/// How often a page is told something at most.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// After so long a silence a comment shows that the line is alive.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Who takes nothing for so long is cut.
const STALL_MAX: Duration = Duration::from_secs(30);
/// How long a stream lasts: its browser comes again by itself, and whoever is gone unnoticed is let go.
const LONGEST: Duration = Duration::from_secs(3600);

/// The places for pages that follow changes.
#[derive(Clone, Debug)]
pub(super) struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS_MAX)))
    }
}

impl Streams {
    /// Changes from now on, or a refusal where all places are taken.
    pub(super) fn answer(&self, rpc: &Rpc) -> Response {
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else {
            let why = "64 pages follow changes already; load this one again to see the last ones\n";
            let later = [(header::RETRY_AFTER, "30")];
            return (StatusCode::SERVICE_UNAVAILABLE, later, why).into_response();
        };
        let (teller, told) = mpsc::channel(1);
        let follower = Follower {
            place: Place::all_of(rpc.view.read().sequence),
            moved: rpc.watching.moved(),
            rpc: rpc.clone(),
            teller,
        };
        tokio::spawn(follower.run(place));
        let headers = [(header::CONTENT_TYPE, "text/event-stream")];
        let told = ReceiverStream::new(told).map(Ok::<_, Infallible>);
        (headers, Body::from_stream(told)).into_response()
    }
}

/// What tells one page.
struct Follower {
    rpc: Rpc,
    moved: watch::Receiver<()>,
    teller: mpsc::Sender<String>,
    /// The last change that was told, or passed over.
    place: Place,
}

/// Its page is gone, or the broker stops.
struct Gone;

impl Follower {
    async fn run(mut self, place: OwnedSemaphorePermit) {
        let until = clock::deadline_in(LONGEST);
        let told = async {
            // How soon a browser comes again once the stream has ended.
            self.tell("retry: 5000\n\n".into()).await?;
            while !clock::has_passed(until) {
                self.step().await?;
            }
            Ok::<(), Gone>(())
        };
        let ended = told.await;
        drop(place);
        if ended.is_err() {
            tracing::debug!("a page has stopped following changes");
        }
    }

    async fn step(&mut self) -> Result<(), Gone> {
        self.moved.mark_unchanged();
        let changes = self.news();
        if changes.is_empty() {
            return self.wait().await;
        }
        let mut text = String::new();
        for changed in &changes {
            let piece = pages::change(changed, self.rpc.clock.now()).into_string();
            text.push_str(&event(&piece));
        }
        self.tell(text).await?;
        tokio::select! {
            () = tokio::time::sleep(TELL_EVERY) => Ok(()),
            () = self.rpc.stop.cancelled() => Err(Gone),
        }
    }

    /// The last changes behind the place, in order.
    fn news(&mut self) -> Vec<Changed> {
        let published = self.rpc.view.read();
        let behind = |changed: &&Changed| self.place < changed.place;
        let latest = published.changes.latest(None).take_while(behind).take(TOLD_MAX);
        let mut news: Vec<Changed> = latest.cloned().collect();
        news.reverse();
        self.place = Place::all_of(published.sequence);
        news
    }

    /// Until something was published; a silence is broken.
    async fn wait(&mut self) -> Result<(), Gone> {
        tokio::select! {
            moved = self.moved.changed() => moved.map_err(|_| Gone),
            () = self.rpc.stop.cancelled() => Err(Gone),
            () = self.teller.closed() => Err(Gone),
            () = tokio::time::sleep(SILENCE_MAX) => self.tell(": still here\n\n".into()).await,
        }
    }

    async fn tell(&self, text: String) -> Result<(), Gone> {
        let sent = tokio::time::timeout(STALL_MAX, self.teller.send(text));
        tokio::select! {
            sent = sent => sent.map_err(|_| Gone)?.map_err(|_| Gone),
            () = self.rpc.stop.cancelled() => Err(Gone),
        }
    }
}

/// A piece of the page as one event: its lines are its data.
fn event(piece: &str) -> String {
    let mut event = String::from("event: change\n");
    for line in piece.lines() {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_an_event_early() {
        assert_eq!(event("<li>a</li>"), "event: change\ndata: <li>a</li>\n\n");
        assert_eq!(event("a\n\nevent: b"), "event: change\ndata: a\ndata: \ndata: event: b\n\n");
    }
}
