//! What an agent and whoever looks at it hear of a session: who is there, what others did to its
//! reservations, and what a restart of the broker leaves of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use support::{
    Clients, GBIT, Served, beat, create, eventually, ms_of, release, request_id, span_ms, topology,
};
use tidegate_broker::Config;
use tidegate_broker::config::JournalPlace;
use tidegate_policy::Span;
use tidegate_proto::v1;
use tidegate_proto::v1::CloseReason;
use tidegate_proto::v1::reservation::State;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

const HOUR_MS: i64 = 3_600_000;

async fn served(config: Config) -> Served {
    let served = Served::start(config).await;
    served.clients.apply(topology(1000 * GBIT)).await;
    served
}

fn ephemeral() -> Config {
    Config::ephemeral(JournalPlace::Memory)
}

fn bound(session: &str) -> v1::CreateReservationRequest {
    v1::CreateReservationRequest { session: session.into(), ..create(GBIT, HOUR_MS) }
}

async fn get(clients: &Clients, name: &str) -> v1::Session {
    let request = v1::GetSessionRequest { name: name.into() };
    clients.sessions.clone().get_session(request).await.unwrap().into_inner()
}

async fn close(clients: &Clients, name: &str) {
    let (name, request_id) = (name.into(), request_id());
    let request = v1::CloseSessionRequest { name, request_id, validate_only: false };
    clients.sessions.clone().close_session(request).await.unwrap();
}

/// A stream of beats, its first one answered.
struct Stream {
    beats: mpsc::Sender<v1::KeepAliveRequest>,
    answers: Streaming<v1::KeepAliveResponse>,
    session: String,
}

impl Stream {
    async fn open(clients: &Clients, session: &str) -> Self {
        let (beats, sent) = mpsc::channel(4);
        beats.send(beat(session, 1)).await.unwrap();
        let sent = ReceiverStream::new(sent);
        let answers = clients.sessions.clone().keep_alive(sent).await.unwrap().into_inner();
        let mut stream = Self { beats, answers, session: session.into() };
        assert_eq!(stream.hear().await.sequence, 1);
        stream
    }

    async fn hear(&mut self) -> v1::KeepAliveResponse {
        let heard = tokio::time::timeout(Duration::from_secs(30), self.answers.message()).await;
        heard.expect("something is said").unwrap().unwrap()
    }

