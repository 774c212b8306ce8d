//! What was promised, what was moved of it, what was refused, and what is to come.
//!
//! Ranges are half-open; an absent start or end means what the broker says by default, counted from
//! its own now. What is behind now was recorded, what is ahead of it is booked. Bytes and rates *used*
//! are payload, as sessions report it; rates *booked* and capacities are of the lane, headers included.
//!
//! ```no_run
//! use tidegate_client::report::UtilizationAsk;
//! use tidegate_client::{Client, ClientError};
//!
//! # async fn run(client: Client) -> Result<(), ClientError> {
//! let ask = UtilizationAsk { fullest: true, count: 3, ..UtilizationAsk::default() };
//! for lane in client.utilization(&ask).await?.lanes {
//!     let highest = lane.buckets.iter().map(|bucket| bucket.peak).max();
//!     println!("{} {highest:?}", lane.lane);
//! }
//! # Ok(())
//! # }
//! ```

mod consumers;
mod export;
mod forecast;
mod observation;
mod refusals;
mod statement;
mod utilization;

use std::future::Future;

use tidegate_policy::{ProjectId, Selector, Span, Timestamp};
use tidegate_proto::v1::report_service_client::ReportServiceClient;
use tonic::transport::Channel;

use crate::connect::Page;
use crate::error::ClientError;
use crate::wire;

pub use consumers::{
    Consumer, ConsumerName, ConsumerOrder, Consumers, ConsumersAsk, Consumption, GroupBy,
};
pub use export::{ExportAsk, ExportFormat, ExportPiece, Exported};
pub use forecast::{Basis, Forecast, ForecastAsk, ForecastBucket, LaneForecast};
pub use observation::Observation;
pub use refusals::{RefusalGroup, Refusals, RefusalsAsk};
pub use statement::{Statement, StatementAsk, StatementPeriod};
pub use utilization::{
    Finding, FindingKind, LaneUtilization, Outage, Utilization, UtilizationAsk, UtilizationBucket,
};

/// The largest answer, in bytes: a page of utilization has up to 50,000 buckets.
const ANSWER_MAX: usize = 64 << 20;

/// What is asked for where nobody says how much.
const COUNT: usize = 100;

fn service(channel: Channel) -> ReportServiceClient<Channel> {
    ReportServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX)
}

/// All that the pages of an answer say.
struct Read<T, H> {
    items: Vec<T>,
    /// There are more items.
    more: bool,
    /// What the first page says beside its items.
    head: H,
}

/// At most `count` items, page by page. `read` is told how many may be on its page, and the token of it;
/// what pages say beside their items has to agree.
async fn pages<T, H: Clone, F>(
    count: usize,
    page_max: usize,
    mut read: impl FnMut(i32, String) -> F,
    agree: impl Fn(&H, &H) -> bool,
) -> Result<Read<T, H>, ClientError>
where
    F: Future<Output = Result<(Page<T>, H), ClientError>>,
{
    let (mut all, mut first, mut token) = (Vec::new(), None, String::new());
    loop {
        let left = count.saturating_sub(all.len()).clamp(1, page_max);
        let (page, head) = read(i32::try_from(left).unwrap_or(i32::MAX), token.clone()).await?;
        let Page { items, next_page_token: next } = page;
        // A page that brings nothing and promises more, or asks for itself, would keep this alive.
        if !next.is_empty() && (items.is_empty() || next == token) {
            return Err(ClientError::bad("next_page_token", "it leads nowhere"));
        }
        let first_head = first.get_or_insert_with(|| head.clone());
        if !agree(first_head, &head) {
            return Err(ClientError::bad("start_time", "it is not that of the page before"));
        }
        all.extend(items);
        let cut = count < all.len();
        all.truncate(count);
        if next.is_empty() || count <= all.len() {
            return Ok(Read {
                items: all,
                more: cut || !next.is_empty(),
                head: first.unwrap_or(head),
            });
        }
        token = next;
    }
}

fn selector(selector: Option<&Selector>) -> String {
    selector.map(ToString::to_string).unwrap_or_default()
}

fn time(time: Option<Timestamp>) -> Option<prost_types::Timestamp> {
    time.map(wire::to_timestamp)
}

