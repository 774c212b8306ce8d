//! What is asked for and when: the shapes of requests, and times as a story tells them.

use tidegate_core::{Shape, Until};
use tidegate_policy::{BitRate, Span, Timestamp};

use super::BEGIN_MS;

/// Milliseconds of a day, and of a week.
const DAY_MS: i64 = 86_400_000;
const WEEK_MS: i64 = 7 * DAY_MS;

/// Reads `RATE TIMES`, `RATE..RATE SPAN in FROM..TO` or `volume SIZE by T [start T]
/// [min-rate RATE] [max-rate RATE] [split]`; what follows is options.
pub(super) fn shape<'a>(words: &'a [&'a str]) -> (Shape, &'a [&'a str]) {
    match words {
        ["volume", volume, "by", deadline, rest @ ..] => {
            let rate = |key| option(rest, key).map(|text| text.parse().unwrap());
            let transfer = Shape::Transfer {
                volume: volume.parse().unwrap(),
                min: rate("min-rate").unwrap_or(BitRate::ZERO),
                max: rate("max-rate").unwrap_or(BitRate::MAX),
                start: option(rest, "start").map(time),
                deadline: time(deadline),
                split: rest.contains(&"split"),
            };
            (transfer, rest)
        }
        [rates, length, "in", window, rest @ ..] => {
            let (min, max) = rates.split_once("..").unwrap_or((rates, rates));
            let (start, Until::At(end)) = times(window) else { panic!("no window: {window}") };
            let (min, max) = (min.parse().unwrap(), max.parse().unwrap());
            (Shape::Flexible { min, max, span: span(length), start, end }, rest)
        }
        [rate, over, rest @ ..] => {
            let (start, until) = times(over);
            (Shape::Rigid { rate: rate.parse().unwrap(), start, until }, rest)
        }
        _ => panic!("a request says a rate and a time, or a volume: {words:?}"),
    }
}

/// The same so many weeks later, as the broker asks for a request that is repeated weekly.
pub(super) fn weeks_later(shape: Shape, weeks: i64) -> Shape {
    let at = |at: Timestamp| Timestamp::from_ms(at.as_ms() + weeks * WEEK_MS).unwrap();
    match shape {
        Shape::Rigid { rate, start, until } => {
            let until = match until {
                Until::At(end) => Until::At(at(end)),
                Until::After(span) => Until::After(span),
            };
            Shape::Rigid { rate, start: start.map(at), until }
        }
        Shape::Flexible { min, max, span, start, end } => {
            Shape::Flexible { min, max, span, start: start.map(at), end: at(end) }
        }
        Shape::Transfer { volume, min, max, start, deadline, split } => {
            let (start, deadline) = (start.map(at), at(deadline));
            Shape::Transfer { volume, min, max, start, deadline, split }
        }
        Shape::Offered { .. } => panic!("what was offered is not asked for weekly"),
    }
}

/// The word behind a key.
pub(super) fn option<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == key)?;
    words.get(at + 1).copied()
}

/// `100m..250m`, `now..250m`, `100m+150m`, `now+150m`.
pub(super) fn times(text: &str) -> (Option<Timestamp>, Until) {
    let start = |text: &str| (text != "now").then(|| time(text));
    if let Some((from, end)) = text.split_once("..") {
        return (start(from), Until::At(time(end)));
    }
    let (from, length) = text.split_once('+').unwrap();
    (start(from), Until::After(span(length)))
}

pub(super) fn span(text: &str) -> Span {
    text.parse().unwrap()
}

/// An instant of the story, such as `100m`, `7d10m` or `-60s`, counted from its beginning.
pub(super) fn time(text: &str) -> Timestamp {
    Timestamp::from_ms(BEGIN_MS + signed_ms(text)).unwrap()
}

pub(super) fn signed_ms(text: &str) -> i64 {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    // Longer than any span may be, for what lies past the horizon.
    let (days, rest) = text.split_once('d').unwrap_or(("0", text));
    let ms = match rest.strip_suffix('m').map(str::parse::<i64>) {
        Some(Ok(minutes)) => minutes * 60_000,
        _ if rest.is_empty() => 0,
        _ => i64::try_from(span(rest).as_ms()).unwrap(),
    };
    sign * (days.parse::<i64>().unwrap() * DAY_MS + ms)
}
