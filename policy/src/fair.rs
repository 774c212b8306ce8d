//! What is fair of a pool by weights in a tree, in whole bits per second.

use std::cmp::Reverse;

use crate::spill::{SpillFault, downwards};

/// One of those that share, and how much it weighs among its siblings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Weight {
    /// Which of the others it is a part of: it then shares in what that gets. Those without share in
    /// the pool itself.
    pub parent: Option<usize>,
    /// How much it weighs; zero gets nothing.
    pub weight: u64,
}

/// What each gets of a pool: siblings share in proportion to their weights, and what cannot be divided
/// goes to the largest remainders, the first of those that are alike (Hamilton's method). Siblings
/// together get exactly what there is for them, unless all of them weigh nothing: then it is nobody's.
///
/// # Errors
/// [`SpillFault`] where the weights are no tree.
pub fn fair_shares(pool: u64, weights: &[Weight]) -> Result<Vec<u64>, SpillFault> {
    let parents: Vec<Option<usize>> = weights.iter().map(|it| it.parent).collect();
    let order = downwards(&parents)?;
    let mut children = vec![Vec::new(); weights.len()];
    let mut roots = Vec::new();
    for (node, parent) in parents.iter().enumerate() {
        parent.map_or(&mut roots, |parent| &mut children[parent]).push(node);
    }
    let mut shares = vec![0; weights.len()];
    divide(pool, &roots, weights, &mut shares);
    for node in order {
        divide(shares[node], &children[node], weights, &mut shares);
    }
    Ok(shares)
}

fn divide(pool: u64, among: &[usize], weights: &[Weight], shares: &mut [u64]) {
    let all: u128 = among.iter().map(|node| u128::from(weights[*node].weight)).sum();
    let mut left = pool;
    let mut remainders = Vec::with_capacity(among.len());
    for &node in among {
        let product = u128::from(pool).saturating_mul(weights[node].weight.into());
        let Some(share) = product.checked_div(all) else { return };
        shares[node] = u64::try_from(share).unwrap_or(pool);
        left = left.saturating_sub(shares[node]);
        remainders.push((Reverse(product % all), node));
    }
    // Fewer are left than there are remainders, each of which is less than one.
    remainders.sort_unstable();
    let few = usize::try_from(left).unwrap_or(usize::MAX);
    for (_, node) in remainders.into_iter().take(few) {
        shares[node] = shares[node].saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weights(all: &[(Option<usize>, u64)]) -> Vec<Weight> {
        all.iter().map(|&(parent, weight)| Weight { parent, weight }).collect()
    }

    #[test]
    fn groups_share_first_and_their_members_what_they_get() {
        let groups = [(None, 1), (None, 1)];
        let members = [(Some(0), 1), (Some(0), 1), (Some(0), 3), (Some(1), 7)];
        let all = weights(&[&groups[..], &members[..]].concat());
        assert_eq!(fair_shares(300, &all), Ok(vec![150, 150, 30, 30, 90, 150]));
    }

    #[test]
    fn what_cannot_be_divided_goes_to_the_largest_remainders() {
        let three = weights(&[(None, 1), (None, 1), (None, 1)]);
        assert_eq!(fair_shares(11, &three), Ok(vec![4, 4, 3]));
        let uneven = weights(&[(None, 5), (None, 3), (None, 2), (None, 0)]);
        assert_eq!(fair_shares(7, &uneven), Ok(vec![4, 2, 1, 0]), "3.5, 2.1 and 1.4");
        let nothing = weights(&[(None, 0), (None, 0)]);
        assert_eq!(fair_shares(7, &nothing), Ok(vec![0, 0]));
        assert_eq!(fair_shares(7, &[]), Ok(vec![]));
        let largest = weights(&[(None, u64::MAX), (None, u64::MAX)]);
        assert_eq!(fair_shares(u64::MAX, &largest), Ok(vec![1 << 63, (1 << 63) - 1]));
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let circle = weights(&[(Some(1), 1), (Some(0), 1)]);
        assert_eq!(fair_shares(7, &circle), Err(SpillFault::TooDeep(0)));
        assert_eq!(fair_shares(7, &weights(&[(Some(9), 1)])), Err(SpillFault::NoParent(0)));
    }

    proptest! {
        #[test]
        fn shares_add_up_and_are_less_than_one_off(
            pool: u64,
            all in prop::collection::vec((any::<prop::sample::Index>(), 1..=u64::MAX), 1..12),
        ) {
            let all: Vec<Weight> = all.iter().enumerate().map(|(node, (above, weight))| {
                let parent = above.index(node + 1).checked_sub(1).filter(|_| node < 7);
                Weight { parent, weight: *weight }
            }).collect();
            let shares = fair_shares(pool, &all).unwrap();
            for group in std::iter::once(None).chain((0..all.len()).map(Some)) {
                let there_is = group.map_or(pool, |node| shares[node]);
                let of = || (0..all.len()).filter(|node| all[*node].parent == group);
                let together: u128 = of().map(|node| u128::from(shares[node])).sum();
                prop_assert!(of().count() == 0 || together == u128::from(there_is));
                let weight: u128 = of().map(|node| u128::from(all[node].weight)).sum();
                for node in of() {
                    let exact = u128::from(there_is) * u128::from(all[node].weight) / weight;
                    let share = u128::from(shares[node]);
                    prop_assert!(exact <= share && share <= exact + 1);
                }
            }
        }
    }
}
