//! `SessionService`.

use std::time::Duration;

use tidegate_core::{Answer, Fault, Session};
use tidegate_policy::SessionId;
use tidegate_proto::v1;
use tidegate_proto::v1::session_service_server::SessionService;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use super::Rpc;
use crate::convert::{Checked, reads, reply, request};
use crate::deadline;
use crate::pokes::{self, Poked};
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
            Answer::Session(it) => Ok(Response::new(self.shown(&it))),
            _ => Err(Failure::Stopped.into()),
        }
    }

    /// Answers one beat. From its first one on a stream hears of changes to its session.
    async fn beat(
        &self,
        message: &v1::KeepAliveRequest,
        (pokes, poked): (&pokes::Sender, &mut Option<Poked>),
    ) -> Result<v1::KeepAliveResponse, Status> {
        let beat = request::beat(message).map_err(Failure::from)?;
        let sequence = beat.sequence;
        if poked.as_ref().is_none_or(|poked| poked.session() != beat.session) {
            *poked = Some(self.view.pokes().join(beat.session, pokes));
        }
        let beaten = self.queue.beat(beat).await?;
        let session = Some(self.shown(&beaten.session));
        // Under the names by which it knows them.
        let named = beaten.grants.into_iter().zip(&message.usage);
        let grants = named.map(|(grant, asked)| v1::GrantStatus {
            reservation: asked.reservation.clone(),
            ..grant
        });
        Ok(v1::KeepAliveResponse { sequence, session, grants: grants.collect() })
    }

    /// A session as it is answered: what is told of it is published by then.
    fn shown(&self, session: &Session) -> v1::Session {
        reply::session(session, &self.view.read().machine, &self.config.session)
    }

    /// What tells an agent to send a beat at once. It says how the session stands, of which it may
    /// be the last to hear.
    fn poke(&self, session: SessionId) -> v1::KeepAliveResponse {
        let published = self.view.read();
        let found = published.machine.session(session);
        let shown = |it| reply::session(it, &published.machine, &self.config.session);
        v1::KeepAliveResponse { sequence: 0, session: found.map(shown), grants: Vec::new() }
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
        let (pokes, to_poke) = watch::channel(None);
        let rpc = self.clone();
        let heard = async move {
            let mut beats = std::pin::pin!(beats);
            let mut poked = None;
            // Ends with the stream, its silence, its first error, a reader that lags behind, or
            // the broker: a stop would wait for it, and its agent had better find the next one.
            loop {
                let beat = tokio::select! {
                    beat = beats.next() => beat,
                    () = rpc.stop.cancelled() => Some(Ok(Err(Failure::Stopped.into()))),
                };
                let answer = match beat {
                    Some(Ok(Ok(beat))) => rpc.beat(&beat, (&pokes, &mut poked)).await,
                    // It is no beat at all: too large, or not of this form.
                    Some(Ok(Err(status))) => Err(status),
                    Some(Err(_)) | None => break,
                };
                let failed = answer.is_err();
                if answers.try_send(answer).is_err() || failed {
                    break;
                }
            }
        };
        tokio::spawn(heard.in_current_span());
        // However much changes, one poke waits: it is made when the stream has room for it.
        let rpc = self.clone();
        let poked = WatchStream::from_changes(to_poke).filter_map(|session| session);
        let poked = poked.map(move |session| Ok(rpc.poke(session)));
        Ok(Response::new(Box::pin(ReceiverStream::new(answered).merge(poked))))
    }

    async fn close_session(
        &self,
        request: Request<v1::CloseSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        self.session(request, request::close_session).await
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        let id = reads::get_session(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let machine = &published.machine;
        let missing = || Fault::NotFound { what: reply::session_name(id) };
        let found = machine.session(id).ok_or_else(missing).map_err(Failure::from)?;
        Ok(Response::new(reply::session(found, machine, &self.config.session)))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let list = reads::list_sessions(request.get_ref()).map_err(Failure::from)?;
        Ok(Response::new(self.sessions(&list)))
    }
}
