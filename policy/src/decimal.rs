//! Exact decimal text: `2.5Gbit` is a number, a unit and no floating point in between.

use crate::error::ParseError;

/// How one kind of quantity is written.
pub(crate) struct Grammar {
    /// The kind of word, for errors.
    pub(crate) kind: &'static str,
    /// What to write, for errors.
    pub(crate) hint: &'static str,
    /// What the base unit is called, for errors about fractions of it.
    pub(crate) base: &'static str,
    /// Largest value in base units.
    pub(crate) max: u64,
}

impl Grammar {
    pub(crate) fn fault(&self, text: &str, why: impl Into<String>) -> ParseError {
        ParseError::new(self.kind, text, why, self.hint)
    }

    /// Splits `text` into a decimal number and a unit, looks the unit up and multiplies exactly.
    pub(crate) fn parse(
        &self,
        text: &str,
        factor_of: impl Fn(&str) -> Option<u64>,
    ) -> Result<u64, ParseError> {
        let trimmed = text.trim();
        let split =
            trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let unit = unit.trim_start();
        if number.is_empty() {
            return Err(self.fault(text, "it does not start with a number"));
        }
        if unit.is_empty() {
            return Err(self.fault(text, "it has no unit"));
        }
        let factor = factor_of(unit)
            .ok_or_else(|| self.fault(text, format!("the unit {unit:?} is not known")))?;
        let value = scale(number, factor).map_err(|why| match why {
            Inexact::Malformed => self.fault(text, "the number is malformed"),
            Inexact::Fraction => self.fault(text, format!("it is not a whole {}", self.base)),
            Inexact::TooLarge => self.too_large(text),
        })?;
        if value > self.max { Err(self.too_large(text)) } else { Ok(value) }
    }

    fn too_large(&self, text: &str) -> ParseError {
        self.fault(text, format!("it is over the largest {} {}", self.max, self.base))
    }
}

enum Inexact {
    Malformed,
    Fraction,
    TooLarge,
}

/// `number` (digits with at most one point) times `factor`, exactly.
fn scale(number: &str, factor: u64) -> Result<u64, Inexact> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let dangling = number.ends_with('.') || whole.is_empty();
    if dangling || fraction.contains('.') {
        return Err(Inexact::Malformed);
    }
    // Twenty digits hold every u64; more of them can only be too large or a fraction of a unit.
    let fraction = fraction.trim_end_matches('0');
    if whole.trim_start_matches('0').len() > 20 || fraction.len() > 18 {
        return Err(if fraction.len() > 18 { Inexact::Fraction } else { Inexact::TooLarge });
    }
    let digits = |text: &str| -> u128 {
        text.bytes().fold(0, |sum, digit| sum * 10 + u128::from(digit.wrapping_sub(b'0')))
    };
    let shift = fraction.len().try_into().map(|places| 10_u128.pow(places));
    let shift = shift.map_err(|_| Inexact::Fraction)?;
    let scaled_fraction = digits(fraction) * u128::from(factor);
    if !scaled_fraction.is_multiple_of(shift) {
        return Err(Inexact::Fraction);
    }
    let value = digits(whole) * u128::from(factor) + scaled_fraction / shift;
    u64::try_from(value).map_err(|_| Inexact::TooLarge)
}

/// `value / factor` as a decimal without trailing zeros; `factor` is a power of ten.
pub(crate) fn exact(value: u64, factor: u64) -> String {
    let whole = value / factor;
    let rest = value % factor;
    if rest == 0 {
        return whole.to_string();
    }
    let places = usize::try_from(factor.ilog10()).unwrap_or(0);
    let fraction = format!("{rest:0places$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}