    async fn beat(&mut self, sequence: i64, named: &[&str]) {
        let usage = named
            .iter()
            .map(|name| v1::Usage { reservation: (*name).into(), ..Default::default() })
            .collect();
        let beat = v1::KeepAliveRequest { usage, ..beat(&self.session, sequence) };
        self.beats.send(beat).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_does_is_told_at_once() {
    let served = served(ephemeral()).await;
    let clients = &served.clients;
    let session = clients.open("agent-1").await.name;
    let other = clients.open("agent-2").await.name;
    let kept = clients.create(bound(&session)).await.name;
    let gone = clients.create(bound(&session)).await.name;
    let mut stream = Stream::open(clients, &session).await;
    let mut others = Stream::open(clients, &other).await;
    clients.reservations.clone().release_reservation(release(&gone)).await.unwrap();
    let poke = stream.hear().await;
    assert_eq!((poke.sequence, poke.grants.len()), (0, 0), "it answers no beat");
    assert_eq!(poke.session.unwrap().reservation_count, 1);
    stream.beat(2, &[&kept, &gone]).await;
    let answer = stream.hear().await;
    assert_eq!(answer.sequence, 2, "one poke for one change");
    assert_eq!(answer.grants[0].state(), State::Confirmed);
    assert!(answer.grants[0].starts_in.is_some() && answer.grants[0].ends_in.is_some());
    assert_eq!(answer.grants[1].close_reason(), CloseReason::Released);
    close(clients, &session).await;
    let poke = stream.hear().await;
    assert_eq!(poke.sequence, 0);
    assert_eq!(poke.session.unwrap().state(), v1::session::State::Closed);
    // Of none of it the other session heard.
    others.beat(2, &[]).await;
    assert_eq!(others.hear().await.sequence, 2);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_much_changes_few_pokes_wait() {
    let served = served(ephemeral()).await;
    let clients = &served.clients;
    let session = clients.open("agent-1").await.name;
    let mut names = Vec::new();
    for _ in 0..300 {
        let small =
            v1::CreateReservationRequest { session: session.clone(), ..create(1000, HOUR_MS) };
        names.push(clients.create(small).await.name);
    }
    // A second stream of the same session hears the same.
    let mut streams =
        [Stream::open(clients, &session).await, Stream::open(clients, &session).await];
    let asked = names.iter().zip(0..).map(|(name, sequence)| {
        let ask = Some(v1::admit_request::Ask::Release(release(name)));
        v1::AdmitRequest { sequence, ask }
    });
    assert_eq!(support::admit(clients, asked.collect()).await.len(), 300);
    for stream in &mut streams {
        stream.beat(2, &[]).await;
        let mut pokes = 0;
        loop {
            let heard = stream.hear().await;
            if heard.sequence == 2 {
                break;
            }
            pokes += 1;
        }
        assert!((1..=300).contains(&pokes), "{pokes}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_with_what_they_hold() {
    let served = served(ephemeral()).await;
    let clients = &served.clients;
    let mut names = Vec::new();
    for index in 0..23 {
        names.push(clients.open(&format!("agent-{index}")).await.name);
    }
    let first = &names[0];
    let held = v1::CreateReservationRequest { hold_for: Some(span_ms(800_000)), ..bound(first) };
    clients.create(held).await;
    let confirmed = clients.create(bound(first)).await.name;
    let shown = get(clients, first).await;
    assert_eq!((shown.agent.as_str(), shown.reservation_count), ("agent-0", 2));
    let heard = ms_of(shown.heard_time.unwrap());
    assert_eq!(heard, ms_of(shown.create_time.unwrap()), "opening it was a sign of life");
    let answer = clients.beat(beat(first, 1)).await.session.unwrap();
    assert!(heard < ms_of(answer.heard_time.unwrap()), "the answer knows of its beat");
    assert_eq!(get(clients, first).await.heard_time, answer.heard_time);
    clients.reservations.clone().release_reservation(release(&confirmed)).await.unwrap();
    assert_eq!(get(clients, first).await.reservation_count, 1);
    close(clients, first).await;
    let ended = get(clients, first).await;
    assert_eq!((ended.reservation_count, ended.heard_time), (0, None));
    assert_eq!(ended.state(), v1::session::State::Closed);

    for (show_ended, expected) in [(true, &names[..]), (false, &names[1..])] {
        let (mut listed, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListSessionsRequest { page_size: 5, page_token, show_ended };
            let page = clients.sessions.clone().list_sessions(request).await.unwrap().into_inner();
            assert!((1..=5).contains(&page.sessions.len()));
            listed.extend(page.sessions.into_iter().map(|it| it.name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(listed, expected);
    }
    let name = "sessions/019aa7e0-8000-7000-8000-000000000001".into();
    let missing = clients.sessions.clone().get_session(v1::GetSessionRequest { name }).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_comes_back_in_time_has_lost_nothing() {
    let mut config = ephemeral();
    config.session.beat_every = Span::from_ms(50).unwrap();
    config.session.lease = Span::from_secs(3);
    config.session.grace = Span::from_secs(3);
    let served = served(config).await;
    let clients = &served.clients;
    let session = clients.open("agent-1").await.name;
    let name = clients.create(bound(&session)).await.name;
    let mut stream = Stream::open(clients, &session).await;
    let used = |used_bytes| {
        let reservation = name.clone();
        v1::Usage { reservation, used_bytes, ..Default::default() }
    };
    let reported = v1::KeepAliveRequest { usage: vec![used(1 << 40)], ..beat(&session, 2) };
    stream.beats.send(reported).await.unwrap();
    assert_eq!(stream.hear().await.grants[0].state(), State::Confirmed);
    drop(stream);
    // On another connection it goes on where it was.
    let again = Clients::connect(&served.address()).await;
    let mut stream = Stream::open(&again, &session).await;
    stream.beat(2, &[&name]).await;
    let answer = stream.hear().await;
    assert_eq!(answer.session.unwrap().state(), v1::session::State::Open);
    assert_eq!(answer.grants[0].state(), State::Confirmed);
    assert_eq!(clients.get(&name).await.used_bytes, 1 << 40, "a report of less changes nothing");
    // Silence ends the stream, and then the session.
    while let Some(heard) = stream.answers.message().await.unwrap() {
        assert_eq!(heard.sequence, 0, "{heard:?}");
    }
    eventually("the session is lost", || async {
        let session = get(clients, &session).await;
        Some(session).filter(|it| it.state() == v1::session::State::Lost)
    })
    .await;
    assert_eq!(clients.get(&name).await.close_reason(), CloseReason::SessionLost);
    assert_eq!(clients.get(&name).await.used_bytes, 1 << 40, "what it had used stays known");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_every_session_has_a_lease_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::ephemeral(JournalPlace::Directory(dir.path().join("journal")));
    config.session.lease = Span::from_secs(20);
    config.session.grace = Span::ZERO;
    let first = served(config.clone()).await;
    let session = first.clients.open("agent-1").await.name;
    let name = first.clients.create(bound(&session)).await.name;
    let before = ms_of(get(&first.clients, &session).await.heard_time.unwrap());
    first.stop().await;

    let again = Served::start(config.clone()).await;
    let started = ms_of(again.clients.info().await.start_time.unwrap());
    let heard = ms_of(get(&again.clients, &session).await.heard_time.unwrap());
    assert!(before < heard && started - 1000 < heard, "{before} {started} {heard}");
    assert_eq!(get(&again.clients, &session).await.reservation_count, 1);
    let answer = again.clients.beat(beat(&session, 1)).await;
    assert_eq!(answer.session.unwrap().state(), v1::session::State::Open);
    again.stop().await;

    // A lease that ends is one that began with the start.
    config.session.beat_every = Span::from_ms(100).unwrap();
    config.session.lease = Span::from_ms(500).unwrap();
    let last = Served::start(config).await;
    let lost = eventually("the session is lost", || async {
        let session = get(&last.clients, &session).await;
        Some(session).filter(|it| it.state() == v1::session::State::Lost)
    })
    .await;
    assert_eq!(lost.heard_time, None);
    assert_eq!(last.clients.get(&name).await.close_reason(), CloseReason::SessionLost);
    last.stop().await;
}
