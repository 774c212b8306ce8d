use super::chunks::CHUNK;
use super::*;
use proptest::prelude::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

fn over(start: i64, end: i64) -> Interval {
    Interval::new(at(start), at(end)).unwrap()
}

fn span(ms: u64) -> Span {
    Span::from_ms(ms).unwrap()
}

#[test]
fn touching_bookings_do_not_add_up() {
    let mut line = Timeline::default();
    line.book(over(0, 10), 4).unwrap();
    line.book(over(10, 20), 4).unwrap();
    assert_eq!(line.peak(over(0, 20)), 4);
    assert_eq!(line.steps().count(), 2, "equal neighbours are one step");
}

#[test]
fn equal_bookings_add_up() {
    let mut line = Timeline::default();
    line.book(over(0, 10), 4).unwrap();
    line.book(over(0, 10), 4).unwrap();
    assert_eq!(line.peak(over(9, 10)), 8);
    line.free(over(0, 10), 4).unwrap();
    line.free(over(0, 10), 4).unwrap();
    assert!(line.is_empty());
}

#[test]
fn what_is_not_booked_cannot_be_freed() {
    let mut line = Timeline::default();
    line.book(over(0, 10), 4).unwrap();
    let before = line.clone();
    assert_eq!(line.free(over(5, 11), 1), Err(Imbalance));
    assert_eq!(line.book(over(5, 11), u64::MAX), Err(Imbalance));
    let edges = |step: fn(&mut Edges, Interval, u64), amount| {
        let mut edges = Edges::default();
        step(&mut edges, over(5, 11), amount);
        edges
    };
    assert_eq!(line.change(edges(Edges::free, 1)), Err(Imbalance));
    assert_eq!(line.change(edges(Edges::book, u64::MAX)), Err(Imbalance));
    assert_eq!(line, before);
}

proptest! {
    /// Every answer equals one computed instant by instant from the list of bookings.
    #[test]
    fn equals_the_list_of_bookings(
        bookings in prop::collection::vec((0..40_i64, 1..20_i64, 1..5_u64, any::<bool>()), 0..24),
        (start, length, ceiling) in (0..50_i64, 1..20_i64, 0..12_u64),
    ) {
        let mut line = Timeline::default();
        let mut list = Vec::new();
        let mut at_once = Edges::default();
        for (from, length, amount, kept) in bookings {
            line.book(over(from, from + length), amount).unwrap();
            at_once.book(over(from, from + length), amount);
            if !kept {
                at_once.free(over(from, from + length), amount);
            }
            if kept {
                list.push((over(from, from + length), amount));
            } else {
                line.free(over(from, from + length), amount).unwrap();
            }
        }
        let level = |ms: i64| -> u64 {
            let inside = |(over, _): &&(Interval, u64)| over.overlaps(self::over(ms, ms + 1));
            list.iter().filter(inside).map(|(_, amount)| amount).sum()
        };
        let asked = over(start, start + length);
        let mut changed = Timeline::default();
        changed.book(asked, 7).unwrap();
        changed.change(at_once).unwrap();
        changed.free(asked, 7).unwrap();
        prop_assert_eq!(&changed, &line);
        prop_assert_eq!(changed.peak(asked), line.peak(asked));
        prop_assert_eq!(line.peak(asked), (start..start + length).map(level).max().unwrap());
        let fits = |from: &i64| (*from..from + length).all(|ms| level(ms) <= ceiling);
        let expected = (start..=90).find(fits).map(at);
        let found = line.earliest(at(start), at(90), span(length.try_into().unwrap()), ceiling);
        prop_assert_eq!(found, expected);
        let levels: Vec<u64> = line.steps().map(|(_, level)| level).collect();
        prop_assert!(levels.windows(2).all(|pair| pair[0] != pair[1]));
        let highest = levels.into_iter().max().unwrap_or(0);
        prop_assert!(highest <= line.levels.top());
        // What has sunk is noticed after as many times as there are chunks.
        for _ in 0..4 {
            line.book(asked, 1).unwrap();
            line.free(asked, 1).unwrap();
        }
        let ahead = line.levels.top().saturating_sub(highest);
        prop_assert!(ahead <= 1, "{ahead} above the highest");
    }
}

