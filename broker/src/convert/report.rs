//! What somebody wants a report of, every bad field of it reported at once.

use prost::Message;
use prost_types::{Duration, Timestamp as WireTimestamp};
use sha2::{Digest, Sha256};
use tidegate_policy::{Interval, Name, ProjectId, Selector, Span, Timestamp};
use tidegate_proto::v1;

use super::request::{page_size, project};
use super::{Checked, reply};
use crate::config::ReportsConfig;
use crate::fields::Fields;
use crate::filter::{Filter, Use};
use crate::reports::consumers::Group;
use crate::reports::frame::{BUCKETS_MAX, Frame, bucket_fault};
use crate::reports::grain::{DAY_MS, Grain, HOUR_MS, floor};

/// How far ahead reports look.
const AHEAD_MAX_MS: i64 = 400 * DAY_MS;
/// How far ahead forecasts look.
const FORECAST_MAX_MS: i64 = 90 * DAY_MS;
/// Past so long a forecast has days.
const FORECAST_HOURS_MAX_MS: i64 = 14 * DAY_MS;
/// The most lanes of a page of forecasts, and how many are shown if nobody says.
const FORECASTS_MAX: u32 = 100;
const FORECASTS: u32 = 10;
/// The longest name of a bottleneck, in characters.
const BOTTLENECK_MAX: usize = 255;

/// What a report is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) now: Timestamp,
    pub(crate) config: &'a ReportsConfig,
}

/// A page of a report: so many rows behind so many. Its token keeps what the first page came to, so that
/// the next ones show the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rows {
    pub(crate) size: usize,
    pub(crate) offset: usize,
    pub(crate) frame: Frame,
    digest: u64,
}

impl Rows {
    /// The token of the page behind this one, which showed so many rows; empty if those were all.
    pub(crate) fn next(&self, shown: usize, all: usize) -> String {
        let next = self.offset.saturating_add(shown);
        if all <= next || shown == 0 {
            return String::new();
        }
        let Frame { start, end, bucket } = self.frame;
        format!("report/{:016x}/{next}/{start}/{end}/{bucket}", self.digest)
    }
}

