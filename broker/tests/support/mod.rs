//! What the tests of the broker share: a broker in this process or one of its own, clients,
//! requests, and waiting for a condition.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

pub(crate) mod daemon;
pub(crate) mod gated;
pub(crate) mod raw;

use std::future::Future;
use std::time::Duration;

use tidegate_broker::config::JournalPlace;
use tidegate_broker::{Broker, Config};
use tidegate_proto::v1;
use tidegate_proto::v1::admin_service_client::AdminServiceClient;
use tidegate_proto::v1::policy_service_client::PolicyServiceClient;
use tidegate_proto::v1::report_service_client::ReportServiceClient;
use tidegate_proto::v1::reservation_service_client::ReservationServiceClient;
use tidegate_proto::v1::session_service_client::SessionServiceClient;
use tidegate_proto::v1::topology_service_client::TopologyServiceClient;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

/// A client of every service.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) reservations: ReservationServiceClient<Channel>,
    pub(crate) sessions: SessionServiceClient<Channel>,
    pub(crate) topology: TopologyServiceClient<Channel>,
    pub(crate) policy: PolicyServiceClient<Channel>,
    pub(crate) admin: AdminServiceClient<Channel>,
    pub(crate) reports: ReportServiceClient<Channel>,
}

impl Clients {
    pub(crate) fn new(channel: &Channel) -> Self {
        let topology = TopologyServiceClient::new(channel.clone());
        Self {
            reservations: ReservationServiceClient::new(channel.clone()),
            sessions: SessionServiceClient::new(channel.clone()),
            topology: topology.max_decoding_message_size(64 << 20),
            policy: PolicyServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel.clone()),
            reports: ReportServiceClient::new(channel.clone()),
        }
    }

    /// Clients on a connection of their own.
    pub(crate) async fn connect(address: &str) -> Self {
        Self::new(&Endpoint::new(address.to_owned()).unwrap().connect().await.unwrap())
    }

    pub(crate) async fn info(&self) -> v1::ServerInfo {
        let mut admin = self.admin.clone();
        admin.get_server_info(v1::GetServerInfoRequest {}).await.unwrap().into_inner()
    }

    pub(crate) async fn get(&self, name: &str) -> v1::Reservation {
        let request = v1::GetReservationRequest { name: name.into() };
        self.reservations.clone().get_reservation(request).await.unwrap().into_inner()
    }

    /// Every reservation, page by page.
    pub(crate) async fn list(&self, show_closed: bool, page_size: i32) -> Vec<v1::Reservation> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListReservationsRequest {
                parent: "projects/-".into(),
                page_size,
                page_token,
                show_closed,
                ..Default::default()
            };
            let page = self.reservations.clone().list_reservations(request).await.unwrap();
            let page = page.into_inner();
            all.extend(page.reservations);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }

    /// Every lane over an interval, page by page.
    pub(crate) async fn lanes(&self, request: v1::ListResourcesRequest) -> Vec<v1::Lane> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListResourcesRequest { page_token, ..request };
            let page = self.topology.clone().list_resources(request).await.unwrap().into_inner();
            all.extend(page.lanes);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }

    pub(crate) async fn apply(&self, topology: v1::Topology) -> v1::ApplyTopologyResponse {
        let mut request = tonic::Request::new(v1::ApplyTopologyRequest {
            topology: Some(topology),
            request_id: request_id(),
            validate_only: false,
            ..Default::default()
        });
        // A large one may take longer than the usual deadline on a busy machine.
        request.set_timeout(Duration::from_secs(30));
        self.topology.clone().apply_topology(request).await.unwrap().into_inner()
    }

    pub(crate) async fn maintain(&self, maintenance: v1::Maintenance) -> v1::Maintenance {
        let request = v1::CreateMaintenanceRequest {
            maintenance: Some(maintenance),
            request_id: request_id(),
            ..v1::CreateMaintenanceRequest::default()
        };
        let answer = self.topology.clone().create_maintenance(request).await;
        answer.unwrap().into_inner().maintenance.unwrap()
    }

    pub(crate) async fn maintenances(&self) -> Vec<v1::Maintenance> {
        let request = v1::ListMaintenancesRequest::default();
        let answer = self.topology.clone().list_maintenances(request).await;
        answer.unwrap().into_inner().maintenances
    }

    /// Puts projects in.
    pub(crate) async fn govern(&self, projects: Vec<v1::Project>) -> v1::ApplyPolicyResponse {
        self.rule(v1::ApplyPolicyRequest { projects, ..v1::ApplyPolicyRequest::default() }).await
    }

    /// Changes the policy.
    pub(crate) async fn rule(&self, change: v1::ApplyPolicyRequest) -> v1::ApplyPolicyResponse {
        let request = v1::ApplyPolicyRequest { request_id: request_id(), ..change };
        self.policy.clone().apply_policy(request).await.unwrap().into_inner()
    }

    pub(crate) async fn classes(&self) -> v1::ListClassesResponse {
        let request = v1::ListClassesRequest::default();
        self.policy.clone().list_classes(request).await.unwrap().into_inner()
    }

    pub(crate) async fn projects(&self) -> v1::ListProjectsResponse {
        let request = v1::ListProjectsRequest::default();
        self.policy.clone().list_projects(request).await.unwrap().into_inner()
    }

    pub(crate) async fn open(&self, agent: &str) -> v1::Session {
        let agent = agent.into();
        let request =
            v1::OpenSessionRequest { request_id: request_id(), agent, validate_only: false };
        self.sessions.clone().open_session(request).await.unwrap().into_inner()
    }

    /// Sends one beat and reads its answer.
    pub(crate) async fn beat(&self, beat: v1::KeepAliveRequest) -> v1::KeepAliveResponse {
        let stream = self.sessions.clone().keep_alive(tokio_stream::once(beat)).await;
        stream.unwrap().into_inner().message().await.unwrap().unwrap()
    }

    pub(crate) async fn create(&self, request: v1::CreateReservationRequest) -> v1::Reservation {
        granted(self.reservations.clone().create_reservation(request).await.unwrap().into_inner())
    }
}

