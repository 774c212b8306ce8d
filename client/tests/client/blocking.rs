//! The blocking client, outside of a runtime and inside of one.

use std::io::{Read, Write};
use std::time::Duration;

use tidegate_client::blocking::{Acquired, Client, Grant};
use tidegate_client::watch::{WatchFilter, Watched};
use tidegate_client::{
    ClientError, GrantEnd, LimitError, Listing, OnUnreachable, Outcome, Revoked, SessionPhase,
};
use tidegate_policy::BitRate;
use tidegate_proto::v1;
use tokio::runtime::{Builder, Runtime};

use crate::ask;
use crate::fake::{self, Asked, Broker, NAME, SESSION};

const LIFE: Duration = Duration::from_secs(3600);

/// The broker lives in a runtime of its own, as if it were another machine.
fn elsewhere() -> (Runtime, Broker) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker =
        runtime.block_on(Broker::start([fake::yes(fake::reservation(0))], fake::session(LIFE)));
    (runtime, broker)
}

fn client(broker: &Broker) -> Client {
    Client::connect_with(&broker.target, fake::settings()).unwrap()
}

fn granted(acquired: Acquired) -> Grant {
    match acquired {
        Acquired::Granted(grant) => grant,
        Acquired::Refused(refusal) => panic!("{refusal}"),
    }
}

#[test]
fn calls_wait_for_their_answers() {
    let (_runtime, broker) = elsewhere();
    let client = client(&broker);
    assert!(matches!(client.reserve(&ask()).unwrap(), Outcome::Granted(_)));
    let error = client.get(&NAME.parse().unwrap()).unwrap_err();
    assert!(matches!(error, ClientError::NotFound { .. }), "{error:?}");
    let all: Result<Vec<_>, _> = client.list_all(Listing::default()).collect();
    assert_eq!(all.unwrap().len(), 2);
    // What has no method of its own is waited for all the same.
    let error = client.run(client.asynchronous().server_info()).unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Unsupported { .. }), "{error:?}");
}

#[test]
fn bytes_move_under_the_grant() {
    let (_runtime, broker) = elsewhere();
    let client = client(&broker);
    let session = client.open_session("test").unwrap();
    let grant = granted(session.acquire(&ask(), OnUnreachable::Fail).unwrap());
    grant.ready().unwrap();
    let limiter = grant.limiter().clone();
    // Many times the burst of 10 ms, so that there is something to wait for.
    let size = 100_000;
    let mut read = Vec::new();
    grant.reader(std::io::repeat(7).take(size)).read_to_end(&mut read).unwrap();
    assert_eq!(read.len(), usize::try_from(size).unwrap());
    grant.writer(Vec::new()).write_all(&read).unwrap();
    let closed = grant.release().unwrap().unwrap();
    assert_eq!(closed.name.to_string(), NAME);
    assert_eq!(limiter.check(), Err(LimitError::Revoked(Revoked::Released)));
    // Nobody plays the broker's side of the stream, so the last beat stays without an answer.
    drop(broker.dialogues);
    session.close().unwrap();
    let log = broker.fake.log.lock().unwrap();
    assert_eq!((log.released[0].used_bytes, log.closed), (200_000, 1));
    assert_eq!(log.released[0].session, SESSION);
}

#[test]
fn a_grant_that_ends_fails_its_readers_and_writers() {
    let (_runtime, broker) = elsewhere();
    let client = client(&broker);
    let grant = granted(client.acquire(&ask(), OnUnreachable::Fail).unwrap());
    let mut reader = grant.reader(std::io::repeat(7));
    reader.read_exact(&mut [0; 100]).unwrap();
    grant.limiter().revoke(Revoked::CapacityLost);
    let error = reader.read(&mut [0; 100]).unwrap_err();
    assert_eq!(LimitError::of(&error), Some(LimitError::Revoked(Revoked::CapacityLost)));
    // A pause is waited out: the limiter of a grant is changed by whoever holds it.
    let grant = granted(client.acquire(&ask(), OnUnreachable::Fail).unwrap());
    let limiter = grant.limiter().clone();
    limiter.set_rate(BitRate::ZERO);
    let mut writer = grant.writer(std::io::sink());
    let writing = std::thread::spawn(move || writer.write_all(&[7; 5000]));
    limiter.set_rate("8Mbit".parse().unwrap());
    writing.join().unwrap().unwrap();
    assert_eq!(limiter.moved().bytes(), 5000);
}