/// Tells a report from others: a token goes on in its own one only.
fn digest(message: &impl Message, rpc: &str) -> u64 {
    let mut digest = Sha256::new();
    digest.update(rpc);
    digest.update(message.encode_to_vec());
    digest.finalize().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The page that a token asks for; nothing without one.
fn token(fields: &mut Fields, text: &str, digest: u64) -> Option<Option<(usize, Frame)>> {
    if text.is_empty() {
        return Some(None);
    }
    let mut parts = text.split('/');
    let is_ours = parts.next() == Some("report");
    let of = parts.next();
    let mut number = || parts.next()?.parse::<i64>().ok();
    let numbers = (number(), number(), number(), number());
    if let (true, (Some(offset), Some(start), Some(end), Some(bucket))) = (is_ours, numbers)
        && bucket_fault(bucket).is_none()
        && start < end
        && let Ok(offset) = usize::try_from(offset)
    {
        if of != Some(format!("{digest:016x}").as_str()) {
            let why = "it is of another report; ask for that one, or begin again without it";
            fields.fault("page_token", why);
            return None;
        }
        let frame = Frame::new((start, end), bucket);
        if frame.count() <= BUCKETS_MAX.max(36_500) && (start, end) == frame.range() {
            return Some(Some((offset, frame)));
        }
    }
    fields.fault("page_token", "it is not of this report; begin again without it");
    None
}

/// The range that is asked for, or another; nothing of it lies behind `latest`.
fn range(
    fields: &mut Fields,
    (start, end): (Option<WireTimestamp>, Option<WireTimestamp>),
    (from, to): (i64, i64),
) -> Option<(i64, i64)> {
    let start = match start {
        Some(start) => fields.start("start_time", start).map(Timestamp::as_ms),
        None => Some(from),
    };
    let end = match end {
        Some(end) => fields.end("end_time", end).map(Timestamp::as_ms),
        None => Some(to),
    };
    let (start, end) = (start?, end?);
    if end <= start {
        fields
            .fault("end_time", "it is not after the start; write a later one, or an earlier start");
        return None;
    }
    Some((start, end))
}

/// A range of the past: what lies after now is cut off.
fn past(
    fields: &mut Fields,
    asked: (Option<WireTimestamp>, Option<WireTimestamp>),
    (back, now): (i64, i64),
) -> Option<(i64, i64)> {
    let (start, end) = range(fields, asked, (now.saturating_sub(back), now.saturating_add(1)))?;
    if now < start {
        fields.fault("start_time", "it is to come; this report is of the past");
        return None;
    }
    Some((start, end.min(now.saturating_add(1))))
}

fn selector(fields: &mut Fields, text: &str) -> Option<Selector> {
    let text = if text.is_empty() { "all" } else { text };
    let read = text.parse::<Selector>();
    fields.keep("selector", read)
}

/// The buckets of the past that a sum is made of.
fn summed(known: &Known<'_>, (start, end): (i64, i64), least: Grain) -> Frame {
    let now = known.now.as_ms();
    let days = end.saturating_sub(start).div_euclid(DAY_MS);
    let kept = |grain: Grain| grain.kept_from(known.config, now) <= start && least <= grain;
    let grain = match days {
        0..=1 if kept(Grain::Minute) => Grain::Minute,
        0..=90 if kept(Grain::Hour) => Grain::Hour,
        _ => Grain::Day,
    };
    // What is older than everything that is kept is not looked for.
    let start = start.max(Grain::Day.kept_from(known.config, now));
    Frame::new((start, end.max(start.saturating_add(1))), grain.ms())
}

/// Lanes over time that somebody wants to see.
#[derive(Clone, Debug)]
pub(crate) struct Utilization {
    pub(crate) selector: Selector,
    pub(crate) rows: Rows,
    pub(crate) fullest: bool,
}

pub(crate) fn utilization(
    message: &v1::QueryUtilizationRequest,
    known: &Known<'_>,
) -> Checked<Utilization> {
    let mut fields = Fields::default();
    let bare =
        v1::QueryUtilizationRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let digest = digest(&bare, "utilization");
    let selector = selector(&mut fields, &message.selector);
    let size = page_size(&mut fields, message.page_size);
    let token = token(&mut fields, &message.page_token, digest);
    let frame = match token {
        Some(Some((_, frame))) => Some(frame),
        _ => frame(&mut fields, message, known),
    };
    let order = v1::query_utilization_request::Order::try_from(message.order);
    if order.is_err() {
        fields.fault("order", "it is none that this broker knows");
    }
    let offset = token.flatten().map_or(0, |(offset, _)| offset);
    let read = (|| {
        let rows = Rows { size: size?, offset, frame: frame?, digest };
        let fullest = order.ok()? == v1::query_utilization_request::Order::Fullest;
        Some(Utilization { selector: selector?, rows, fullest })
    })();
    fields.finish(read)
}

fn frame(
    fields: &mut Fields,
    message: &v1::QueryUtilizationRequest,
    known: &Known<'_>,
) -> Option<Frame> {
    let now = known.now.as_ms();
    let around = (now.saturating_sub(DAY_MS), now.saturating_add(DAY_MS));
    let range = range(fields, (message.start_time, message.end_time), around);
    let bucket = bucket(fields, message.bucket);
    let (range, bucket) = (range?, bucket?);
    if now.saturating_add(AHEAD_MAX_MS) < range.1 {
        fields.fault("end_time", "it is more than 400 days from now; nothing is booked there");
        return None;
    }
    let kept = |grain: Grain| grain.kept_from(known.config, now) <= range.0;
    let Some(bucket) = bucket else {
        let least = Grain::ALL.into_iter().find(|grain| kept(*grain)).unwrap_or(Grain::Day);
        return few_buckets(fields, Frame::chosen(range, least));
    };
    let frame = Frame::new(range, bucket);
    if !kept(frame.grain()) && frame.grain() != Grain::Day && range.0 < now {
        let span = |ms: i64| Span::from_ms(ms.unsigned_abs()).unwrap_or(Span::MAX);
        let from = frame.grain().kept_from(known.config, now);
        let longer =
            if frame.grain() == Grain::Minute && kept(Grain::Hour) { "1h" } else { "1day" };
        fields.fault(
            "bucket",
            format!(
                "buckets of {} are kept for {}, and the range begins before; write {longer}, or a \
                 later start",
                span(frame.grain().ms()),
                span(now.saturating_sub(from)),
            ),
        );
        return None;
    }
    few_buckets(fields, frame)
}

fn few_buckets(fields: &mut Fields, frame: Frame) -> Option<Frame> {
    if frame.count() <= BUCKETS_MAX {
        return Some(frame);
    }
    let why = format!(
        "there are {} of them in the range; write longer ones or a shorter range, so that there are \
         at most {BUCKETS_MAX}",
        frame.count()
    );
    fields.fault("bucket", why);
    None
}

fn bucket(fields: &mut Fields, bucket: Option<Duration>) -> Option<Option<i64>> {
    let Some(bucket) = bucket else { return Some(None) };
    let span = fields.span("bucket", bucket)?;
    let ms = i64::try_from(span.as_ms()).ok()?;
    if let Some(why) = bucket_fault(ms) {
        fields.fault("bucket", why);
        return None;
    }
    Some(Some(ms))
}

/// Consumers that somebody wants to see.
#[derive(Clone, Debug)]
pub(crate) struct Consumers {
    /// `None` means everywhere.
    pub(crate) lanes: Option<Selector>,
    pub(crate) group: Group,
    pub(crate) order: v1::list_top_consumers_request::Order,
    pub(crate) rows: Rows,
}

pub(crate) fn consumers(
    message: &v1::ListTopConsumersRequest,
    known: &Known<'_>,
) -> Checked<Consumers> {
    use v1::list_top_consumers_request::{GroupBy, Order};
    let mut fields = Fields::default();
    let bare =
        v1::ListTopConsumersRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let digest = digest(&bare, "consumers");
    let lanes = match message.selector.as_str() {
        "" | "all" => Some(None),
        text => selector(&mut fields, text).map(Some),
    };
    let group = match GroupBy::try_from(message.group_by) {
        Ok(GroupBy::Unspecified) => Some(Group::Projects),
        Ok(GroupBy::Class) => Some(Group::Classes),
        Err(_) => {
            fields.fault("group_by", "it is none that this broker knows");
            None
        }
    };
    if let (Some(Some(_)), Some(Group::Classes)) = (&lanes, group) {
        let why = "classes are not kept apart lane by lane; leave the selector out";
        fields.fault("group_by", why);
    }
    let order = Order::try_from(message.order);
    if order.is_err() {
        fields.fault("order", "it is none that this broker knows");
    }
    let least = if matches!(lanes, Some(Some(_))) { Grain::Hour } else { Grain::Minute };
    let asked = (message.start_time, message.end_time);
    let page = (message.page_size, message.page_token.as_str(), digest);
    let rows = rows(&mut fields, (asked, least), page, known);
    let read =
        (|| Some(Consumers { lanes: lanes?, group: group?, order: order.ok()?, rows: rows? }))();
    fields.finish(read)
}

/// A page of a report about the past.
fn rows(
    fields: &mut Fields,
    (asked, least): ((Option<WireTimestamp>, Option<WireTimestamp>), Grain),
    (size, text, digest): (i32, &str, u64),
    known: &Known<'_>,
) -> Option<Rows> {
    let size = page_size(fields, size);
    let range = past(fields, asked, (DAY_MS, known.now.as_ms()));
    let token = token(fields, text, digest)?;
    let (offset, frame) = match token {
        Some((offset, frame)) => (offset, frame),
        None => (0, summed(known, range?, least)),
    };
    range?;
    Some(Rows { size: size?, offset, frame, digest })
}

/// Refusals that somebody wants to see.
#[derive(Clone, Debug)]
pub(crate) struct Refusals {
    /// `None` means all.
    pub(crate) project: Option<ProjectId>,
    pub(crate) bottleneck: String,
    pub(crate) rows: Rows,
}

pub(crate) fn refusals(
    message: &v1::AggregateRefusalsRequest,
    known: &Known<'_>,
) -> Checked<Refusals> {
    let mut fields = Fields::default();
    let bare =
        v1::AggregateRefusalsRequest { page_size: 0, page_token: String::new(), ..message.clone() };
    let digest = digest(&bare, "refusals");
    let project = any_project(&mut fields, &message.parent);
    let long = BOTTLENECK_MAX < message.bottleneck.chars().count();
    if long {
        fields.fault("bottleneck", "it is longer than 255 characters; name a lane, quota or rule");
    }
    let asked = (message.start_time, message.end_time);
    let page = (message.page_size, message.page_token.as_str(), digest);
    let rows = rows(&mut fields, (asked, Grain::Minute), page, known);
    let bottleneck = message.bottleneck.clone();
    let read = (|| Some(Refusals { project: project?, bottleneck, rows: rows? }))();
    fields.finish(read)
}

/// A project, or all of them.
fn any_project(fields: &mut Fields, parent: &str) -> Option<Option<ProjectId>> {
    match parent {
        "" | "projects/-" => Some(None),
        named => project(fields, "parent", named).map(Some),
    }
}

/// Forecasts that somebody wants to see.
#[derive(Clone, Debug)]
pub(crate) struct Forecast {
    pub(crate) selector: Selector,
    /// From the bucket of now on.
    pub(crate) rows: Rows,
}

pub(crate) fn forecast(
    message: &v1::ForecastUtilizationRequest,
    known: &Known<'_>,
) -> Checked<Forecast> {
    let mut fields = Fields::default();
    let bare = v1::ForecastUtilizationRequest {
        page_size: 0,
        page_token: String::new(),
        ..message.clone()
    };
    let digest = digest(&bare, "forecast");
    let now = known.now.as_ms();
    let selector = selector(&mut fields, &message.selector);
    let size = fields.number("page_size", message.page_size, FORECASTS_MAX);
    let size = size.map(|size| if size == 0 { FORECASTS } else { size });
    let hour = floor(now, HOUR_MS);
    let range =
        range(&mut fields, (None, message.end_time), (hour, now.saturating_add(7 * DAY_MS)));
    let bucket = bucket(&mut fields, message.bucket);
    if range.is_some_and(|(_, end)| now.saturating_add(FORECAST_MAX_MS) < end) {
        fields.fault("end_time", "it is more than 90 days from now; nobody knows");
    }
    if matches!(bucket, Some(Some(ms)) if ms != HOUR_MS && ms != DAY_MS) {
        fields.fault("bucket", "it is neither an hour nor a day; write 1h or 1day");
    }
    let token = token(&mut fields, &message.page_token, digest);
    let read = (|| {
        let (range, bucket) = (range?, bucket?);
        let short = range.1.saturating_sub(now) <= FORECAST_HOURS_MAX_MS;
        let bucket = bucket.unwrap_or(if short { HOUR_MS } else { DAY_MS });
        let (offset, frame) = token?.unwrap_or((0, Frame::new(range, bucket)));
        let rows = Rows { size: usize::try_from(size?).ok()?, offset, frame, digest };
        Some(Forecast { selector: selector?, rows })
    })();
    fields.finish(read)
}

/// A statement that somebody wants to see.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) project: ProjectId,
    pub(crate) own_only: bool,
    pub(crate) frame: Frame,
}

