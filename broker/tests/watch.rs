//! Following reservations over the wire: nothing is told twice or left out, whoever is slow is cut,
//! and nobody waits for a watcher.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::{
    Clients, GBIT, Rng, Served, confirm, create, create_many, eventually, release, span_ms,
    topology,
};
use tidegate_broker::Config;
use tidegate_broker::config::JournalPlace;
use tidegate_proto::v1;
use tidegate_proto::v1::watch_reservations_response::Kind;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

const HOUR_MS: i64 = 3_600_000;

type Told = v1::WatchReservationsResponse;

async fn served(config: Config) -> Served {
    let served = Served::start(config).await;
    served.clients.apply(topology(1000 * GBIT)).await;
    served
}

fn ephemeral() -> Config {
    Config::ephemeral(JournalPlace::Memory)
}

async fn watch(clients: &Clients, filter: &str, token: &str) -> Result<Streaming<Told>, Status> {
    let request = v1::WatchReservationsRequest {
        parent: "projects/-".into(),
        filter: filter.into(),
        resume_token: token.into(),
    };
    Ok(clients.reservations.clone().watch_reservations(request).await?.into_inner())
}

/// A reservation without what moves with the clock.
fn still(it: &v1::Reservation) -> v1::Reservation {
    v1::Reservation { phase: 0, ..support::still(it.clone()) }
}

/// What a watcher knows.
#[derive(Clone, Debug, Default)]
struct Picture {
    all: BTreeMap<String, v1::Reservation>,
    token: String,
    synced: bool,
}

impl Picture {
    fn hear(&mut self, told: &Told) {
        let it = told.reservation.as_ref().map(still).unwrap_or_default();
        match told.kind() {
            Kind::Reset => *self = Self::default(),
            Kind::Stands => assert_eq!(self.all.insert(it.name.clone(), it), None),
            Kind::Changed => {
                let before = self.all.insert(it.name.clone(), it.clone());
                assert_ne!(before, Some(it), "told twice");
            }
            Kind::Left => assert!(self.all.remove(&it.name).is_some(), "never told: {told:?}"),
            Kind::Synced => self.synced = true,
            Kind::Bookmark | Kind::Unspecified => {}
        }
        assert_eq!(self.synced, !told.resume_token.is_empty(), "{told:?}");
        self.token.clone_from(&told.resume_token);
    }

    /// Hears until it knows of a reservation.
    async fn until(&mut self, stream: &mut Streaming<Told>, name: &str) {
        while !self.all.contains_key(name) {
            self.hear(&stream.message().await.unwrap().unwrap());
        }
    }
}

