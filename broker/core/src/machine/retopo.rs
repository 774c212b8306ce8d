//! Decides a new topology: what differs, and whether any promise would be left without a lane.

use tidegate_policy::{Interval, Timestamp};

use super::apply::differences;
use super::decide::happens;
use super::{Answer, Decision, Machine, Stamp};
use crate::event::Change;
use crate::fault::{Fault, LaneInUse};
use crate::topology::spec::TopologySpec;
use crate::topology::{Topology, compile};

impl Machine {
    pub(super) fn apply_topology(
        &self,
        stamp: Stamp,
        spec: &TopologySpec,
    ) -> Result<Decision, Fault> {
        let topology = compile::compile(spec).map_err(Fault::Invalid)?;
        let in_use = self.lanes_in_use(stamp.now, &topology);
        if !in_use.is_empty() {
            return Err(Fault::LanesInUse(in_use));
        }
        let changes = differences(&self.state.lanes, &topology);
        let version = self.state.topology_version.saturating_add(1);
        let answer = Answer::Topology { version, changes };
        let change = Change::TopologyApplied { spec: spec.clone().into(), version };
        Ok(happens(stamp, change, answer))
    }

    /// The lanes on which more is promised from `now` on than `topology` would leave.
    fn lanes_in_use(&self, now: Timestamp, topology: &Topology) -> Vec<LaneInUse> {
        let Some(ahead) = Interval::new(now, Timestamp::MAX) else { return Vec::new() };
        let mut in_use = Vec::new();
        for (name, lane) in &self.state.lanes {
            let capacity = topology.lanes.get(name).map_or(0, |def| def.capacity);
            let promised = lane.timeline.peak(ahead);
            if capacity < promised {
                let until = lane.timeline.steps().last().map_or(now, |(instant, _)| instant);
                in_use.push(LaneInUse { lane: name.clone(), capacity, promised, until });
            }
        }
        in_use
    }
}
