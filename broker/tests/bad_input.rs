//! Whatever is sent, the answer says exactly what is wrong with it, nothing changes, and the
//! broker goes on serving.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;
#[path = "support/table.rs"]
#[allow(dead_code, unreachable_pub, reason = "a module of two tests")]
mod table;
#[path = "support/target.rs"]
#[allow(dead_code, unreachable_pub, reason = "a module of two tests")]
mod target;

use std::collections::BTreeSet;
use std::sync::Arc;

use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage};
use support::raw::{Answer, Raw};
use table::{Expect, Put, Row, World};
use target::{Target, nothing_panicked, put};
use tidegate_proto::v1;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Sends a row and says what is wrong with the answer.
async fn check(target: &Target, raw: &Raw, row: &Row) -> Result<(), String> {
    let mut request = target.good(row.rpc);
    for (path, value) in &row.puts {
        put(&mut request, path, value);
    }
    let answer = raw.call(row.rpc, &request.encode_to_vec()).await;
    verdict(&row.expect, &said(row.rpc, answer))
}

/// How many requests are under way at once, each on a connection of its own.
const AT_ONCE: usize = 4;
/// After so many requests it is looked whether anything has changed.
const TOGETHER: usize = 32;

/// Sends rows, several at once, and says which are answered wrongly.
async fn check_all(target: &Arc<Target>, rows: &[Row]) -> Vec<String> {
    let mut senders = JoinSet::new();
    for (first, raw) in target.raws.iter().cloned().enumerate() {
        let rows: Vec<Row> = rows.iter().skip(first).step_by(AT_ONCE).cloned().collect();
        let target = target.clone();
        senders.spawn(async move {
            let mut wrong = Vec::new();
            for row in rows {
                if let Err(why) = check(&target, &raw, &row).await {
                    let why: String = why.chars().take(600).collect();
                    wrong.push(format!("{}: {why}", shown(&row)));
                }
            }
            wrong
        });
    }
    senders.join_all().await.into_iter().flatten().collect()
}

/// A row for people.
fn shown(row: &Row) -> String {
    let short = |put: &Put| format!("{put:?}").chars().take(60).collect::<String>();
    let puts: Vec<String> =
        row.puts.iter().map(|(path, put)| format!("{path}={}", short(put))).collect();
    format!("{} {}", row.rpc, puts.join(" "))
}

/// What an answer says: on a stream, what is said of the only question.
fn said(rpc: &str, answer: Answer) -> Status {
    let body = answer.body.get(5..).filter(|_| rpc == table::ADMIT);
    let said = body.and_then(|body| v1::AdmitResponse::decode(body).ok()?.outcome);
    let Some(v1::admit_response::Outcome::Error(error)) = said else { return answer.status };
    let mut details = ErrorDetails::new();
    for it in error.field_violations {
        details.add_bad_request_violation(it.field, it.description);
    }
    if error.code == i32::from(Code::NotFound) {
        details.set_resource_info("", "", "", "an answer on a stream has no such detail");
    }
    Status::with_error_details(Code::from_i32(error.code), error.message, details)
}

/// The most that an answer says: proxies and clients take no larger headers.
const SAID_MAX: usize = 8 << 10;

