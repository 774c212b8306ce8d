//! A broker with something of everything, requests with which nothing is wrong, and what they could
//! have changed.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost_reflect::prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MethodDescriptor,
    ReflectMessage, Value,
};
use tidegate_broker::Config;
use tidegate_broker::config::JournalPlace;
use tidegate_policy::Span;
use tidegate_proto::v1;
use tidegate_proto::v1::create_reservation_request::Shape;
use tidegate_proto::v1::create_reservation_response::Outcome;

use super::support::raw::Raw;
use super::support::{self, Clients, GBIT, Served, at_ms, span_ms};
use super::table::{self, Put, World};

/// How many panics there were in this process.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(panic);
    }));
}

/// A broker with something of everything, and what is needed to send it bad requests.
pub struct Target {
    pub served: Served,
    /// Connections to it.
    pub raws: Vec<Raw>,
    pub world: World,
    pub pool: DescriptorPool,
}

/// Everything that a request could have changed.
#[derive(PartialEq, Debug)]
pub struct Standing {
    pub info: v1::ServerInfo,
    pub lanes: Vec<v1::Lane>,
    /// Without what moves with the clock.
    pub reservations: Vec<v1::Reservation>,
    pub maintenances: Vec<v1::Maintenance>,
    pub projects: v1::ListProjectsResponse,
    pub classes: v1::ListClassesResponse,
}

/// The token of an offer: another rate at a time that begins later.
async fn offer(clients: &Clients, now_s: i64) -> String {
    let mut request = support::create(1000 * GBIT, 60_000);
    let Some(Shape::Rigid(rigid)) = &mut request.shape else { panic!("{request:?}") };
    rigid.start_time = Some(at_ms((now_s + 1800) * 1000));
    let answer = clients.reservations.clone().create_reservation(request).await.unwrap();
    match answer.into_inner().outcome {
        Some(Outcome::Refusal(no)) => no.offers[0].token.clone(),
        other => panic!("{other:?}"),
    }
}

/// The token of a volume that is offered by a later deadline.
async fn offered_volume(clients: &Clients, now_s: i64) -> String {
    let transfer = v1::Transfer {
        volume_bytes: 1 << 50,
        max_bps: 10 * GBIT,
        start_time: Some(at_ms((now_s + 1800) * 1000)),
        deadline: Some(at_ms((now_s + 3600) * 1000)),
        ..Default::default()
    };
    let shape = Some(Shape::Transfer(transfer));
    let request = v1::CreateReservationRequest { shape, ..support::create(GBIT, 60_000) };
    let answer = clients.reservations.clone().create_reservation(request).await.unwrap();
    match answer.into_inner().outcome {
        Some(Outcome::Refusal(no)) => no.offers[0].token.clone(),
        other => panic!("{other:?}"),
    }
}

/// The tokens of what was offered an hour ago, as it was then.
fn old_offers(now_s: i64) -> Vec<String> {
    let at = |seconds| at_ms((now_s + seconds) * 1000);
    let until = Some(v1::rigid::Until::EndTime(at(3600)));
    let rigid = v1::Rigid { rate_bps: GBIT, start_time: Some(at(-3600)), until };
    let transfer = v1::Transfer {
        volume_bytes: 1000,
        max_bps: GBIT,
        start_time: Some(at(-3600)),
        deadline: Some(at(-60)),
        ..Default::default()
    };
    [Shape::Rigid(rigid), Shape::Transfer(transfer)].map(old_token).to_vec()
}

fn old_token(shape: Shape) -> String {
    let offered = v1::CreateReservationRequest {
        shape: Some(shape),
        request_id: String::new(),
        ..support::create(GBIT, 60_000)
    };
    let body = offered.encode_to_vec();
    let whole = [crc32fast::hash(&body).to_be_bytes().as_slice(), &body].concat();
    format!("o1.{}", URL_SAFE_NO_PAD.encode(whole))
}

impl Target {
    pub async fn start(connections: usize) -> Self {
        count_panics();
        let mut config = Config::ephemeral(JournalPlace::Memory);
        config.session.lease = Span::from_secs(3600);
        let served = Served::start(config).await;
        let clients = &served.clients;
        clients.apply(support::topology(100 * GBIT)).await;
        let empty = v1::Project { name: "projects/empty".into(), ..v1::Project::default() };
        let rules = ["rules/other", "rules/kept"];
        let rules = rules.map(|name| v1::Rule { name: name.into(), ..support::never() }).into();
        let projects = vec![support::lab(GBIT), empty];
        let change = v1::ApplyPolicyRequest { projects, rules, ..Default::default() };
        clients.rule(change).await;
        let session = clients.open("agent-1").await.name;
        let confirmed = support::create(GBIT, 3_600_000);
        let confirmed = clients.create(confirmed).await.name;
        let mut held = support::create(GBIT, 3_600_000);
        held.hold_for = Some(span_ms(800_000));
        let held = clients.create(held).await.name;
        let now_s = clients.info().await.now.unwrap().seconds;
        let window = clients.maintain(support::maintenance("storage/glance", now_s)).await.name;
        let offer = offer(clients, now_s).await;
        let offered_volume = offered_volume(clients, now_s).await;
        let old_offers = old_offers(now_s);
        let raws = (0..connections).map(|_| Raw::new(&served.address())).collect();
        let world =
            World { held, confirmed, session, window, offer, offered_volume, old_offers, now_s };
        let pool = DescriptorPool::decode(tidegate_proto::DESCRIPTORS).unwrap();
        Self { served, raws, world, pool }
    }