pub(crate) fn statement(
    message: &v1::GetUsageStatementRequest,
    known: &Known<'_>,
) -> Checked<Statement> {
    let mut fields = Fields::default();
    let project = fields.named::<Name>("name", "projects", &message.name).map(ProjectId);
    let asked = (message.start_time, message.end_time);
    let range = past(&mut fields, asked, (30 * DAY_MS, known.now.as_ms()));
    let own_only = message.own_only;
    let read = (|| {
        let range = range?;
        let short = range.1.saturating_sub(range.0) <= 3 * DAY_MS;
        let kept = Grain::Hour.kept_from(known.config, known.now.as_ms()) <= range.0;
        let grain = if short && kept { Grain::Hour } else { Grain::Day };
        let start = range.0.max(Grain::Day.kept_from(known.config, known.now.as_ms()));
        let frame = Frame::new((start, range.1.max(start.saturating_add(1))), grain.ms());
        Some(Statement { project: project?, own_only, frame })
    })();
    fields.finish(read)
}

/// Reservations that somebody wants as a file.
#[derive(Debug)]
pub(crate) struct Export {
    /// `None` means all.
    pub(crate) project: Option<ProjectId>,
    pub(crate) over: Interval,
    pub(crate) csv: bool,
    pub(crate) filter: Option<Filter>,
}

