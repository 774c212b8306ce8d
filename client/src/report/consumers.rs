//! Who was promised most, who used most, who wasted most.

use std::fmt;

use tidegate_policy::{ByteCount, ClassId, ProjectId, Selector, Timestamp};
use tidegate_proto::v1;

use super::{COUNT, pages, project, range, selector, service, time};
use crate::connect::{Client, Page};
use crate::error::ClientError;
use crate::policy::class;
use crate::wire;

/// The most consumers of a page.
const PAGE: usize = 1000;

/// Whose consumption, where, from when until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumersAsk {
    /// What was promised and used on these lanes; `None` means everywhere, each reservation once.
    pub selector: Option<Selector>,
    /// The first instant; `None` means 24 hours before the broker's now.
    pub start: Option<Timestamp>,
    /// The first instant past it, at most the broker's now; `None` means now.
    pub end: Option<Timestamp>,
    /// What consumers are.
    pub group_by: GroupBy,
    /// What they are ranked by, the most first.
    pub order: ConsumerOrder,
    /// At most so many.
    pub count: usize,
}

/// What consumers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GroupBy {
    /// Projects.
    #[default]
    Project,
    /// Classes of service; not to be had of some lanes only.
    Class,
}

/// What consumers are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ConsumerOrder {
    /// What they moved.
    #[default]
    Used,
    /// What they were promised.
    Promised,
    /// What they were promised and did not move.
    Wasted,
}

/// Consumers, the most first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumers {
    /// As many as were asked for.
    pub consumers: Vec<Consumer>,
    /// There are more.
    pub more: bool,
    /// The sums over all of them.
    pub total: Consumption,
    /// The first instant of the range.
    pub start: Timestamp,
    /// The first instant past it.
    pub end: Timestamp,
}

/// One consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Who.
    pub name: ConsumerName,
    /// What it had.
    pub consumption: Consumption,
}

/// Who consumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerName {
    /// A project.
    Project(ProjectId),
    /// Projects that were not kept apart, because there were too many.
    OtherProjects,
    /// A class of service.
    Class(ClassId),
    /// What named no class.
    NoClass,
}

/// What somebody had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Consumption {
    /// What was promised, in payload bytes: rate by time, for as long as it was not given back. Of some
    /// lanes only: what was booked there, in bytes of the lanes.
    pub promised: ByteCount,
    /// What sessions reported to have moved, in payload bytes.
    pub used: ByteCount,
    /// What was promised to holders that report and not moved.
    pub wasted: ByteCount,
    /// The part of what was promised of which nobody reports how much moved.
    pub unreported: ByteCount,
    /// Requests that were granted.
    pub granted: u64,
    /// Requests that were refused.
    pub refused: u64,
}

impl Default for ConsumersAsk {
    fn default() -> Self {
        Self {
            selector: None,
            start: None,
            end: None,
            group_by: GroupBy::default(),
            order: ConsumerOrder::default(),
            count: COUNT,
        }
    }
}

impl Consumption {
    /// What was promised to holders that report how much they move: what was used and wasted is a part
    /// of this.
    #[must_use]
    pub fn reported(&self) -> ByteCount {
        ByteCount::new(self.promised.bytes().saturating_sub(self.unreported.bytes()))
    }
}