/// Asks all of it on one stream: the answers, in the order in which they come.
pub(crate) async fn admit(
    clients: &Clients,
    asked: Vec<v1::AdmitRequest>,
) -> Vec<v1::AdmitResponse> {
    let mut reservations = clients.reservations.clone();
    let mut answers = reservations.admit(tokio_stream::iter(asked)).await.unwrap().into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        all.push(answer);
    }
    all
}

/// Many reservations at once.
pub(crate) async fn create_many(
    clients: &Clients,
    requests: impl IntoIterator<Item = v1::CreateReservationRequest>,
) {
    let question = |(create, sequence)| {
        let ask = Some(v1::admit_request::Ask::Create(create));
        v1::AdmitRequest { sequence, ask }
    };
    let asked: Vec<_> = requests.into_iter().zip(0..).map(question).collect();
    for answer in admit(clients, asked).await {
        let made = matches!(&answer.outcome, Some(v1::admit_response::Outcome::Reservation(_)));
        assert!(made, "{answer:?}");
    }
}

/// The reservation that was granted.
pub(crate) fn granted(response: v1::CreateReservationResponse) -> v1::Reservation {
    match response.outcome.unwrap() {
        v1::create_reservation_response::Outcome::Reservation(it) => it,
        v1::create_reservation_response::Outcome::Refusal(no) => panic!("refused: {no:?}"),
    }
}

/// A broker in this process.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) broker: Broker,
    pub(crate) clients: Clients,
}

impl Served {
    pub(crate) async fn start(config: Config) -> Self {
        Self::of(Broker::start(config).await.unwrap()).await
    }

    pub(crate) async fn of(broker: Broker) -> Self {
        let clients = Clients::connect(&broker.address()).await;
        Self { broker, clients }
    }

    pub(crate) async fn in_memory() -> Self {
        Self::start(Config::ephemeral(JournalPlace::Memory)).await
    }

