//! What a class of service makes of a request.

use std::borrow::Cow;

use tidegate_policy::{Class, Endpoint, Overcommit, Project};

use super::Machine;
use super::sight::Way;
use super::wanted::Wish;
use crate::command::{Ask, Ways};
use crate::fault::Fault;
use crate::lane::Terms;
use crate::owner::{Account, Owner};
use crate::promise::Standing;
use crate::refusal::{Reason, Refusal};
use crate::reservation::Reservation;

impl Machine {
    /// The class of an owner, if there is one and it still stands.
    pub(super) fn class_of(&self, owner: &Owner) -> Option<&Class> {
        self.state.classes.get(owner.class.as_ref()?)
    }

    /// A request as its class makes it: or the refusal, if its project may not use the class.
    ///
    /// # Errors
    /// [`Fault::NotFound`] if there is no such class.
    pub(super) fn in_class<'a>(
        &self,
        ask: Cow<'a, Ask>,
    ) -> Result<Result<Cow<'a, Ask>, Refusal>, Fault> {
        let Some(id) = &ask.owner.class else { return Ok(Ok(ask)) };
        let missing = || Fault::NotFound { what: format!("classes/{id}") };
        let class = self.state.classes.get(id).ok_or_else(missing)?;
        let above = |it: &Project| class.projects.contains(&it.id);
        let allowed = self.state.projects.lineage(&ask.owner.project).any(above);
        if !class.projects.is_empty() && !allowed {
            return Ok(Err(Refusal::bare(Reason::ClassNotAllowed)));
        }
        let asked = ask.standing;
        let lower = asked.priority.min(class.priority);
        let standing = Standing {
            // Who asks may stand back, but never before its class.
            priority: if asked.priority == 0 { class.priority } else { lower },
            preemptible: asked.preemptible || class.preemptible,
            ratio: class.ratio,
            weight: class.weight,
        };
        let shared = ask.terms.shared || class.ratio != Overcommit::NONE;
        let terms = Terms { shared, ..ask.terms };
        let hold_for = ask.hold_for.or(class.hold_for);
        Ok(Ok(Cow::Owned(Ask { standing, terms, hold_for, ..ask.into_owned() })))
    }

    /// What the bookings of a request are charged to.
    pub(super) fn account(&self, ask: &Ask, wish: &Wish) -> Account {
        let (ratio, lasts) = match wish {
            Wish::Steady(wanted) => (ask.standing.ratio, wanted.span),
            Wish::Volume(sought) => (Overcommit::NONE, sought.window.span()),
        };
        let account = ask.owner.account(ratio, self.state.quotas().is_long(&ask.owner, lasts));
        let borrows = ask.standing.preemptible && ask.session.is_some();
        Account { borrows, ..account }
    }

    /// The ways that a reservation may take of some that are asked for, best first.
    pub(super) fn ways_for(&self, found: &Reservation, asked: &Ways) -> Result<Vec<Way>, Fault> {
        self.ways(&self.state.quotas().account(found), asked, found.terms)
    }

    /// The ways that a request may take, best first.
    pub(super) fn ways_asked(&self, ask: &Ask, wish: &Wish) -> Result<Vec<Way>, Fault> {
        self.ways(&self.account(ask, wish), &ask.ways, ask.terms)
    }

    /// Whether storage is of a tier that a class is satisfied with; hosts have none.
    pub(super) fn is_in_tier(&self, class: &Class, endpoint: &Endpoint) -> bool {
        let Endpoint::Storage(name) = endpoint else { return true };
        class.tiers.is_empty() || class.takes_tier(self.state.topology.tier_of(name))
    }

    /// Whether the class of an account is why there is no way at all.
    pub(super) fn tier_is_missing(&self, account: &Account, asked: &Ways) -> bool {
        let class = account.class.as_ref().and_then(|id| self.state.classes.get(id));
        let Some((class, Ways::Between { sources, destination, .. })) = class.zip(Some(asked))
        else {
            return false;
        };
        !self.is_in_tier(class, destination)
            || !sources.iter().any(|source| self.is_in_tier(class, source))
    }
}
