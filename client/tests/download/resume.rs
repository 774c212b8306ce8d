//! What is fetched twice: nothing, beyond a block where a process was killed; and what is mixed: bytes
//! of one content only.

use tidegate_client::download::Report;
use tidegate_client::{Burst, Digest, Download, DownloadError, LimitError, Limiter, Revoked};
use tidegate_policy::{BitRate, ByteCount};

use crate::server::Server;
use crate::{Place, fast, impatient};

const SIZE: usize = 3_000_000;
const BLOCK: usize = 256 * 1024;

fn content(seed: usize) -> Vec<u8> {
    (0..SIZE).map(|n| u8::try_from((n * 31 + n / 253 + seed) % 251).unwrap()).collect()
}

fn download(server: &Server, place: &Place) -> Download {
    let block = ByteCount::new(BLOCK.try_into().unwrap());
    Download::new(&server.url, place.file()).retry(impatient()).block(block)
}

/// Fetches until about so many bytes have come, then fails by what `stop` does to its limiter.
async fn cut_at(download: &Download, bytes: usize, stop: fn(&Limiter)) -> DownloadError {
    let limiter = Limiter::new("200Mbit".parse().unwrap(), Burst::default());
    let stop = |moved: ByteCount| {
        if ByteCount::new(bytes.try_into().unwrap()) <= moved {
            stop(&limiter);
        }
    };
    download.run(&limiter, |progress| stop(progress.moved)).await.unwrap_err()
}

fn size() -> ByteCount {
    ByteCount::new(SIZE.try_into().unwrap())
}

async fn whole(download: &Download, place: &Place, expected: &[u8]) -> Report {
    let report = download.run(&fast(), |_| {}).await.unwrap();
    assert!(std::fs::read(place.file()).unwrap() == expected, "every byte is in its place");
    assert_eq!(place.names(), ["image.qcow2"], "nothing is left beside it");
    assert_eq!(report.digest, Digest::of(expected));
    report
}

#[tokio::test]
async fn a_connection_that_breaks_costs_nothing_twice() {
    for streams in [1, 3] {
        let (server, place) = (Server::start(content(0)).await, Place::new());
        // More often than there are tries in a row: each of them brought something.
        server.behave(|it| it.breaks = vec![100_000; 9]);
        let report = whole(&download(&server, &place).streams(streams), &place, &content(0)).await;
        assert_eq!((report.bytes, report.resumed), (size(), ByteCount::ZERO));
        let seen = server.seen();
        assert_eq!(seen.sent, SIZE, "{streams} streams: {seen:?}");
        assert!(9 < seen.from.len(), "{seen:?}");
    }
}

#[tokio::test]
async fn what_was_there_when_it_failed_is_not_fetched_again() {
    let (server, place) = (Server::start(content(0)).await, Place::new());
    for streams in [1, 4] {
        let download = download(&server, &place).streams(streams);
        let error = cut_at(&download, SIZE / 2, |it| it.revoke(Revoked::Preempted)).await;
        assert!(matches!(error, DownloadError::Limit(LimitError::Revoked(_))), "{error:?}");
        assert!(error.keeps() && !place.file().exists());
        assert_eq!(place.names().len(), 2, "a part and its checkpoint: {:?}", place.names());
        // What the server had sent beyond that was in the air, as it is where a connection breaks.
        server.seen();
        let report = whole(&download, &place, &content(0)).await;
        assert!(size().bytes() / 2 <= report.resumed.bytes(), "{report:?}");
        let rest = SIZE - usize::try_from(report.resumed.bytes()).unwrap();
        assert_eq!(server.seen().sent, rest, "{streams} streams");
        std::fs::remove_file(place.file()).unwrap();
    }
}

