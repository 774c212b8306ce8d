//! The most that a network carries of a demand: the maximum concurrent flow over given roads.
//!
//! By lengths that grow with what was sent, after N. Garg and J. Koenemann (FOCS 1998) and
//! L. Fleischer (2000), stopped by its own duality gap: what was sent, scaled until no lane has too
//! much, is a lower bound, and so is every choice of lengths an upper one.

use std::collections::BTreeMap;

use tidegate_core::lane::{LaneName, Terms};
use tidegate_core::topology::Topology;
use tidegate_policy::BitRate;

use super::numbers::float;
use super::world::Demand;

/// The bounds end up this close to each other, as a share.
const GAP: f64 = 0.005;
/// How much longer a lane gets that was filled once, as a share.
const STEP: f64 = 0.005;
/// So many rounds over all demands are made at most; a few thousand are usual.
const ROUNDS_MAX: usize = 100_000;
/// Lengths are scaled back beyond this.
const LENGTH_MAX: f64 = 1e200;

/// Lanes, and what is asked of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Net {
    /// In bits per second.
    capacities: Vec<f64>,
    demands: Vec<Share>,
}

/// A share of all that is asked for, and the roads that it may take.
#[derive(Clone, Debug)]
struct Share {
    share: f64,
    roads: Vec<Road>,
}

/// The lanes of a road, with what a bit of payload takes there.
type Road = Vec<(usize, f64)>;

impl Net {
    /// The roads that the core knows for each demand; the shares add up to 1.
    ///
    /// # Errors
    /// Between two ends is no road.
    pub(super) fn of(topology: &Topology, demand: &[Demand]) -> Result<Self, String> {
        let mut numbers: BTreeMap<LaneName, usize> = BTreeMap::new();
        let mut net = Self::default();
        let all: f64 = demand.iter().map(|it| it.weight).sum();
        for Demand { source, destination, weight } in demand {
            let paths = topology.paths(source, &[], destination).unwrap_or_default();
            let mut roads = Vec::new();
            for path in paths {
                let mut road = Road::new();
                for need in &path.needs {
                    let lane = numbers.get(&need.lane).copied().unwrap_or_else(|| {
                        let def = topology.lanes.get(&need.lane);
                        net.capacities.push(def.map_or(0.0, |def| float(def.capacity)));
                        numbers.insert(need.lane.clone(), net.capacities.len() - 1);
                        net.capacities.len() - 1
                    });
                    road.push((lane, per_bit(need.amount(PROBE, Terms::default()))));
                }
                roads.push(road);
            }
            if roads.is_empty() {
                return Err(format!("no path leads from {source} to {destination}"));
            }
            net.demands.push(Share { share: weight / all, roads });
        }
        Ok(net)
    }

    /// The most that can be carried of all demands at once, in bits per second, from below; how
    /// much more it may be at most, as a share.
    pub(super) fn most(&self) -> (f64, f64) {
        let mut search = Search::new(self);
        let (mut low, mut high) = (0.0_f64, f64::INFINITY);
        for _ in 0..ROUNDS_MAX {
            search.round();
            low = search.carried();
            high = high.min(search.bound());
            if high <= low * (1.0 + GAP) {
                break;
            }
        }
        (low, high / low - 1.0)
    }
}

/// A payload rate at which what it books says how much a bit takes.
const PROBE: BitRate = BitRate::MAX;

fn per_bit(amount: u64) -> f64 {
    float(amount) / float(PROBE.bps())
}

struct Search<'a> {
    net: &'a Net,
    /// What a bit per second on a lane costs.
    lengths: Vec<f64>,
    /// What was sent over each lane in all rounds.
    sent: Vec<f64>,
    /// What a round sends in all, and what all rounds did.
    step: f64,
    total: f64,
}

impl<'a> Search<'a> {
    fn new(net: &'a Net) -> Self {
        // A round fills the fullest lane once, were everything on its first road.
        let mut first = Self::start(net);
        for Share { share, roads } in &net.demands {
            roads.iter().take(1).for_each(|road| first.send(road, *share));
        }
        Self { step: first.fullest().recip(), ..Self::start(net) }
    }

    fn start(net: &'a Net) -> Self {
        let lengths = net.capacities.iter().map(|capacity| 1.0 / capacity).collect();
        Self { net, lengths, sent: vec![0.0; net.capacities.len()], step: 1.0, total: 0.0 }
    }

