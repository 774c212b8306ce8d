//! What holds at every instant: nobody may send what is not booked for it, all together no more
//! than a lane carries, and whoever is connected may send all that it was granted.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate_client::reservation::State as Known;
use tidegate_core::lane::{Lane, LaneName};
use tidegate_core::{Answer, Fault, Machine, Reservation, State, Terms};
use tidegate_policy::{BitRate, Interval, Overcommit, ReservationId, Timestamp};

use crate::agent::{Agent, Grant};
use crate::server::{CAPACITY, LANES, needs};
use crate::world::World;

/// A timer of an agent may be this late, and a pause come this long before the end of the lease.
const SLACK: Duration = Duration::from_millis(300);

#[derive(Default)]
pub(crate) struct Watchman {
    /// Without a session, and given up by an operator: nobody can tell their holders.
    pub(crate) untold: BTreeSet<ReservationId>,
}

/// What is sent over each lane.
#[derive(Default)]
struct Load {
    amounts: [u64; LANES.len()],
    /// When the youngest of those who send was granted, without those under earlier terms.
    youngest: [Option<Timestamp>; LANES.len()],
}

impl Watchman {
    /// The instants to come at which something is booked no more.
    pub(crate) fn edges(machine: &Machine, now: Timestamp) -> Vec<Timestamp> {
        let mut edges = Vec::new();
        for found in machine.reservations(None) {
            edges.extend(found.bookings().map(|(_, over, _)| over.end()));
        }
        edges.retain(|edge| now < *edge);
        edges
    }
}

impl World<'_> {
    /// Looks whether everything holds.
    pub(crate) fn look(&mut self) {
        let now = self.broker.now(self.time);
        let mut load = Load::default();
        for (index, agent) in self.agents.iter().enumerate() {
            for (id, grant) in &agent.grants {
                let found = self.broker.machine.reservation(*id);
                let may = grant.may(agent.clock(self.time));
                if may != BitRate::ZERO && !self.watchman.untold.contains(id) {
                    let found = found.unwrap_or_else(|| panic!("{id} is forgotten and is used"));
                    let floating = self.broker.machine.afloat(*id);
                    let floating: Vec<_> = floating.filter(|it| is_on(it.1, now)).collect();
                    let (old, above) = load.add(found, &floating, (grant, may), (now, index));
                    if above {
                        self.tally.count("sent above the floor");
                    }
                    if old {
                        self.tally.count("sent under earlier terms");
                    }
                    if found.last_move.is_some() {
                        self.tally.count(match old {
                            true => "sent under a plan that was moved away",
                            false => "sent under a plan that was moved",
                        });
                    }
                    let link = agent.link;
                    if self.time < link.up_cut.max(link.down_cut) {
                        self.tally.count("sent while cut off");
                    }
                }
                if let Some(found) = found
                    && let Some(planned) = self.is_promised(agent, grant, found)
                {
                    let known = grant.held.reservation();
                    let most = match found.standing.ratio {
                        Overcommit::NONE => planned,
                        ratio => ratio.ceiling(planned),
                    };
                    assert!(
                        planned <= may && may <= most && known.rate == found.rate(),
                        "agent {index} is connected and may send at {may} under {id}, which promises \
                         {planned} and has {most} at most"
                    );
                    self.tally.count("full rate asserted");
                    if 1 < found.plan.segments.len() {
                        self.tally.count("rate of one segment of several asserted");
                    }
                    if !self.broker.is_up {
                        self.tally.count("restarts not felt");
                    }
                }
            }
        }
        for (lane, name) in LANES.iter().enumerate() {
            let amount = load.amounts[lane];
            assert!(amount <= CAPACITY, "{amount} bit/s may be sent on {name} of {CAPACITY}");
            if CAPACITY * 9 <= amount * 10 {
                self.tally.count("lanes nearly full");
            }
            self.look_at_windows((lane, name), &load, now);
        }
    }

    /// Where maintenance took away what was promised, nothing is granted on top of what may still
    /// be sent.
    fn look_at_windows(&self, (lane, name): (usize, &str), load: &Load, now: Timestamp) {
        let machine = &self.broker.machine;
        let Some(last) = machine.maintenances(None).map(|window| window.created).max() else {
            return;
        };
        let named = |(found, _): &(&LaneName, &Lane)| found.as_str() == name;
        let limit = machine.lanes(None).find(named).map_or(0, |(_, lane)| lane.limit_at(now));
        if limit < load.amounts[lane] {
            let youngest = load.youngest[lane];
            assert!(
                youngest.is_none_or(|granted| granted <= last),
                "{} bit/s may be sent on {name}, of which maintenance leaves {limit}, under a \
                 grant of {youngest:?}, after it was made at {last}",
                load.amounts[lane]
            );
        }
    }

    /// The rate at which an agent has to be able to send now: it knows what stands, was answered
    /// within the lease, and is well within a segment of its plan.
    fn is_promised(&self, agent: &Agent, grant: &Grant, found: &Reservation) -> Option<BitRate> {
        let session = agent.session.as_ref()?;
        let (clock, known) = (agent.clock(self.time), grant.held.reservation());
        let awake = agent.paused_until + 300 <= self.time;
        let heard =
            grant.session == Some(session.id) && clock.plus(SLACK) < session.lease.live_until();
        let settled = grant.is_carried
            && !grant.is_over
            && !grant.held.is_narrowed()
            && known.plan_version == found.plan_version
            && (known.state, found.state) == (Known::Confirmed, State::Confirmed);
        let on = known
            .segments
            .iter()
            .find(|it| it.starts_at.plus(SLACK) <= clock && clock < it.ends_at)
            .filter(|_| awake && heard && settled && known.starts_at.plus(SLACK) <= clock)?;
        let planned = found
            .plan
            .segments
            .iter()
            .any(|it| (it.over.start(), it.over.end(), it.rate) == (on.start, on.end, on.rate));
        assert!(planned, "{on:?} is known of {found:?}");
        Some(on.rate)
    }
}

