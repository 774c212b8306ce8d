use tidegate_policy::{ByteCount, Timestamp};

use super::*;
use crate::chance::Chance;
use crate::day::HOUR;
use crate::ledger::Whose;

/// An afternoon, from an instant on, in a directory.
fn afternoon(directory: &Path, start: Timestamp, seed: u64) -> Lived {
    let past = Past::begin(&config(directory.into()), start).unwrap();
    live(past, HOUR.plus(HOUR), seed).unwrap()
}

#[tokio::test]
async fn agents_reports_and_files_agree_to_the_byte() {
    let directory = tempfile::tempdir().unwrap();
    let start = tidegate_client::clock::wall().minus(HOUR.plus(HOUR));
    let mut lived = afternoon(directory.path(), start, 7);
    let decided = lived.ledger.all_decided();
    assert!(100 < decided.granted && 0 < decided.refused, "{decided:?}");
    let broker = Broker::start(config(directory.path().into())).await.unwrap();
    let client = Client::connect(&broker.address()).unwrap();
    live::pull(&client, &broker.address(), &mut lived.ledger).await.unwrap();
    let range = (lived.start, lived.end);
    agree::check(&client, &lived.ledger, range).await.unwrap();

    // Whoever had reported one byte more would have been found out.
    let (id, moved) = lived.ledger.moved.pop_first().unwrap();
    lived.ledger.moved.insert(id, moved + 1);
    let error = agree::check(&client, &lived.ledger, range).await.unwrap_err();
    assert!(error.to_string().contains("moved"), "{error}");
    broker.stopper().cancel();
    broker.wait().await.unwrap();
}

#[test]
fn the_same_seed_leads_to_the_same_day() {
    let start = Timestamp::EPOCH.plus(Span::MAX);
    let told = [(3, start), (3, start.plus(MINUTE)), (4, start)].map(|(seed, start)| {
        let directory = tempfile::tempdir().unwrap();
        let lived = afternoon(directory.path(), start, seed);
        (lived.ledger.total(), lived.ledger.all_decided())
    });
    assert_eq!(told[0], told[1], "whenever it is");
    assert_ne!(told[0], told[2]);
}

#[test]
fn sizes_have_a_heavy_tail() {
    let mut chance = Chance::new(1);
    let mut sizes: Vec<u64> = (0..10_000).map(|_| chance.pareto(2_000, 240_000)).collect();
    sizes.sort_unstable();
    assert!((2_000..2_010).contains(&sizes[0]) && sizes[9_999] <= 240_000);
    assert!((3_800..4_200).contains(&sizes[5_000]), "{}", sizes[5_000]);
    assert!(100_000 < sizes[9_900], "{}", sizes[9_900]);
}

#[test]
fn the_ledger_adds_up() {
    let mut ledger = ledger::Ledger::default();
    let whose = Whose {
        project: tidegate_policy::ProjectId("a".parse().unwrap()),
        class: tidegate_policy::ClassId("b".parse().unwrap()),
        lanes: vec!["links/x/forward".into(), "links/y/forward".into()],
    };
    let id = tidegate_policy::ReservationId::from_u128(1);
    ledger.add(id, &whose, 5);
    ledger.add(id, &whose, 7);
    let names = ["projects/a", "classes/b", "links/y/forward", "projects/b"];
    assert_eq!(names.map(|name| ledger.used(name).bytes()), [12, 12, 12, 0]);
    assert_eq!(ledger.total(), ByteCount::new(12));
}
