//! Copies between real servers on the loopback and files: all of it under its name, or nothing; every
//! byte under the limiter of its direction.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../download/server.rs"]
mod server;

mod files;
mod shelf;
mod stores;

use std::time::Duration;

use bytes::Bytes;
use server::Server;
use shelf::Shelf;
use tidegate_client::clock::BootTime;
use tidegate_client::copy::{Check, Copied, Limits};
use tidegate_client::retry::RetryPolicy;
use tidegate_client::{
    Burst, CopyError, Copying, Digest, DownloadError, LimitError, Limiter, Place, Revoked, Tls,
};
use tidegate_policy::ByteCount;
use tokio::net::TcpListener;

const SIZE: usize = 1_000_000;

fn content(size: usize) -> Bytes {
    (0..size).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect::<Vec<_>>().into()
}

fn limiter(rate: &str) -> Limiter {
    Limiter::new(rate.parse().unwrap(), Burst::default())
}

fn both(reading: &Limiter, writing: &Limiter) -> Limits {
    Limits { reading: Some(reading.clone()), writing: Some(writing.clone()) }
}

fn writing(limiter: &Limiter) -> Limits {
    Limits { reading: None, writing: Some(limiter.clone()) }
}

/// As often as usual, but without much of a pause.
fn copying(from: &str, to: &str) -> Copying {
    Copying::new(Place::from(from), Place::from(to)).retry(RetryPolicy {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        ..RetryPolicy::default()
    })
}

async fn run(copying: &Copying, limits: &Limits) -> Result<Copied, CopyError> {
    copying.run(limits, |_| {}).await
}

#[tokio::test]
async fn content_passes_from_one_server_to_another_under_both_limiters() {
    let (source, shelf) = (Server::start(content(SIZE).to_vec()).await, Shelf::start().await);
    // The slower of the two is the one that tells.
    for (reading, writing) in [("40Mbit", "10Gbit"), ("10Gbit", "40Mbit")] {
        let (reading, writing) = (limiter(reading), limiter(writing));
        let mut last = None;
        let begun = BootTime::now();
        let copying = copying(&source.url, &shelf.at("/kept"));
        let copied = copying.run(&both(&reading, &writing), |it| last = Some(it)).await.unwrap();
        // 1 MB at 5 MB/s, of which the burst saves 10 ms.
        assert!(
            Duration::from_millis(180) < BootTime::now().since(begun),
            "{:?}",
            BootTime::now().since(begun)
        );
        assert_eq!(shelf.inside().kept["/kept"], content(SIZE));
        assert_eq!(copied.bytes, ByteCount::new(1_000_000));
        assert_eq!(copied.digest, Some(Digest::of(&content(SIZE))));
        assert_eq!(copied.check, Check::Size);
        for limiter in [&reading, &writing] {
            assert_eq!(limiter.moved(), copied.bytes);
        }
        let last = last.unwrap();
        assert_eq!((last.moved, last.total), (copied.bytes, Some(copied.bytes)));
    }
}

#[tokio::test]
async fn a_source_without_a_length_is_passed_on_and_so_is_nothing() {
    let source = Server::start(content(SIZE).to_vec()).await;
    source.behave(|it| it.length = false);
    let (shelf, fast) = (Shelf::start().await, limiter("10Gbit"));
    let copied = run(&copying(&source.url, &shelf.at("/a")), &both(&fast, &fast)).await.unwrap();
    assert_eq!(shelf.inside().kept["/a"], content(SIZE));
    assert_eq!(copied.bytes, ByteCount::new(1_000_000));
    let empty = Server::start(Vec::new()).await;
    let copied = run(&copying(&empty.url, &shelf.at("/b")), &both(&fast, &fast)).await.unwrap();
    assert_eq!((copied.bytes, shelf.inside().kept["/b"].len()), (ByteCount::ZERO, 0));
}