    pub async fn standing(&self) -> Standing {
        let clients: &Clients = &self.served.clients;
        let info = v1::ServerInfo { now: None, ..clients.info().await };
        let over = v1::ListResourcesRequest {
            start_time: Some(at_ms(0)),
            end_time: Some(at_ms(253_402_300_799_000)),
            ..v1::ListResourcesRequest::default()
        };
        let lanes = clients.lanes(over).await;
        let all = clients.list(true, 0).await;
        let reservations = all.into_iter().map(support::still).collect();
        let maintenances = clients.maintenances().await;
        let projects = clients.projects().await;
        let classes = clients.classes().await;
        Standing { info, lanes, reservations, maintenances, projects, classes }
    }

    pub fn method(&self, rpc: &str) -> MethodDescriptor {
        let (service, method) = rpc.split_once('/').unwrap();
        let service = self.pool.get_service_by_name(&format!("tidegate.v1.{service}")).unwrap();
        service.methods().find(|it| it.name() == method).unwrap()
    }

    /// A request with which nothing is wrong.
    pub fn good(&self, rpc: &str) -> DynamicMessage {
        let World { held, session, window, .. } = &self.world;
        let bytes = self.asked(rpc);
        let (lab, gold) = ("projects/lab".to_owned(), "classes/gold".to_owned());
        let kept = "rules/kept".to_owned();
        let mut good = DynamicMessage::decode(self.method(rpc).input(), bytes.as_slice()).unwrap();
        let named = match rpc {
            table::EXTEND | table::GET => Some(("name", held)),
            table::CLOSE | table::GET_SESSION => Some(("name", session)),
            table::UNMAINTAIN => Some(("name", window)),
            table::PROJECT | table::EFFECTIVE | table::STATEMENT => Some(("name", &lab)),
            table::CLASS => Some(("name", &gold)),
            table::RULE => Some(("name", &kept)),
            _ => None,
        };
        let ends = [("source", "storage/swift"), ("destination", "hosts/compute-1")];
        let [source, destination] =
            ends.map(|(field, end)| (rpc == table::PATHS).then(|| (field, table::text(end))));
        let drains = rpc == table::DRAIN || rpc == table::UNDRAIN;
        let puts = [
            source,
            destination,
            drains.then(|| ("resource", table::text("links/spine"))),
            named.map(|(field, name)| (field, table::text(name.clone()))),
            (rpc == table::OPEN).then(|| ("agent", table::text("agent-2"))),
            (rpc == table::EXTEND).then_some(("hold_for.seconds", Put::Number(60))),
        ];
        for (path, value) in puts.into_iter().flatten() {
            put(&mut good, path, &value);
        }
        if good.descriptor().get_field_by_name("request_id").is_some() {
            put(&mut good, "request_id", &table::text(support::request_id()));
        }
        good
    }