    /// Sends each demand over the shortest of its roads, as it is by then.
    fn round(&mut self) {
        let net = self.net;
        for Share { share, roads } in &net.demands {
            let mut left = share * self.step;
            while 0.0 < left {
                let Some((road, _)) = self.shortest(roads) else { return };
                let fits = road.iter().map(|(lane, per_bit)| self.capacity(*lane) / per_bit);
                let part = fits.fold(left, f64::min);
                self.send(road, part);
                left -= part;
            }
        }
        self.total += self.step;
        let longest = self.lengths.iter().copied().fold(0.0, f64::max);
        if LENGTH_MAX < longest {
            self.lengths.iter_mut().for_each(|length| *length /= longest);
        }
    }

    fn send(&mut self, road: &Road, bps: f64) {
        for (lane, per_bit) in road {
            let (amount, capacity) = (bps * per_bit, self.capacity(*lane));
            if let (Some(sent), Some(length)) =
                (self.sent.get_mut(*lane), self.lengths.get_mut(*lane))
            {
                *sent += amount;
                *length *= 1.0 + STEP * amount / capacity;
            }
        }
    }

    fn shortest<'r>(&self, roads: &'r [Road]) -> Option<(&'r Road, f64)> {
        let length = |road: &Road| -> f64 {
            let lengths = road.iter().map(|(lane, per_bit)| {
                per_bit * self.lengths.get(*lane).copied().unwrap_or(f64::INFINITY)
            });
            lengths.sum()
        };
        roads.iter().map(|road| (road, length(road))).min_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn capacity(&self, lane: usize) -> f64 {
        self.net.capacities.get(lane).copied().unwrap_or(0.0)
    }

    /// How often the fullest lane was filled.
    fn fullest(&self) -> f64 {
        let filled = self.sent.iter().zip(&self.net.capacities);
        filled.map(|(sent, capacity)| sent / capacity).fold(0.0, f64::max)
    }

    /// What was sent on average over so many rounds that no lane has too much: it can be carried.
    fn carried(&self) -> f64 {
        self.total / self.fullest()
    }

    /// What cannot be exceeded: all lanes at their lengths, over the shortest roads of all demands.
    fn bound(&self) -> f64 {
        let lanes = self.lengths.iter().zip(&self.net.capacities);
        let all: f64 = lanes.map(|(length, capacity)| length * capacity).sum();
        let shortest = |it: &Share| it.share * self.shortest(&it.roads).map_or(0.0, |(_, it)| it);
        all / self.net.demands.iter().map(shortest).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(capacities: &[f64], demands: &[(f64, &[&[usize]])]) -> f64 {
        let road = |lanes: &&[usize]| lanes.iter().map(|lane| (*lane, 1.0)).collect();
        let share = |(share, roads): &(f64, &[&[usize]])| Share {
            share: *share,
            roads: roads.iter().map(road).collect(),
        };
        let demands = demands.iter().map(share).collect();
        let (most, gap) = Net { capacities: capacities.to_vec(), demands }.most();
        assert!((0.0..=GAP * 1.000_1).contains(&gap), "{gap}");
        most
    }

    #[track_caller]
    fn near(found: f64, meant: f64) {
        assert!((meant * (1.0 - GAP)..=meant * 1.000_001).contains(&found), "{found} for {meant}");
    }

    #[test]
    fn the_most_is_what_is_known_of_small_networks() {
        // One lane for both.
        near(most(&[10.0], &[(0.25, &[&[0]]), (0.75, &[&[0]])]), 10.0);
        // Two roads for one.
        near(most(&[10.0, 3.0], &[(1.0, &[&[0], &[1]])]), 13.0);
        // The second has only the lane that the first can do without.
        near(most(&[4.0, 6.0], &[(0.5, &[&[0], &[1]]), (0.5, &[&[0]])]), 8.0);
        // A ring. What the first sends around, over the lanes of both others, makes it and the
        // second fill two lanes of 3 together.
        let ring: &[(f64, &[&[usize]])] =
            &[(0.5, &[&[0], &[1, 2]]), (0.3, &[&[1], &[0, 2]]), (0.2, &[&[2], &[0, 1]])];
        near(most(&[3.0, 3.0, 3.0], ring), 6.0 / (0.5 + 0.3));
    }

    #[test]
    fn a_lane_that_takes_more_for_headers_carries_less() {
        let demands = vec![Share { share: 1.0, roads: vec![vec![(0, 1.25)]] }];
        let (most, _) = Net { capacities: vec![10.0], demands }.most();
        near(most, 8.0);
    }
}
