//! `Admit`: many questions on one stream.

use std::time::Duration;

use tidegate_proto::v1;
use tidegate_proto::v1::admit_request::Ask;
use tidegate_proto::v1::admit_response::Outcome;
use tidegate_proto::v1::create_reservation_response::Outcome as Created;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument, Span};

use super::Rpc;
use crate::convert::request::{self, Mutation};
use crate::deadline;
use crate::fields::Fields;
use crate::status::Failure;
use crate::trace::decision;
use crate::writer::Answered;

/// The most questions of one stream that are under way; no more are read meanwhile.
const UNDER_WAY_MAX: usize = 256;
/// Answers that wait for a slow reader.
const ANSWERS_MAX: usize = 64;
/// Whoever takes no answer for so long has lost its stream.
const UNREAD_MAX: Duration = Duration::from_secs(30);

/// The same once the broker stops.
const LAST_MAX: Duration = Duration::from_secs(1);

type Answers = mpsc::Sender<v1::AdmitResponse>;

impl Rpc {
    pub(super) fn admitted(
        &self,
        request: Request<Streaming<v1::AdmitRequest>>,
    ) -> Response<BoxStream<v1::AdmitResponse>> {
        let (answers, answered) = mpsc::channel(ANSWERS_MAX);
        let rpc = self.clone();
        // Behind whatever still waits to be read.
        let (ending, end) = mpsc::channel(1);
        let all = async move {
            if let Some(status) = rpc.admit_all(request.into_inner(), answers).await {
                // Whoever is gone need not hear it.
                drop(ending.try_send(Err(status)));
            }
        };
        tokio::spawn(all.in_current_span());
        let answered = ReceiverStream::new(answered).map(Ok);
        Response::new(Box::pin(answered.chain(ReceiverStream::new(end))))
    }

    /// Reads questions and hands over answers until either ends, or the broker stops; then says why,
    /// if it is not that all was asked. Whatever was read by then is answered.
    async fn admit_all(
        &self,
        mut questions: Streaming<v1::AdmitRequest>,
        answers: Answers,
    ) -> Option<Status> {
        let mut under_way = JoinSet::new();
        let end = loop {
            let room = under_way.len() < UNDER_WAY_MAX;
            let answer = tokio::select! {
                Some(answer) = under_way.join_next() => answer,
                question = questions.next(), if room => match question {
                    Some(Ok(question)) => {
                        self.begin(question, &mut under_way);
                        continue;
                    }
                    Some(Err(status)) => break Some(status),
                    None => break None,
                },
                () = self.stop.cancelled() => break Some(Failure::Stopped.into()),
                () = answers.closed() => return None,
            };
            if let Err(failure) = self.hand_over(&answers, answer).await {
                return Some(failure.into());
            }
        };
        while let Some(answer) = under_way.join_next().await {
            if let Err(failure) = self.hand_over(&answers, answer).await {
                return Some(failure.into());
            }
        }
        end
    }

    /// Waits for a slow reader, but not for one that does not read, and at a stop not for long.
    async fn hand_over(
        &self,
        answers: &Answers,
        answer: Result<v1::AdmitResponse, JoinError>,
    ) -> Result<(), Failure> {
        let answer = answer.map_err(|_| Failure::Stopped)?;
        let stopped = async {
            self.stop.cancelled().await;
            tokio::time::sleep(LAST_MAX).await;
        };
        tokio::select! {
            biased;
            sent = answers.send(answer) => sent.map_err(|_| Failure::NotRead),
            () = tokio::time::sleep(UNREAD_MAX) => Err(Failure::NotRead),
            () = stopped => Err(Failure::Stopped),
        }
    }

    /// Puts a question into the writer's queue, in the order of the stream, and waits for its
    /// answer beside the others.
    fn begin(&self, question: v1::AdmitRequest, under_way: &mut JoinSet<v1::AdmitResponse>) {
        let sequence = question.sequence;
        let deadline = deadline::of_one();
        // What cannot be read has no name.
        let (mut span, mut request) = (Span::current(), None);
        let asked = mutation(question.ask).and_then(|asked| {
            request = Some(asked.request.mark.id);
            span = decision::question(sequence, asked.request.mark.id);
            self.queue.ask(asked, deadline, span.clone())
        });
        let rpc = self.clone();
        under_way.spawn(async move {
            let outcome = match asked {
                Ok(answer) => rpc.outcome_by(deadline, answer).await,
                Err(failure) => Err(failure),
            };
            let outcome = outcome.unwrap_or_else(|failure| {
                span.in_scope(|| decision::question_failed(sequence, request, &failure));
                Outcome::Error(failure.into())
            });
            v1::AdmitResponse { sequence, outcome: Some(outcome) }
        });
    }

    async fn outcome_by(
        &self,
        deadline: Instant,
        answer: oneshot::Receiver<Result<Answered, Failure>>,
    ) -> Result<Outcome, Failure> {
        let answer = tokio::time::timeout_at(deadline, answer).await;
        let answered = answer.map_err(|_| Failure::AnswerLate)?.map_err(|_| Failure::Stopped)??;
        match self.outcome(answered) {
            Some(Created::Reservation(it)) => Ok(Outcome::Reservation(it)),
            Some(Created::Refusal(no)) => Ok(Outcome::Refusal(no)),
            None => Err(Failure::Stopped),
        }
    }
}

/// What is asked, as the calls of the same name check it.
fn mutation(ask: Option<Ask>) -> Result<Mutation, Failure> {
    let checked = match ask {
        Some(Ask::Create(create)) => request::create(&create),
        Some(Ask::Confirm(confirm)) => request::confirm(&confirm),
        Some(Ask::Release(release)) => request::release(&release),
        Some(Ask::Update(change)) => request::update(&change),
        None => {
            let mut fields = Fields::default();
            fields.fault("ask", "it is required: create, confirm, update or release");
            fields.finish(None)
        }
    };
    checked.map_err(Failure::from)
}
