//! What limits say, and which of them are in the way.

use tidegate_core::lane::LaneName;
use tidegate_core::{Overuse, QuotaBlocker, Whose};
use tidegate_policy::{Limit, Period, Principal, Span};
use tidegate_proto::v1;
use tidegate_proto::v1::amount::Of;

use super::{class, policy, reply};
use crate::fields::Fields;

/// Whose a limit is, as the wire tells it: a project, a principal of it, or a class; what is not meant is
/// empty.
#[derive(Default)]
struct Told {
    project: String,
    principal: String,
    class: String,
}

impl Told {
    fn of(whose: &Whose) -> Self {
        match whose {
            Whose::Project(project) => Self { project: policy::name(project), ..Self::default() },
            Whose::Principal(project, principal) => Self {
                project: policy::name(project),
                principal: principal.to_string(),
                class: String::new(),
            },
            Whose::Class(id) => Self { class: class::name(id), ..Self::default() },
        }
    }
}

pub(crate) fn overuse(overuse: &Overuse) -> v1::Overuse {
    let Overuse { whose, what, of, limit, used, until } = overuse;
    let Told { project, principal, class } = Told::of(whose);
    v1::Overuse {
        project,
        limit: self::limit(*what).into(),
        allowed: Some(amount(*what, *limit)),
        used: Some(amount(*what, *used)),
        until_time: Some(reply::time(*until)),
        principal,
        class,
        lane: of.as_ref().map(LaneName::to_string).unwrap_or_default(),
    }
}

/// Whose an overuse is: what [`overuse`] says. Nobody if a field is not what a broker writes.
pub(crate) fn whose(fields: &mut Fields, said: &v1::Overuse) -> Option<Whose> {
    if !said.class.is_empty() {
        return class::id(fields, "class", &said.class).map(Whose::Class);
    }
    let project = policy::id(fields, "project", &said.project);
    match said.principal.as_str() {
        "" => project.map(Whose::Project),
        principal => {
            let principal = fields.word::<Principal>("principal", principal);
            Some(Whose::Principal(project?, principal?))
        }
    }
}

pub(crate) fn blocker(blocker: &QuotaBlocker) -> v1::QuotaBlocker {
    let QuotaBlocker { whose, what, limit, used, asked } = blocker;
    let Told { project, principal, class } = Told::of(whose);
    v1::QuotaBlocker {
        project,
        limit: self::limit(*what).into(),
        allowed: Some(amount(*what, *limit)),
        used: Some(amount(*what, *used)),
        asked: Some(amount(*what, *asked)),
        principal,
        class,
    }
}

pub(super) fn limit(what: Limit) -> v1::Limit {
    match what {
        Limit::Rate => v1::Limit::Rate,
        Limit::Reservations => v1::Limit::Reservations,
        Limit::RateEach => v1::Limit::RateEach,
        Limit::DurationEach => v1::Limit::DurationEach,
        Limit::Horizon => v1::Limit::Horizon,
        Limit::Principals => v1::Limit::Principals,
        Limit::Share => v1::Limit::Share,
        Limit::Budget(Period::Day) => v1::Limit::BudgetDay,
        Limit::Budget(Period::Week) => v1::Limit::BudgetWeek,
        Limit::Budget(Period::Month) => v1::Limit::BudgetMonth,
    }
}

/// What there is a limit of; `None` for what no broker of this version says.
pub(crate) fn limited(number: i32) -> Option<Limit> {
    match v1::Limit::try_from(number) {
        Ok(v1::Limit::Rate) => Some(Limit::Rate),
        Ok(v1::Limit::Reservations) => Some(Limit::Reservations),
        Ok(v1::Limit::RateEach) => Some(Limit::RateEach),
        Ok(v1::Limit::DurationEach) => Some(Limit::DurationEach),
        Ok(v1::Limit::Horizon) => Some(Limit::Horizon),
        Ok(v1::Limit::Principals) => Some(Limit::Principals),
        Ok(v1::Limit::Share) => Some(Limit::Share),
        Ok(v1::Limit::BudgetDay) => Some(Limit::Budget(Period::Day)),
        Ok(v1::Limit::BudgetWeek) => Some(Limit::Budget(Period::Week)),
        Ok(v1::Limit::BudgetMonth) => Some(Limit::Budget(Period::Month)),
        Ok(v1::Limit::Unspecified) | Err(_) => None,
    }
}

pub(super) fn amount(what: Limit, amount: u64) -> v1::Amount {
    let of = match what {
        Limit::Rate | Limit::RateEach | Limit::Share => Of::RateBps(reply::int(amount)),
        Limit::Reservations => Of::ReservationCount(reply::int(amount)),
        Limit::Principals => Of::PrincipalCount(reply::int(amount)),
        Limit::Budget(_) => Of::VolumeBytes(reply::int(amount)),
        Limit::DurationEach | Limit::Horizon => {
            // What was asked for may be longer than anything that can be granted.
            Of::Duration(reply::duration(Span::from_ms(amount).unwrap_or(Span::MAX)))
        }
    };
    v1::Amount { of: Some(of) }
}

/// How much of it there is: what [`amount`] says.
pub(crate) fn so_much(amount: Option<&v1::Amount>) -> Option<u64> {
    match amount?.of.as_ref()? {
        Of::RateBps(number)
        | Of::ReservationCount(number)
        | Of::PrincipalCount(number)
        | Of::VolumeBytes(number) => u64::try_from(*number).ok(),
        Of::PartPpm(ppm) => u64::try_from(*ppm).ok(),
        Of::Duration(span) => {
            let mut fields = Fields::default();
            fields.span("duration", *span).map(Span::as_ms)
        }
    }
}
