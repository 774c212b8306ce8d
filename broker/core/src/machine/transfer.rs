//! Volumes by a deadline: where they fit, and if they do not, why and what would.

use tidegate_policy::{BitRate, Interval, Span, Timestamp};

use super::movables::plan_of;
use super::offers::{listed, quota_reason};
use super::sight::{Sight, Way};
use super::wanted::{Sought, Wish};
use crate::lane::{Lane, LaneName, LaneNeed, Terms};
use crate::plan::Plan;
use crate::planner::board::Free;
use crate::planner::fill::{Choice, fill, most};
use crate::planner::{Fan, Piece, Volume};
use crate::refusal::{Blocker, CounterOffer, OfferKind, Reason, Refusal};

impl Sight<'_> {
    /// The plan that fits without moving anybody.
    pub(super) fn plan_for(&self, ways: &[Way], wish: &Wish, segments_max: usize) -> Option<Plan> {
        match wish {
            Wish::Steady(wanted) => {
                let placed = self.place(ways, wanted)?;
                let booked = placed.way.booked(placed.rate);
                Some(Plan::single(placed.way.route.clone(), placed.over, placed.rate, booked))
            }
            Wish::Volume(sought) => {
                let pieces = self.fill(ways, (&sought.volume, sought.window), segments_max)?;
                Some(plan_of(ways, &pieces))
            }
        }
    }

    /// Moves a volume over some ways as soon as possible.
    fn fill(
        &self,
        ways: &[Way],
        (volume, window): (&Volume, Interval),
        segments_max: usize,
    ) -> Option<Vec<Piece>> {
        let fan = Fan::of(ways.iter().map(|way| way.crossings(|lane| lane)));
        let read = |lane: usize, from| self.read(fan.lanes[lane], from);
        let choice = Choice { ways: &fan.ways, order: &fan.order(), exact: true };
        fill(read, choice, (volume, window), segments_max, &mut 0)
    }

    fn read(&self, lane: &LaneName, from: Timestamp) -> Free<'_> {
        self.lane(lane).map_or_else(Free::none, |lane| lane.read(from))
    }

    /// Why none of these ways carries a volume, without offers.
    pub(super) fn refuse_volume(&self, ways: &[Way], sought: &Sought) -> Refusal {
        // If it would fit with more segments, no lane is in its way: that a plan may not have so many
        // has no word of its own in a refusal, and none is blamed for it.
        let fits = self.fill(ways, (&sought.volume, sought.window), usize::MAX).is_some();
        let blockers = ways.iter().filter(|_| !fits).flat_map(|way| self.too_full(way, sought));
        let blockers = listed(blockers);
        let allows = |need: &LaneNeed| self.carries_alone(need, sought);
        let quota = quota_reason(ways, &blockers, allows);
        let reason = quota.unwrap_or_else(|| self.reason_of(ways, sought));
        Refusal { blockers, ..Refusal::bare(reason) }
    }

    /// Whether a lane that nobody else is on would carry the volume.
    fn carries_alone(&self, need: &LaneNeed, sought: &Sought) -> bool {
        let capacity = self.limit(&need.lane);
        let factor = need.factor(Terms::default());
        let fan = Fan::of([factor.into_iter().map(|factor| ((), factor))]);
        let choice = Choice { ways: &fan.ways, order: &fan.order(), exact: true };
        let empty = |_: usize, _| Free::all(capacity);
        fill(empty, choice, (&sought.volume, sought.window), usize::MAX, &mut 0).is_some()
    }

    fn reason_of(&self, ways: &[Way], sought: &Sought) -> Reason {
        let Sought { volume, window, .. } = sought;
        let fan = Fan::of(ways.iter().map(|way| way.crossings(|lane| lane)));
        let empty =
            |lane: usize, _| Free::all(self.lane(fan.lanes[lane]).map_or(0, Lane::capacity));
        let choice = Choice { ways: &fan.ways, order: &fan.order(), exact: true };
        let fits = fill(empty, choice, (volume, *window), usize::MAX, &mut 0).is_some();
        self.first_reason(ways, fits)
    }

    /// The lanes of a way that do not carry the volume by themselves; where each does, but not all
    /// together, the one that carries least.
    fn too_full<'s>(
        &'s self,
        way: &'s Way,
        sought: &Sought,
    ) -> impl Iterator<Item = Blocker> + use<'s> {
        let Sought { volume, window, horizon, .. } = *sought;
        let needed = Wish::Volume(*sought).steady().min;
        let carries = way.needs.iter().filter(|need| need.applies(way.terms)).map(|need| {
            let one = Way { needs: vec![need.clone()], ..way.clone() };
            let fan = Fan::of([one.crossings(|lane| lane)]);
            let choice = Choice { ways: &fan.ways, order: &fan.order(), exact: true };
            let read = |lane: usize, from| self.read(fan.lanes[lane], from);
            (need, most(read, choice, (&volume, window), usize::MAX))
        });
        let carries: Vec<_> = carries.collect();
        let least = carries.iter().map(|(_, carries)| *carries).min();
        let short = carries.iter().any(|(_, carries)| *carries < volume.need);
        let blocked = move |carries: u128| match short {
            true => carries < volume.need,
            false => Some(carries) == least,
        };
        carries.into_iter().filter(move |(_, carries)| blocked(*carries)).map(
            move |(need, carries)| {
                let mean = carries.checked_div(window.span().as_ms().into()).unwrap_or(0);
                let mean = u64::try_from(mean).ok().and_then(BitRate::from_bps);
                let lane = self.lane(&need.lane);
                let any = need.amount(volume.min, way.terms).max(1);
                let moment = Span::from_ms(1).unwrap_or_default();
                // Also behind the deadline, which may be asked to be later.
                let latest = horizon.minus(moment);
                let first_free =
                    lane.and_then(|lane| lane.earliest(window.start(), latest, moment, any));
                Blocker {
                    source: way.route.source().cloned(),
                    lane: need.lane.clone(),
                    limit: self.limit(&need.lane),
                    free: need.amount(mean.unwrap_or_default(), way.terms),
                    needed: need.amount(needed, way.terms),
                    first_free,
                }
            },
        )
    }

    /// What fits instead: all of it as soon as it can be had, or as much as can be had in time.
    pub(super) fn volume_offers(
        &self,
        ways: &[Way],
        sought: &Sought,
        segments_max: usize,
    ) -> Vec<CounterOffer> {
        let later = self.earliest_deadline(ways, sought, segments_max);
        let less = self.most_in_time(ways, sought, segments_max);
        [later, less].into_iter().flatten().collect()
    }

    fn earliest_deadline(
        &self,
        ways: &[Way],
        sought: &Sought,
        segments_max: usize,
    ) -> Option<CounterOffer> {
        let window = Interval::new(sought.offered, sought.horizon)?;
        let pieces = self.fill(ways, (&sought.volume, window), segments_max)?;
        let plan = plan_of(ways, &pieces);
        let mut over = Interval::new(window.start(), plan.interval()?.end())?;
        // Where segments are few, a plan that has to end by then may come out other than one that
        // had more time: what is offered is a deadline that does.
        let mut more = over.span().as_ms().checked_div(64).unwrap_or(0).max(1);
        while segments_max <= pieces.len().saturating_mul(2)
            && over.end() < window.end()
            && self.fill(ways, (&sought.volume, over), segments_max).is_none()
        {
            let more_time = Span::from_ms(more).unwrap_or(Span::MAX);
            over = Interval::new(over.start(), over.end().plus(more_time).min(window.end()))?;
            more = more.saturating_mul(2);
        }
        offer(OfferKind::LaterFinish, (ways, &plan), sought, over)
    }

    /// What fits by the deadline, in whole bytes.
    pub(super) fn most_in_time(
        &self,
        ways: &[Way],
        sought: &Sought,
        segments_max: usize,
    ) -> Option<CounterOffer> {
        let Sought { volume, bytes, .. } = sought;
        let window = sought.window.from(sought.offered)?;
        let fan = Fan::of(ways.iter().map(|way| way.crossings(|lane| lane)));
        let choice = Choice { ways: &fan.ways, order: &fan.order(), exact: true };
        let read = |lane: usize, from| self.read(fan.lanes[lane], from);
        let most = most(read, choice, (volume, window), segments_max);
        // As much less as is planned less: the margin stays what it is.
        let promised = u128::from(bytes.bytes()).saturating_mul(most.min(volume.need));
        let promised = promised.checked_div(volume.need)?;
        let bytes = tidegate_policy::ByteCount::new(u64::try_from(promised).ok()?);
        let sought = Sought { bytes, ..*sought };
        let plan = Plan { ways: Vec::new(), segments: Vec::new() };
        (bytes.bytes() != 0)
            .then(|| offer(OfferKind::LessInTime, (ways, &plan), &sought, window))
            .flatten()
    }
}

/// An offer of a volume over some ways.
pub(super) fn offer(
    kind: OfferKind,
    (ways, plan): (&[Way], &Plan),
    sought: &Sought,
    over: Interval,
) -> Option<CounterOffer> {
    let first = ways.first()?;
    let route = plan.route().unwrap_or(&first.route).clone();
    let (terms, rate) = (first.terms, sought.volume.max);
    Some(CounterOffer { kind, route, terms, rate, interval: over, volume: Some(sought.bytes) })
}