    pub(crate) fn address(&self) -> String {
        self.broker.address()
    }

    /// Stops it, which must end without a fault.
    pub(crate) async fn stop(self) {
        self.broker.stopper().cancel();
        drop(self.clients);
        self.broker.wait().await.unwrap();
    }
}

/// A fresh id.
pub(crate) fn request_id() -> String {
    Uuid::now_v7().to_string()
}

/// An id that was made this many milliseconds after the epoch.
pub(crate) fn request_id_at(ms: u64) -> String {
    let random = Uuid::now_v7().as_u128() & ((1 << 80) - 1);
    Uuid::from_u128(u128::from(ms) << 80 | random).to_string()
}

pub(crate) fn capacity(bps: i64) -> Option<v1::Capacity> {
    Some(v1::Capacity { out_bps: bps, ..v1::Capacity::default() })
}

pub(crate) const GBIT: i64 = 1_000_000_000;

/// Two switches with a link of `link_bps`, two hosts and two backends at 100 Gbit/s: one backend
/// at a switch, the other served via a relay.
pub(crate) fn topology(link_bps: i64) -> v1::Topology {
    let nic = |switch: &str| v1::Nic {
        name: "eth0".into(),
        switch: switch.into(),
        capacity: capacity(100 * GBIT),
        framing: None,
    };
    let host = |name: &str, switch: &str| v1::Host { name: name.into(), nics: vec![nic(switch)] };
    let storage = |name: &str, served_via: &[&str]| v1::Storage {
        name: name.into(),
        place: Some(v1::storage::Place::Switch("east".into())),
        capacity: capacity(100 * GBIT),
        served_via: served_via.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    v1::Topology {
        hosts: vec![host("compute-1", "west"), host("relay-1", "east")],
        switches: vec![v1::Switch { name: "east".into() }, v1::Switch { name: "west".into() }],
        links: vec![v1::Link {
            name: "spine".into(),
            from: "east".into(),
            to: "west".into(),
            capacity: capacity(link_bps),
            framing: Some(v1::Framing { overhead_ppm: Some(0), mtu_bytes: 0 }),
            cost: 0,
            ..Default::default()
        }],
        storage: vec![storage("swift", &[]), storage("glance", &["relay-1"])],
        routes: vec![v1::Route {
            from: "switches/east".into(),
            to: "switches/west".into(),
            links: vec!["spine".into()],
        }],
        version: 0,
        ..Default::default()
    }
}

/// An hour of maintenance a day from now, that leaves a half.
pub(crate) fn maintenance(resource: &str, now_s: i64) -> v1::Maintenance {
    v1::Maintenance {
        resource: resource.into(),
        start_time: Some(at_ms((now_s + 86_400) * 1000)),
        end_time: Some(at_ms((now_s + 90_000) * 1000)),
        left_ppm: 500_000,
        ..v1::Maintenance::default()
    }
}

/// An instant of the wire, in whole milliseconds.
pub(crate) fn at_ms(ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1000)).unwrap() * 1_000_000;
    prost_types::Timestamp { seconds: ms.div_euclid(1000), nanos }
}

/// A length of time of the wire.
pub(crate) fn span_ms(ms: i64) -> prost_types::Duration {
    let nanos = i32::try_from(ms.rem_euclid(1000)).unwrap() * 1_000_000;
    prost_types::Duration { seconds: ms.div_euclid(1000), nanos }
}

/// Milliseconds since the epoch.
pub(crate) fn ms_of(time: prost_types::Timestamp) -> i64 {
    time.seconds * 1000 + i64::from(time.nanos) / 1_000_000
}

/// A rate from swift to compute-1 from now on.
pub(crate) fn create(rate_bps: i64, duration_ms: i64) -> v1::CreateReservationRequest {
    let until = Some(v1::rigid::Until::Duration(span_ms(duration_ms)));
    let rigid = v1::Rigid { rate_bps, start_time: None, until };
    v1::CreateReservationRequest {
        request_id: request_id(),
        sources: vec!["storage/swift".into()],
        destination: "hosts/compute-1".into(),
        shape: Some(v1::create_reservation_request::Shape::Rigid(rigid)),
        ..v1::CreateReservationRequest::default()
    }
}

