//! An agent: sessions, grants and calls under the client's own law, on a clock of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_broker::law::Usage;
use tidegate_client::clock::BootTime;
use tidegate_client::law::{Heard, Held, Lease, Order, Timing, Unanswered, Window};
use tidegate_client::{ClientError, OnUnreachable, Outcome, Reservation};
use tidegate_core::{Obeyed, Request};
use tidegate_policy::{BitRate, ByteCount, ReservationId, SessionId};
use tidegate_proto::v1;

pub(crate) struct Agent {
    /// What its clock shows when the world begins.
    boot: BootTime,
    pub(crate) link: Link,
    pub(crate) paused_until: i64,
    pub(crate) session: Option<Session>,
    pub(crate) grants: BTreeMap<ReservationId, Grant>,
    /// Whose answers it waits for.
    pub(crate) calls: BTreeMap<u64, Call>,
}

/// The road to the broker and back.
#[derive(Clone, Copy, Default)]
pub(crate) struct Link {
    /// Until when nothing goes up.
    pub(crate) up_cut: i64,
    /// Until when nothing comes down.
    pub(crate) down_cut: i64,
    /// When the last call arrives that went up.
    pub(crate) last_call: i64,
}

pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) lease: Lease,
    pub(crate) beat_ms: i64,
    /// The stream that it speaks on; `None` between two.
    pub(crate) stream: Option<u64>,
    pub(crate) unanswered: Unanswered,
    /// Grants that the broker closed, and the last version of their plan, until it has heard it.
    pub(crate) farewells: BTreeMap<ReservationId, u64>,
}

pub(crate) struct Grant {
    pub(crate) held: Held,
    pub(crate) session: Option<SessionId>,
    /// Which lanes it books, as a mask.
    pub(crate) lanes: u8,
    /// What its limiter does.
    order: Option<Order>,
    /// When the limiter pauses by itself, because less may be sent from then on.
    pause: Option<BootTime>,
    pub(crate) is_over: bool,
    /// Its session was told of it once: from then on beats carry it.
    pub(crate) is_carried: bool,
    /// A change is being asked for.
    pub(crate) is_asking: bool,
}

#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) request: Request,
    /// When it was sent first, by its own clock.
    pub(crate) sent: BootTime,
    pub(crate) tries: u64,
    pub(crate) about: About,
}

#[derive(Clone)]
pub(crate) enum About {
    Session,
    Reserve {
        window: Option<Window>,
        policy: OnUnreachable,
        lanes: u8,
    },
    Confirm(ReservationId),
    Change(ReservationId),
    /// Its answer changes nothing any more.
    Farewell,
}

/// What comes back from a call.
#[derive(Clone)]
pub(crate) enum Told {
    Reservation(Box<v1::Reservation>),
    Session(Box<v1::Session>),
    Refused,
    Fault(String),
    Nothing,
}

impl Agent {
    pub(crate) fn new(offset_ms: u64) -> Self {
        // The first reading of the clock, whatever the machine's shows.
        let zero = BootTime::now().minus(Duration::MAX);
        Self {
            boot: zero.plus(Duration::from_millis(offset_ms)),
            link: Link::default(),
            paused_until: 0,
            session: None,
            grants: BTreeMap::new(),
            calls: BTreeMap::new(),
        }
    }

    /// Its own clock at a time of the world, which starts at 0.
    pub(crate) fn clock(&self, time: i64) -> BootTime {
        self.boot.plus(Duration::from_millis(u64::try_from(time).unwrap()))
    }

