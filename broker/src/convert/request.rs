//! Requests from the wire, every bad field of them reported at once.

use prost::Message;
use sha2::{Digest, Sha256};
use tidegate_core::event::RequestMark;
use tidegate_core::{Ask, Command, Modify, Obeyed, Release, Request, Target};
use tidegate_policy::{
    BitRate, ByteCount, Name, ProjectId, RequestId, ReservationId, SessionId, Span, Timestamp,
};
use tidegate_proto::v1;

use super::Checked;
use super::ask::ask;
use super::batch::Called;
use crate::fields::Fields;

/// A mutation as the writer takes it.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    pub(crate) request: Request,
    pub(crate) validate_only: bool,
    /// What its asker calls what core finds wrong.
    pub(crate) called: Called,
}

impl Mutation {
    /// What was asked for, of a batch at this place of it; `None` if it was no reservation.
    pub(crate) fn asked(&self, place: usize) -> Option<&Ask> {
        match &self.request.command {
            Command::Reserve(ask) => Some(ask),
            Command::ReserveAll(batch) => batch.asks.get(place),
            _ => None,
        }
    }
}

/// The parts of a mutation that all of them have.
pub(super) trait Marked: Message + Clone + Default {
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
    )*

    /// Whether a method of this name is a mutation.
    pub(crate) fn is_mutation(method: &str) -> bool {
        matches!(method, $($rpc)|*)
    }
    };
}

marked! {
    CreateReservationRequest "CreateReservation"
    BatchCreateReservationsRequest "BatchCreateReservations"
    UpdateReservationRequest "UpdateReservation"
    ConfirmReservationRequest "ConfirmReservation"
    ExtendHoldRequest "ExtendHold"
    ReleaseReservationRequest "ReleaseReservation"
    OpenSessionRequest "OpenSession"
    CloseSessionRequest "CloseSession"
    ApplyTopologyRequest "ApplyTopology"
    DrainResourceRequest "DrainResource"
    UndrainResourceRequest "UndrainResource"
    CreateMaintenanceRequest "CreateMaintenance"
    DeleteMaintenanceRequest "DeleteMaintenance"
    ApplyPolicyRequest "ApplyPolicy"
}

/// Checks the id of a mutation, and the rest of it by `command`.
pub(super) fn mutation<M: Marked>(
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
    let called = Called::default();
    fields.finish(request.map(|request| Mutation { request, validate_only, called }))
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
    let mutation =
        mutation(message, |fields| ask(fields, message).map(|ask| Command::Reserve(ask.into())))?;
    Ok(Mutation { called: Called::of(message), ..mutation })
}

pub(crate) fn update(message: &v1::UpdateReservationRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        let wanted = fields.required("reservation", message.reservation.as_ref());
        let mask = fields.required("update_mask", message.update_mask.as_ref());
        let holder = fields.optional("session", "sessions", &message.session);
        let target = wanted.and_then(|wanted| {
            let (name, etag) = (&wanted.name, &wanted.etag);
            target(fields, ("reservation.name", name), ("reservation.etag", etag))
        });
        let obeyed = u64::try_from(message.plan_version).ok();
        if obeyed.is_none() {
            let why = format!("it is {}; repeat that of the reservation", message.plan_version);
            fields.fault("plan_version", why);
        }
        let mut change = Change::default();
        for (index, path) in masked(fields, mask).iter().enumerate() {
            change.read(fields, index, (path, wanted));
        }
        let Change { rate, start, end, volume } = change;
        let (target, obeyed) = target.zip(obeyed)?;
        Some(Command::Modify(Box::new(Modify { target, holder, obeyed, rate, start, end, volume })))
    })
}

/// What of a reservation can be changed.
const CHANGEABLE: usize = 3;