/// A project with a quota of everything.
pub(crate) fn lab(rate_bps: i64) -> v1::Project {
    v1::Project {
        name: "projects/lab".into(),
        quota: Some(v1::Quota {
            rate_bps: Some(rate_bps),
            reservation_count: Some(100),
            rate_each_bps: Some(rate_bps),
            duration_each: Some(span_ms(7_200_000)),
            horizon: Some(span_ms(86_400_000)),
            shares: vec![v1::Share { selector: "all".into(), part_ppm: 1_000_000 }],
            principal_count: Some(100),
            each_principal: Some(v1::PrincipalQuota {
                rate_bps: Some(rate_bps),
                reservation_count: Some(100),
                shares: vec![v1::Share { selector: "network".into(), part_ppm: 900_000 }],
                budgets: vec![budget(v1::budget::Period::Day)],
            }),
            budgets: vec![budget(v1::budget::Period::Month)],
            weekly: vec![v1::WeeklyRate { hours: "sun 00:00-24:00".into(), rate_bps }],
            overrides: vec![v1::RateOverride {
                start_time: Some(at_ms(0)),
                end_time: Some(at_ms(1)),
                rate_bps,
            }],
            time_zone: "Europe/Berlin".into(),
            lend_bps: Some(0),
            borrow_bps: Some(0),
            pool_bps: Some(0),
        }),
        ..v1::Project::default()
    }
}

/// More than anybody moves.
fn budget(period: v1::budget::Period) -> v1::Budget {
    v1::Budget { period: period.into(), volume_bytes: i64::MAX }
}

/// A rule that holds for nobody.
pub(crate) fn never() -> v1::Rule {
    v1::Rule {
        name: "rules/never".into(),
        when: "request.project == \"nobody\"".into(),
        then: Some(v1::rule::Then::CapBps(1_000_000)),
        shadow: true,
        comment: "for tests".into(),
        ..v1::Rule::default()
    }
}

/// A class with everything that one can say.
pub(crate) fn silver() -> v1::Class {
    v1::Class {
        name: "classes/silver".into(),
        ratio_ppm: 2_000_000,
        weight: 2,
        priority: 3,
        preemptible: true,
        lane_share_ppm: Some(500_000),
        headroom: Some(v1::Headroom { part_ppm: 100_000, longest: Some(span_ms(600_000)) }),
        no_show_grace: Some(span_ms(60_000)),
        hold_for: Some(span_ms(30_000)),
        projects: vec!["projects/default".into(), "projects/lab".into()],
        tiers: vec!["ssd".into()],
    }
}

pub(crate) fn release(name: &str) -> v1::ReleaseReservationRequest {
    v1::ReleaseReservationRequest {
        name: name.into(),
        request_id: request_id(),
        ..v1::ReleaseReservationRequest::default()
    }
}

pub(crate) fn confirm(name: &str) -> v1::ConfirmReservationRequest {
    let name = name.into();
    v1::ConfirmReservationRequest {
        name,
        request_id: request_id(),
        validate_only: false,
        ..Default::default()
    }
}

pub(crate) fn beat(session: &str, sequence: i64) -> v1::KeepAliveRequest {
    v1::KeepAliveRequest { session: session.into(), sequence, usage: Vec::new() }
}

/// A reservation without what moves with the clock.
pub(crate) fn still(it: v1::Reservation) -> v1::Reservation {
    let still = |it| v1::Segment { starts_in: None, ends_in: None, ..it };
    let segments = it.segments.into_iter().map(still).collect();
    v1::Reservation { starts_in: None, ends_in: None, segments, ..it }
}

/// Waits until `condition` yields something: for half a minute, which is long past every time
/// that a test waits for.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    for _ in 0..1500 {
        if let Some(found) = condition().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited for half a minute: {what}");
}

/// Numbers that look random and are the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub u64);

impl Rng {
    /// SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `most`.
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}
