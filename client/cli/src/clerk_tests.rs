//! A refusal is told with commands that can be typed.

use clap::Parser;
use tidegate_client::ask::Between;
use tidegate_policy::ByteCount;

use super::*;
use crate::arguments::{Arguments, Command};

#[test]
fn a_word_survives_the_shell() {
    assert_eq!(quoted("http://h:1/a.img"), "http://h:1/a.img");
    assert_eq!(quoted("a b&c"), "'a b&c'");
    assert_eq!(quoted("it's"), "'it'\\''s'");
    assert_eq!(quoted(""), "''");
}

fn offer(kind: OfferKind, volume: &str, end: &str) -> CounterOffer {
    CounterOffer {
        kind,
        source: Some("storage/a".parse().unwrap()),
        via: Vec::new(),
        path: None,
        volume: Some(volume.parse().unwrap()),
        rate: "4Gbit".parse().unwrap(),
        start: "2030-01-01T16:00:00Z".parse().unwrap(),
        end: end.parse().unwrap(),
        token: Some("o1.f00".parse().unwrap()),
    }
}

fn refused() -> (Refusal, Ask) {
    let way = Between::new("storage/a".parse().unwrap(), "hosts/b".parse().unwrap())
        .or_from("storage/c".parse().unwrap());
    let by = "2030-01-01T18:00:00Z".parse().unwrap();
    let ask = Ask::transfer(way, "40GB".parse().unwrap(), by)
        .at_least("1Gbit".parse().unwrap())
        .split()
        .priority(2)
        .preemptible();
    let offers = vec![
        offer(OfferKind::LaterFinish, "40GB", "2030-01-01T18:23:00Z"),
        offer(OfferKind::LessInTime, "31000000001B", "2030-01-01T18:00:00Z"),
    ];
    let reason = RefusalReason::NoHeadroom;
    let (blockers, rules, quotas) = Default::default();
    (Refusal { reason, blockers, rules, quotas, offers, held: None }, ask)
}

#[test]
fn volumes_are_offered_with_the_command_that_takes_them() {
    let (refusal, ask) = refused();
    assert_eq!(
        explain(&refusal, &ask, &Typed::Reserve),
        "refused: others have booked what it needs\n\
         what fits now, and the command that asks for it:\n\
         \x20 all of it, but later: 40GB by 2030-01-01T18:23:00Z from storage/a\n\
         \x20   tidegate reserve --from storage/a --from storage/c --to hosts/b --split \
         --min-rate 1Gbit/s --by 2030-01-01T18:23:00Z --volume 40GB --priority 2 --preemptible\n\
         \x20 as much as fits in time: 31.000000001GB by 2030-01-01T18:00:00Z from storage/a\n\
         \x20   tidegate reserve --from storage/a --from storage/c --to hosts/b --split \
         --min-rate 1Gbit/s --by 2030-01-01T18:00:00Z --volume 31.000000001GB --priority 2 \
         --preemptible\n\
         hint: with --take, the same command takes the first of these at once"
    );
}

#[test]
fn the_commands_ask_for_exactly_what_is_offered() {
    let (refusal, ask) = refused();
    for offered in &refusal.offers {
        let command = command(offered, &ask, &Typed::Reserve);
        let typed = Arguments::try_parse_from(command.split_whitespace()).unwrap().command;
        let Command::Reserve(typed) = typed else { panic!("{command}") };
        let again = typed.wanted.ask().map_err(|it| it.one_line()).unwrap();
        let Want::Rate(Wish { along, shape: Shape::Transfer(it), .. }) = again.want else {
            panic!("{command}");
        };
        let volume: ByteCount = offered.volume.unwrap();
        assert_eq!((it.volume, it.deadline, it.split), (volume, offered.end, true));
        assert_eq!((along.sources().len(), again.priority), (2, 2));
    }
}

#[test]
fn a_fetch_takes_a_later_deadline_and_no_part_of_its_file() {
    let (refusal, ask) = refused();
    let typed = Typed::Fetch {
        command: ["fetch".into(), "http://h/a.img".into(), "a.img".into()],
        ends: Vec::new(),
        options: vec![("streams", "4".into())],
        sized: true,
    };
    let ask = ask.movable();
    let text = explain(&refusal, &ask, &typed);
    assert!(text.contains("tidegate fetch http://h/a.img a.img"), "{text}");
    assert!(text.contains("--by 2030-01-01T18:23:00Z"), "{text}");
    assert!(text.contains("--streams 4"), "{text}");
    assert!(!text.contains("31.000000001GB") && !text.contains("--movable"), "{text}");
    // Where a part is all that fits, there is nothing to take.
    let mut refusal = refusal;
    refusal.offers.remove(0);
    let text = explain(&refusal, &ask, &typed);
    assert!(text.contains("hint: nothing like it fits") && !text.contains("what fits"), "{text}");
}

/// The offer of one way is for both ends of the copy.
#[test]
fn a_copy_is_typed_again_between_its_own_ends() {
    let (refusal, ask) = refused();
    let ends = vec![("from", "storage/a".into()), ("to", "storage/b".into())];
    let typed = Typed::Fetch {
        command: ["cp".into(), "s3://a/it".into(), "swift://b/it".into()],
        ends,
        options: vec![("mount", "/mnt".into())],
        sized: true,
    };
    let text = explain(&refusal, &ask, &typed);
    let command = "tidegate cp s3://a/it swift://b/it --from storage/a --to storage/b";
    assert!(text.contains(command) && text.contains("--mount /mnt"), "{text}");
    assert!(!text.contains("--to hosts"), "{text}");
}
