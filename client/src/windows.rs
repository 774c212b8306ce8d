//! When a rate would fit, how much is free when, and what a request would be answered.

use std::num::NonZeroU16;

use tidegate_policy::{BitRate, ClassId, Endpoint, Name, Principal, ProjectId, Span, Timestamp};
use tidegate_proto::v1;

use crate::ask::{Along, Assurance, streams_to_wire};
use crate::error::ClientError;
use crate::policy::class;
use crate::reservation::{Outcome, ReservationName, Timing, relays};
use crate::wire;

/// A question for the times at which a rate would fit. Nothing is booked.
///
/// ```
/// use tidegate_client::ask::Between;
/// use tidegate_client::windows::Search;
/// use tidegate_policy::Span;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let way = Between::new("storage/swift-east".parse()?, "hosts/compute-1".parse()?);
/// let by = "2030-01-01T18:00:00Z".parse()?;
/// let search = Search::new(way, "2Gbit".parse()?, Span::from_secs(1800), by);
/// assert_eq!(search.start, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Where.
    pub along: Along,
    /// The lowest payload rate that helps, in bits per second.
    pub min: BitRate,
    /// How long it lasts.
    pub duration: Span,
    /// The earliest start; `None` means now.
    pub start: Option<Timestamp>,
    /// The latest end, at most 400 days ahead.
    pub end: Timestamp,
    /// Whether it may count on what is physically there.
    pub assurance: Assurance,
    /// Over how many parallel streams the bytes are spread; `None` means one.
    pub streams: Option<NonZeroU16>,
    /// The most steps of availability for each way, 1 to 1000; 0 means 100.
    pub steps_max: u16,
    /// Whose quotas count.
    pub project: ProjectId,
    /// The class of service that would be asked for: rates are those to ask for in it.
    pub class: Option<ClassId>,
    /// Who would ask.
    pub principal: Option<Principal>,
}

impl Search {
    /// When at least `min` is free for `duration`, from now on and over before `by`.
    #[must_use]
    pub fn new(along: impl Into<Along>, min: BitRate, duration: Span, by: Timestamp) -> Self {
        Self {
            along: along.into(),
            min,
            duration,
            start: None,
            end: by,
            assurance: Assurance::default(),
            streams: None,
            steps_max: 0,
            project: ProjectId::default_project(),
            class: None,
            principal: None,
        }
    }

    /// Not before `start`.
    #[must_use]
    pub fn starting(mut self, start: Timestamp) -> Self {
        self.start = Some(start);
        self
    }

    pub(crate) fn to_wire(&self) -> v1::FindWindowsRequest {
        let along = self.along.to_wire();
        v1::FindWindowsRequest {
            parent: format!("projects/{}", self.project),
            sources: along.sources,
            destination: along.destination,
            via: along.via,
            lanes: along.lanes,
            path: along.path,
            assurance: self.assurance.to_wire(),
            streams: streams_to_wire(self.streams),
            min_bps: wire::to_rate(self.min),
            duration: Some(wire::to_duration(self.duration)),
            start_time: self.start.map(wire::to_timestamp),
            end_time: Some(wire::to_timestamp(self.end)),
            steps_max: i32::from(self.steps_max),
            class: self.class.as_ref().map(class::name).unwrap_or_default(),
            principal: self.principal.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// When a rate would fit, and how much is free when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The earliest time for each way that has one, the earliest first.
    pub windows: Vec<TimeWindow>,
    /// What is free on each way over the time asked for, best way first; at most 64.
    pub availability: Vec<Availability>,
}

/// One of the ways that a request could take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where the bytes come from; `None` where lanes were named.
    pub source: Option<Endpoint>,
    /// The relays on the way.
    pub via: Vec<Name>,
    /// Which of the paths that steering allows; `None` where there is no choice.
    pub path: Option<u32>,
}

/// A time that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeWindow {
    /// On which way.
    pub route: Route,
    /// The first instant.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
    /// The highest payload rate that fits all that time, in bits per second.
    pub rate: BitRate,
}

/// What is free on one way: a step function of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    /// On which way.
    pub route: Route,
    /// In the order of time; each holds until the next one, the last until `until`.
    pub steps: Vec<Step>,
    /// The first instant past the last step: earlier than asked for if there were more steps.
    pub until: Timestamp,
}

/// What is free from an instant on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The instant.
    pub start: Timestamp,
    /// The highest payload rate that fits from then on, in bits per second.
    pub rate: BitRate,
}

/// What a request would be answered, and why. Nothing is booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The answer that it would get.
    pub answer: Outcome,
    /// Every way that was looked at, best first; at most 64.
    pub ways: Vec<WayCheck>,
}

/// How one way stands to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayCheck {
    /// The way.
    pub route: Route,
    /// Whether it carries the request as asked.
    pub fits: bool,
    /// The highest payload rate that it carries over the time asked for, in bits per second.
    pub highest: BitRate,
    /// The first start at which it carries the request; `None` if it never does.
    pub earliest: Option<Timestamp>,
    /// Its lanes, in order.
    pub lanes: Vec<LaneCheck>,
}

