//! What a grant stands on, as a value: what was granted, what was heard and told since, and what
//! follows for its limiter. No clock, no task, no lock: times are arguments.

use std::time::Duration;

use tidegate_policy::{BitRate, SessionId, Span, Timestamp};
use tidegate_proto::v1;

use crate::change::Change;
use crate::clock::BootTime;
use crate::course::Course;
use crate::error::ClientError;
use crate::notice::{Notice, NoticeKind};
use crate::plan::{self, PlanWay, Segment};
use crate::reservation::{CloseReason, Outcome, Reservation, State, Timing};
use crate::terms::{Narrowed, OnUnreachable, Order, Plan, Terms, Window};
use crate::wire;

/// When the last answered beat was sent and answered, and how far it carries.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    beat: Timing,
    pub(crate) beat_every: Duration,
    lease: Duration,
    grace: Duration,
}

/// What an answer to a beat says about one grant.
#[derive(Clone, Debug)]
pub enum Heard {
    /// It goes on, maybe under another plan.
    GoesOn(Box<News>),
    /// The broker closed it.
    Over {
        /// Why.
        why: CloseReason,
        /// The last version of its plan; 0 if the broker does not know it.
        version: u64,
    },
}

/// How a grant goes on.
#[derive(Clone, Debug)]
pub struct News {
    plan: Plan,
    /// Empty where the broker tells no segments.
    ways: Vec<PlanWay>,
    confirmed: bool,
    window: Window,
    pub(crate) notices: Vec<Notice>,
    live: Option<Live>,
}

/// What may be sent beyond the promise while others leave it.
#[derive(Clone, Copy, Debug)]
struct Live {
    version: u64,
    rate: BitRate,
    until: BootTime,
    /// The plan that it goes with.
    plan: u64,
}

/// What a grant stands on.
#[derive(Clone, Debug)]
pub struct Held {
    reservation: Reservation,
    terms: Terms,
    /// Of the change that is being asked for: no plan that is heard can settle it.
    asked: Option<Narrowed>,
    /// Of changes before it whose outcome is not known.
    unknown: Option<Narrowed>,
    /// The version of the plan that the limiter follows.
    obeyed: u64,
    known: Known,
    /// The live rate that was heard last.
    live: Option<Live>,
    /// The version and the rate of the one that the limiter follows.
    live_obeyed: (u64, BitRate),
    /// The promised rate and the highest one, as an answer told them together.
    scale: Option<(BitRate, BitRate)>,
}

/// Instants of the broker that are known on this clock as well, as an answer told them together:
/// what is heard later has no instants, and refines one without the other.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// A reading that is not too early.
    start: (Timestamp, BootTime),
    /// A reading that is not too late.
    end: (Timestamp, BootTime),
}

impl Known {
    fn of(told: &Reservation) -> Self {
        Self { start: (told.start, told.starts_at), end: (told.end, told.ends_at) }
    }
}

impl Lease {
    /// What the answer to a beat says of its session.
    ///
    /// # Errors
    /// [`ClientError::BadAnswer`] if it makes no sense.
    pub fn from_wire(session: &v1::Session, beat: Timing) -> Result<Self, ClientError> {
        let beat_every = wire::length("beat_every", session.beat_every)?;
        let lease = wire::length("lease", session.lease)?;
        let grace = wire::length("grace", session.grace)?;
        if beat_every.is_zero() || lease < beat_every {
            return Err(ClientError::bad("beat_every", "it is zero or longer than the lease"));
        }
        Ok(Self { beat, beat_every, lease, grace })
    }

    /// Until when everything holds as the broker last said.
    #[must_use]
    pub fn live_until(&self) -> BootTime {
        self.beat.sent.plus(self.lease)
    }

    /// How long it carries grants.
    #[must_use]
    pub fn window(&self) -> Window {
        Window::of(self.beat, self.lease, self.grace)
    }
}

