//! What a quota says, to the wire and from it.

use tidegate_policy::{
    BitRate, Budget, Each, Interval, Part, Period, Quota, Share, Span, Weekly, Zone,
};
use tidegate_proto::v1;
use v1::budget::Period as WirePeriod;

use super::span;
use crate::error::ClientError;
use crate::wire;

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
    let hours = |(hours, rate): &(Weekly, BitRate)| v1::WeeklyRate {
        hours: hours.to_string(),
        rate_bps: wire::to_rate(*rate),
    };
    let dated = |(over, rate): &(Interval, BitRate)| v1::RateOverride {
        start_time: Some(wire::to_timestamp(over.start())),
        end_time: Some(wire::to_timestamp(over.end())),
        rate_bps: wire::to_rate(*rate),
    };
    v1::Quota {
        rate_bps: rate.map(wire::to_rate),
        reservation_count: reservations.map(i64::from),
        rate_each_bps: rate_each.map(wire::to_rate),
        duration_each: duration_each.map(wire::to_duration),
        horizon: horizon.map(wire::to_duration),
        shares: shares.iter().map(share_to_wire).collect(),
        principal_count: principals.map(i64::from),
        each_principal: (*each != Each::default()).then(|| each_to_wire(each)),
        budgets: budgets.iter().map(budget_to_wire).collect(),
        weekly: weekly.iter().map(hours).collect(),
        overrides: overrides.iter().map(dated).collect(),
        time_zone: if *zone == Zone::UTC { String::new() } else { zone.to_string() },
        lend_bps: lend.map(wire::to_rate),
        borrow_bps: borrow.map(wire::to_rate),
        pool_bps: pool.map(wire::to_rate),
    }
}

fn each_to_wire(each: &Each) -> v1::PrincipalQuota {
    let Each { rate, reservations, shares, budgets } = each;
    v1::PrincipalQuota {
        rate_bps: rate.map(wire::to_rate),
        reservation_count: reservations.map(i64::from),
        shares: shares.iter().map(share_to_wire).collect(),
        budgets: budgets.iter().map(budget_to_wire).collect(),
    }
}

fn share_to_wire(share: &Share) -> v1::Share {
    v1::Share { selector: share.of.to_string(), part_ppm: ppm(share.part) }
}

/// In parts per million.
pub(super) fn ppm(part: Part) -> i32 {
    i32::try_from(part.ppm()).unwrap_or(i32::MAX)
}

fn budget_to_wire(budget: &Budget) -> v1::Budget {
    let period = match budget.period {
        Period::Day => WirePeriod::Day,
        Period::Week => WirePeriod::Week,
        Period::Month => WirePeriod::Month,
    };
    v1::Budget { period: period.into(), volume_bytes: wire::to_bytes(budget.bytes) }
}

pub(super) fn from_wire(quota: v1::Quota) -> Result<Quota, ClientError> {
    let weekly = quota.weekly.iter().map(hours);
    let overrides = quota.overrides.iter().map(dated);
    let length = |field, length: Option<prost_types::Duration>| -> Result<Option<Span>, _> {
        length.map(|length| span(field, length)).transpose()
    };
    Ok(Quota {
        rate: rate("quota.rate_bps", quota.rate_bps)?,
        reservations: count("quota.reservation_count", quota.reservation_count)?,
        rate_each: rate("quota.rate_each_bps", quota.rate_each_bps)?,
        duration_each: length("quota.duration_each", quota.duration_each)?,
        horizon: length("quota.horizon", quota.horizon)?,
        shares: shares(&quota.shares)?,
        principals: count("quota.principal_count", quota.principal_count)?,
        each: quota.each_principal.map(each).transpose()?.unwrap_or_default(),
        budgets: budgets(&quota.budgets)?,
        weekly: weekly.collect::<Result<_, _>>()?,
        overrides: overrides.collect::<Result<_, _>>()?,
        zone: match quota.time_zone.as_str() {
            "" => Zone::UTC,
            name => name.parse().map_err(ClientError::unparsed("quota.time_zone"))?,
        },
        lend: rate("quota.lend_bps", quota.lend_bps)?,
        borrow: rate("quota.borrow_bps", quota.borrow_bps)?,
        pool: rate("quota.pool_bps", quota.pool_bps)?,
    })
}

fn each(each: v1::PrincipalQuota) -> Result<Each, ClientError> {
    Ok(Each {
        rate: rate("quota.each_principal.rate_bps", each.rate_bps)?,
        reservations: count("quota.each_principal.reservation_count", each.reservation_count)?,
        shares: shares(&each.shares)?,
        budgets: budgets(&each.budgets)?,
    })
}

fn rate(field: &'static str, bps: Option<i64>) -> Result<Option<BitRate>, ClientError> {
    bps.map(|bps| wire::rate(field, bps)).transpose()
}

fn count(field: &'static str, count: Option<i64>) -> Result<Option<u32>, ClientError> {
    let count = count.map(u32::try_from).transpose();
    count.map_err(|_| ClientError::bad(field, "it is no count"))
}

pub(super) fn part(field: &'static str, ppm: i32) -> Result<Part, ClientError> {
    let part = u32::try_from(ppm).ok().and_then(Part::from_ppm);
    part.ok_or_else(|| ClientError::bad(field, format!("{ppm} is no part")))
}

fn shares(shares: &[v1::Share]) -> Result<Vec<Share>, ClientError> {
    let share = |it: &v1::Share| {
        let of = it.selector.parse().map_err(ClientError::unparsed("quota.shares.selector"))?;
        Ok(Share { of, part: part("quota.shares.part_ppm", it.part_ppm)? })
    };
    shares.iter().map(share).collect()
}

fn budgets(budgets: &[v1::Budget]) -> Result<Vec<Budget>, ClientError> {
    let budget = |it: &v1::Budget| {
        let period = match WirePeriod::try_from(it.period) {
            Ok(WirePeriod::Day) => Period::Day,
            Ok(WirePeriod::Week) => Period::Week,
            Ok(WirePeriod::Month) => Period::Month,
            Ok(WirePeriod::Unspecified) | Err(_) => {
                let why = format!("{} is a period that this client does not know", it.period);
                return Err(ClientError::bad("quota.budgets.period", why));
            }
        };
        Ok(Budget { period, bytes: wire::bytes("quota.budgets.volume_bytes", it.volume_bytes)? })
    };
    budgets.iter().map(budget).collect()
}

fn hours(it: &v1::WeeklyRate) -> Result<(Weekly, BitRate), ClientError> {
    let hours = it.hours.parse().map_err(ClientError::unparsed("quota.weekly.hours"))?;
    Ok((hours, wire::rate("quota.weekly.rate_bps", it.rate_bps)?))
}

fn dated(it: &v1::RateOverride) -> Result<(Interval, BitRate), ClientError> {
    let start = wire::instant_required("quota.overrides.start_time", it.start_time)?;
    let end = wire::instant_required("quota.overrides.end_time", it.end_time)?;
    let over = Interval::new(start, end)
        .ok_or_else(|| ClientError::bad("quota.overrides.end_time", "it is before the start"))?;
    Ok((over, wire::rate("quota.overrides.rate_bps", it.rate_bps)?))
}