async fn listed(clients: &Clients, filter: &str) -> BTreeMap<String, v1::Reservation> {
    let mut all = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListReservationsRequest {
            parent: "projects/-".into(),
            page_size: 1000,
            page_token,
            show_closed: true,
            filter: filter.into(),
        };
        let page = clients.reservations.clone().list_reservations(request).await.unwrap();
        let page = page.into_inner();
        all.extend(page.reservations.iter().map(|it| (it.name.clone(), still(it))));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// Makes, confirms and gives back at random.
async fn change(clients: &Clients, rounds: usize) {
    let mut rng = Rng(7);
    let mut held = Vec::new();
    let mut all = Vec::new();
    for _ in 0..rounds {
        match rng.below(4) {
            0 | 1 => {
                let mut request = create(i64::try_from(1 + rng.below(4)).unwrap(), HOUR_MS);
                request.hold_for = rng.chance(50).then(|| span_ms(800_000));
                let made = clients.create(request).await;
                if made.hold_until_time.is_some() {
                    held.push(made.name.clone());
                }
                all.push(made.name);
            }
            2 => {
                let Some(name) = held.pop() else { continue };
                // One that was given back meanwhile cannot be confirmed.
                drop(clients.reservations.clone().confirm_reservation(confirm(&name)).await);
            }
            _ => {
                let most = u64::try_from(all.len()).unwrap().max(1);
                let at = usize::try_from(rng.below(most)).unwrap();
                let Some(name) = all.get(at) else { continue };
                clients.reservations.clone().release_reservation(release(name)).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_cut_again_and_again_sees_what_is_listed() {
    let served = served(ephemeral()).await;
    let filters = ["", "state == \"HELD\"", "rate_bps >= 3 && state != \"CLOSED\""];
    let mut watchers = Vec::new();
    for (seed, filter) in (0..).zip(filters) {
        let clients = Clients::connect(&served.address()).await;
        watchers.push(tokio::spawn(async move {
            let mut rng = Rng(seed);
            let mut picture = Picture::default();
            loop {
                let mut stream = watch(&clients, filter, &picture.token).await.unwrap();
                for _ in 0..1 + rng.below(7) {
                    let told = stream.message().await.unwrap().unwrap();
                    let last = told.reservation.as_ref().is_some_and(|it| !it.session.is_empty());
                    picture.hear(&told);
                    if last {
                        return (filter, picture);
                    }
                }
            }
        }));
    }
    change(&served.clients, 600).await;
    // The last change of all is one that every filter shows.
    let session = served.clients.open("agent-1").await.name;
    let mut request = create(4, HOUR_MS);
    request.hold_for = Some(span_ms(800_000));
    request.session = session;
    served.clients.create(request).await;
    for watcher in watchers {
        let (filter, picture) = watcher.await.unwrap();
        assert_eq!(picture.all, listed(&served.clients, filter).await, "{filter}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_cut_and_resumes_while_others_go_on() {
    let mut config = ephemeral();
    config.limits.changes = 1000;
    let served = served(config).await;
    // So small a window is full after some hundred messages.
    let endpoint = Endpoint::new(served.address()).unwrap().initial_stream_window_size(65_535);
    let narrow = endpoint.initial_connection_window_size(65_535).connect().await.unwrap();
    let mut slow = watch(&Clients::new(&narrow), "", "").await.unwrap();
    let mut quick = watch(&served.clients, "", "").await.unwrap();
    let mut known = Picture::default();
    known.hear(&slow.message().await.unwrap().unwrap());
    let mut seen = Picture::default();
    for _ in 0..20 {
        create_many(&served.clients, (0..250).map(|_| create(1000, HOUR_MS))).await;
        let last = served.clients.create(create(GBIT, HOUR_MS)).await.name;
        seen.until(&mut quick, &last).await;
    }
    let status = loop {
        match slow.message().await {
            Ok(told) => known.hear(&told.unwrap()),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "WATCH_BEHIND");
    assert_eq!(info.metadata["resume_token"], known.token);
    assert!(status.message().contains(&known.token), "{status:?}");
    assert!(known.all.len() < seen.all.len());
    // By now it is too old: what stands is told anew.
    let mut again = watch(&served.clients, "", &known.token).await.unwrap();
    let told = again.message().await.unwrap().unwrap();
    assert_eq!(told.kind(), Kind::Reset);
    known.hear(&told);
    while !known.synced {
        known.hear(&again.message().await.unwrap().unwrap());
    }
    assert_eq!(known.all, seen.all);
    assert_eq!(known.all, listed(&served.clients, "").await);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_places_and_no_more() {
    let mut config = ephemeral();
    config.limits.watchers = 2;
    let served = served(config).await;
    let one = watch(&served.clients, "", "").await.unwrap();
    let _two = watch(&served.clients, "", "").await.unwrap();
    let status = watch(&served.clients, "", "").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("at most 2 watches"), "{status:?}");
    drop(one);
    eventually("the place is free", || async { watch(&served.clients, "", "").await.ok() }).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_broken_and_a_stop_says_where_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::ephemeral(JournalPlace::Directory(dir.path().join("journal")));
    let first = served(config.clone()).await;
    let name = first.clients.create(create(GBIT, HOUR_MS)).await.name;
    let mut stream = watch(&first.clients, "", "").await.unwrap();
    let mut picture = Picture::default();
    let mut kinds = Vec::new();
    while kinds.last() != Some(&Kind::Bookmark) {
        let told = tokio::time::timeout(Duration::from_secs(10), stream.message()).await;
        let told = told.expect("a bookmark comes").unwrap().unwrap();
        kinds.push(told.kind());
        picture.hear(&told);
    }
    assert_eq!(kinds, [Kind::Reset, Kind::Stands, Kind::Synced, Kind::Bookmark]);
    let Served { broker, clients } = first;
    broker.stopper().cancel();
    let status = stream.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let token = status.get_details_error_info().unwrap().metadata["resume_token"].clone();
    assert_eq!(token, picture.token);
    drop((clients, stream));
    broker.wait().await.unwrap();

    let again = Served::start(config).await;
    let mut stream = watch(&again.clients, "", &token).await.unwrap();
    let told = stream.message().await.unwrap().unwrap();
    assert_eq!(told.kind(), Kind::Reset, "another process counts anew");
    picture.hear(&told);
    picture.until(&mut stream, &name).await;
    drop(stream);
    again.stop().await;
}
