//! The cheapest loop-free paths between two places, the k first of them.
//!
//! This is the algorithm of J. Y. Yen, "Finding the K Shortest Loopless Paths in a Network",
//! Management Science 17(11), 1971: each next path leaves one that is known at some node, and is
//! the cheapest that does so without what is known already. Paths are in the order of cost, then
//! links, then the names along the way, so that no two are ever equal and the same network always
//! gives the same paths. A place is passed once at most; parallel links make different paths.

use std::collections::{BTreeMap, BTreeSet};

use crate::lane::LaneName;

/// A way from one node to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arc<'a> {
    pub(super) to: usize,
    pub(super) cost: u64,
    pub(super) links: u32,
    pub(super) name: &'a str,
    pub(super) lanes: &'a [LaneName],
}

/// A network: the arcs that leave each node.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    leaving: Vec<Vec<Arc<'a>>>,
    /// For each node, the nodes with arcs that enter it, and which arc of theirs it is.
    entering: Vec<Vec<(usize, usize)>>,
}

/// An arc of a graph: the node that it leaves, and which of its arcs it is.
type ArcId = (usize, usize);

/// What paths are ordered by: cost, links, and the name and end of each arc.
type Order<'a> = (u64, u32, Vec<(&'a str, usize)>);

impl<'a> Graph<'a> {
    /// So many nodes without arcs.
    pub(super) fn of(nodes: usize) -> Self {
        Self { leaving: vec![Vec::new(); nodes], entering: vec![Vec::new(); nodes] }
    }

    /// Adds an arc from a node that there is to one that there is.
    pub(super) fn add(&mut self, from: usize, arc: Arc<'a>) {
        let (to, to_count) = (arc.to, self.leaving.get(from).map_or(0, Vec::len));
        if let Some(arcs) = self.leaving.get_mut(from) {
            arcs.push(arc);
        }
        if let Some(arcs) = self.entering.get_mut(to) {
            arcs.push((from, to_count));
        }
    }

    /// Takes back the last arc that was added from a node to a node.
    pub(super) fn take_back(&mut self, from: usize, to: usize) {
        if let Some(arcs) = self.leaving.get_mut(from) {
            arcs.pop();
        }
        if let Some(arcs) = self.entering.get_mut(to) {
            arcs.pop();
        }
    }

    fn arc(&self, (node, index): ArcId) -> Option<&Arc<'a>> {
        self.leaving.get(node)?.get(index)
    }

    fn order(&self, path: &[ArcId]) -> Order<'a> {
        let arcs = path.iter().filter_map(|id| self.arc(*id));
        let start = (0, 0, Vec::with_capacity(path.len()));
        arcs.fold(start, |(cost, links, mut names): Order<'a>, arc| {
            names.push((arc.name, arc.to));
            (cost.saturating_add(arc.cost), links.saturating_add(arc.links), names)
        })
    }

    /// The first `count` loop-free paths between two different nodes, as the arcs they take.
    pub(super) fn paths(&self, from: usize, to: usize, count: usize) -> Vec<Vec<Arc<'a>>> {
        let mut known: Vec<Vec<ArcId>> = Vec::new();
        let mut candidates: BTreeSet<(Order<'a>, Vec<ArcId>)> = BTreeSet::new();
        let first = self.cheapest(from, to, (&BTreeSet::new(), &BTreeSet::new()));
        candidates.extend(first.map(|path| (self.order(&path), path)));
        while let Some((_, path)) = candidates.pop_first() {
            known.push(path.clone());
            if count <= known.len() {
                break;
            }
            let mut passed: BTreeSet<usize> = BTreeSet::new();
            for (index, (spur, _)) in path.iter().enumerate() {
                let (root, _) = path.split_at(index);
                let same = known.iter().filter(|known| known.get(..index) == Some(root));
                let taken = same.filter_map(|known| known.get(index)).copied().collect();
                if let Some(rest) = self.cheapest(*spur, to, (&passed, &taken)) {
                    let whole = [root, rest.as_slice()].concat();
                    candidates.insert((self.order(&whole), whole));
                }
                passed.insert(*spur);
            }
        }
        let arcs = |path: Vec<ArcId>| path.into_iter().filter_map(|id| self.arc(id).copied());
        known.into_iter().map(|path| arcs(path).collect()).collect()
    }

    /// The first path from one node to another that passes none of these nodes and takes none of
    /// these arcs: what is left to go is measured from the end (Dijkstra 1959), and then the
    /// smallest name is followed that leads no detour.
    fn cheapest(
        &self,
        from: usize,
        to: usize,
        (passed, taken): (&BTreeSet<usize>, &BTreeSet<ArcId>),
    ) -> Option<Vec<ArcId>> {
        let mut left: BTreeMap<usize, (u64, u32)> = BTreeMap::from([(to, (0, 0))]);
        let mut frontier: BTreeSet<((u64, u32), usize)> = BTreeSet::from([((0, 0), to)]);
        while let Some((rest, node)) = frontier.pop_first() {
            if left.get(&from).is_some_and(|known| *known < rest) {
                break;
            }
            for id in self.entering.get(node).into_iter().flatten() {
                if passed.contains(&id.0) || taken.contains(id) {
                    continue;
                }
                let Some(arc) = self.arc(*id) else { continue };
                let next = (rest.0.saturating_add(arc.cost), rest.1.saturating_add(arc.links));
                let known = left.get(&id.0).copied();
                if known.is_none_or(|known| next < known) {
                    known.map(|known| frontier.remove(&(known, id.0)));
                    left.insert(id.0, next);
                    frontier.insert((next, id.0));
                }
            }
        }
        let mut path = Vec::new();
        let mut here = from;
        while here != to {
            let rest = left.get(&here)?;
            let arcs = self.leaving.get(here)?.iter().enumerate();
            let straight = arcs.filter(|(index, arc)| {
                let then = left.get(&arc.to).map(|then| {
                    (then.0.saturating_add(arc.cost), then.1.saturating_add(arc.links))
                });
                then.as_ref() == Some(rest)
                    && !taken.contains(&(here, *index))
                    && !passed.contains(&arc.to)
            });
            let (index, arc) = straight.min_by_key(|(_, arc)| (arc.name, arc.to))?;
            path.push((here, index));
            here = arc.to;
        }
        Some(path)
    }
}
