//! How much of a lane is likely to be booked, and when it will be full.

use tidegate_policy::{BitRate, Selector, Span, Timestamp};
use tidegate_proto::v1;

use super::{bucket, pages, seamless, selector, service, time};
use crate::connect::{Client, Page};
use crate::error::ClientError;
use crate::wire;

/// The most lanes of a page, and how many there are if nobody says.
const PAGE: usize = 100;
const COUNT: usize = 10;

/// Which lanes, until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForecastAsk {
    /// Which lanes; `None` means all.
    pub selector: Option<Selector>,
    /// The first instant past the forecast, at most 90 days ahead; `None` means 7 days.
    pub end: Option<Timestamp>,
    /// How long each bucket is: an hour or a day. `None` means an hour up to 14 days, else a day.
    pub bucket: Option<Span>,
    /// At most so many lanes: those that run full soonest, then those that get fullest.
    pub count: usize,
}

/// The future of lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Those that run full soonest first, then those that get fullest.
    pub lanes: Vec<LaneForecast>,
    /// There are more.
    pub more: bool,
    /// How long each bucket is.
    pub bucket: Span,
    /// The broker's now.
    pub now: Timestamp,
}

/// The future of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneForecast {
    /// Such as `links/spine-1/forward`.
    pub lane: String,
    /// One for each bucket from the one of now on.
    pub buckets: Vec<ForecastBucket>,
    /// When it is first likely to be full; `None` if it is not.
    pub full: Option<Timestamp>,
    /// When it might be full at the earliest: the upper end of the band is no less than its capacity.
    pub earliest_full: Option<Timestamp>,
    /// When it is full by what is booked already; `None` if it is not.
    pub booked_full: Option<Timestamp>,
    /// How much more or less is booked on it each day, by the trend of the past, in bits per second.
    pub trend_bps: i64,
    /// How much of the past it rests on, in whole hours of it that are known.
    pub history_hours: u64,
    /// What it rests on.
    pub basis: Basis,
}

/// What a forecast rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// What is booked only: of the past too little is known.
    Bookings,
    /// The hours of the day, and the trend.
    Daily,
    /// The hours of the week, and the trend.
    Weekly,
    /// Something that this client does not know, by its number.
    Unknown(i32),
}

/// The future of a lane in one bucket, in bits per second of the lane, as means over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForecastBucket {
    /// The first instant.
    pub start: Timestamp,
    /// What can be booked.
    pub capacity: BitRate,
    /// What is booked already.
    pub booked: BitRate,
    /// What is likely to be booked in the end, never less than what is.
    pub expected: BitRate,
    /// The lower end of the band in which four of five outcomes are to lie.
    pub low: BitRate,
    /// Its upper end.
    pub high: BitRate,
}

impl Default for ForecastAsk {
    fn default() -> Self {
        Self { selector: None, end: None, bucket: None, count: COUNT }
    }
}

impl Client {
    /// How much of lanes is likely to be booked, and when they will be full. Pages are asked for until
    /// there are as many lanes as were asked for.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] if the end is not ahead or more than 90 days, or the bucket is neither
    /// an hour nor a day; [`ClientError::BadAnswer`] if a band does not hold what it is about.
    pub async fn forecast(&self, ask: &ForecastAsk) -> Result<Forecast, ClientError> {
        let request = v1::ForecastUtilizationRequest {
            selector: selector(ask.selector.as_ref()),
            end_time: time(ask.end),
            bucket: ask.bucket.map(wire::to_duration),
            page_size: 0,
            page_token: String::new(),
        };
        let send =
            |channel, request| async move { service(channel).forecast_utilization(request).await };
        let read = |page_size, page_token| {
            let request =
                v1::ForecastUtilizationRequest { page_size, page_token, ..request.clone() };
            async move {
                let page = self.call(request, send).await?.message;
                let bucket = bucket(page.bucket)?;
                let now = wire::instant_required("now", page.now)?;
                let lanes = page.lanes.into_iter();
                let lanes = lanes.map(|lane| LaneForecast::from_wire(lane, bucket));
                let items = lanes.collect::<Result<_, _>>()?;
                Ok((Page { items, next_page_token: page.next_page_token }, (bucket, now)))
            }
        };
        let agree = |one: &(Span, Timestamp), next: &(Span, Timestamp)| one.0 == next.0;
        let read = pages(ask.count, PAGE, read, agree).await?;
        let (bucket, now) = read.head;
        Ok(Forecast { lanes: read.items, more: read.more, bucket, now })
    }
}

