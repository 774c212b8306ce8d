//! How good forecasts are on days that they have not seen, beside "the same as yesterday" and "the same
//! as a week ago", which get a band by the same trials. The figures are printed: run with `--nocapture`.

use super::super::band::{Band, Trial, mean_error, trials};
use super::super::fit::{DAY, Past, Usual, WEEK};
use super::super::stats::count;
use super::super::{BucketLength, LanePast, forecast, real, whole};
use super::lanes::{KINDS, Kind, lane};

/// A Tuesday, at 10 o'clock.
const END_MS: i64 = 1_795_514_400_000;
const LANES: u64 = 24;

/// Sums over buckets; errors and widths in the mean rate of the lane.
#[derive(Clone, Copy, Default, Debug)]
struct Score {
    errors: f64,
    widths: f64,
    inside: f64,
    buckets: f64,
}

impl Score {
    fn add(&mut self, truth: f64, [low, expected, high]: [f64; 3], unit: f64) {
        self.errors += (truth - expected).abs() / unit;
        self.widths += (high - low) / unit;
        // What is shown is whole bits per second.
        self.inside += f64::from(u8::from(low - 0.5 <= truth && truth <= high + 0.5));
        self.buckets += 1.0;
    }

    fn error(self) -> f64 {
        self.errors / self.buckets
    }

    fn width(self) -> f64 {
        self.widths / self.buckets
    }

    fn inside(self) -> f64 {
        100.0 * self.inside / self.buckets
    }
}

impl std::ops::AddAssign for Score {
    fn add_assign(&mut self, more: Self) {
        self.errors += more.errors;
        self.widths += more.widths;
        self.inside += more.inside;
        self.buckets += more.buckets;
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.buckets == 0.0 {
            return Ok(());
        }
        let (error, width, inside) = (self.error(), self.width(), self.inside());
        write!(f, "  {error:5.3} {width:5.3} {inside:4.1}%")
    }
}

/// What is tried: how many days are known, which of the days ahead are asked for, in which buckets.
#[derive(Clone, Copy, Debug)]
struct Case {
    known: usize,
    ahead: (usize, usize),
    length: BucketLength,
}

/// The scores of the forecast, of yesterday and of the week before on all lanes of a kind.
fn scores(kind: Kind, case: Case) -> [Score; 3] {
    let (known, ahead) = (case.known * DAY, case.ahead.1 * DAY);
    let mut scores = [Score::default(); 3];
    for seed in 0..LANES {
        let lane = lane(kind, 7919 * seed + 13, 90 * DAY, ahead);
        let (hours, truths) = lane[90 * DAY - known..].split_at(known);
        let (sum, some) = hours
            .iter()
            .filter(|it| !it.is_nan())
            .fold((0.0, 0.0), |(sum, some), it| (sum + it, some + 1.0));
        let unit = sum / some;
        let history: Vec<_> = hours.iter().map(|it| (!it.is_nan()).then(|| whole(*it))).collect();
        let (booked, capacity) = (vec![0; ahead], vec![u64::MAX; ahead]);
        let lane =
            LanePast { history: &history, end_ms: END_MS, booked: &booked, capacity: &capacity };
        for bucket in forecast(lane, case.length).buckets {
            let start = usize::try_from((bucket.start_ms - END_MS) / 3_600_000).unwrap();
            // The first and the last day are cut.
            let len = match case.length {
                BucketLength::Hour => 1,
                BucketLength::Day => DAY - (start + 10) % DAY,
            };
            let inside = &truths[start..(start + len).min(ahead)];
            if start >= case.ahead.0 * DAY {
                let ends = [bucket.low, bucket.expected, bucket.high].map(real);
                scores[0].add(inside.iter().sum::<f64>() / count(inside.len()), ends, unit);
            }
        }
        for (score, lag) in scores[1..].iter_mut().zip([DAY, WEEK]) {
            if case.length == BucketLength::Hour && hours.len() > lag + DAY {
                naive(hours, truths, lag, |ahead, truth, ends| {
                    if ahead >= case.ahead.0 * DAY {
                        score.add(truth, ends, unit);
                    }
                });
            }
        }
    }
    scores
}