#[tokio::test]
async fn a_source_that_breaks_off_is_gone_on_with() {
    let (source, shelf) = (Server::start(content(SIZE).to_vec()).await, Shelf::start().await);
    source.behave(|it| it.breaks = vec![300_000, 50_000, 400_000]);
    let fast = limiter("10Gbit");
    let copied = run(&copying(&source.url, &shelf.at("/kept")), &both(&fast, &fast)).await;
    assert_eq!(shelf.inside().kept["/kept"], content(SIZE));
    assert_eq!(copied.unwrap().digest, Some(Digest::of(&content(SIZE))));
    assert_eq!(source.seen().from, [0, 300_000, 350_000, 750_000]);
    assert_eq!(shelf.inside().asked.iter().filter(|it| it.starts_with("PUT")).count(), 1);
    // Where nothing tells one content from another, only a digest allows to go on.
    source.behave(|it| (it.tag, it.breaks) = (None, vec![300_000]));
    let error = run(&copying(&source.url, &shelf.at("/other")), &both(&fast, &fast)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, CopyError::Source(DownloadError::ShortBody { .. })), "{error:?}");
    source.behave(|it| it.breaks = vec![300_000]);
    let copying = copying(&source.url, &shelf.at("/third")).digest(Digest::of(&content(SIZE)));
    run(&copying, &both(&fast, &fast)).await.unwrap();
    shelf.until(|it| it.cut == 1).await;
    assert!(!shelf.inside().kept.contains_key("/other"));
}

#[tokio::test]
async fn what_is_another_or_short_is_never_seen() {
    let (source, shelf) = (Server::start(content(SIZE).to_vec()).await, Shelf::start().await);
    let fast = limiter("10Gbit");
    // Whether the length is told or not: the end of the body is never sent.
    for (cut, length) in [(1, true), (2, false)] {
        source.behave(|it| it.length = length);
        let copying = copying(&source.url, &shelf.at("/kept")).digest(Digest::of(b"another"));
        let error = run(&copying, &both(&fast, &fast)).await.unwrap_err();
        let other = matches!(error, CopyError::Source(DownloadError::WrongDigest { .. }));
        assert!(other, "{error:?}");
        shelf.until(|it| it.cut == cut).await;
    }
    source.behave(|it| (it.length, it.breaks) = (true, vec![1000; 20]));
    source.behave(|it| it.ranges = false);
    let error = run(&copying(&source.url, &shelf.at("/kept")), &both(&fast, &fast)).await;
    error.unwrap_err();
    shelf.until(|it| it.cut == 3).await;
    assert!(shelf.inside().kept.is_empty());
}

