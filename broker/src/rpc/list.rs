//! Pages of reservations and sessions.

use tidegate_core::Session;
use tidegate_policy::{ProjectId, ReservationId};
use tidegate_proto::v1;
use tonic::Status;

use super::Rpc;
use crate::convert::reads::{self, ListReservations, ListSessions};
use crate::convert::reply;
use crate::status::Failure;

/// The most reservations that are looked at for one page.
const LOOKED_MAX: usize = 10_000;
/// The most that a filter costs for one page, in nodes of its expression: a fraction of a second.
const COST_MAX: usize = 1_000_000;
/// The most that are read without letting others go on.
const SLICE: usize = 256;

impl Rpc {
    /// Whether there is a project that somebody wants to look into.
    pub(super) fn exists(&self, project: Option<&ProjectId>) -> Result<(), Status> {
        let Some(project) = project else { return Ok(()) };
        let known = self.view.read().machine.known_project(project);
        Ok(known.map_err(Failure::from)?)
    }

    /// One page. It ends early where a filter finds too few, so that no call looks at everything.
    pub(super) async fn page(&self, list: &ListReservations) -> v1::ListReservationsResponse {
        let mut page = v1::ListReservationsResponse::default();
        let (mut after, mut looked, mut cost) = (list.page.after, 0_usize, 0_usize);
        loop {
            // Without a filter it is known how many are left to find.
            let left = list.page.size.saturating_sub(page.reservations.len()).saturating_add(1);
            let most = if list.scope.filter.is_none() { left.min(SLICE) } else { SLICE };
            let slice = self.slice(list, after, most);
            let complete = slice.len() < most;
            for (id, shown) in slice {
                looked = looked.saturating_add(1);
                if let Some(it) = shown {
                    let filter = list.scope.filter.as_ref();
                    cost = cost.saturating_add(filter.map_or(0, |filter| filter.cost(&it)));
                    if list.scope.holds(&it) {
                        if page.reservations.len() == list.page.size {
                            return ended(page, after, list);
                        }
                        page.reservations.push(it);
                    }
                }
                after = Some(id);
                if LOOKED_MAX <= looked || COST_MAX <= cost {
                    return ended(page, after, list);
                }
            }
            if complete {
                return page;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The next reservations; only those that are shown in full.
    fn slice(
        &self,
        list: &ListReservations,
        after: Option<ReservationId>,
        most: usize,
    ) -> Vec<(ReservationId, Option<v1::Reservation>)> {
        let published = self.view.read();
        let now = self.clock.now();
        let machine = &published.machine;
        let rest = machine.reservations(after).take(most);
        rest.map(|found| {
            let shown = (list.show_closed || found.is_live()) && list.scope.has(found);
            let shown = shown.then(|| reply::reservation(found, now, machine.used(found.id)));
            (found.id, shown)
        })
        .collect()
    }

    pub(super) fn sessions(&self, list: &ListSessions) -> v1::ListSessionsResponse {
        let published = self.view.read();
        let machine = &published.machine;
        let mut rest =
            machine.sessions(list.page.after).filter(|found| list.show_ended || found.is_open());
        let shown: Vec<_> = rest.by_ref().take(list.page.size).collect();
        let more = rest.next().is_some();
        let last = shown.last().filter(|_| more).map(|last| reply::session_name(last.id));
        let show = |it: &&Session| reply::session(it, machine, &self.config.session);
        v1::ListSessionsResponse {
            sessions: shown.iter().map(show).collect(),
            next_page_token: last.unwrap_or_default(),
        }
    }
}

fn ended(
    mut page: v1::ListReservationsResponse,
    after: Option<ReservationId>,
    list: &ListReservations,
) -> v1::ListReservationsResponse {
    let token = after.map(|after| reads::page_token(after, &list.scope));
    page.next_page_token = token.unwrap_or_default();
    page
}
