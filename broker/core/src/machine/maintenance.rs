//! Decides and follows maintenance windows.

use std::collections::BTreeSet;

use tidegate_policy::{Interval, MaintenanceId, Resource, Span, Timestamp};

use super::capacity::{Ceiling, Ceilings};
use super::decide::{happens, unchanged};
use super::due::Past;
use super::{Answer, Decision, Machine, Stamp};
use crate::event::{Change, Corrupt, Event};
use crate::fault::{Fault, FieldFault};
use crate::lane::{Lane, LaneName};
use crate::losses::Losses;
use crate::maintenance::{Maintenance, MaintenanceAsk, WHOLE_PPM, Window};

/// The longest comment of a maintenance window, in characters.
pub const COMMENT_MAX: usize = 200;

impl Machine {
    pub(super) fn create_maintenance(
        &self,
        stamp: Stamp,
        ask: &MaintenanceAsk,
    ) -> Result<Decision, Fault> {
        let over = self.maintenance_over(stamp.now, ask)?;
        let lanes = self.lanes_of(&ask.resource)?;
        let limit = self.limits.maintenances_max;
        if limit <= self.state.maintenances.len() {
            return Err(Fault::Full { what: "maintenance windows", limit });
        }
        let window = Window { over, left_ppm: ask.left_ppm };
        let mut ceilings = Ceilings::new();
        for name in lanes {
            let Some(lane) = self.state.lanes.get(name) else { continue };
            let windows = lane.windows().chain([window]).collect();
            ceilings.insert(name.clone(), Ceiling::of(lane.capacity(), windows));
        }
        let (mut events, losses) = self.give_up(stamp, &ceilings, ask.accept_losses)?;
        let maintenance = Maintenance {
            id: MaintenanceId::from_u128(stamp.fresh),
            resource: ask.resource.clone(),
            over,
            left_ppm: ask.left_ppm,
            comment: ask.comment.clone(),
            created: stamp.now,
            ended: None,
        };
        let made = Box::new(maintenance);
        let change =
            Change::MaintenanceCreated { maintenance: made.clone(), losses: losses.clone() };
        events.push(Event { at: stamp.now, request: None, change });
        Ok(Decision::new(events, Answer::Maintenance { maintenance: made, losses }))
    }

