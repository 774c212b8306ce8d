//! The most that several ways carry together, proved.
//!
//! A simplex in floating point finds a point and prices of the lanes; both are then rounded to
//! whole numbers and small fractions, and checked in those: prices under which every way costs at
//! least one prove that nothing carries more than the lanes are worth. What cannot be proved
//! fails its test, so nothing rests on the floating point.

/// A lane: how often each way crosses it, and the wire rate that is free on it, in bits per second,
/// with headers in parts per million on top of each bit of payload.
pub(super) struct Shared {
    pub(super) times: Vec<u32>,
    pub(super) free: u64,
    pub(super) ppm: u32,
}

const PPM: u128 = 1_000_000;
/// Prices of lanes are fractions of at most this denominator: minors of small whole numbers.
const DENOMINATOR_MAX: u32 = 720;
const EPSILON: f64 = 1e-9;

impl Shared {
    /// The payload that the lane carries of one way that crosses it once.
    fn payload(&self) -> f64 {
        float(self.free) * 1e6 / (1e6 + f64::from(self.ppm))
    }
}

#[allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "a guess that is proved")]
fn float(bps: u64) -> f64 {
    bps as f64
}

/// The highest whole number of payload bits per second that the ways carry together if bookings
/// did not round, and a way of carrying nearly as much.
pub(super) fn most(ways: usize, lanes: &[Shared]) -> (u64, Vec<u64>) {
    if lanes.is_empty() || ways == 0 {
        return (0, vec![0; ways]);
    }
    let (rates, prices) = simplex(ways, lanes);
    let worth = proved(ways, lanes, &prices);
    (worth, rates)
}

/// What the lanes are worth at these prices, rounded down, if every way costs at least one.
fn proved(ways: usize, lanes: &[Shared], prices: &[f64]) -> u64 {
    for denominator in 1..=DENOMINATOR_MAX {
        let rounded: Vec<i64> =
            prices.iter().map(|price| nearest(price * f64::from(denominator))).collect();
        let close = rounded.iter().zip(prices).all(|(whole, price)| {
            (f64::from(i32::try_from(*whole).unwrap()) / f64::from(denominator) - price).abs()
                < 1e-6
        });
        let cost = |way: usize| -> i64 {
            lanes.iter().zip(&rounded).map(|(lane, price)| i64::from(lane.times[way]) * price).sum()
        };
        if close && (0..ways).all(|way| i64::from(denominator) <= cost(way)) {
            return worth(lanes, &rounded, denominator);
        }
    }
    panic!("no prices prove what {ways} ways carry: {prices:?}")
}

/// The sum of price times payload over all lanes, rounded down: exact up to what a division of
/// 10^30 rounds, and never below the truth.
fn worth(lanes: &[Shared], prices: &[i64], denominator: u32) -> u64 {
    const FINE: u128 = 1 << 40;
    let mut sum = 0_u128;
    for (lane, price) in lanes.iter().zip(prices) {
        let payload = u128::from(lane.free) * PPM * FINE;
        sum += (payload * u128::try_from(*price).unwrap()).div_ceil(PPM + u128::from(lane.ppm));
    }
    u64::try_from(sum / FINE / u128::from(denominator)).unwrap()
}

#[allow(clippy::cast_possible_truncation, clippy::as_conversions, reason = "prices are small")]
fn nearest(value: f64) -> i64 {
    value.round() as i64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::as_conversions,
    reason = "rates are whole numbers below 2^53"
)]
fn whole(value: f64) -> u64 {
    (value + 1e-7).max(0.0).floor() as u64
}

/// Rates of the ways, rounded down, and prices of the lanes.
fn simplex(ways: usize, lanes: &[Shared]) -> (Vec<u64>, Vec<f64>) {
    let scale = lanes.iter().map(Shared::payload).fold(0.0, f64::max).max(1.0);
    let width = ways + lanes.len() + 1;
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for (index, lane) in lanes.iter().enumerate() {
        let mut row = vec![0.0; width];
        for (cell, times) in row.iter_mut().zip(&lane.times) {
            *cell = f64::from(*times);
        }
        row[ways + index] = 1.0;
        row[width - 1] = lane.payload() / scale;
        rows.push(row);
    }
    let mut goal = vec![0.0; width];
    goal[..ways].fill(-1.0);
    let mut basis: Vec<usize> = (ways..ways + lanes.len()).collect();
    // Always the first that helps, so that it ends (Bland 1977).
    while let Some(column) = (0..width - 1).find(|column| goal[*column] < -EPSILON) {
        let leaving = leaving(&rows, &basis, column);
        let pivot = rows[leaving][column];
        rows[leaving].iter_mut().for_each(|cell| *cell /= pivot);
        let pivot_row = rows[leaving].clone();
        let others = rows.iter_mut().enumerate().filter(|(index, _)| *index != leaving);
        for row in others.map(|(_, row)| row).chain([&mut goal]) {
            let factor = row[column];
            if factor != 0.0 {
                row.iter_mut().zip(&pivot_row).for_each(|(cell, above)| *cell -= factor * above);
            }
        }
        basis[leaving] = column;
    }
    let mut rates = vec![0; ways];
    for (row, variable) in rows.iter().zip(&basis) {
        if let Some(rate) = rates.get_mut(*variable) {
            *rate = whole(row[width - 1] * scale);
        }
    }
    (rates, goal[ways..width - 1].to_vec())
}

fn leaving(rows: &[Vec<f64>], basis: &[usize], column: usize) -> usize {
    let mut best: Option<(f64, usize)> = None;
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| EPSILON < row[column]) {
        let ratio = row.last().unwrap() / row[column];
        let better = best.is_none_or(|(least, known)| {
            ratio < least - 1e-12 || (ratio <= least + 1e-12 && basis[index] < basis[known])
        });
        if better {
            best = Some((ratio, index));
        }
    }
    best.expect("every way crosses a lane").1
}
