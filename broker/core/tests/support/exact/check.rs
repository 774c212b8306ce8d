//! Puts a case to the machine and compares everything that it says with the oracle.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::lane::LaneName;
use tidegate_core::plan::carried;
use tidegate_core::{
    Answer, Ask, Command, CounterOffer, OfferKind, Plan, Promised, Reason, Refusal, Reservation,
};

use super::case::{Case, NOW, Wished, at};
use super::oracle::{Bound, Oracle};
use super::world::World;

/// The most segments of a usual plan.
const SEGMENTS_MAX: usize = 64;
/// So much later than the earliest a transfer may be finished, in milliseconds: segments that gain
/// no more together are left out.
const CRUMBS: i64 = 1;
/// Offers begin this long after now at the earliest, so that they can be taken until then.
const OFFER_LEAD: i64 = 5000;

/// What happened how often.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

type Checked = Result<(), String>;

fn wrong<T>(what: impl Into<String>) -> Result<T, String> {
    Err(what.into())
}

struct Check<'a> {
    case: &'a Case,
    counts: &'a mut Counts,
    wish: Wished,
    /// What a plan has to carry, in bits per second times milliseconds.
    need: u128,
    /// From the earliest start to the deadline.
    window: (i64, i64),
}

/// Asks, and says what is not as it should be.
pub(crate) fn check(case: &Case, counts: &mut Counts) -> Checked {
    let mut world = World::new(case);
    let wish = case.wish;
    let window = (wish.start.unwrap_or(0).max(0), wish.deadline);
    let need = need(wish.volume, case.margin_ppm);
    Check { case, counts, wish, need, window }.run(&mut world)
}

/// What a volume comes to with its margin.
fn need(bytes: u64, margin_ppm: u32) -> u128 {
    let millionths = u128::from(bytes) * 8000 * u128::from(1_000_000 + margin_ppm);
    millionths.div_ceil(1_000_000)
}

fn ms(time: tidegate_policy::Timestamp) -> i64 {
    time.as_ms() - NOW
}

