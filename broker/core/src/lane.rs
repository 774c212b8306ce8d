//! One capacity over time, what is booked of it, and what is afloat.

mod name;
mod need;

use std::collections::BTreeMap;

use tidegate_policy::{Interval, MaintenanceId, Part, Span, Timestamp};

use crate::maintenance::{self, Window};
use crate::planner::board::{self, Free, Profile, area};
use crate::timeline::{Edges, Imbalance, Timeline};

pub use name::{Holder, LaneName, QuotaLane};
pub(crate) use need::{Factor, PPM};
pub use need::{LaneNeed, Terms};

/// What a lane can carry, by declaration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneDef {
    /// The declared rate, in bits per second.
    pub nominal: u64,
    /// What can be booked: nominal less what is reserved, times the allocation ratio, in bits per
    /// second.
    pub capacity: u64,
    /// Headers on top of the payload, in parts per million of it.
    pub overhead_ppm: u32,
    /// How a bundle of links shares a booking; `None` for a single one.
    pub spread: Option<Spread>,
    /// It is a firm twin: what is there without the allocation ratio, for firm bookings alone.
    pub firm: bool,
    /// The firm twin of this lane, where its allocation ratio exceeds one.
    pub twin: Option<LaneName>,
}

impl LaneDef {
    /// A quota: payload, booked once, of which nothing is kept back.
    pub(crate) fn quota(rate: u64) -> Self {
        let (overhead_ppm, spread, firm, twin) = (0, None, false, None);
        Self { nominal: rate, capacity: rate, overhead_ppm, spread, firm, twin }
    }

    /// A share of a lane: on it as much is booked as on the lane itself.
    pub(crate) fn share(&self, part: Part) -> Self {
        Self { capacity: part.of(self.capacity), firm: false, twin: None, ..self.clone() }
    }
}

/// What one link of a bundle books of a request that is spread over all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spread {
    /// Its share of the rate, in parts per million.
    pub share_ppm: u32,
    /// The fewest parallel streams for which that holds.
    pub streams_min: u16,
}

/// A lane as it stands: what it can carry and what is booked.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    /// What it can carry; `None` once it left the topology, while bookings of the past remain.
    pub def: Option<LaneDef>,
    /// What is booked; only [`Lane::book`] and [`Lane::unbook`] change it.
    pub timeline: Timeline,
    /// The maintenance windows that it lies in.
    windows: BTreeMap<MaintenanceId, Window>,
    /// What they take away.
    cuts: Timeline,
    /// What live rates may be using beyond what is booked: known only while the process runs.
    afloat: Timeline,
    /// All of it together, kept only while something is taken away or afloat.
    load: Option<Timeline>,
    drained: bool,
}

/// Lanes are the same if what replay restores is: what is afloat is no part of that.
impl PartialEq for Lane {
    fn eq(&self, other: &Self) -> bool {
        let Self { def, timeline, windows, cuts, afloat: _, load: _, drained } = self;
        (def, timeline, windows, cuts, drained)
            == (&other.def, &other.timeline, &other.windows, &other.cuts, &other.drained)
    }
}

impl Eq for Lane {}

impl Lane {
    /// A lane on which nothing is booked.
    pub(crate) fn of(def: LaneDef) -> Self {
        Self { def: Some(def), ..Self::default() }
    }

