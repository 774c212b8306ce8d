//! A request as it is followed through the house: a span from the port to its last byte, what was decided
//! of it, and the append that made it durable. Nothing is gathered that nobody listens to.
//!
//! Spans carry identifiers, numbers and words of a fixed list. What callers write, such as labels and the
//! texts of rules, goes into no line. Numbers have a sign: a collector gets others as text.

pub(crate) mod append;
pub(crate) mod calls;
pub(crate) mod decision;
mod parent;
