//! A broker, agents that share what a link has left, and one more that comes and goes: each is told its
//! rate, follows it, and all together fill the link.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{GBIT, Served, eventually, request_id, topology};
use tidegate_client::{Acquired, Ask, Client, End, Grant, OnUnreachable, Session};
use tidegate_policy::{BitRate, ClassId, Span};
use tidegate_proto::v1;

/// A class of which a quarter is promised.
fn class(name: &str, weight: i32) -> v1::Class {
    v1::Class {
        name: format!("classes/{name}"),
        ratio_ppm: 4_000_000,
        weight,
        ..v1::Class::default()
    }
}

async fn acquire(session: &Session, class: &str, rate: &str) -> Grant {
    let (from, to) = ("storage/swift".parse().unwrap(), "hosts/compute-1".parse().unwrap());
    let ask = Ask::new(from, to, rate.parse().unwrap(), End::After(Span::from_secs(600)));
    let ask = ask.class(ClassId(class.parse().unwrap()));
    match session.acquire(&ask, OnUnreachable::Fail).await.unwrap() {
        Acquired::Granted(grant) => grant,
        Acquired::Refused(refusal) => panic!("it gives way: {refusal}"),
    }
}

fn bps(grant: &Grant) -> u64 {
    let live = grant.live_rate().unwrap();
    assert!(grant.floor().unwrap() <= live && live <= grant.ceiling().unwrap());
    live.bps()
}

/// Waits until these grants have more than their floors as their weights say, and fill the link.
async fn shared(what: &str, grants: &[(&Grant, u64)], link: u64) {
    eventually(what, || async {
        let all: u64 = grants.iter().map(|(grant, _)| bps(grant)).sum();
        assert!(all <= link, "{all} bit/s of {link}");
        let beyond = |grant: &Grant| bps(grant).saturating_sub(grant.floor().unwrap().bps());
        let for_one: Vec<u64> =
            grants.iter().map(|(grant, weight)| beyond(grant) / weight).collect();
        let (least, most) = (for_one.iter().min().unwrap(), for_one.iter().max().unwrap());
        (link * 97 <= all * 100 && most - least <= link / 1000).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_share_what_is_left_by_weight_and_give_way_to_one_more() {
    let served = Served::in_memory().await;
    let mut network = topology(GBIT);
    network.links[0].capacity.as_mut().unwrap().reserved_ppm = Some(30_000);
    served.clients.apply(network).await;
    let request = v1::ApplyPolicyRequest {
        classes: vec![class("light", 1), class("heavy", 3)],
        request_id: request_id(),
        ..v1::ApplyPolicyRequest::default()
    };
    served.clients.policy.clone().apply_policy(request).await.unwrap();
    // Nominal less what is reserved; the link counts no headers.
    let link = u64::try_from(GBIT).unwrap() * 97 / 100;

    let mut sessions = Vec::new();
    for agent in ["one", "two", "three"] {
        let client = Client::connect(&served.address()).unwrap();
        sessions.push(client.open_session(agent).await.unwrap());
    }
    let one = acquire(&sessions[0], "light", "1Gbit").await;
    assert_eq!(one.floor(), "250Mbit".parse::<BitRate>().ok());
    shared("the first has all", &[(&one, 1)], link).await;
    // It is granted although the first may be using all of the link: that gives way first.
    let two = acquire(&sessions[1], "light", "1Gbit").await;
    shared("two share", &[(&one, 1), (&two, 1)], link).await;
    let three = acquire(&sessions[2], "heavy", "1Gbit").await;
    shared("three share", &[(&one, 1), (&two, 1), (&three, 3)], link).await;
    assert_eq!(one.limiter().rate(), one.live_rate().unwrap(), "the limiter follows");
    three.release().await.unwrap();
    shared("two share again", &[(&one, 1), (&two, 1)], link).await;
    // A session that is closed gives back all that it has.
    let [_, two_session, _] = <[Session; 3]>::try_from(sessions).unwrap();
    drop(one);
    shared("the second has all", &[(&two, 1)], link).await;
    two_session.close().await.unwrap();
    served.stop().await;
}
