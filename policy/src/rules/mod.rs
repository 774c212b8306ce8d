//! Admission rules, evaluated: conditions in a bounded part of CEL, checked before any request
//! comes, and what they decide together about one.
//!
//! [`Condition`] and [`Schema`] are for whoever has something to ask about: rules here, filters of
//! lists elsewhere. [`Rulebook`] is for the former.

mod book;
mod check;
mod condition;
mod constant;
mod facts;
mod lead;
mod schema;

pub use book::{DENIALS_MAX, Denial, FAULTS_MAX, Rulebook, Verdict};
pub use condition::{Condition, Cost, Failure};
pub use facts::{Facts, SCHEMA, SOURCES_MAX, ShapeKind, as_value as labels_as_value};
pub use schema::{Extra, Kind, Schema};

#[cfg(test)]
mod tests;
