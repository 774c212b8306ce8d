//! What no answer can be given to: the request itself is wrong, or comes at the wrong time.
//!
//! A request that another state of ledger or topology could satisfy is no fault but a
//! [`crate::Refusal`].

use std::fmt;

use tidegate_policy::{ClassId, ProjectId, RequestId, ReservationId, SessionId, Span, Timestamp};

use crate::lane::LaneName;
use crate::losses::Losses;
use crate::policy::Overuse;
use crate::reservation::State;
use crate::topology::PathFault;

/// Why a command was not carried out. Nothing has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Fields that can never be right; all of them.
    Invalid(Vec<FieldFault>),
    /// Something that it names does not exist.
    NotFound {
        /// What, by its full name.
        what: String,
    },
    /// The request id was used for another body.
    RequestReused(RequestId),
    /// The request id is not of the last minutes, so it cannot be told whether it was carried
    /// out before.
    RequestOutOfWindow {
        /// The id.
        id: RequestId,
        /// How far from now it may be made.
        window: Span,
    },
    /// The reservation is in a state that does not allow the step.
    IllegalStep {
        /// Which reservation.
        id: ReservationId,
        /// The step.
        step: &'static str,
        /// The state.
        state: State,
    },
    /// The reservation was changed since its asker last saw it.
    Stale {
        /// Which reservation.
        id: ReservationId,
        /// Its present revision.
        revision: u64,
    },
    /// The session has ended.
    SessionEnded(SessionId),
    /// The reservation is not bound to the session that claims to hold it.
    NotHolder {
        /// Which reservation.
        id: ReservationId,
        /// The session.
        session: SessionId,
    },
    /// The change would take away what is promised.
    LanesInUse {
        /// On these lanes.
        lanes: Vec<LaneInUse>,
        /// To these reservations.
        losses: Losses,
    },
    /// The policy was changed since its asker last saw it.
    StalePolicy {
        /// Its present version.
        version: u64,
    },
    /// The project has live reservations of its own.
    ProjectInUse {
        /// Which.
        project: ProjectId,
        /// How many.
        live: usize,
    },
    /// The class has live reservations.
    ClassInUse {
        /// Which.
        class: ClassId,
        /// How many.
        live: usize,
    },
    /// The change would take quotas below what is used.
    QuotasInUse(Vec<Overuse>),
    /// A bound on what the broker keeps is reached.
    Full {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// One of several requests is why none of them was carried out.
    Within {
        /// Which, such as `requests[3]`.
        part: String,
        /// What is wrong with it.
        fault: Box<Fault>,
    },
}

impl Fault {
    /// The fault as one of a part of what was asked, such as `requests[3]`.
    #[must_use]
    pub(crate) fn within(self, part: &str) -> Self {
        if matches!(self, Self::Invalid(_)) {
            return self.fields_within(part);
        }
        Self::Within { part: part.into(), fault: Box::new(self) }
    }

    /// The same with its fields named as those of a part of what was asked, such as `request`.
    #[must_use]
    pub fn fields_within(self, part: &str) -> Self {
        let inside =
            |fault: FieldFault| FieldFault::new(format!("{part}.{}", fault.field), fault.why);
        if let Self::Invalid(fields) = self {
            return Self::Invalid(fields.into_iter().map(inside).collect());
        }
        self
    }
}

/// A field that can never be right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldFault {
    /// Its path, such as `rigid.start_time` or `topology.links[3].to`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl FieldFault {
    /// A fault of one field.
    #[must_use]
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

/// A lane on which more is promised than a change would leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneInUse {
    /// The lane.
    pub lane: LaneName,
    /// What the change would leave at the instant at which most is missing, in bits per second.
    pub capacity: u64,
    /// What is promised at that instant, in bits per second.
    pub promised: u64,
    /// When the last promise ends.
    pub until: Timestamp,
}

