//! Copies and the grants that they ask for: all or none, with or without a broker.

use std::time::Duration;

use tidegate_client::ask::Between;
use tidegate_client::clock::BootTime;
use tidegate_client::copy::{Carry, CarryError, Legs};
use tidegate_client::{
    AllAcquired, Ask, Client, Copying, End, Grant, OnUnreachable, Place, Revoked,
};
use tidegate_policy::{BitRate, Endpoint, Span};
use tidegate_proto::v1;
use tokio::net::TcpListener;
use v1::create_reservation_response::Outcome as Answer;

use crate::ask;
use crate::fake::{self, Broker, next};

async fn nobody() -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    Client::connect_with(&target, fake::settings()).unwrap()
}

fn responses(outcomes: [Answer; 2]) -> v1::BatchCreateReservationsResponse {
    let responses = outcomes.map(|it| v1::CreateReservationResponse { outcome: Some(it) });
    v1::BatchCreateReservationsResponse { responses: responses.to_vec() }
}

#[tokio::test]
async fn several_grants_are_asked_for_at_once_and_are_all_or_none() {
    let mut broker = Broker::start([], fake::session(Duration::from_secs(3600))).await;
    let session = broker.client().open_session("test").await.unwrap();
    let asks = [ask(), ask()];
    let (acquired, call) = tokio::join!(session.acquire_all(&asks, OnUnreachable::Fail), async {
        let call = next!(broker, Batch);
        assert!(call.request.all_or_nothing);
        let sessions: Vec<&str> =
            call.request.requests.iter().map(|it| it.session.as_str()).collect();
        assert_eq!(sessions, [fake::SESSION; 2], "each is bound to the session");
        let no = |reason| Answer::Refusal(v1::Refusal { reason, ..v1::Refusal::default() });
        call.answer(Ok(responses([no(7), no(3)])));
    });
    let () = call;
    let AllAcquired::Refused(refusals) = acquired.unwrap() else { panic!("it said no") };
    assert_eq!(refusals.len(), 2);
    let bound = |last: char| {
        let mut name = fake::NAME.to_owned();
        name.pop();
        name.push(last);
        let session = fake::SESSION.to_owned();
        Answer::Reservation(v1::Reservation { name, session, ..fake::reservation(0) })
    };
    let (acquired, ()) = tokio::join!(session.acquire_all(&asks, OnUnreachable::Fail), async {
        next!(broker, Batch).answer(Ok(responses([bound('1'), bound('2')])));
    });
    let AllAcquired::Granted(grants) = acquired.unwrap() else { panic!("it said yes") };
    assert!(grants.len() == 2 && grants.iter().all(Grant::is_promised));
    // They end with the session.
    session.close().await.unwrap();
    for grant in &grants {
        let error = grant.ready().await.unwrap_err();
        let lost = tidegate_client::LimitError::Revoked(Revoked::SessionLost);
        assert_eq!(error, lost);
    }
}

#[tokio::test]
async fn a_copy_without_a_broker_does_as_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (source, copy) = (folder.path().join("image"), folder.path().join("copy"));
    std::fs::write(&source, vec![7_u8; 500_000]).unwrap();
    let end = |name: &str| name.parse::<Endpoint>().unwrap();
    let host = end("hosts/compute-1");
    let ways = Legs::between(end("storage/a"), end("storage/b"), Some(&host), false).unwrap();
    let slow: BitRate = "40Mbit".parse().unwrap();
    let legs = ways.map(|(from, to)| {
        Ask::rigid(Between::new(from, to), slow, End::After(Span::from_secs(60)))
    });
    let copying = Copying::new(Place::File(source), Place::File(copy.clone()));
    let client = nobody().await;
    let carry = Carry::new(copying, legs);
    let error = carry.run_alone(&client, "test", |_| {}, |_| {}).await.unwrap_err();
    let CarryError::Client(error) = error else { panic!("{error:?}") };
    assert!(error.is_unreachable() && !copy.exists(), "{error:?}");
    let carry = carry.on_unreachable(OnUnreachable::BestEffort(slow));
    let begun = BootTime::now();
    let granted = |grants: &[Grant]| {
        assert!(grants.len() == 2 && !grants.iter().any(Grant::is_promised));
    };
    let carried = carry.run_alone(&client, "test", granted, |_| {}).await.unwrap();
    // 500 kB at 5 MB/s, of which the burst saves 10 ms.
    assert!(
        Duration::from_millis(85) < BootTime::now().since(begun),
        "{:?}",
        BootTime::now().since(begun)
    );
    assert!(carried.reservations.is_empty());
    assert_eq!(std::fs::read(&copy).unwrap(), vec![7_u8; 500_000]);
}
