//! The task behind a session: one stream after the other, a beat every few seconds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidegate_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use v1::session_service_client::SessionServiceClient;

use crate::clock::BootTime;
use crate::error::ClientError;
use crate::session::{SessionPhase, Shared};
use crate::wire;

/// Beats that may wait on this side for a slow transport.
const QUEUE_MAX: usize = 4;

/// The sequence of a word that answers no beat: something has changed, beat at once to hear what.
const POKE: i64 = 0;

/// Why a stream ended.
enum Fate {
    /// This side closes the session.
    Closing,
    /// The broker says that the session is over.
    Over,
    /// Worth another stream; `heard` tells whether this one ever answered.
    Broken { error: ClientError, heard: bool },
}

/// Keeps the session alive until it is closed or over. Returns how closing went.
pub(crate) async fn keep_alive(
    shared: Arc<Shared>,
    closing: CancellationToken,
) -> Result<(), ClientError> {
    let retry = shared.client.settings().retry;
    let mut pauses = retry.endless();
    loop {
        match one_stream(&shared, &closing).await {
            Fate::Closing => break,
            Fate::Over => {
                tracing::warn!(session = %shared.id, "the broker ended the session");
                shared.end(SessionPhase::Lost);
                return Ok(());
            }
            Fate::Broken { error, heard } => {
                tracing::warn!(session = %shared.id, %error, "the session's stream broke");
                shared.silent();
                if heard {
                    pauses = retry.endless();
                }
            }
        }
        let pause = pauses.next().unwrap_or(retry.longest_pause);
        tokio::select! {
            () = closing.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    // Nothing may be sent any more before the broker is told so.
    shared.end(SessionPhase::Closed);
    shared.client.close_session_call(shared.id).await
}

/// The beats of one stream.
struct Beats {
    queue: mpsc::Sender<v1::KeepAliveRequest>,
    unanswered: Unanswered,
}

/// What went up on one stream and was not answered yet.
#[derive(Debug, Default)]
pub struct Unanswered {
    sequence: i64,
    beats: VecDeque<Sent>,
    /// Poked while an extra beat was under way already: one more is due when it is answered.
    poked_again: bool,
}

/// A beat that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    sequence: i64,
    at: BootTime,
    /// Out of turn, because there are news.
    extra: bool,
}

impl Beats {
    /// Sends one more. Its time is taken first: what lies between can only shorten the lease.
    fn send(&mut self, shared: &Shared, extra: bool) -> Result<(), ClientError> {
        let now = BootTime::now();
        let beat = v1::KeepAliveRequest {
            session: wire::to_session(Some(shared.id)),
            sequence: self.unanswered.next(),
            usage: shared.usage(),
        };
        self.queue.try_send(beat).map_err(|_| lost("it takes no more beats"))?;
        self.unanswered.sent(now, extra);
        Ok(())
    }

    fn poked(&mut self, shared: &Shared) -> Result<(), ClientError> {
        if self.unanswered.poked() { self.send(shared, true) } else { Ok(()) }
    }
}

impl Unanswered {
    /// The sequence of the next beat.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.sequence.saturating_add(1)
    }

    /// The next beat was sent, its time taken before.
    pub fn sent(&mut self, at: BootTime, extra: bool) {
        self.sequence = self.next();
        self.beats.push_back(Sent { sequence: self.sequence, at, extra });
    }

    /// There are news on one of the two sides: a beat out of turn tells them. There is at most one under way, and what
    /// has changed since it was sent is heard by one more after it. Returns whether one is due now.
    pub fn poked(&mut self) -> bool {
        self.poked_again = self.beats.iter().any(|sent| sent.extra);
        !self.poked_again
    }

    /// Whether the news of a poke were too late for the beat under way.
    pub fn poked_again(&mut self) -> bool {
        std::mem::take(&mut self.poked_again) && self.poked()
    }

    /// Beats in turn that are not answered yet.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.beats.iter().filter(|sent| !sent.extra).count()
    }

    /// When the beat was sent that `sequence` answers; `None` for one that was answered before.
    pub fn answered(&mut self, sequence: i64) -> Option<BootTime> {
        let sent = self.beats.iter().find(|sent| sent.sequence == sequence)?.at;
        self.beats.retain(|sent| sent.sequence > sequence);
        Some(sent)
    }
}

fn lost(why: &str) -> ClientError {
    ClientError::Unreachable { why: format!("the session's stream: {why}"), retry_after: None }
}

