//! Many questions on one stream, without waiting for each answer.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidegate_policy::SessionId;
use tidegate_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use v1::admit_request::Ask as Wire;
use v1::reservation_service_client::ReservationServiceClient;

use crate::ask::Ask;
use crate::change::Change;
use crate::clock::BootTime;
use crate::connect::Client;
use crate::error::ClientError;
use crate::refusal::Refusal;
use crate::reservation::{Etag, Outcome, Reservation, ReservationName, Timing};
use crate::wire;

/// A question that can be asked on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// For a reservation.
    Reserve(Ask),
    /// To confirm a hold.
    Confirm {
        /// Which one.
        name: ReservationName,
        /// Only if this is still its etag.
        only_if: Option<Etag>,
    },
    /// To change a reservation, on behalf of somebody else than its holder.
    Update {
        /// Which one.
        name: ReservationName,
        /// What is to change.
        change: Change,
    },
    /// To give a reservation back.
    Release {
        /// Which one.
        name: ReservationName,
        /// The session that it is bound to, as the word that nothing is sent any more.
        holder: Option<SessionId>,
        /// Only if this is still its etag.
        only_if: Option<Etag>,
    },
}

impl From<Ask> for Question {
    fn from(ask: Ask) -> Self {
        Self::Reserve(ask)
    }
}

impl Question {
    fn to_wire(&self) -> Result<Wire, ClientError> {
        Ok(match self {
            Self::Reserve(ask) => Wire::Create(ask.to_wire()?),
            Self::Confirm { name, only_if } => Wire::Confirm(v1::ConfirmReservationRequest {
                name: name.to_string(),
                request_id: wire::new_request_id().to_string(),
                etag: wire::to_etag(only_if.as_ref()),
                ..v1::ConfirmReservationRequest::default()
            }),
            Self::Update { name, change } => Wire::Update(change.to_wire(name, None)),
            Self::Release { name, holder, only_if } => {
                Wire::Release(v1::ReleaseReservationRequest {
                    name: name.to_string(),
                    request_id: wire::new_request_id().to_string(),
                    session: wire::to_session(*holder),
                    etag: wire::to_etag(only_if.as_ref()),
                    ..v1::ReleaseReservationRequest::default()
                })
            }
        })
    }
}

/// Asks many things on one stream, up to [`Admission::WINDOW`] under way; answers come as they
/// become durable, in any order. Clones share the stream.
///
/// A stream that breaks is made anew and what was not answered is asked again, with the same
/// request ids, as often as the [`RetryPolicy`](crate::retry::RetryPolicy) says; then each question
/// under way gets the error. It ends when its last clone and the last answer are gone.
///
/// ```no_run
/// # use tidegate_client::{Ask, Client, ClientError, Outcome};
/// # async fn run(client: Client, asks: Vec<Ask>) -> Result<(), ClientError> {
/// let admission = client.admit();
/// let mut answers = Vec::new();
/// for ask in asks {
///     answers.push(admission.ask(ask).await?);
/// }
/// for answer in answers {
///     match answer.await? {
///         Outcome::Granted(it) => println!("{} from {}", it.rate, it.start),
///         Outcome::Refused(refusal) => println!("{refusal}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Admission {
    queue: mpsc::Sender<Submitted>,
    window: Arc<Semaphore>,
}

/// The answer to one question, once it is there. Dropping it does not take the question back.
#[must_use = "the answer has to be awaited"]
pub struct Pending {
    answer: oneshot::Receiver<Result<Outcome, ClientError>>,
}

/// A question on its way, with its place in the window.
#[derive(Debug)]
struct Submitted {
    ask: Wire,
    answer: oneshot::Sender<Result<Outcome, ClientError>>,
    /// When it was first sent.
    sent: Option<BootTime>,
    /// Given back with the answer.
    _place: OwnedSemaphorePermit,
}

impl Client {
    /// A stream for many questions. It is opened by the first one. Must be called inside a tokio
    /// runtime.
    #[must_use]
    pub fn admit(&self) -> Admission {
        let (queue, inbox) = mpsc::channel(Admission::WINDOW);
        let worker =
            Worker { client: self.clone(), inbox, under_way: BTreeMap::new(), next: 1, open: true };
        tokio::spawn(worker.run());
        Admission { queue, window: Arc::new(Semaphore::new(Admission::WINDOW)) }
    }
}

impl Admission {
    /// The most questions under way.
    pub const WINDOW: usize = 256;

    /// Asks; waits only for room in the window. The answer is awaited by itself.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] for an [`Ask`] that contradicts itself. What the broker says comes
    /// with the answer.
    pub async fn ask(&self, question: impl Into<Question>) -> Result<Pending, ClientError> {
        let ask = question.into().to_wire()?;
        let (sender, answer) = oneshot::channel();
        let place = Arc::clone(&self.window).acquire_owned().await;
        let place = place.map_err(|_| gone())?;
        let submitted = Submitted { ask, answer: sender, sent: None, _place: place };
        self.queue.send(submitted).await.map_err(|_| gone())?;
        Ok(Pending { answer })
    }
}

/// Only a runtime that shuts down ends the worker early.
fn gone() -> ClientError {
    ClientError::Unreachable { why: "the runtime is shutting down".into(), retry_after: None }
}

impl Future for Pending {
    type Output = Result<Outcome, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| answer.unwrap_or_else(|_| Err(gone())))
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

struct Worker {
    client: Client,
    inbox: mpsc::Receiver<Submitted>,
    under_way: BTreeMap<i64, Submitted>,
    next: i64,
    /// Whether more may be asked.
    open: bool,
}

