//! Quotas that are lent and borrowed in a tree, as arithmetic on one instant.
//!
//! Each node has a quota of its own. What it lends goes, with what its children lend it, into the
//! pool of its parent, and what it uses beyond the part that it keeps private is taken from there. The
//! semantics are those of the cohorts of Kueue (KEP-79, KEP-1224 and `resource_node.go`), so that
//! quotas mean here what they mean there:
//!
//! - `subtree` = its own quota + of each child what that lends: `subtree` - `private` of the child;
//! - `private` = `subtree` - `lend_max`, nothing where `lend_max` is not set: then all is lent;
//! - its use = what it uses itself + of each child the use beyond the private part of the child;
//! - `available` of a root = `subtree` - use; of others what is left of `private`, and what is
//!   available to the parent: at most `subtree` - `private` + `borrow_max`, less what was taken.
//!
//! All is in bits per second. Sums are exact; only a use beyond 64 bits is held at the most there is.

use std::iter;

use thiserror::Error;

use crate::project::{DEPTH_MAX, PROJECTS_MAX};
use crate::units::BitRate;

/// One quota in a tree of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Which of the nodes it is a part of; one without is the root of a tree of its own.
    pub parent: Option<usize>,
    /// Its own quota, in bits per second, at most [`BitRate::MAX`].
    pub nominal: u64,
    /// The most of its subtree's quota that others may use; `None` for all of it, zero for nothing. Of a
    /// root it says nothing.
    pub lend_max: Option<u64>,
    /// The most that it may use beyond its subtree's quota; `None` for what there is, zero for nothing.
    /// Of a root it says nothing: there is nobody to borrow from.
    pub borrow_max: Option<u64>,
}

/// Why some nodes are no tree of quotas.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SpillFault {
    /// More nodes than there may be projects.
    #[error("there are {0} nodes; {max} is the most: join some", max = PROJECTS_MAX)]
    TooMany(usize),
    /// A parent that is not there.
    #[error("the parent of node {0} is not there; name one of the nodes")]
    NoParent(usize),
    /// A node that is a part of itself, or lies too deep.
    #[error("node {0} has {max} levels or more above it, or is a part of itself; use fewer", max = DEPTH_MAX)]
    TooDeep(usize),
    /// A quota above the largest rate.
    #[error("the quota of node {0} is over the largest rate, {max}; write less", max = BitRate::MAX)]
    TooLarge(usize),
}

/// Quotas in one or more trees, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quotas {
    nodes: Vec<Node>,
    /// Each node before all of its children.
    order: Vec<usize>,
    children: Vec<Vec<usize>>,
    subtree: Vec<u64>,
}

/// What is in use of some quotas. It belongs to the [`Quotas`] that it was made for: those that differ
/// need one of their own, made with [`Quotas::used`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Used {
    /// What each node uses itself.
    own: Vec<u64>,
    /// And with what spills into it from its children.
    total: Vec<u64>,
}

/// A lender, and how much of its unused share somebody else has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loan {
    /// Who borrows.
    pub borrower: usize,
    /// Who lends: a sibling, or a node above for its own quota; a sibling of one above likewise.
    pub lender: usize,
    /// Bits per second, never zero.
    pub amount: u64,
}

impl Quotas {
    /// Quotas out of their nodes, in any order.
    ///
    /// # Errors
    /// The first [`SpillFault`] that there is.
    pub fn new(nodes: Vec<Node>) -> Result<Self, SpillFault> {
        let parents: Vec<Option<usize>> = nodes.iter().map(|node| node.parent).collect();
        let order = downwards(&parents)?;
        let large = nodes.iter().position(|node| BitRate::MAX.bps() < node.nominal);
        if let Some(node) = large {
            return Err(SpillFault::TooLarge(node));
        }
        let mut children = vec![Vec::new(); nodes.len()];
        for (node, parent) in parents.iter().enumerate() {
            if let Some(parent) = parent {
                children[*parent].push(node);
            }
        }
        // At most PROJECTS_MAX quotas of at most BitRate::MAX: the sum stays inside of 64 bits.
        let mut subtree: Vec<u64> = nodes.iter().map(|node| node.nominal).collect();
        for &node in order.iter().rev() {
            if let Some(parent) = parents[node] {
                let lent = nodes[node].lent_of(subtree[node]);
                subtree[parent] = subtree[parent].saturating_add(lent);
            }
        }
        Ok(Self { nodes, order, children, subtree })
    }

