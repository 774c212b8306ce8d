//! `tidegate simulate`: what the broker would have made of a file of requests, in virtual time.
//!
//! The road of a replay: [`world`] reads the network and [`formats`] the files, [`jitter`] moves
//! them off their grid, [`run`](mod@run) asks the core what [`plan`] makes of each request, [`agents`] send,
//! [`ledger`] counts what lanes carry, [`tally`] what was promised and kept, [`report`] prints,
//! [`plot`] draws. No broker is asked. [`generate`] makes such files, at a load that [`flow`] knows the network by.

mod agents;
mod dice;
mod flow;
pub(crate) mod formats;
mod generate;
mod jitter;
mod ledger;
mod numbers;
mod plan;
mod plot;
mod report;
mod run;
mod tally;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use tidegate_client::policy_file;
use tidegate_policy::{Endpoint, Project, ProjectId};

use self::formats::line::Id;
use self::formats::truth::Truth;
use self::plot::Figure;
use self::report::Report;
use self::run::Setup;
use self::world::World;
use crate::arguments::{PlanName, Replay, Simulate, SimulatePart};
use crate::exit::{Exit, Mistake};
use crate::output::{Printer, Sheet, say};
use crate::things::counted;

pub(crate) fn run(printer: &Printer, typed: &Simulate) -> anyhow::Result<Exit> {
    match (&typed.part, &typed.replay) {
        (Some(SimulatePart::Generate(typed)), _) => generate::run(typed),
        (None, Some(typed)) => replay(printer, typed),
        (None, None) => Err(Mistake::new("--topology and --requests are missing").into()),
    }
}

fn replay(printer: &Printer, typed: &Replay) -> anyhow::Result<Exit> {
    let sheet: Sheet<Report> = printer.sheet()?;
    let world = World::read(&typed.topology, typed.capacity)?;
    let requests = formats::requests::read(&typed.requests, &world)?;
    let faults = match &typed.faults {
        Some(file) => formats::faults::read(file, &world)?,
        None => Vec::new(),
    };
    let truth = match &typed.truth {
        Some(file) => formats::truth::read(file)?,
        None => BTreeMap::new(),
    };
    strangers(&requests.all, &truth);
    if let Some(file) = &typed.plot {
        // Before the replay, which may take long.
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
        opened.with_context(|| format!("cannot write {}", file.display()))?;
    }
    let relative = requests.relative;
    let mut requests = jitter::moved(&requests.all, typed.jitter, typed.seed);
    let asked = most_asked(&requests);
    let (spec, unsteered) = world.steered(&asked);
    if 0 < unsteered {
        say(&format!("{unsteered} pairs are asked for least and have one path each"));
    }
    let topology = world.compiled(&asked).map_err(Mistake::new)?;
    requests.iter_mut().for_each(|request| world.ordered(&topology, request));
    let projects = projects(typed.policy.as_deref(), &requests)?;
    let (mut reports, mut ledgers) = (Vec::new(), Vec::new());
    for plan in &typed.plans {
        let setup = Setup {
            spec: &spec,
            projects: &projects,
            requests: &requests,
            faults: &faults,
            truth: &truth,
            plan: *plan,
            reclaim: plan.reclaims(typed.reclaim),
            priorities: typed.priorities,
            margin_ppm: typed.margin,
        };
        let replayed = run::replay(&setup)?;
        reports.push(Report::new(plan.name(), typed.seed, &replayed));
        ledgers.push(replayed.ledger);
    }
    if let Some(file) = &typed.plot {
        let figure = |(plan, ledger): (&PlanName, _)| Figure { title: plan.name(), ledger };
        let figures: Vec<Figure<'_>> = typed.plans.iter().zip(&ledgers).map(figure).collect();
        let zero = relative.then(formats::zero);
        std::fs::write(file, plot::svg(&figures, zero, |lane| world.lane_called(lane)))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    match reports.as_slice() {
        [one] => sheet.one(one)?,
        several => sheet.list(several)?,
    }
    Ok(Exit::Done)
}

/// Who may have how much: the projects of a file, and those that are only asked for, which nothing
/// limits.
fn projects(
    file: Option<&Path>,
    requests: &[formats::requests::Request],
) -> anyhow::Result<Vec<Project>> {
    let declared = match file {
        None => Vec::new(),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            // Requests of a workload are in no class, so those of the file change nothing.
            let read = policy_file::read(&text);
            read.map_err(|error| Mistake::new(format!("{}: {error}", file.display())))?.projects
        }
    };
    let asked: BTreeSet<&ProjectId> = requests.iter().map(|request| &request.project).collect();
    let known: BTreeSet<ProjectId> = declared.iter().map(|project| project.id.clone()).collect();
    let others = asked.into_iter().filter(|id| !known.contains(id));
    let others: Vec<Project> = others.cloned().map(Project::new).collect();
    Ok(declared.into_iter().chain(others).collect())
}

/// Says how much of what agents do is of no request: another file may be meant.
fn strangers(requests: &[formats::requests::Request], truth: &BTreeMap<Id, Truth>) {
    let asked: BTreeSet<&Id> = requests.iter().map(|request| &request.id).collect();
    let strangers = truth.keys().filter(|id| !asked.contains(id)).count();
    if 0 < strangers {
        let count = counted(u64::try_from(strangers).unwrap_or(u64::MAX), "line");
        say(&format!("nobody asks under the id of {count} of --truth"));
    }
}

/// The pairs of endpoints that are asked for, the most asked first.
fn most_asked(requests: &[formats::requests::Request]) -> Vec<(Endpoint, Endpoint)> {
    let mut counts: BTreeMap<(&Endpoint, &Endpoint), usize> = BTreeMap::new();
    for request in requests {
        for source in &request.sources {
            *counts.entry((source, &request.destination)).or_default() += 1;
        }
    }
    let mut pairs: Vec<_> = counts.into_iter().collect();
    pairs.sort_by_key(|((from, to), count)| (std::cmp::Reverse(*count), *from, *to));
    pairs.into_iter().map(|((from, to), _)| (from.clone(), to.clone())).collect()
}
