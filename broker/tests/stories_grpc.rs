//! The life of a reservation as network operators know it, told to a running `tidegated`: held,
//! confirmed, changed, given back; and what is answered to a step that is not allowed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use support::daemon::{Daemon, configure};
use support::{
    Clients, at_ms, capacity, confirm, create, eventually, granted, ms_of, release, request_id,
    span_ms, still,
};
use tidegate_proto::v1;
use tidegate_proto::v1::create_reservation_request::Shape;
use tidegate_proto::v1::create_reservation_response::Outcome;
use tidegate_proto::v1::refusal::Reason;
use tidegate_proto::v1::reservation::State;
use tidegate_proto::v1::{CloseReason, update_reservation_response as changed};
use tonic::{Code, Status};
use tonic_types::StatusExt;

const MBIT: i64 = 1_000_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

const INGRESS: &str = "hosts/compute-1/nics/eth0/ingress";
const SWIFT: &str = "storage/swift/read";
const GLANCE: &str = "storage/glance/read";

/// A broker of its own, with somebody to ask it.
struct Told {
    daemon: Daemon,
    clients: Clients,
    _dir: tempfile::TempDir,
}

/// A host that takes 900 Mbit/s, and two backends that give much more.
fn network() -> v1::Topology {
    let exactly = |bps| capacity(bps).map(|it| v1::Capacity { reserved_ppm: Some(0), ..it });
    let nic = v1::Nic {
        name: "eth0".into(),
        switch: "east".into(),
        capacity: exactly(900 * MBIT),
        framing: Some(v1::Framing { overhead_ppm: Some(0), mtu_bytes: 0 }),
    };
    let storage = |name: &str| v1::Storage {
        name: name.into(),
        place: Some(v1::storage::Place::Switch("east".into())),
        capacity: exactly(10_000 * MBIT),
        ..Default::default()
    };
    v1::Topology {
        hosts: vec![v1::Host { name: "compute-1".into(), nics: vec![nic] }],
        switches: vec![v1::Switch { name: "east".into() }],
        storage: vec![storage("swift"), storage("glance")],
        ..Default::default()
    }
}

impl Told {
    async fn begin() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(&configure(dir.path(), "127.0.0.1:0", ""));
        let clients = Clients::connect(&daemon.address).await;
        clients.apply(network()).await;
        Self { daemon, clients, _dir: dir }
    }

    /// It stops when it is asked to, and has nothing to complain about.
    fn end(self) {
        self.daemon.terminate();
        let (status, said) = self.daemon.wait();
        assert!(status.success(), "{status}: {said}");
    }

    async fn now_ms(&self) -> i64 {
        ms_of(self.clients.info().await.now.unwrap())
    }

    async fn ask(&self, request: v1::CreateReservationRequest) -> Result<Outcome, Status> {
        let answer = self.clients.reservations.clone().create_reservation(request).await?;
        Ok(answer.into_inner().outcome.unwrap())
    }

    async fn refused(&self, request: v1::CreateReservationRequest) -> v1::Refusal {
        match self.ask(request).await.unwrap() {
            Outcome::Refusal(no) => no,
            Outcome::Reservation(it) => panic!("granted: {it:?}"),
        }
    }

    async fn confirm(&self, name: &str) -> Result<v1::Reservation, Status> {
        let answer = self.clients.reservations.clone().confirm_reservation(confirm(name)).await;
        answer.map(tonic::Response::into_inner)
    }

    async fn release(&self, name: &str) -> Result<v1::Reservation, Status> {
        let answer = self.clients.reservations.clone().release_reservation(release(name)).await;
        answer.map(tonic::Response::into_inner)
    }

    async fn extend(&self, name: &str) -> Result<v1::Reservation, Status> {
        let request = v1::ExtendHoldRequest {
            name: name.into(),
            request_id: request_id(),
            hold_for: Some(span_ms(60_000)),
            ..Default::default()
        };
        let answer = self.clients.reservations.clone().extend_hold(request).await;
        answer.map(tonic::Response::into_inner)
    }

    /// Changes the fields that are named.
    async fn change(
        &self,
        to: v1::Reservation,
        paths: &[&str],
    ) -> Result<changed::Outcome, Status> {
        let paths = paths.iter().map(ToString::to_string).collect();
        let request = v1::UpdateReservationRequest {
            reservation: Some(to),
            update_mask: Some(prost_types::FieldMask { paths }),
            request_id: request_id(),
            ..Default::default()
        };
        let answer = self.clients.reservations.clone().update_reservation(request).await?;
        Ok(answer.into_inner().outcome.unwrap())
    }

    /// The most that is booked on a lane at any time.
    async fn booked(&self, lane: &str) -> i64 {
        let request = v1::ListResourcesRequest {
            start_time: Some(at_ms(0)),
            end_time: Some(at_ms(253_402_300_799_000)),
            ..Default::default()
        };
        let lanes = self.clients.lanes(request).await;
        lanes.into_iter().find(|it| it.name == lane).unwrap().booked_bps
    }
}

