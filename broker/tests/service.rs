//! What a service manager hears of the process, and what it does not hear when nothing is decided.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::daemon::{configure, tidegated};
use support::gated::{Gate, Gated};
use support::{GBIT, Served, create, eventually, topology};
use tidegate_broker::config::JournalPlace;
use tidegate_broker::journal::MemoryJournal;
use tidegate_broker::{Broker, Config};

/// Longer than everything that is waited for.
const LONG: Duration = Duration::from_secs(30);

fn heard(socket: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 4096];
    let count = socket.recv(&mut bytes).unwrap();
    let text = std::str::from_utf8(&bytes[..count]).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn readiness_life_and_the_stop_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let config = configure(dir.path(), "127.0.0.1:0", "");
    let mut command = tidegated(&["serve", "--config", config.to_str().unwrap()]);
    let mut child =
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000").spawn().unwrap();
    let first = heard(&socket);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("tidegated listens on ").unwrap();
    assert_eq!(first, ["READY=1".to_owned(), format!("STATUS=serves at {address}")]);
    for _ in 0..3 {
        assert_eq!(heard(&socket), ["WATCHDOG=1"]);
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let stop = loop {
        let next = heard(&socket);
        if next != ["WATCHDOG=1"] {
            break next;
        }
    };
    assert_eq!(stop[0], "STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_felt_while_the_journal_hangs() {
    let gate = Gate::default();
    let journal = Box::new(Gated { journal: MemoryJournal::new(), gate: gate.clone() });
    let config = Config::ephemeral(JournalPlace::Memory);
    let served = Served::of(Broker::start_on(journal, config).await.unwrap()).await;
    served.clients.apply(topology(GBIT)).await;
    let pulse = served.broker.pulse();
    assert!(pulse.is_felt(LONG).await);
    gate.shut();
    let call = tokio::spawn({
        let clients = served.clients.clone();
        async move { clients.create(create(1, 3_600_000)).await }
    });
    eventually("it is on its way", async || gate.is_waited_at().then_some(())).await;
    assert!(!pulse.is_felt(Duration::from_millis(200)).await);
    gate.open();
    call.await.unwrap();
    assert!(pulse.is_felt(LONG).await);
    served.stop().await;
    assert!(!pulse.is_felt(LONG).await, "who has ended has no pulse");
}
