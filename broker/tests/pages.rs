//! The dashboard over a real socket: what it says is what gRPC says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::bytes::Bytes;
use support::{GBIT, Served, create, release, topology};
use tidegate_proto::v1;

/// Asks for pages.
struct Browser {
    client: Client<HttpConnector, Empty<Bytes>>,
    address: String,
}

/// What came back.
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Browser {
    fn of(served: &Served) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, address: served.address() }
    }

    async fn open(&self, path: &str) -> http::Response<hyper::body::Incoming> {
        let uri = format!("{}{path}", self.address).parse().unwrap();
        self.client.get(uri).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        let answer = self.open(path).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let body = String::from_utf8(body).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }
}

const PAGES: [&str; 6] = ["/", "/projects", "/refusals", "/forecast", "/reservations", "/events"];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_answers_and_keeps_to_itself() {
    let served = Served::in_memory().await;
    let browser = Browser::of(&served);
    for filled in [false, true] {
        if filled {
            served.clients.apply(topology(GBIT)).await;
            served.clients.create(create(GBIT / 2, 600_000)).await;
        }
        for path in PAGES {
            let page = browser.get(path).await;
            assert_eq!(page.status, 200, "{path}: {}", page.body);
            assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
            assert_eq!(page.header("x-content-type-options"), "nosniff");
            assert_eq!(page.header("referrer-policy"), "no-referrer");
            assert_eq!(page.header("cache-control"), "no-store");
            let policy = page.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"));
            assert!(page.body.contains("<h1>") && page.body.contains("tidegate "), "{path}");
            let json = browser.get(&format!("{path}?format=json")).await;
            assert_eq!(json.status, 200, "{path}: {}", json.body);
            assert!(json.json().is_object(), "{path}");
        }
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pages_need_may_be_kept_for_good() {
    let served = Served::in_memory().await;
    let browser = Browser::of(&served);
    let page = browser.get("/").await.body;
    let named = page.split('"').filter(|word| word.starts_with("/assets/"));
    let named: std::collections::BTreeSet<&str> = named.collect();
    assert_eq!(named.len(), 3, "{named:?}");
    for name in named {
        let asset = browser.get(name).await;
        assert_eq!(asset.status, 200, "{name}");
        assert!(asset.header("cache-control").contains("immutable"), "{name}");
        assert_eq!(asset.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(browser.get("/assets/style-0000000000000000.css").await.status, 404);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_their_json_say_what_grpc_says() {
    let served = Served::in_memory().await;
    served.clients.apply(topology(GBIT)).await;
    let made = served.clients.create(create(GBIT / 2, 600_000)).await;
    let browser = Browser::of(&served);
    let id = made.name.rsplit('/').next().unwrap();
    let path = format!("/reservations/{id}");
    let json = browser.get(&format!("{path}?format=json")).await.json();
    assert_eq!(json["name"], made.name.as_str());
    assert_eq!(json["rateBps"], made.rate_bps.to_string());
    assert_eq!(json["state"], "STATE_CONFIRMED");
    let page = browser.get(&path).await.body;
    assert!(page.contains("500\u{202f}Mbit/s") && page.contains("500,000,000 bit/s"), "{page}");
    // Every lane of its path has a page, on which it is the one that holds it.
    assert!(!made.bookings.is_empty());
    for booking in &made.bookings {
        let page = browser.get(&format!("/lanes/{}", booking.lane)).await;
        assert_eq!(page.status, 200, "{}: {}", booking.lane, page.body);
        assert!(page.body.contains("<strong>1 reservation</strong>"), "{}", page.body);
        assert!(page.body.contains(&path), "{}", page.body);
        assert!(page.body.contains(&format!("value=\"{}\"", booking.booked_bps)));
    }
    let listed = browser.get("/reservations?format=json").await.json();
    assert_eq!(listed["reservations"][0]["name"], made.name.as_str());
    let rest = browser.get("/reservations?filter=rate_bps%20%3E%205000000000").await.body;
    assert!(rest.contains("No reservation is meant by that."), "{rest}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_told_on_a_page_and_in_json() {
    let served = Served::in_memory().await;
    served.clients.apply(topology(GBIT)).await;
    let browser = Browser::of(&served);
    let cases = [
        ("/?from=tomorrow", "from: "),
        ("/?bucket=7s", "bucket"),
        ("/?size=100000", "size: "),
        ("/?order=best", "fullest or name"),
        ("/?selector=nonsense", "selector"),
        ("/?page=x", "page_token"),
        ("/?from=%2B2h&to=now", "end_time"),
        ("/projects?by=luck", "used or promised or wasted"),
        ("/refusals?project=%22%3E%3Cscript%3E", "parent"),
        ("/forecast?bucket=1m", "bucket"),
        ("/reservations?filter=%28", "filter"),
        ("/reservations/nonsense", "name"),
        ("/events?size=-1", "size: "),
        ("/?from=%FF", "from: "),
    ];
    for (path, told) in cases {
        let page = browser.get(path).await;
        assert_eq!(page.status, 400, "{path}: {}", page.body);
        assert!(page.body.contains(told), "{path} does not say {told}: {}", page.body);
        assert!(!page.body.contains("<script>"), "{path}: {}", page.body);
        assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    }
    let json = browser.get("/?from=tomorrow&format=json").await;
    assert_eq!((json.status, &json.json()["code"]), (400, &3.into()));
    let nobody = [
        "/lanes/links/nowhere/forward",
        "/lanes/links/*",
        "/projects/nobody",
        "/reservations/01890000-0000-7000-8000-000000000000",
    ];
    for path in nobody {
        let page = browser.get(path).await;
        assert_eq!(page.status, 404, "{path}: {}", page.body);
        assert!(page.body.contains("<h1>There is no such thing</h1>"), "{path}: {}", page.body);
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_appear_as_they_become_durable() {
    let served = Served::in_memory().await;
    served.clients.apply(topology(GBIT)).await;
    let browser = Browser::of(&served);
    let answer = browser.open("/events/stream").await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let made = served.clients.create(create(GBIT / 2, 600_000)).await;
    let id = made.name.rsplit('/').next().unwrap().to_owned();
    let mut heard = String::new();
    let mut hear = async |wanted: &str| {
        while !heard.contains(wanted) {
            let frame = body.frame().await.unwrap().unwrap();
            heard.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    };
    let long = Duration::from_secs(60);
    tokio::time::timeout(long, hear("granted")).await.unwrap();
    served.clients.reservations.clone().release_reservation(release(&made.name)).await.unwrap();
    tokio::time::timeout(long, hear("released")).await.unwrap();
    assert!(heard.contains(&format!("/reservations/{id}")), "{heard}");
    // Without a script the page shows the same.
    let page = browser.get("/events").await.body;
    assert!(page.contains("granted") && page.contains("released"), "{page}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_lanes_are_a_page_of_the_fullest() {
    let served = Served::in_memory().await;
    let host = |index: usize| v1::Host {
        name: format!("compute-{index}"),
        nics: vec![v1::Nic {
            name: "eth0".into(),
            switch: "core".into(),
            capacity: support::capacity(GBIT),
            framing: None,
        }],
    };
    let network = v1::Topology {
        switches: vec![v1::Switch { name: "core".into() }],
        hosts: (0..2500).map(host).collect(),
        ..Default::default()
    };
    served.clients.apply(network).await;
    let booked = v1::CreateReservationRequest {
        sources: vec!["hosts/compute-2499".into()],
        destination: "hosts/compute-1234".into(),
        ..create(GBIT / 2, 600_000)
    };
    served.clients.create(booked).await;
    let page = Browser::of(&served).get("/").await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.len() < 1_500_000, "{} bytes", page.body.len());
    assert!(page.body.contains("5,000 lanes"), "the answer counts all of them");
    let rows: Vec<&str> = page.body.split("href=\"/lanes/").skip(1).collect();
    assert_eq!(rows.len(), 100);
    assert!(
        rows[..2].iter().all(|row| row.contains("compute-1234") || row.contains("compute-2499"))
    );
    assert!(page.body.contains("rel=\"next\""));
    served.stop().await;
}