impl Load {
    /// Adds what may be sent under a grant, which has to be booked, or afloat as what it was told.
    /// Returns whether it is only because of what earlier terms left, and whether any of it is afloat.
    fn add(
        &mut self,
        found: &Reservation,
        floating: &[(&LaneName, Interval, u64)],
        (grant, may): (&Grant, BitRate),
        (now, agent): (Timestamp, usize),
    ) -> (bool, bool) {
        let (mut old, mut above) = (false, false);
        for (lane, need) in needs().iter().enumerate().filter(|it| grant.lanes >> it.0 & 1 == 1) {
            let amount = need.amount(may, Terms::default());
            let (mut booked, mut present) = (0, 0);
            for (name, over, part) in found.bookings() {
                if *name == need.lane && is_on(over, now) {
                    booked += part;
                }
            }
            let afloat = floating.iter().filter(|(name, ..)| **name == need.lane);
            let afloat: u64 = afloat.map(|(_, _, amount)| amount).sum();
            if found.is_live() && found.from <= now && now < found.interval.end() {
                let on = found
                    .plan
                    .bookings()
                    .filter(|(lane, over, _)| **lane == need.lane && is_on(*over, now));
                present = on.map(|(_, _, amount)| amount).sum();
            }
            assert!(
                amount <= booked + afloat,
                "agent {agent} may send {amount} bit/s on {} at {}, of which {booked} are booked and \
                 {afloat} afloat: {found:?}, known as {:?}",
                need.lane,
                now.as_ms(),
                grant.held
            );
            self.amounts[lane] += amount;
            above |= booked < amount;
            if amount.min(booked) <= present {
                self.youngest[lane] = self.youngest[lane].max(Some(found.created));
            } else {
                old = true;
            }
        }
        (old, above)
    }
}

fn is_on(over: Interval, now: Timestamp) -> bool {
    over.start() <= now && now < over.end()
}

/// An answer in short.
pub(crate) fn told(answer: &Result<(Answer, Timestamp), Fault>) -> String {
    match answer {
        Ok((Answer::Reservation(it), now)) => format!(
            "at {}: {} {} from {} to {}, {:?}, kept {:?}, plan {}",
            now.as_ms(),
            it.id,
            it.rate(),
            it.interval.start().as_ms(),
            it.interval.end().as_ms(),
            it.state,
            it.kept,
            it.plan_version
        ),
        Ok((answer, now)) => format!("at {}: {answer:?}", now.as_ms()),
        Err(fault) => format!("{fault}"),
    }
}