    /// The time of the world at which its clock shows `reading`.
    pub(crate) fn time(&self, reading: BootTime) -> i64 {
        i64::try_from(reading.since(self.boot).as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
    }

    /// The grants that a beat has to name, with the plan and the live rate that each obeys.
    pub(crate) fn usage(&self) -> Vec<Usage> {
        let Some(session) = &self.session else { return Vec::new() };
        let bytes = ByteCount::ZERO;
        let farewells = session.farewells.iter().map(|(id, version)| Usage {
            reservation: *id,
            bytes,
            plan: *version,
            live: Obeyed::default(),
            held_back: None,
        });
        let own = self.grants.iter().filter(|(_, grant)| grant.session == Some(session.id));
        let own = own.map(|(id, grant)| {
            let (version, rate) = grant.held.live_obeyed();
            let live = Obeyed { version, rate };
            Usage { reservation: *id, bytes, plan: grant.held.obeyed(), live, held_back: None }
        });
        farewells.chain(own).collect()
    }

    /// Takes in the answer to a beat. Returns the grants that went on, and whether less may be sent under
    /// one of them; or `None` if the session is over.
    pub(crate) fn hear(
        &mut self,
        answer: &v1::KeepAliveResponse,
        sent: BootTime,
        received: BootTime,
    ) -> Option<(Vec<ReservationId>, bool)> {
        let told = answer.session.as_ref().unwrap();
        if told.state() != v1::session::State::Open {
            self.end_session();
            return None;
        }
        let session = self.session.as_mut().unwrap();
        let lease = Lease::from_wire(told, Timing { sent, received }).unwrap();
        session.lease = lease;
        let (mut on, mut less) = (Vec::new(), false);
        for status in &answer.grants {
            let id = status.reservation.rsplit('/').next().unwrap().parse().unwrap();
            let Some(grant) = self.grants.get_mut(&id) else {
                session.farewells.remove(&id);
                continue;
            };
            match Heard::from_wire(status, lease).unwrap() {
                Heard::GoesOn(news) => {
                    let before = grant.held.live_rate(received);
                    grant.held.hear(&news);
                    less |= grant.held.live_rate(received) < before;
                    grant.is_carried = true;
                    on.push(id);
                }
                Heard::Over { why, version } => {
                    grant.is_over = true;
                    grant.held.close(why, version);
                    session.farewells.insert(id, grant.held.obeyed());
                    self.grants.remove(&id);
                }
            }
        }
        Some((on, less))
    }

    /// The session is over: nothing moves under it any more.
    pub(crate) fn end_session(&mut self) {
        if let Some(session) = self.session.take() {
            self.grants.retain(|_, grant| grant.session != Some(session.id));
        }
    }

    /// Lets a limiter do what the law says for now. Returns when to look again, if ever.
    pub(crate) fn review(&mut self, id: ReservationId, time: i64) -> Option<i64> {
        let now = self.clock(time);
        let grant = self.grants.get_mut(&id).filter(|grant| !grant.is_over)?;
        let order = grant.held.order(now);
        grant.order = Some(order);
        grant.pause = grant.held.falls_at(now);
        match order {
            Order::Run { review, .. } => {
                grant.held.obey();
                review.map(|review| self.time(review))
            }
            Order::GiveUp => {
                grant.is_over = true;
                None
            }
            Order::Stop(_) => {
                grant.is_over = true;
                grant.held.obey();
                None
            }
        }
    }

    /// A reservation of its own was granted.
    pub(crate) fn bind(
        &mut self,
        told: Reservation,
        (window, policy, lanes): (Option<Window>, OnUnreachable, u8),
    ) -> Option<ReservationId> {
        let (id, session) = (told.name.id, told.session);
        let mine = session.is_none_or(|id| self.session.as_ref().is_some_and(|it| it.id == id));
        if !mine {
            return None;
        }
        let is_over = matches!(told.state, tidegate_client::reservation::State::Closed { .. });
        let held = Held::granted(told, policy, window);
        let grant = Grant {
            held,
            session,
            lanes,
            order: None,
            pause: None,
            is_over,
            is_carried: false,
            is_asking: false,
        };
        self.grants.insert(id, grant);
        Some(id)
    }

    /// An answer in checked types.
    pub(crate) fn read(&self, told: v1::Reservation, sent: BootTime, time: i64) -> Reservation {
        let timing = Timing { sent, received: self.clock(time) };
        Reservation::from_wire(told, timing).unwrap()
    }

    /// What a change was answered.
    pub(crate) fn changed(&mut self, id: ReservationId, answer: &Result<Outcome, ClientError>) {
        let Some(grant) = self.grants.get_mut(&id) else { return };
        grant.held.answered(answer);
        grant.held.asked();
        grant.is_asking = false;
    }
}

impl Grant {
    /// The most that it may send under a promise.
    pub(crate) fn may(&self, now: BootTime) -> BitRate {
        match self.order {
            Some(Order::Run { rate, expires_at, promised: true, .. })
                if !self.is_over && now < expires_at && self.pause.is_none_or(|at| now < at) =>
            {
                rate
            }
            _ => BitRate::ZERO,
        }
    }
}
