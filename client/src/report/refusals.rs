//! What was refused, why, by which lane, quota or rule, and what would have fit.

use tidegate_policy::{BitRate, ClassId, ProjectId, Timestamp};
use tidegate_proto::v1;

use super::{COUNT, pages, project, range, service, time};
use crate::calls::parent;
use crate::connect::{Client, Page};
use crate::error::ClientError;
use crate::policy::class;
use crate::refusal::{CounterOffer, RefusalReason};
use crate::wire;

/// The most groups of a page.
const PAGE: usize = 1000;

/// Which refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalsAsk {
    /// Only those of this project; `None` means of all.
    pub project: Option<ProjectId>,
    /// The first instant; `None` means 24 hours before the broker's now.
    pub start: Option<Timestamp>,
    /// The first instant past it, at most the broker's now; `None` means now.
    pub end: Option<Timestamp>,
    /// Only what this lane, quota or rule refused, such as `links/spine-1/forward`; empty means all.
    pub bottleneck: String,
    /// At most so many groups.
    pub count: usize,
}

/// Refusals, those that were alike together, the most first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// As many as were asked for.
    pub groups: Vec<RefusalGroup>,
    /// There are more.
    pub more: bool,
    /// All refusals of the range.
    pub refused: u64,
    /// All grants of the range, to compare with.
    pub granted: u64,
    /// The first instant of the range.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
}

/// Requests that were refused alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalGroup {
    /// Why.
    pub reason: RefusalReason,
    /// Whose; `None` where that was not kept apart, because there were too many.
    pub project: Option<ProjectId>,
    /// The class of service that was asked for; `None` if none was.
    pub class: Option<ClassId>,
    /// The lane, quota or rule that was in the way; the one that lacks most where there were several.
    /// Empty if it is none, and `-` where there were too many to keep apart.
    pub bottleneck: String,
    /// How many.
    pub refused: u64,
    /// The highest rate asked for, in payload bits per second; `None` of volumes.
    pub asked: Option<BitRate>,
    /// The least that was missing at the bottleneck, in bits per second of the lane.
    pub least_missing: BitRate,
    /// The most that was missing.
    pub most_missing: BitRate,
    /// How many of them were told what would fit.
    pub offered: u64,
    /// What would have fit the last time: the best offer, which cannot be taken any more.
    pub last_offer: Option<CounterOffer>,
    /// When the last one was refused.
    pub last: Timestamp,
}

impl Default for RefusalsAsk {
    fn default() -> Self {
        Self { project: None, start: None, end: None, bottleneck: String::new(), count: COUNT }
    }
}

impl Client {
    /// What was refused, why, by which lane, quota or rule, and what would have fit. Pages are asked
    /// for until there are as many groups as were asked for.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is no such project, [`ClientError::Invalid`] if the range is
    /// none or ends after now.
    pub async fn refusals(&self, ask: &RefusalsAsk) -> Result<Refusals, ClientError> {
        let request = v1::AggregateRefusalsRequest {
            parent: parent(ask.project.as_ref()),
            start_time: time(ask.start),
            end_time: time(ask.end),
            bottleneck: ask.bottleneck.clone(),
            page_size: 0,
            page_token: String::new(),
        };
        let send =
            |channel, request| async move { service(channel).aggregate_refusals(request).await };
        let read = |page_size, page_token| {
            let request = v1::AggregateRefusalsRequest { page_size, page_token, ..request.clone() };
            async move {
                let page = self.call(request, send).await?.message;
                let refused = wire::count("refused_count", page.refused_count)?;
                let granted = wire::count("granted_count", page.granted_count)?;
                let head = (refused, granted, range(page.start_time, page.end_time)?);
                let items = page.groups.into_iter().map(RefusalGroup::from_wire);
                let items = items.collect::<Result<_, _>>()?;
                Ok((Page { items, next_page_token: page.next_page_token }, head))
            }
        };
        // Now goes on meanwhile: what the first page sums up is what is told.
        let read = pages(ask.count, PAGE, read, |_, _| true).await?;
        let (refused, granted, (start, end)) = read.head;
        Ok(Refusals { groups: read.items, more: read.more, refused, granted, start, end })
    }
}

impl RefusalGroup {
    pub(super) fn from_wire(wire: v1::RefusalGroup) -> Result<Self, ClientError> {
        let class = Some(wire.class).filter(|class| !class.is_empty());
        let class = class.map(|name| class::class_id("groups.class", &name)).transpose()?;
        let asked = wire::lane_rate("groups.asked_bps", wire.asked_bps)?;
        Ok(Self {
            reason: RefusalReason::from_wire(wire.reason),
            project: project("groups.project", &wire.project)?,
            class,
            bottleneck: wire.bottleneck,
            refused: wire::count("groups.refused_count", wire.refused_count)?,
            asked: Some(asked).filter(|asked| *asked != BitRate::ZERO),
            least_missing: wire::lane_rate("groups.least_missing_bps", wire.least_missing_bps)?,
            most_missing: wire::lane_rate("groups.most_missing_bps", wire.most_missing_bps)?,
            offered: wire::count("groups.offered_count", wire.offered_count)?,
            last_offer: wire.last_offer.map(CounterOffer::from_wire).transpose()?,
            last: wire::instant_required("groups.last_time", wire.last_time)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> v1::RefusalGroup {
        v1::RefusalGroup {
            reason: v1::refusal::Reason::NoHeadroom.into(),
            project: "projects/vision".into(),
            bottleneck: "storage/images/read".into(),
            refused_count: 3,
            most_missing_bps: 7,
            last_time: Some(prost_types::Timestamp { seconds: 60, nanos: 0 }),
            ..Default::default()
        }
    }

    #[test]
    fn a_group_says_whose_why_and_how_much() {
        let it = RefusalGroup::from_wire(group()).unwrap();
        assert_eq!((it.reason, it.refused), (RefusalReason::NoHeadroom, 3));
        assert_eq!((it.class, it.asked, it.last_offer), (None, None, None));
        let others = v1::RefusalGroup { project: "projects/-".into(), ..group() };
        assert_eq!(RefusalGroup::from_wire(others).unwrap().project, None);
    }

    #[test]
    fn a_group_that_makes_no_sense_is_an_error() {
        let bad = [
            v1::RefusalGroup { project: String::new(), ..group() },
            v1::RefusalGroup { class: "gold".into(), ..group() },
            v1::RefusalGroup { last_time: None, ..group() },
            v1::RefusalGroup { least_missing_bps: -1, ..group() },
            v1::RefusalGroup { last_offer: Some(v1::CounterOffer::default()), ..group() },
        ];
        for wire in bad {
            let read = RefusalGroup::from_wire(wire.clone());
            assert!(matches!(read, Err(ClientError::BadAnswer { .. })), "{wire:?}");
        }
    }
}
