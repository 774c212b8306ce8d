//! A broker that says what a test tells it to say, on the generated server traits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_client::{Client, RetryPolicy, Settings};
use tidegate_proto::v1;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};
use v1::reservation_service_server::{ReservationService, ReservationServiceServer};
use v1::session_service_server::{SessionService, SessionServiceServer};

pub(crate) const SESSION: &str = "sessions/019aa7e0-8000-7000-8000-0000000000aa";
pub(crate) const NAME: &str = "projects/default/reservations/019aa7e0-8000-7000-8000-000000000001";
pub(crate) const RATE: i64 = 8_000_000;

/// What to say to one request for a reservation.
pub(crate) enum Reply {
    Say(Box<Result<v1::CreateReservationResponse, Status>>),
    /// Nothing, ever.
    Hang,
}

/// One session stream, seen from the broker.
pub(crate) struct Dialogue {
    pub(crate) beats: Streaming<v1::KeepAliveRequest>,
    answers: mpsc::Sender<Result<v1::KeepAliveResponse, Status>>,
}

/// One call whose answer the test gives when it likes.
pub(crate) struct Call<Q, R> {
    pub(crate) request: Q,
    answer: oneshot::Sender<Result<R, Status>>,
}

/// One stream of words, seen from the broker.
pub(crate) struct Words<Q, R> {
    pub(crate) request: Q,
    words: mpsc::Sender<Result<R, Status>>,
}

pub(crate) type Update = Call<v1::UpdateReservationRequest, v1::UpdateReservationResponse>;
pub(crate) type Batch =
    Call<v1::BatchCreateReservationsRequest, v1::BatchCreateReservationsResponse>;
pub(crate) type Find = Call<v1::FindWindowsRequest, v1::FindWindowsResponse>;
pub(crate) type Explain = Call<v1::ExplainReservationRequest, v1::ExplainReservationResponse>;
pub(crate) type Watching = Words<v1::WatchReservationsRequest, v1::WatchReservationsResponse>;
pub(crate) type Admitting = Words<Streaming<v1::AdmitRequest>, v1::AdmitResponse>;

/// What a test answers by itself.
#[allow(clippy::large_enum_variant, reason = "a handful of them, in tests")]
pub(crate) enum Asked {
    Update(Update),
    Batch(Batch),
    Find(Find),
    Explain(Explain),
    Watch(Watching),
    Admit(Admitting),
}

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) created: Vec<v1::CreateReservationRequest>,
    pub(crate) timeouts: Vec<String>,
    pub(crate) released: Vec<v1::ReleaseReservationRequest>,
    pub(crate) confirmed: Vec<v1::ConfirmReservationRequest>,
    pub(crate) listed: Vec<v1::ListReservationsRequest>,
    pub(crate) closed: usize,
}

pub(crate) struct Fake {
    /// The last one is said again and again.
    replies: Mutex<VecDeque<Reply>>,
    pub(crate) log: Mutex<Log>,
    session: v1::Session,
    dialogues: mpsc::Sender<Dialogue>,
    asked: mpsc::Sender<Asked>,
}

pub(crate) struct Broker {
    pub(crate) fake: Arc<Fake>,
    pub(crate) dialogues: mpsc::Receiver<Dialogue>,
    pub(crate) asked: mpsc::Receiver<Asked>,
    pub(crate) target: String,
}

/// A session with beats every 10 ms that lives for `life` without one.
pub(crate) fn session(life: Duration) -> v1::Session {
    let half = prost_types::Duration::try_from(life / 2).unwrap();
    v1::Session {
        name: SESSION.into(),
        agent: "test".into(),
        state: 1,
        beat_every: Some(prost_types::Duration { seconds: 0, nanos: 10_000_000 }),
        lease: Some(half),
        grace: Some(half),
        create_time: Some(prost_types::Timestamp::default()),
        ..v1::Session::default()
    }
}

/// A confirmed reservation of one hour that starts after `starts_in`.
pub(crate) fn reservation(starts_in: i64) -> v1::Reservation {
    v1::Reservation {
        name: NAME.into(),
        state: 2,
        phase: 2,
        source: "storage/swift".into(),
        destination: "hosts/compute-1".into(),
        rate_bps: RATE,
        start_time: Some(prost_types::Timestamp { seconds: 1000, nanos: 0 }),
        end_time: Some(prost_types::Timestamp { seconds: 4600, nanos: 0 }),
        starts_in: Some(prost_types::Duration { seconds: starts_in, nanos: 0 }),
        ends_in: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        create_time: Some(prost_types::Timestamp { seconds: 1000, nanos: 0 }),
        ..v1::Reservation::default()
    }
}

pub(crate) fn yes(reservation: v1::Reservation) -> Reply {
    let outcome = v1::create_reservation_response::Outcome::Reservation(reservation);
    Reply::Say(Box::new(Ok(v1::CreateReservationResponse { outcome: Some(outcome) })))
}