    /// The nodes, as they were given.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node's own quota and all that its children lend it.
    ///
    /// # Panics
    /// Here and below: where there is no such node.
    #[must_use]
    pub fn subtree(&self, node: usize) -> u64 {
        self.subtree[node]
    }

    /// What nobody outside of a node's subtree ever gets; all of it for a root.
    #[must_use]
    pub fn private(&self, node: usize) -> u64 {
        self.subtree[node].saturating_sub(self.lent(node))
    }

    /// What a node puts into its parent's pool; nothing for a root.
    #[must_use]
    pub fn lent(&self, node: usize) -> u64 {
        self.nodes[node].lent_of(self.subtree[node])
    }

    /// The most that a node could ever use, with nothing else in use.
    #[must_use]
    pub fn potential(&self, node: usize) -> u64 {
        let subtree = self.subtree[node];
        let Some(parent) = self.nodes[node].parent else { return subtree };
        let there_is = self.private(node).saturating_add(self.potential(parent));
        let may = self.nodes[node].borrow_max.map(|max| subtree.saturating_add(max));
        may.map_or(there_is, |may| may.min(there_is))
    }

    /// Nothing in use.
    #[must_use]
    pub fn unused(&self) -> Used {
        Used { own: vec![0; self.nodes.len()], total: vec![0; self.nodes.len()] }
    }

    /// What is in use where each node itself uses so much; nodes past the end of the list use nothing.
    #[must_use]
    pub fn used(&self, own: &[u64]) -> Used {
        let own = own.iter().copied().chain(iter::repeat(0));
        let own: Vec<u64> = own.take(self.nodes.len()).collect();
        let mut used = Used { total: own.clone(), own };
        for &node in self.order.iter().rev() {
            if let Some(parent) = self.nodes[node].parent {
                let spill = self.spill(node, used.total[node]);
                used.total[parent] = used.total[parent].saturating_add(spill);
            }
        }
        used
    }

    /// Puts more in use at a node, and above it where that spills over. Nothing is checked: ask
    /// [`Self::available`] first.
    pub fn add(&self, used: &mut Used, node: usize, amount: u64) {
        used.own[node] = used.own[node].saturating_add(amount);
        self.change(used, node, |total| total.saturating_add(amount));
    }

    /// Gives back what a node itself uses, all of it at most.
    pub fn remove(&self, used: &mut Used, node: usize, amount: u64) {
        let amount = amount.min(used.own[node]);
        used.own[node] = used.own[node].saturating_sub(amount);
        self.change(used, node, |total| total.saturating_sub(amount));
    }

    /// How much more a node may use. Where the whole is over-used, as after a quota was cut, that is
    /// taken off even of what the node keeps private, down to nothing: it is in use, it is not there.
    #[must_use]
    pub fn available(&self, used: &Used, node: usize) -> u64 {
        self.tightest(used, node).0
    }

    /// How much more a node may use, and whose limit that is: the `borrow_max` of the node or of one
    /// above it, or what there is in all at the root. The lowest of those that are alike.
    #[must_use]
    pub fn tightest(&self, used: &Used, node: usize) -> (u64, usize) {
        let tightest = self.bounds(used, node).min_by_key(|(room, _)| *room);
        let (room, whose) = tightest.unwrap_or((0, node));
        (u64::try_from(room.max(0)).unwrap_or(u64::MAX), whose)
    }

    /// How much of what a node and all below it use is beyond the quota of its subtree.
    #[must_use]
    pub fn borrowed(&self, used: &Used, node: usize) -> u64 {
        used.total[node].saturating_sub(self.subtree[node])
    }

    /// Whose unused shares a node has borrowed, at most one loan from each.
    ///
    /// Bits bear no names, so this is an attribution by rule: in each pool what was borrowed is taken
    /// first by the pool's node itself (where it uses more than its own quota), then by its children by
    /// index; each takes first of the pool's node's own unused quota, then of its children's unused
    /// shares by index, then of what the pool's node has borrowed above, by the same rule there. No
    /// share is counted twice. Where the whole is over-used the loans are less than
    /// [`Self::borrowed`]: nobody lends what is not there.
    #[must_use]
    pub fn lenders(&self, used: &Used, node: usize) -> Vec<Loan> {
        let Some(pool) = self.nodes[node].parent else { return Vec::new() };
        let mut loans = self.loans(used, pool);
        loans.retain(|loan| loan.borrower == node);
        loans
    }

