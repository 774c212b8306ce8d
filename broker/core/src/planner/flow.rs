//! The most that several ways carry together, exactly: a linear program over their rates.
//!
//! Taking the shortest way first and the next from what is left is the most in nearly all cases,
//! and the splitter proves it by a set of full lanes that every way has to pass. Where it cannot,
//! this is asked: the simplex method with Bland's rule (1977), which ends, in whole numbers (Bareiss
//! 1968), which do not drift. A step that would leave 128 bits ends it without an answer.

/// A lane that several ways share: how often each crosses it, and what it carries in all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shared {
    pub(crate) times: Vec<u32>,
    pub(crate) limit: u64,
}

/// The rates of `ways` ways whose sum is highest, rounded down. `None` if numbers grew too large.
pub(crate) fn most(ways: usize, lanes: &[Shared]) -> Option<Vec<u64>> {
    let mut table = Table::new(ways, lanes)?;
    while let Some(column) = table.entering() {
        table.pivot(column)?;
    }
    table.rates(ways)
}

/// A simplex tableau: a row for each lane and one for what is to be highest; a column for each way
/// and each lane's slack, and the limits. All over one denominator.
struct Table {
    rows: Vec<Vec<i128>>,
    /// The variable that each row but the last stands for.
    basis: Vec<usize>,
    denominator: i128,
}

impl Table {
    fn new(ways: usize, lanes: &[Shared]) -> Option<Self> {
        let width = ways.checked_add(lanes.len())?.checked_add(1)?;
        let mut rows = Vec::with_capacity(lanes.len().checked_add(1)?);
        for (index, lane) in lanes.iter().enumerate() {
            let mut row = vec![0_i128; width];
            for (cell, times) in row.iter_mut().zip(&lane.times) {
                *cell = i128::from(*times);
            }
            *row.get_mut(ways.checked_add(index)?)? = 1;
            *row.last_mut()? = i128::from(lane.limit);
            rows.push(row);
        }
        let mut goal = vec![0_i128; width];
        goal.iter_mut().take(ways).for_each(|cell| *cell = -1);
        rows.push(goal);
        let basis = (0..lanes.len()).map(|index| ways.saturating_add(index)).collect();
        Some(Self { rows, basis, denominator: 1 })
    }

    /// The first variable that would make the sum higher.
    fn entering(&self) -> Option<usize> {
        let goal = self.rows.last()?;
        let (_, variables) = goal.split_last()?;
        variables.iter().position(|cell| *cell < 0)
    }

    /// The row that bounds a variable most tightly, the one of the first variable among equals.
    fn leaving(&self, column: usize) -> Option<usize> {
        let mut best: Option<(usize, i128, i128)> = None;
        for (index, row) in self.rows.iter().take(self.basis.len()).enumerate() {
            let (cell, limit) = (*row.get(column)?, *row.last()?);
            if cell <= 0 {
                continue;
            }
            let better = match best {
                None => true,
                Some((other, its_cell, its_limit)) => {
                    let (mine, its) = (limit.checked_mul(its_cell)?, its_limit.checked_mul(cell)?);
                    mine < its || (mine == its && self.basis.get(index) < self.basis.get(other))
                }
            };
            if better {
                best = Some((index, cell, limit));
            }
        }
        best.map(|(index, ..)| index)
    }

    fn pivot(&mut self, column: usize) -> Option<()> {
        let leaving = self.leaving(column)?;
        let pivot_row = self.rows.get(leaving)?.clone();
        let pivot = *pivot_row.get(column)?;
        for (_, row) in self.rows.iter_mut().enumerate().filter(|(index, _)| *index != leaving) {
            let factor = *row.get(column)?;
            for (cell, above) in row.iter_mut().zip(&pivot_row) {
                let next = cell.checked_mul(pivot)?.checked_sub(factor.checked_mul(*above)?)?;
                // Exact: every cell is a minor of the first table.
                *cell = next.checked_div(self.denominator)?;
            }
        }
        self.denominator = pivot;
        *self.basis.get_mut(leaving)? = column;
        Some(())
    }

    fn rates(&self, ways: usize) -> Option<Vec<u64>> {
        let mut rates = vec![0; ways];
        for (row, variable) in self.rows.iter().zip(&self.basis) {
            if let Some(rate) = rates.get_mut(*variable) {
                *rate = u64::try_from(row.last()?.checked_div(self.denominator)?).ok()?;
            }
        }
        Some(rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(times: &[u32], limit: u64) -> Shared {
        Shared { times: times.to_vec(), limit }
    }

    #[test]
    fn three_ways_that_share_a_lane_each_carry_half() {
        let lanes = [shared(&[1, 1, 0], 10), shared(&[1, 0, 1], 10), shared(&[0, 1, 1], 10)];
        assert_eq!(most(3, &lanes), Some(vec![5, 5, 5]));
    }

    #[test]
    fn a_way_over_two_full_lanes_makes_room_for_two() {
        // Taken first, the first way alone would fill both lanes.
        let lanes = [shared(&[1, 1, 0], 10), shared(&[1, 0, 1], 10)];
        assert_eq!(most(3, &lanes), Some(vec![0, 10, 10]));
    }

    #[test]
    fn a_lane_that_is_crossed_twice_carries_half() {
        assert_eq!(most(1, &[shared(&[2], 10)]), Some(vec![5]));
        assert_eq!(most(2, &[shared(&[2, 1], 10)]).map(|rates| rates.iter().sum()), Some(10_u64));
    }
}
