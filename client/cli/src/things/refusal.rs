//! Refusals, for programs. People read them as the [`clerk`](crate::clerk) says them.

use tidegate_client::QuotaBlocker;
use tidegate_client::policy::RuleBlocker;
use tidegate_client::refusal::{Blocker, CounterOffer, OfferKind, Refusal, RefusalReason};

use crate::output::{Column, Record, Thing, Value};
use crate::things::policy::{amount, limit, whose};
use crate::things::reservation;

impl Thing for Refusal {
    const ONE: &'static str = "refusal";
    const MANY: &'static str = "refusals";
    /// One key says that it is a refusal: an answer is this or a reservation.
    const COLUMNS: &'static [Column<Self>] =
        &[Column::new("refusal", "refusal", |it| Value::Record(record(it)))];
}

pub(crate) fn record(it: &Refusal) -> Record {
    Record(vec![
        ("reason", Value::text(reason(it.reason))),
        ("blockers", Value::Records(it.blockers.iter().map(blocker).collect())),
        ("rules", Value::Records(it.rules.iter().map(rule).collect())),
        ("quotas", Value::Records(it.quotas.iter().map(quota).collect())),
        ("offers", Value::Records(it.offers.iter().map(offer).collect())),
        ("held", it.held.as_ref().map_or(Value::Nothing, |held| reservation::brief(held))),
    ])
}

pub(crate) fn reason(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::RuleDenied => "rule_denied",
        RefusalReason::ClassNotAllowed => "class_not_allowed",
        RefusalReason::NoTier => "no_tier",
        RefusalReason::AboveQuota => "above_quota",
        RefusalReason::QuotaExhausted => "quota_exhausted",
        RefusalReason::NoPath => "no_path",
        RefusalReason::RateAboveCapacity => "rate_above_capacity",
        RefusalReason::NoHeadroom => "no_headroom",
        RefusalReason::Drained => "drained",
        RefusalReason::OthersRefused => "others_refused",
        RefusalReason::OtherTaken => "other_taken",
        RefusalReason::Unknown(_) => "unknown",
    }
}

fn blocker(it: &Blocker) -> Record {
    Record(vec![
        ("source", Value::maybe(it.source.as_ref())),
        ("lane", Value::text(&it.lane)),
        ("limit_bps", Value::Rate(it.limit)),
        ("free_bps", Value::Rate(it.free)),
        ("needed_bps", Value::Rate(it.needed)),
        ("missing_bps", Value::Rate(it.missing)),
        ("first_free_time", Value::time(it.first_free)),
    ])
}

fn rule(it: &RuleBlocker) -> Record {
    Record(vec![("rule", Value::text(&it.rule)), ("message", Value::text(&it.message))])
}

fn quota(it: &QuotaBlocker) -> Record {
    let mut fields = whose(&it.whose);
    fields.extend([
        ("limit", Value::text(limit(it.what))),
        ("allowed", amount(it.allowed)),
        ("used", amount(it.used)),
        ("asked", amount(it.asked)),
    ]);
    Record(fields)
}

pub(super) fn offer(it: &CounterOffer) -> Record {
    let kind = match it.kind {
        OfferKind::SameRateLater => "same_rate_later",
        OfferKind::LowerRateNow => "lower_rate_now",
        OfferKind::LaterFinish => "later_finish",
        OfferKind::OtherSource => "other_source",
        OfferKind::LessInTime => "less_in_time",
        OfferKind::Unknown(_) => "unknown",
    };
    Record(vec![
        ("kind", Value::text(kind)),
        ("source", Value::maybe(it.source.as_ref())),
        ("via", Value::texts(it.via.iter().map(|host| format!("hosts/{host}")))),
        ("path", it.path.map_or(Value::Nothing, |path| Value::Count(path.into()))),
        ("volume_bytes", it.volume.map_or(Value::Nothing, Value::Size)),
        ("rate_bps", reservation::highest(it.rate)),
        ("start_time", Value::Time(it.start)),
        ("end_time", Value::Time(it.end)),
        ("token", Value::maybe(it.token.as_ref())),
    ])
}
