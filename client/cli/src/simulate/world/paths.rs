//! How many loop-free paths there are between two nodes, up to a bound.

use std::collections::{BTreeSet, VecDeque};

/// Counts loop-free paths, `most` at most. Parallel links make different paths.
///
/// A step is only taken where the end can still be reached, so that every step is part of a path
/// that is counted: the work is that of `most` paths, however many there are.
pub(super) fn count(arcs: &[Vec<usize>], from: usize, to: usize, most: u32) -> u32 {
    let left = left(arcs, to);
    let mut search = Search { arcs, left, to, most, found: 0, passed: BTreeSet::from([from]) };
    search.go_on(from);
    search.found
}

/// Over how many arcs the end is reached from each node; `None` where it is not.
fn left(arcs: &[Vec<usize>], to: usize) -> Vec<Option<usize>> {
    let mut entering = vec![Vec::new(); arcs.len()];
    for (from, next) in
        arcs.iter().enumerate().flat_map(|(from, it)| it.iter().map(move |to| (from, *to)))
    {
        if let Some(entering) = entering.get_mut(next) {
            entering.push(from);
        }
    }
    let mut left = vec![None; arcs.len()];
    let mut frontier = VecDeque::from([(to, 0)]);
    while let Some((here, rest)) = frontier.pop_front() {
        let Some(known) = left.get_mut(here).filter(|known| known.is_none()) else { continue };
        *known = Some(rest);
        frontier.extend(entering.get(here).into_iter().flatten().map(|from| (*from, rest + 1)));
    }
    left
}

struct Search<'a> {
    /// The nodes that the arcs of each node lead to.
    arcs: &'a [Vec<usize>],
    left: Vec<Option<usize>>,
    to: usize,
    most: u32,
    found: u32,
    passed: BTreeSet<usize>,
}

impl Search<'_> {
    fn go_on(&mut self, here: usize) {
        if here == self.to {
            self.found = self.found.saturating_add(1);
            return;
        }
        // The straight ways first: they are the shorter ones.
        let rest = |next: &usize| self.left.get(*next).copied().flatten();
        let next = self.arcs.get(here).into_iter().flatten();
        let mut next: Vec<usize> = next.copied().filter(|next| rest(next).is_some()).collect();
        next.sort_by_key(rest);
        for next in next {
            if self.most <= self.found {
                return;
            }
            if !self.passed.contains(&next) && self.reaches(next) {
                self.passed.insert(next);
                self.go_on(next);
                self.passed.remove(&next);
            }
        }
    }

    /// Whether the end can be reached without what was passed.
    fn reaches(&self, from: usize) -> bool {
        let mut seen = self.passed.clone();
        let mut frontier = vec![from];
        while let Some(here) = frontier.pop() {
            if here == self.to {
                return true;
            }
            if seen.insert(here) {
                frontier.extend(self.arcs.get(here).into_iter().flatten());
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_without_loops_are_counted_up_to_the_bound() {
        // A square 0-1-2-3 with a tail 4 on 0.
        let arcs = [vec![1, 3, 4], vec![0, 2], vec![1, 3], vec![0, 2], vec![0]];
        let count = |from, to, most| count(&arcs, from, to, most);
        assert_eq!([count(0, 2, 4), count(4, 2, 4), count(0, 4, 4), count(0, 2, 1)], [2, 2, 1, 1]);
        assert_eq!(super::count(&[vec![1, 1, 1], vec![]], 0, 1, 4), 3, "parallel links");
        assert_eq!(super::count(&[vec![], vec![]], 0, 1, 4), 0);
    }
}