async fn one_stream(shared: &Shared, closing: &CancellationToken) -> Fate {
    let deadline = shared.client.settings().deadline;
    let (queue, inbox) = mpsc::channel(QUEUE_MAX);
    let mut beats = Beats { queue, unanswered: Unanswered::default() };
    if let Err(error) = beats.send(shared, false) {
        return Fate::Broken { error, heard: false };
    }
    let mut service = SessionServiceClient::new(shared.client.channel());
    let open = tokio::time::timeout(deadline, service.keep_alive(ReceiverStream::new(inbox)));
    let opened = tokio::select! {
        () = closing.cancelled() => return Fate::Closing,
        opened = open => opened,
    };
    let mut answers = match opened {
        Ok(Ok(answers)) => answers.into_inner(),
        Ok(Err(status)) => return fate(ClientError::from_status(&status, deadline), false),
        Err(_) => return fate(ClientError::Deadline { after: deadline }, false),
    };
    let mut heard = false;
    loop {
        match one_beat(shared, closing, &mut beats, &mut answers).await {
            Ok(None) => heard = true,
            Ok(Some(fate)) => {
                if matches!(fate, Fate::Closing) {
                    last_words(shared, &mut beats, &mut answers).await;
                }
                return fate;
            }
            Err(error) => return fate(error, heard),
        }
    }
}

/// Listens until the next beat is due, and sends it. `Some` ends the stream.
async fn one_beat(
    shared: &Shared,
    closing: &CancellationToken,
    beats: &mut Beats,
    answers: &mut Streaming<v1::KeepAliveResponse>,
) -> Result<Option<Fate>, ClientError> {
    let beat_every = shared.lease().beat_every;
    let mut due = std::pin::pin!(tokio::time::sleep(beat_every));
    loop {
        let answer = tokio::select! {
            () = closing.cancelled() => return Ok(Some(Fate::Closing)),
            () = &mut due => break,
            () = shared.urgent.notified() => {
                beats.poked(shared)?;
                continue;
            }
            answer = answers.message() => answer,
        };
        if !take(shared, beats, answer)? {
            return Ok(Some(Fate::Over));
        }
    }
    // Beats that are not answered within the deadline are a broken stream, whatever TCP thinks.
    let patience = shared.client.settings().deadline.as_nanos().div_ceil(beat_every.as_nanos());
    if u128::try_from(beats.unanswered.owed()).unwrap_or(u128::MAX) >= patience.max(1) {
        return Err(ClientError::Deadline { after: shared.client.settings().deadline });
    }
    beats.send(shared, false)?;
    Ok(None)
}

/// Takes in what came down. Returns whether the session lives.
fn take(
    shared: &Shared,
    beats: &mut Beats,
    answer: Result<Option<v1::KeepAliveResponse>, tonic::Status>,
) -> Result<bool, ClientError> {
    let deadline = shared.client.settings().deadline;
    let answer = answer.map_err(|status| ClientError::from_status(&status, deadline))?;
    let answer = answer.ok_or_else(|| lost("the broker ended it"))?;
    if answer.sequence == POKE {
        beats.poked(shared)?;
        return Ok(true);
    }
    let Some(sent) = beats.unanswered.answered(answer.sequence) else { return Ok(true) };
    let lives = shared.hear(&answer, sent)?;
    if lives && beats.unanswered.poked_again() {
        beats.send(shared, true)?;
    }
    Ok(lives)
}

/// What an error says about the session itself.
fn fate(error: ClientError, heard: bool) -> Fate {
    match error {
        ClientError::NotFound { .. }
        | ClientError::SessionEnded { .. }
        | ClientError::FailedPrecondition { .. } => Fate::Over,
        error => Fate::Broken { error, heard },
    }
}

/// Stops everything, then reports the last bytes; as long as one call may take at most.
async fn last_words(
    shared: &Shared,
    beats: &mut Beats,
    answers: &mut Streaming<v1::KeepAliveResponse>,
) {
    shared.end(SessionPhase::Closed);
    if beats.send(shared, false).is_err() {
        return;
    }
    let last = beats.unanswered.sequence;
    let told = async {
        while let Ok(Some(answer)) = answers.message().await {
            if answer.sequence >= last {
                return;
            }
        }
    };
    let patience: Duration = shared.client.settings().deadline;
    if tokio::time::timeout(patience, told).await.is_err() {
        tracing::debug!(session = %shared.id, "the last usage report was not answered");
    }
}
