//! Grants: when bytes may move, and how a grant ends.

use std::time::Duration;

use tidegate_client::{
    Acquired, Ask, Client, ClientError, Grant, GrantEnd, LimitError, OnUnreachable, Outcome,
    Revoked,
};
use tidegate_policy::BitRate;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tonic::Status;

use crate::fake::{self, Broker, NAME, RATE, Reply};
use crate::{ask, until};

const LIFE: Duration = Duration::from_secs(3600);

async fn broker(replies: impl IntoIterator<Item = Reply>) -> Broker {
    Broker::start(replies, fake::session(LIFE)).await
}

fn granted(acquired: Acquired) -> Grant {
    match acquired {
        Acquired::Granted(grant) => grant,
        Acquired::Refused(refusal) => panic!("{refusal}"),
    }
}

fn bps(grant: &Grant) -> u64 {
    grant.limiter().rate().bps()
}

#[tokio::test]
async fn bytes_wait_for_the_start() {
    let broker =
        broker([fake::yes(fake::reservation(3600)), fake::yes(fake::reservation(0))]).await;
    let client = broker.client();
    let later = granted(client.acquire(&ask(), OnUnreachable::Fail).await.unwrap());
    assert_eq!(bps(&later), 0);
    assert!(later.is_promised());
    let now = granted(client.acquire(&ask(), OnUnreachable::Fail).await.unwrap());
    until("it has started", || bps(&now) == u64::try_from(RATE).unwrap()).await;
    now.ready().await.unwrap();
}

#[tokio::test]
async fn nothing_moves_past_the_end() {
    let over = tidegate_proto::v1::Reservation {
        ends_in: Some(prost_types::Duration::default()),
        ..fake::reservation(0)
    };
    let broker = broker([fake::yes(over)]).await;
    let grant = granted(broker.client().acquire(&ask(), OnUnreachable::Fail).await.unwrap());
    assert_eq!(grant.ready().await, Err(LimitError::Expired));
}

#[tokio::test]
async fn a_hold_moves_nothing_until_it_is_confirmed() {
    let held = tidegate_proto::v1::Reservation {
        state: 1,
        hold_until_time: Some(prost_types::Timestamp { seconds: 1060, nanos: 0 }),
        ..fake::reservation(0)
    };
    let broker = broker([fake::yes(held)]).await;
    let grant = granted(broker.client().acquire(&ask(), OnUnreachable::Fail).await.unwrap());
    assert_eq!(bps(&grant), 0);
    grant.confirm().await.unwrap();
    grant.ready().await.unwrap();
    assert_eq!(broker.fake.log.lock().unwrap().confirmed.len(), 1);
}

#[tokio::test]
async fn a_release_stops_the_limiter_and_reports_the_bytes() {
    let broker = broker([fake::yes(fake::reservation(0))]).await;
    let grant = granted(broker.client().acquire(&ask(), OnUnreachable::Fail).await.unwrap());
    let limiter = grant.limiter().clone();
    let mut reader = limiter.reader(&[7_u8; 1000][..]);
    reader.read_exact(&mut [0; 1000]).await.unwrap();
    drop(reader);
    let closed = grant.release().await.unwrap().unwrap();
    assert_eq!(closed.name.to_string(), NAME);
    assert_eq!(limiter.check(), Err(LimitError::Revoked(Revoked::Released)));
    let log = broker.fake.log.lock().unwrap();
    assert_eq!(log.released.len(), 1, "the drop does not say it again");
    assert_eq!(log.released[0].used_bytes, 1000);
    assert_eq!(log.released[0].session, "");
}

#[tokio::test]
async fn a_dropped_grant_is_given_back() {
    let broker = broker([fake::yes(fake::reservation(0))]).await;
    let grant = granted(broker.client().acquire(&ask(), OnUnreachable::Fail).await.unwrap());
    let limiter = grant.limiter().clone();
    drop(grant);
    assert_eq!(limiter.check(), Err(LimitError::Revoked(Revoked::Released)));
    until("it is given back", || broker.fake.log.lock().unwrap().released.len() == 1).await;
}

#[tokio::test]
async fn a_reservation_is_adopted_by_whom_it_is_bound_to() {
    let mut broker = broker([fake::yes(fake::reservation(0))]).await;
    let client = broker.client();
    let session = client.open_session("test").await.unwrap();
    // Nobody plays the broker's side of the stream.
    broker.dialogues.close();
    let reserve = |ask: Ask| {
        let client = client.clone();
        async move {
            match client.reserve(&ask).await.unwrap() {
                Outcome::Granted(it) => it,
                Outcome::Refused(refusal) => panic!("{refusal}"),
            }
        }
    };
    let bound = reserve(ask().bound_to(session.id())).await;
    let unbound = reserve(ask()).await;
    let error = client.adopt(bound.clone()).unwrap_err();
    assert!(matches!(error, ClientError::SessionUnusable { .. }), "{error:?}");
    let error = session.adopt(unbound.clone(), OnUnreachable::Fail).unwrap_err();
    assert!(matches!(error, ClientError::SessionUnusable { .. }), "{error:?}");
    assert!(broker.fake.log.lock().unwrap().released.is_empty(), "nobody took them");
    client.adopt(unbound).unwrap().ready().await.unwrap();
    let grant = session.adopt(bound, OnUnreachable::Fail).unwrap();
    grant.ready().await.unwrap();
    session.close().await.unwrap();
    assert_eq!(grant.ended(), Some(GrantEnd::SessionOver));
}

#[tokio::test]
async fn an_absent_broker_is_dealt_with_as_the_policy_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::connect_with(&target, fake::settings()).unwrap();
    let error = client.acquire(&ask(), OnUnreachable::Fail).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    let wait = OnUnreachable::Wait { up_to: Duration::from_millis(60) };
    let error = client.acquire(&ask(), wait).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    let slow: BitRate = "1Mbit".parse().unwrap();
    let grant = client.acquire(&ask(), OnUnreachable::BestEffort(slow)).await.unwrap();
    let grant = granted(grant);
    assert_eq!((grant.is_promised(), grant.limiter().rate()), (false, slow));
    assert_eq!(grant.reservation(), None);
    assert_eq!(grant.release().await.unwrap(), None);
}

#[tokio::test]
async fn waiting_outlasts_the_usual_tries() {
    let mut replies: Vec<Reply> =
        (0..9).map(|_| fake::fail(Status::unavailable("starting"))).collect();
    replies.push(fake::yes(fake::reservation(0)));
    let broker = broker(replies).await;
    let wait = OnUnreachable::Wait { up_to: Duration::from_secs(600) };
    let grant = granted(broker.client().acquire(&ask(), wait).await.unwrap());
    assert_eq!(grant.ended(), None);
    let log = broker.fake.log.lock().unwrap();
    let first = &log.created[0].request_id;
    assert!(log.created.iter().all(|request| request.request_id == *first));
    assert_eq!(log.created.len(), 10);
}

#[tokio::test]
async fn a_grant_that_is_closed_already_is_over() {
    let closed =
        tidegate_proto::v1::Reservation { state: 3, close_reason: 2, ..fake::reservation(0) };
    let broker = broker([fake::yes(closed)]).await;
    let grant = granted(broker.client().acquire(&ask(), OnUnreachable::Fail).await.unwrap());
    assert!(matches!(grant.ended(), Some(GrantEnd::Closed(_))));
    assert_eq!(grant.ready().await, Err(LimitError::Revoked(Revoked::Released)));
}
