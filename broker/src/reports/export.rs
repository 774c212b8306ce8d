//! Reservations as lines of a file: those that are over from what was kept, the others from the ledger.

use std::collections::BTreeSet;

use tidegate_core::{Machine, Reservation};
use tidegate_policy::{Interval, ReservationId, Timestamp};
use tidegate_proto::v1;
use tonic::Status;

use crate::convert::reply::ms;
use crate::convert::report::Export;
use crate::convert::{policy, reply};
use crate::json::{self, Defaults};

/// The names of the columns.
const COLUMNS: [&str; 17] = [
    "name",
    "state",
    "close_reason",
    "class",
    "principal",
    "source",
    "destination",
    "rate_bps",
    "volume_bytes",
    "start_time",
    "end_time",
    "create_time",
    "close_time",
    "session",
    "promised_bytes",
    "used_bytes",
    "lanes",
];

/// Writes reservations.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    export: &'a Export,
    bytes: Vec<u8>,
    count: i64,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(export: &'a Export) -> Self {
        Self { export, bytes: Vec::new(), count: 0 }
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What waits, as a piece of the file.
    pub(crate) fn take(&mut self) -> v1::ExportReservationsResponse {
        let (data, reservation_count) = (std::mem::take(&mut self.bytes), self.count);
        self.count = 0;
        v1::ExportReservationsResponse { data, reservation_count }
    }

    /// Adds a reservation, if it is one of those that are asked for.
    pub(crate) fn add(&mut self, it: &v1::Reservation) -> Result<(), Status> {
        let project = self.export.project.as_ref().map(policy::name);
        let is_of = |project: &String| it.name.starts_with(&format!("{project}/"));
        let meets = self.export.filter.as_ref().is_none_or(|filter| filter.holds(it));
        if !project.as_ref().is_none_or(is_of) || !is_within(it, self.export.over) || !meets {
            return Ok(());
        }
        self.count = self.count.saturating_add(1);
        if self.export.csv {
            return self.row(it);
        }
        self.bytes.extend(json::text("Reservation", it, Defaults::LeftOut)?);
        self.bytes.push(b'\n');
        Ok(())
    }

    /// The line of names, if there is one.
    pub(crate) fn head(&mut self) -> Result<(), Status> {
        if self.export.csv {
            return self.write(COLUMNS.map(ToOwned::to_owned));
        }
        Ok(())
    }

    fn row(&mut self, it: &v1::Reservation) -> Result<(), Status> {
        let lanes: Vec<_> = it.bookings.iter().map(|booking| booking.lane.as_str()).collect();
        let volume = match it.promise.as_ref() {
            Some(v1::reservation::Promise::Transfer(transfer)) => transfer.volume_bytes.to_string(),
            Some(v1::reservation::Promise::Flexible(_)) | None => String::new(),
        };
        self.write([
            it.name.clone(),
            short(it.state().as_str_name(), "STATE_"),
            short(it.close_reason().as_str_name(), "CLOSE_REASON_"),
            it.class.clone(),
            it.principal.clone(),
            it.source.clone(),
            it.destination.clone(),
            it.rate_bps.to_string(),
            volume,
            when(it.start_time.as_ref()),
            when(it.end_time.as_ref()),
            when(it.create_time.as_ref()),
            when(it.close_time.as_ref()),
            it.session.clone(),
            promised(it).to_string(),
            it.used_bytes.to_string(),
            lanes.join(" "),
        ])
    }

    fn write(&mut self, row: [String; COLUMNS.len()]) -> Result<(), Status> {
        let mut writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .from_writer(&mut self.bytes);
        let written = writer.write_record(row);
        let flushed = written.and_then(|()| writer.flush().map_err(csv::Error::from));
        flushed.map_err(|error| Status::internal(format!("a line cannot be written: {error}")))
    }
}

/// The next reservations of the ledger that were not seen among those that are over.
pub(crate) fn left(
    machine: &Machine,
    (after, most): (Option<ReservationId>, usize),
    (now, seen): (Timestamp, &BTreeSet<u128>),
) -> (Option<ReservationId>, Vec<v1::Reservation>) {
    let found: Vec<&Reservation> = machine.reservations(after).take(most).collect();
    let last = found.last().map(|last| last.id);
    let left = found.into_iter().filter(|found| !seen.contains(&found.id.as_u128()));
    let shown = left.map(|found| reply::reservation(found, now, machine.used(found.id)));
    (last, shown.collect())
}

/// What its plan carries until it is over, in payload bytes.
fn promised(it: &v1::Reservation) -> u128 {
    let closed = it.close_time.as_ref().map_or(i64::MAX, ms);
    let part = |segment: &v1::Segment| {
        let start = segment.start_time.as_ref().map_or(0, ms);
        let end = segment.end_time.as_ref().map_or(0, ms).min(closed);
        let span = end.saturating_sub(start).max(0).unsigned_abs();
        u128::from(segment.rate_bps.max(0).unsigned_abs()).saturating_mul(span.into())
    };
    it.segments.iter().map(part).sum::<u128>().div_euclid(8000)
}

/// Whether it was to be booked at some instant of an interval.
fn is_within(it: &v1::Reservation, over: Interval) -> bool {
    let start = it.start_time.as_ref().map_or(0, ms);
    let end = it.close_time.as_ref().or(it.end_time.as_ref()).map_or(0, ms);
    start < over.end().as_ms() && over.start().as_ms() < end.max(start.saturating_add(1))
}

/// An instant of RFC 3339, in UTC.
fn when(time: Option<&prost_types::Timestamp>) -> String {
    let at = time.and_then(|time| Timestamp::from_ms(ms(time)));
    at.map(|at| at.to_string()).unwrap_or_default()
}

fn short(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix) {
        Some("UNSPECIFIED") | None => String::new(),
        Some(word) => word.to_owned(),
    }
}