    /// What can be booked on it in all, in bits per second: the most that it can carry, whatever
    /// maintenance takes away for a time and whether it is drained.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.def.as_ref().map_or(0, |def| def.capacity)
    }

    /// What can be booked on it in all at `instant`: its capacity less what maintenance takes
    /// away then, in bits per second.
    #[must_use]
    pub fn limit_at(&self, instant: Timestamp) -> u64 {
        self.capacity().saturating_sub(self.cuts.level_at(instant))
    }

    /// Whether it takes nothing new.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    /// What maintenance takes away.
    #[must_use]
    pub fn cuts(&self) -> &Timeline {
        &self.cuts
    }

    /// The least that is free for something new at one instant of `over`, in bits per second.
    #[must_use]
    pub fn free(&self, over: Interval) -> u64 {
        self.open_capacity().saturating_sub(self.load().peak(over))
    }

    /// The first start from `after` to `latest` from which `amount` is free for all of `span`.
    #[must_use]
    pub fn earliest(
        &self,
        after: Timestamp,
        latest: Timestamp,
        span: Span,
        amount: u64,
    ) -> Option<Timestamp> {
        board::earliest((self.open_capacity(), self.load()), (after, latest), span, amount)
    }

    /// What is free for something new from `from` on, as it is read from left to right.
    pub(crate) fn read(&self, from: Timestamp) -> Free<'_> {
        Free::new(self.open_capacity(), self.load().cursor(from))
    }

    /// What is free inside of `over`, to try things on. Of a drained lane it is left to those who
    /// are on it.
    pub(crate) fn profile(&self, over: Interval) -> Profile {
        Profile::new(self.capacity(), self.load().part(over))
    }

    /// What is free for something new inside of `over` in all, in bits per second times
    /// milliseconds.
    pub(crate) fn area(&self, over: Interval) -> u128 {
        area(self.open_capacity(), self.load(), over)
    }

    /// What is free over all time, to try things on, if it could carry this much and maintenance took away that much.
    pub(crate) fn profile_under(&self, capacity: u64, cuts: &Timeline) -> Profile {
        let mut load = self.timeline.clone();
        let added = load.add(cuts);
        debug_assert!(added.is_ok(), "what stands on a lane and is cut from it does not overflow");
        Profile::new(capacity, load)
    }

    /// What is free for something new from each instant of `over` on, in bits per second: at its
    /// start, then wherever it changes inside.
    pub fn steps(&self, over: Interval) -> impl Iterator<Item = (Timestamp, u64)> + '_ {
        let capacity = self.open_capacity();
        let mut before = None;
        self.load().steps_over(over).filter_map(move |(instant, level)| {
            let free = capacity.saturating_sub(level);
            (before.replace(free) != Some(free)).then_some((instant, free))
        })
    }

    /// Books `amount` more over `over`.
    ///
    /// # Errors
    /// [`Imbalance`] if a level would pass 64 bits; nothing has changed then.
    pub fn book(&mut self, over: Interval, amount: u64) -> Result<(), Imbalance> {
        if let Some(load) = &mut self.load {
            load.book(over, amount)?;
        }
        self.timeline.book(over, amount)
    }

    /// Takes `amount` of what is booked back over `over`.
    ///
    /// # Errors
    /// [`Imbalance`] if less than that is booked somewhere; nothing has changed then.
    pub fn unbook(&mut self, over: Interval, amount: u64) -> Result<(), Imbalance> {
        self.timeline.free(over, amount)?;
        match &mut self.load {
            Some(load) => load.free(over, amount),
            None => Ok(()),
        }
    }

    /// Books and frees a lot at once.
    ///
    /// # Errors
    /// [`Imbalance`] if less is booked somewhere than is freed, or a level would pass 64 bits.
    pub(crate) fn change(&mut self, edges: Edges) -> Result<(), Imbalance> {
        if let Some(load) = &mut self.load {
            load.change(edges.clone())?;
        }
        self.timeline.change(edges)
    }

    /// The maintenance windows that it lies in.
    pub(crate) fn windows(&self) -> impl Iterator<Item = Window> + '_ {
        self.windows.values().copied()
    }

    pub(crate) fn open_window(
        &mut self,
        id: MaintenanceId,
        window: Window,
    ) -> Result<(), Imbalance> {
        self.add_window(id, window);
        self.refresh()
    }

    pub(crate) fn close_window(&mut self, id: MaintenanceId) -> Result<(), Imbalance> {
        match self.windows.remove(&id) {
            Some(_) => self.refresh(),
            None => Ok(()),
        }
    }

    /// Adds a window without its effect: [`Self::refresh`] follows.
    pub(crate) fn add_window(&mut self, id: MaintenanceId, window: Window) {
        self.windows.insert(id, window);
    }

    /// Drops all windows without their effect: [`Self::refresh`] follows.
    pub(crate) fn forget_windows(&mut self) {
        self.windows.clear();
    }

    /// Takes away what the windows take of the present capacity.
    pub(crate) fn refresh(&mut self) -> Result<(), Imbalance> {
        if self.windows.is_empty() && self.cuts.is_empty() {
            return Ok(());
        }
        let cuts = maintenance::cuts(self.capacity(), self.windows())?;
        self.set_cuts(cuts)
    }

    /// Lets maintenance take away this much and nothing else.
    pub(crate) fn set_cuts(&mut self, cuts: Timeline) -> Result<(), Imbalance> {
        self.load = loaded(&self.timeline, &cuts, &self.afloat)?;
        self.cuts = cuts;
        Ok(())
    }

    /// Lets live rates have `amount` more over `over`, beyond what is booked: nobody else gets it then.
    ///
    /// # Errors
    /// [`Imbalance`] if a level would pass 64 bits; nothing has changed then.
    pub(crate) fn float(&mut self, over: Interval, amount: u64) -> Result<(), Imbalance> {
        let load = self.load.get_or_insert_with(|| self.timeline.clone());
        load.book(over, amount)?;
        self.afloat.book(over, amount)
    }

    /// What was afloat is so no more.
    ///
    /// # Errors
    /// [`Imbalance`] if less than that is afloat somewhere; nothing has changed then.
    pub(crate) fn land(&mut self, over: Interval, amount: u64) -> Result<(), Imbalance> {
        self.afloat.free(over, amount)?;
        if self.afloat.is_empty() && self.cuts.is_empty() {
            self.load = None;
        }
        match &mut self.load {
            Some(load) => load.free(over, amount),
            None => Ok(()),
        }
    }

    /// What live rates may be using beyond what is booked.
    #[must_use]
    pub fn afloat(&self) -> &Timeline {
        &self.afloat
    }

    /// The most that is booked, taken away or afloat at one instant of `over`.
    pub(crate) fn load_peak(&self, over: Interval) -> u64 {
        self.load().peak(over)
    }

    /// As large as another one, with what is taken away of that, and what is booked on this one.
    pub(crate) fn resize(&mut self, to: Self) -> Result<(), Imbalance> {
        (self.def, self.windows) = (to.def, to.windows);
        self.set_cuts(to.cuts)
    }

    /// The same windows as another lane has: of a share, those of the lane that it is of.
    pub(crate) fn follow_windows(&mut self, base: &Self) -> Result<(), Imbalance> {
        self.windows.clone_from(&base.windows);
        self.refresh()
    }

    pub(crate) fn set_drained(&mut self, drained: bool) {
        self.drained = drained;
    }

    /// The lane as somebody sees it who may have nothing of it but `own` from `now` on, where
    /// others and maintenance leave it: what a drained lane is to a reservation that stands on it.
    /// Its own bookings are off the lane already.
    pub(crate) fn with_only(&self, own: &Timeline, now: Timestamp) -> Self {
        let capacity = self.capacity();
        let taken = self.taken_beside(own, now, |load, own| load.max(capacity.saturating_sub(own)));
        Self { def: self.def.clone(), timeline: taken, ..Self::default() }
    }

    /// The lane as somebody sees it who has `own` of it from `now` on, however much others have: what a
    /// quota that was cut is to a reservation that stands on it. Its own bookings are off the lane
    /// already; those of others stay, so that they can be moved.
    pub(crate) fn with_at_least(&self, own: &Timeline, now: Timestamp) -> Self {
        let capacity = self.capacity();
        let mut all = self.load().clone();
        let added = all.add(own);
        debug_assert!(added.is_ok(), "what stood on a lane does not overflow");
        let whole = capacity.max(all.peak(Interval::ALL));
        let taken = self.taken_beside(own, now, |load, own| {
            let room = capacity.max(load.saturating_add(own));
            load.saturating_add(whole.saturating_sub(room))
        });
        let def = self.def.clone().map(|def| LaneDef { capacity: whole, ..def });
        Self { def, timeline: taken, ..Self::default() }
    }

    /// From `now` on, what is taken of it as somebody sees it who has `own`, by what others have at
    /// each instant and what it has itself.
    fn taken_beside(
        &self,
        own: &Timeline,
        now: Timestamp,
        taken_of: impl Fn(u64, u64) -> u64,
    ) -> Timeline {
        let mut taken = Timeline::default();
        let ahead = Interval::new(now, Timestamp::MAX);
        for (piece, own) in ahead.into_iter().flat_map(|ahead| own.pieces(ahead)) {
            for (part, load) in self.load().pieces(piece) {
                let booked = taken.book(part, taken_of(load, own));
                debug_assert!(booked.is_ok(), "each part is taken once");
            }
        }
        taken
    }

    /// Whether what is kept for speed is what it stands for.
    pub(crate) fn is_sound(&self) -> bool {
        let load = loaded(&self.timeline, &self.cuts, &self.afloat);
        load.is_ok_and(|load| load == self.load)
    }

    /// What can be booked by something new, were nothing booked.
    fn open_capacity(&self) -> u64 {
        if self.drained { 0 } else { self.capacity() }
    }

    fn load(&self) -> &Timeline {
        self.load.as_ref().unwrap_or(&self.timeline)
    }
}

/// What is booked, taken away and afloat together; `None` if that is just what is booked.
fn loaded(
    booked: &Timeline,
    cuts: &Timeline,
    afloat: &Timeline,
) -> Result<Option<Timeline>, Imbalance> {
    if cuts.is_empty() && afloat.is_empty() {
        return Ok(None);
    }
    let mut load = booked.clone();
    load.add(cuts)?;
    load.add(afloat)?;
    Ok(Some(load))
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