#[tokio::test]
async fn a_download_that_is_dropped_loses_a_block_at_most() {
    let (server, place) = (Server::start(content(0)).await, Place::new());
    let download = download(&server, &place);
    let limiter = Limiter::new("80Mbit".parse().unwrap(), Burst::default());
    let (said, mut moved) = tokio::sync::watch::channel(0);
    let task = tokio::spawn({
        let download = download.clone();
        async move {
            let said = |it: tidegate_client::download::Progress| {
                said.send_replace(it.moved.bytes());
            };
            download.run(&limiter, said).await.map(drop)
        }
    });
    let moved = *moved.wait_for(|moved| size().bytes() / 2 < *moved).await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let report = whole(&download, &place, &content(0)).await;
    let block = u64::try_from(BLOCK).unwrap();
    // A step may have come between the word and the end.
    assert!(moved - block <= report.resumed.bytes(), "{report:?}, {moved} had come");
}

#[tokio::test]
async fn content_that_changed_meanwhile_begins_anew() {
    let (server, place) = (Server::start(content(0)).await, Place::new());
    cut_at(&download(&server, &place), SIZE / 2, |it| it.revoke(Revoked::Preempted)).await;
    server.behave(|it| (it.content, it.tag) = (content(7).into(), Some("\"two\"")));
    let report = whole(&download(&server, &place), &place, &content(7)).await;
    assert_eq!(report.resumed, ByteCount::ZERO, "none of what was there is part of it");
}

