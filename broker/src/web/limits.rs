//! What limits a project, and how much of that is used.

use maud::{Markup, html};
use tidegate_proto::v1;
use tidegate_proto::v1::Limit;
use tidegate_proto::v1::amount::Of;

use super::draw::bars::quota;
use super::say;

/// What it is a limit of.
fn what(limit: &v1::EffectiveLimit) -> String {
    let name = match limit.limit() {
        Limit::Unspecified => "unknown",
        Limit::Rate => "rate at one instant",
        Limit::Reservations => "reservations",
        Limit::RateEach => "rate of each",
        Limit::DurationEach => "length of each",
        Limit::Horizon => "how far ahead",
        Limit::Principals => "principals",
        Limit::Share => "share of lanes",
        Limit::BudgetDay => "bytes a day",
        Limit::BudgetWeek => "bytes a week",
        Limit::BudgetMonth => "bytes a month",
    };
    let each = if limit.each_principal { ", of each principal" } else { "" };
    let on = if limit.selector.is_empty() { String::new() } else { format!(" {}", limit.selector) };
    format!("{name}{on}{each}")
}

/// An amount in words.
fn amount(amount: Option<&v1::Amount>) -> Markup {
    html! {
        @match amount.and_then(|it| it.of.as_ref()) {
            None => span.none { "\u{2013}" },
            Some(Of::RateBps(bps)) => (say::rate(*bps)),
            Some(Of::ReservationCount(count) | Of::PrincipalCount(count)) => (say::count(*count)),
            Some(Of::Duration(span)) => (say::span_text(say::span_ms(Some(span)))),
            Some(Of::VolumeBytes(bytes)) => (say::bytes(*bytes)),
            Some(Of::PartPpm(ppm)) => (say::part_text(i64::from(*ppm), 1_000_000)),
        }
    }
}

/// An amount as a number, of whatever it is.
fn number(amount: Option<&v1::Amount>) -> Option<i64> {
    Some(match amount?.of.as_ref()? {
        Of::RateBps(number)
        | Of::ReservationCount(number)
        | Of::PrincipalCount(number)
        | Of::VolumeBytes(number) => *number,
        Of::Duration(span) => say::span_ms(Some(span)),
        Of::PartPpm(ppm) => i64::from(*ppm),
    })
}

/// What is used and what is allowed, where that is counted in the same unit.
fn counted(limit: &v1::EffectiveLimit) -> Option<(i64, i64)> {
    let (used, allowed) = (limit.used.as_ref()?, limit.allowed.as_ref()?);
    let same =
        std::mem::discriminant(used.of.as_ref()?) == std::mem::discriminant(allowed.of.as_ref()?);
    Some((number(Some(used))?, number(Some(allowed))?)).filter(|_| same)
}

/// The limit of which the largest part is used.
pub(super) fn tightest(limits: &[v1::EffectiveLimit]) -> Option<&v1::EffectiveLimit> {
    let parts = limits.iter().filter_map(|it| {
        let (used, allowed) = counted(it)?;
        Some((say::permille(used, allowed), it))
    });
    // The first among equals is that of the project itself.
    let most = parts.reduce(|most, it| if most.0 < it.0 { it } else { most });
    most.map(|(_, limit)| limit)
}

fn picture(limit: &v1::EffectiveLimit) -> Markup {
    html! {
        @if let Some((used, allowed)) = counted(limit) {
            (quota(used, allowed, &format!("{} used of {}", say::part_text(used, allowed), what(limit))))
        }
    }
}

/// A limit as a bar with a few words.
pub(super) fn short(limit: &v1::EffectiveLimit) -> Markup {
    html! {
        (picture(limit))
        span.small {
            (amount(limit.used.as_ref())) " of " (amount(limit.allowed.as_ref())) " "
            (what(limit))
        }
    }
}

/// The rows of a table of limits: of what, whose, a bar, used, allowed, and until when.
pub(super) fn rows(limits: &[v1::EffectiveLimit], now_ms: i64) -> Markup {
    html! {
        @for limit in limits {
            tr {
                td.first { (what(limit)) }
                td { (say::name(&limit.project)) }
                td.wide { (picture(limit)) }
                td.number {
                    (amount(limit.used.as_ref()))
                    @if !limit.lane.is_empty() { " on " (say::name(&limit.lane)) }
                    @if !limit.principal.is_empty() { " by " (limit.principal) }
                }
                td.number { (amount(limit.allowed.as_ref())) }
                td { (say::time(limit.until_time.as_ref(), now_ms)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(used: Option<Of>, allowed: Of) -> v1::EffectiveLimit {
        v1::EffectiveLimit {
            limit: Limit::Rate.into(),
            used: used.map(|of| v1::Amount { of: Some(of) }),
            allowed: Some(v1::Amount { of: Some(allowed) }),
            ..Default::default()
        }
    }

    #[test]
    fn the_tightest_is_that_of_which_most_is_used() {
        let limits = [
            limit(None, Of::RateBps(1)),
            limit(Some(Of::RateBps(5)), Of::RateBps(10)),
            limit(Some(Of::ReservationCount(8)), Of::ReservationCount(10)),
            // A rate on a lane against a part of it: no fraction can be told of these.
            limit(Some(Of::RateBps(8)), Of::PartPpm(1)),
            limit(Some(Of::RateBps(8)), Of::RateBps(10)),
        ];
        assert_eq!(tightest(&limits), Some(&limits[2]));
        assert_eq!(tightest(&limits[..1]), None);
        assert_eq!(tightest(&[]), None);
    }
}
