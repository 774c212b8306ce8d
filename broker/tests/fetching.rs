//! A broker process, web servers that fail, and an agent that fetches all the same: from another
//! source, or under another grant.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../client/tests/download/server.rs"]
mod server;
mod support;

use server::Server;
use support::daemon::{Daemon, configure};
use support::{Clients, topology};
use tidegate_client::fetch::FetchError;
use tidegate_client::retry::RetryPolicy;
use tidegate_client::{
    Ask, Client, Digest, Download, DownloadError, End, Fetch, LimitError, OnExpiry, Session,
};
use tidegate_policy::{ByteCount, Endpoint, Span};
use tidegate_proto::v1;

const LINK_BPS: i64 = 80_000_000;
const SIZE: usize = 2_000_000;

fn content() -> Vec<u8> {
    (0..SIZE).map(|n| u8::try_from((n * 31 + n / 253) % 251).unwrap()).collect()
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

/// A broker with two storages at one switch, and an agent's session.
struct Site {
    folder: tempfile::TempDir,
    daemon: Daemon,
    clients: Clients,
    session: Session,
}

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(&configure(folder.path(), "127.0.0.1:0", ""));
        let clients = Clients::connect(&daemon.address).await;
        let mut network = topology(LINK_BPS);
        let second = v1::Storage { name: "mirror".into(), ..network.storage[0].clone() };
        network.storage.push(second);
        clients.apply(network).await;
        let client = Client::connect(&daemon.address).unwrap();
        let session = client.open_session("agent-1").await.unwrap();
        Self { folder, daemon, clients, session }
    }

    fn download(&self, url: &str) -> Download {
        let download = Download::new(url, self.folder.path().join("copy"));
        download.digest(Digest::of(&content())).retry(RetryPolicy::default())
    }

    async fn stop(self) {
        self.session.close().await.unwrap();
        self.daemon.terminate();
        let (status, said) = self.daemon.wait();
        assert!(status.success(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_asked_for_from_the_other_source() {
    let (site, first, second) =
        (Site::start().await, Server::start(content()).await, Server::start(content()).await);
    first.behave(|it| it.breaks = vec![SIZE / 2]);
    let ask = Ask::new(
        endpoint("storage/swift"),
        endpoint("hosts/compute-1"),
        "40Mbit".parse().unwrap(),
        End::After(Span::ZERO),
    );
    let ask = ask.or_from(endpoint("storage/mirror"));
    let fetch = Fetch::new(ask, site.download(&first.url))
        .at(endpoint("storage/swift"), &first.url)
        .at(endpoint("storage/mirror"), &second.url);
    let fetch = fetch.sized().await.unwrap();
    let mut sources = Vec::new();
    let granted = |grant: &tidegate_client::Grant| {
        sources.push(grant.reservation().unwrap().source().unwrap().to_string());
    };
    let fails = first.clone();
    let failing = move |_| fails.behave(|it| it.status = Some(503));
    let fetched = fetch.run(&site.session, granted, failing).await.unwrap();
    assert_eq!(sources, ["storage/swift", "storage/mirror"], "each under a grant of its own");
    assert_eq!((fetched.grants, fetched.report.bytes.bytes()), (2, SIZE.try_into().unwrap()));
    assert_eq!(std::fs::read(site.folder.path().join("copy")).unwrap(), content());
    let sent = first.seen().sent + second.seen().sent;
    assert_eq!(sent, SIZE, "nothing was fetched twice");
    let made = site.clients.list(true, 10).await;
    let used: i64 = made.iter().map(|it| it.used_bytes).sum();
    assert_eq!((made.len(), used), (2, SIZE.try_into().unwrap()), "{made:?}");
    assert!(made.iter().all(|it| it.close_reason() == v1::CloseReason::Released), "{made:?}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_ends_too_early_is_followed_by_another_or_by_an_error() {
    let (site, server) = (Site::start().await, Server::start(content()).await);
    // Two megabytes at 8 Mbit/s take two seconds; each grant lasts for one.
    let ask = || {
        Ask::new(
            endpoint("storage/swift"),
            endpoint("hosts/compute-1"),
            "8Mbit".parse().unwrap(),
            End::After(Span::from_secs(1)),
        )
    };
    let fetch = Fetch::new(ask(), site.download(&server.url));
    let error = fetch.run(&site.session, |_| {}, |_| {}).await.unwrap_err();
    let FetchError::Download(DownloadError::Limit(LimitError::Expired)) = error else {
        panic!("{error:?}");
    };
    assert!(!site.folder.path().join("copy").exists(), "no half file under its name");
    let kept = std::fs::metadata(site.folder.path().join(".copy.part.json"));
    assert!(kept.is_ok(), "what came is there for another try");
    server.seen();
    let again = Fetch::new(ask(), site.download(&server.url)).on_expiry(OnExpiry::AskAgain);
    let fetched = again.run(&site.session, |_| {}, |_| {}).await.unwrap();
    assert!(ByteCount::ZERO < fetched.report.resumed && 1 <= fetched.grants, "{fetched:?}");
    assert_eq!(std::fs::read(site.folder.path().join("copy")).unwrap(), content());
    assert!(server.seen().sent < SIZE, "what was there was not fetched again");
    site.stop().await;
}
