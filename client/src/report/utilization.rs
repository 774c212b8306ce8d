//! What lanes could carry, what is booked of it and what was used, bucket by bucket.

use tidegate_policy::{BitRate, ByteCount, Selector, Span, Timestamp};
use tidegate_proto::v1;

use super::{COUNT, bucket, pages, range, seamless, selector, service, time};
use crate::connect::{Client, Page};
use crate::error::ClientError;
use crate::wire;

/// The most lanes of a page.
const PAGE: usize = 1000;

/// Which lanes, from when until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UtilizationAsk {
    /// Which lanes; `None` means all.
    pub selector: Option<Selector>,
    /// The first instant; `None` means 24 hours before the broker's now.
    pub start: Option<Timestamp>,
    /// The first instant past it, at most 400 days ahead; `None` means 24 hours after the broker's now.
    pub end: Option<Timestamp>,
    /// How long each bucket is: whole minutes that are a part of a day, or whole days. `None` lets the
    /// broker take the shortest with which there are at most 300.
    pub bucket: Option<Span>,
    /// Those of which the largest part is booked at some instant come first, instead of by name.
    pub fullest: bool,
    /// At most so many lanes.
    pub count: usize,
}

/// The utilization of lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Utilization {
    /// The lanes, in the order that was asked for.
    pub lanes: Vec<LaneUtilization>,
    /// How long each bucket is.
    pub bucket: Span,
    /// The first instant of the first bucket.
    pub start: Timestamp,
    /// The first instant past the last bucket.
    pub end: Timestamp,
    /// The broker's now: buckets that begin before it are what was recorded, later ones what is booked.
    pub now: Timestamp,
    /// How many lanes there are of those that were asked for, also beyond the count.
    pub lane_count: u64,
}

/// One lane over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneUtilization {
    /// Such as `links/spine-1/forward`.
    pub lane: String,
    /// One for each bucket of the range, in order.
    pub buckets: Vec<UtilizationBucket>,
    /// Where what was observed is not what should be.
    pub findings: Vec<Finding>,
    /// Its maintenance windows within the range.
    pub outages: Vec<Outage>,
    /// It is drained: it takes nothing new.
    pub drained: bool,
}

/// One lane in one bucket. Every rate is a mean over the bucket unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtilizationBucket {
    /// The first instant.
    pub start: Timestamp,
    /// What can be booked, less what maintenance takes, in bits per second of the lane.
    pub capacity: BitRate,
    /// What is booked, in bits per second of the lane.
    pub booked: BitRate,
    /// The most that is booked at one instant, in bits per second of the lane.
    pub peak: BitRate,
    /// The least that is free at one instant, in bits per second of the lane.
    pub headroom: BitRate,
    /// What sessions reported to have moved across it, in payload bits per second.
    pub used: BitRate,
    /// The same in payload bytes.
    pub used_bytes: ByteCount,
    /// What is booked, in bytes of the lane.
    pub booked_bytes: ByteCount,
    /// What was observed to cross it in all, in bits per second of the lane, over the part of the bucket
    /// that was observed; `None` if nothing was.
    pub observed: Option<BitRate>,
    /// Nothing is known of it: the broker was not there, or does not keep so much. What is booked
    /// ahead of now is always known.
    pub unknown: bool,
}

/// A lane that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// What was observed: of the lane, or of payload where sessions report it.
    pub observed: BitRate,
    /// What should have been, in the same unit.
    pub expected: BitRate,
    /// The first instant of what was observed.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
    /// Who observed it; `None` if it is what sessions report.
    pub observer: Option<String>,
}

/// What is wrong with a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// It was observed to carry no more than `observed`, where `expected` can be booked.
    UnderDelivery,
    /// It was observed to carry `observed`, where `expected` was booked and set aside.
    UnbookedTraffic,
    /// Sessions moved `observed` across it, where `expected` was promised to those that report.
    UnusedPromises,
    /// Something that this client does not know, by its number.
    Unknown(i32),
}

/// A time when maintenance takes some of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The first instant.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
    /// What is left of the lane then, in bits per second.
    pub left: BitRate,
}

impl Default for UtilizationAsk {
    fn default() -> Self {
        Self { selector: None, start: None, end: None, bucket: None, fullest: false, count: COUNT }
    }
}