pub(crate) fn no(refusal: v1::Refusal) -> Reply {
    let outcome = v1::create_reservation_response::Outcome::Refusal(refusal);
    Reply::Say(Box::new(Ok(v1::CreateReservationResponse { outcome: Some(outcome) })))
}

pub(crate) fn fail(status: Status) -> Reply {
    Reply::Say(Box::new(Err(status)))
}

/// Short pauses, so that tests are quick; no outcome depends on them.
pub(crate) fn settings() -> Settings {
    let pause = Duration::from_millis(5);
    let retry = RetryPolicy { first_pause: pause, longest_pause: pause, ..RetryPolicy::default() };
    Settings { retry, ..Settings::default() }
}

impl Broker {
    pub(crate) async fn start(
        replies: impl IntoIterator<Item = Reply>,
        session: v1::Session,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, replies, session)
    }

    pub(crate) fn serve(
        listener: TcpListener,
        replies: impl IntoIterator<Item = Reply>,
        session: v1::Session,
    ) -> Self {
        let target = format!("http://{}", listener.local_addr().unwrap());
        let (dialogues, inbox) = mpsc::channel(16);
        let (asked, questions) = mpsc::channel(16);
        let replies = Mutex::new(replies.into_iter().collect());
        let fake = Arc::new(Fake { replies, log: Mutex::default(), session, dialogues, asked });
        let server = tonic::transport::Server::builder()
            .add_service(ReservationServiceServer::from_arc(Arc::clone(&fake)))
            .add_service(SessionServiceServer::from_arc(Arc::clone(&fake)));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { fake, dialogues: inbox, asked: questions, target }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect_with(&self.target, settings()).unwrap()
    }
}

/// The next question, which has to be of this kind.
macro_rules! next {
    ($broker:expr, $kind:ident) => {
        match $broker.asked.recv().await {
            Some($crate::fake::Asked::$kind(asked)) => asked,
            _ => panic!("another question was expected"),
        }
    };
}
pub(crate) use next;

impl<Q, R> Call<Q, R> {
    pub(crate) fn answer(self, answer: Result<R, Status>) {
        // Whoever gave up does not listen; what it does then is what is tested.
        drop(self.answer.send(answer));
    }
}

impl<Q, R> Words<Q, R> {
    pub(crate) async fn say(&self, word: Result<R, Status>) {
        drop(self.words.send(word).await);
    }
}

impl Fake {
    async fn call<Q, R>(
        &self,
        request: Request<Q>,
        kind: fn(Call<Q, R>) -> Asked,
    ) -> Result<Response<R>, Status> {
        let (answer, outcome) = oneshot::channel();
        drop(self.asked.send(kind(Call { request: request.into_inner(), answer })).await);
        let gone = Status::unavailable("nobody answers");
        outcome.await.unwrap_or(Err(gone)).map(Response::new)
    }

    async fn words<Q, R: Send + 'static>(
        &self,
        request: Q,
        kind: fn(Words<Q, R>) -> Asked,
    ) -> Response<BoxStream<R>> {
        let (words, outbox) = mpsc::channel(512);
        drop(self.asked.send(kind(Words { request, words })).await);
        Response::new(Box::pin(ReceiverStream::new(outbox)))
    }
}

impl Dialogue {
    /// The next beat.
    pub(crate) async fn beat(&mut self) -> v1::KeepAliveRequest {
        self.beats.message().await.unwrap().expect("a beat")
    }

    /// The next beat that names a grant.
    pub(crate) async fn beat_with_usage(&mut self) -> v1::KeepAliveRequest {
        loop {
            let beat = self.beat().await;
            if !beat.usage.is_empty() {
                return beat;
            }
        }
    }

    pub(crate) async fn say(&self, answer: Result<v1::KeepAliveResponse, Status>) {
        // A client that went away does not listen; what it does then is what is tested.
        drop(self.answers.send(answer).await);
    }

    /// Answers a beat: the session is open, each grant it names stands like `grant`.
    pub(crate) async fn answer(
        &self,
        beat: &v1::KeepAliveRequest,
        life: Duration,
        grant: v1::GrantStatus,
    ) {
        let status = |usage: &v1::Usage| v1::GrantStatus {
            reservation: usage.reservation.clone(),
            ..grant.clone()
        };
        self.say(Ok(v1::KeepAliveResponse {
            sequence: beat.sequence,
            session: Some(session(life)),
            grants: beat.usage.iter().map(status).collect(),
        }))
        .await;
    }
}

/// A grant in force at this rate, for another hour.
pub(crate) fn in_force(rate_bps: i64) -> v1::GrantStatus {
    let ends_in = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    v1::GrantStatus { state: 2, rate_bps, ends_in, ..v1::GrantStatus::default() }
}