#[tokio::test]
async fn content_that_changes_in_the_middle_is_an_error_and_nothing_is_kept() {
    for streams in [1, 3] {
        let (server, place) = (Server::start(content(0)).await, Place::new());
        server.behave(|it| it.breaks = vec![400_000; 3]);
        let change = server.clone();
        let download = download(&server, &place).streams(streams);
        let changed = move |_| {
            change.behave(|it| (it.content, it.tag) = (content(7).into(), Some("\"two\"")));
        };
        let error = download.run(&fast(), changed).await.unwrap_err();
        assert!(matches!(error, DownloadError::Changed { .. }), "{error:?}");
        assert_eq!(place.names(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn without_a_tag_only_a_digest_tells_that_it_is_the_same() {
    let (server, place) = (Server::start(content(0)).await, Place::new());
    server.behave(|it| it.tag = None);
    for (digest, resumes) in [(None, false), (Some(Digest::of(&content(0))), true)] {
        let mut download = download(&server, &place);
        if let Some(digest) = digest {
            download = download.digest(digest);
        }
        cut_at(&download, SIZE / 2, |it| it.revoke(Revoked::Preempted)).await;
        let report = whole(&download, &place, &content(0)).await;
        assert_eq!(report.resumed != ByteCount::ZERO, resumes, "{report:?}");
        std::fs::remove_file(place.file()).unwrap();
    }
    // And where it is not, the digest says so, and nothing of it is kept.
    let download = download(&server, &place).digest(Digest::of(&content(0)));
    cut_at(&download, SIZE / 2, |it| it.revoke(Revoked::Preempted)).await;
    server.behave(|it| it.content = content(7).into());
    let error = download.run(&fast(), |_| {}).await.unwrap_err();
    assert!(matches!(error, DownloadError::WrongDigest { .. }), "{error:?}");
    assert_eq!(place.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_without_ranges_gives_all_of_it_again() {
    for streams in [1, 4] {
        let (server, place) = (Server::start(content(0)).await, Place::new());
        server.behave(|it| (it.ranges, it.breaks) = (false, vec![500_000]));
        whole(&download(&server, &place).streams(streams), &place, &content(0)).await;
    }
}

#[tokio::test]
async fn several_streams_share_the_work() {
    let (server, place) = (Server::start(content(0)).await, Place::new());
    let limiter = Limiter::new("80Mbit".parse().unwrap(), Burst::default());
    let download = download(&server, &place).streams(4);
    download.run(&limiter, |_| {}).await.unwrap();
    assert!(std::fs::read(place.file()).unwrap() == content(0));
    assert_eq!(limiter.moved(), size(), "all of them pass the one limiter");
    let seen = server.seen();
    assert_eq!((seen.sent, seen.at_once), (SIZE, 4), "{seen:?}");
}

#[tokio::test]
async fn another_source_goes_on_where_one_fails() {
    let (first, second) = (Server::start(content(0)).await, Server::start(content(0)).await);
    let place = Place::new();
    for verified in [true, false] {
        first.behave(|it| (it.breaks, it.status) = (vec![1_000_000], None));
        let mut download = download(&first, &place).or_from(&second.url);
        if verified {
            download = download.digest(Digest::of(&content(0)));
        }
        let fails = first.clone();
        let fail = move |_| fails.behave(|it| it.status = Some(503));
        download.run(&fast(), fail).await.unwrap();
        assert!(std::fs::read(place.file()).unwrap() == content(0));
        let rest = if verified { SIZE - 1_000_000 } else { SIZE };
        assert_eq!((first.seen().sent, second.seen().sent), (1_000_000, rest), "{verified}");
        std::fs::remove_file(place.file()).unwrap();
    }
    second.behave(|it| it.status = Some(404));
    let error = download(&first, &place).or_from(&second.url).run(&fast(), |_| {}).await;
    let error = error.unwrap_err();
    assert!(matches!(error, DownloadError::Status { status: 404, .. }), "the last one: {error:?}");
    assert_eq!(place.names(), Vec::<String>::new());
}

#[tokio::test]
async fn two_at_one_destination_do_not_write_over_each_other() {
    let (server, place) = (Server::start(content(0)).await, Place::new());
    let download = download(&server, &place);
    let limiter = Limiter::new("80Mbit".parse().unwrap(), Burst::default());
    let (first, mut begun) = tokio::sync::mpsc::channel(1);
    let running = tokio::spawn({
        let (download, limiter) = (download.clone(), limiter.clone());
        async move { download.run(&limiter, |_| first.try_send(()).unwrap_or_default()).await }
    });
    begun.recv().await.unwrap();
    // It stands there for as long as the other one asks.
    limiter.set_rate(BitRate::ZERO);
    let error = download.run(&fast(), |_| {}).await.unwrap_err();
    assert!(matches!(error, DownloadError::Busy { .. }), "{error:?}");
    limiter.set_rate("80Mbit".parse().unwrap());
    running.await.unwrap().unwrap();
    whole(&download, &place, &content(0)).await;
}

#[tokio::test]
async fn a_checkpoint_that_makes_no_sense_is_none() {
    let (server, place) = (Server::start(content(0)).await, Place::new());
    let download = download(&server, &place);
    let notes = place.file().with_file_name(".image.qcow2.part.json");
    for nonsense in
        ["", "{}", r#"{"source":"x","tag":null,"size":9,"blocks":[{"start":5,"end":99}]}"#]
    {
        std::fs::write(&notes, nonsense).unwrap();
        let report = whole(&download, &place, &content(0)).await;
        assert_eq!(report.resumed, ByteCount::ZERO, "{nonsense}");
        std::fs::remove_file(place.file()).unwrap();
    }
}

#[tokio::test]
async fn nothing_is_kept_where_nobody_wants_to_go_on() {
    let (server, place) = (Server::start(content(0)).await, Place::new());
    let download = download(&server, &place).resume(false);
    cut_at(&download, SIZE / 2, |it| it.revoke(Revoked::Preempted)).await;
    assert_eq!(place.names(), Vec::<String>::new());
    server.seen();
    whole(&download, &place, &content(0)).await;
    assert_eq!(server.seen().sent, SIZE);
}

#[tokio::test]
async fn a_length_that_nobody_told_is_found_at_the_end() {
    let (server, place) = (Server::start(content(0)).await, Place::new());
    server.behave(|it| it.length = false);
    for streams in [1, 4] {
        whole(&download(&server, &place).streams(streams), &place, &content(0)).await;
        std::fs::remove_file(place.file()).unwrap();
    }
}
