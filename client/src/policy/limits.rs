//! What limits say, how much of them is used, and which are in the way.

use std::fmt;

use tidegate_policy::{
    BitRate, ByteCount, ClassId, Limit, Part, Period, Principal, ProjectId, Selector, Span,
    Timestamp,
};
use tidegate_proto::v1;
use v1::amount::Of;

use super::{class, project_id, span};
use crate::error::ClientError;
use crate::wire;

/// So much of what there is a limit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Payload; of a share what is booked of its lane.
    Rate(BitRate),
    /// Reservations, or principals.
    Count(u64),
    /// A length of time.
    Time(Span),
    /// Payload bytes.
    Bytes(ByteCount),
    /// So much of each lane, in parts per million of what it carries.
    Part(u32),
}

/// Whose a limit is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of a project and all below it.
    Project(ProjectId),
    /// Of one principal of a project and those below it.
    Principal(ProjectId, Principal),
    /// Of a class.
    Class(ClassId),
}

/// A quota that is below what is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overuse {
    /// Whose.
    pub whose: Whose,
    /// Of what.
    pub what: Limit,
    /// The lane that it is a share of.
    pub lane: Option<String>,
    /// What it allows.
    pub allowed: Amount,
    /// The most that is used at one instant from now on.
    pub used: Amount,
    /// From when on it is kept again, as things stand.
    pub until: Timestamp,
}

/// A limit of a quota that is in the way of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaBlocker {
    /// Whose quota: of the project, of one above it, or of the principal there.
    pub whose: Whose,
    /// Of what.
    pub what: Limit,
    /// What it allows.
    pub allowed: Amount,
    /// What is used of it.
    pub used: Amount,
    /// What the request needs.
    pub asked: Amount,
}

/// A limit that binds a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveLimit {
    /// Of what.
    pub what: Limit,
    /// What it allows.
    pub allowed: Amount,
    /// Whose it is: the project's own, or that of one above it.
    pub project: ProjectId,
    /// Each principal has so much for itself.
    pub each_principal: bool,
    /// Which lanes it is a share of.
    pub selector: Option<Selector>,
    /// What is used of it now; of one that each principal or each lane has, the most of any. `None` where
    /// it is of one reservation, or not counted.
    pub used: Option<Amount>,
    /// The principal that uses most of it.
    pub principal: Option<Principal>,
    /// The lane that most is used of.
    pub lane: Option<String>,
    /// From when on another rate is allowed, as hours and dates say; `None` if that is not soon.
    pub until: Option<Timestamp>,
}

fn limit(number: i32) -> Result<Limit, ClientError> {
    match v1::Limit::try_from(number) {
        Ok(v1::Limit::Rate) => Ok(Limit::Rate),
        Ok(v1::Limit::Reservations) => Ok(Limit::Reservations),
        Ok(v1::Limit::RateEach) => Ok(Limit::RateEach),
        Ok(v1::Limit::DurationEach) => Ok(Limit::DurationEach),
        Ok(v1::Limit::Horizon) => Ok(Limit::Horizon),
        Ok(v1::Limit::Principals) => Ok(Limit::Principals),
        Ok(v1::Limit::Share) => Ok(Limit::Share),
        Ok(v1::Limit::BudgetDay) => Ok(Limit::Budget(Period::Day)),
        Ok(v1::Limit::BudgetWeek) => Ok(Limit::Budget(Period::Week)),
        Ok(v1::Limit::BudgetMonth) => Ok(Limit::Budget(Period::Month)),
        Ok(v1::Limit::Unspecified) | Err(_) => {
            let why = format!("{number} is a limit that this client does not know");
            Err(ClientError::bad("limit", why))
        }
    }
}