fn held(rate_bps: i64, hold_ms: i64) -> v1::CreateReservationRequest {
    v1::CreateReservationRequest { hold_for: Some(span_ms(hold_ms)), ..create(rate_bps, HOUR_MS) }
}

fn code(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info();
    (status.code(), info.map(|info| info.reason).unwrap_or_default())
}

/// The fields that an answer names, in order.
fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let bad = status.get_details_bad_request().unwrap().field_violations;
    bad.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_nobody_confirms_is_gone_at_its_end() {
    let told = Told::begin().await;
    let first = granted_now(&told, held(900 * MBIT, 1500)).await;
    assert_eq!(first.state(), State::Held);
    let no = told.refused(held(MBIT, 60_000)).await;
    assert_eq!(no.reason(), Reason::NoHeadroom);
    let lapsed = eventually("the hold lapses", || async {
        let found = told.clients.get(&first.name).await;
        (found.state() == State::Closed).then_some(found)
    })
    .await;
    assert_eq!(lapsed.close_reason(), CloseReason::Expired);
    assert!(ms_of(first.hold_until_time.unwrap()) <= ms_of(lapsed.close_time.unwrap()));
    // The same can be held anew at once, and the one that lapsed can never be had.
    let again = granted_now(&told, held(900 * MBIT, 60_000)).await;
    assert_eq!(again.state(), State::Held);
    let late = told.confirm(&first.name).await.unwrap_err();
    assert_eq!(code(&late), (Code::FailedPrecondition, "ILLEGAL_STEP".into()));
    told.end();
}