impl Heard {
    /// What the answer to a beat says; `lease` is what it says of the session.
    ///
    /// # Errors
    /// [`ClientError::BadAnswer`] if it is not one of ours.
    pub fn from_wire(status: &v1::GrantStatus, lease: Lease) -> Result<Self, ClientError> {
        use v1::reservation::State;
        let version = wire::count("grants.plan_version", status.plan_version)?;
        let confirmed = match State::try_from(status.state) {
            Ok(State::Held) => false,
            Ok(State::Confirmed) => true,
            Ok(State::Closed) => {
                let why = CloseReason::from_wire(status.close_reason);
                return Ok(Self::Over { why, version });
            }
            Ok(State::Unspecified) | Err(_) => {
                return Err(ClientError::bad("grants.state", "it is not known"));
            }
        };
        // The end counts from the sending and the start from the answer, so that both are safe.
        let starts_in = status.starts_in.map(|span| wire::length("grants.starts_in", Some(span)));
        let ends_in = wire::length("grants.ends_in", status.ends_in)?;
        let Timing { sent, received } = lease.beat;
        let segments = plan::segments(&status.segments, status.ways.len(), lease.beat)?;
        Ok(Self::GoesOn(Box::new(News {
            plan: Plan {
                segments,
                begun: starts_in.as_ref().is_none_or(|it| matches!(it, Ok(span) if span.is_zero())),
                movable: status.movable,
                version,
                rate: wire::rate("grants.rate_bps", status.rate_bps)?,
                starts_at: starts_in.transpose()?.map(|span| received.plus(span)),
                ends_at: sent.plus(ends_in),
            },
            ways: plan::ways(status.ways.clone())?,
            confirmed,
            window: lease.window(),
            notices: status.notices.iter().map(Notice::from_wire).collect::<Result<_, _>>()?,
            live: live(status, version, lease)?,
        })))
    }
}

impl Held {
    /// What stands after a reservation was granted; with a `window` if it is bound to a session.
    #[must_use]
    pub fn granted(
        reservation: Reservation,
        policy: OnUnreachable,
        window: Option<Window>,
    ) -> Self {
        let terms = Terms {
            course: Course::new(&whole(&reservation)),
            confirmed: reservation.state == State::Confirmed,
            movable: reservation.movable,
            volume: is_volume(&reservation),
            window,
            policy,
        };
        let (obeyed, known) = (reservation.plan_version, Known::of(&reservation));
        let (asked, unknown, live, live_obeyed) = (None, None, None, (1, BitRate::ZERO));
        let scale = scale(&reservation);
        Self { reservation, terms, asked, unknown, obeyed, known, live, live_obeyed, scale }
    }

    /// The reservation as last heard of.
    #[must_use]
    pub fn reservation(&self) -> &Reservation {
        &self.reservation
    }

    /// The version of the plan under which alone bytes move.
    #[must_use]
    pub fn obeyed(&self) -> u64 {
        self.obeyed
    }

    /// The version of the live rate that the limiter follows, and that rate: nothing is sent at those
    /// told before it.
    #[must_use]
    pub fn live_obeyed(&self) -> (u64, BitRate) {
        self.live_obeyed
    }

    /// What may be sent at `now`, if the plan is on.
    #[must_use]
    pub fn live_rate(&self, now: BootTime) -> BitRate {
        self.kept(now).course.rate(now)
    }

    /// What a change says of its asker: the session that holds it, and the plan that it obeys.
    /// Nothing of a volume: what is left of it is planned anew, and before the answer tells how,
    /// nobody can keep to the new plan.
    #[must_use]
    pub fn word(&self) -> Option<(SessionId, u64)> {
        let session = self.reservation.session.filter(|_| !self.terms.volume);
        session.map(|session| (session, self.obeyed))
    }

    /// What its limiter is to do at `now`.
    #[must_use]
    pub fn order(&self, now: BootTime) -> Order {
        if let State::Closed { why } = self.reservation.state {
            return Order::Stop(why);
        }
        self.kept(now).order(now)
    }

    /// The terms that are kept: the present ones with what others leave, and those of changes that may
    /// have come about, which know of no more than promises.
    fn kept(&self, now: BootTime) -> Terms {
        let terms = self.terms.clone();
        if self.is_narrowed() {
            let narrowed = self.asked.iter().chain(&self.unknown);
            return narrowed.fold(terms, |terms, narrowed| terms.within(narrowed));
        }
        let goes_on = |live: &&Live| now < live.until && live.plan == self.reservation.plan_version;
        match self.live.as_ref().filter(goes_on) {
            Some(live) => Terms { course: terms.course.lifted(live.rate, live.until), ..terms },
            None => terms,
        }
    }

