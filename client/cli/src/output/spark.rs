//! Lines of small bars: how full something is over time, a character a piece.

/// How high a bar is: a character has eight steps.
pub(crate) const HEIGHTS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// What stands where nothing is known.
const UNKNOWN: &str = "·";

/// What stands before the first piece that lies ahead.
const NOW: &str = "│";

/// Something is at least a line high, and only all is full.
pub(crate) fn height(part: u64, whole: u64) -> usize {
    if part == 0 {
        return 0;
    }
    let eighths = (u128::from(part) * 8).checked_div(u128::from(whole));
    usize::try_from(eighths.unwrap_or(8)).unwrap_or(8).clamp(1, 8)
}

/// Parts of wholes in at most `width` characters, of each piece the fullest; `None` is not known. A
/// mark stands before the piece in which what lies at `ahead` is, and before nothing if that is beyond.
pub(crate) fn sparkline(
    parts: &[Option<(u64, u64)>],
    ahead: Option<usize>,
    width: usize,
) -> String {
    let pieces = parts.len().min(width);
    let edge = |piece: usize| (parts.len() * piece).checked_div(pieces).unwrap_or(0);
    let mut line = String::new();
    let mut ahead = ahead.filter(|at| 0 < *at && *at <= parts.len());
    for piece in 0..pieces {
        let (from, until) = (edge(piece), edge(piece + 1));
        if ahead.is_some_and(|at| at <= from) {
            line.push_str(NOW);
            ahead = None;
        }
        let known = parts.get(from..until).unwrap_or_default().iter().flatten();
        line.push_str(match known.map(|(part, whole)| height(*part, *whole)).max() {
            Some(height) => HEIGHTS[height],
            None => UNKNOWN,
        });
    }
    if ahead.is_some() {
        line.push_str(NOW);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_eight(parts: &[u64]) -> Vec<Option<(u64, u64)>> {
        parts.iter().map(|part| Some((*part, 8))).collect()
    }

    #[test]
    fn only_all_is_full_and_only_nothing_is_empty() {
        assert_eq!(height(8_000, 8_000), 8);
        assert_eq!(height(7_999, 8_000), 7);
        assert_eq!(height(1, 8_000), 1);
        assert_eq!(height(9_000, 8_000), 8);
        assert_eq!(height(0, 8_000), 0);
        assert_eq!([height(0, 0), height(1, 0)], [0, 8]);
    }

    #[test]
    fn a_line_has_a_mark_where_the_future_begins() {
        let parts = of_eight(&[0, 1, 4, 8]);
        assert_eq!(sparkline(&parts, Some(2), 24), " ▁│▄█");
        assert_eq!(sparkline(&parts, Some(4), 24), " ▁▄█│");
        assert_eq!(sparkline(&parts, Some(0), 24), " ▁▄█", "all of it is ahead");
        assert_eq!(sparkline(&parts, Some(5), 24), " ▁▄█");
        assert_eq!(sparkline(&parts, None, 24), " ▁▄█");
        assert_eq!(sparkline(&[], Some(0), 24), "");
    }

    #[test]
    fn what_has_no_room_is_as_full_as_its_fullest_part() {
        let mut parts = of_eight(&[0, 8, 1, 1, 0, 0, 2, 4]);
        assert_eq!(sparkline(&parts, Some(3), 4), "█▁│ ▄");
        parts[4] = None;
        parts[5] = None;
        assert_eq!(sparkline(&parts, None, 4), "█▁·▄");
        parts[4] = Some((3, 8));
        assert_eq!(sparkline(&parts, None, 4), "█▁▃▄");
        // However many there are, no piece is empty and none is left out.
        for count in 1..200 {
            let parts = vec![Some((8, 8)); count];
            assert_eq!(sparkline(&parts, None, 24).chars().count(), count.min(24));
        }
    }
}
