//! `ReservationService`.

use tidegate_core::{Answer, Ask, Machine};
use tidegate_policy::Timestamp;
use tidegate_proto::v1;
use tidegate_proto::v1::reservation_service_server::ReservationService;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::Rpc;
use crate::convert::{Checked, ask, batch, look, reads, reply, request};
use crate::deadline;
use crate::status::Failure;
use crate::writer::Answered;

type Reply<T> = Result<Response<T>, Status>;

impl Rpc {
    /// Carries out a mutation of a reservation that cannot be refused.
    async fn change<M>(
        &self,
        request: Request<M>,
        check: fn(&M) -> Checked<request::Mutation>,
    ) -> Reply<v1::Reservation> {
        let deadline = deadline::of(&request);
        let mutation = check(request.get_ref()).map_err(Failure::from)?;
        let answered = self.queue.mutate(mutation, deadline).await?;
        match self.outcome(answered) {
            Some(v1::create_reservation_response::Outcome::Reservation(it)) => {
                Ok(Response::new(it))
            }
            _ => Err(Failure::Stopped.into()),
        }
    }

    /// What a mutation of a reservation came to.
    pub(super) fn outcome(
        &self,
        answered: Answered,
    ) -> Option<v1::create_reservation_response::Outcome> {
        let asked = answered.mutation.asked(0);
        formed(&self.view.read().machine, (&answered.answer, answered.now), asked)
    }
}

/// An answer to a request for a reservation; `None` if it is another kind of answer.
fn formed(
    machine: &Machine,
    (answer, now): (&Answer, Timestamp),
    asked: Option<&Ask>,
) -> Option<v1::create_reservation_response::Outcome> {
    use v1::create_reservation_response::Outcome;
    match answer {
        Answer::Reservation(it) => {
            Some(Outcome::Reservation(reply::reservation(it, now, machine.used(it.id))))
        }
        Answer::Refusal(refusal) => Some(Outcome::Refusal(reply::refusal(refusal, now, asked))),
        Answer::Batch(_)
        | Answer::Session(_)
        | Answer::Topology { .. }
        | Answer::Maintenance { .. }
        | Answer::Drained(_)
        | Answer::Undrained(_)
        | Answer::Policy { .. } => None,
    }
}

#[tonic::async_trait]
impl ReservationService for Rpc {
    async fn create_reservation(
        &self,
        request: Request<v1::CreateReservationRequest>,
    ) -> Reply<v1::CreateReservationResponse> {
        let deadline = deadline::of(&request);
        let mutation = request::create(request.get_ref()).map_err(Failure::from)?;
        let answered = self.queue.mutate(mutation, deadline).await?;
        let outcome = self.outcome(answered);
        Ok(Response::new(v1::CreateReservationResponse { outcome }))
    }

    async fn batch_create_reservations(
        &self,
        request: Request<v1::BatchCreateReservationsRequest>,
    ) -> Reply<v1::BatchCreateReservationsResponse> {
        let deadline = deadline::of(&request);
        let mutation = batch::create_all(request.get_ref()).map_err(Failure::from)?;
        let answered = self.queue.mutate(mutation, deadline).await?;
        let Answered { answer, now, mutation } = answered;
        let Answer::Batch(answers) = answer else { return Err(Failure::Stopped.into()) };
        let published = self.view.read();
        let formed = |(place, answer)| v1::CreateReservationResponse {
            outcome: formed(&published.machine, (answer, now), mutation.asked(place)),
        };
        let responses = answers.iter().enumerate().map(formed).collect();
        Ok(Response::new(v1::BatchCreateReservationsResponse { responses }))
    }

    async fn update_reservation(
        &self,
        request: Request<v1::UpdateReservationRequest>,
    ) -> Reply<v1::UpdateReservationResponse> {
        use v1::create_reservation_response::Outcome as Made;
        use v1::update_reservation_response::Outcome;
        let deadline = deadline::of(&request);
        let mutation = request::update(request.get_ref()).map_err(Failure::from)?;
        let answered = self.queue.mutate(mutation, deadline).await?;
        let outcome = self.outcome(answered).map(|made| match made {
            Made::Reservation(it) => Outcome::Reservation(it),
            Made::Refusal(it) => Outcome::Refusal(it),
        });
        Ok(Response::new(v1::UpdateReservationResponse { outcome }))
    }

    async fn find_windows(
        &self,
        request: Request<v1::FindWindowsRequest>,
    ) -> Reply<v1::FindWindowsResponse> {
        let query = ask::windows(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let windows = published.machine.windows(self.clock.now(), &query);
        Ok(Response::new(look::windows(&windows.map_err(Failure::from)?)))
    }

    async fn explain_reservation(
        &self,
        request: Request<v1::ExplainReservationRequest>,
    ) -> Reply<v1::ExplainReservationResponse> {
        let (ask, called) = ask::explained(request.get_ref()).map_err(Failure::from)?;
        let now = self.clock.now();
        let published = self.view.read();
        let machine = &published.machine;
        let explained = machine.explain(now, &ask);
        let explained = explained
            .map_err(|fault| Failure::from(called.fault(fault).fields_within("request")))?;
        let outcome = formed(machine, (&explained.answer, now), Some(&ask));
        Ok(Response::new(v1::ExplainReservationResponse {
            answer: Some(v1::CreateReservationResponse { outcome }),
            ways: explained.ways.iter().map(|way| look::way(way, machine)).collect(),
        }))
    }

    async fn confirm_reservation(
        &self,
        request: Request<v1::ConfirmReservationRequest>,
    ) -> Reply<v1::Reservation> {
        self.change(request, request::confirm).await
    }

    async fn extend_hold(&self, request: Request<v1::ExtendHoldRequest>) -> Reply<v1::Reservation> {
        self.change(request, request::extend_hold).await
    }

    async fn get_reservation(
        &self,
        request: Request<v1::GetReservationRequest>,
    ) -> Reply<v1::Reservation> {
        let target = request::get(request.get_ref()).map_err(Failure::from)?;
        let published = self.view.read();
        let now = self.clock.now();
        let found = published.machine.target(&target).map_err(Failure::from)?;
        let used = published.machine.used(found.id);
        Ok(Response::new(reply::reservation(found, now, used)))
    }

    async fn list_reservations(
        &self,
        request: Request<v1::ListReservationsRequest>,
    ) -> Reply<v1::ListReservationsResponse> {
        let list = reads::list_reservations(request.get_ref()).map_err(Failure::from)?;
        self.exists(list.scope.project.as_ref())?;
        Ok(Response::new(self.page(&list).await))
    }

    async fn release_reservation(
        &self,
        request: Request<v1::ReleaseReservationRequest>,
    ) -> Reply<v1::Reservation> {
        self.change(request, request::release).await
    }

    async fn watch_reservations(
        &self,
        request: Request<v1::WatchReservationsRequest>,
    ) -> Reply<BoxStream<v1::WatchReservationsResponse>> {
        self.watch(&request)
    }

    async fn admit(
        &self,
        request: Request<Streaming<v1::AdmitRequest>>,
    ) -> Reply<BoxStream<v1::AdmitResponse>> {
        Ok(self.admitted(request))
    }
}