#[test]
fn what_is_dropped_is_given_back() {
    let (_runtime, broker) = elsewhere();
    let client = client(&broker);
    let session = client.open_session("test").unwrap();
    assert_eq!(session.phase(), SessionPhase::Alive);
    let grant = granted(session.acquire(&ask(), OnUnreachable::Fail).unwrap());
    assert_eq!(grant.ended(), None::<GrantEnd>);
    drop(grant);
    assert_eq!(broker.fake.log.lock().unwrap().released.len(), 1, "the drop waited for it");
    drop(broker.dialogues);
    drop(session);
    assert_eq!(broker.fake.log.lock().unwrap().closed, 1);
}

#[test]
fn inside_of_a_runtime_there_is_an_error_and_no_panic() {
    let (_elsewhere, broker) = elsewhere();
    let client = client(&broker);
    let session = client.open_session("test").unwrap();
    let grant = granted(client.acquire(&ask(), OnUnreachable::Fail).unwrap());
    let current = Builder::new_current_thread().build().unwrap();
    let several = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let inside = |error: ClientError| matches!(error, ClientError::InsideRuntime);
    let try_all = || {
        assert!(inside(client.reserve(&ask()).unwrap_err()));
        assert!(inside(client.open_session("test").unwrap_err()));
        assert!(inside(client.list_all(Listing::default()).next().unwrap().unwrap_err()));
        let error = grant.reader(std::io::repeat(7)).read(&mut [0; 9]).unwrap_err();
        let inner = error.into_inner().unwrap().downcast::<ClientError>().unwrap();
        assert!(inside(*inner));
    };
    current.block_on(async { try_all() });
    several.block_on(async { try_all() });
    let before = broker.fake.log.lock().unwrap().created.len();
    assert_eq!(before, 1, "nothing was sent from in there");
    // A task of several threads, a thread for blocking calls, and an entered runtime.
    let again = client.clone();
    let error = several.block_on(several.spawn(async move { again.reserve(&ask()) }));
    assert!(inside(error.unwrap().unwrap_err()));
    let again = client.clone();
    let waited = several.block_on(several.spawn_blocking(move || again.reserve(&ask())));
    assert!(matches!(waited.unwrap().unwrap(), Outcome::Granted(_)));
    let entered = several.enter();
    assert!(matches!(client.reserve(&ask()).unwrap(), Outcome::Granted(_)));
    drop(entered);
    // Not even the last handles may panic there.
    current.block_on(async move {
        drop((grant, session));
        drop(client);
    });
}

#[test]
fn a_watch_is_an_iterator() {
    let (runtime, mut broker) = elsewhere();
    let client = client(&broker);
    let told = std::thread::spawn(move || {
        let mut watch = client.watch(WatchFilter::default()).unwrap();
        (watch.next().unwrap().unwrap(), watch.next().unwrap().unwrap_err(), watch.next().is_none())
    });
    runtime.block_on(async {
        let Some(Asked::Watch(words)) = broker.asked.recv().await else { panic!() };
        let reset = v1::WatchReservationsResponse { kind: 1, ..Default::default() };
        words.say(Ok(reset)).await;
        words.say(Err(tonic::Status::permission_denied("not yours"))).await;
    });
    let (first, error, over) = told.join().unwrap();
    assert!(matches!(first, Watched::Reset));
    assert!(matches!(error, ClientError::Denied { .. }) && over, "{error:?}");
}
