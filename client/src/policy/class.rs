//! Classes of service, to the wire and from it.

use tidegate_policy::{Class, ClassId, Headroom, Overcommit, ParseError};
use tidegate_proto::v1;

use super::{project_id, quota, service, span};
use crate::connect::{Client, Page};
use crate::error::ClientError;
use crate::wire;

/// A class that came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassChange {
    /// As it was; `None` if it was not there.
    pub before: Option<Class>,
    /// As it is; `None` if it is gone.
    pub after: Option<Class>,
}

impl Client {
    /// One class of service.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is none.
    pub async fn class(&self, id: &ClassId) -> Result<Class, ClientError> {
        let request = v1::GetClassRequest { name: name(id) };
        let send = |channel, request| async move { service(channel).get_class(request).await };
        from_wire(self.call(request, send).await?.message)
    }

    /// One page of the classes of service, in the order of their names, and the etag of the policy.
    /// `page_size` is 1 to 1000; 0 means 100.
    ///
    /// # Errors
    /// A [`ClientError`].
    pub async fn list_classes(
        &self,
        page_size: u16,
        page_token: &str,
    ) -> Result<(Page<Class>, String), ClientError> {
        let request = v1::ListClassesRequest {
            page_size: i32::from(page_size),
            page_token: page_token.to_owned(),
        };
        let send = |channel, request| async move { service(channel).list_classes(request).await };
        let page = self.call(request, send).await?.message;
        let items = page.classes.into_iter().map(from_wire).collect::<Result<_, _>>()?;
        Ok((Page { items, next_page_token: page.next_page_token }, page.etag))
    }
}

/// As the wire names it.
pub(crate) fn name(id: &ClassId) -> String {
    format!("classes/{id}")
}

/// `classes/{class}`.
pub(crate) fn class_id(field: &'static str, name: &str) -> Result<ClassId, ClientError> {
    let id = name.strip_prefix("classes/");
    let id = id.ok_or_else(|| ClientError::bad(field, format!("{name:?} is not classes/CLASS")))?;
    id.parse().map(ClassId).map_err(ClientError::unparsed(field))
}

pub(super) fn to_wire(class: &Class) -> v1::Class {
    let Class {
        id,
        ratio,
        weight,
        priority,
        preemptible,
        lane_share,
        headroom,
        no_show_grace,
        hold_for,
        projects,
        tiers,
    } = class;
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    v1::Class {
        name: name(id),
        ratio_ppm: number(ratio.ppm()),
        weight: number(*weight),
        priority: i32::from(*priority),
        preemptible: *preemptible,
        lane_share_ppm: lane_share.map(quota::ppm),
        headroom: headroom.map(|it| v1::Headroom {
            part_ppm: quota::ppm(it.part),
            longest: Some(wire::to_duration(it.longest)),
        }),
        no_show_grace: no_show_grace.map(wire::to_duration),
        hold_for: hold_for.map(wire::to_duration),
        projects: projects.iter().map(|id| format!("projects/{id}")).collect(),
        tiers: tiers.iter().map(ToString::to_string).collect(),
    }
}

fn from_wire(class: v1::Class) -> Result<Class, ClientError> {
    let ratio = match class.ratio_ppm {
        0 => Some(Overcommit::NONE),
        ppm => u32::try_from(ppm).ok().and_then(Overcommit::from_ppm),
    };
    let headroom = class.headroom.map(|it| {
        let longest = it.longest.unwrap_or_default();
        Ok::<_, ClientError>(Headroom {
            part: quota::part("headroom.part_ppm", it.part_ppm)?,
            longest: span("headroom.longest", longest)?,
        })
    });
    let tiers = class.tiers.iter().map(|tier| tier.parse());
    let tiers: Result<_, ParseError> = tiers.collect();
    Ok(Class {
        id: class_id("name", &class.name)?,
        ratio: ratio.ok_or_else(|| ClientError::bad("ratio_ppm", class.ratio_ppm.to_string()))?,
        weight: wire::index("weight", class.weight)?.max(1),
        priority: u8::try_from(class.priority)
            .map_err(|_| ClientError::bad("priority", class.priority.to_string()))?,
        preemptible: class.preemptible,
        lane_share: class
            .lane_share_ppm
            .map(|ppm| quota::part("lane_share_ppm", ppm))
            .transpose()?,
        headroom: headroom.transpose()?,
        no_show_grace: class.no_show_grace.map(|it| span("no_show_grace", it)).transpose()?,
        hold_for: class.hold_for.map(|it| span("hold_for", it)).transpose()?,
        projects: class
            .projects
            .iter()
            .map(|name| project_id("projects", name))
            .collect::<Result<_, _>>()?,
        tiers: tiers.map_err(ClientError::unparsed("tiers"))?,
    })
}

impl ClassChange {
    pub(super) fn from_wire(wire: v1::ClassChange) -> Result<Self, ClientError> {
        let read = |it: Option<v1::Class>| it.map(from_wire).transpose();
        Ok(Self { before: read(wire.before)?, after: read(wire.after)? })
    }
}
