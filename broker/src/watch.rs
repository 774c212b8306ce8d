//! Watches: one task for each, which reads the published changes and hands them to its stream.
//!
//! Nobody waits for a watcher. It reads behind the last place that it was told; who reads too
//! slowly is cut before what it has not read is gone, so that it can resume exactly there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Fault, Reservation};
use tidegate_policy::ReservationId;
use tidegate_proto::v1;
use tidegate_proto::v1::watch_reservations_response::Kind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::changes::{Changed, Place, Token, TooOld};
use crate::clock::{self, Clock};
use crate::convert::reply;
use crate::scope::Scope;
use crate::status::Failure;
use crate::view::View;

/// After so long a silence a watcher is told that nothing happened.
const BOOKMARK_EVERY: Duration = Duration::from_secs(5);
/// Who takes nothing for so long is cut.
const STALL_MAX: Duration = Duration::from_secs(30);
/// The most that waits for a slow reader.
const QUEUE_MAX: usize = 64;
/// The most reservations and changes that are read at once.
const SLICE: usize = 256;

type Told = v1::WatchReservationsResponse;

/// The places for watchers, and how they hear that something was published.
#[derive(Clone, Debug)]
pub(crate) struct Watching {
    moved: watch::Sender<()>,
    places: Arc<Semaphore>,
    most: usize,
}

impl Watching {
    /// With `most` places. Until `stop`, a task wakes the watchers, so that the recorder wakes one.
    pub(crate) fn start(most: usize, view: Arc<View>, stop: CancellationToken) -> Self {
        let moved = watch::Sender::new(());
        let sender = moved.clone();
        tokio::spawn(async move {
            let wake = async {
                loop {
                    view.moved().await;
                    sender.send_replace(());
                }
            };
            tokio::select! {
                () = wake => {}
                () = stop.cancelled() => {}
            }
        });
        Self { moved, places: Arc::new(Semaphore::new(most)), most }
    }

    /// A place, if there is one.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| Fault::Full { what: "watches", limit: self.most }.into())
    }

    /// How many watch now.
    pub(crate) fn open(&self) -> usize {
        self.most.saturating_sub(self.places.available_permits())
    }

    pub(crate) fn moved(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }
}

/// What a watcher reads and by what.
#[derive(Debug)]
pub(crate) struct Watcher {
    view: Arc<View>,
    clock: Arc<Clock>,
    moved: watch::Receiver<()>,
    stop: CancellationToken,
    scope: Scope,
    queue: mpsc::Sender<Told>,
    life: u64,
    /// The last token that was handed over: what was not is not behind it.
    last: Option<Token>,
    /// When a silence has to be broken.
    quiet_until: Instant,
}

/// Why a watch ended.
#[derive(Debug)]
enum Cut {
    /// Its reader is gone.
    Left,
    Behind,
    Stopped,
}

impl From<TooOld> for Cut {
    fn from(_: TooOld) -> Self {
        Self::Behind
    }
}

/// How far a watch has come.
#[derive(Debug)]
struct Course {
    /// The last place that was told, or looked at and not of interest.
    place: Place,
    /// The batch at which it began.
    begin: u64,
    /// How far the snapshot has come; `None` once all of it was told.
    reach: Option<Option<ReservationId>>,
}

impl Course {
    /// Whether the snapshot has told of a reservation, if it stood.
    fn covers(&self, id: ReservationId) -> bool {
        self.reach.is_none_or(|reach| reach.is_some_and(|last| id <= last))
    }
}

impl Watcher {
    /// A watcher and what its stream takes from it.
    pub(crate) fn new(
        view: Arc<View>,
        clock: Arc<Clock>,
        moved: watch::Receiver<()>,
        stop: CancellationToken,
        scope: Scope,
    ) -> (Self, mpsc::Receiver<Told>) {
        let (queue, told) = mpsc::channel(QUEUE_MAX);
        let life = view.read().changes.life();
        let quiet_until = clock::deadline_in(BOOKMARK_EVERY);
        (Self { view, clock, moved, stop, scope, queue, life, last: None, quiet_until }, told)
    }

    /// Tells until the watch ends, and then why; `None` if nobody is there to hear it.
    pub(crate) async fn run(mut self, token: Option<Token>) -> Option<Failure> {
        let cut = match self.follow(token).await {
            Err(cut) => cut,
            Ok(never) => match never {},
        };
        let last = self.last.map(|token| token.to_string());
        match cut {
            Cut::Left => None,
            Cut::Behind => Some(Failure::WatchBehind(last)),
            Cut::Stopped => Some(Failure::WatchStopped(last)),
        }
    }

    async fn follow(&mut self, token: Option<Token>) -> Result<Infallible, Cut> {
        let mut course = match token.and_then(|token| self.resumed(token)) {
            Some(course) => course,
            None => self.snapshot().await?,
        };
        loop {
            self.step(&mut course).await?;
        }
    }

    /// Where a token goes on, if what follows it is still there.
    fn resumed(&mut self, token: Token) -> Option<Course> {
        let there = {
            let published = self.view.read();
            let known = published.changes.knows(&token, published.sequence);
            known && published.changes.behind(token.place, 0).is_ok()
        };
        self.last = there.then_some(token);
        there.then_some(Course { place: token.place, begin: token.begin, reach: None })
    }

