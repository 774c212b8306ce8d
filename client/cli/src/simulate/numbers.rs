//! Where counts become fractions and fractions counts; the only such place.

/// A count as a fraction: exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "what is printed has a few digits")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// A large sum as a fraction.
#[allow(clippy::cast_precision_loss, reason = "what is printed has a few digits")]
pub(super) fn float_sum(sum: u128) -> f64 {
    sum as f64
}

/// The next lower whole number; 0 for anything negative or not a number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a fraction ends at the bounds of the type"
)]
pub(super) fn floor(value: f64) -> u64 {
    value as u64
}

/// The nearest whole number.
pub(super) fn round(value: f64) -> u64 {
    floor(value.round())
}

/// `part` of `whole`; all of it where there is nothing to share.
pub(super) fn share(part: u128, whole: u128) -> f64 {
    if whole == 0 { 1.0 } else { float_sum(part) / float_sum(whole) }
}