impl Client {
    /// What lanes could carry, what is booked of it and what was used, bucket by bucket. Pages are
    /// asked for until there are as many lanes as were asked for.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] if the range or the bucket is none, or has more than 10,000 buckets;
    /// [`ClientError::BadAnswer`] if the buckets of an answer do not follow each other.
    pub async fn utilization(&self, ask: &UtilizationAsk) -> Result<Utilization, ClientError> {
        use v1::query_utilization_request::Order;
        let request = v1::QueryUtilizationRequest {
            selector: selector(ask.selector.as_ref()),
            start_time: time(ask.start),
            end_time: time(ask.end),
            bucket: ask.bucket.map(wire::to_duration),
            page_size: 0,
            page_token: String::new(),
            order: if ask.fullest { Order::Fullest } else { Order::Unspecified }.into(),
        };
        let send =
            |channel, request| async move { service(channel).query_utilization(request).await };
        let read = |page_size, page_token| {
            let request = v1::QueryUtilizationRequest { page_size, page_token, ..request.clone() };
            async move {
                let page = self.call(request, send).await?.message;
                let head = Head::from_wire(&page)?;
                let items = page.lanes.into_iter().map(|lane| head.lane(lane));
                let items = items.collect::<Result<_, _>>()?;
                Ok((Page { items, next_page_token: page.next_page_token }, head))
            }
        };
        // A later page of an answer is about the same time, or cannot be put beside it.
        let agree = |one: &Head, next: &Head| {
            (one.start, one.end, one.bucket) == (next.start, next.end, next.bucket)
        };
        let read = pages(ask.count, PAGE, read, agree).await?;
        let Head { bucket, start, end, now, lane_count } = read.head;
        Ok(Utilization { lanes: read.items, bucket, start, end, now, lane_count })
    }
}

/// What each page says beside its lanes.
#[derive(Clone, Copy)]
struct Head {
    bucket: Span,
    start: Timestamp,
    end: Timestamp,
    now: Timestamp,
    lane_count: u64,
}

impl Head {
    fn from_wire(wire: &v1::QueryUtilizationResponse) -> Result<Self, ClientError> {
        let (start, end) = range(wire.start_time, wire.end_time)?;
        Ok(Self {
            bucket: bucket(wire.bucket)?,
            start,
            end,
            now: wire::instant_required("now", wire.now)?,
            lane_count: wire::count("lane_count", wire.lane_count)?,
        })
    }

    fn lane(self, wire: v1::LaneUtilization) -> Result<LaneUtilization, ClientError> {
        let buckets = wire.buckets.into_iter().map(UtilizationBucket::from_wire);
        let buckets: Vec<_> = buckets.collect::<Result<_, _>>()?;
        seamless(buckets.iter().map(|bucket| bucket.start), self.start, self.bucket)?;
        let reached = buckets.last().map_or(self.start, |last| last.start.plus(self.bucket));
        if reached != self.end {
            let why = format!("they reach to {reached}, and not to {}", self.end);
            return Err(ClientError::bad("buckets", why));
        }
        Ok(LaneUtilization {
            lane: wire.lane,
            buckets,
            findings: wire
                .findings
                .into_iter()
                .map(Finding::from_wire)
                .collect::<Result<_, _>>()?,
            outages: wire.outages.iter().map(Outage::from_wire).collect::<Result<_, _>>()?,
            drained: wire.drained,
        })
    }
}

impl UtilizationBucket {
    fn from_wire(wire: v1::UtilizationBucket) -> Result<Self, ClientError> {
        let observed = wire.observed_bps;
        Ok(Self {
            start: wire::instant_required("buckets.start_time", wire.start_time)?,
            capacity: wire::lane_rate("buckets.capacity_bps", wire.capacity_bps)?,
            booked: wire::lane_rate("buckets.booked_bps", wire.booked_bps)?,
            peak: wire::lane_rate("buckets.peak_bps", wire.peak_bps)?,
            headroom: wire::lane_rate("buckets.headroom_bps", wire.headroom_bps)?,
            used: wire::lane_rate("buckets.used_bps", wire.used_bps)?,
            used_bytes: wire::bytes("buckets.used_bytes", wire.used_bytes)?,
            booked_bytes: wire::bytes("buckets.booked_bytes", wire.booked_bytes)?,
            observed: observed
                .map(|bps| wire::lane_rate("buckets.observed_bps", bps))
                .transpose()?,
            unknown: wire.unknown,
        })
    }
}