    /// All loans in the pool of one node, by borrower.
    fn loans(&self, used: &Used, pool: usize) -> Vec<Loan> {
        let spare =
            |node: usize| self.lent(node).saturating_sub(self.spill(node, used.total[node]));
        let children = || self.children[pool].iter().copied();
        let nominal = self.nodes[pool].nominal;
        let inside = children().map(|child| (child, spare(child)));
        let above = self.lenders(used, pool).into_iter().map(|loan| (loan.lender, loan.amount));
        let unused = (pool, nominal.saturating_sub(used.own[pool]));
        let mut supply = [unused].into_iter().chain(inside).chain(above);
        let beyond = (pool, used.own[pool].saturating_sub(nominal));
        let borrowers = children().map(|child| (child, self.borrowed(used, child)));
        let (mut lender, mut left) = (pool, 0);
        let mut loans = Vec::new();
        for (borrower, mut wanted) in [beyond].into_iter().chain(borrowers) {
            while 0 < wanted {
                if left == 0 {
                    let Some(next) = supply.next() else { return loans };
                    (lender, left) = next;
                    continue;
                }
                let amount = wanted.min(left);
                (wanted, left) = (wanted.saturating_sub(amount), left.saturating_sub(amount));
                loans.push(Loan { borrower, lender, amount });
            }
        }
        loans
    }

    /// What a node takes from its parent's pool at a use of so much.
    fn spill(&self, node: usize, total: u64) -> u64 {
        total.saturating_sub(self.private(node))
    }

    /// Changes the total of a node, and those above it by what then spills differently.
    fn change(&self, used: &mut Used, node: usize, change: impl FnOnce(u64) -> u64) {
        let old = used.total[node];
        let new = change(old);
        used.total[node] = new;
        let mut spills = (self.spill(node, old), self.spill(node, new));
        let mut above = self.nodes[node].parent;
        while let Some(node) = above {
            let old = used.total[node];
            let new = old.saturating_sub(spills.0).saturating_add(spills.1);
            used.total[node] = new;
            spills = (self.spill(node, old), self.spill(node, new));
            above = self.nodes[node].parent;
        }
    }

    /// How much more a node may use by each limit on the way up to the root. Below nothing where the
    /// whole is over-used: what is missing there has to be taken off what is left further down.
    fn bounds(&self, used: &Used, node: usize) -> impl Iterator<Item = (i128, usize)> {
        let lineage = iter::successors(Some(node), |node| self.nodes[*node].parent);
        let mut left_below = 0_i128;
        lineage.filter_map(move |node| {
            let (it, total) = (self.nodes[node], used.total[node]);
            if it.parent.is_none() {
                let left = i128::from(self.subtree[node]).saturating_sub(total.into());
                return Some((left_below.saturating_add(left), node));
            }
            let left = self.private(node).saturating_sub(total);
            left_below = left_below.saturating_add(left.into());
            let most = i128::from(self.lent(node)).saturating_add(it.borrow_max?.into());
            let more = most.saturating_sub(self.spill(node, total).into());
            Some((left_below.saturating_add(more), node))
        })
    }
}

impl Node {
    /// What it lends of a quota of its subtree.
    fn lent_of(self, subtree: u64) -> u64 {
        match self.parent {
            Some(_) => self.lend_max.map_or(subtree, |max| max.min(subtree)),
            None => 0,
        }
    }
}

impl Used {
    /// What a node uses itself.
    #[must_use]
    pub fn own(&self, node: usize) -> u64 {
        self.own[node]
    }

    /// What counts against the quota of a node's subtree: its own use, and what spills over from its
    /// children.
    #[must_use]
    pub fn total(&self, node: usize) -> u64 {
        self.total[node]
    }
}

/// All nodes, each after its parent and by index where that leaves a choice.
pub(crate) fn downwards(parents: &[Option<usize>]) -> Result<Vec<usize>, SpillFault> {
    if PROJECTS_MAX < parents.len() {
        return Err(SpillFault::TooMany(parents.len()));
    }
    let mut by_depth = Vec::with_capacity(parents.len());
    for (node, parent) in parents.iter().enumerate() {
        let (mut below, mut above) = (node, *parent);
        let mut depth = 0_usize;
        while let Some(it) = above {
            depth = depth.saturating_add(1);
            if depth == DEPTH_MAX {
                return Err(SpillFault::TooDeep(node));
            }
            above = *parents.get(it).ok_or(SpillFault::NoParent(below))?;
            below = it;
        }
        by_depth.push((depth, node));
    }
    by_depth.sort_unstable();
    Ok(by_depth.into_iter().map(|(_, node)| node).collect())
}

#[cfg(test)]
#[path = "spill_tests.rs"]
mod tests;
