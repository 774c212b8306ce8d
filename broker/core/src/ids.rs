//! Identifiers for the entries of a batch, out of the one that was made for all of it.

/// The random bits of a version 7 UUID.
const RANDOM: u128 = (1 << 62) - 1;

/// The identifier of one entry: its time and its kind stay, only the random bits differ.
pub(crate) fn entry(all: u128, index: usize) -> u128 {
    let index = u128::try_from(index).unwrap_or(0);
    (all & !RANDOM) | (all.wrapping_add(index) & RANDOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_differ_in_their_random_bits_only() {
        let all = 0x019a_a7e0_8000_7000_bfff_ffff_ffff_ffff_u128;
        assert_eq!(entry(all, 0), all);
        assert_eq!(entry(all, 1), 0x019a_a7e0_8000_7000_8000_0000_0000_0000);
        assert_eq!(entry(all, 2), 0x019a_a7e0_8000_7000_8000_0000_0000_0001);
    }
}
