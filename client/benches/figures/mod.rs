//! What all benchmarks print alike: figures with their goals, and how busy the machine was.
//!
//! A part of each of them by `#[path]`: a benchmark of one crate has no other crate to have it from.

#![allow(unreachable_pub, reason = "public in a library, private in a benchmark")]
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::cast_precision_loss, reason = "figures are for people")]

pub mod machine;
pub mod report;
