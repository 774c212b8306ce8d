//! What a quota says, from the wire and back.

use std::collections::BTreeSet;

use tidegate_policy::calendar::{OVERRIDES_MAX, WEEKLY_MAX};
use tidegate_policy::share::SHARES_MAX;
use tidegate_policy::{BitRate, Budget, Each, Interval, Period, Quota, Share, Span, Weekly, Zone};
use tidegate_proto::v1;
use v1::budget::Period as WirePeriod;

use super::policy::{few, part};
use super::reply;
use crate::fields::Fields;

/// There is no fourth kind of period.
const BUDGETS_MAX: usize = 3;

pub(super) fn quota(fields: &mut Fields, message: &v1::Quota) -> Option<Quota> {
    let (rate, rate_each) = (
        rate(fields, "rate_bps", message.rate_bps),
        rate(fields, "rate_each_bps", message.rate_each_bps),
    );
    let reservations = count(fields, "reservation_count", message.reservation_count);
    let duration = span(fields, "duration_each", message.duration_each);
    let horizon = span(fields, "horizon", message.horizon);
    let shares = shares(fields, &message.shares);
    let principals = count(fields, "principal_count", message.principal_count);
    let each = match &message.each_principal {
        None => Some(Each::default()),
        Some(each) => fields.within("each_principal", |fields| self::each(fields, each)),
    };
    let budgets = budgets(fields, &message.budgets);
    let weekly = few(fields, "weekly", &message.weekly, WEEKLY_MAX, |fields, at, it| {
        fields.within(at, |fields| weekly_rate(fields, it))
    });
    let overrides =
        few(fields, "overrides", &message.overrides, OVERRIDES_MAX, |fields, at, it| {
            fields.within(at, |fields| rate_override(fields, it))
        });
    let zone = match message.time_zone.as_str() {
        "" => Some(Zone::UTC),
        name => fields.word::<Zone>("time_zone", name),
    };
    let (lend, borrow) = (
        self::rate(fields, "lend_bps", message.lend_bps),
        self::rate(fields, "borrow_bps", message.borrow_bps),
    );
    let pool = self::rate(fields, "pool_bps", message.pool_bps);
    Some(Quota {
        rate: rate?,
        reservations: reservations?,
        rate_each: rate_each?,
        duration_each: duration?,
        horizon: horizon?,
        shares: shares?,
        principals: principals?,
        each: each?,
        budgets: budgets?,
        weekly: weekly?,
        overrides: overrides?,
        zone: zone?,
        lend: lend?,
        borrow: borrow?,
        pool: pool?,
    })
}

fn each(fields: &mut Fields, message: &v1::PrincipalQuota) -> Option<Each> {
    let rate = rate(fields, "rate_bps", message.rate_bps);
    let reservations = count(fields, "reservation_count", message.reservation_count);
    let shares = shares(fields, &message.shares);
    let budgets = budgets(fields, &message.budgets);
    Some(Each { rate: rate?, reservations: reservations?, shares: shares?, budgets: budgets? })
}

fn rate(fields: &mut Fields, field: &str, bps: Option<i64>) -> Option<Option<BitRate>> {
    match bps {
        None => Some(None),
        Some(bps) => fields.rate(field, bps).map(Some),
    }
}

fn count(fields: &mut Fields, field: &str, count: Option<i64>) -> Option<Option<u32>> {
    let Some(count) = count else { return Some(None) };
    let read = u32::try_from(count).ok();
    if read.is_none() {
        fields.fault(field, format!("it is {count}; write 0 to {}", u32::MAX));
    }
    read.map(Some)
}

fn span(
    fields: &mut Fields,
    field: &str,
    span: Option<prost_types::Duration>,
) -> Option<Option<Span>> {
    match span {
        None => Some(None),
        Some(span) => fields.span(field, span).map(Some),
    }
}

fn shares(fields: &mut Fields, shares: &[v1::Share]) -> Option<Vec<Share>> {
    few(fields, "shares", shares, SHARES_MAX, |fields, at, it| {
        fields.within(at, |fields| {
            let of = fields.word("selector", &it.selector);
            let part = part(fields, "part_ppm", it.part_ppm);
            Some(Share { of: of?, part: part? })
        })
    })
}