impl LaneForecast {
    fn from_wire(wire: v1::LaneForecast, bucket: Span) -> Result<Self, ClientError> {
        use v1::lane_forecast::Basis as Rests;
        let buckets = wire.buckets.into_iter().map(ForecastBucket::from_wire);
        let buckets: Vec<_> = buckets.collect::<Result<_, _>>()?;
        if let Some(first) = buckets.first() {
            seamless(buckets.iter().map(|bucket| bucket.start), first.start, bucket)?;
        }
        let hours = wire.history_hours_count;
        Ok(Self {
            lane: wire.lane,
            buckets,
            full: wire::instant("lanes.full_time", wire.full_time)?,
            earliest_full: wire::instant("lanes.earliest_full_time", wire.earliest_full_time)?,
            booked_full: wire::instant("lanes.booked_full_time", wire.booked_full_time)?,
            trend_bps: wire.trend_bps,
            history_hours: wire::count("lanes.history_hours_count", hours)?,
            basis: match Rests::try_from(wire.basis) {
                Ok(Rests::Bookings) => Basis::Bookings,
                Ok(Rests::Daily) => Basis::Daily,
                Ok(Rests::Weekly) => Basis::Weekly,
                Ok(Rests::Unspecified) | Err(_) => Basis::Unknown(wire.basis),
            },
        })
    }
}

impl ForecastBucket {
    fn from_wire(wire: v1::ForecastBucket) -> Result<Self, ClientError> {
        let it = Self {
            start: wire::instant_required("buckets.start_time", wire.start_time)?,
            capacity: wire::lane_rate("buckets.capacity_bps", wire.capacity_bps)?,
            booked: wire::lane_rate("buckets.booked_bps", wire.booked_bps)?,
            expected: wire::lane_rate("buckets.expected_bps", wire.expected_bps)?,
            low: wire::lane_rate("buckets.low_bps", wire.low_bps)?,
            high: wire::lane_rate("buckets.high_bps", wire.high_bps)?,
        };
        if it.high < it.low {
            let why = format!("{} is below the lower end, {}", it.high, it.low);
            return Err(ClientError::bad("buckets.high_bps", why));
        }
        Ok(it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(starts: &[i64]) -> v1::LaneForecast {
        let bucket = |secs: &i64| v1::ForecastBucket {
            start_time: Some(prost_types::Timestamp { seconds: *secs, nanos: 0 }),
            low_bps: 1,
            high_bps: 2,
            ..Default::default()
        };
        v1::LaneForecast {
            buckets: starts.iter().map(bucket).collect(),
            trend_bps: -5,
            basis: 3,
            ..Default::default()
        }
    }

    #[test]
    fn a_forecast_begins_where_it_says_and_has_a_band() {
        let hour = Span::from_secs(3600);
        let it = LaneForecast::from_wire(lane(&[7200, 10_800]), hour).unwrap();
        assert_eq!((it.trend_bps, it.basis, it.full), (-5, Basis::Weekly, None));
        assert!(LaneForecast::from_wire(lane(&[7200, 7200]), hour).is_err());
        let mut upside_down = lane(&[0]);
        upside_down.buckets[0].low_bps = 3;
        let error = LaneForecast::from_wire(upside_down, hour);
        assert!(matches!(error, Err(ClientError::BadAnswer { field: "buckets.high_bps", .. })));
        let later = v1::LaneForecast { basis: 9, ..lane(&[]) };
        assert_eq!(LaneForecast::from_wire(later, hour).unwrap().basis, Basis::Unknown(9));
    }
}
