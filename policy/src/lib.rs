//! The words of Tidegate and their rules: rates, sizes, time, intervals, names, projects, quotas and
//! admission rules.
//!
//! This crate is the bottom of everything. It knows no clock, no wire, no file and no thread:
//! text and numbers come in as arguments, checked values or one precise [`ParseError`] go out.

pub mod endpoint;
pub mod error;
pub mod ids;
pub mod mark;
pub mod project;
pub mod resource;
pub mod rule;
#[cfg(feature = "rules")]
pub mod rules;
pub mod time;
pub mod units;

mod decimal;

pub use endpoint::Endpoint;
pub use error::ParseError;
pub use ids::{
    ClassId, MaintenanceId, Name, ProjectId, RequestId, ReservationId, RuleId, SessionId,
};
pub use mark::{Mark, MarkKind};
pub use project::{Limit, Project, ProjectFault, Projects, Quota};
pub use resource::Resource;
pub use rule::{Effect, Rule, RuleFault};
pub use time::{Interval, Span, TimeText, Timestamp};
pub use units::{BitRate, ByteCount};
