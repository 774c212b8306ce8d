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

/// What went up on one stream and was not answered yet.
struct Beats {
    queue: mpsc::Sender<v1::KeepAliveRequest>,
    sequence: i64,
    unanswered: VecDeque<Sent>,
    /// Poked while an extra beat was under way already: one more is due when it is answered.
    poked_again: bool,
}

/// A beat that was sent.
#[derive(Clone, Copy)]
struct Sent {
    sequence: i64,
    at: BootTime,
    /// Out of turn, because the broker has news.
    extra: bool,
}

impl Beats {
    /// Sends one more. Its time is taken first: what lies between can only shorten the lease.
    fn send(&mut self, shared: &Shared, extra: bool) -> Result<(), ClientError> {
        let now = BootTime::now();
        self.sequence += 1;
        let beat = v1::KeepAliveRequest {
            session: wire::to_session(Some(shared.id)),
            sequence: self.sequence,
            usage: shared.usage(),
        };
        self.queue.try_send(beat).map_err(|_| lost("it takes no more beats"))?;
        self.unanswered.push_back(Sent { sequence: self.sequence, at: now, extra });
        Ok(())
    }

    /// The broker has news: a beat out of turn hears it. There is at most one under way, and what
    /// has changed since it was sent is heard by one more after it.
    fn poked(&mut self, shared: &Shared) -> Result<(), ClientError> {
        self.poked_again = self.unanswered.iter().any(|sent| sent.extra);
        if self.poked_again { Ok(()) } else { self.send(shared, true) }
    }

    /// Beats in turn that are not answered yet.
    fn owed(&self) -> usize {
        self.unanswered.iter().filter(|sent| !sent.extra).count()
    }

    /// When the beat was sent that `sequence` answers; `None` for one that was answered before.
    fn answered(&mut self, sequence: i64) -> Option<BootTime> {
        let sent = self.unanswered.iter().find(|sent| sent.sequence == sequence)?.at;
        self.unanswered.retain(|sent| sent.sequence > sequence);
        Some(sent)
    }
}

fn lost(why: &str) -> ClientError {
    ClientError::Unreachable { why: format!("the session's stream: {why}"), retry_after: None }
}

async fn one_stream(shared: &Shared, closing: &CancellationToken) -> Fate {
    let deadline = shared.client.settings().deadline;
    let (queue, inbox) = mpsc::channel(QUEUE_MAX);
    let mut beats = Beats { queue, sequence: 0, unanswered: VecDeque::new(), poked_again: false };
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
            answer = answers.message() => answer,
        };
        if !take(shared, beats, answer)? {
            return Ok(Some(Fate::Over));
        }
    }
    // Beats that are not answered within the deadline are a broken stream, whatever TCP thinks.
    let patience = shared.client.settings().deadline.as_nanos().div_ceil(beat_every.as_nanos());
    if u128::try_from(beats.owed()).unwrap_or(u128::MAX) >= patience.max(1) {
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
    let Some(sent) = beats.answered(answer.sequence) else { return Ok(true) };
    let lives = shared.hear(&answer, sent)?;
    if lives && std::mem::take(&mut beats.poked_again) {
        beats.poked(shared)?;
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
    let last = beats.sequence;
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