fn verdict(expect: &Expect, status: &Status) -> Result<(), String> {
    let said = status.message();
    if SAID_MAX < said.len() + status.details().len() {
        return Err(format!("it says {} bytes", said.len() + status.details().len()));
    }
    let code = match expect {
        Expect::Bad(_) | Expect::BadEntries(_) => Code::InvalidArgument,
        Expect::Says(code) => *code,
        Expect::Fine => Code::Ok,
    };
    if status.code() != code {
        return Err(format!("{code:?} expected: {status:?}"));
    }
    let details = status.get_details_bad_request().map(|details| details.field_violations);
    let named = details.into_iter().flatten().map(|violation| violation.field);
    let named: BTreeSet<String> = named.collect();
    match expect {
        Expect::Bad(fields) => {
            if named != fields.iter().cloned().collect() {
                return Err(format!("{fields:?} expected, {named:?} named: {said}"));
            }
            match fields.iter().find(|field| !said.contains(field.as_str())) {
                Some(field) => Err(format!("the message does not name {field}: {said}")),
                None => Ok(()),
            }
        }
        Expect::BadEntries(list) => {
            let of_list = |field: &String| field.starts_with(list.as_str());
            let good = 3 < named.len() && named.iter().all(of_list) && said.contains(" more");
            if good { Ok(()) } else { Err(format!("{named:?}: {said}")) }
        }
        Expect::Says(Code::NotFound) if status.get_details_resource_info().is_none() => {
            Err(format!("it does not say what is missing: {said}"))
        }
        Expect::Says(_) if said.is_empty() => Err("it does not say why".into()),
        Expect::Says(_) | Expect::Fine => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_field_is_named_and_nothing_changes() {
    let target = Arc::new(Target::start(AT_ONCE).await);
    let before = target.standing().await;
    let rows = table::rows(&target.world);
    let mut wrong = Vec::new();
    for rows in rows.chunks(TOGETHER) {
        wrong.extend(check_all(&target, rows).await);
        if target.standing().await != before || !nothing_panicked() {
            let these: Vec<String> = rows.iter().map(shown).collect();
            let these = these.join("\n");
            wrong
                .push(format!("the state has changed, or something panicked, by one of:\n{these}"));
            break;
        }
    }
    println!("{} bad requests, {} answered wrongly", rows.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Arc::into_inner(target).unwrap().served.stop().await;
}

#[tokio::test]
async fn good_requests_are_answered() {
    let target = Target::start(1).await;
    for rpc in table::ALL {
        let answer = target.raws[0].call(rpc, &target.good(rpc).encode_to_vec()).await;
        assert_eq!(answer.status.code(), Code::Ok, "{rpc}: {:?}", answer.status);
        assert!(!answer.body.is_empty(), "{rpc}");
    }
    target.served.stop().await;
}

/// Paths of all fields of a request but those that the broker fills in.
fn fields(message: &MessageDescriptor, at: &str, found: &mut BTreeSet<String>) {
    for field in message.fields() {
        let path = format!("{at}{}", field.name());
        if is_output(&field) {
            continue;
        }
        if let Kind::Message(inner) = field.kind()
            && !field.is_map()
        {
            fields(&inner, &format!("{path}."), found);
        }
        found.insert(path);
    }
}

fn is_output(field: &FieldDescriptor) -> bool {
    let options = field.options();
    let pool = options.descriptor().parent_pool().clone();
    let behavior = pool.get_extension_by_name("tidegate.v1.field_behavior").unwrap();
    let said = options.get_extension(&behavior);
    said.as_list().unwrap().iter().any(|it| it.as_enum_number() == Some(2))
}

/// A path without its indices.
fn plain(path: &str) -> String {
    let mut inside = false;
    let keep = |c: &char| {
        inside = (inside || *c == '[') && *c != ']';
        !inside && *c != ']'
    };
    path.chars().filter(keep).collect()
}

#[test]
fn the_table_has_a_row_for_every_field() {
    let nobody = World {
        held: String::new(),
        confirmed: String::new(),
        session: String::new(),
        window: String::new(),
        offer: String::new(),
        offered_volume: String::new(),
        old_offers: vec![String::new()],
        now_s: 1_800_000_000,
    };
    let mut tested: BTreeSet<(String, String)> = BTreeSet::new();
    for row in table::rows(&nobody) {
        // A row with several fields tests their being named together, not each of them.
        if let [(path, _), ..] = row.puts.as_slice() {
            let path = plain(path);
            let parents = path.match_indices('.').map(|(end, _)| path[..end].to_owned());
            tested.extend(parents.map(|parent| (row.rpc.to_owned(), parent)));
            tested.insert((row.rpc.to_owned(), path));
        }
    }
    let pool = DescriptorPool::decode(tidegate_proto::DESCRIPTORS).unwrap();
    let mut missing = Vec::new();
    let mut methods = BTreeSet::new();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let rpc = format!("{}/{}", method.parent_service().name(), method.name());
        let mut all = BTreeSet::new();
        fields(&method.input(), "", &mut all);
        let untested =
            all.into_iter().filter(|path| !tested.contains(&(rpc.clone(), path.clone())));
        missing.extend(untested.map(|path| format!("{rpc} {path}")));
        methods.insert(rpc);
    }
    assert!(missing.is_empty(), "no row for:\n{}", missing.join("\n"));
    let known: BTreeSet<String> = table::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(methods, known, "the list of methods is not that of the protos");
}
