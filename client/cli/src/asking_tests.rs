//! What is typed wrong is told with what would be right.

use clap::Parser;
use tidegate_client::ask::{Shape, Want, Wish};

use super::*;
use crate::arguments::{Arguments, Command};

/// What becomes of the words behind `tidegate reserve --from storage/a --to hosts/b`.
fn asked(words: &str) -> Result<Ask, String> {
    let typed = format!("tidegate reserve --from storage/a --to hosts/b {words}");
    let typed = Arguments::try_parse_from(typed.split_whitespace());
    let Command::Reserve(typed) = typed.map_err(|error| error.to_string())?.command else {
        panic!("{words}");
    };
    typed.wanted.ask().map_err(|mistake| mistake.one_line())
}

#[test]
fn a_volume_by_a_deadline_is_asked_for() {
    let ask = asked(
        "--from storage/c --volume 40GB --by +2h --min-rate 1Gbit --max-rate 4Gbit --split \
         --start +1h --priority 3 --preemptible \
         --session 019aa7e0-8000-7000-8000-0000000000aa --movable",
    );
    let ask = ask.unwrap();
    assert_eq!(
        (ask.sources().len(), ask.priority, ask.movable, ask.preemptible),
        (2, 3, true, true)
    );
    let Want::Rate(Wish { shape: Shape::Transfer(it), .. }) = ask.want else { panic!("{ask:?}") };
    assert_eq!((it.volume.bytes(), it.split), (40_000_000_000, true));
    assert_eq!((it.min.bps(), it.max.bps()), (1_000_000_000, 4_000_000_000));
    let ahead = it.deadline.since(it.start.unwrap());
    assert_eq!(ahead, Span::from_secs(3600));
}

#[test]
fn nonsense_is_told_with_what_would_be_right() {
    let many = "--from storage/x ".repeat(16);
    let table = [
        ("--volume 0GB --by +2h", "it is nothing to move"),
        ("--volume 40 --by +2h", "write 40GB, 40GiB or 40B"),
        ("--volume 40GB", "--by 18:00Z"),
        ("--volume 40GB --by 18:00", "write 18:00Z"),
        ("--volume 40GB --by +1h --start +2h", "its deadline is"),
        ("--volume 40GB --by +1h --min-rate 4Gbit --max-rate 1Gbit", "less than --min-rate"),
        ("--volume 40GB --by +1h --min-rate 4", "write bits as in 10Gbit"),
        ("--volume 40GB --by +1h --max-rate 0bit", "as fast as it goes"),
        ("--volume 40GB --by +1h --rate 1Gbit", "cannot be used with"),
        ("--rate 1Gbit --for 1h --split", "--volume"),
        ("--volume 40GB --by +1h --movable", "nobody would hear"),
        ("--volume 40GB --by +1h --priority 10", "10 is not in 0..=9"),
        (&format!("--volume 40GB --by +1h {many}"), "17 sources are too many"),
        (
            "--rate 1Gbit --for 1h --session 019aa7e0-8000-7000-8000-0000000000aa --movable",
            "a fixed time",
        ),
        ("--for 1h", "or how much"),
    ];
    for (words, expected) in table {
        let error = asked(words).unwrap_err();
        assert!(error.contains(expected), "{words}: {error}");
    }
}
