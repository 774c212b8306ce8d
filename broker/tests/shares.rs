//! A broker process and a fetch whose plan is split over two backends: each gives its share at its own
//! rate, and all of it is one file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::daemon::{Daemon, configure};
use support::{Clients, topology};
use tidegate_client::ask::{Ask, Between};
use tidegate_client::clock::BootTime;
use tidegate_client::{
    Client, Digest, Download, Fetch, FetchError, Fetched, Grant, Limiter, Schemes, clock,
};
use tidegate_policy::{ByteCount, Span};
use tidegate_proto::v1;

/// Two seconds of both backends together.
const SIZE: usize = 4_000_000;
/// What each backend reads: a byte for each microsecond.
const READ_BPS: i64 = 8_000_000;

fn content() -> Vec<u8> {
    (0..SIZE).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect()
}

struct World {
    daemon: Daemon,
    clients: Clients,
    folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(&configure(folder.path(), "127.0.0.1:0", ""));
        let clients = Clients::connect(&daemon.address).await;
        let mut network = topology(10 * support::GBIT);
        for storage in &mut network.storage {
            storage.served_via.clear();
            storage.capacity = support::capacity(READ_BPS);
        }
        clients.apply(network).await;
        for name in ["swift", "glance"] {
            std::fs::write(folder.path().join(name), content()).unwrap();
        }
        Self { daemon, clients, folder }
    }

    fn fetch(&self) -> Fetch {
        let [east, west] = ["storage/swift", "storage/glance"].map(|it| it.parse().unwrap());
        let way = Between::new(east, "hosts/compute-1".parse().unwrap()).or_from(west);
        let deadline = clock::wall().plus(Span::from_secs(60));
        let ask = Ask::transfer(way, ByteCount::ZERO, deadline).split();
        let url = |name: &str| format!("file://{}", self.folder.path().join(name).display());
        let schemes = Schemes::default().mounts([self.folder.path().to_owned()]);
        let download = Download::new(url("swift"), self.folder.path().join("copy"));
        Fetch::new(ask, download.schemes(schemes))
            .at("storage/swift".parse().unwrap(), url("swift"))
            .at("storage/glance".parse().unwrap(), url("glance"))
    }

    /// Fetches, and says what passed on each way of the plan.
    async fn run(&self, mut fetch: Fetch, digest: Option<Digest>) -> (Outcome, Vec<u64>) {
        if let Some(digest) = digest {
            fetch.download = fetch.download.digest(digest);
        }
        let fetch = fetch.sized().await.unwrap();
        let limiters: Arc<Mutex<Vec<Limiter>>> = Arc::default();
        let granted = |grant: &Grant| {
            let ways = (0..2).filter_map(|index| grant.way(index));
            limiters.lock().unwrap().extend(ways.map(|way| way.limiter().clone()));
        };
        let client = Client::connect(&self.daemon.address).unwrap();
        let fetched = Box::pin(fetch.run_alone(&client, "agent-1", granted, |_| {})).await;
        let moved = limiters.lock().unwrap().iter().map(|it| it.moved().bytes()).collect();
        (fetched, moved)
    }

    async fn stop(self) {
        self.daemon.terminate();
        let (status, said) = self.daemon.wait();
        assert!(status.success(), "{said}");
    }
}

type Outcome = Result<Fetched, FetchError>;

#[tokio::test(flavor = "multi_thread")]
async fn each_source_of_a_split_plan_gives_its_share() {
    let world = World::start().await;
    let begun = BootTime::now();
    let (fetched, moved) = world.run(world.fetch(), Some(Digest::of(&content()))).await;
    let fetched = fetched.unwrap();
    assert_eq!(std::fs::read(world.folder.path().join("copy")).unwrap(), content());
    // Two seconds of both, of which the bursts save 20 ms.
    let elapsed = BootTime::now().since(begun);
    assert!(Duration::from_millis(1900) < elapsed, "{elapsed:?}");
    assert_eq!(fetched.report.bytes, ByteCount::new(4_000_000));
    assert_eq!(moved.iter().sum::<u64>(), 4_000_000, "{moved:?}");
    assert!(moved.len() == 2 && moved.iter().all(|it| 1_000_000 < *it), "{moved:?}");
    let closed = world.clients.list(true, 10).await.pop().unwrap();
    // Given back, or over because all of it was reported: whichever comes first.
    let over = [v1::CloseReason::Released, v1::CloseReason::Completed];
    assert!(over.contains(&closed.close_reason()), "{closed:?}");
    assert_eq!(closed.used_bytes, 4_000_000);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_digest_nothing_is_mixed() {
    let world = World::start().await;
    let (fetched, _) = world.run(world.fetch(), None).await;
    let error = fetched.unwrap_err().to_string();
    assert!(error.contains("only a digest tells"), "{error}");
    // Where one of them has something else, the digest tells.
    std::fs::write(world.folder.path().join("glance"), vec![7; SIZE]).unwrap();
    let (fetched, _) = world.run(world.fetch(), Some(Digest::of(&content()))).await;
    let error = fetched.unwrap_err().to_string();
    assert!(error.contains("it was changed or damaged"), "{error}");
    assert!(!world.folder.path().join("copy").exists());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_source_holds_while_it_pauses_the_other_fetches() {
    let world = World::start().await;
    // Two seconds from now on, the second one has nothing for ten seconds.
    let now = clock::wall();
    let mut other = support::create(READ_BPS, 10_000);
    other.sources = vec!["storage/glance".into()];
    if let Some(v1::create_reservation_request::Shape::Rigid(rigid)) = &mut other.shape {
        rigid.start_time = Some(support::at_ms(now.as_ms() + 1_000));
    }
    world.clients.create(other).await;
    let (fetched, moved) = world.run(world.fetch(), Some(Digest::of(&content()))).await;
    fetched.unwrap();
    assert_eq!(std::fs::read(world.folder.path().join("copy")).unwrap(), content());
    // A second of both, then three of one.
    assert_eq!(moved.iter().sum::<u64>(), 4_000_000, "{moved:?}");
    assert!(moved[1] < 1_200_000, "{moved:?}");
    world.stop().await;
}