    /// When next after `now` less may be sent than now: a limiter lets nothing pass from then on
    /// until it is told anew.
    #[must_use]
    pub fn falls_at(&self, now: BootTime) -> Option<BootTime> {
        self.course(now).fall_but(&[], now)
    }

    /// Whether the broker waits for word of what is left of a volume.
    #[must_use]
    pub fn reports(&self, now: BootTime) -> bool {
        self.terms.reports_at().is_some_and(|at| at <= now)
    }

    /// What is kept of the plan from `now` on: which way at which rate when.
    pub(crate) fn course(&self, now: BootTime) -> Course {
        self.kept(now).course
    }

    /// Whether it keeps to more than its terms, because the outcome of a change is not known.
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        self.asked.is_some() || self.unknown.is_some()
    }

    /// The limiter does what was ordered last: only now is it true.
    pub fn obey(&mut self) {
        self.obeyed = self.reservation.plan_version;
        if let Some(live) = self.live {
            self.live_obeyed = (live.version, live.rate);
        }
    }

    /// Takes in what its session heard.
    pub fn hear(&mut self, news: &News) {
        self.follow(&news.plan, &news.ways);
        let later = |live: &Live| {
            let known = self.live.map_or(self.live_obeyed.0, |known| known.version);
            known <= live.version && live.plan == self.reservation.plan_version
        };
        if let Some(live) = news.live.filter(later) {
            self.live = Some(live);
        }
        // An answer from before the confirmation does not take it back.
        self.terms.confirmed |= news.confirmed;
        self.terms.window = Some(news.window);
        if self.terms.confirmed {
            self.reservation.state = State::Confirmed;
        }
        let curtailed = news.notices.iter().any(|notice| notice.kind == NoticeKind::Curtailed);
        self.reservation.curtailed |= curtailed;
    }

    /// Takes an answer in whole, unless something later was heard.
    pub fn take(&mut self, told: Reservation) {
        self.terms.confirmed |= told.state == State::Confirmed;
        if told.plan_version < self.reservation.plan_version {
            return;
        }
        self.terms.course = Course::new(&whole(&told));
        self.terms.movable = told.movable;
        self.terms.volume = is_volume(&told);
        self.known = Known::of(&told);
        self.scale = scale(&told);
        self.reservation = told;
    }

    /// A change is about to be asked for: from now on both its terms and the present ones hold.
    pub fn narrow(&mut self, change: &Change) {
        self.asked = Some(self.narrowed_by(change));
    }

    /// What was answered to a change, if anything was.
    pub fn answered(&mut self, answer: &Result<Outcome, ClientError>) {
        let settled = match answer {
            Ok(_) => true,
            // The question was sent again, and by then what it changed was over: only beats would
            // tell that from a change that never was.
            Err(ClientError::FailedPrecondition { .. }) => self.reservation.session.is_some(),
            Err(error) => !error.may_have_happened(),
        };
        if settled {
            self.asked = None;
        }
        if let Ok(Outcome::Granted(changed)) = answer {
            // It tells what came of the changes before as well; a refusal does not.
            self.unknown = None;
            self.take(changed.clone());
        }
    }

    /// Nobody waits for the answer to a change any more.
    pub fn asked(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.unknown = Some(self.unknown.map_or(asked, |known| known.and(asked)));
        }
    }

    /// The broker closed it, which is the last version of its plan; the limiter has stopped.
    pub fn close(&mut self, why: CloseReason, version: u64) {
        self.reservation.state = State::Closed { why };
        self.reservation.plan_version = self.reservation.plan_version.max(version);
        self.obey();
    }

    /// Follows what a session heard of the plan.
    fn follow(&mut self, plan: &Plan, ways: &[PlanWay]) {
        let known = self.reservation.plan_version;
        let followed = self.terms.follow(known, plan);
        if followed != known {
            // Whatever was asked for before is decided, or overtaken: it obeyed an earlier plan.
            self.unknown = None;
        }
        if followed == plan.version {
            self.tell(plan, ways, followed != known);
        }
        self.reservation.plan_version = followed;
    }

    /// Tells the reservation what is followed.
    fn tell(&mut self, plan: &Plan, ways: &[PlanWay], changed: bool) {
        let told = &mut self.reservation;
        let before = (told.starts_at, told.ends_at);
        told.movable = plan.movable;
        told.rate = plan.rate;
        told.ceiling = self.scale.map(|scale| scaled(plan.rate, scale));
        if !plan.segments.is_empty() {
            told.segments.clone_from(&plan.segments);
            told.ways = ways.to_vec();
        } else if changed {
            // Those of an earlier plan tell nothing of this one.
            told.segments.clear();
        }
        let Some((starts_at, ends_at)) = self.terms.course.start().zip(self.terms.course.end())
        else {
            return;
        };
        (told.starts_at, told.ends_at) = (starts_at, ends_at);
        if !changed {
            return;
        }
        match (told.segments.first(), told.segments.iter().map(|it| it.end).max()) {
            (Some(first), Some(end)) => {
                // Segments that are over are not told any more, and its start stays theirs.
                told.start = if plan.begun { told.start.min(first.start) } else { first.start };
                told.end = end.max(told.start);
            }
            _ => {
                told.start = moved(told.start, before.0, starts_at);
                told.end = moved(told.end, before.1, ends_at).max(told.start);
            }
        }
    }

    /// What keeps to the present terms and to those of `change`, whichever hold. The broker's
    /// instants are told by the distance to those that are known on both clocks.
    fn narrowed_by(&self, change: &Change) -> Narrowed {
        let Known { start, end } = self.known;
        // Without a session the lanes of the plan before are free at once, and what is left of a
        // volume is planned in a way that only the answer tells: nothing is sent until then.
        let blind = self.terms.volume && self.reservation.session.is_none();
        // What is asked for is the highest rate, of which as much is promised as before, or a little more.
        let promised = change.rate.map(|asked| match self.scale {
            Some((rate, ceiling)) => {
                let above = BitRate::from_bps(ceiling.bps().saturating_add(1)).unwrap_or(ceiling);
                scaled(asked, (above, rate))
            }
            None => asked,
        });
        Narrowed {
            rate: if blind { Some(BitRate::ZERO) } else { promised },
            starts_at: change.start.map(|to| shifted(start, to)),
            ends_at: change.end.map(|to| shifted(end, to)),
        }
    }
}