impl From<PathFault> for Fault {
    fn from(fault: PathFault) -> Self {
        match fault {
            PathFault::Unknown(what) => Self::NotFound { what },
            PathFault::NotServed { storage, served_via } => {
                let names: Vec<String> =
                    served_via.iter().map(|host| format!("hosts/{host}")).collect();
                let why = format!("{storage} is served via {}; name one of them", names.join(", "));
                Self::Invalid(vec![FieldFault::new("via", why)])
            }
            PathFault::Disconnected => Self::Invalid(Vec::new()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(fields) => {
                let lines: Vec<String> =
                    fields.iter().map(|fault| format!("{}: {}", fault.field, fault.why)).collect();
                write!(f, "{}", lines.join("; "))
            }
            Self::NotFound { what } => {
                write!(f, "{what} does not exist; list what does, or check the spelling")
            }
            Self::RequestReused(id) => {
                write!(f, "request id {id} was used for another request; make a new id")
            }
            Self::RequestOutOfWindow { id, window } => write!(
                f,
                "request id {id} was not made within {window} of the broker's now, so it cannot be \
                 told whether it was carried out before; look, then ask with a new UUIDv7 id, and \
                 check this machine's clock"
            ),
            Self::IllegalStep { id, step, state } => {
                write!(f, "cannot {step} reservation {id}: {}", explain(state))
            }
            Self::Stale { id, revision } => write!(
                f,
                "reservation {id} was changed since it was read: its etag is {revision} now; read \
                 it again and repeat what you want to change"
            ),
            Self::SessionEnded(id) => {
                write!(f, "session {id} has ended; open a new one and reserve again")
            }
            Self::NotHolder { id, session } => write!(
                f,
                "reservation {id} is not bound to session {session}; leave the session out to \
                 do this as somebody else"
            ),
            Self::LanesInUse { lanes, losses } => write!(f, "{}", in_use(lanes, losses)),
            Self::StalePolicy { version } => write!(
                f,
                "the policy was changed since it was read: its version is {version} now; read it \
                 again and repeat what you want to change"
            ),
            Self::ProjectInUse { project, live } => write!(
                f,
                "projects/{project} is in use, live reservations: {live}; release them or wait \
                 until they have ended"
            ),
            Self::ClassInUse { class, live } => write!(
                f,
                "classes/{class} is in use, live reservations: {live}; release them or wait until \
                 they have ended"
            ),
            Self::QuotasInUse(overuses) => write!(f, "{}", overused(overuses)),
            Self::Full { what, limit } => {
                write!(f, "the broker keeps at most {limit} {what}; wait until some have ended")
            }
            Self::Within { part, fault } => write!(f, "{part}: {fault}"),
        }
    }
}

impl std::error::Error for Fault {}

fn explain(state: &State) -> String {
    match state {
        State::Held { until } => format!("it is held until {until}"),
        State::Confirmed => "it is confirmed already".into(),
        State::Closed { why, at, .. } => {
            format!("it was closed at {at} ({why}); reserve again")
        }
    }
}

/// How many lanes in use an error names one by one.
const NAMED_MAX: usize = 8;

fn overused(overuses: &[Overuse]) -> String {
    let named: Vec<String> = overuses.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = match overuses.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!(
        "quotas would be below what is used: {}{more}; nobody would lose anything, but nothing more \
         would be granted until then: ignore the safety checks if that is meant",
        named.join("; ")
    )
}

fn in_use(lanes: &[LaneInUse], losses: &Losses) -> String {
    let mut text = String::from("the change would break promises: ");
    let named: Vec<String> = lanes
        .iter()
        .take(NAMED_MAX)
        .map(|lane| {
            format!(
                "{} would keep {} bit/s of {} bit/s promised until {}",
                lane.lane, lane.capacity, lane.promised, lane.until
            )
        })
        .collect();
    text.push_str(&named.join("; "));
    if NAMED_MAX < lanes.len() {
        text.push_str(&format!("; and {} more", lanes.len().saturating_sub(NAMED_MAX)));
    }
    text.push_str(&format!(
        "; {losses}; release those reservations first, wait until they end, or accept that they \
         are lost"
    ));
    text
}
