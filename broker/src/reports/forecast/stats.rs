//! What is robust of numbers: medians, quantiles and slopes; and the way from whole numbers and back.

/// So few are sorted faster than searched.
const FEW: usize = 20;

/// Of rates up to nine petabit per second nothing is lost, and a forecast is no exact number.
#[allow(clippy::cast_precision_loss, reason = "exact below 2^53, a guess above")]
pub(super) fn real(whole: u64) -> f64 {
    whole as f64
}

/// The same of what is counted.
#[allow(clippy::cast_precision_loss, reason = "nobody counts 2^53 hours")]
pub(super) fn count(whole: usize) -> f64 {
    whole as f64
}

/// The nearest whole number; nothing where it is less than that or no number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and what is no number becomes zero"
)]
pub(super) fn whole(real: f64) -> u64 {
    real.round() as u64
}

/// The nearest whole number that may be less than nothing.
#[allow(clippy::cast_possible_truncation, reason = "the cast saturates")]
pub(super) fn signed(real: f64) -> i64 {
    real.round() as i64
}

/// What is in the middle, the mean of two where there are two; what is there is put into another order.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    let len = values.len();
    if len == 0 {
        return None;
    }
    if len <= FEW {
        sort(values);
        let upper = values[len / 2];
        return Some(if len % 2 == 1 { upper } else { f64::midpoint(values[len / 2 - 1], upper) });
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(len / 2, f64::total_cmp);
    if len % 2 == 1 {
        return Some(upper);
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(f64::midpoint(lower, upper))
}

/// The value below and above which at most half of the weight is.
pub(super) fn weighted_median(values: &mut [(f64, f64)]) -> Option<f64> {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let half = values.iter().map(|it| it.1).sum::<f64>() / 2.0;
    let mut below = 0.0;
    for (at, &(value, weight)) in values.iter().enumerate() {
        below += weight;
        if below > half {
            return Some(value);
        }
        if below == half {
            return Some(values.get(at + 1).map_or(value, |next| f64::midpoint(value, next.0)));
        }
    }
    None
}

/// The sum, in which the furthest twelfth at either end counts as the next one does (Winsor's mean times
/// the number): two hours of a day cannot carry it away.
pub(super) fn winsorised(values: &mut [f64]) -> f64 {
    sort(values);
    let cut = values.len().div_ceil(12).min(values.len().saturating_sub(1) / 2);
    let inner = &values[cut..values.len() - cut];
    let ends = inner.first().zip(inner.last()).map_or(0.0, |(least, most)| least + most);
    inner.iter().sum::<f64>() + ends * count(cut)
}

/// Few numbers, by insertion: twice as fast as what is made for many.
fn sort(values: &mut [f64]) {
    for end in 1..values.len() {
        let it = values[end];
        let mut at = end;
        while at > 0 && values[at - 1] > it {
            values[at] = values[at - 1];
            at -= 1;
        }
        values[at] = it;
    }
}