/// The live rate of an answer, if it tells one.
fn live(status: &v1::GrantStatus, plan: u64, lease: Lease) -> Result<Option<Live>, ClientError> {
    let version = wire::count("grants.live_version", status.live_version)?;
    let rate = wire::rate("grants.live_bps", status.live_bps)?;
    Ok((0 < version).then(|| Live { version, rate, until: lease.live_until(), plan }))
}

/// The promised rate and the highest one, where they differ.
fn scale(told: &Reservation) -> Option<(BitRate, BitRate)> {
    told.ceiling.map(|ceiling| (told.rate, ceiling))
}

/// As much of a rate as `to` is of `from`, rounded down.
fn scaled(rate: BitRate, (from, to): (BitRate, BitRate)) -> BitRate {
    let product = u128::from(rate.bps()).saturating_mul(to.bps().into());
    let bps = product.checked_div(from.bps().into()).and_then(|bps| u64::try_from(bps).ok());
    bps.and_then(BitRate::from_bps).unwrap_or(BitRate::MAX)
}

/// The segments of a reservation; one of all of it where the broker told none.
fn whole(told: &Reservation) -> Vec<Segment> {
    if !told.segments.is_empty() {
        return told.segments.clone();
    }
    vec![Segment {
        way: 0,
        rate: told.rate,
        start: told.start,
        end: told.end,
        starts_at: told.starts_at,
        ends_at: told.ends_at,
    }]
}

/// The reading of the instant `to`, where `reading` is that of `from`.
fn shifted((from, reading): (Timestamp, BootTime), to: Timestamp) -> BootTime {
    reading.plus(to.since(from).to_duration()).minus(from.since(to).to_duration())
}

/// The instant of the reading `to`, where `time` is that of `from`, to the millisecond.
fn moved(time: Timestamp, from: BootTime, to: BootTime) -> Timestamp {
    let span = |length: Duration| {
        u64::try_from(length.as_millis()).ok().and_then(Span::from_ms).unwrap_or(Span::MAX)
    };
    time.plus(span(to.since(from))).minus(span(from.since(to)))
}

fn is_volume(reservation: &Reservation) -> bool {
    reservation.promise.is_some_and(|it| it.volume().is_some())
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "live_tests.rs"]
mod live_tests;
