//! Reports: what was promised, used and refused, in buckets of minutes, hours and days.
//!
//! - [`fact`] is what is told, in the order in which it is published;
//! - [`book`] adds it up, exactly, with [`minutes`], [`observed`] and [`refused`]; it knows no clock and
//!   no file;
//! - [`keeper`] is the thread that drives it, [`store`] the database, and [`look`] what both say at one
//!   instant;
//! - [`frame`] is the time that a report looks at, [`utilization`] and [`consumers`] what it says of the past,
//!   [`forecast`] and [`outlook`] what it says of the future;
//! - [`grain`], [`cell`], [`names`] and [`varint`] are how numbers are kept.

pub(crate) mod book;
pub(crate) mod cell;
pub(crate) mod consumers;
pub(crate) mod export;
pub(crate) mod fact;
pub(crate) mod forecast;
pub(crate) mod frame;
pub(crate) mod grain;
pub(crate) mod keeper;
pub(crate) mod look;
pub(crate) mod minutes;
pub(crate) mod names;
pub(crate) mod observed;
pub(crate) mod outlook;
pub(crate) mod refused;
pub(crate) mod store;
pub(crate) mod utilization;
pub(crate) mod varint;

use prost_types::Timestamp as WireTimestamp;
use tidegate_core::Machine;
use tidegate_policy::{ByteCount, Timestamp};

use crate::config::{Config, JournalPlace};
use crate::convert::reply;

use book::Book;
pub use store::ReportsError;
use store::Store;

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;

/// An instant as the wire has it.
pub(crate) fn time(ms: i64) -> Option<WireTimestamp> {
    Timestamp::from_ms(ms).map(reply::time)
}

/// Bits times milliseconds per second as a mean rate over so many milliseconds, in bits per second.
fn mean(sum: u128, ms: i64) -> u64 {
    let mean = sum.checked_div(ms.unsigned_abs().into()).unwrap_or(0);
    u64::try_from(mean).unwrap_or(u64::MAX)
}

/// Bits times milliseconds per second as whole bytes; never less than none.
fn bytes(sum: i128) -> i64 {
    i64::try_from(sum.max(0).div_euclid(8000)).unwrap_or(i64::MAX)
}

/// Opens the reports of a broker, and gives what they know of bytes back to its machine.
pub(crate) fn open(
    config: &Config,
    machine: &mut Machine,
    now: Timestamp,
) -> Result<(Store, Book), ReportsError> {
    let store = Store::open(match &config.journal {
        JournalPlace::Memory => None,
        JournalPlace::Directory(dir) => Some(dir),
    })?;
    let book = Book::new(store.kept()?, now);
    let heard = book.counted().map(|(id, bytes)| (id, ByteCount::new(bytes)));
    machine.resume_used(now, heard);
    Ok((store, book))
}
