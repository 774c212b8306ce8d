use std::collections::BTreeMap;

use super::facts::{ENTRIES_MAX, View};
use super::lead::Lead;
use super::*;
use crate::{
    BitRate, ByteCount, ClassId, Endpoint, Name, Project, ProjectId, Projects, Span, Timestamp,
};

mod book;
mod conditions;
mod generated;

/// What [`Facts`] borrow from.
#[derive(Clone, Debug)]
pub(super) struct World {
    projects: Projects,
    project: ProjectId,
    principal: String,
    class: Option<ClassId>,
    labels: BTreeMap<String, String>,
    sources: Vec<Endpoint>,
    destination: Option<Endpoint>,
    pub(super) volume: ByteCount,
    pub(super) now: Timestamp,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

impl World {
    pub(super) fn new() -> Self {
        let id = |text: &str| ProjectId(name(text));
        let lab = Project { labels: texts(&[("tier", "paid")]), ..Project::new(id("lab")) };
        let vision = Project {
            parent: Some(id("lab")),
            labels: texts(&[("cost-center", "42"), ("tier", "free")]),
            ..Project::new(id("vision"))
        };
        Self {
            projects: Projects::default().changed(&[lab, vision], &[], false).unwrap(),
            project: id("vision"),
            principal: "agent-7".into(),
            class: None,
            labels: texts(&[("team", "blue"), ("job", "nightly-7")]),
            sources: vec!["storage/east".parse().unwrap(), "hosts/cache-1".parse().unwrap()],
            destination: Some("hosts/compute-1".parse().unwrap()),
            volume: ByteCount::new(40_000_000_000),
            // A Wednesday.
            now: at("2026-11-25T18:30:00Z"),
        }
    }

    /// Nothing in it that may be left out.
    pub(super) fn bare() -> Self {
        Self {
            projects: Projects::default(),
            project: ProjectId(name("nobody")),
            principal: String::new(),
            class: Some(ClassId(name("gold"))),
            labels: BTreeMap::new(),
            sources: Vec::new(),
            destination: None,
            volume: ByteCount::ZERO,
            now: Timestamp::EPOCH,
        }
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            now: self.now,
            projects: &self.projects,
            project: &self.project,
            principal: &self.principal,
            class: self.class.as_ref(),
            shape: ShapeKind::Transfer,
            rate: "10Gbit".parse().unwrap(),
            min: BitRate::ZERO,
            volume: self.volume,
            duration: Span::from_secs(2 * 3600),
            start: self.now.plus(Span::from_secs(600)),
            end: self.now.plus(Span::from_secs(2 * 3600 + 600)),
            priority: 3,
            labels: &self.labels,
            sources: &self.sources,
            destination: self.destination.as_ref(),
            streams: 4,
            held: false,
            movable: true,
            session: true,
        }
    }

    pub(super) fn asked(&self, text: &str) -> Result<bool, Failure> {
        let condition = Condition::parse(text, &SCHEMA).unwrap_or_else(|e| panic!("{text}: {e}"));
        condition.holds(&View::new(&self.facts()))
    }
}

pub(super) fn refused(text: &str) -> String {
    match Condition::parse(text, &SCHEMA) {
        Ok(_) => panic!("{text}: it passed"),
        Err(why) => why,
    }
}
