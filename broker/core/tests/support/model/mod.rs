//! The naive model: plain lists, everything recomputed from them on each question, and a driver
//! that puts the same random commands to it and to the machine.

mod asks;
mod changes;
pub(crate) mod driver;
mod generate;
mod labels;
mod load;
mod net;
mod network;
mod oracle;
mod rng;
mod steps;
mod wishes;
