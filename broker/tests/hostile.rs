//! What is no request at all: garbage, broken frames, strange paths, deadlines that have passed,
//! messages as large as can be. The broker says so, changes nothing, and goes on serving.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;
#[path = "support/table.rs"]
#[allow(dead_code, unreachable_pub, reason = "a module of two tests")]
mod table;
#[path = "support/target.rs"]
#[allow(dead_code, unreachable_pub, reason = "a module of two tests")]
mod target;

use std::collections::BTreeSet;

use prost_reflect::prost::Message;
use support::raw;
use support::{GBIT, Rng, Served};
use target::{Standing, Target, nothing_panicked};
use tidegate_proto::v1;
use tonic::Code;

/// Checks that it still serves, that nothing has changed and that nothing panicked.
async fn unharmed(target: &Target, before: &Standing, after: &str) {
    assert_eq!(target.standing().await, *before, "after {after}");
    assert!(nothing_panicked(), "after {after}");
}

/// What it is, its bytes, its headers, and the code where the protocol fixes it.
type Garbage = (&'static str, Vec<u8>, &'static [(&'static str, &'static str)], Option<Code>);

/// What is no request at all: the code that is answered where the protocol fixes it.
fn garbage() -> Vec<Garbage> {
    let mut rng = Rng(7);
    let mut random = |count| rng.bytes(count);
    // A length of 4 GB with nothing behind it, a frame cut short, and a compression never agreed.
    let long = [0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3].to_vec();
    let short = [0, 0, 0, 1, 0, 10, 3].to_vec();
    let compressed = [1, 0, 0, 0, 2, 8, 1].to_vec();
    vec![
        ("10 MB in a frame", raw::frame(&random(10_000_000)), raw::GRPC, Some(Code::OutOfRange)),
        ("64 KB in a frame", raw::frame(&[0xff; 65_536]), raw::GRPC, Some(Code::Internal)),
        ("text that is no UTF-8", raw::frame(&[0x0a, 2, 0xc3, 0x28]), raw::GRPC, None),
        ("a length of 4 GB", long, raw::GRPC, Some(Code::OutOfRange)),
        ("a frame cut short", short, raw::GRPC, Some(Code::Internal)),
        ("an unknown compression", compressed, raw::GRPC, Some(Code::Internal)),
        ("10 MB without a frame", random(10_000_000), raw::GRPC, None),
        ("a web form", b"a=1&b=2".to_vec(), &[("content-type", "text/plain")], None),
        ("10 MB of a file", random(10_000_000), &[("content-type", "image/png")], None),
        ("bytes without a type", random(1000), &[], None),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused_and_harms_nobody() {
    let target = Target::start(1).await;
    let before = target.standing().await;
    for rpc in table::ALL {
        // Nothing is read from a message without fields, so every field is one too many.
        let reads_nothing = [table::INFO, table::EXPORT, table::BACKUP].contains(&rpc);
        let takes_much = ["TopologyService", "PolicyService"].iter().any(|it| rpc.starts_with(it));
        for (what, body, headers, code) in garbage() {
            let answer = target.raws[0].send(&raw::path(rpc), body, headers).await;
            let said = answer.status.code();
            let legal = reads_nothing && what.contains("UTF-8");
            let refused = said != Code::Ok || answer.http.is_client_error();
            assert!(refused || legal, "{rpc}, {what}: {answer:?}");
            if let Some(code) = code.filter(|_| !takes_much) {
                assert_eq!(said, code, "{rpc}, {what}: {answer:?}");
            }
            unharmed(&target, &before, &format!("{rpc}, {what}")).await;
        }
    }
    target.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http2_is_cut_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let target = Target::start(1).await;
    let before = target.standing().await;
    let address = target.served.address().replace("http://", "");
    let get = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut rng = Rng(11);
    let after_preface = [preface.clone(), rng.bytes(1 << 20)].concat();
    for bytes in [Vec::new(), get, rng.bytes(10_000_000), preface, after_preface] {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        // It may be cut off while we are still writing, and reading then fails too.
        drop(stream.write_all(&bytes).await);
        drop(stream.shutdown().await);
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
        unharmed(&target, &before, &format!("{} bytes", bytes.len())).await;
    }
    for path in ["/", "/metrics", "/tidegate.v1.NoService/Call", "/tidegate.v1.AdminService/No"] {
        let answer = target.raws[0].send(path, raw::frame(&[]), raw::GRPC).await;
        assert_eq!(answer.status.code(), Code::Unimplemented, "{path}");
    }
    unharmed(&target, &before, "unknown paths").await;
    target.served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_has_passed_is_not_served() {
    let target = Target::start(1).await;
    let before = target.standing().await;
    for rpc in table::ALL {
        for timeout in ["0S", "0n", "1n", "999999n", "1u", "0m"] {
            let headers = [raw::GRPC, &[("grpc-timeout", timeout)]].concat();
            let body = raw::frame(&target.good(rpc).encode_to_vec());
            let answer = target.raws[0].send(&raw::path(rpc), body, &headers).await;
            let said = answer.status.code();
            assert_eq!(said, Code::DeadlineExceeded, "{rpc} {timeout}: {answer:?}");
            unharmed(&target, &before, &format!("{rpc} {timeout}")).await;
        }
    }
    // What is no timeout counts as none.
    for timeout in ["", "n", "-1S", "123456789S", "1x", "\u{e4}"] {
        let headers = [raw::GRPC, &[("grpc-timeout", timeout)]].concat();
        let answer = target.raws[0].send(&raw::path(table::INFO), raw::frame(&[]), &headers).await;
        assert_eq!(answer.status.code(), Code::Ok, "{timeout:?}: {answer:?}");
    }
    target.served.stop().await;
}

/// Topologies as large as the broker takes, several at once: what is acknowledged fits into the
/// journal, and what does not fit is refused at the door.
#[tokio::test(flavor = "multi_thread")]
async fn topologies_of_any_size_leave_the_broker_alive() {
    let served = Served::in_memory().await;
    let topology = |switches: usize| {
        let name = |index: usize| format!("{index:0>60}");
        let switches = (0..switches).map(|index| v1::Switch { name: name(index) });
        let links = (0..60_000).map(|index| v1::Link {
            name: name(index),
            from: name(0),
            to: name(1),
            capacity: support::capacity(GBIT),
            ..v1::Link::default()
        });
        let links = if switches.len() < 2 { Vec::new() } else { links.collect() };
        v1::Topology { switches: switches.collect(), links, ..v1::Topology::default() }
    };
    for (switches, fits) in [(1, true), (10_000, true), (100_000, false)] {
        let calls = (0..3).map(|_| {
            let mut request = tonic::Request::new(v1::ApplyTopologyRequest {
                topology: Some(topology(switches)),
                request_id: support::request_id(),
                validate_only: false,
                ..Default::default()
            });
            request.set_timeout(std::time::Duration::from_secs(30));
            let mut client = served.clients.topology.clone();
            tokio::spawn(async move { client.apply_topology(request).await })
        });
        for call in calls.collect::<Vec<_>>() {
            let said = call.await.unwrap();
            match said {
                Ok(_) => assert!(fits, "{switches} switches"),
                Err(status) => {
                    assert!(!fits, "{switches} switches: {status:?}");
                    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
                }
            }
        }
        served.clients.info().await;
    }
    served.stop().await;
}

#[tokio::test]
async fn health_and_reflection_know_every_service() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let target = Target::start(1).await;
    let channel = tonic::transport::Endpoint::new(target.served.address()).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut services: Vec<String> =
        target.pool.services().map(|service| service.full_name().to_owned()).collect();
    for service in services.iter().cloned().chain([String::new()]) {
        let request = HealthCheckRequest { service };
        let answer = HealthClient::new(channel.clone()).check(request).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let mut client = ServerReflectionClient::new(channel);
    let answer = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answer.into_inner().message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let listed: BTreeSet<String> = list.service.into_iter().map(|service| service.name).collect();
    services.push("grpc.health.v1.Health".into());
    for service in services {
        assert!(listed.contains(&service), "{service} is not in {listed:?}");
    }
    target.served.stop().await;
}