impl Check<'_> {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn run(mut self, world: &mut World) -> Checked {
        let ask = self.case.ask();
        let command = || Command::Reserve(ask.clone().into());
        let exact = world.would(false, 0, command()).map_err(|fault| format!("{fault}"))?;
        let usual = world.would(true, 0, command()).map_err(|fault| format!("{fault}"))?;
        if 1 < world.ways.len() {
            self.count(if self.wish.split { "split" } else { "one of several" });
        }
        let crowded = match &exact {
            Answer::Reservation(made) => {
                self.granted(world, made)?;
                SEGMENTS_MAX < made.plan.segments.len()
            }
            Answer::Refusal(refusal) => {
                self.refused(world, refusal)?;
                self.offers(world, (&ask, refusal), false)?;
                false
            }
            other => return wrong(format!("answered {other:?}")),
        };
        if crowded {
            self.count("crowded");
            return self.crowded(world, (&ask, &exact), &usual);
        }
        match (&exact, &usual) {
            (Answer::Refusal(exact), Answer::Refusal(usual)) => {
                self.offers(world, (&ask, usual), true)?;
                let told = |it: &Refusal| (it.reason, it.blockers.clone());
                if told(exact) != told(usual) {
                    return wrong("the refusal depends on how many segments a plan may have");
                }
            }
            (Answer::Reservation(exact), Answer::Reservation(usual))
                if exact.plan == usual.plan => {}
            _ => return wrong(format!("with few segments {usual:?}")),
        }
        Ok(())
    }

    fn granted(&mut self, world: &World, made: &Reservation) -> Checked {
        self.count("granted");
        let oracle = Oracle::new(world, self.wish);
        let earliest = oracle.finish(self.window, self.need, Bound::Maybe);
        let latest = oracle.finish(self.window, self.need, Bound::Surely);
        let end = ms(made.interval.end());
        if earliest.is_none_or(|earliest| end < earliest) {
            return wrong(format!("it ends at {end}, the oracle's at {earliest:?}"));
        }
        if latest.is_some_and(|latest| latest + CRUMBS < end) {
            return wrong(format!("it ends at {end}, the oracle's at {latest:?} at the latest"));
        }
        self.count(if earliest == Some(end) { "to the millisecond" } else { "a bit later" });
        if 0 < *oracle.beyond_greed.borrow() {
            self.count("beyond greed");
        }
        self.promised(made, self.wish.volume, self.window)?;
        self.sound(world, &made.plan, (self.need, self.window))
    }

    fn promised(&self, made: &Reservation, volume: u64, window: (i64, i64)) -> Checked {
        let promise = made.promise.as_ref().map(|promise| promise.what);
        let Some(Promised::Volume { volume: bytes, window: over, min, max, split }) = promise
        else {
            return wrong(format!("it promises {promise:?}"));
        };
        let told = (bytes.bytes(), ms(over.start()), ms(over.end()), min.bps(), max.bps(), split);
        let Wished { min, max, split, .. } = self.wish;
        if told != (volume, window.0, window.1, min, max, split) {
            return wrong(format!("it promises {told:?}"));
        }
        Ok(())
    }

    /// A plan that keeps to the window, the rates, the lanes and the volume.
    fn sound(&self, world: &World, plan: &Plan, (need, window): (u128, (i64, i64))) -> Checked {
        let mut load: BTreeMap<&LaneName, Vec<(i64, i64, u64)>> = BTreeMap::new();
        let mut edges: BTreeSet<i64> = BTreeSet::new();
        for segment in &plan.segments {
            let (from, to) = (ms(segment.over.start()), ms(segment.over.end()));
            if from < window.0 || window.1 < to {
                return wrong(format!("{from}..{to} is outside of the window"));
            }
            let names = &plan.ways[segment.way].lanes;
            let known = world.ways.iter().find(|way| way.iter().map(|it| &it.0).eq(names));
            let Some(way) = known else { return wrong(format!("there is no way over {names:?}")) };
            for ((name, times), amount) in way.iter().zip(&segment.amounts) {
                if world.lanes[name].amount(segment.rate.bps(), *times) != *amount {
                    return wrong(format!("{name} books {amount} for {}", segment.rate));
                }
                load.entry(name).or_default().push((from, to, *amount));
            }
            edges.extend([from, to]);
        }
        for instant in &edges {
            let on = plan
                .segments
                .iter()
                .filter(|it| ms(it.over.start()) <= *instant && *instant < ms(it.over.end()));
            let rates: Vec<u64> = on.map(|segment| segment.rate.bps()).collect();
            let (sum, Wished { min, max, split, .. }) = (rates.iter().sum::<u64>(), self.wish);
            if max < sum || (!rates.is_empty() && sum < min.max(1)) {
                return wrong(format!("{sum} bit/s at {instant}"));
            }
            if !split && 1 < rates.len() {
                return wrong(format!("{} ways at {instant}", rates.len()));
            }
        }
        self.fits(world, &load)?;
        self.carries(plan, need)
    }

    fn fits(&self, world: &World, load: &BTreeMap<&LaneName, Vec<(i64, i64, u64)>>) -> Checked {
        for (name, parts) in load {
            let lane = &world.lanes[*name];
            let begins = parts.iter().chain(&lane.taken).map(|part| part.0);
            let inside = |it: &i64| parts.iter().any(|(from, to, _)| from <= it && it < to);
            for instant in begins.filter(inside) {
                let on = parts.iter().filter(|(from, to, _)| *from <= instant && instant < *to);
                let sum: u64 = on.map(|part| part.2).sum();
                if lane.free(instant) < sum {
                    return wrong(format!("{name} is overbooked at {instant}"));
                }
            }
        }
        Ok(())
    }

    /// All of the volume, and no more than what the last piece rounds up.
    fn carries(&self, plan: &Plan, need: u128) -> Checked {
        let total: u128 = plan.segments.iter().map(|it| carried(it.rate, it.over)).sum();
        let end = plan.segments.iter().map(|it| it.over.end()).max().unwrap();
        let last = plan.segments.iter().filter(|it| it.over.end() == end);
        let last = last.map(|it| it.over.span().as_ms()).max().unwrap();
        // A lowest rate does not go lower for what is left of one millisecond.
        let rounded = u128::from(last.max(self.wish.min));
        if total < need || need + rounded <= total {
            return wrong(format!("{total} bit/s ms are carried of {need}"));
        }
        Ok(())
    }

    fn refused(&mut self, world: &World, refusal: &Refusal) -> Checked {
        self.count("refused");
        let oracle = Oracle::new(world, self.wish);
        if oracle.finish(self.window, self.need, Bound::Surely).is_some() {
            let most = oracle.most(self.window, Bound::Surely);
            return wrong(format!("refused, but {most} fit of {}", self.need));
        }
        let empty = |bound| oracle.fits_empty(self.window, self.need, bound);
        let reason = match (world.ways.is_empty(), empty(Bound::Surely), empty(Bound::Maybe)) {
            (true, _, _) => Some(Reason::NoPath),
            (false, _, false) => Some(Reason::RateAboveCapacity),
            (false, true, _) if oracle.is_drained() => Some(Reason::Drained),
            (false, true, _) => Some(Reason::NoHeadroom),
            // Rounding decides.
            (false, false, true) => None,
        };
        if reason.is_some_and(|reason| reason != refusal.reason) {
            return wrong(format!("refused for {}, not {reason:?}", refusal.reason));
        }
        self.first_free(world, refusal)?;
        self.offered(world, refusal)
    }

    /// Each blocker names the first instant at which it would carry any of the volume.
    fn first_free(&self, world: &World, refusal: &Refusal) -> Checked {
        for blocker in &refusal.blockers {
            let lane = &world.lanes[&blocker.lane];
            let times = world.ways.iter().flatten().filter(|it| it.0 == blocker.lane);
            let times: BTreeSet<u32> = times.map(|it| it.1).collect();
            let edges = lane.taken.iter().map(|part| part.1).chain([self.window.0]);
            let edges: BTreeSet<i64> = edges.filter(|edge| self.window.0 <= *edge).collect();
            let first = |times: &u32| {
                let any = lane.amount(self.wish.min.max(1), *times);
                edges
                    .iter()
                    .copied()
                    .find(|edge| any <= lane.free(*edge) && *edge < self.case.horizon)
            };
            let told = blocker.first_free.map(ms);
            if !times.iter().any(|times| first(times) == told) {
                return wrong(format!("{blocker:?}: it is free first at another time"));
            }
        }
        Ok(())
    }

    /// The offers are the earliest deadline and the most by the one that was asked.
    fn offered(&mut self, world: &World, refusal: &Refusal) -> Checked {
        let oracle = Oracle::new(world, self.wish);
        let from = self.window.0.max(OFFER_LEAD);
        let of = |kind| refusal.offers.iter().find(|offer| offer.kind == kind);
        let later = of(OfferKind::LaterFinish).map(told);
        let finish = |bound| oracle.finish((from, self.case.horizon), self.need, bound);
        let (earliest, latest) = (finish(Bound::Maybe), finish(Bound::Surely));
        let right = match later {
            Some((volume, start, end)) => {
                volume == self.wish.volume
                    && start == from
                    && earliest.is_some_and(|earliest| earliest <= end)
                    && latest.is_none_or(|latest| end <= latest + CRUMBS)
            }
            None => latest.is_none(),
        };
        if !right {
            return wrong(format!("offers {later:?}, the oracle {earliest:?} to {latest:?}"));
        }
        if later.is_some() {
            let exact = earliest == later.map(|offer| offer.2);
            self.count(if exact { "later to the millisecond" } else { "later, a bit more" });
        }
        let most = |bound| {
            let window = (from, self.window.1);
            let most = if window.0 < window.1 { oracle.most(window, bound) } else { 0 };
            let bytes = u128::from(self.wish.volume) * most.min(self.need) / self.need;
            u64::try_from(bytes).unwrap()
        };
        let (least, highest) = (most(Bound::Surely), most(Bound::Maybe));
        let less = of(OfferKind::LessInTime).map(told);
        let right = match less {
            Some((volume, start, end)) => {
                (start, end) == (from, self.window.1)
                    && 0 < volume
                    && (least..=highest).contains(&volume)
            }
            None => least == 0,
        };
        if !right {
            return wrong(format!("offers {less:?}, the oracle {least} to {highest} bytes"));
        }
        if less.is_some() {
            let exact = less.map(|offer| offer.0) == Some(highest);
            self.count(if exact { "less to the byte" } else { "less, rounded" });
        }
        Ok(())
    }

    /// Every offer is granted as it was offered, at once and until its time begins.
    fn offers(
        &mut self,
        world: &mut World,
        (ask, refusal): (&Ask, &Refusal),
        usual: bool,
    ) -> Checked {
        for offer in &refusal.offers {
            let (volume, start, end) = told(offer);
            for moment in [0, 1, OFFER_LEAD - 1, OFFER_LEAD] {
                let command = Command::Reserve(offer.ask(ask).into());
                let taken = world.would(usual, moment, command);
                let Ok(Answer::Reservation(made)) = taken else {
                    return wrong(format!("{offer:?}: taken after {moment} ms: {taken:?}"));
                };
                let ends = ms(made.interval.end());
                let as_offered = match offer.kind {
                    OfferKind::LaterFinish if !usual => ends == end,
                    _ => ends <= end,
                };
                if !as_offered {
                    return wrong(format!("{offer:?}: taken after {moment} ms it ends at {ends}"));
                }
                let window = (start.max(moment), end);
                self.promised(&made, volume, window)?;
                let need = need(volume, self.case.margin_ppm);
                self.sound(world, &made.plan, (need, window))?;
                if usual && SEGMENTS_MAX < made.plan.segments.len() {
                    return wrong(format!("{} segments", made.plan.segments.len()));
                }
                self.count(match offer.kind {
                    OfferKind::LaterFinish => "later taken",
                    _ => "less taken",
                });
            }
        }
        Ok(())
    }

    /// Where the exact plan is too long, a usual one is late, but a plan.
    fn crowded(
        &mut self,
        world: &mut World,
        (ask, exact): (&Ask, &Answer),
        usual: &Answer,
    ) -> Checked {
        let Answer::Reservation(exact) = exact else { return wrong("it is not crowded") };
        match usual {
            Answer::Reservation(made) => {
                if SEGMENTS_MAX < made.plan.segments.len() {
                    return wrong(format!("{} segments", made.plan.segments.len()));
                }
                let (early, late) = (ms(exact.interval.end()), ms(made.interval.end()));
                if late < early {
                    return wrong(format!("it ends at {late}, before {early}"));
                }
                let percent = (late - early) * 100 / (early - self.window.0).max(1);
                self.count(match percent {
                    0 => "crowded, late by less than 1 %",
                    1..5 => "crowded, late by 1 to 5 %",
                    _ => "crowded, late by 5 % or more",
                });
                self.sound(world, &made.plan, (self.need, self.window))
            }
            Answer::Refusal(refusal) => {
                self.count("crowded, refused");
                if !refusal.blockers.is_empty() {
                    return wrong("a lane is blamed that would carry it");
                }
                self.offers(world, (ask, refusal), true)
            }
            other => wrong(format!("answered {other:?}")),
        }
    }
}

/// The volume of an offer, and when.
fn told(offer: &CounterOffer) -> (u64, i64, i64) {
    let over = offer.interval;
    let volume = offer.volume.map_or(0, |bytes| bytes.bytes());
    debug_assert!(at(0) <= over.start());
    (volume, ms(over.start()), ms(over.end()))
}