    /// All that stands, in slices, and in between what has changed about those that were told.
    async fn snapshot(&mut self) -> Result<Course, Cut> {
        let begin = self.view.read().sequence;
        let mut course = Course { place: Place::all_of(begin), begin, reach: Some(None) };
        self.send(&course, Kind::Reset, None).await?;
        while let Some(reach) = course.reach {
            self.go_on()?;
            let (changes, slice) = {
                let published = self.view.read();
                let changes = published.changes.behind(course.place, SLICE)?;
                // A slice is read at a place up to which every change is known.
                let slice = (changes.len() < SLICE).then(|| {
                    let machine = &published.machine;
                    let rest = machine.reservations(reach).take(SLICE);
                    let slice: Vec<_> = rest
                        .map(|it| {
                            let shown = it.is_live() && self.scope.has(it);
                            (it.id, shown.then(|| (it.clone(), machine.used(it.id))))
                        })
                        .collect();
                    (slice, Place::all_of(published.sequence))
                });
                (changes, slice)
            };
            for changed in changes {
                course.place = changed.place;
                self.tell(&course, &changed).await?;
            }
            let Some((slice, place)) = slice else { continue };
            course.place = place;
            course.reach = slice.last().map(|(id, _)| Some(*id));
            for (reservation, used) in slice.into_iter().filter_map(|(_, stands)| stands) {
                let it = reply::reservation(&reservation, self.clock.now(), used);
                if self.scope.holds(&it) {
                    self.send(&course, Kind::Stands, Some(it)).await?;
                }
            }
            tokio::task::yield_now().await;
        }
        self.send(&course, Kind::Synced, None).await?;
        Ok(course)
    }

    fn go_on(&self) -> Result<(), Cut> {
        if self.stop.is_cancelled() { Err(Cut::Stopped) } else { Ok(()) }
    }

    /// Tells the next changes, or waits until there are some.
    async fn step(&mut self, course: &mut Course) -> Result<(), Cut> {
        self.go_on()?;
        if clock::has_passed(self.quiet_until) {
            self.send(course, Kind::Bookmark, None).await?;
        }
        self.moved.mark_unchanged();
        let (changes, head) = {
            let published = self.view.read();
            let head = Place::all_of(published.sequence);
            (published.changes.behind(course.place, SLICE)?, head)
        };
        if changes.is_empty() {
            course.place = head;
            return self.wait().await;
        }
        for changed in changes {
            course.place = changed.place;
            self.tell(course, &changed).await?;
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Until something was published, or a silence has to be broken.
    async fn wait(&mut self) -> Result<(), Cut> {
        tokio::select! {
            moved = self.moved.changed() => moved.map_err(|_| Cut::Stopped),
            () = self.stop.cancelled() => Err(Cut::Stopped),
            () = self.queue.closed() => Err(Cut::Left),
            () = tokio::time::sleep_until(self.quiet_until) => Ok(()),
        }
    }

    /// Tells one change, if it is of interest.
    async fn tell(&mut self, course: &Course, changed: &Changed) -> Result<(), Cut> {
        let of_scope = |it: &&Arc<Reservation>| self.scope.has(it);
        let now = self.clock.now();
        let shown = |it: &Arc<Reservation>| reply::reservation(it, now, changed.used);
        let covered = course.covers(changed.id);
        if let Some(after) = changed.after.as_ref().filter(of_scope) {
            // What the snapshot has not come to yet it will tell as it stands then; but what is
            // closed does not stand, and whoever hears later that it left has to know it.
            if !covered && after.is_live() {
                return Ok(());
            }
            let after = shown(after);
            if self.scope.holds(&after) {
                return self.send(course, Kind::Changed, Some(after)).await;
            }
        }
        let Some(before) = changed.before.as_ref().filter(of_scope) else { return Ok(()) };
        // Without a list of what was told: what stood was, once the snapshot has come to it; what
        // was closed was, if that happened since the watch began.
        let told = if before.is_live() {
            covered
        } else {
            changed.closed.is_some_and(|closed| course.begin < closed)
        };
        if !told || !self.scope.holds(&shown(before)) {
            return Ok(());
        }
        let left = match &changed.after {
            Some(after) => shown(after),
            None => v1::Reservation {
                name: reply::reservation_name(&before.owner.project, changed.id),
                ..v1::Reservation::default()
            },
        };
        self.send(course, Kind::Left, Some(left)).await
    }

    /// Hands a message over; waits for room only as long as there is time to resume.
    async fn send(
        &mut self,
        course: &Course,
        kind: Kind,
        reservation: Option<v1::Reservation>,
    ) -> Result<(), Cut> {
        // Behind it nothing is missing only once all that stands was told.
        let Course { place, begin, .. } = *course;
        let token = Token { life: self.life, place, begin, digest: self.scope.digest };
        let token = course.reach.is_none().then_some(token);
        let resume_token = token.map(|token| token.to_string()).unwrap_or_default();
        let message = Told { kind: kind.into(), reservation, resume_token };
        let room = match self.queue.try_reserve() {
            Ok(room) => room,
            Err(mpsc::error::TrySendError::Closed(())) => return Err(Cut::Left),
            Err(mpsc::error::TrySendError::Full(())) => self.room(course).await?,
        };
        room.send(message);
        self.last = token;
        self.quiet_until = clock::deadline_in(BOOKMARK_EVERY);
        Ok(())
    }

    async fn room(&self, course: &Course) -> Result<mpsc::Permit<'_, Told>, Cut> {
        let mut moved = self.moved.clone();
        let late = async {
            while !self.view.read().changes.nearly_gone(course.place) {
                if moved.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            room = self.queue.reserve() => room.map_err(|_| Cut::Left),
            () = self.stop.cancelled() => Err(Cut::Stopped),
            () = late => Err(Cut::Behind),
            () = tokio::time::sleep(STALL_MAX) => Err(Cut::Behind),
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
