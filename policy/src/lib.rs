//! The words of Tidegate and their rules: rates, sizes, time, calendars, names, projects, quotas,
//! classes and admission rules.
//!
//! This crate is the bottom of everything. It knows no clock, no wire, no file and no thread:
//! text and numbers come in as arguments, checked values or one precise [`ParseError`] go out.

pub mod calendar;
pub mod class;
pub mod endpoint;
pub mod error;
pub mod fair;
pub mod ids;
pub mod mark;
pub mod project;
pub mod resource;
pub mod rule;
#[cfg(feature = "rules")]
pub mod rules;
pub mod share;
pub mod spill;
pub mod time;
pub mod units;

mod decimal;

pub use calendar::{Period, Profile, TimeOfDay, Weekdays, Weekly, Zone};
pub use class::{Class, ClassFault, Classes, Headroom, Overcommit};
pub use endpoint::Endpoint;
pub use error::ParseError;
pub use ids::{
    ClassId, MaintenanceId, Name, Principal, ProjectId, RequestId, ReservationId, RuleId, SessionId,
};
pub use mark::{Mark, MarkKind};
pub use project::{Budget, Each, Limit, Project, ProjectFault, Projects, Quota};
pub use resource::Resource;
pub use rule::{Effect, Rule, RuleFault};
pub use share::{Part, Selector, Share};
pub use time::{Interval, Span, TimeText, Timestamp};
pub use units::{BitRate, ByteCount};