impl Finding {
    fn from_wire(wire: v1::Finding) -> Result<Self, ClientError> {
        use v1::finding::Kind;
        let kind = match Kind::try_from(wire.kind) {
            Ok(Kind::UnderDelivery) => FindingKind::UnderDelivery,
            Ok(Kind::UnbookedTraffic) => FindingKind::UnbookedTraffic,
            Ok(Kind::UnusedPromises) => FindingKind::UnusedPromises,
            Ok(Kind::Unspecified) | Err(_) => FindingKind::Unknown(wire.kind),
        };
        let (start, end) = range(wire.start_time, wire.end_time)?;
        Ok(Self {
            kind,
            observed: wire::lane_rate("findings.observed_bps", wire.observed_bps)?,
            expected: wire::lane_rate("findings.expected_bps", wire.expected_bps)?,
            start,
            end,
            observer: Some(wire.observer).filter(|observer| !observer.is_empty()),
        })
    }
}

impl Outage {
    fn from_wire(wire: &v1::Outage) -> Result<Self, ClientError> {
        let (start, end) = range(wire.start_time, wire.end_time)?;
        Ok(Self { start, end, left: wire::lane_rate("outages.left_bps", wire.left_bps)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds: secs, nanos: 0 })
    }

    fn bucket_at(secs: i64) -> v1::UtilizationBucket {
        v1::UtilizationBucket {
            start_time: at(secs),
            capacity_bps: 2_000_000_000_000_000,
            booked_bps: 800,
            used_bytes: 3000,
            ..Default::default()
        }
    }

    fn page(starts: &[i64], end: i64) -> v1::QueryUtilizationResponse {
        let lane = v1::LaneUtilization {
            lane: "links/a/forward".into(),
            buckets: starts.iter().map(|secs| bucket_at(*secs)).collect(),
            findings: vec![v1::Finding {
                kind: 1,
                observed_bps: 400,
                expected_bps: 900,
                start_time: at(0),
                end_time: at(60),
                observer: String::new(),
            }],
            outages: vec![v1::Outage { start_time: at(0), end_time: at(60), left_bps: 7 }],
            drained: true,
        };
        v1::QueryUtilizationResponse {
            lanes: vec![lane],
            bucket: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            start_time: at(0),
            end_time: at(end),
            now: at(90),
            lane_count: 1,
            ..Default::default()
        }
    }

    fn read(page: v1::QueryUtilizationResponse) -> Result<LaneUtilization, ClientError> {
        let head = Head::from_wire(&page)?;
        head.lane(page.lanes.into_iter().next().unwrap())
    }

    #[test]
    fn a_lane_is_read_in_rates_and_bytes() {
        let lane = read(page(&[0, 60, 120], 180)).unwrap();
        let bucket = lane.buckets[1];
        assert_eq!((bucket.start.as_ms(), bucket.booked.bps()), (60_000, 800));
        assert_eq!(bucket.capacity, BitRate::MAX, "payload and headers may be more than is said");
        assert_eq!((bucket.used_bytes.bytes(), bucket.observed), (3000, None));
        assert_eq!(lane.findings[0].kind, FindingKind::UnderDelivery);
        assert_eq!((lane.findings[0].observer.as_ref(), lane.outages[0].left.bps()), (None, 7));
        assert!(lane.drained);
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_an_error() {
        let field = |page| match read(page) {
            Err(ClientError::BadAnswer { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(page(&[0, 120], 180)), "buckets.start_time");
        assert_eq!(field(page(&[0, 60], 180)), "buckets");
        assert_eq!(field(page(&[], 60)), "buckets");
        assert_eq!(field(page(&[], -60)), "end_time");
        assert_eq!(field(v1::QueryUtilizationResponse { bucket: None, ..page(&[], 0) }), "bucket");
        let none = Some(prost_types::Duration { seconds: 0, nanos: 0 });
        assert_eq!(field(v1::QueryUtilizationResponse { bucket: none, ..page(&[], 0) }), "bucket");
        let mut negative = page(&[0], 60);
        negative.lanes[0].buckets[0].used_bytes = -1;
        assert_eq!(field(negative), "buckets.used_bytes");
        let mut negative = page(&[0], 60);
        negative.lanes[0].findings[0].observed_bps = -1;
        assert_eq!(field(negative), "findings.observed_bps");
    }
}
