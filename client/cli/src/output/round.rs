//! Rates and sizes in three digits, for people who compare them.

use tidegate_policy::{BitRate, ByteCount};

/// Prefixes, the largest first.
const PREFIXES: [(&str, u64); 6] = [
    ("P", 1_000_000_000_000_000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
    ("", 1),
];

pub(crate) fn rate(rate: BitRate) -> String {
    three(rate.bps(), "bit/s")
}

pub(crate) fn size(size: ByteCount) -> String {
    three(size.bytes(), "B")
}

/// More or less bits per second, with the sign.
pub(crate) fn signed(bps: i64) -> String {
    let sign = if bps < 0 { "-" } else { "+" };
    format!("{sign}{}", three(bps.unsigned_abs(), "bit/s"))
}

/// `1.23G`, `12.3G`, `123G`: half of the last digit is rounded up.
fn three(number: u64, unit: &str) -> String {
    let fits = PREFIXES.iter().position(|(_, factor)| *factor <= number);
    let mut at = fits.unwrap_or(PREFIXES.len() - 1);
    loop {
        let (prefix, factor) = PREFIXES[at];
        let (whole, factor) = (number / factor, u128::from(factor));
        // What is no multiple of the unit has no more digits than it has.
        let digits: u32 = match whole {
            0..=9 => 2,
            10..=99 => 1,
            _ => 0,
        };
        let tens = 10_u128.pow(digits);
        let scaled = (u128::from(number) * tens + factor / 2) / factor;
        if 1000 * tens <= scaled && 0 < at {
            // 999.6M is 1G.
            at -= 1;
            continue;
        }
        let (whole, rest) = (scaled / tens, scaled % tens);
        let places = usize::try_from(digits).unwrap_or(0);
        let text = format!("{whole}.{rest:0places$}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        return format!("{text}{prefix}{unit}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_left() {
        let table = [
            (0, "0bit/s"),
            (7, "7bit/s"),
            (999, "999bit/s"),
            (1_000, "1kbit/s"),
            (1_005, "1.01kbit/s"),
            (20_000, "20kbit/s"),
            (100_000, "100kbit/s"),
            (999_499, "999kbit/s"),
            (999_500, "1Mbit/s"),
            (4_308_124_456, "4.31Gbit/s"),
            (43_081_244_560, "43.1Gbit/s"),
            (99_960_000_000, "100Gbit/s"),
            (430_812_445_600, "431Gbit/s"),
            (u64::MAX, "18447Pbit/s"),
        ];
        for (number, expected) in table {
            assert_eq!(three(number, "bit/s"), expected, "{number}");
        }
        assert_eq!(size(ByteCount::new(1_234_567_890)), "1.23GB");
        assert_eq!(
            [signed(-1_500), signed(0), signed(2_000_000)],
            ["-1.5kbit/s", "+0bit/s", "+2Mbit/s"]
        );
    }
}