/// How one lane of a way stands to a request. Its amounts are bits per second of that lane,
/// headers included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneCheck {
    /// The lane, such as `links/spine-1/forward`.
    pub lane: String,
    /// What it can carry at its tightest instant of the time asked for.
    pub limit: BitRate,
    /// What is booked on it then.
    pub booked: BitRate,
    /// What is free on it then.
    pub free: BitRate,
    /// What the request needs there.
    pub needed: BitRate,
    /// Its tightest instant of the time asked for.
    pub tightest: Option<Timestamp>,
    /// The first start at which this lane alone could carry the request; `None` if it never can.
    pub first_free: Option<Timestamp>,
    /// It is drained: it takes nothing new.
    pub drained: bool,
    /// Who has booked it at its tightest instant, the largest first; at most 8.
    pub holders: Vec<Holder>,
}

/// A reservation that books a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which one.
    pub reservation: ReservationName,
    /// What it books there, in bits per second of that lane.
    pub booked: BitRate,
    /// When it ends.
    pub end: Timestamp,
}

impl Route {
    fn from_wire(source: &str, via: &[String], path: Option<i32>) -> Result<Self, ClientError> {
        Ok(Self {
            source: wire::endpoint("source", source)?,
            via: relays(via)?,
            path: path.map(|path| wire::index("path", path)).transpose()?,
        })
    }
}

impl Windows {
    pub(crate) fn from_wire(wire: v1::FindWindowsResponse) -> Result<Self, ClientError> {
        let windows = wire.windows.into_iter().map(TimeWindow::from_wire);
        let availability = wire.availability.into_iter().map(Availability::from_wire);
        Ok(Self {
            windows: windows.collect::<Result<_, _>>()?,
            availability: availability.collect::<Result<_, _>>()?,
        })
    }
}

impl TimeWindow {
    fn from_wire(wire: v1::Window) -> Result<Self, ClientError> {
        Ok(Self {
            route: Route::from_wire(&wire.source, &wire.via, wire.path)?,
            start: wire::instant_required("windows.start_time", wire.start_time)?,
            end: wire::instant_required("windows.end_time", wire.end_time)?,
            rate: wire::rate("windows.rate_bps", wire.rate_bps)?,
        })
    }
}

impl Availability {
    fn from_wire(wire: v1::Availability) -> Result<Self, ClientError> {
        let step = |step: v1::Step| {
            Ok(Step {
                start: wire::instant_required("steps.start_time", step.start_time)?,
                rate: wire::rate("steps.rate_bps", step.rate_bps)?,
            })
        };
        let steps = wire.steps.into_iter().map(step).collect::<Result<Vec<_>, ClientError>>()?;
        if !steps.is_sorted_by(|one, next| one.start < next.start) {
            return Err(ClientError::bad("steps", "they are not in the order of time"));
        }
        Ok(Self {
            route: Route::from_wire(&wire.source, &wire.via, wire.path)?,
            steps,
            until: wire::instant_required("availability.until_time", wire.until_time)?,
        })
    }
}

impl Explanation {
    pub(crate) fn from_wire(
        wire: v1::ExplainReservationResponse,
        timing: Timing,
    ) -> Result<Self, ClientError> {
        let answer = wire.answer.ok_or_else(|| ClientError::bad("answer", "it is missing"))?;
        Ok(Self {
            answer: Outcome::from_wire(answer, timing)?,
            ways: wire.ways.into_iter().map(WayCheck::from_wire).collect::<Result<_, _>>()?,
        })
    }
}

impl WayCheck {
    fn from_wire(wire: v1::Way) -> Result<Self, ClientError> {
        Ok(Self {
            route: Route::from_wire(&wire.source, &wire.via, wire.path)?,
            fits: wire.fits,
            highest: wire::rate("ways.highest_bps", wire.highest_bps)?,
            earliest: wire::instant("ways.earliest_time", wire.earliest_time)?,
            lanes: wire.lanes.into_iter().map(LaneCheck::from_wire).collect::<Result<_, _>>()?,
        })
    }
}

impl LaneCheck {
    fn from_wire(wire: v1::LaneCheck) -> Result<Self, ClientError> {
        let holder = |holder: v1::Holder| {
            let name = holder.reservation.parse();
            Ok(Holder {
                reservation: name.map_err(ClientError::unparsed("holders.reservation"))?,
                booked: wire::lane_rate("holders.booked_bps", holder.booked_bps)?,
                end: wire::instant_required("holders.end_time", holder.end_time)?,
            })
        };
        Ok(Self {
            lane: wire.lane,
            limit: wire::lane_rate("lanes.limit_bps", wire.limit_bps)?,
            booked: wire::lane_rate("lanes.booked_bps", wire.booked_bps)?,
            free: wire::lane_rate("lanes.free_bps", wire.free_bps)?,
            needed: wire::lane_rate("lanes.needed_bps", wire.needed_bps)?,
            tightest: wire::instant("lanes.tightest_time", wire.tightest_time)?,
            first_free: wire::instant("lanes.first_free_time", wire.first_free_time)?,
            drained: wire.drained,
            holders: wire.holders.into_iter().map(holder).collect::<Result<_, ClientError>>()?,
        })
    }
}
