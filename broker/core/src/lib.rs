//! The decision of Tidegate, a function: who gets which rate on which lanes, and when.
//!
//! [`Machine::decide`] looks at the state, the time and a [`Command`], and answers with events or
//! a [`Fault`]; it changes nothing. [`Machine::apply`] takes an event and cannot refuse; replaying
//! a journal is that one line in a loop. Time, identifiers and randomness are arguments.
//!
//! What is absent here is the point: no clock, no I/O, no async, no threads, no randomness, no
//! floats, no hash order, no logging, and no crate but the words.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::integer_division,
        clippy::float_arithmetic,
        clippy::wildcard_enum_match_arm
    )
)]

pub mod audit;
pub mod command;
pub mod event;
pub mod fault;
mod ids;
pub mod image;
pub mod lane;
pub mod losses;
pub mod machine;
pub mod maintenance;
pub mod owner;
pub mod plan;
mod planner;
pub mod policy;
pub mod promise;
pub mod refusal;
pub mod rehearsal;
pub mod reservation;
pub mod session;
pub mod timeline;
pub mod topology;

pub use command::{Ask, Batch, Command, Modify, Release, Request, Shape, Target, Until, Ways};
pub use event::{
    Change, CloseWhy, Corrupt, Event, Kept, Modified, MoveWhy, Moved, Reserved, Route,
};
pub use fault::{Fault, FieldFault};
pub use image::Image;
pub use lane::Terms;
pub use losses::{Losses, Move, Victim};
pub use machine::{Answer, Decision, Limits, LiveRate, Machine, Note, Obeyed, Outcome, Stamp};
pub use maintenance::{Maintenance, MaintenanceAsk};
pub use owner::{Account, Owner};
pub use plan::{Plan, PlanWay, Segment};
pub use policy::{Changed, Edit, Overuse, PolicyAsk, PolicyChanges, Whose};
pub use promise::{PRIORITY_MAX, Promise, Promised, Standing};
pub use refusal::{Blocker, CounterOffer, OfferKind, QuotaBlocker, Reason, Refusal, RuleBlocker};
pub use reservation::{LastMove, Phase, Reservation, State};
pub use session::{Session, SessionState};
pub use timeline::Timeline;
pub use topology::{Topology, TopologySpec};