#[tokio::test]
async fn a_server_that_refuses_is_quoted() {
    let (source, shelf) = (Server::start(content(SIZE).to_vec()).await, Shelf::start().await);
    let slow = limiter("20Mbit");
    let quotes = [
        (403, "not you\nat all", "with status 403: not you"),
        (507, "", "with status 507: no space is left there"),
        (413, "<html><title>413 Too Large</title></html>", "with status 413: 413 Too Large"),
    ];
    for (status, said, quoted) in quotes {
        shelf.inside().refuse = vec![(status, said)];
        let before = slow.moved().bytes();
        let copied = run(&copying(&source.url, &shelf.at("/kept")), &writing(&slow)).await;
        let error = copied.unwrap_err();
        assert!(error.to_string().ends_with(quoted), "{error}");
        // It is heard before all of it is sent.
        let sent = slow.moved().bytes() - before;
        assert!(sent < 500_000, "{sent}");
    }
    assert!(shelf.inside().kept.is_empty());
    let gone = copying(&source.url, "http://127.0.0.1:1/kept");
    let error = run(&gone, &writing(&slow)).await.unwrap_err();
    assert!(matches!(error, CopyError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn an_upload_goes_over_https_to_who_is_trusted() {
    let source = Server::start(content(SIZE).to_vec()).await;
    let ((shelf, authority), fast) = (Shelf::start_secure().await, limiter("10Gbit"));
    let copying = copying(&source.url, &shelf.at("/kept"));
    let trusting = copying.clone().tls(Tls::roots_pem(&authority).unwrap());
    run(&trusting, &writing(&fast)).await.unwrap();
    assert_eq!(shelf.inside().kept["/kept"], content(SIZE));
    assert_eq!(fast.moved(), ByteCount::new(1_000_000));
    let error = run(&copying, &writing(&fast)).await.unwrap_err();
    assert!(matches!(error, CopyError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_has_less_is_found_out() {
    let (source, shelf) = (Server::start(content(SIZE).to_vec()).await, Shelf::start().await);
    shelf.inside().loses = true;
    let fast = limiter("10Gbit");
    let error = run(&copying(&source.url, &shelf.at("/kept")), &writing(&fast)).await.unwrap_err();
    let CopyError::ShortWrite { sent, stored, .. } = error else { panic!("{error:?}") };
    assert_eq!(sent.bytes(), stored.bytes() + 1);
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/kept", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((io, _)) = listener.accept().await {
            open.push(io);
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("large");
    // More than the kernel takes for it.
    std::fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
    let patience = Duration::from_millis(400);
    let copying = copying(&file.display().to_string(), &url).idle_timeout(patience);
    let error = run(&copying, &writing(&limiter("100Gbit"))).await.unwrap_err();
    assert!(matches!(error, CopyError::Idle { after, .. } if after == patience), "{error:?}");
    silent.abort();
}

#[tokio::test]
async fn a_grant_that_ends_stops_the_copy_and_leaves_nothing() {
    let (source, shelf) = (Server::start(content(SIZE).to_vec()).await, Shelf::start().await);
    for (cut, side) in [(1, 0), (2, 1)] {
        let limiters = [limiter("8Mbit"), limiter("8Mbit")];
        let ends = limiters[side].clone();
        let copying = copying(&source.url, &shelf.at("/kept"));
        let limits = both(&limiters[0], &limiters[1]);
        let copied = copying.run(&limits, move |it| {
            if 200_000 < it.moved.bytes() {
                ends.revoke(Revoked::Preempted);
            }
        });
        let error = copied.await.unwrap_err();
        let revoked = LimitError::Revoked(Revoked::Preempted);
        let limit = match error {
            CopyError::Limit(limit) | CopyError::Source(DownloadError::Limit(limit)) => limit,
            other => panic!("{other:?}"),
        };
        assert_eq!(limit, revoked);
        shelf.until(|it| it.cut == cut).await;
    }
    assert!(shelf.inside().kept.is_empty());
}

#[tokio::test]
async fn a_copy_that_is_dropped_leaves_nothing() {
    let (source, shelf) = (Server::start(content(SIZE).to_vec()).await, Shelf::start().await);
    source.behave(|it| it.length = false);
    let (slow, copying) = (limiter("8Mbit"), copying(&source.url, &shelf.at("/kept")));
    let limits = writing(&slow);
    let copied = tokio::time::timeout(Duration::from_millis(200), run(&copying, &limits)).await;
    copied.unwrap_err();
    shelf.until(|it| it.cut == 1).await;
    assert!(shelf.inside().kept.is_empty());
}

#[tokio::test]
async fn what_can_only_be_read_is_not_written() {
    let fast = limiter("10Gbit");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("it");
    std::fs::write(&file, "it").unwrap();
    let why = [
        ("glance://h:1/id", "can only be read"),
        ("ftp://h/it", "write http:// or"),
        ("file:///etc/it", "no directory is mounted"),
        ("s3://bucket", "write s3://BUCKET/KEY"),
        ("http:///it", "cannot be written"),
    ];
    for (url, why) in why {
        let error = run(&copying(&file.display().to_string(), url), &writing(&fast)).await;
        let error = error.unwrap_err();
        assert!(matches!(error, CopyError::BadDestination { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
}