/// `projects/{project}`; `None` where it was not kept apart.
fn project(field: &'static str, name: &str) -> Result<Option<ProjectId>, ClientError> {
    match name.strip_prefix("projects/") {
        Some("-") => Ok(None),
        Some(id) => id.parse().map(|id| Some(ProjectId(id))).map_err(ClientError::unparsed(field)),
        None => Err(ClientError::bad(field, format!("{name:?} is not projects/PROJECT"))),
    }
}

/// A length of time that is longer than none.
fn bucket(span: Option<prost_types::Duration>) -> Result<Span, ClientError> {
    let length = wire::length("bucket", span)?;
    let ms = u64::try_from(length.as_millis()).ok().and_then(Span::from_ms);
    let span = ms.ok_or_else(|| ClientError::bad("bucket", "it is longer than 400 days"))?;
    if span == Span::ZERO {
        Err(ClientError::bad("bucket", "it is no time at all"))
    } else {
        Ok(span)
    }
}

/// A start and an end, in this order.
fn range(
    start: Option<prost_types::Timestamp>,
    end: Option<prost_types::Timestamp>,
) -> Result<(Timestamp, Timestamp), ClientError> {
    let start = wire::instant_required("start_time", start)?;
    let end = wire::instant_required("end_time", end)?;
    if end < start {
        return Err(ClientError::bad("end_time", "it lies before the start"));
    }
    Ok((start, end))
}

/// That each of `starts` begins where the one before it ends.
fn seamless(
    starts: impl Iterator<Item = Timestamp>,
    first: Timestamp,
    bucket: Span,
) -> Result<(), ClientError> {
    let mut expected = first;
    for start in starts {
        if start != expected {
            let why = format!("one begins at {start} where {expected} was expected");
            return Err(ClientError::bad("buckets.start_time", why));
        }
        expected = start.plus(bucket);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(items: &[u32], next: &str) -> Page<u32> {
        Page { items: items.to_vec(), next_page_token: next.into() }
    }

    #[tokio::test]
    async fn pages_are_read_until_there_are_enough() {
        let read = |count: usize| async move {
            let mut asked = Vec::new();
            let read = |size, token: String| {
                asked.push((size, token.clone()));
                let answer = match token.as_str() {
                    "" => page(&[1, 2], "a"),
                    "a" => page(&[3, 4, 5], "b"),
                    _ => page(&[6], ""),
                };
                async move { Ok((answer, size)) }
            };
            let found = pages(count, 3, read, |_, _| true).await.unwrap();
            assert_eq!(found.head, 3, "that of the first page");
            ((found.items, found.more), asked)
        };
        let ((all, more), asked) = read(100).await;
        assert_eq!((all, more), (vec![1, 2, 3, 4, 5, 6], false));
        assert_eq!(asked, [(3, "".into()), (3, "a".into()), (3, "b".into())]);
        let ((some, more), asked) = read(4).await;
        assert_eq!((some, more), (vec![1, 2, 3, 4], true));
        assert_eq!(asked, [(3, "".into()), (2, "a".into())]);
    }

    #[tokio::test]
    async fn a_page_that_leads_nowhere_is_an_error() {
        for answer in [page(&[], "a"), page(&[1], "")] {
            let read = |_, _| {
                let answer = answer.clone();
                async move { Ok((answer, ())) }
            };
            let stuck = pages(9, 9, read, |(), ()| true).await;
            assert_eq!(stuck.is_err(), answer.items.is_empty());
        }
        let same = pages(9, 9, |_, _| async { Ok((page(&[1], "a"), ())) }, |(), ()| true).await;
        assert!(matches!(same, Err(ClientError::BadAnswer { field: "next_page_token", .. })));
        let read = |_, token: String| async move { Ok((page(&[1], &format!("{token}a")), token)) };
        let other = pages(9, 9, read, |one, next| one == next).await;
        assert!(matches!(other, Err(ClientError::BadAnswer { field: "start_time", .. })));
    }

    #[test]
    fn buckets_follow_each_other() {
        let at = |ms| Timestamp::from_ms(ms).unwrap();
        let minute = Span::from_secs(60);
        let right = [at(0), at(60_000), at(120_000)];
        assert!(seamless(right.into_iter(), at(0), minute).is_ok());
        assert!(seamless(right.into_iter(), at(1), minute).is_err());
        assert!(seamless([at(0), at(120_000)].into_iter(), at(0), minute).is_err());
    }
}