fn budgets(fields: &mut Fields, budgets: &[v1::Budget]) -> Option<Vec<Budget>> {
    let read = few(fields, "budgets", budgets, BUDGETS_MAX, |fields, at, it| {
        fields.within(at, |fields| {
            let period = period(it.period);
            if period.is_none() {
                fields.fault("period", format!("it is {}; say day, week or month", it.period));
            }
            let bytes = fields.bytes("volume_bytes", it.volume_bytes);
            Some(Budget { period: period?, bytes: bytes? })
        })
    })?;
    let kinds: BTreeSet<Period> = read.iter().map(|budget| budget.period).collect();
    if kinds.len() < read.len() {
        fields.fault("budgets", "a period is named twice; say one budget for each");
        return None;
    }
    Some(read)
}

pub(crate) fn period(number: i32) -> Option<Period> {
    match WirePeriod::try_from(number) {
        Ok(WirePeriod::Day) => Some(Period::Day),
        Ok(WirePeriod::Week) => Some(Period::Week),
        Ok(WirePeriod::Month) => Some(Period::Month),
        Ok(WirePeriod::Unspecified) | Err(_) => None,
    }
}

fn weekly_rate(fields: &mut Fields, message: &v1::WeeklyRate) -> Option<(Weekly, BitRate)> {
    let hours = fields.word("hours", &message.hours);
    let rate = fields.rate("rate_bps", message.rate_bps);
    hours.zip(rate)
}

fn rate_override(fields: &mut Fields, message: &v1::RateOverride) -> Option<(Interval, BitRate)> {
    let start = fields.required("start_time", message.start_time);
    let start = start.and_then(|time| fields.start("start_time", time));
    let end = fields.required("end_time", message.end_time);
    let end = end.and_then(|time| fields.end("end_time", time));
    let rate = fields.rate("rate_bps", message.rate_bps);
    let over = Interval::new(start?, end?);
    if over.is_none() {
        fields.fault("end_time", "it is not after start_time");
    }
    over.zip(rate)
}

// === to the wire ===

pub(super) fn to_wire(quota: &Quota) -> v1::Quota {
    let Quota {
        rate,
        reservations,
        rate_each,
        duration_each,
        horizon,
        shares,
        principals,
        each,
        budgets,
        weekly,
        overrides,
        zone,
        lend,
        borrow,
        pool,
    } = quota;
    v1::Quota {
        rate_bps: rate.map(bps),
        reservation_count: reservations.map(i64::from),
        rate_each_bps: rate_each.map(bps),
        duration_each: duration_each.map(reply::duration),
        horizon: horizon.map(reply::duration),
        shares: shares.iter().map(share).collect(),
        principal_count: principals.map(i64::from),
        each_principal: (*each != Each::default()).then(|| each_to_wire(each)),
        budgets: budgets.iter().map(budget).collect(),
        weekly: weekly
            .iter()
            .map(|(hours, rate)| v1::WeeklyRate { hours: hours.to_string(), rate_bps: bps(*rate) })
            .collect(),
        overrides: overrides
            .iter()
            .map(|(over, rate)| v1::RateOverride {
                start_time: Some(reply::time(over.start())),
                end_time: Some(reply::time(over.end())),
                rate_bps: bps(*rate),
            })
            .collect(),
        time_zone: if *zone == Zone::UTC { String::new() } else { zone.to_string() },
        lend_bps: lend.map(bps),
        borrow_bps: borrow.map(bps),
        pool_bps: pool.map(bps),
    }
}

fn each_to_wire(each: &Each) -> v1::PrincipalQuota {
    let Each { rate, reservations, shares, budgets } = each;
    v1::PrincipalQuota {
        rate_bps: rate.map(bps),
        reservation_count: reservations.map(i64::from),
        shares: shares.iter().map(share).collect(),
        budgets: budgets.iter().map(budget).collect(),
    }
}

fn bps(rate: BitRate) -> i64 {
    reply::int(rate.bps())
}

fn share(share: &Share) -> v1::Share {
    let part_ppm = i32::try_from(share.part.ppm()).unwrap_or(i32::MAX);
    v1::Share { selector: share.of.to_string(), part_ppm }
}

pub(crate) fn period_to_wire(period: Period) -> WirePeriod {
    match period {
        Period::Day => WirePeriod::Day,
        Period::Week => WirePeriod::Week,
        Period::Month => WirePeriod::Month,
    }
}

fn budget(budget: &Budget) -> v1::Budget {
    v1::Budget {
        period: period_to_wire(budget.period).into(),
        volume_bytes: reply::int(budget.bytes.bytes()),
    }
}