impl Amount {
    fn from_wire(field: &'static str, wire: Option<v1::Amount>) -> Result<Self, ClientError> {
        match wire.and_then(|wire| wire.of) {
            Some(Of::RateBps(bps)) => wire::lane_rate(field, bps).map(Self::Rate),
            Some(Of::ReservationCount(count) | Of::PrincipalCount(count)) => {
                wire::count(field, count).map(Self::Count)
            }
            Some(Of::Duration(length)) => span(field, length).map(Self::Time),
            Some(Of::VolumeBytes(bytes)) => wire::bytes(field, bytes).map(Self::Bytes),
            Some(Of::PartPpm(ppm)) => wire::index(field, ppm).map(Self::Part),
            None => Err(ClientError::bad(field, "it is missing")),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => f.pad(&rate.to_string()),
            Self::Count(count) => f.pad(&count.to_string()),
            Self::Time(span) => f.pad(&span.to_string()),
            Self::Bytes(bytes) => f.pad(&bytes.to_string()),
            Self::Part(ppm) => match Part::from_ppm(*ppm) {
                Some(part) => f.pad(&part.to_string()),
                // More than all: a lane that became smaller.
                None => f.pad(&format!("{}%", ppm / 10_000)),
            },
        }
    }
}

impl Whose {
    fn from_wire(project: &str, principal: &str, class: &str) -> Result<Self, ClientError> {
        if !class.is_empty() {
            return class::class_id("class", class).map(Self::Class);
        }
        let project = project_id("project", project)?;
        Ok(match principal {
            "" => Self::Project(project),
            whose => {
                let whose = whose.parse().map_err(ClientError::unparsed("principal"))?;
                Self::Principal(project, whose)
            }
        })
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(project) => write!(f, "projects/{project}"),
            Self::Principal(project, whose) => write!(f, "{whose} in projects/{project}"),
            Self::Class(class) => write!(f, "classes/{class}"),
        }
    }
}

impl Overuse {
    pub(super) fn from_wire(wire: v1::Overuse) -> Result<Self, ClientError> {
        Ok(Self {
            whose: Whose::from_wire(&wire.project, &wire.principal, &wire.class)?,
            what: limit(wire.limit)?,
            lane: Some(wire.lane).filter(|lane| !lane.is_empty()),
            allowed: Amount::from_wire("overuses.allowed", wire.allowed)?,
            used: Amount::from_wire("overuses.used", wire.used)?,
            until: wire::instant_required("overuses.until_time", wire.until_time)?,
        })
    }
}

impl QuotaBlocker {
    pub(crate) fn from_wire(wire: v1::QuotaBlocker) -> Result<Self, ClientError> {
        Ok(Self {
            whose: Whose::from_wire(&wire.project, &wire.principal, &wire.class)?,
            what: limit(wire.limit)?,
            allowed: Amount::from_wire("quotas.allowed", wire.allowed)?,
            used: Amount::from_wire("quotas.used", wire.used)?,
            asked: Amount::from_wire("quotas.asked", wire.asked)?,
        })
    }
}

impl EffectiveLimit {
    pub(crate) fn from_wire(wire: v1::EffectiveLimit) -> Result<Self, ClientError> {
        let used = wire.used.map(|used| Amount::from_wire("limits.used", Some(used)));
        let principal = Some(wire.principal).filter(|it| !it.is_empty());
        let selector = Some(wire.selector).filter(|it| !it.is_empty());
        Ok(Self {
            what: limit(wire.limit)?,
            allowed: Amount::from_wire("limits.allowed", wire.allowed)?,
            project: project_id("limits.project", &wire.project)?,
            each_principal: wire.each_principal,
            selector: selector
                .map(|it| it.parse().map_err(ClientError::unparsed("limits.selector")))
                .transpose()?,
            used: used.transpose()?,
            principal: principal
                .map(|it| it.parse().map_err(ClientError::unparsed("limits.principal")))
                .transpose()?,
            lane: Some(wire.lane).filter(|it| !it.is_empty()),
            until: wire::instant("limits.until_time", wire.until_time)?,
        })
    }
}

impl fmt::Display for Overuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whose, what, lane, allowed, used, until } = self;
        write!(f, "{whose} has {used} of {allowed} ({what}")?;
        if let Some(lane) = lane {
            write!(f, " of {lane}")?;
        }
        write!(f, ") until {until}")
    }
}

impl fmt::Display for QuotaBlocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whose, what, allowed, used, asked } = self;
        match what {
            Limit::Rate
            | Limit::Reservations
            | Limit::Principals
            | Limit::Share
            | Limit::Budget(_) => {
                write!(f, "{whose} has used {used} of the {allowed} that it may have ({what})")
            }
            Limit::RateEach | Limit::DurationEach | Limit::Horizon => {
                write!(f, "{whose} allows {allowed}, {asked} are asked for ({what})")
            }
        }
    }
}
