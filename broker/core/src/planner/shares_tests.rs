use proptest::prelude::*;

use super::*;

fn sharer(weight: u32, most: u64, draws: &[(usize, u64, u64)]) -> Sharer {
    let draw = |&(lane, booked, payload): &(usize, u64, u64)| Draw { lane, booked, payload };
    Sharer { weight, most, draws: draws.iter().map(draw).collect() }
}

/// Bits are handed out one by one, always to the one that has least for its weight, of those who may
/// have more and whose lanes have room for it; the first among equals.
fn bit_by_bit(left: &[u64], sharers: &[Sharer]) -> Vec<u64> {
    let mut shares = vec![0; sharers.len()];
    loop {
        let fits = |index: usize| {
            let mut more: Vec<u64> = shares.clone();
            more[index] += 1;
            more[index] <= sharers[index].most && is_feasible(left, sharers, &more)
        };
        let least = (0..sharers.len()).filter(|index| fits(*index));
        let by_weight = |index: &usize| {
            let level = u128::from(shares[*index] + 1) * 1_000_000_000_000;
            (level / u128::from(sharers[*index].weight), *index)
        };
        let Some(index) = least.min_by_key(by_weight) else { return shares };
        shares[index] += 1;
    }
}

fn taken(lane: usize, sharers: &[Sharer], shares: &[u64]) -> u64 {
    let draws = sharers.iter().zip(shares).flat_map(|(sharer, share)| {
        let on = sharer.draws.iter().filter(move |draw| draw.lane == lane);
        on.map(|draw| draw.amount(*share))
    });
    draws.sum()
}

fn is_feasible(left: &[u64], sharers: &[Sharer], shares: &[u64]) -> bool {
    left.iter().enumerate().all(|(lane, left)| taken(lane, sharers, shares) <= *left)
}

#[test]
fn three_of_one_one_and_three_fill_a_lane() {
    let on = [(0, 1, 1)];
    let all = [sharer(1, 1000, &on), sharer(1, 1000, &on), sharer(3, 1000, &on)];
    assert_eq!(shares(&[500], &all), [100, 100, 300]);
    // What one has enough of goes to the others.
    let all = [sharer(1, 1000, &on), sharer(1, 1000, &on), sharer(3, 100, &on)];
    assert_eq!(shares(&[500], &all), [200, 200, 100]);
    // What one cannot use on a lane, because another lane of its own is full, goes to the others.
    let all = [sharer(1, 1000, &[(0, 1, 1), (1, 1, 1)]), sharer(1, 1000, &on)];
    assert_eq!(shares(&[500, 30], &all), [30, 470]);
    assert_eq!(shares(&[0, 30], &all), [0, 0]);
    assert_eq!(shares(&[500], &[]), [0; 0]);
}

prop_compose! {
    fn world(lanes: usize, most: u64)(
        left in prop::collection::vec(0..=most, lanes),
        raw in prop::collection::vec(
            (
                1..=8_u32,
                prop_oneof![0..=most, Just(most)],
                prop::collection::btree_map(0..lanes, (800..=1600_u64, 900..=1100_u64), 1..=lanes),
            ),
            0..10,
        ),
    ) -> (Vec<u64>, Vec<Sharer>) {
        let sharers = raw.into_iter().map(|(weight, most, draws)| {
            let draws: Vec<_> = draws.into_iter().map(|(lane, (b, p))| (lane, b, p)).collect();
            sharer(weight, most, &draws)
        });
        (left, sharers.collect())
    }
}

proptest! {
    /// The theorem that makes an allocation the one that is max-min fair: everybody has all that is of
    /// use to it, or draws on a lane that is full, where nobody has more for its weight.
    #[test]
    fn everybody_is_sated_or_has_a_bottleneck(
        (left, sharers) in world(5, 1_000_000_000_000_000),
    ) {
        let shares = shares(&left, &sharers);
        prop_assert!(is_feasible(&left, &sharers, &shares));
        // Costs are rounded up in their last binary place.
        let slack_of = |amount: u64| 64 + (amount >> 20);
        for (sharer, share) in sharers.iter().zip(&shares) {
            prop_assert!(*share <= sharer.most);
            if *share == sharer.most {
                continue;
            }
            let bottleneck = sharer.draws.iter().any(|draw| {
                let left = left[draw.lane];
                let full = left <= taken(draw.lane, &sharers, &shares) + slack_of(left);
                let others = sharers.iter().zip(&shares).filter(|(other, _)| {
                    other.draws.iter().any(|it| it.lane == draw.lane)
                });
                let mut others = others;
                full && others.all(|(other, its)| {
                    u128::from(*its) * u128::from(sharer.weight)
                        <= u128::from(*share + slack_of(*share)) * u128::from(other.weight)
                })
            });
            prop_assert!(bottleneck, "{share} of {sharer:?} in {shares:?}");
        }
    }

    /// Near to what handing out bit by bit comes to.
    #[test]
    fn as_if_handed_out_bit_by_bit((left, mut sharers) in world(3, 300)) {
        // Where bits are costly one of them tips the balance, and two ways to round lie apart.
        for draw in sharers.iter_mut().flat_map(|it| &mut it.draws) {
            (draw.booked, draw.payload) = (1, 1);
        }
        let (ours, naive) = (shares(&left, &sharers), bit_by_bit(&left, &sharers));
        let slack = 8 * u64::try_from(sharers.len()).unwrap_or(0) + 1;
        for (our, its) in ours.iter().zip(&naive) {
            prop_assert!(our.abs_diff(*its) <= slack, "{ours:?} beside {naive:?}");
        }
    }
}
