//! A broker process and copies under its grants: a way for each direction, both or none; and a storage
//! that copies onto itself, of which nothing but its lanes is booked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::daemon::{Daemon, configure};
use support::{Clients, create, eventually, topology};
use tidegate_client::ask::{Ask, Between, End};
use tidegate_client::clock::BootTime;
use tidegate_client::copy::{Carried, Carry, CarryError, Legs};
use tidegate_client::download::source::Mount;
use tidegate_client::refusal::RefusalReason;
use tidegate_client::{Client, Copying, Grant, Place, Schemes, clock};
use tidegate_policy::{ByteCount, Endpoint, Span};
use tidegate_proto::v1;

/// Two seconds at 8 Mbit/s.
const SIZE: usize = 2_000_000;
const RATE_BPS: i64 = 8_000_000;

fn content() -> Vec<u8> {
    (0..SIZE).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect()
}

fn end(name: &str) -> Endpoint {
    name.parse().unwrap()
}

/// A broker, and two directories as mounts of its storages.
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
        }
        clients.apply(network).await;
        for name in ["a", "b"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("a/image"), content()).unwrap();
        Self { daemon, clients, folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// `a/image` to `b/copy`, as files of these storages.
    fn copying(&self, storages: [&str; 2]) -> Copying {
        let url = |path: &Path| Place::Url(format!("file://{}", path.display()));
        let mounts = ["a", "b"].into_iter().zip(storages);
        let mounts = mounts.map(|(name, storage)| Mount::of(end(storage), self.path(name)));
        Copying::new(url(&self.path("a/image")), url(&self.path("b/copy")))
            .schemes(Schemes::default().mounted(mounts))
    }

    /// What such a copy asks for: by its mounts, through this host.
    fn carry(&self, storages: [&str; 2], ask: impl Fn(Between) -> Ask) -> Carry {
        let copying = self.copying(storages);
        let [from, to] = copying.storages().map(Option::unwrap);
        let within = from == to;
        let here = end("hosts/compute-1");
        let legs = Legs::between(from, to, Some(&here), within).unwrap();
        Carry::new(copying, legs.map(|(from, to)| ask(Between::new(from, to))))
    }

    /// What is booked on which lanes, by each reservation that lives.
    async fn booked(&self) -> Vec<Vec<(String, i64)>> {
        let live = self.clients.list(false, 10).await.into_iter();
        let lanes = |it: v1::Reservation| -> Vec<(String, i64)> {
            it.bookings.into_iter().map(|it| (it.lane, it.booked_bps)).collect()
        };
        live.map(lanes).collect()
    }

    async fn stop(self) {
        self.daemon.terminate();
        let (status, said) = self.daemon.wait();
        assert!(status.success(), "{said}");
    }
}

fn rigid(between: Between) -> Ask {
    Ask::rigid(between, "8Mbit".parse().unwrap(), End::After(Span::ZERO))
}

type Running = tokio::task::JoinHandle<Result<Carried, CarryError>>;

/// How many bytes had moved when.
type Samples = Arc<Mutex<Vec<(BootTime, u64)>>>;

/// Copies in the background, and notes how much has moved when.
fn start(daemon: &Daemon, carry: Carry) -> (Running, Samples) {
    let client = Client::connect(&daemon.address).unwrap();
    let samples = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&samples);
    let running = tokio::spawn(async move {
        let granted = |grants: &[Grant]| assert!(grants.iter().all(Grant::is_promised));
        let progress = |it: tidegate_client::download::Progress| {
            noted.lock().unwrap().push((BootTime::now(), it.moved.bytes()));
        };
        carry.run_alone(&client, "copier-1", granted, progress).await
    });
    (running, samples)
}

