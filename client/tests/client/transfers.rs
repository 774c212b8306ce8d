//! Volumes by deadlines: as the broker reads them, offered, in batches, and fetched.

use std::time::Duration;

use tidegate_client::ask::{Want, Wish};
use tidegate_client::refusal::RefusalReason;
use tidegate_client::{
    Ask, Batch, Between, ClientError, Download, End, Fetch, Outcome, Relation, Schemes, Shape,
};
use tidegate_policy::{ByteCount, Span, Timestamp};
use tidegate_proto::v1;
use v1::create_reservation_request::Shape as Wire;
use v1::create_reservation_response::Outcome as Answer;

use crate::ask;
use crate::fake::{self, Broker, Reply, next};

const LIFE: Duration = Duration::from_secs(3600);

async fn broker(replies: impl IntoIterator<Item = Reply>) -> Broker {
    Broker::start(replies, fake::session(LIFE)).await
}

fn seconds(secs: i64) -> Timestamp {
    Timestamp::from_ms(secs * 1000).unwrap()
}

fn wire_time(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

#[tokio::test]
async fn a_transfer_is_sent_with_its_bounds_and_its_standing() {
    let broker = broker([fake::yes(fake::reservation(0))]).await;
    let way = Between::new("storage/swift".parse().unwrap(), "hosts/compute-1".parse().unwrap());
    let deadline = seconds(9000);
    let ask = Ask::transfer(way.clone(), "40GB".parse().unwrap(), deadline)
        .at_least("1Gbit".parse().unwrap())
        .at_most("4Gbit".parse().unwrap())
        .starting(seconds(5000))
        .split()
        .movable()
        .priority(7)
        .preemptible();
    let Outcome::Granted(_) = broker.client().reserve(&ask).await.unwrap() else { panic!() };
    let sent = broker.fake.log.lock().unwrap().created.remove(0);
    let Some(Wire::Transfer(it)) = sent.shape else {
        panic!("{sent:?}");
    };
    let expected = v1::Transfer {
        volume_bytes: 40_000_000_000,
        min_bps: 1_000_000_000,
        max_bps: 4_000_000_000,
        start_time: wire_time(5000),
        deadline: wire_time(9000),
        split: true,
    };
    assert_eq!(it, expected);
    assert_eq!((sent.movable, sent.priority, sent.preemptible), (true, 7, true));
    // What has no place is told where it is sent, not left out.
    let ask = Ask::transfer(way, "40GB".parse().unwrap(), deadline);
    for wrong in [ask.lasting(Span::from_secs(60)), crate::ask().split()] {
        let error = broker.client().reserve(&wrong).await.unwrap_err();
        assert!(matches!(error, ClientError::Invalid { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_volume_is_offered_and_taken_by_its_token() {
    let offer = |kind, volume_bytes, end| v1::CounterOffer {
        kind,
        source: "storage/swift".into(),
        rate_bps: 4_000_000,
        start_time: wire_time(1000),
        end_time: wire_time(end),
        token: format!("t-{kind}"),
        volume_bytes,
        ..v1::CounterOffer::default()
    };
    let offers = vec![offer(3, 40_000_000_000, 9500), offer(5, 31_000_000_000, 9000)];
    let refusal = v1::Refusal { reason: 3, offers, ..v1::Refusal::default() };
    let broker = broker([fake::no(refusal), fake::yes(fake::reservation(0))]).await;
    let client = broker.client();
    let way = Between::new("storage/swift".parse().unwrap(), "hosts/compute-1".parse().unwrap());
    let ask = Ask::transfer(way, "40GB".parse().unwrap(), seconds(9000));
    let Outcome::Refused(refusal) = client.reserve(&ask).await.unwrap() else { panic!() };
    let text = refusal.to_string();
    assert!(text.contains("all of it, but later: 40GB by 1970-01-01T02:38:20Z"), "{text}");
    assert!(text.contains("as much as fits in time: 31GB by 1970-01-01T02:30:00Z"), "{text}");
    let Outcome::Granted(_) = client.reserve(&refusal.offers[1].ask(&ask)).await.unwrap() else {
        panic!()
    };
    let sent = broker.fake.log.lock().unwrap().created.remove(1);
    let token = Wire::OfferToken("t-5".into());
    assert_eq!(sent.shape, Some(token));
    // Without a token its terms say it: the deadline and the volume, on all that was named.
    let mut old = refusal.offers[1].clone();
    old.token = None;
    let again = old.ask(&ask);
    assert_eq!(again.until(), Some(End::At(seconds(9000))));
    let Want::Rate(Wish { shape: Shape::Transfer(it), .. }) = again.want else { panic!() };
    assert_eq!(it.volume, "31GB".parse().unwrap());
}

#[tokio::test]
async fn a_batch_says_how_it_hangs_together_and_is_answered_week_by_week() {
    let mut broker = broker([]).await;
    let client = broker.client();
    let batch = Batch::new([ask(), ask()]).related(Relation::InOrder { gapless: true }).weekly(2);
    let asked = tokio::spawn({
        let (client, batch) = (client.clone(), batch.clone());
        async move { client.reserve_batch(&batch).await }
    });
    let call = next!(broker, Batch);
    let sent = &call.request;
    assert_eq!(sent.relation, i32::from(v1::Relation::InOrder));
    assert_eq!((sent.gapless, sent.weeks, sent.all_or_nothing), (true, 2, false));
    let no = |reason| Answer::Refusal(v1::Refusal { reason, ..v1::Refusal::default() });
    let yes = || Answer::Reservation(fake::reservation(0));
    let responses = [yes(), yes(), no(5), no(3)];
    let responses = responses.map(|it| v1::CreateReservationResponse { outcome: Some(it) });
    call.answer(Ok(v1::BatchCreateReservationsResponse { responses: responses.to_vec() }));
    let answers = asked.await.unwrap().unwrap();
    let granted = |week: &[Outcome]| week.iter().all(|it| matches!(it, Outcome::Granted(_)));
    let weeks: Vec<bool> = answers.chunks(2).map(granted).collect();
    assert_eq!(weeks, [true, false]);
    // Calls that say another relation themselves do not take it for theirs.
    let error = client.reserve_all(&batch).await.unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }), "{error:?}");
    let any = Batch::new([ask(), ask()]).related(Relation::AnyOf);
    let asked = tokio::spawn(async move { client.reserve_batch(&any).await });
    let call = next!(broker, Batch);
    assert_eq!((call.request.relation, call.request.weeks), (i32::from(v1::Relation::AnyOf), 0));
    let responses = [yes(), no(6)];
    let responses = responses.map(|it| v1::CreateReservationResponse { outcome: Some(it) });
    call.answer(Ok(v1::BatchCreateReservationsResponse { responses: responses.to_vec() }));
    let answers = asked.await.unwrap().unwrap();
    let Outcome::Refused(refusal) = &answers[1] else { panic!("{answers:?}") };
    assert_eq!(refusal.reason, RefusalReason::OtherTaken);
}

#[tokio::test]
async fn a_fetch_by_a_deadline_asks_for_the_size_and_gives_the_rest_back() {
    let folder = tempfile::tempdir().unwrap();
    let (source, copy) = (folder.path().join("image"), folder.path().join("copy"));
    std::fs::write(&source, vec![7_u8; 50_000]).unwrap();
    let mut broker = broker([fake::yes(v1::Reservation {
        movable: true,
        plan_version: 1,
        ..fake::reservation(0)
    })])
    .await;
    let way = Between::new("storage/swift".parse().unwrap(), "hosts/compute-1".parse().unwrap());
    let ask = Ask::transfer(way, ByteCount::ZERO, seconds(9000)).movable();
    let schemes = Schemes::default().mounts([folder.path().to_owned()]);
    let download = Download::new(format!("file://{}", source.display()), &copy).schemes(schemes);
    let fetch = Fetch::new(ask, download).sized().await.unwrap();
    let client = broker.client();
    // Nobody plays the broker's side of the stream: the first lease carries it.
    broker.dialogues.close();
    let fetched = fetch.run_alone(&client, "test", |_| {}, |_| {}).await.unwrap();
    assert_eq!(fetched.report.bytes, ByteCount::new(50_000));
    assert_eq!(std::fs::read(&copy).unwrap().len(), 50_000);
    let log = broker.fake.log.lock().unwrap();
    let Some(Wire::Transfer(it)) = &log.created[0].shape else { panic!("{:?}", log.created) };
    assert_eq!((it.volume_bytes, it.deadline), (50_000, wire_time(9000)));
    assert_eq!(it.max_bps, 1_000_000, "no plan that is over before it is heard of");
    assert!(log.created[0].movable && !log.created[0].session.is_empty());
    assert_eq!((log.released.len(), log.released[0].used_bytes), (1, 50_000));
}