/// The paths of a mask; none if there are too many to be read.
fn masked<'a>(fields: &mut Fields, mask: Option<&'a prost_types::FieldMask>) -> &'a [String] {
    let Some(mask) = mask else { return &[] };
    let count = mask.paths.len();
    if !(1..=CHANGEABLE).contains(&count) {
        let why = format!("it has {count} paths; name rate_bps, start_time or end_time, each once");
        fields.fault("update_mask", why);
        return &[];
    }
    &mask.paths
}

/// New values of a reservation.
#[derive(Default)]
struct Change {
    rate: Option<BitRate>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    volume: Option<ByteCount>,
}

impl Change {
    /// Reads the value that a path of the mask names, of a reservation if it was sent at all.
    fn read(
        &mut self,
        fields: &mut Fields,
        index: usize,
        (path, wanted): (&str, Option<&v1::Reservation>),
    ) {
        const START: &str = "reservation.start_time";
        const END: &str = "reservation.end_time";
        match (path, wanted) {
            ("rate_bps", Some(wanted)) => {
                self.rate = fields.some_rate("reservation.rate_bps", wanted.rate_bps);
            }
            ("start_time", Some(wanted)) => {
                let start = fields.required(START, wanted.start_time);
                self.start = start.and_then(|time| fields.start(START, time));
            }
            ("end_time", Some(wanted)) => {
                let end = fields.required(END, wanted.end_time);
                self.end = end.and_then(|time| fields.end(END, time));
            }
            ("rate_bps" | "start_time" | "end_time", None) => {}
            ("transfer.volume_bytes" | "transfer.max_bps" | "transfer.deadline", wanted) => {
                self.read_transfer(fields, path, wanted);
            }
            (other, _) => {
                let shown: String = other.chars().take(80).collect();
                let why = format!(
                    "{shown:?} cannot be changed; rate_bps, start_time and end_time can, and of a \
                     transfer transfer.volume_bytes, transfer.max_bps and transfer.deadline"
                );
                fields.fault(&format!("update_mask.paths[{index}]"), why);
            }
        }
    }
}

impl Change {
    /// Reads the value of a transfer that a path of the mask names.
    fn read_transfer(&mut self, fields: &mut Fields, path: &str, wanted: Option<&v1::Reservation>) {
        let Some(wanted) = wanted else { return };
        let Some(v1::reservation::Promise::Transfer(transfer)) = &wanted.promise else {
            fields.fault("reservation.transfer", "it is missing; set what the mask names");
            return;
        };
        let field = format!("reservation.{path}");
        match path {
            "transfer.volume_bytes" => {
                self.volume = fields.some_bytes(&field, transfer.volume_bytes);
            }
            "transfer.max_bps" => self.rate = fields.some_rate(&field, transfer.max_bps),
            _ => {
                let deadline = fields.required(&field, transfer.deadline);
                self.end = deadline.and_then(|time| fields.end(&field, time));
            }
        }
    }
}

/// A reservation that is to change, as its asker knows it.
fn target(
    fields: &mut Fields,
    (name_field, name): (&str, &str),
    (etag_field, etag): (&str, &str),
) -> Option<Target> {
    let named = reservation(fields, name_field, name);
    let revision = match etag {
        "" => None,
        etag => {
            let bare = etag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let bare = bare.unwrap_or(etag);
            let revision = bare.parse().ok().filter(|read: &u64| read.to_string() == bare);
            if revision.is_none() {
                let why =
                    "it is not an etag of this broker; read the reservation and repeat its etag";
                fields.fault(etag_field, why);
            }
            revision
        }
    };
    let (project, id) = named?;
    Some(Target { id, project, revision })
}

/// A project to create or to look in.
pub(super) fn project(fields: &mut Fields, field: &str, text: &str) -> Option<ProjectId> {
    if text.is_empty() {
        return Some(ProjectId::default_project());
    }
    fields.named::<Name>(field, "projects", text).map(ProjectId)
}