#[tonic::async_trait]
impl ReservationService for Fake {
    async fn create_reservation(
        &self,
        request: Request<v1::CreateReservationRequest>,
    ) -> Result<Response<v1::CreateReservationResponse>, Status> {
        let timeout =
            request.metadata().get("grpc-timeout").map(|t| t.to_str().unwrap().to_owned());
        let request = request.into_inner();
        let session = request.session.clone();
        let reply = {
            let mut log = self.log.lock().unwrap();
            log.created.push(request);
            log.timeouts.extend(timeout);
            let mut replies = self.replies.lock().unwrap();
            let last = replies.len() == 1;
            match replies.front() {
                Some(Reply::Say(said)) if last => Some((**said).clone()),
                Some(Reply::Hang) if last => None,
                _ => match replies.pop_front() {
                    Some(Reply::Say(said)) => Some(*said),
                    _ => None,
                },
            }
        };
        use v1::create_reservation_response::Outcome;
        match reply {
            None => std::future::pending().await,
            Some(said) => said.map(|mut answer| {
                if let Some(Outcome::Reservation(reservation)) = &mut answer.outcome {
                    reservation.session = session;
                }
                Response::new(answer)
            }),
        }
    }

    async fn batch_create_reservations(
        &self,
        request: Request<v1::BatchCreateReservationsRequest>,
    ) -> Result<Response<v1::BatchCreateReservationsResponse>, Status> {
        self.call(request, Asked::Batch).await
    }

    async fn update_reservation(
        &self,
        request: Request<v1::UpdateReservationRequest>,
    ) -> Result<Response<v1::UpdateReservationResponse>, Status> {
        self.call(request, Asked::Update).await
    }

    async fn find_windows(
        &self,
        request: Request<v1::FindWindowsRequest>,
    ) -> Result<Response<v1::FindWindowsResponse>, Status> {
        self.call(request, Asked::Find).await
    }

    async fn explain_reservation(
        &self,
        request: Request<v1::ExplainReservationRequest>,
    ) -> Result<Response<v1::ExplainReservationResponse>, Status> {
        self.call(request, Asked::Explain).await
    }

    async fn watch_reservations(
        &self,
        request: Request<v1::WatchReservationsRequest>,
    ) -> Result<Response<BoxStream<v1::WatchReservationsResponse>>, Status> {
        Ok(self.words(request.into_inner(), Asked::Watch).await)
    }

    async fn admit(
        &self,
        request: Request<Streaming<v1::AdmitRequest>>,
    ) -> Result<Response<BoxStream<v1::AdmitResponse>>, Status> {
        Ok(self.words(request.into_inner(), Asked::Admit).await)
    }

    async fn confirm_reservation(
        &self,
        request: Request<v1::ConfirmReservationRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        self.log.lock().unwrap().confirmed.push(request.into_inner());
        Ok(Response::new(reservation(0)))
    }

    async fn extend_hold(
        &self,
        _: Request<v1::ExtendHoldRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        Err(Status::failed_precondition("the hold has lapsed"))
    }

    async fn get_reservation(
        &self,
        _: Request<v1::GetReservationRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        Err(Status::not_found("no such reservation"))
    }

    async fn list_reservations(
        &self,
        request: Request<v1::ListReservationsRequest>,
    ) -> Result<Response<v1::ListReservationsResponse>, Status> {
        let request = request.into_inner();
        let first = request.page_token.is_empty();
        self.log.lock().unwrap().listed.push(request);
        Ok(Response::new(v1::ListReservationsResponse {
            reservations: vec![reservation(0)],
            next_page_token: if first { "more".into() } else { String::new() },
        }))
    }

    async fn release_reservation(
        &self,
        request: Request<v1::ReleaseReservationRequest>,
    ) -> Result<Response<v1::Reservation>, Status> {
        self.log.lock().unwrap().released.push(request.into_inner());
        Ok(Response::new(v1::Reservation { state: 3, close_reason: 2, ..reservation(0) }))
    }
}

#[tonic::async_trait]
impl SessionService for Fake {
    async fn open_session(
        &self,
        _: Request<v1::OpenSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        Ok(Response::new(self.session.clone()))
    }

    async fn keep_alive(
        &self,
        request: Request<Streaming<v1::KeepAliveRequest>>,
    ) -> Result<Response<BoxStream<v1::KeepAliveResponse>>, Status> {
        let (answers, outbox) = mpsc::channel(16);
        let dialogue = Dialogue { beats: request.into_inner(), answers };
        // A test that is done does not listen any more.
        drop(self.dialogues.send(dialogue).await);
        Ok(Response::new(Box::pin(ReceiverStream::new(outbox))))
    }

    async fn get_session(
        &self,
        _: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        Ok(Response::new(self.session.clone()))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let lost = v1::Session { state: 3, reservation_count: 2, ..self.session.clone() };
        let sessions = match request.into_inner().show_ended {
            true => vec![self.session.clone(), lost],
            false => vec![self.session.clone()],
        };
        Ok(Response::new(v1::ListSessionsResponse { sessions, next_page_token: String::new() }))
    }

    async fn close_session(
        &self,
        _: Request<v1::CloseSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        self.log.lock().unwrap().closed += 1;
        Ok(Response::new(v1::Session { state: 2, ..self.session.clone() }))
    }
}
