//! Decides and follows a new topology: what differs, and whose promise would be left without a
//! lane.

use std::collections::BTreeMap;

use super::capacity::{Ceiling, Ceilings};
use super::decide::unchanged;
use super::twins::Twins;
use super::{Answer, Decision, Machine, Outcome, Stamp};
use crate::event::{Change, Corrupt, Event};
use crate::fault::Fault;
use crate::lane::LaneName;
use crate::losses::Losses;
use crate::maintenance::Window;
use crate::topology::shape::differences;
use crate::topology::spec::TopologySpec;
use crate::topology::{Topology, compile};

impl Machine {
    pub(super) fn apply_topology(
        &self,
        stamp: Stamp,
        spec: &TopologySpec,
        accept_losses: bool,
    ) -> Result<Decision, Fault> {
        let (version, losses) = (self.state.topology_version, Losses::default());
        if *spec == self.state.topology.spec {
            return Ok(unchanged(Answer::Topology { version, changes: Vec::new(), losses }));
        }
        let topology = compile::compile(spec).map_err(Fault::Invalid)?;
        let ceilings = self.ceilings_of(&topology);
        let (mut events, losses) = self.give_up(stamp, &ceilings, accept_losses)?;
        let changes = differences(&self.state.topology, &topology);
        let version = version.saturating_add(1);
        let answer = Answer::Topology { version, changes, losses: losses.clone() };
        let change = Change::TopologyApplied { spec: spec.clone().into(), version, losses };
        events.push(Event { at: stamp.now, request: None, change });
        Ok(Decision::new(events, answer))
    }

    /// What every lane could carry if `topology` stood, maintenance included.
    fn ceilings_of(&self, topology: &Topology) -> Ceilings {
        let mut windows: BTreeMap<&LaneName, Vec<Window>> = BTreeMap::new();
        for found in self.maintenances(None) {
            let window = Window { over: found.over, left_ppm: found.left_ppm };
            for lane in topology.lanes_of(&found.resource).unwrap_or_default() {
                windows.entry(lane).or_default().push(window);
            }
        }
        let ceiling = |name: &LaneName| {
            let capacity = topology.lanes.get(name).map_or(0, |def| def.capacity);
            Ceiling::of(capacity, windows.get(name).cloned().unwrap_or_default())
        };
        let twins = Twins::between(&self.state.topology, topology);
        let of_network = self.state.lanes.keys().filter(|name| !name.is_quota());
        let staying = of_network.filter(|name| !twins.gone.contains(*name));
        // A twin that is new has no bookings yet that could be looked at: its lane has them all.
        let bound = |name| twins.new.get(name).unwrap_or(name);
        staying.map(|name| (name.clone(), ceiling(bound(name)))).collect()
    }

    pub(super) fn topology_applied(
        &mut self,
        spec: &TopologySpec,
        (version, losses): (u64, &Losses),
        event: &Event,
    ) -> Result<(), Corrupt> {
        let topology = compile::compile(spec).map_err(|faults| Corrupt {
            what: format!("topology {version} is faulty: {faults:?}"),
        })?;
        let changes = differences(&self.state.topology, &topology);
        for (_, lane) in self.state.lanes.iter_mut().filter(|(name, _)| !name.is_quota()) {
            lane.def = None;
        }
        for (name, def) in &topology.lanes {
            self.state.lanes.entry(name.clone()).or_default().def = Some(def.clone());
        }
        let old = std::mem::replace(&mut self.state.topology, topology);
        self.fit_twins(&old)?;
        self.state.lanes.retain(|_, lane| lane.def.is_some() || !lane.timeline.is_empty());
        self.state.topology_version = version;
        self.refit(event.at)?;
        self.renumber();
        let outcome = Outcome::Topology { version, changes, losses: losses.clone() };
        self.remember(event.request, outcome, event.at);
        Ok(())
    }
}
