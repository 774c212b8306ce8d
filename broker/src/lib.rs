//! The shell around the core: one port, one writer, one journal.
//!
//! A request goes one way through the house: `rpc` checks it by `convert`, `writer` stamps it and
//! lets the core decide, `recorder` makes the events durable and publishes them to `view`, and
//! only then the reply is formed. Reads are answered from `view` alone.

pub mod audit;
pub mod backup;
pub mod config;
pub mod durable;
pub mod journal;
pub mod past;
pub mod replay;
pub mod service;
pub mod snapshots;

mod broker;
mod changes;
mod clock;
mod convert;
mod deadline;
mod effort;
mod fields;
mod filter;
mod history;
mod json;
mod meters;
mod pokes;
mod recorder;
mod reports;
mod rpc;
mod scope;
mod serve;
mod status;
mod trace;
mod view;
mod watch;
mod web;
mod writer;

pub use broker::{Broker, RunError, StartError};
pub use config::Config;
pub use recorder::RecorderError;
pub use reports::ReportsError;

/// What decides who may send until when, as values and functions of time: what the tests drive in
/// virtual time. No part of the interface.
#[doc(hidden)]
pub mod law {
    pub use crate::clock::Steady;
    pub use crate::convert::reply::{reservation, session};
    pub use crate::convert::request::{Beat, Usage};
    pub use crate::writer::{Beaten, Heard, hear};
}
