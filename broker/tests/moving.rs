//! A broker process, an agent that fetches under a plan which may be moved, and somebody in a
//! hurry: the limiter follows the plan, and every byte arrives.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::daemon::{Daemon, configure};
use support::{Clients, at_ms, create, eventually, ms_of, topology};
use tidegate_client::{
    Acquired, Ask, Between, Client, Download, Fetch, OnUnreachable, Schemes, clock,
};
use tidegate_policy::{ByteCount, Span};
use tidegate_proto::v1;
use tidegate_proto::v1::create_reservation_request::Shape;
use tokio::io::AsyncReadExt;

/// A byte for each microsecond.
const LINK_BPS: i64 = 8_000_000;
/// Six seconds of it.
const SIZE: usize = 6_000_000;

/// A lease of a second: what lies two seconds ahead may move.
const BRISK: &str = "[session]\nbeat_every = \"100ms\"\nlease = \"1s\"\ngrace = \"60s\"";

fn content() -> Vec<u8> {
    (0..SIZE).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect()
}

/// What a plan lets pass until an instant, in bytes.
fn allowed(plan: &[v1::Segment], until_ms: i64) -> i64 {
    let one = |it: &v1::Segment| {
        let (start, end) = (ms_of(it.start_time.unwrap()), ms_of(it.end_time.unwrap()));
        it.rate_bps * (until_ms.min(end) - start).max(0) / 8000
    };
    plan.iter().map(one).sum()
}

/// The whole link for so long, from an instant on.
fn urgent(start_ms: i64, duration_ms: i64) -> v1::CreateReservationRequest {
    let mut request = create(LINK_BPS, duration_ms);
    if let Some(Shape::Rigid(rigid)) = &mut request.shape {
        rigid.start_time = Some(at_ms(start_ms));
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_steps_aside_for_who_is_in_a_hurry() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&configure(folder.path(), "127.0.0.1:0", BRISK));
    let clients = Clients::connect(&daemon.address).await;
    let mut network = topology(LINK_BPS);
    network.links[0].capacity.as_mut().unwrap().reserved_ppm = Some(0);
    clients.apply(network).await;
    let (source, copy) = (folder.path().join("image"), folder.path().join("copy"));
    std::fs::write(&source, content()).unwrap();

    let way = Between::new("storage/swift".parse().unwrap(), "hosts/compute-1".parse().unwrap());
    let deadline = clock::wall().plus(Span::from_secs(60));
    let ask = Ask::transfer(way, ByteCount::ZERO, deadline).movable();
    let schemes = Schemes::default().mounts([folder.path().to_owned()]);
    let download = Download::new(format!("file://{}", source.display()), &copy).schemes(schemes);
    let fetch = Fetch::new(ask, download).sized().await.unwrap();
    let session = Client::connect(&daemon.address).unwrap().open_session("agent-1").await.unwrap();
    let (bursts, samples) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
    let fetching = tokio::spawn({
        let (bursts, samples) = (bursts.clone(), samples.clone());
        async move {
            let granted = |grant: &tidegate_client::Grant| {
                *bursts.lock().unwrap() = grant.limiter().burst().bytes();
            };
            let progress = |it: tidegate_client::download::Progress| {
                samples.lock().unwrap().push((clock::wall().as_ms(), it.moved.bytes()));
            };
            let fetched = fetch.run(&session, granted, progress).await;
            session.close().await.unwrap();
            fetched
        }
    });
    let made = eventually("it is granted", || async { clients.list(false, 10).await.pop() }).await;
    let begun = ms_of(made.start_time.unwrap());
    let (from, to) = (begun + 3_000, begun + 5_000);
    let hurried = clients.create(urgent(from, to - from)).await;
    let moved = clients.get(&made.name).await;
    assert_eq!((moved.plan_version, clients.info().await.moved_count), (2, 1), "{moved:?}");
    let in_the_way =
        |it: &v1::Segment| ms_of(it.start_time.unwrap()) < to && from < ms_of(it.end_time.unwrap());
    assert!(!moved.segments.iter().any(in_the_way), "{moved:?}");
    let before = allowed(&moved.segments, from);
    assert!(before < i64::try_from(SIZE).unwrap(), "not all of it is there before the other one");

    let fetched = fetching.await.unwrap().unwrap();
    assert_eq!(fetched.report.bytes, ByteCount::new(SIZE.try_into().unwrap()));
    assert_eq!(std::fs::read(&copy).unwrap(), content());
    let closed = clients.get(&made.name).await;
    assert_eq!(closed.close_reason(), v1::CloseReason::Released, "in time, and given back");
    assert_eq!((closed.used_bytes, closed.plan_version), (SIZE.try_into().unwrap(), 3));
    let hurried = clients.get(&hurried.name).await;
    assert_eq!(hurried.close_reason(), v1::CloseReason::Completed, "who is in a hurry stays");
    // At no instant has more passed than the plan lets pass, and what the limiter lets pass at once.
    let burst = i64::try_from(*bursts.lock().unwrap()).unwrap();
    assert!(0 < burst && burst < 500_000, "{burst} bytes at once would prove nothing");
    let samples = samples.lock().unwrap();
    for (at, bytes) in &*samples {
        let most = allowed(&moved.segments, *at) + burst;
        assert!(i64::try_from(*bytes).unwrap() <= most, "{bytes} of {most} at {at}: {moved:?}");
    }
    daemon.terminate();
    let (status, said) = daemon.wait();
    assert!(status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_behind_at_the_end_of_its_plan_gets_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    // Beats are rare: it has to say by itself that its plan is over.
    let rare = "[session]\nbeat_every = \"20s\"\nlease = \"60s\"\ngrace = \"60s\"";
    let daemon = Daemon::start(&configure(folder.path(), "127.0.0.1:0", rare));
    let clients = Clients::connect(&daemon.address).await;
    clients.apply(topology(LINK_BPS)).await;
    let way = Between::new("storage/swift".parse().unwrap(), "hosts/compute-1".parse().unwrap());
    let deadline = clock::wall().plus(Span::from_secs(300));
    let size = ByteCount::new(1_000_000);
    let session = Client::connect(&daemon.address).unwrap().open_session("agent-1").await.unwrap();
    let ask = Ask::transfer(way, size, deadline);
    let acquired = session.acquire(&ask, OnUnreachable::Fail).await.unwrap();
    let Acquired::Granted(grant) = acquired else { panic!("the link is empty") };
    let name = grant.reservation().unwrap().name.to_string();
    // A machine with something else to do.
    let mut reader = grant.limiter().reader(std::io::Cursor::new(vec![7_u8; 1_000_000]));
    tokio::time::sleep(Duration::from_millis(600)).await;
    let mut copy = Vec::new();
    reader.read_to_end(&mut copy).await.unwrap();
    assert_eq!(copy.len(), 1_000_000);
    let told = clients.get(&name).await;
    // Once for most; a machine that is busy enough is behind that plan, too.
    let moved = clients.info().await.moved_count;
    assert!(1 <= moved && told.plan_version == moved + 1, "{moved} moves: {told:?}");
    let closed = grant.release().await.unwrap().unwrap();
    assert_eq!(closed.used, size);
    assert!(told.plan_version < i64::try_from(closed.plan_version).unwrap(), "{closed:?}");
    session.close().await.unwrap();
    daemon.terminate();
    daemon.wait();
}