/// `projects/{project}/reservations/{id}`, or `-` for a project that is not told.
fn reservation(
    fields: &mut Fields,
    field: &str,
    text: &str,
) -> Option<(Option<ProjectId>, ReservationId)> {
    let parts = text.strip_prefix("projects/").and_then(|rest| rest.split_once("/reservations/"));
    match parts {
        Some(("-", id)) => Some((None, fields.word(field, id)?)),
        Some((project, id)) => {
            let project = fields.word::<Name>(field, project).map(ProjectId);
            let id = fields.word(field, id);
            Some((Some(project?), id?))
        }
        None if text.is_empty() => {
            fields.fault(field, "it is required");
            None
        }
        None => {
            let shown: String = text.chars().take(80).collect();
            let why = format!("{shown:?} is not projects/PROJECT/reservations/ID");
            fields.fault(field, why);
            None
        }
    }
}

pub(crate) fn confirm(message: &v1::ConfirmReservationRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        target(fields, ("name", &message.name), ("etag", &message.etag)).map(Command::Confirm)
    })
}

pub(crate) fn extend_hold(message: &v1::ExtendHoldRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        let target = target(fields, ("name", &message.name), ("etag", &message.etag));
        let span = fields.required("hold_for", message.hold_for);
        let span = span.and_then(|span| fields.span("hold_for", span)).filter(|span| {
            if *span == Span::ZERO {
                fields.fault("hold_for", "it is zero; release the hold to end it");
            }
            *span != Span::ZERO
        });
        Some(Command::ExtendHold(target?, span?))
    })
}

pub(crate) fn release(message: &v1::ReleaseReservationRequest) -> Checked<Mutation> {
    mutation(message, |fields| {
        let target = target(fields, ("name", &message.name), ("etag", &message.etag));
        let holder = fields.optional("session", "sessions", &message.session);
        let used = fields.bytes("used_bytes", message.used_bytes);
        Some(Command::Release(Release { target: target?, holder, used: used? }))
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

/// A reservation that somebody wants to see.
pub(crate) fn get(message: &v1::GetReservationRequest) -> Checked<Target> {
    let mut fields = Fields::default();
    let target = target(&mut fields, ("name", &message.name), ("etag", ""));
    fields.finish(target)
}

/// One beat of a session.
#[derive(Clone, Debug)]
pub struct Beat {
    /// The session.
    pub session: SessionId,
    /// Repeated in the answer.
    pub sequence: i64,
    /// What it says of each grant.
    pub usage: Vec<Usage>,
}

/// What a beat says of one grant.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Which.
    pub reservation: ReservationId,
    /// The bytes moved since its start.
    pub bytes: ByteCount,
    /// The version of the plan that is obeyed.
    pub plan: u64,
    /// The live rate that is.
    pub live: Obeyed,
    /// How long its limiter has held bytes back since its start, if that is known.
    pub held_back: Option<Span>,
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
        let plan = version(&mut fields, (index, "plan_version"), used.plan_version);
        let live = version(&mut fields, (index, "live_version"), used.live_version);
        let rate = fields.rate(&format!("usage[{index}].live_bps"), used.live_bps);
        let live = live.zip(rate).map(|(version, rate)| Obeyed { version, rate });
        let held_back = used.held_back;
        let held_back = held_back.map(|it| fields.span(&format!("usage[{index}].held_back"), it));
        if let (Some((_, reservation)), Some(bytes), Some(plan), Some(live)) =
            (id, bytes, plan, live)
        {
            usage.push(Usage { reservation, bytes, plan, live, held_back: held_back.flatten() });
        }
    }
    fields.finish(session.map(|session| Beat { session, sequence: message.sequence, usage }))
}

/// A version that a beat repeats.
fn version(fields: &mut Fields, (index, name): (usize, &str), value: i64) -> Option<u64> {
    let version = u64::try_from(value).ok();
    if version.is_none() {
        let why = format!("it is {value}; repeat the {name} of the answer");
        fields.fault(&format!("usage[{index}].{name}"), why);
    }
    version
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
