//! Classes of service, from the wire and back.

use std::collections::BTreeSet;

use tidegate_core::Changed;
use tidegate_policy::class::{CLASSES_MAX, NAMED_MAX, PRIORITY_MAX, WEIGHT_MAX};
use tidegate_policy::{Class, ClassId, Headroom, Name, Overcommit, Part, ProjectId, Span};
use tidegate_proto::v1;

use super::policy::{few, part};
use super::request::{Page, page_size};
use super::{Checked, policy, reply};
use crate::fields::Fields;

/// Classes to put in and names of those to delete.
pub(super) type Edited = (Vec<Class>, Vec<ClassId>);

/// What of a change of the policy is about classes.
pub(super) fn edit(fields: &mut Fields, message: &v1::ApplyPolicyRequest) -> Option<Edited> {
    let put = few(fields, "classes", &message.classes, CLASSES_MAX, |fields, at, it| {
        fields.within(at, |fields| class(fields, it))
    });
    let gone =
        few(fields, "delete_classes", &message.delete_classes, CLASSES_MAX, |fields, at, name| {
            id(fields, at, name)
        });
    Some((put?, gone?))
}

/// A class by its name.
pub(super) fn id(fields: &mut Fields, field: &str, name: &str) -> Option<ClassId> {
    fields.named::<Name>(field, "classes", name).map(ClassId)
}

/// A class as it is asked for; [`crate::durable`] reads its own in the same way.
pub(crate) fn class(fields: &mut Fields, message: &v1::Class) -> Option<Class> {
    let id = id(fields, "name", &message.name);
    let ratio = ratio(fields, message.ratio_ppm);
    let weight = fields.number("weight", message.weight, WEIGHT_MAX).map(|weight| weight.max(1));
    let priority = fields.number("priority", message.priority, PRIORITY_MAX.into());
    let share = message.lane_share_ppm.map(|ppm| part(fields, "lane_share_ppm", ppm));
    let headroom = message.headroom.as_ref().map(|it| headroom(fields, it));
    let mut span = |field, span: Option<prost_types::Duration>| match span {
        None => Some(None),
        Some(span) => fields.span(field, span).map(Some),
    };
    let grace = span("no_show_grace", message.no_show_grace);
    let hold_for = span("hold_for", message.hold_for);
    let projects = few(fields, "projects", &message.projects, NAMED_MAX, |fields, at, name| {
        policy::id(fields, at, name)
    });
    let tiers = few(fields, "tiers", &message.tiers, NAMED_MAX, |fields, at, name| {
        fields.word::<Name>(at, name)
    });
    let (projects, tiers): (Option<BTreeSet<ProjectId>>, Option<BTreeSet<Name>>) =
        (projects.map(|it| it.into_iter().collect()), tiers.map(|it| it.into_iter().collect()));
    Some(Class {
        id: id?,
        ratio: ratio?,
        weight: weight?,
        priority: u8::try_from(priority?).ok()?,
        preemptible: message.preemptible,
        lane_share: share.map_or(Some(None), |read| read.map(Some))?,
        headroom: headroom.map_or(Some(None), |read| read.map(Some))?,
        no_show_grace: grace?,
        hold_for: hold_for?,
        projects: projects?,
        tiers: tiers?,
    })
}

fn ratio(fields: &mut Fields, ppm: i32) -> Option<Overcommit> {
    let ratio = match ppm {
        0 => Some(Overcommit::NONE),
        ppm => u32::try_from(ppm).ok().and_then(Overcommit::from_ppm),
    };
    if ratio.is_none() {
        let (least, most) = (Overcommit::NONE.ppm(), Overcommit::MAX.ppm());
        fields.fault("ratio_ppm", format!("it is {ppm}; write {least} to {most}"));
    }
    ratio
}

fn headroom(fields: &mut Fields, message: &v1::Headroom) -> Option<Headroom> {
    let part = part(fields, "headroom.part_ppm", message.part_ppm);
    let longest = fields.required("headroom.longest", message.longest);
    let longest: Option<Span> = longest.and_then(|it| fields.span("headroom.longest", it));
    Some(Headroom { part: part?, longest: longest? })
}

pub(crate) fn get_class(message: &v1::GetClassRequest) -> Checked<ClassId> {
    let mut fields = Fields::default();
    let id = id(&mut fields, "name", &message.name);
    fields.finish(id)
}

pub(crate) fn list_classes(message: &v1::ListClassesRequest) -> Checked<Page<ClassId>> {
    let mut fields = Fields::default();
    let size = page_size(&mut fields, message.page_size);
    let after = fields.optional::<Name>("page_token", "classes", &message.page_token);
    let after = after.map(ClassId);
    fields.finish(size.map(|size| Page { size, after }))
}

// === to the wire ===

pub(crate) fn name(id: &ClassId) -> String {
    format!("classes/{id}")
}

fn ppm(ppm: u32) -> i32 {
    i32::try_from(ppm).unwrap_or(i32::MAX)
}

pub(crate) fn to_wire(class: &Class) -> v1::Class {
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
    v1::Class {
        name: name(id),
        ratio_ppm: ppm(ratio.ppm()),
        weight: ppm(*weight),
        priority: i32::from(*priority),
        preemptible: *preemptible,
        lane_share_ppm: lane_share.map(|part: Part| ppm(part.ppm())),
        headroom: headroom.map(|headroom| v1::Headroom {
            part_ppm: ppm(headroom.part.ppm()),
            longest: Some(reply::duration(headroom.longest)),
        }),
        no_show_grace: no_show_grace.map(reply::duration),
        hold_for: hold_for.map(reply::duration),
        projects: projects.iter().map(policy::name).collect(),
        tiers: tiers.iter().map(ToString::to_string).collect(),
    }
}

pub(crate) fn change(change: &Changed<Class>) -> v1::ClassChange {
    v1::ClassChange {
        before: change.before.as_ref().map(to_wire),
        after: change.after.as_ref().map(to_wire),
    }
}
