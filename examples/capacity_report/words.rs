//! Amounts as people read them. Whatever is compared is compared before.

use comfy_table::{CellAlignment, Table, presets};
use tidegate_policy::{BitRate, ByteCount};

/// Units, largest first.
const UNITS: [(u64, &str); 5] = [
    (1_000_000_000_000_000, "P"),
    (1_000_000_000_000, "T"),
    (1_000_000_000, "G"),
    (1_000_000, "M"),
    (1_000, "k"),
];

fn short(amount: u64, unit: &str) -> String {
    let fits = UNITS.iter().find(|(factor, _)| *factor <= amount);
    let Some((factor, prefix)) = fits else { return format!("{amount} {unit}") };
    let whole = amount.div_euclid(*factor);
    let hundredths = amount.rem_euclid(*factor).saturating_mul(100).div_euclid(*factor);
    match whole {
        0..10 => format!("{whole}.{hundredths:02} {prefix}{unit}"),
        10..100 => format!("{whole}.{} {prefix}{unit}", hundredths.div_euclid(10)),
        _ => format!("{whole} {prefix}{unit}"),
    }
}

/// A rate to three digits.
pub(crate) fn rate(rate: BitRate) -> String {
    short(rate.bps(), "bit/s")
}

/// An amount of bytes to three digits.
pub(crate) fn bytes(bytes: ByteCount) -> String {
    short(bytes.bytes(), "B")
}

/// A part of something, in whole percent.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let percent = u128::from(part).saturating_mul(100).checked_div(whole.into());
    percent.map_or_else(|| "-".into(), |percent| format!("{percent} %"))
}

/// A table with its names to the left and its numbers to the right.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_shown() {
        let all = [0, 999, 1_000, 12_345, 123_456, 9_876_543, 1_200_000_000_000];
        let shown = all.map(|bytes| super::bytes(ByteCount::new(bytes)));
        let expected = ["0 B", "999 B", "1.00 kB", "12.3 kB", "123 kB", "9.87 MB", "1.20 TB"];
        assert_eq!(shown, expected);
        assert_eq!((percent(1, 3), percent(1, 0)), ("33 %".into(), "-".into()));
    }
}