    /// Resolves the times of a window against now, and checks the rest of it.
    fn maintenance_over(&self, now: Timestamp, ask: &MaintenanceAsk) -> Result<Interval, Fault> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, why: String| {
            faults.push(FieldFault::new(format!("maintenance.{field}"), why));
        };
        if let Some(start) = ask.start
            && start < now.minus(self.limits.past_start)
        {
            fault("start_time", format!("{start} is past: it is {now}; leave it out to start now"));
        }
        let start = ask.start.map_or(now, |start| start.max(now));
        let (end, horizon) = (ask.end, now.plus(Span::MAX));
        if horizon < end {
            let why = format!("it ends at {end}; write one that ends until {horizon}");
            fault("end_time", why);
        }
        let over = Interval::new(start, end);
        if over.is_none() {
            fault("end_time", format!("it ends at {end}, not after its start at {start}"));
        }
        if WHOLE_PPM <= ask.left_ppm {
            let most = WHOLE_PPM.saturating_sub(1);
            let why = format!("it is {}; write 0 (nothing is left) to {most}", ask.left_ppm);
            fault("left_ppm", why);
        }
        let length = ask.comment.chars().count();
        if COMMENT_MAX < length || ask.comment.chars().any(char::is_control) {
            let why = format!(
                "it has {length} characters; write at most {COMMENT_MAX}, none of them control \
                 characters"
            );
            fault("comment", why);
        }
        over.filter(|_| faults.is_empty()).ok_or(Fault::Invalid(faults))
    }

    /// The lanes of a resource of the present topology.
    pub(super) fn lanes_of(&self, resource: &Resource) -> Result<&[LaneName], Fault> {
        let missing = || Fault::NotFound { what: resource.to_string() };
        self.state.topology.lanes_of(resource).ok_or_else(missing)
    }

    pub(super) fn delete_maintenance(
        &self,
        stamp: Stamp,
        id: MaintenanceId,
    ) -> Result<Decision, Fault> {
        let missing = || Fault::NotFound { what: format!("maintenances/{id}") };
        let found = self.state.maintenances.get(&id).ok_or_else(missing)?;
        let losses = Losses::default();
        if found.ended.is_some() {
            let maintenance = Box::new(found.clone());
            return Ok(unchanged(Answer::Maintenance { maintenance, losses }));
        }
        let maintenance = Box::new(Maintenance { ended: Some(stamp.now), ..found.clone() });
        let answer = Answer::Maintenance { maintenance, losses };
        Ok(happens(stamp, Change::MaintenanceEnded { id }, answer))
    }

    pub(super) fn maintenance_created(&mut self, made: &Maintenance) -> Result<(), Corrupt> {
        let id = made.id;
        let lanes = self.state.topology.lanes_of(&made.resource);
        let lanes = lanes.ok_or_else(|| corrupt(format!("no {}", made.resource)))?;
        let window = Window { over: made.over, left_ppm: made.left_ppm };
        for name in lanes {
            let lane = self.state.lanes.get_mut(name);
            let lane = lane.ok_or_else(|| corrupt(format!("no lane {name}")))?;
            let open = lane.open_window(id, window);
            open.map_err(|_| corrupt(format!("{name} overflows")))?;
        }
        self.state.resize_quotas(&BTreeSet::new())?;
        self.state.maintenance_ends.insert((made.over.end(), id));
        match self.state.maintenances.insert(id, made.clone()) {
            None => Ok(()),
            Some(_) => Err(corrupt(format!("maintenance {id} exists"))),
        }
    }

    pub(super) fn maintenance_ended(
        &mut self,
        id: MaintenanceId,
        at: Timestamp,
    ) -> Result<(), Corrupt> {
        let found = self.state.maintenances.get_mut(&id);
        let found = found.filter(|found| found.ended.is_none());
        let found = found.ok_or_else(|| corrupt(format!("maintenance {id} is not to come")))?;
        found.ended = Some(at);
        let end = found.over.end();
        let lanes = self.state.topology.lanes_of(&found.resource).unwrap_or_default();
        for name in lanes {
            if let Some(lane) = self.state.lanes.get_mut(name) {
                let close = lane.close_window(id);
                close.map_err(|_| corrupt(format!("{name} overflows")))?;
            }
        }
        self.state.resize_quotas(&BTreeSet::new())?;
        self.state.maintenance_ends.remove(&(end, id));
        self.state.past.insert((at, Past::Maintenance(id)));
        Ok(())
    }

    pub(super) fn maintenance_forgotten(&mut self, id: MaintenanceId) -> Result<(), Corrupt> {
        let gone = self.state.maintenances.remove(&id).and_then(|gone| gone.ended);
        let at = gone.ok_or_else(|| corrupt(format!("maintenance {id} is not over")))?;
        self.state.past.remove(&(at, Past::Maintenance(id)));
        Ok(())
    }

    /// The windows that are not over, in the order of their identifiers, after `after`.
    pub fn maintenances(&self, after: Option<MaintenanceId>) -> impl Iterator<Item = &Maintenance> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let windows = self.state.maintenances.range((from, Unbounded));
        windows.map(|(_, window)| window).filter(|window| window.ended.is_none())
    }

    /// Lets the lanes of the present topology know of windows and drains, as if they had been made
    /// on it. What is about a resource that is gone is gone with it.
    pub(crate) fn refit(&mut self, at: Timestamp) -> Result<(), Corrupt> {
        let topology = &self.state.topology;
        self.state.drained.retain(|resource| topology.lanes_of(resource).is_some());
        let gone: BTreeSet<MaintenanceId> = self
            .maintenances(None)
            .filter(|window| topology.lanes_of(&window.resource).is_none())
            .map(|window| window.id)
            .collect();
        for id in gone {
            self.maintenance_ended(id, at)?;
        }
        // Quotas follow the lanes that they are shares of.
        let network = |(name, _): &(&LaneName, &mut Lane)| !name.is_quota();
        for (_, lane) in self.state.lanes.iter_mut().filter(network) {
            lane.forget_windows();
            lane.set_drained(false);
        }
        let open: Vec<Maintenance> = self.maintenances(None).cloned().collect();
        for found in open {
            let window = Window { over: found.over, left_ppm: found.left_ppm };
            for name in self.state.topology.lanes_of(&found.resource).unwrap_or_default() {
                if let Some(lane) = self.state.lanes.get_mut(name) {
                    lane.add_window(found.id, window);
                }
            }
        }
        for (name, lane) in self.state.lanes.iter_mut().filter(network) {
            lane.refresh().map_err(|_| corrupt(format!("{name} overflows")))?;
        }
        self.state.resize_quotas(&BTreeSet::new())?;
        for resource in self.state.drained.clone() {
            self.mark_drained(&resource);
        }
        Ok(())
    }
}

fn corrupt(what: String) -> Corrupt {
    Corrupt { what }
}
