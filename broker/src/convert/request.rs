//! Requests from the wire, every bad field of them reported at once.

use prost::Message;
use sha2::{Digest, Sha256};
use tidegate_core::command::{SOURCES_MAX, VIA_MAX};
use tidegate_core::event::RequestMark;
use tidegate_core::lane::LaneName;
use tidegate_core::{Ask, Command, Release, Request, Shape, Until};
use tidegate_policy::{
    ByteCount, Endpoint, Interval, Name, ProjectId, RequestId, ReservationId, SessionId, Span,
    Timestamp,
};
use tidegate_proto::v1;

use super::{Checked, topology};
use crate::fields::Fields;

/// A mutation as the writer takes it.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    pub(crate) request: Request,
    pub(crate) validate_only: bool,
}

/// The parts of a mutation that all of them have.
trait Marked: Message + Clone + Default {
    const RPC: &'static str;
    fn request_id(&self) -> &str;
    fn clear_request_id(&mut self);
    fn validate_only(&self) -> bool;
}

macro_rules! marked {
    ($($message:ident $rpc:literal)*) => {$(
        impl Marked for v1::$message {
            const RPC: &'static str = $rpc;
            fn request_id(&self) -> &str {
                &self.request_id
            }
            fn clear_request_id(&mut self) {
                self.request_id.clear();
            }
            fn validate_only(&self) -> bool {
                self.validate_only
            }
        }
    )*};
}

marked! {
    CreateReservationRequest "CreateReservation"
    ConfirmReservationRequest "ConfirmReservation"
    ExtendHoldRequest "ExtendHold"
    ReleaseReservationRequest "ReleaseReservation"
    OpenSessionRequest "OpenSession"
    CloseSessionRequest "CloseSession"
    ApplyTopologyRequest "ApplyTopology"
}

/// Checks the id of a mutation, and the rest of it by `command`.
fn mutation<M: Marked>(
    message: &M,
    command: impl FnOnce(&mut Fields) -> Option<Command>,
) -> Checked<Mutation> {
    let mut fields = Fields::default();
    let id = fields.word::<RequestId>("request_id", message.request_id());
    let id = id.filter(|id| {
        let made = id.made_at().is_some();
        if !made {
            fields.fault("request_id", "it is not a UUIDv7, which carries the time it was made");
        }
        made
    });
    let command = command(&mut fields);
    let mark = id.map(|id| RequestMark { id, fingerprint: fingerprint(message) });
    let request = mark.zip(command).map(|(mark, command)| Request { mark, command });
    let validate_only = message.validate_only();
    fields.finish(request.map(|request| Mutation { request, validate_only }))
}

/// What tells one body from another under the same id.
fn fingerprint<M: Marked>(message: &M) -> [u8; 32] {
    let mut body = message.clone();
    body.clear_request_id();
    let mut digest = Sha256::new();
    digest.update(M::RPC);
    digest.update([0]);
    digest.update(body.encode_to_vec());
    digest.finalize().into()
}

pub(crate) fn create(message: &v1::CreateReservationRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        let project = project(fields, "parent", &message.parent);
        let sources = endpoints(fields, &message.sources);
        let destination = fields.word::<Endpoint>("destination", &message.destination);
        let via = hosts(fields, &message.via);
        let hold_for = message.hold_for.map(|span| fields.span("hold_for", span));
        let session = fields.optional("session", "sessions", &message.session);
        let shape = match fields.required("shape", message.shape.as_ref()) {
            Some(v1::create_reservation_request::Shape::Rigid(rigid)) => shape(fields, rigid),
            Some(_) => {
                fields.fault("shape", "it is not known");
                None
            }
            None => None,
        };
        Some(Command::Reserve(Box::new(Ask {
            project: project?,
            sources: sources?,
            destination: destination?,
            via: via?,
            shape: shape?,
            hold_for: hold_for.map_or(Some(None), |checked| checked.map(Some))?,
            session,
        })))
    })
}

