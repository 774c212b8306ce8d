//! Lists by filters: complete however they are paged, bounded in what one call looks at.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use support::{Clients, GBIT, Served, create, create_many, release, span_ms, topology};
use tidegate_broker::Config;
use tidegate_broker::config::JournalPlace;
use tidegate_proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const HOUR_MS: i64 = 3_600_000;

/// A filter, and the rates for which it holds.
type Row = (&'static str, fn(i64) -> bool);

async fn served() -> Served {
    let served = Served::start(Config::ephemeral(JournalPlace::Memory)).await;
    served.clients.apply(topology(1000 * GBIT)).await;
    served
}

fn list(filter: &str, page_token: &str) -> v1::ListReservationsRequest {
    v1::ListReservationsRequest {
        page_size: 7,
        filter: filter.into(),
        page_token: page_token.into(),
        show_closed: true,
        ..Default::default()
    }
}

async fn page(
    clients: &Clients,
    request: v1::ListReservationsRequest,
) -> Result<v1::ListReservationsResponse, Status> {
    Ok(clients.reservations.clone().list_reservations(request).await?.into_inner())
}

/// The rates of all that a filter shows, and how many pages that took.
async fn rates(clients: &Clients, filter: &str) -> (Vec<i64>, usize) {
    let (mut rates, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = page(clients, list(filter, &token)).await.unwrap();
        rates.extend(page.reservations.iter().map(|it| it.rate_bps));
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            return (rates, pages);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_filter_are_complete_and_in_order() {
    let served = served().await;
    let clients = &served.clients;
    for rate in 1..=40 {
        let mut request = create(rate, HOUR_MS);
        request.hold_for = (rate % 3 == 0).then(|| span_ms(800_000));
        if rate % 5 == 0 {
            request.sources = vec!["storage/glance".into()];
        }
        let name = clients.create(request).await.name;
        if rate % 4 == 0 {
            clients.reservations.clone().release_reservation(release(&name)).await.unwrap();
        }
    }
    let of = |holds: fn(i64) -> bool| (1..=40).filter(|rate| holds(*rate)).collect::<Vec<_>>();
    let table: [Row; 7] = [
        ("", |_| true),
        ("rate_bps > 20", |rate| 20 < rate),
        ("state == 'HELD'", |rate| rate % 3 == 0 && rate % 4 != 0),
        ("close_reason == 'RELEASED'", |rate| rate % 4 == 0),
        ("'hosts/relay-1' in via", |rate| rate % 5 == 0),
        ("lanes.exists(it, it == 'storage/glance/read')", |rate| rate % 5 == 0),
        ("rate_bps > 100", |_| false),
    ];
    for (filter, holds) in table {
        let (rates, pages) = rates(clients, filter).await;
        assert_eq!(rates, of(holds), "{filter}");
        assert_eq!(pages, rates.len().div_ceil(7).max(1), "{filter}: no page without need");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_goes_on_in_its_own_list_only() {
    let served = served().await;
    let clients = &served.clients;
    create_many(clients, (0..20).map(|_| create(9, HOUR_MS))).await;
    let token = page(clients, list("rate_bps == 9", "")).await.unwrap().next_page_token;
    assert!(!token.is_empty());
    let other_parent = v1::ListReservationsRequest {
        parent: "projects/-".into(),
        ..list("rate_bps == 9", &token)
    };
    for wrong in [list("rate_bps == 8", &token), list("", &token), other_parent] {
        let status = page(clients, wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let named = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(named[0].field, "page_token", "{status:?}");
        assert!(status.message().contains("another parent or filter"), "{status:?}");
    }
    let same = v1::ListReservationsRequest {
        parent: "projects/default".into(),
        ..list("rate_bps == 9", &token)
    };
    assert_eq!(page(clients, same).await.unwrap().reservations.len(), 7, "the default, named");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_looks_at_so_many_and_no_more() {
    let served = served().await;
    let clients = &served.clients;
    create_many(clients, (0..10_500).map(|_| create(1000, HOUR_MS))).await;
    clients.create(create(GBIT, HOUR_MS)).await;
    let first = page(clients, list("rate_bps > 1000", "")).await.unwrap();
    assert_eq!(first.reservations.len(), 0, "it looked at ten thousand");
    assert!(!first.next_page_token.is_empty(), "and there are more");
    let (found, pages) = rates(clients, "rate_bps > 1000").await;
    assert_eq!((found, pages), (vec![GBIT], 2));
    // What costs more looks at fewer.
    let costly = format!("lanes.all(it, {}) && rate_bps > 1000", ["it != name"; 60].join(" && "));
    let (found, pages) = rates(clients, &costly).await;
    assert_eq!(found, vec![GBIT]);
    assert!(2 < pages, "{pages}");
    served.stop().await;
}
