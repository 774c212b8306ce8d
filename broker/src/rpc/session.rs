//! `SessionService`.

use std::time::Duration;

use tidegate_core::Answer;
use tidegate_proto::v1;
use tidegate_proto::v1::session_service_server::SessionService;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::Rpc;
use crate::convert::{Checked, reply, request};
use crate::deadline;
use crate::status::Failure;

/// Answers that wait for a slow reader of its stream; past that the stream is cut.
const ANSWERS_MAX: usize = 16;

type Beats = BoxStream<v1::KeepAliveResponse>;

impl Rpc {
    async fn session<M>(
        &self,
        request: Request<M>,
        check: fn(&M) -> Checked<request::Mutation>,
    ) -> Result<Response<v1::Session>, Status> {
        let deadline = deadline::of(&request);
        let mutation = check(request.get_ref()).map_err(Failure::from)?;
        match self.queue.mutate(mutation, deadline).await?.answer {
            Answer::Session(it) => Ok(Response::new(reply::session(&it, &self.config.session))),
            _ => Err(Failure::Stopped.into()),
        }
    }

    async fn beat(&self, message: &v1::KeepAliveRequest) -> Result<v1::KeepAliveResponse, Status> {
        let beat = request::beat(message).map_err(Failure::from)?;
        let sequence = beat.sequence;
        let beaten = self.queue.beat(beat).await?;
        let session = Some(reply::session(&beaten.session, &self.config.session));
        Ok(v1::KeepAliveResponse { sequence, session, grants: beaten.grants })
    }

    /// A stream on which nothing comes for longer than the session could live is dead.
    fn silence_max(&self) -> Duration {
        let session = &self.config.session;
        session.lease.plus(session.grace).to_duration()
    }
}

#[tonic::async_trait]
impl SessionService for Rpc {
    async fn open_session(
        &self,
        request: Request<v1::OpenSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        self.session(request, request::open_session).await
    }

    async fn keep_alive(
        &self,
        request: Request<Streaming<v1::KeepAliveRequest>>,
    ) -> Result<Response<Beats>, Status> {
        let beats = request.into_inner().timeout(self.silence_max());
        let (answers, answered) = mpsc::channel(ANSWERS_MAX);
        let rpc = self.clone();
        tokio::spawn(async move {
            let mut beats = std::pin::pin!(beats);
            // Ends with the stream, its silence, its first error, a reader that lags behind, or
            // the broker: a stop would wait for it, and its agent had better find the next one.
            loop {
                let beat = tokio::select! {
                    beat = beats.next() => beat,
                    () = rpc.stop.cancelled() => Some(Ok(Err(Failure::Stopped.into()))),
                };
                let answer = match beat {
                    Some(Ok(Ok(beat))) => rpc.beat(&beat).await,
                    // It is no beat at all: too large, or not of this form.
                    Some(Ok(Err(status))) => Err(status),
                    Some(Err(_)) | None => break,
                };
                let failed = answer.is_err();
                if answers.try_send(answer).is_err() || failed {
                    break;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answered))))
    }

    async fn close_session(
        &self,
        request: Request<v1::CloseSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        self.session(request, request::close_session).await
    }
}