pub(crate) fn export(
    message: &v1::ExportReservationsRequest,
    known: &Known<'_>,
) -> Checked<Export> {
    use v1::export_reservations_request::Format;
    let mut fields = Fields::default();
    let now = known.now.as_ms();
    let project = any_project(&mut fields, &message.parent);
    let around = (now.saturating_sub(DAY_MS), now.saturating_add(1));
    let range = range(&mut fields, (message.start_time, message.end_time), around);
    let format = Format::try_from(message.format);
    if format.is_err() {
        fields.fault("format", "it is none that this broker knows");
    }
    let filter = match message.filter.as_str() {
        "" => Some(None),
        text => {
            let parsed = Filter::parse(text, Use::List);
            parsed.map(Some).map_err(|why| fields.fault("filter", why)).ok()
        }
    };
    let read = (|| {
        let (start, end) = range?;
        let over = crate::reports::grain::interval(start, end)?;
        let csv = format.ok()? == Format::Csv;
        Some(Export { project: project?, over, csv, filter: filter? })
    })();
    fields.finish(read)
}

/// How long the buckets of a frame are, as the wire has it.
pub(crate) fn bucket_of(frame: &Frame) -> Duration {
    reply::duration(Span::from_ms(frame.bucket.unsigned_abs()).unwrap_or(Span::MAX))
}

/// A frame as the wire has it.
pub(crate) fn bounds(frame: &Frame) -> (Option<WireTimestamp>, Option<WireTimestamp>) {
    (Some(reply::time(frame.starts())), Some(reply::time(frame.ends())))
}
