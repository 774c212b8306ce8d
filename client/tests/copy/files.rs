//! Files of this machine on both sides.

use std::path::Path;

use tempfile::TempDir;
use tidegate_client::download::source::Mount;
use tidegate_client::{Revoked, Schemes};

use super::*;

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Two directories that are mounts of one storage, and one that is of none.
fn mounts(root: &TempDir) -> Schemes {
    let of = |name: &str| {
        let directory = root.path().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        directory
    };
    let nfs = || "storage/nfs".parse().unwrap();
    Schemes::default().mounted([
        Mount::of(nfs(), of("a")),
        Mount::of(nfs(), of("b")),
        Mount::from(of("c")),
    ])
}

#[tokio::test]
async fn a_server_is_copied_to_a_file() {
    let source = Server::start(content(SIZE).to_vec()).await;
    let (directory, fast) = (tempfile::tempdir().unwrap(), limiter("10Gbit"));
    let file = directory.path().join("kept");
    std::fs::write(&file, "what was there before").unwrap();
    let limits = Limits { reading: Some(fast.clone()), writing: None };
    let copied = run(&copying(&source.url, &shown(&file)), &limits).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), content(SIZE));
    assert_eq!((copied.check, fast.moved()), (Check::Size, copied.bytes));
    let other = copying(&source.url, &shown(&file)).digest(Digest::of(b"another"));
    run(&other, &limits).await.unwrap_err();
    assert_eq!(std::fs::read(&file).unwrap(), content(SIZE), "it still stands");
    assert_eq!(names(directory.path()), ["kept"]);
    let error = run(&copying(&source.url, &shown(directory.path())), &limits).await.unwrap_err();
    assert!(error.to_string().contains("it is a directory"), "{error}");
}

#[tokio::test]
async fn urls_write_below_mounts_alone() {
    let root = tempfile::tempdir().unwrap();
    let (schemes, fast) = (mounts(&root), limiter("10Gbit"));
    let outside = tempfile::tempdir().unwrap();
    let source = outside.path().join("source");
    std::fs::write(&source, content(SIZE)).unwrap();
    std::os::unix::fs::symlink(outside.path(), root.path().join("a/out")).unwrap();
    let copied = |to: String| {
        let (schemes, source, fast) = (schemes.clone(), shown(&source), fast.clone());
        async move { run(&copying(&source, &to).schemes(schemes), &writing(&fast)).await }
    };
    copied(format!("file://{}/a/kept", root.path().display())).await.unwrap();
    assert_eq!(std::fs::read(root.path().join("a/kept")).unwrap(), content(SIZE));
    for to in
        [format!("{}/kept", shown(outside.path())), format!("{}/a/out/kept", shown(root.path()))]
    {
        let error = copied(format!("file://{to}")).await.unwrap_err();
        assert!(error.to_string().contains("below none of the mounted"), "{error}");
    }
    // A link itself is replaced, and not what it leads to.
    std::os::unix::fs::symlink(&source, root.path().join("a/link")).unwrap();
    copied(format!("file://{}/a/link", shown(root.path()))).await.unwrap();
    assert!(!root.path().join("a/link").is_symlink());
    assert_eq!(names(outside.path()), ["source"]);
}

#[tokio::test]
async fn mounts_say_whose_storage_a_file_is() {
    let root = tempfile::tempdir().unwrap();
    let schemes = mounts(&root);
    let storages = |from: &str, to: &str| {
        let copying = copying(from, to).schemes(schemes.clone());
        copying.storages().map(|it| it.map(|it| it.to_string()))
    };
    let path = |name: &str| shown(&root.path().join(name));
    let nfs = || Some("storage/nfs".to_owned());
    assert_eq!(storages(&path("a/x"), &format!("file://{}", path("b/y"))), [nfs(), nfs()]);
    assert_eq!(storages(&path("a/none/x"), &path("c/y")), [None, None]);
    assert_eq!(storages("http://h/x", &path("b/y")), [None, nfs()]);
}

#[tokio::test]
async fn the_kernel_copies_at_the_rate_of_the_limiter() {
    let root = tempfile::tempdir().unwrap();
    let schemes = mounts(&root);
    let source = root.path().join("a/source");
    std::fs::write(&source, content(SIZE)).unwrap();
    let to = root.path().join("b/kept");
    let one = copying(&shown(&source), &format!("file://{}", shown(&to))).schemes(schemes);
    let slow = limiter("40Mbit");
    let (begun, mut told) = (BootTime::now(), Vec::new());
    let copied = one.run(&writing(&slow), |it| told.push(it.moved)).await.unwrap();
    assert!(
        Duration::from_millis(180) < BootTime::now().since(begun),
        "{:?}",
        BootTime::now().since(begun)
    );
    assert_eq!(std::fs::read(&to).unwrap(), content(SIZE));
    assert_eq!((copied.digest, copied.check), (None, Check::Size));
    assert_eq!((copied.bytes, slow.moved()), (ByteCount::new(1_000_000), copied.bytes));
    assert!(told.is_sorted() && told.last() == Some(&copied.bytes), "{told:?}");
    assert_eq!(names(&root.path().join("b")), ["kept"]);
    // Who wants a digest gets one: then the bytes are read.
    let digest = Digest::of(&content(SIZE));
    let copied = run(&one.clone().digest(digest), &writing(&limiter("10Gbit"))).await.unwrap();
    assert_eq!(copied.digest, Some(digest));
    // Two limiters are two directions, and the kernel has no place for a second one.
    let (reading, sending) = (limiter("10Gbit"), limiter("10Gbit"));
    run(&one, &both(&reading, &sending)).await.unwrap();
    assert_eq!((reading.moved(), sending.moved()), (copied.bytes, copied.bytes));
}

#[tokio::test]
async fn a_copy_of_files_that_ends_early_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (source, to) = (root.path().join("source"), root.path().join("kept"));
    std::fs::write(&source, content(SIZE)).unwrap();
    let one = copying(&shown(&source), &shown(&to));
    let slow = limiter("8Mbit");
    let limits = writing(&slow);
    let dropped = tokio::time::timeout(Duration::from_millis(100), run(&one, &limits)).await;
    dropped.unwrap_err();
    // The chunk that was under way comes to its end, and then the part goes.
    for _ in 0..500 {
        if names(root.path()) == ["source"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(names(root.path()), ["source"]);
    let ends = slow.clone();
    let mut count = 0;
    let copied = one.run(&limits, move |_| {
        count += 1;
        if count == 2 {
            ends.revoke(Revoked::Released);
        }
    });
    let error = copied.await.unwrap_err();
    assert!(matches!(error, CopyError::Limit(_)), "{error:?}");
    assert_eq!(names(root.path()), ["source"]);
}

/// What no disk has room for is known before a byte of it moves, and leaves nothing.
#[tokio::test]
async fn a_disk_without_room_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/huge", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut io, _)) = listener.accept().await {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\nit", 1_u64 << 62);
            let mut request = [0; 1024];
            assert_ne!(tokio::io::AsyncReadExt::read(&mut io, &mut request).await.unwrap(), 0);
            tokio::io::AsyncWriteExt::write_all(&mut io, head.as_bytes()).await.unwrap();
            open.push(io);
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let copying = copying(&url, &shown(&directory.path().join("kept")));
    let error = run(&copying, &writing(&limiter("10Gbit"))).await.unwrap_err();
    let full = matches!(
        error,
        CopyError::Source(DownloadError::DiskFull { .. } | DownloadError::File { .. })
    );
    assert!(full, "{error:?}");
    assert_eq!(names(directory.path()), Vec::<String>::new());
    server.abort();
}