/// The same as one lag ago, and a band that is measured as that of the forecast is.
fn naive(hours: &[f64], truths: &[f64], lag: usize, mut each: impl FnMut(usize, f64, [f64; 3])) {
    let past = Past { hours, first: 0 };
    let far = |slot: usize| {
        let same = (hours.len() - lag + slot) % lag;
        let pairs = (lag..hours.len()).filter(|at| at % lag == same);
        let all = pairs.map(|at| (hours[at] - hours[at - lag]).abs()).filter(|it| !it.is_nan());
        let (sum, some) = all.fold((0.0, 0.0), |(sum, some), it| (sum + it, some + 1.0));
        sum / f64::max(some, 1.0)
    };
    let scales: Vec<f64> = (0..lag).map(far).collect();
    let same_again = |origin: usize, len: usize| -> Vec<Usual> {
        let one = |ahead: usize| {
            let at = origin - lag + ahead % lag;
            // If that is unknown, what was known last of the same hour of the day.
            let last = (0..=at / DAY).map(|days| hours[at - days * DAY]).find(|it| !it.is_nan());
            Usual { value: last.unwrap_or(0.0), scale: scales[ahead % lag] }
        };
        (0..len).map(one).collect()
    };
    let trials: Vec<Trial> = trials(hours.len(), lag)
        .into_iter()
        .map(|(origin, len)| Trial { origin, usual: same_again(origin, len) })
        .collect();
    assert!(mean_error(past, &trials).is_some(), "something was tried");
    let buckets: Vec<_> = (0..truths.len()).map(|at| at..at + 1).collect();
    let band = Band::of(past, &trials, &buckets);
    for (ahead, usual) in same_again(hours.len(), truths.len()).into_iter().enumerate() {
        let (low, high) = band.around(usual, ahead);
        each(ahead, truths[ahead], [low, usual.value, high]);
    }
}

/// Prints a line for each kind and one for all, and returns the last.
fn table(case: Case) -> ([Score; 3], Vec<(Kind, [Score; 3])>) {
    println!("\n{case:?}: error, width (in the mean rate) and truths in the band");
    println!("{:8}  {:19} {:19}  as a week ago", "", "forecast", " as yesterday");
    let rows: Vec<_> = KINDS.iter().map(|kind| (*kind, scores(*kind, case))).collect();
    let mut all = [Score::default(); 3];
    for (kind, scores) in &rows {
        for (all, score) in all.iter_mut().zip(scores) {
            *all += *score;
        }
        println!("{:8}{}{}{}", format!("{kind:?}"), scores[0], scores[1], scores[2]);
    }
    println!("{:8}{}{}{}", "all", all[0], all[1], all[2]);
    (all, rows)
}

#[test]
fn four_of_five_truths_are_in_a_band_that_is_narrower_than_that_of_yesterday() {
    let case = Case { known: 90, ahead: (0, 7), length: BucketLength::Hour };
    let ([ours, yesterday, week], rows) = table(case);
    assert!((75.0..=90.0).contains(&ours.inside()), "{ours}");
    assert!(ours.width() <= yesterday.width() && ours.error() < yesterday.error(), "{ours}");
    assert!(ours.width() <= week.width() && ours.error() < week.error(), "{ours}");
    for (kind, [ours, yesterday, _]) in rows {
        assert!(ours.error() < yesterday.error(), "{kind:?}: {ours}, {yesterday}");
        // Where nearly all is chance there is no pattern to make it narrower.
        if kind != Kind::Sparse {
            assert!(ours.width() <= yesterday.width(), "{kind:?}: {ours}, {yesterday}");
        }
    }
}

#[test]
fn a_month_of_history_has_a_band_that_holds() {
    let case = Case { known: 30, ahead: (0, 7), length: BucketLength::Hour };
    let ([ours, yesterday, _], _) = table(case);
    assert!((75.0..=90.0).contains(&ours.inside()), "{ours}");
    assert!(ours.width() <= yesterday.width() && ours.error() < yesterday.error(), "{ours}");
}

#[test]
fn two_weeks_of_history_are_better_than_yesterday() {
    let case = Case { known: 15, ahead: (0, 7), length: BucketLength::Hour };
    let ([ours, yesterday, _], _) = table(case);
    assert!((72.0..=90.0).contains(&ours.inside()), "{ours}");
    assert!(ours.width() <= yesterday.width() && ours.error() < yesterday.error(), "{ours}");
}

#[test]
fn means_of_days_have_a_band_of_their_own() {
    let case = Case { known: 90, ahead: (0, 14), length: BucketLength::Day };
    let ([ours, ..], days) = table(case);
    let (_, hours) = table(Case { length: BucketLength::Hour, ..case });
    assert!((75.0..=92.0).contains(&ours.inside()), "{ours}");
    // What single hours are off by cancels in part: but where most of them are surely idle, it adds up.
    for ((kind, days), (_, hours)) in days.iter().zip(&hours).filter(|it| it.0.0 != Kind::Sparse) {
        assert!(days[0].error() < hours[0].error(), "{kind:?}: {}, {}", days[0], hours[0]);
        assert!(days[0].width() < 1.05 * hours[0].width(), "{kind:?}: {}, {}", days[0], hours[0]);
    }
}

#[test]
fn far_ahead_the_band_still_holds() {
    let case = Case { known: 90, ahead: (28, 60), length: BucketLength::Hour };
    let ([ours, yesterday, _], _) = table(case);
    assert!((75.0..=90.0).contains(&ours.inside()), "{ours}");
    assert!(ours.width() <= yesterday.width() && ours.error() < yesterday.error(), "{ours}");
}
