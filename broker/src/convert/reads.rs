//! What somebody wants to see: lists, pages and watches of reservations and sessions.

use tidegate_policy::{ProjectId, ReservationId, SessionId};
use tidegate_proto::v1;

use super::Checked;
use super::request::{Page, page_size, project};
use crate::changes::Token;
use crate::fields::Fields;
use crate::filter::{Filter, Use};
use crate::scope::Scope;

/// Reservations that somebody wants to see.
#[derive(Debug)]
pub(crate) struct ListReservations {
    pub(crate) page: Page<ReservationId>,
    pub(crate) show_closed: bool,
    pub(crate) scope: Scope,
}

pub(crate) fn list_reservations(
    message: &v1::ListReservationsRequest,
) -> Checked<ListReservations> {
    let mut fields = Fields::default();
    let size = page_size(&mut fields, message.page_size);
    let scope = scope(&mut fields, &message.parent, &message.filter, Use::List);
    // Whose scope is wrong cannot be told whether the token is of it.
    let digest = scope.as_ref().map(|scope| scope.digest);
    let after = after(&mut fields, &message.page_token, digest);
    let page = size.map(|size| Page { size, after });
    let list = page.zip(scope).map(|(page, scope)| {
        let show_closed = message.show_closed;
        ListReservations { page, show_closed, scope }
    });
    fields.finish(list)
}

/// The token of the page behind a reservation.
pub(crate) fn page_token(after: ReservationId, scope: &Scope) -> String {
    format!("reservations/{after}/{:016x}", scope.digest)
}

fn after(fields: &mut Fields, token: &str, digest: Option<u64>) -> Option<ReservationId> {
    if token.is_empty() {
        return None;
    }
    let parts = token.strip_prefix("reservations/").and_then(|rest| rest.split_once('/'));
    let parts = parts.and_then(|(id, digest)| Some((id.parse().ok()?, digest)));
    match (parts, digest) {
        (None, _) => {
            fields.fault("page_token", "it is not of this list; begin again without it");
            None
        }
        (Some((_, of)), Some(digest)) if of != format!("{digest:016x}") => {
            let why = "it is of a list with another parent or filter; ask with those, or begin \
                       again without it";
            fields.fault("page_token", why);
            None
        }
        (Some((after, _)), _) => Some(after),
    }
}

fn scope(fields: &mut Fields, parent: &str, filter: &str, by: Use) -> Option<Scope> {
    let one: Option<Option<ProjectId>> = if parent == "projects/-" {
        Some(None)
    } else {
        project(fields, "parent", parent).map(Some)
    };
    let parsed = if filter.is_empty() {
        Some(None)
    } else {
        let parsed = Filter::parse(filter, by);
        parsed.map(Some).map_err(|why| fields.fault("filter", why)).ok()
    };
    Some(Scope::new(one?, parsed?, filter))
}

/// A watch that somebody wants.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) scope: Scope,
    /// Where it was, if it was.
    pub(crate) token: Option<Token>,
}

pub(crate) fn watch(message: &v1::WatchReservationsRequest) -> Checked<Watch> {
    let mut fields = Fields::default();
    let scope = scope(&mut fields, &message.parent, &message.filter, Use::Watch);
    let digest = scope.as_ref().map(|scope| scope.digest);
    let token = match message.resume_token.as_str() {
        "" => None,
        text => {
            let token = text.parse::<Token>().ok();
            match &token {
                None => {
                    let why = "it is not a token of a watch; begin without it";
                    fields.fault("resume_token", why);
                }
                Some(token) if digest.is_some_and(|digest| digest != token.digest) => {
                    let why = "it is of a watch with another parent or filter; ask with those, or \
                               begin without it";
                    fields.fault("resume_token", why);
                }
                Some(_) => {}
            }
            token
        }
    };
    fields.finish(scope.map(|scope| Watch { scope, token }))
}

/// A session that somebody wants to see.
pub(crate) fn get_session(message: &v1::GetSessionRequest) -> Checked<SessionId> {
    let mut fields = Fields::default();
    let id = fields.named("name", "sessions", &message.name);
    fields.finish(id)
}

/// Sessions that somebody wants to see.
#[derive(Clone, Debug)]
pub(crate) struct ListSessions {
    pub(crate) page: Page<SessionId>,
    pub(crate) show_ended: bool,
}

pub(crate) fn list_sessions(message: &v1::ListSessionsRequest) -> Checked<ListSessions> {
    let mut fields = Fields::default();
    let size = page_size(&mut fields, message.page_size);
    let after = fields.optional("page_token", "sessions", &message.page_token);
    let page = size.map(|size| Page { size, after });
    fields.finish(page.map(|page| ListSessions { page, show_ended: message.show_ended }))
}
