//! Single calls: what is repeated, what is not, and what errors say.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tidegate_client::clock::BootTime;
use tidegate_client::{Client, ClientError, Listing, Outcome, Settings};
use tidegate_proto::v1;
use tokio::net::TcpListener;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::ask;
use crate::fake::{self, Broker, NAME, Reply};

const LIFE: Duration = Duration::from_secs(3600);

async fn broker(replies: impl IntoIterator<Item = Reply>) -> Broker {
    Broker::start(replies, fake::session(LIFE)).await
}

fn request_ids(broker: &Broker) -> Vec<String> {
    let log = broker.fake.log.lock().unwrap();
    log.created.iter().map(|request| request.request_id.clone()).collect()
}

#[tokio::test]
async fn a_busy_broker_is_asked_again_with_the_same_id() {
    let busy = || fake::fail(Status::unavailable("taking over"));
    let broker = broker([busy(), busy(), fake::yes(fake::reservation(0))]).await;
    let ask = ask();
    let outcome = broker.client().reserve(&ask).await.unwrap();
    let Outcome::Granted(reservation) = outcome else { panic!("{outcome:?}") };
    assert_eq!(reservation.name.to_string(), NAME);
    assert_eq!(request_ids(&broker), vec![ask.request_id.to_string(); 3]);
    let log = broker.fake.log.lock().unwrap();
    assert_eq!(log.timeouts.len(), 3, "each try tells its deadline");
}

#[tokio::test]
async fn silence_is_a_deadline_after_four_tries() {
    let broker = broker([Reply::Hang]).await;
    let settings = Settings { deadline: Duration::from_millis(40), ..fake::settings() };
    let client = Client::connect_with(&broker.target, settings).unwrap();
    let error = client.reserve(&ask()).await.unwrap_err();
    assert!(matches!(error, ClientError::Deadline { .. }), "{error:?}");
    let mut ids = request_ids(&broker);
    ids.dedup();
    assert_eq!(ids.len(), 1, "one id for all tries");
}

#[tokio::test]
async fn dropped_connections_are_made_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::connect_with(
        &format!("http://{}", listener.local_addr().unwrap()),
        fake::settings(),
    );
    let client = client.unwrap();
    let ask = ask();
    let call = tokio::spawn(async move { client.reserve(&ask).await });
    for _ in 0..2 {
        drop(listener.accept().await.unwrap());
    }
    let _broker = Broker::serve(listener, [fake::yes(fake::reservation(0))], fake::session(LIFE));
    assert!(matches!(call.await.unwrap().unwrap(), Outcome::Granted(_)));
}

#[tokio::test]
async fn a_connector_of_ones_own_makes_the_connections() {
    let broker = broker([fake::yes(fake::reservation(0))]).await;
    let address = broker.target.strip_prefix("http://").unwrap().to_owned();
    let (dialled, mut calls) = tokio::sync::mpsc::channel(4);
    let connector = tower::service_fn(move |uri: http::Uri| {
        dialled.try_send(uri.to_string()).unwrap();
        let address = address.clone();
        async move { tokio::net::TcpStream::connect(address).await.map(TokioIo::new) }
    });
    let client = Client::with_connector("http://simulated:7", connector, fake::settings()).unwrap();
    assert!(matches!(client.reserve(&ask()).await.unwrap(), Outcome::Granted(_)));
    assert_eq!(calls.recv().await.unwrap(), "http://simulated:7/");
}

#[tokio::test]
async fn a_grant_starts_late_and_ends_early() {
    let broker = broker([fake::yes(fake::reservation(0))]).await;
    let before = BootTime::now();
    let outcome = broker.client().reserve(&ask()).await.unwrap();
    let after = BootTime::now();
    let Outcome::Granted(reservation) = outcome else { panic!("{outcome:?}") };
    // The end counts from the sending, the start from the answer: the hour lacks the round trip.
    assert!(reservation.ends_at >= before.plus(Duration::from_secs(3600)));
    assert!(reservation.starts_at <= after);
    assert!(reservation.ends_at.since(reservation.starts_at) < Duration::from_secs(3600));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::connect_with(&target, fake::settings()).unwrap();
    let error = client.reserve(&ask()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_unix_socket_is_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let client = Client::connect_with(
        &format!("unix:{}", dir.path().join("absent.sock").display()),
        fake::settings(),
    );
    let error = client.unwrap().server_info().await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    for bad in ["", "127.0.0.1:1", "https://x", "http://", "unix:", "http://[::1"] {
        let error = Client::connect(bad).unwrap_err();
        assert!(matches!(error, ClientError::BadTarget { .. }), "{bad}: {error:?}");
    }
}

#[tokio::test]
async fn what_the_broker_answered_is_final() {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("rigid.rate_bps", "it is zero");
    let invalid = Status::with_error_details(Code::InvalidArgument, "1 field", details);
    let shed = ErrorDetails::with_retry_info(Some(Duration::from_millis(1)));
    let shed = Status::with_error_details(Code::ResourceExhausted, "queue full", shed);
    let broker = broker([
        fake::fail(invalid),
        fake::fail(shed),
        fake::fail(Status::already_exists("id used before")),
        fake::no(v1::Refusal { reason: 3, ..v1::Refusal::default() }),
    ])
    .await;
    let client = broker.client();
    let error = client.reserve(&ask()).await.unwrap_err();
    let ClientError::Invalid { violations, .. } = error else { panic!("{error:?}") };
    assert_eq!(violations[0].field, "rigid.rate_bps");
    let error = client.reserve(&ask()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_millis(1)), "{error:?}");
    let error = client.reserve(&ask()).await.unwrap_err();
    assert!(matches!(error, ClientError::Conflict { .. }), "{error:?}");
    assert!(matches!(client.reserve(&ask()).await.unwrap(), Outcome::Refused(_)));
    assert_eq!(request_ids(&broker).len(), 4, "nothing was repeated");
}

#[tokio::test]
async fn other_calls_answer_in_types() {
    let broker = broker([]).await;
    let client = broker.client();
    let name = NAME.parse().unwrap();
    let error = client.get(&name).await.unwrap_err();
    assert!(matches!(error, ClientError::NotFound { .. }), "{error:?}");
    let hold = tidegate_policy::Span::from_secs(60);
    let error = client.extend_hold(&name, hold).await.unwrap_err();
    assert!(matches!(error, ClientError::FailedPrecondition { .. }), "{error:?}");
    let error = client.export_topology().await.unwrap_err();
    assert!(matches!(error, ClientError::Unsupported { .. }), "{error:?}");
    let page = client.list(&Listing::default()).await.unwrap();
    assert_eq!((page.items.len(), page.next_page_token.as_str()), (1, "more"));
    let next = Listing { page_token: page.next_page_token, ..Listing::default() };
    assert_eq!(client.list(&next).await.unwrap().next_page_token, "");
}

#[tokio::test]
async fn an_answer_without_sense_is_an_error() {
    let spoil: [fn(&mut v1::Reservation); 6] = [
        |r| r.name = "reservations/1".into(),
        |r| r.rate_bps = -1,
        |r| r.state = 0,
        |r| r.ends_in = None,
        |r| r.end_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        |r| r.source = "swift".into(),
    ];
    let replies = spoil.map(|spoil| {
        let mut reservation = fake::reservation(0);
        spoil(&mut reservation);
        fake::yes(reservation)
    });
    let broker = broker(replies).await;
    let client = broker.client();
    for _ in spoil {
        let error = client.reserve(&ask()).await.unwrap_err();
        assert!(matches!(error, ClientError::BadAnswer { .. }), "{error:?}");
    }
}