    /// What it says beyond a name, if it says more.
    fn asked(&self, rpc: &str) -> Vec<u8> {
        let World { held, confirmed, session, now_s, .. } = &self.world;
        let mut create = support::create(GBIT, 60_000);
        create.sources.push("storage/glance".into());
        let reservation = confirmed.clone();
        let usage = vec![v1::Usage { reservation, used_bytes: 0, ..Default::default() }];
        match rpc {
            table::CREATE => create.encode_to_vec(),
            table::CONFIRM => support::confirm(held).encode_to_vec(),
            table::RELEASE => support::release(confirmed).encode_to_vec(),
            table::BATCH => {
                let entry = v1::CreateReservationRequest { request_id: String::new(), ..create };
                let requests = vec![entry.clone(), entry];
                v1::BatchCreateReservationsRequest { requests, ..Default::default() }
                    .encode_to_vec()
            }
            table::EXPLAIN => {
                let request = v1::CreateReservationRequest { request_id: String::new(), ..create };
                v1::ExplainReservationRequest { request: Some(request) }.encode_to_vec()
            }
            table::WINDOWS => windows(&create, *now_s).encode_to_vec(),
            table::UPDATE => {
                let name = confirmed.clone();
                v1::UpdateReservationRequest {
                    reservation: Some(v1::Reservation {
                        name,
                        rate_bps: GBIT,
                        ..Default::default()
                    }),
                    update_mask: Some(prost_types::FieldMask { paths: vec!["rate_bps".into()] }),
                    ..Default::default()
                }
                .encode_to_vec()
            }
            table::MAINTAIN => v1::CreateMaintenanceRequest {
                maintenance: Some(support::maintenance("links/spine", *now_s)),
                ..Default::default()
            }
            .encode_to_vec(),
            table::POLICY => changed_policy().encode_to_vec(),
            table::SIMULATE => {
                let change = Some(changed_policy());
                v1::SimulatePolicyRequest { change, request_count: 7 }.encode_to_vec()
            }
            table::APPLY => v1::ApplyTopologyRequest {
                topology: Some(support::topology(100 * GBIT)),
                ..v1::ApplyTopologyRequest::default()
            }
            .encode_to_vec(),
            table::BEAT => {
                v1::KeepAliveRequest { usage, ..support::beat(session, 7) }.encode_to_vec()
            }
            table::ADMIT => {
                let ask = Some(v1::admit_request::Ask::Create(create));
                v1::AdmitRequest { sequence: 7, ask }.encode_to_vec()
            }
            table::OBSERVE => observations(*now_s).encode_to_vec(),
            _ => Vec::new(),
        }
    }
}

fn observations(now_s: i64) -> v1::ReportObservationsRequest {
    let observation = v1::Observation {
        lane: "links/spine/forward".into(),
        start_time: Some(at_ms((now_s - 60) * 1000)),
        end_time: Some(at_ms(now_s * 1000)),
        carried_bytes: Some(1000),
        able_bps: None,
    };
    v1::ReportObservationsRequest { observer: "switch-1".into(), observations: vec![observation] }
}

/// Of everything that a policy is made of, something is put in and something goes.
fn changed_policy() -> v1::ApplyPolicyRequest {
    v1::ApplyPolicyRequest {
        projects: vec![support::lab(2 * GBIT)],
        delete: vec!["projects/empty".into()],
        classes: vec![support::silver()],
        delete_classes: vec!["classes/bronze".into()],
        rules: vec![support::never()],
        delete_rules: vec!["rules/other".into()],
        ..v1::ApplyPolicyRequest::default()
    }
}

fn windows(create: &v1::CreateReservationRequest, now_s: i64) -> v1::FindWindowsRequest {
    v1::FindWindowsRequest {
        sources: create.sources.clone(),
        destination: create.destination.clone(),
        min_bps: GBIT,
        duration: Some(span_ms(600_000)),
        end_time: Some(at_ms((now_s + 3600) * 1000)),
        ..Default::default()
    }
}

/// Whether nothing in this process has panicked.
pub fn nothing_panicked() -> bool {
    PANICS.load(Ordering::SeqCst) == 0
}

/// Puts a value at a path such as `topology.links[0].to`; messages and entries on the way are
/// made where they are missing.
pub fn put(message: &mut DynamicMessage, path: &str, value: &Put) {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    let (name, index) = match head.split_once('[') {
        Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
        None => (head, None),
    };
    let field = message.descriptor().get_field_by_name(name).unwrap();
    let whole = rest.is_none() && index.is_none();
    if whole && matches!(value, Put::Absent) {
        return message.clear_field(&field);
    }
    if whole {
        return message.set_field(&field, value_of(&field, value));
    }
    let mut place = message.get_field_mut(&field);
    if let Some(index) = index {
        let list = place.as_list_mut().unwrap();
        while list.len() <= index {
            list.push(Value::default_value(&field.kind()));
        }
        place = list.get_mut(index).unwrap();
    }
    match rest {
        Some(rest) => put(place.as_message_mut().unwrap(), rest, value),
        None => *place = single(&field, value),
    }
}

fn value_of(field: &FieldDescriptor, value: &Put) -> Value {
    match value {
        Put::Times(entry, count) => Value::List(vec![single(field, entry); *count]),
        Put::Map(pairs) => {
            let pair = |(key, value): &(String, String)| {
                (MapKey::String(key.clone()), Value::String(value.clone()))
            };
            Value::Map(pairs.iter().map(pair).collect())
        }
        other => single(field, other),
    }
}

fn single(field: &FieldDescriptor, value: &Put) -> Value {
    match (value, field.kind()) {
        (Put::Text(text), _) => Value::String(text.clone()),
        (Put::Flag(flag), _) => Value::Bool(*flag),
        (Put::Number(number), Kind::Int32) => Value::I32(i32::try_from(*number).unwrap()),
        (Put::Number(number), Kind::Enum(_)) => Value::EnumNumber(i32::try_from(*number).unwrap()),
        (Put::Number(number), _) => Value::I64(*number),
        (_, kind) => Value::default_value(&kind),
    }
}