/// How a stream ended.
enum Ended {
    /// Everything is answered, and nothing more will be asked.
    Done,
    /// `heard` tells whether it ever answered.
    Broken { error: ClientError, heard: bool },
}

impl Worker {
    async fn run(mut self) {
        let retry = self.client.settings().retry;
        let tries = retry.tries.get();
        let mut failed = 0;
        let mut pauses = retry.endless();
        loop {
            if self.under_way.is_empty() {
                failed = 0;
                pauses = retry.endless();
                match self.inbox.recv().await {
                    Some(submitted) => drop(self.accept(submitted)),
                    None => return,
                }
            }
            let Ended::Broken { error, heard } = self.one_stream().await else { return };
            if heard {
                failed = 0;
                pauses = retry.endless();
            }
            failed += 1;
            let pause = pauses.next().unwrap_or(retry.longest_pause);
            let pause = retry.honour(error.retry_after(), pause);
            match pause.filter(|_| failed < tries && error.is_unreachable()) {
                Some(pause) => {
                    tracing::debug!(%error, ?pause, "asking again on a new stream");
                    tokio::time::sleep(pause).await;
                }
                None => self.fail(&error),
            }
        }
    }

    /// Takes in a question; the message that asks it.
    fn accept(&mut self, submitted: Submitted) -> v1::AdmitRequest {
        let sequence = self.next;
        self.next += 1;
        let ask = Some(submitted.ask.clone());
        self.under_way.insert(sequence, submitted);
        v1::AdmitRequest { sequence, ask }
    }

    fn fail(&mut self, error: &ClientError) {
        for (_, submitted) in std::mem::take(&mut self.under_way) {
            // Whoever dropped the answer does not want it.
            drop(submitted.answer.send(Err(error.clone())));
        }
    }

    /// Asks what is under way, then what comes in, until the stream breaks or all is done.
    async fn one_stream(&mut self) -> Ended {
        let deadline = self.client.settings().deadline;
        // Room for all that may be under way: sending never waits.
        let (questions, outbox) = mpsc::channel(Admission::WINDOW);
        let now = BootTime::now();
        for (sequence, submitted) in &mut self.under_way {
            submitted.sent.get_or_insert(now);
            let again = v1::AdmitRequest { sequence: *sequence, ask: Some(submitted.ask.clone()) };
            drop(questions.try_send(again));
        }
        let mut service = ReservationServiceClient::new(self.client.channel());
        let opened = tokio::time::timeout(deadline, service.admit(ReceiverStream::new(outbox)));
        let broken = |error, heard| Ended::Broken { error, heard };
        let mut answers = match opened.await {
            Ok(Ok(answers)) => answers.into_inner(),
            Ok(Err(status)) => return broken(ClientError::from_status(&status, deadline), false),
            Err(_) => return broken(ClientError::Deadline { after: deadline }, false),
        };
        let mut heard = false;
        loop {
            match self.turn(&questions, &mut answers).await {
                Ok(Some(answered)) => heard |= answered,
                Ok(None) => return Ended::Done,
                Err(error) => return broken(error, heard),
            }
        }
    }

    /// One question up or one answer down, which `true` tells; `None` when all is done.
    async fn turn(
        &mut self,
        questions: &mpsc::Sender<v1::AdmitRequest>,
        answers: &mut Streaming<v1::AdmitResponse>,
    ) -> Result<Option<bool>, ClientError> {
        if !self.open && self.under_way.is_empty() {
            return Ok(None);
        }
        let deadline = self.client.settings().deadline;
        let waiting = !self.under_way.is_empty();
        // Reset by every turn: it measures silence, and answers may take their time one by one.
        let silence = tokio::time::sleep(deadline);
        tokio::select! {
            answer = answers.message() => {
                let answer = answer.map_err(|status| ClientError::from_status(&status, deadline))?;
                let answer = answer.ok_or_else(|| ClientError::Unreachable {
                    why: "the broker ended the stream".into(),
                    retry_after: None,
                })?;
                self.answered(answer);
                Ok(Some(true))
            }
            submitted = self.inbox.recv(), if self.open => {
                match submitted {
                    Some(mut submitted) => {
                        submitted.sent = Some(BootTime::now());
                        let question = self.accept(submitted);
                        questions.try_send(question).map_err(|_| ClientError::Unreachable {
                            why: "the stream takes no more questions".into(),
                            retry_after: None,
                        })?;
                    }
                    None => self.open = false,
                }
                Ok(Some(false))
            }
            () = silence, if waiting => Err(ClientError::Deadline { after: deadline }),
        }
    }

    fn answered(&mut self, answer: v1::AdmitResponse) {
        use v1::admit_response::Outcome as Answer;
        // One that was answered before, on the stream that broke, is not under way any more.
        let Some(submitted) = self.under_way.remove(&answer.sequence) else { return };
        let received = BootTime::now();
        let timing = Timing { sent: submitted.sent.unwrap_or(received), received };
        let outcome = match answer.outcome {
            Some(Answer::Reservation(it)) => {
                Reservation::from_wire(it, timing).map(Outcome::Granted)
            }
            Some(Answer::Refusal(it)) => Refusal::from_wire(it, timing).map(Outcome::Refused),
            Some(Answer::Error(error)) => Err(ClientError::from_item(error)),
            None => Err(ClientError::bad("outcome", "it is neither yes nor no nor an error")),
        };
        drop(submitted.answer.send(outcome));
    }
}
