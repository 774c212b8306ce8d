//! Requests off their grid: what only works on whole slots is found out by it.

use tidegate_policy::Span;

use super::dice::Dice;
use super::formats::requests::Request;

/// Each request asked up to `most` later, its window moved by up to `most` of its own but never
/// to before it is asked; in the order of arrival.
pub(super) fn moved(requests: &[Request], most: Span, seed: u64) -> Vec<Request> {
    if most == Span::ZERO {
        return requests.to_vec();
    }
    let mut dice = Dice::new(seed, "jitter");
    let mut moved: Vec<Request> = requests.iter().map(|it| one(it, most, &mut dice)).collect();
    moved.sort_by_key(|request| request.arrive);
    moved
}

fn one(request: &Request, most: Span, dice: &mut Dice) -> Request {
    let span = |ms| Span::from_ms(ms).unwrap_or(Span::MAX);
    let arrive = request.arrive.plus(span(dice.up_to(most.as_ms())));
    let least = arrive.since(request.window().start());
    let rest = most.as_ms().saturating_sub(least.as_ms());
    request.moved(arrive, span(least.as_ms().saturating_add(dice.up_to(rest))))
}
