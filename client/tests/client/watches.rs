//! Watches: words become events, cuts are resumed, and what cannot be resumed is told.

use std::time::Duration;

use tidegate_client::watch::{WatchFilter, Watched};
use tidegate_client::{ClientError, Watch};
use tidegate_proto::v1;
use tonic::Status;
use v1::watch_reservations_response::Kind;

use crate::fake::{self, Broker, NAME, Watching, next};

const LIFE: Duration = Duration::from_secs(3600);

fn word(kind: Kind, token: &str) -> Result<v1::WatchReservationsResponse, Status> {
    let about = match kind {
        Kind::Stands | Kind::Changed => Some(fake::reservation(0)),
        Kind::Left => Some(v1::Reservation { name: NAME.into(), ..v1::Reservation::default() }),
        _ => None,
    };
    Ok(v1::WatchReservationsResponse {
        kind: kind.into(),
        reservation: about,
        resume_token: token.into(),
    })
}

async fn watch(broker: &mut Broker) -> (Watch, Watching) {
    let client = broker.client();
    let filter = WatchFilter { filter: "rate_bps > 5".into(), ..WatchFilter::default() };
    let opening = tokio::spawn(async move { client.watch(filter).await });
    let words = next!(broker, Watch);
    (opening.await.unwrap().unwrap(), words)
}

async fn told(watch: &mut Watch) -> Watched {
    watch.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn words_become_events() {
    let mut broker = Broker::start([], fake::session(LIFE)).await;
    let (mut watch, words) = watch(&mut broker).await;
    assert_eq!(
        (words.request.parent.as_str(), words.request.filter.as_str()),
        ("projects/-", "rate_bps > 5")
    );
    for (kind, token) in [
        (Kind::Reset, ""),
        (Kind::Stands, ""),
        (Kind::Synced, "1"),
        (Kind::Bookmark, "2"),
        (Kind::Changed, "3"),
        (Kind::Left, "4"),
    ] {
        words.say(word(kind, token)).await;
    }
    assert!(matches!(told(&mut watch).await, Watched::Reset));
    assert!(matches!(told(&mut watch).await, Watched::Stands(_)));
    assert!(matches!(told(&mut watch).await, Watched::Synced));
    assert!(matches!(told(&mut watch).await, Watched::Changed(_)), "a bookmark is no event");
    let Watched::Left(name) = told(&mut watch).await else { panic!() };
    assert_eq!(name.to_string(), NAME);
}

#[tokio::test]
async fn a_cut_is_resumed_after_the_last_word() {
    let mut broker = Broker::start([], fake::session(LIFE)).await;
    let (mut watch, words) = watch(&mut broker).await;
    words.say(word(Kind::Synced, "7")).await;
    // Nobody has to read a bookmark for it to count.
    words.say(word(Kind::Bookmark, "8")).await;
    words.say(Err(Status::resource_exhausted("too slow"))).await;
    assert!(matches!(told(&mut watch).await, Watched::Synced));
    let Watched::Interrupted(error) = told(&mut watch).await else { panic!() };
    assert!(matches!(error, ClientError::Shed { .. }), "{error:?}");
    let resuming = tokio::spawn(async move {
        let events = [told(&mut watch).await, told(&mut watch).await];
        (watch, events)
    });
    // A second cut of the same outage is not told again.
    let words = next!(broker, Watch);
    assert_eq!(words.request.resume_token, "8");
    drop(words);
    let words = next!(broker, Watch);
    assert_eq!(words.request.resume_token, "8");
    words.say(word(Kind::Changed, "9")).await;
    let (mut watch, events) = resuming.await.unwrap();
    assert!(matches!(events, [Watched::Resumed, Watched::Changed(_)]), "{events:?}");
    words.say(word(Kind::Left, "10")).await;
    assert!(matches!(told(&mut watch).await, Watched::Left(_)));
}

#[tokio::test]
async fn a_watch_that_begins_anew_forgets_its_token() {
    let mut broker = Broker::start([], fake::session(LIFE)).await;
    let (mut watch, words) = watch(&mut broker).await;
    words.say(word(Kind::Synced, "7")).await;
    words.say(word(Kind::Reset, "")).await;
    words.say(word(Kind::Stands, "")).await;
    words.say(Err(Status::unavailable("restarting"))).await;
    for _ in 0..3 {
        assert!(!matches!(told(&mut watch).await, Watched::Interrupted(_)));
    }
    assert!(matches!(told(&mut watch).await, Watched::Interrupted(_)));
    let resuming = tokio::spawn(async move { told(&mut watch).await });
    let words = next!(broker, Watch);
    assert_eq!(words.request.resume_token, "", "half of what stands cannot be resumed");
    words.say(word(Kind::Reset, "")).await;
    assert!(matches!(resuming.await.unwrap(), Watched::Resumed));
}

#[tokio::test]
async fn what_no_try_could_change_ends_a_watch() {
    let mut broker = Broker::start([], fake::session(LIFE)).await;
    let (mut watch, words) = watch(&mut broker).await;
    words.say(Err(Status::permission_denied("not yours"))).await;
    let error = watch.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Denied { .. }), "{error:?}");
    assert!(watch.next().await.is_none());
}