fn lanes(of: &[(String, i64)]) -> Vec<&str> {
    of.iter().map(|(lane, _)| lane.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_through_this_host_has_a_grant_for_each_direction() {
    let world = World::start().await;
    let carry = world.carry(["storage/swift", "storage/glance"], rigid).sized().await.unwrap();
    assert!(carry.legs.is_through());
    let begun = BootTime::now();
    let (running, samples) = start(&world.daemon, carry);
    let booked = eventually("both directions are booked", || async {
        Some(world.booked().await).filter(|it| it.len() == 2)
    })
    .await;
    let mut told: Vec<Vec<&str>> = booked.iter().map(|it| lanes(it)).collect();
    told.sort();
    let nic = |side: &str| format!("hosts/compute-1/nics/eth0/{side}");
    let (egress, ingress) = (nic("egress"), nic("ingress"));
    let out = vec![egress.as_str(), "links/spine/reverse", "storage/glance/write"];
    let into = vec!["storage/swift/read", "links/spine/forward", ingress.as_str()];
    assert_eq!(told, [out, into]);
    let storage = |(lane, bps): &(String, i64)| !lane.starts_with("storage/") || *bps == RATE_BPS;
    assert!(booked.iter().flatten().all(storage), "{booked:?}");

    let carried = running.await.unwrap().unwrap();
    assert_eq!(std::fs::read(world.path("b/copy")).unwrap(), content());
    // 2 MB at 1 MB/s, of which each burst saves 10 ms.
    assert!(
        Duration::from_millis(1900) < BootTime::now().since(begun),
        "{:?}",
        BootTime::now().since(begun)
    );
    let samples = samples.lock().unwrap().clone();
    for (at, moved) in &samples {
        let most = u64::try_from(at.since(begun).as_micros()).unwrap() + 100_000;
        assert!(*moved <= most, "{moved} bytes after {most} us");
    }
    assert_eq!(carried.report.bytes, ByteCount::new(2_000_000));
    assert_eq!(world.booked().await, Vec::<Vec<_>>::new(), "all is given back");
    let closed = world.clients.list(true, 10).await;
    assert_eq!(closed.len(), 2);
    for one in closed {
        assert_eq!(one.close_reason(), v1::CloseReason::Released);
        assert_eq!(one.used_bytes, 2_000_000, "each byte is counted in each direction");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direction_without_room_leaves_the_other_unbooked() {
    let world = World::start().await;
    // Somebody else writes there.
    let mut other = create(100 * support::GBIT, 60_000);
    other.sources = vec!["storage/glance".into()];
    other.destination = "storage/glance".into();
    let other = world.clients.create(other).await;
    let carry = world.carry(["storage/swift", "storage/glance"], rigid).sized().await.unwrap();
    let (running, _) = start(&world.daemon, carry);
    let error = running.await.unwrap().unwrap_err();
    let CarryError::Refused(refusals) = &error else { panic!("{error:?}") };
    let reasons: Vec<RefusalReason> = refusals.iter().map(|it| it.reason).collect();
    assert_eq!(reasons[0], RefusalReason::OthersRefused);
    assert_eq!(reasons[1], RefusalReason::NoHeadroom);
    assert_eq!(refusals[1].blockers[0].lane, "storage/glance/write");
    assert_eq!(world.clients.list(false, 10).await[0].name, other.name);
    assert_eq!(world.clients.list(true, 10).await.len(), 1, "nothing was booked for a moment");
    assert!(!world.path("b/copy").exists());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_deadline_both_directions_go_at_one_rate() {
    let world = World::start().await;
    let deadline = clock::wall().plus(Span::from_secs(14));
    let ask = |between| Ask::transfer(between, ByteCount::ZERO, deadline).movable();
    let carry = world.carry(["storage/swift", "storage/glance"], ask).sized().await.unwrap();
    let rates: Vec<u64> = carry.legs.iter().map(|ask| ask.rate().unwrap().bps()).collect();
    // 2.02 MB in the four seconds that are not to spare, or a little less.
    assert!(rates[0] == rates[1] && (4_040_000..8_000_000).contains(&rates[0]), "{rates:?}");
    let (running, _) = start(&world.daemon, carry);
    running.await.unwrap().unwrap();
    assert!(clock::wall() < deadline);
    assert_eq!(std::fs::read(world.path("b/copy")).unwrap(), content());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn within_one_storage_nothing_but_its_lanes_is_booked() {
    let world = World::start().await;
    let carry = world.carry(["storage/swift", "storage/swift"], rigid).sized().await.unwrap();
    let begun = BootTime::now();
    let (running, _) = start(&world.daemon, carry);
    let booked = eventually("it is booked", || async { world.booked().await.pop() }).await;
    let both = ["storage/swift/read", "storage/swift/write"];
    assert_eq!(booked, both.map(|lane| (lane.to_owned(), RATE_BPS)));
    let carried = running.await.unwrap().unwrap();
    assert!(
        Duration::from_millis(1900) < BootTime::now().since(begun),
        "{:?}",
        BootTime::now().since(begun)
    );
    assert_eq!(std::fs::read(world.path("b/copy")).unwrap(), content());
    assert_eq!(carried.report.digest, None, "the kernel copied");
    assert_eq!(carried.reservations.len(), 1);
    let closed = world.clients.list(true, 10).await.pop().unwrap();
    assert_eq!((closed.close_reason(), closed.used_bytes), (v1::CloseReason::Released, 2_000_000));
    world.stop().await;
}
