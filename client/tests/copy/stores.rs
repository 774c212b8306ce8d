//! Object stores as destinations: in one piece, in parts, and nothing of what fails.

use tidegate_client::Schemes;
use tidegate_client::download::source::{S3, Swift};

use super::*;

/// Three parts of 8 MiB.
const LARGE: usize = 20_000_000;

/// How a store is reached, and where it keeps the object.
struct Store {
    schemes: Schemes,
    url: &'static str,
    path: &'static str,
}

fn stores(shelf: &Shelf) -> [Store; 2] {
    let s3 = S3::default().endpoint(&shelf.url).region("us-east-1").keys("a", "b");
    let swift = Swift::v1(shelf.at("/auth"), "user", "key");
    let schemes = Schemes::default().with("s3", s3).with("swift", swift);
    [
        Store { schemes: schemes.clone(), url: "s3://bucket/it", path: "/bucket/it" },
        Store { schemes, url: "swift://container/it", path: "/v1/container/it" },
    ]
}

impl Store {
    fn copying(&self, from: &str) -> Copying {
        copying(from, self.url).schemes(self.schemes.clone())
    }
}

#[tokio::test]
async fn small_objects_go_in_one_piece_and_large_ones_in_parts() {
    let shelf = Shelf::start().await;
    for size in [0, SIZE, LARGE] {
        let source = Server::start(content(size).to_vec()).await;
        for store in stores(&shelf) {
            shelf.inside().asked.clear();
            let fast = limiter("10Gbit");
            let copied = run(&store.copying(&source.url), &writing(&fast)).await.unwrap();
            let inside = shelf.inside();
            assert_eq!(inside.kept[store.path], content(size));
            assert_eq!(copied.bytes, ByteCount::new(u64::try_from(size).unwrap()));
            assert_eq!(copied.digest, Some(Digest::of(&content(size))));
            let check = if size == 0 { Check::Size } else { Check::Digest };
            assert_eq!(copied.check, check, "{}", store.url);
            let puts = inside.asked.iter().filter(|it| it.starts_with("PUT")).count();
            let swift = store.url.starts_with("swift");
            let manifest = usize::from(swift && size == LARGE);
            assert_eq!(puts, if size == LARGE { 3 + manifest } else { 1 }, "{:?}", inside.asked);
            // What is charged is what is sent: the list of parts is, too.
            let list = fast.moved().bytes() - copied.bytes.bytes();
            assert!(list < 2000 && (size == LARGE || list == 0), "{list} bytes of lists");
        }
    }
}

#[tokio::test]
async fn parts_are_sent_at_the_rate_of_the_limiter() {
    let shelf = Shelf::start().await;
    let source = Server::start(content(LARGE).to_vec()).await;
    let [s3, _] = stores(&shelf);
    let (reading, sending) = (limiter("400Mbit"), limiter("400Mbit"));
    let begun = BootTime::now();
    run(&s3.copying(&source.url), &both(&reading, &sending)).await.unwrap();
    let elapsed = BootTime::now().since(begun);
    // 20 MB at 50 MB/s, of which the bursts save 10 ms.
    assert!(Duration::from_millis(385) < elapsed, "{elapsed:?}");
    assert_eq!(shelf.inside().kept[s3.path], content(LARGE));
}

#[tokio::test]
async fn a_part_that_fails_in_passing_is_sent_again() {
    let shelf = Shelf::start().await;
    let source = Server::start(content(LARGE).to_vec()).await;
    for store in stores(&shelf) {
        shelf.inside().refuse = vec![(503, "later"), (500, "")];
        let fast = limiter("10Gbit");
        let copied = run(&store.copying(&source.url), &writing(&fast)).await.unwrap();
        assert_eq!(shelf.inside().kept[store.path], content(LARGE));
        assert_eq!(copied.check, Check::Digest);
        assert!(source.seen().from.len() == 1, "the source is read once");
    }
}

#[tokio::test]
async fn what_fails_leaves_neither_an_object_nor_parts() {
    let shelf = Shelf::start().await;
    let source = Server::start(content(LARGE).to_vec()).await;
    let is_empty = |it: &shelf::Inside| it.kept.is_empty() && it.parts.is_empty();
    for store in stores(&shelf) {
        // One part is refused for good.
        shelf.inside().refuse =
            vec![(403, "<Error><Code>AccessDenied</Code><Message>No.</Message></Error>")];
        let fast = limiter("10Gbit");
        let error = run(&store.copying(&source.url), &writing(&fast)).await.unwrap_err();
        assert!(error.to_string().ends_with("status 403: AccessDenied: No."), "{error}");
        assert!(is_empty(&shelf.inside()), "{}", store.url);
        // The content is not what was asked for, which is known with its last byte.
        let other = store.copying(&source.url).digest(Digest::of(b"another"));
        let error = run(&other, &writing(&fast)).await.unwrap_err();
        let wrong = matches!(error, CopyError::Source(DownloadError::WrongDigest { .. }));
        assert!(wrong, "{error:?}");
        assert!(is_empty(&shelf.inside()), "{}", store.url);
        // The grant is taken away while the second part is sent.
        let slow = limiter("400Mbit");
        let ends = slow.clone();
        let (copying, limits) = (store.copying(&source.url), writing(&slow));
        let copied = copying.run(&limits, move |it| {
            if 18_000_000 < it.moved.bytes() {
                ends.revoke(Revoked::Preempted);
            }
        });
        let error = copied.await.unwrap_err();
        assert!(matches!(error, CopyError::Limit(LimitError::Revoked(_))), "{error:?}");
        shelf.until(is_empty).await;
        // Nobody waits for it any more.
        let copying = store.copying(&source.url);
        let limits = writing(&limiter("200Mbit"));
        let dropped = tokio::time::timeout(Duration::from_millis(500), run(&copying, &limits));
        dropped.await.unwrap_err();
        shelf.until(is_empty).await;
    }
    assert!(0 < shelf.inside().aborted);
}

#[tokio::test]
async fn a_store_that_has_something_else_is_found_out() {
    let shelf = Shelf::start().await;
    let source = Server::start(content(SIZE).to_vec()).await;
    for store in stores(&shelf) {
        shelf.inside().lies = true;
        let fast = limiter("10Gbit");
        let error = run(&store.copying(&source.url), &writing(&fast)).await.unwrap_err();
        assert!(matches!(error, CopyError::Damaged { .. }), "{error:?}");
        shelf.inside().lies = false;
        shelf.inside().loses = true;
        let error = run(&store.copying(&source.url), &writing(&fast)).await.unwrap_err();
        assert!(matches!(error, CopyError::ShortWrite { .. }), "{error:?}");
        shelf.inside().loses = false;
    }
}