fn shape(fields: &mut Fields, rigid: &v1::Rigid) -> Option<Shape> {
    let rate = fields.rate("rigid.rate_bps", rigid.rate_bps);
    let start = rigid.start_time.map(|time| fields.start("rigid.start_time", time));
    let until = match fields.required("rigid.until", rigid.until) {
        Some(v1::rigid::Until::EndTime(time)) => fields.end("rigid.end_time", time).map(Until::At),
        Some(v1::rigid::Until::Duration(span)) => {
            fields.span("rigid.duration", span).map(Until::After)
        }
        None => None,
    };
    let start = start.map_or(Some(None), |checked| checked.map(Some))?;
    Some(Shape::Rigid { rate: rate?, start, until: until? })
}

fn endpoints(fields: &mut Fields, texts: &[String]) -> Option<Vec<Endpoint>> {
    bounded(fields, "sources", texts, (1, SOURCES_MAX), |fields, field, text| {
        fields.word(field, text)
    })
}

fn hosts(fields: &mut Fields, texts: &[String]) -> Option<Vec<Name>> {
    bounded(fields, "via", texts, (0, VIA_MAX), |fields, field, text| {
        fields.named(field, "hosts", text)
    })
}

/// A list of words. One that is too long is one fault, not a fault for each of its entries.
fn bounded<T>(
    fields: &mut Fields,
    field: &str,
    texts: &[String],
    (least, most): (usize, usize),
    read: impl Fn(&mut Fields, &str, &str) -> Option<T>,
) -> Option<Vec<T>> {
    if texts.len() < least || most < texts.len() {
        fields.fault(field, format!("there are {}; name {least} to {most}", texts.len()));
        return None;
    }
    let read = |(index, text): (usize, &String)| read(fields, &format!("{field}[{index}]"), text);
    // Collected first, so that every bad entry is reported and not only the first.
    let entries: Vec<Option<T>> = texts.iter().enumerate().map(read).collect();
    entries.into_iter().collect()
}

/// A project to create or to look in.
pub(super) fn project(fields: &mut Fields, field: &str, text: &str) -> Option<ProjectId> {
    if text.is_empty() {
        return Some(ProjectId::default_project());
    }
    let project = ProjectId(fields.named::<Name>(field, "projects", text)?);
    if project != ProjectId::default_project() {
        fields.fault(
            field,
            "there is no such project; until projects are declared, everything \
                             belongs to projects/default",
        );
        return None;
    }
    Some(project)
}

/// `projects/{project}/reservations/{id}`.
fn reservation(fields: &mut Fields, field: &str, text: &str) -> Option<ReservationId> {
    let id = text.split_once("/reservations/").filter(|(parent, _)| *parent == "projects/default");
    match id {
        Some((_, id)) => fields.word(field, id),
        None if text.is_empty() => fields.word(field, text),
        None => {
            let shown: String = text.chars().take(80).collect();
            let why = format!("{shown:?} is not projects/default/reservations/ID");
            fields.fault(field, why);
            None
        }
    }
}

pub(crate) fn confirm(message: &v1::ConfirmReservationRequest) -> Checked<Mutation> {
    mutation(message, |fields| reservation(fields, "name", &message.name).map(Command::Confirm))
}

pub(crate) fn extend_hold(message: &v1::ExtendHoldRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        let id = reservation(fields, "name", &message.name);
        let span = fields.required("hold_for", message.hold_for);
        let span = span.and_then(|span| fields.span("hold_for", span)).filter(|span| {
            if *span == Span::ZERO {
                fields.fault("hold_for", "it is zero; release the hold to end it");
            }
            *span != Span::ZERO
        });
        Some(Command::ExtendHold(id?, span?))
    })
}

pub(crate) fn release(message: &v1::ReleaseReservationRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        let id = reservation(fields, "name", &message.name);
        let holder = fields.optional("session", "sessions", &message.session);
        let used = fields.bytes("used_bytes", message.used_bytes);
        Some(Command::Release(Release { id: id?, holder, used: used? }))
    })
}