impl Client {
    /// Who was promised most, who used most, who wasted most. Pages are asked for until there are as
    /// many as were asked for.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] if the range is none or ends after now, or if classes are asked for of
    /// some lanes only.
    pub async fn top_consumers(&self, ask: &ConsumersAsk) -> Result<Consumers, ClientError> {
        use v1::list_top_consumers_request::{GroupBy as Group, Order};
        let request = v1::ListTopConsumersRequest {
            selector: selector(ask.selector.as_ref()),
            start_time: time(ask.start),
            end_time: time(ask.end),
            group_by: match ask.group_by {
                GroupBy::Project => Group::Unspecified,
                GroupBy::Class => Group::Class,
            }
            .into(),
            order: match ask.order {
                ConsumerOrder::Used => Order::Unspecified,
                ConsumerOrder::Promised => Order::Promised,
                ConsumerOrder::Wasted => Order::Wasted,
            }
            .into(),
            page_size: 0,
            page_token: String::new(),
        };
        let send =
            |channel, request| async move { service(channel).list_top_consumers(request).await };
        let read = |page_size, page_token| {
            let request = v1::ListTopConsumersRequest { page_size, page_token, ..request.clone() };
            async move {
                let page = self.call(request, send).await?.message;
                let (start, end) = range(page.start_time, page.end_time)?;
                let total = page.total.ok_or_else(|| ClientError::bad("total", "it is missing"))?;
                let head = (Consumption::from_wire(Some(total))?, start, end);
                let items = page.consumers.into_iter().map(Consumer::from_wire);
                let items = items.collect::<Result<_, _>>()?;
                Ok((Page { items, next_page_token: page.next_page_token }, head))
            }
        };
        // Now goes on meanwhile: what the first page sums up is what is told.
        let read = pages(ask.count, PAGE, read, |_, _| true).await?;
        let (total, start, end) = read.head;
        Ok(Consumers { consumers: read.items, more: read.more, total, start, end })
    }
}

impl Consumer {
    pub(super) fn from_wire(wire: v1::Consumer) -> Result<Self, ClientError> {
        let name = match wire.name.as_str() {
            "classes/-" => ConsumerName::NoClass,
            name if name.starts_with("classes/") => {
                ConsumerName::Class(class::class_id("consumers.name", name)?)
            }
            name => project("consumers.name", name)?
                .map_or(ConsumerName::OtherProjects, ConsumerName::Project),
        };
        Ok(Self { name, consumption: Consumption::from_wire(wire.consumption)? })
    }
}

impl Consumption {
    pub(super) fn from_wire(wire: Option<v1::Consumption>) -> Result<Self, ClientError> {
        // Who had nothing at all may be told without saying so.
        let wire = wire.unwrap_or_default();
        Ok(Self {
            promised: wire::bytes("consumption.promised_bytes", wire.promised_bytes)?,
            used: wire::bytes("consumption.used_bytes", wire.used_bytes)?,
            wasted: wire::bytes("consumption.wasted_bytes", wire.wasted_bytes)?,
            unreported: wire::bytes("consumption.unreported_bytes", wire.unreported_bytes)?,
            granted: wire::count("consumption.granted_count", wire.granted_count)?,
            refused: wire::count("consumption.refused_count", wire.refused_count)?,
        })
    }
}

/// As the wire names it: `projects/vision`, `classes/gold`.
impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(project) => f.pad(&format!("projects/{project}")),
            Self::OtherProjects => f.pad("projects/-"),
            Self::Class(class) => f.pad(&format!("classes/{class}")),
            Self::NoClass => f.pad("classes/-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_what_they_stand_for() {
        let name = |name: &str| {
            let wire = v1::Consumer { name: name.into(), consumption: None };
            Consumer::from_wire(wire).map(|it| it.name)
        };
        for text in ["projects/vision", "projects/-", "classes/gold", "classes/-"] {
            assert_eq!(name(text).unwrap().to_string(), text);
        }
        assert_eq!(name("projects/-").unwrap(), ConsumerName::OtherProjects);
        assert_eq!(name("classes/-").unwrap(), ConsumerName::NoClass);
        assert!(name("vision").is_err() && name("classes/").is_err() && name("").is_err());
    }

    #[test]
    fn what_is_reported_is_a_part_of_what_was_promised() {
        let wire =
            v1::Consumption { promised_bytes: 10, unreported_bytes: 4, ..Default::default() };
        let had = Consumption::from_wire(Some(wire)).unwrap();
        assert_eq!(had.reported().bytes(), 6);
        let odd = v1::Consumption { unreported_bytes: 4, ..Default::default() };
        assert_eq!(Consumption::from_wire(Some(odd)).unwrap().reported(), ByteCount::ZERO);
        let negative = v1::Consumption { refused_count: -1, ..Default::default() };
        assert!(Consumption::from_wire(Some(negative)).is_err());
    }
}