/// Breakpoints enough for several chunks, at odd instants, with every level different from its
/// neighbours'.
fn long(steps: i64) -> (Timeline, Vec<u64>) {
    let mut line = Timeline::default();
    let mut levels = vec![0; usize::try_from(2 * steps).unwrap()];
    for step in 0..steps {
        let amount = u64::try_from(step % 7 + 1).unwrap();
        line.book(over(2 * step, 2 * step + 1), amount).unwrap();
        levels[usize::try_from(2 * step).unwrap()] = amount;
    }
    (line, levels)
}

proptest! {
    /// Chunks split, merge, are raised as a whole and passed over, and every answer is that of the
    /// plain list of levels.
    #[test]
    fn chunks_are_not_seen(
        bookings in prop::collection::vec((0..400_i64, 1..300_i64, 1..5_u64, any::<bool>()), 0..200),
        questions in prop::collection::vec((0..800_i64, 1..500_i64, 0..24_u64), 1..40),
    ) {
        let (mut line, mut levels) = long(i64::try_from(CHUNK).unwrap() * 7);
        levels.resize(1500, 0);
        for (from, length, amount, freed) in bookings {
            let there = usize::try_from(from).unwrap()..usize::try_from(from + length).unwrap();
            let least = *levels[there.clone()].iter().min().unwrap();
            let asked = over(from, from + length);
            if freed {
                // As much as stands there, so that breakpoints go.
                prop_assert_eq!(line.free(asked, least + 1), Err(Imbalance));
                line.free(asked, least).unwrap();
                levels[there].iter_mut().for_each(|level| *level -= least);
            } else {
                match amount {
                    4 => {
                        let mut edges = Edges::default();
                        edges.book(asked, amount);
                        line.change(edges).unwrap();
                    }
                    _ => line.book(asked, amount).unwrap(),
                }
                levels[there].iter_mut().for_each(|level| *level += amount);
            }
        }
        let level = |ms: i64| levels[usize::try_from(ms).unwrap()];
        let steps = (0..1500).filter(|ms| level(*ms) != if *ms == 0 { 0 } else { level(ms - 1) });
        let steps: Vec<(Timestamp, u64)> = steps.map(|ms| (at(ms), level(ms))).collect();
        prop_assert_eq!(line.steps().collect::<Vec<_>>(), steps);
        for (start, length, ceiling) in questions {
            let asked = over(start, start + length);
            prop_assert_eq!(line.peak(asked), (start..start + length).map(level).max().unwrap());
            prop_assert_eq!(line.level_at(at(start)), level(start));
            let mut cursor = line.cursor(at(start));
            cursor.skip(at(start + length));
            prop_assert_eq!(cursor.level(), level(start + length));
            let part = line.part(asked);
            prop_assert!(part.pieces(asked).eq(line.pieces(asked)));
            let latest = start + 100;
            let fits = |from: &i64| (*from..from + length).all(|ms| level(ms) <= ceiling);
            let expected = (start..=latest).find(fits).map(at);
            let span = span(length.try_into().unwrap());
            prop_assert_eq!(line.earliest(at(start), at(latest), span, ceiling), expected);
        }
    }
}

#[test]
fn what_is_freed_again_leaves_nothing() {
    let (mut line, levels) = long(1000);
    let before = line.clone();
    line.book(over(1, 1999), 3).unwrap();
    assert_ne!(line, before);
    line.free(over(1, 1999), 3).unwrap();
    assert_eq!(line, before);
    for (ms, amount) in (0..).zip(levels) {
        line.free(over(ms, ms + 1), amount).unwrap();
    }
    assert!(line.is_empty());
}