pub(crate) fn open_session(message: &v1::OpenSessionRequest) -> Checked<Mutation> {
    mutation(message, |fields| fields.word("agent", &message.agent).map(Command::OpenSession))
}

pub(crate) fn close_session(message: &v1::CloseSessionRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        fields.named("name", "sessions", &message.name).map(Command::CloseSession)
    })
}

pub(crate) fn apply_topology(message: &v1::ApplyTopologyRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        let topology = fields.required("topology", message.topology.as_ref())?;
        topology::from_wire(fields, topology).map(|spec| Command::ApplyTopology(Box::new(spec)))
    })
}

/// A reservation that somebody wants to see.
pub(crate) fn get(message: &v1::GetReservationRequest) -> Checked<ReservationId> {
    let mut fields = Fields::default();
    let id = reservation(&mut fields, "name", &message.name);
    fields.finish(id)
}

/// One beat of a session.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    pub(crate) session: SessionId,
    pub(crate) sequence: i64,
    pub(crate) usage: Vec<(ReservationId, ByteCount)>,
}

/// The most grants that one beat names.
const USAGE_MAX: usize = 1000;

pub(crate) fn beat(message: &v1::KeepAliveRequest) -> Checked<Beat> {
    let mut fields = Fields::default();
    let session = fields.named("session", "sessions", &message.session);
    if USAGE_MAX < message.usage.len() {
        let why = format!("there are {}; name at most {USAGE_MAX}", message.usage.len());
        fields.fault("usage", why);
        return fields.finish(None);
    }
    let mut usage = Vec::with_capacity(message.usage.len());
    for (index, used) in message.usage.iter().enumerate() {
        let id =
            reservation(&mut fields, &format!("usage[{index}].reservation"), &used.reservation);
        let bytes = fields.bytes(&format!("usage[{index}].used_bytes"), used.used_bytes);
        usage.extend(id.zip(bytes));
    }
    fields.finish(session.map(|session| Beat { session, sequence: message.sequence, usage }))
}

/// A page of a list: how many, and what was last shown before it.
#[derive(Clone, Debug)]
pub(crate) struct Page<T> {
    pub(crate) size: usize,
    pub(crate) after: Option<T>,
}

const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 1000;

pub(super) fn page_size(fields: &mut Fields, size: i32) -> Option<usize> {
    let size = fields.number("page_size", size, PAGE_MAX)?;
    usize::try_from(if size == 0 { PAGE_DEFAULT } else { size }).ok()
}

/// Lanes that somebody wants to see, and when.
#[derive(Clone, Debug)]
pub(crate) struct ListResources {
    pub(crate) page: Page<LaneName>,
    pub(crate) over: Interval,
}

pub(crate) fn list_resources(
    message: &v1::ListResourcesRequest,
    now: Timestamp,
) -> Checked<ListResources> {
    let mut fields = Fields::default();
    let size = page_size(&mut fields, message.page_size);
    let start = message.start_time.map(|time| fields.start("start_time", time));
    let start = start.unwrap_or(Some(now));
    let end = message.end_time.map(|time| fields.end("end_time", time));
    let instant = Span::from_ms(1).unwrap_or_default();
    let end = end.unwrap_or_else(|| start.map(|start| start.plus(instant)));
    let over = start.zip(end).and_then(|(start, end)| {
        let over = Interval::new(start, end);
        if over.is_none() {
            fields.fault("end_time", format!("it is {end}, not after the start at {start}"));
        }
        over
    });
    let after = message.page_token.strip_prefix("lanes/").map(LaneName::new);
    if after.is_none() && !message.page_token.is_empty() {
        fields.fault("page_token", "it is not of this list; begin again without it");
    }
    let page = size.map(|size| Page { size, after });
    fields.finish(page.zip(over).map(|(page, over)| ListResources { page, over }))
}