async fn granted_now(told: &Told, request: v1::CreateReservationRequest) -> v1::Reservation {
    let outcome = Some(told.ask(request).await.unwrap());
    granted(v1::CreateReservationResponse { outcome })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_before_it_is_confirmed_can_be_used_at_once() {
    let told = Told::begin().await;
    let first = granted_now(&told, held(900 * MBIT, 60_000)).await;
    let given_back = told.release(&first.name).await.unwrap();
    assert_eq!(given_back.state(), State::Closed);
    assert_eq!(given_back.close_reason(), CloseReason::Released);
    let second = granted_now(&told, held(900 * MBIT, 60_000)).await;
    assert_eq!(second.state(), State::Held);
    // The one that was given back cannot be confirmed any more.
    let late = told.confirm(&first.name).await.unwrap_err();
    assert_eq!(code(&late), (Code::FailedPrecondition, "ILLEGAL_STEP".into()));
    assert_eq!(told.clients.get(&second.name).await.state(), State::Held);
    told.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_fails_on_the_destination_books_nothing_on_the_source() {
    let told = Told::begin().await;
    granted_now(&told, held(600 * MBIT, 60_000)).await;
    let sources = vec!["storage/glance".into()];
    let no =
        told.refused(v1::CreateReservationRequest { sources, ..held(400 * MBIT, 60_000) }).await;
    assert_eq!(no.reason(), Reason::NoHeadroom);
    let [blocker] = no.blockers.as_slice() else { panic!("{no:?}") };
    assert_eq!(blocker.lane, INGRESS);
    assert_eq!((blocker.free_bps, blocker.missing_bps), (300 * MBIT, 100 * MBIT));
    assert_eq!(told.booked(GLANCE).await, 0);
    assert_eq!(told.booked(SWIFT).await, 600 * MBIT);
    assert_eq!(told.booked(INGRESS).await, 600 * MBIT);
    told.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_is_confirmed_once_and_given_back_once() {
    let told = Told::begin().await;
    let made = granted_now(&told, held(500 * MBIT, 60_000)).await;
    let confirmed = told.confirm(&made.name).await.unwrap();
    assert_eq!(confirmed.state(), State::Confirmed);
    let again = told.confirm(&made.name).await.unwrap();
    assert_eq!(still(again), still(confirmed.clone()));
    let late = told.extend(&made.name).await.unwrap_err();
    assert_eq!(code(&late), (Code::FailedPrecondition, "ILLEGAL_STEP".into()));
    // It ends early; whoever says so again, and again, hears how it ended.
    let ended = told.release(&made.name).await.unwrap();
    assert_eq!((ended.state(), ended.close_reason()), (State::Closed, CloseReason::Released));
    assert!(ms_of(ended.close_time.unwrap()) < ms_of(ended.end_time.unwrap()));
    for _ in 0..2 {
        // By a later now, which must not move the end.
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(still(told.release(&made.name).await.unwrap()), still(ended.clone()));
    }
    let late = told.confirm(&made.name).await.unwrap_err();
    assert_eq!(code(&late), (Code::FailedPrecondition, "ILLEGAL_STEP".into()));
    told.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_was_is_not_found() {
    let told = Told::begin().await;
    let name = "projects/default/reservations/019aa7e0-8000-7000-8000-000000000001";
    let get = v1::GetReservationRequest { name: name.into() };
    let to = v1::Reservation { name: name.into(), rate_bps: MBIT, ..Default::default() };
    let answers = [
        told.clients.reservations.clone().get_reservation(get).await.map(|_| ()),
        told.confirm(name).await.map(|_| ()),
        told.extend(name).await.map(|_| ()),
        told.release(name).await.map(|_| ()),
        told.change(to, &["rate_bps"]).await.map(|_| ()),
    ];
    for answer in answers {
        let status = answer.unwrap_err();
        assert_eq!(code(&status), (Code::NotFound, "NOT_FOUND".into()));
        let named = status.get_details_resource_info().unwrap().resource_name;
        assert!(name.ends_with(&named), "{named}");
    }
    told.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_make_no_sense_are_named() {
    let told = Told::begin().await;
    let now = told.now_ms().await;
    let at = |start: i64, end: i64| {
        let until = Some(v1::rigid::Until::EndTime(at_ms(now + end)));
        let start_time = Some(at_ms(now + start));
        let rigid = v1::Rigid { rate_bps: MBIT, start_time, until };
        v1::CreateReservationRequest { shape: Some(Shape::Rigid(rigid)), ..create(MBIT, HOUR_MS) }
    };
    for (start, end, named) in [
        (-60_000, HOUR_MS, vec!["rigid.start_time"]),
        (HOUR_MS, HOUR_MS / 2, vec!["rigid.end_time"]),
        (HOUR_MS, HOUR_MS, vec!["rigid.end_time"]),
        (401 * DAY_MS, 402 * DAY_MS, vec!["rigid.end_time"]),
        (-60_000, 401 * DAY_MS, vec!["rigid.start_time", "rigid.end_time"]),
    ] {
        let status = told.ask(at(start, end)).await.unwrap_err();
        assert_eq!(fields(&status), named, "from {start} to {end}");
    }
    // A slow clock is no fault: up to 5 s of the past are taken for now.
    let made = granted_now(&told, at(-1000, HOUR_MS)).await;
    assert!(now <= ms_of(made.start_time.unwrap()));
    assert_eq!(told.clients.list(true, 0).await.len(), 1);
    told.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_all_are_granted_or_none() {
    let told = Told::begin().await;
    let entry = |rate_bps| v1::CreateReservationRequest {
        request_id: String::new(),
        ..create(rate_bps, HOUR_MS)
    };
    let batch = |rates: [i64; 2]| v1::BatchCreateReservationsRequest {
        request_id: request_id(),
        all_or_nothing: true,
        requests: rates.map(entry).to_vec(),
        ..Default::default()
    };
    let ask = |request| async {
        let answer = told.clients.reservations.clone().batch_create_reservations(request).await;
        answer.map(|it| it.into_inner().responses)
    };
    let answers = ask(batch([500 * MBIT, 500 * MBIT])).await.unwrap();
    let reasons = answers.iter().map(|answer| match &answer.outcome {
        Some(Outcome::Refusal(no)) => no.reason(),
        other => panic!("{other:?}"),
    });
    let reasons: Vec<Reason> = reasons.collect();
    assert_eq!(reasons, [Reason::OthersRefused, Reason::NoHeadroom]);
    assert_eq!(told.booked(INGRESS).await, 0);
    assert!(told.clients.list(true, 0).await.is_empty());
    // One that makes no sense spoils all of them, and says which it is.
    let mut request = batch([MBIT, MBIT]);
    request.requests[1].sources = vec!["storage/nobody".into()];
    let status = ask(request).await.unwrap_err();
    assert_eq!(code(&status), (Code::NotFound, "NOT_FOUND".into()));
    assert!(status.message().starts_with("requests[1]: storage/nobody"), "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata.get("part").map(String::as_str), Some("requests[1]"));
    for answer in ask(batch([500 * MBIT, 400 * MBIT])).await.unwrap() {
        assert_eq!(granted(answer).state(), State::Confirmed);
    }
    assert_eq!(told.booked(INGRESS).await, 900 * MBIT);
    told.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_one_step_or_none() {
    let told = Told::begin().await;
    let made = granted_now(&told, create(800 * MBIT, HOUR_MS)).await;
    let to = |rate_bps, etag: &str| v1::Reservation {
        name: made.name.clone(),
        rate_bps,
        etag: etag.into(),
        ..Default::default()
    };
    // More than there is: refused with the figures, and the old value stays.
    let no = match told.change(to(1000 * MBIT, ""), &["rate_bps"]).await.unwrap() {
        changed::Outcome::Refusal(no) => no,
        changed::Outcome::Reservation(it) => panic!("changed: {it:?}"),
    };
    assert_eq!(no.reason(), Reason::RateAboveCapacity);
    let [blocker] = no.blockers.as_slice() else { panic!("{no:?}") };
    let figures = (blocker.limit_bps, blocker.needed_bps, blocker.missing_bps);
    assert_eq!(figures, (900 * MBIT, 1000 * MBIT, 100 * MBIT));
    assert_eq!(still(told.clients.get(&made.name).await), still(made.clone()));
    // Less, which the present etag allows.
    let less = match told.change(to(500 * MBIT, &made.etag), &["rate_bps"]).await.unwrap() {
        changed::Outcome::Reservation(it) => it,
        changed::Outcome::Refusal(no) => panic!("refused: {no:?}"),
    };
    assert_eq!(less.rate_bps, 500 * MBIT);
    assert_eq!(told.booked(INGRESS).await, 500 * MBIT);
    // Whoever saw it before the change has to look again.
    let stale = told.change(to(600 * MBIT, &made.etag), &["rate_bps"]).await.unwrap_err();
    assert_eq!(code(&stale), (Code::Aborted, "ETAG_STALE".into()));
    let moved = v1::Reservation { destination: "hosts/other".into(), ..to(0, "") };
    let status = told.change(moved, &["destination"]).await.unwrap_err();
    assert_eq!(fields(&status), ["update_mask.paths[0]"]);
    assert_eq!(still(told.clients.get(&made.name).await), still(less));
    told.end();
}
