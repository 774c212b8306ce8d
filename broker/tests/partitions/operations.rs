//! What agents and operators ask for, and what breaks, at random.

use std::time::Duration;

use tidegate_client::reservation::State as Known;
use tidegate_client::{Change, OnUnreachable};
use tidegate_core::lane::LaneName;
use tidegate_core::{
    Answer, Ask, Command, MaintenanceAsk, Modify, Owner, Release, Shape, Standing, State, Target,
    Terms, Until, Ways,
};
use tidegate_policy::{
    BitRate, ByteCount, ClassId, ProjectId, ReservationId, Resource, SessionId, Span, Timestamp,
};

use crate::agent::About;
use crate::server::{CAPACITY, LANES};
use crate::world::World;

const HOUR: i64 = 3_600_000;

fn after(now: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_ms(now.as_ms() + ms).unwrap()
}

impl World<'_> {
    /// One operation or fault.
    pub(crate) fn step(&mut self) {
        let agent = self.rng.index(self.agents.len());
        let awake = self.agents[agent].paused_until <= self.time;
        match self.rng.below(100) {
            0..=49 if awake => self.own(agent),
            50..=69 if self.broker.is_up => self.operate(),
            70..=84 => self.cut(agent),
            85..=88 if awake => {
                let most = self.rng.pick(&[500, 8000, 120_000]);
                let pause = self.rng.ms(most);
                self.agents[agent].paused_until = self.time + pause;
                self.tally.count("pauses");
                self.tell(|| format!("agent {agent}: sleeps for {pause} ms"));
            }
            89..=92 if self.broker.is_up => self.crash(),
            93..=96 => self.set_wall(),
            _ => {}
        }
    }

    fn set_wall(&mut self) {
        let by = self.rng.pick(&[HOUR, -HOUR, 2 * HOUR, 1500, -1500]);
        if (self.broker.wall() + by).abs() < 24 * HOUR {
            self.broker.set_wall(by);
            self.tally.count("wall clock set");
            self.tell(|| format!("the wall clock is set by {by} ms"));
        }
    }

    fn cut(&mut self, agent: usize) {
        let most = self.rng.pick(&[3000, 20_000, 150_000]);
        let until = self.time + self.rng.ms(most);
        let (up, down, what) = self.rng.pick(&[
            (true, false, "up cut"),
            (false, true, "down cut"),
            (true, true, "both cut"),
        ]);
        let link = &mut self.agents[agent].link;
        if up {
            link.up_cut = link.up_cut.max(until);
        }
        if down {
            link.down_cut = link.down_cut.max(until);
        }
        self.tally.count(what);
        self.tell(|| format!("agent {agent}: {what} until {until}"));
    }

    // === what agents do ===

    pub(crate) fn open_session(&mut self, agent: usize) {
        let name = "agent".parse().unwrap();
        self.ask(agent, Command::OpenSession(name), About::Session);
    }

    fn own(&mut self, agent: usize) {
        let Some(session) = &self.agents[agent].session else {
            if self.agents[agent].calls.is_empty() {
                self.open_session(agent);
            }
            return;
        };
        let session = session.id;
        let grants: Vec<ReservationId> = self.agents[agent].grants.keys().copied().collect();
        match self.rng.below(20) {
            0 => {
                self.tally.count("sessions closed");
                // Nothing moves any more before the broker is told so.
                self.agents[agent].end_session();
                self.ask(agent, Command::CloseSession(session), About::Farewell);
            }
            1..=11 if grants.len() < 4 => self.reserve(agent, session),
            _ if grants.is_empty() => self.reserve(agent, session),
            12..=17 => {
                let id = self.rng.pick(&grants);
                self.change_own(agent, id);
            }
            _ => {
                let id = self.rng.pick(&grants);
                self.release_own(agent, id);
            }
        }
    }

    fn rate(&mut self) -> BitRate {
        let most = self.rng.pick(&[CAPACITY, CAPACITY, CAPACITY / 2, CAPACITY / 5]);
        BitRate::from_bps(1 + self.rng.below(most)).unwrap()
    }

    fn reserve(&mut self, agent: usize, session: SessionId) {
        let now = self.broker.now(self.time);
        let bound = self.rng.chance(75);
        let window = bound.then(|| self.agents[agent].session.as_ref().unwrap().lease.window());
        let lanes = self.rng.pick(&[1, 2, 3, 6, 7]);
        let named = LANES.iter().enumerate().filter(|(lane, _)| lanes >> lane & 1 == 1);
        let named = named.map(|(_, name)| LaneName::new(name)).collect();
        let rate = self.rate();
        let begins = self.rng.pick(&[1, 1, 10_000, 60_000]);
        let start = Some(self.rng.ms(begins)).filter(|_| 1 < begins).map(|ms| after(now, ms));
        let lasts = self.rng.pick(&[5000, 30_000, 200_000]);
        let span = Span::from_ms(1 + self.rng.below(lasts)).unwrap();
        let shape = self.shape(now, (rate, start, span));
        let adapts = !matches!(shape, Shape::Rigid { .. });
        let movable = bound && adapts && self.rng.chance(70);
        let priority = u8::try_from(self.rng.below(3)).unwrap();
        let standing =
            Standing { priority, preemptible: self.rng.chance(25), ..Standing::default() };
        let held = self.rng.chance(20);
        let class = self.rng.pick(&[None, Some("bronze"), Some("bronze"), Some("silver")]);
        let class = class.map(|class| ClassId(class.parse().unwrap()));
        let ask = Ask {
            owner: Owner { class, ..ProjectId::default_project().into() },
            ways: Ways::Lanes(named),
            shape,
            terms: Terms::default(),
            hold_for: held.then(|| Span::from_ms(1 + self.rng.below(30_000)).unwrap()),
            session: bound.then_some(session),
            hold_best_offer: false,
            movable,
            standing,
        };
        let policy = match self.rng.below(3) {
            0 => OnUnreachable::Fail,
            1 => OnUnreachable::Wait { up_to: Duration::from_secs(60) },
            _ => OnUnreachable::BestEffort(rate),
        };
        let about = About::Reserve { window, policy, lanes };
        self.ask(agent, Command::Reserve(ask.into()), about);
    }

    /// A rate for a time, somewhere in a window, or a volume by a deadline.
    fn shape(
        &mut self,
        now: Timestamp,
        (rate, start, span): (BitRate, Option<Timestamp>, Span),
    ) -> Shape {
        let length = i64::try_from(span.as_ms()).unwrap();
        match self.rng.below(6) {
            0 => {
                let end = after(start.unwrap_or(now), length + 60_000);
                let min = BitRate::from_bps(1.max(rate.bps() / 4)).unwrap();
                Shape::Flexible { min, max: rate, span, start, end }
            }
            1 | 2 => {
                // It goes on behind the freeze, so that there is something to move.
                let most = (rate.bps() * (span.as_ms() + 60_000) / 8000).max(1);
                let volume = ByteCount::new(1 + self.rng.below(most));
                let min = BitRate::from_bps(self.rng.pick(&[0, 0, rate.bps() / 4])).unwrap();
                let deadline = after(start.unwrap_or(now), length + 60_000 + self.rng.ms(60_000));
                Shape::Transfer { volume, min, max: rate, start, deadline, split: false }
            }
            _ => Shape::Rigid { rate, start, until: Until::After(span) },
        }
    }

    fn change_own(&mut self, agent: usize, id: ReservationId) {
        let now = self.broker.now(self.time);
        let rate = Some(self.rate()).filter(|_| self.rng.chance(60));
        let start = self.rng.chance(20).then(|| after(now, self.rng.ms(20_000)));
        let end = self.rng.chance(40).then(|| after(now, 20_000 + self.rng.ms(100_000)));
        let Some(grant) = self.agents[agent].grants.get_mut(&id) else { return };
        if grant.is_over || grant.is_asking {
            return;
        }
        if matches!(grant.held.reservation().state, Known::Held { .. }) {
            return self.ask(agent, Command::Confirm(Target::from(id)), About::Confirm(id));
        }
        let change = Change { rate, start, end, ..Change::new() };
        grant.held.narrow(&change);
        grant.is_asking = true;
        self.review(agent, id);
        let Some(grant) = self.agents[agent].grants.get(&id) else { return };
        let word = grant.held.word();
        let (holder, obeyed) = (word.map(|word| word.0), word.map_or(0, |word| word.1));
        let modify = Modify { target: id.into(), holder, obeyed, rate, start, end, volume: None };
        self.ask(agent, Command::Modify(modify.into()), About::Change(id));
    }

    fn release_own(&mut self, agent: usize, id: ReservationId) {
        let Some(grant) = self.agents[agent].grants.remove(&id) else { return };
        if !grant.is_over {
            self.tally.count("releases by holders");
            let holder = grant.session;
            let release = Release { target: id.into(), holder, used: ByteCount::ZERO };
            self.ask(agent, Command::Release(release), About::Farewell);
        }
    }

    // === what operators do ===

    fn command(&mut self, command: Command) -> Option<Answer> {
        self.tell(|| format!("an operator asks {command:?}"));
        let request = self.broker.request(self.time, command);
        self.decide(&request).ok().map(|(answer, _)| answer)
    }

    fn operate(&mut self) {
        // Without a session nobody can be told: those are left to their holders.
        let bound = self.broker.machine.reservations(None);
        let bound = bound.filter(|found| found.is_live() && found.session.is_some());
        let bound: Vec<(ReservationId, State)> = bound.map(|it| (it.id, it.state)).collect();
        match self.rng.below(10) {
            0..=4 if !bound.is_empty() => {
                let (id, _) = self.rng.pick(&bound);
                self.change(id);
            }
            5 | 6 if !bound.is_empty() => match self.rng.pick(&bound) {
                (id, State::Held { .. }) if self.rng.chance(70) => {
                    self.command(Command::Confirm(id.into()));
                }
                (id, _) => {
                    self.tally.count("releases by others");
                    let used = ByteCount::ZERO;
                    self.command(Command::Release(Release {
                        target: id.into(),
                        holder: None,
                        used,
                    }));
                }
            },
            7 | 8 => self.maintain(),
            _ => self.drain(),
        }
    }

    fn change(&mut self, id: ReservationId) {
        let now = self.broker.now(self.time);
        let rate = Some(self.rate()).filter(|_| self.rng.chance(60));
        let start = self.rng.chance(20).then(|| after(now, self.rng.ms(20_000)));
        let end = self.rng.chance(40).then(|| after(now, 1 + self.rng.ms(100_000)));
        let modify =
            Modify { target: id.into(), holder: None, obeyed: 0, rate, start, end, volume: None };
        if let Some(Answer::Reservation(_)) = self.command(Command::Modify(modify.into())) {
            self.tally.count("changes by others");
        }
    }

    fn maintain(&mut self) {
        let open = self.broker.machine.maintenances(None).next().map(|window| window.id);
        if let Some(id) = open.filter(|_| self.rng.chance(70)) {
            self.command(Command::DeleteMaintenance(id));
            return;
        }
        let now = self.broker.now(self.time);
        let start = Some(after(now, self.rng.ms(20_000))).filter(|_| self.rng.chance(60));
        let end = after(now, 20_001 + self.rng.ms(60_000));
        let ask = MaintenanceAsk {
            resource: self.resource(),
            start,
            end,
            left_ppm: u32::try_from(self.rng.below(900_000)).unwrap(),
            comment: String::new(),
            accept_losses: self.rng.chance(80),
        };
        let made = self.command(Command::CreateMaintenance(ask.into()));
        let Some(Answer::Maintenance { losses, .. }) = made else { return };
        if 0 < losses.count {
            self.tally.count("windows with losses");
        }
        for victim in losses.victims {
            let found = self.broker.machine.reservation(victim.reservation);
            let live = found.is_some_and(tidegate_core::Reservation::is_live);
            self.tally.count(if live { "curtailed" } else { "capacity lost" });
            if victim.session.is_none() {
                self.watchman.untold.insert(victim.reservation);
            }
        }
    }

    fn resource(&mut self) -> Resource {
        self.rng.pick(&["storage/s", "hosts/h"]).parse().unwrap()
    }

    fn drain(&mut self) {
        let drained = self.broker.machine.drained().next().cloned();
        let command = match drained {
            Some(resource) => Command::Undrain(resource),
            None => {
                self.tally.count("drains");
                Command::Drain(self.resource())
            }
        };
        self.command(command);
    }
}
