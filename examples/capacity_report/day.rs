//! The past: agents that ask, move, report and give back, minute by minute, in virtual time.

use std::collections::BTreeMap;

use anyhow::Context;
use tidegate_broker::past::{Became, Past, Sighting, Wish};
use tidegate_client::{policy_file, topology_file};
use tidegate_policy::{
    BitRate, ByteCount, Interval, Name, Part, ReservationId, SessionId, Span, Timestamp,
};

use crate::backups;
use crate::chance::Chance;
use crate::habits::{HABITS, Pull, hour};
use crate::ledger::{Ledger, Whose};
use crate::network;

pub(crate) const MINUTE: Span = Span::from_secs(60);
pub(crate) const HOUR: Span = Span::from_secs(3600);
/// How often somebody looks at the ports.
const LOOKED_EVERY: Span = Span::from_secs(300);
/// The hour at which the night is prepared.
const NOON: usize = 12;
/// How long somebody who was refused waits before asking again.
const AGAIN_AFTER: Span = Span::from_secs(600);

/// A past that is lived through.
pub(crate) struct Day {
    pub(crate) past: Past,
    pub(crate) ledger: Ledger,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    chance: Chance,
    hosts: Vec<String>,
    /// The session of each host.
    sessions: Vec<SessionId>,
    /// What is to come, in the order in which it comes.
    coming: BTreeMap<(Timestamp, u64), Coming>,
    count: u64,
    running: BTreeMap<ReservationId, Running>,
    /// What had crossed the lane with traffic that nobody booked, the last time that it was looked at.
    seen: u64,
}

/// What is to come.
enum Coming {
    /// A minute begins.
    Minute,
    /// Somebody wants something; whether for the second time.
    Asks(Box<Pull>, bool),
    /// The last byte has arrived.
    Done(ReservationId),
    /// Somebody looks at the ports.
    Look,
}

/// A reservation under which an agent moves bytes.
struct Running {
    whose: Whose,
    host: usize,
    plan: Vec<(Interval, BitRate)>,
    /// What is to be moved.
    goal: u64,
    /// What was asked for.
    volume: u64,
    /// What was reported.
    moved: u64,
}

impl Running {
    /// What its plan has carried at an instant, in bytes.
    fn carried(&self, at: Timestamp) -> u64 {
        let part = |(over, rate): &(Interval, BitRate)| {
            let until = at.min(over.end());
            rate.bytes_in(until.since(over.start())).bytes()
        };
        self.plan.iter().map(part).sum()
    }

    /// What its agent has moved at an instant: the goal in the proportion of the plan, and a little late.
    fn reached(&self, at: Timestamp, late_permille: u64) -> u64 {
        let carried = u128::from(self.carried(at).min(self.volume));
        let share = carried.saturating_mul(self.goal.into()).checked_div(self.volume.into());
        let share = share.unwrap_or(0).saturating_mul(u128::from(1000 - late_permille.min(1000)));
        u64::try_from(share.div_euclid(1000)).unwrap_or(self.goal).clamp(self.moved, self.goal)
    }

    /// When the plan has carried all of it; the last instant of the plan at the latest.
    fn done(&self) -> Option<Timestamp> {
        let mut left = self.volume;
        let last = self.plan.last()?.0.end().minus(Span::from_ms(1)?);
        for (over, rate) in &self.plan {
            let carries = rate.bytes_in(over.span()).bytes();
            if left <= carries {
                let takes = ByteCount::new(left).span_at(*rate)?;
                return Some(over.start().plus(takes).min(last));
            }
            left = left.saturating_sub(carries);
        }
        Some(last)
    }
}

impl Day {
    /// Makes network, policy and agents at the beginning of the past.
    pub(crate) fn begin(mut past: Past, span: Span, seed: u64) -> anyhow::Result<Self> {
        past.apply_topology(&topology_file::parse(&network::topology())?)?;
        let policy = policy_file::read(network::POLICY)?;
        let (classes, rules) = (policy.classes, policy.rules);
        past.apply_policy(policy.projects, classes.unwrap_or_default(), rules.unwrap_or_default())?;
        let hosts = network::hosts();
        let sessions = hosts.iter().map(|host| Ok(past.open_session(host.parse()?)?));
        let sessions = sessions.collect::<anyhow::Result<_>>()?;
        let start = past.now();
        let mut day = Self {
            past,
            ledger: Ledger::default(),
            start,
            end: start.plus(span),
            chance: Chance::new(seed),
            hosts,
            sessions,
            coming: BTreeMap::new(),
            count: 0,
            running: BTreeMap::new(),
            seen: 0,
        };
        day.comes(start, Coming::Minute);
        day.comes(start.plus(LOOKED_EVERY), Coming::Look);
        Ok(day)
    }

    /// Lives through all of it.
    pub(crate) fn live(&mut self) -> anyhow::Result<()> {
        while let Some(((at, _), coming)) = self.coming.pop_first() {
            if self.end <= at {
                break;
            }
            self.past.pass(at)?;
            match coming {
                Coming::Minute => self.minute(at)?,
                Coming::Asks(pull, again) => self.ask(at, &pull, again)?,
                Coming::Done(id) => self.done(at, id)?,
                Coming::Look => self.look(at)?,
            }
        }
        self.past.pass(self.end)?;
        Ok(())
    }

    fn comes(&mut self, at: Timestamp, coming: Coming) {
        self.count = self.count.saturating_add(1);
        self.coming.insert((at, self.count), coming);
    }

    /// Every agent reports; and what is asked for in the next minute is drawn.
    fn minute(&mut self, at: Timestamp) -> anyhow::Result<()> {
        let mut reports: Vec<Vec<(ReservationId, ByteCount)>> = vec![Vec::new(); self.hosts.len()];
        let mut gone = Vec::new();
        for (id, it) in &mut self.running {
            if !self.past.is_live(*id) {
                gone.push(*id);
                continue;
            }
            let reached = it.reached(at, self.chance.below(20));
            self.ledger.add(*id, &it.whose, reached.saturating_sub(it.moved));
            it.moved = reached;
            if let Some(report) = reports.get_mut(it.host) {
                report.push((*id, ByteCount::new(reached)));
            }
        }
        for id in gone {
            self.running.remove(&id);
            self.ledger.lost = self.ledger.lost.saturating_add(1);
        }
        for (session, report) in self.sessions.iter().zip(&reports) {
            self.past.beat(*session, report)?;
        }
        let hour = hour(at, self.end);
        let hosts = u64::try_from(self.hosts.len())?;
        for second in 0..60 {
            for habit in HABITS {
                if habit.wants(&mut self.chance, hour) {
                    let pull = Box::new(habit.pull(&mut self.chance, hosts)?);
                    let within = Span::from_ms(self.chance.below(1000)).unwrap_or_default();
                    let when = at.plus(Span::from_secs(second)).plus(within);
                    self.comes(when, Coming::Asks(pull, false));
                }
            }
        }
        self.prepare(at)?;
        self.comes(at.plus(MINUTE), Coming::Minute);
        Ok(())
    }

    /// What operators and the keepers of backups do once a day, at noon: they prepare the night.
    fn prepare(&mut self, at: Timestamp) -> anyhow::Result<()> {
        let [now, before] = [at, at.minus(MINUTE)].map(|at| hour(at, self.end));
        if at != self.start && (now == before || now != NOON) {
            return Ok(());
        }
        let to_midnight = u32::try_from(24_usize.saturating_sub(now))?;
        let midnight = at.plus(Span::from_secs(to_midnight.saturating_mul(3600)));
        for host in backups::hosts(&self.hosts) {
            let wish = backups::wish(&mut self.chance, host)?;
            let became = self.past.book(midnight.plus(HOUR), &wish)?;
            self.ledger.decide(&wish.project, matches!(became, Became::Granted(..)));
        }
        let start = midnight.plus(HOUR).plus(HOUR);
        let over = Interval::new(start, start.plus(HOUR).plus(HOUR)).context("a time")?;
        let half = Part::from_ppm(500_000).context("a half")?;
        let link = network::MAINTAINED.parse()?;
        self.past.maintain(link, over, half, "new optics on one of two spans")?;
        Ok(())
    }

    fn ask(&mut self, at: Timestamp, pull: &Pull, again: bool) -> anyhow::Result<()> {
        let host = self.hosts.get(pull.host).context("a host")?;
        let wish = Wish {
            project: pull.project.clone(),
            class: Some(pull.class.clone()),
            source: pull.source.clone(),
            destination: format!("hosts/{host}").parse()?,
            volume: pull.volume,
            max: pull.max,
            within: pull.within,
        };
        let session = *self.sessions.get(pull.host).context("a session")?;
        let became = self.past.reserve(session, &wish)?;
        self.ledger.decide(&pull.project, matches!(became, Became::Granted(..)));
        match became {
            Became::Granted(id, plan) => {
                let whose = Whose {
                    project: pull.project.clone(),
                    class: pull.class.clone(),
                    lanes: self.past.lanes(id),
                };
                let (goal, volume) = (pull.moved.bytes(), pull.volume.bytes());
                let it = Running { whose, host: pull.host, plan, goal, volume, moved: 0 };
                self.comes(it.done().context("a plan")?, Coming::Done(id));
                self.running.insert(id, it);
            }
            // Half of them give up; the others have more time later.
            Became::Refused if !again && self.chance.permille(500) => {
                let within = pull.within.plus(pull.within);
                let pull = Box::new(Pull { within, ..pull.clone() });
                self.comes(at.plus(AGAIN_AFTER), Coming::Asks(pull, true));
            }
            Became::Refused => {}
        }
        Ok(())
    }

    /// The last byte has arrived: what is left of the reservation is given back, unless it is wasted.
    fn done(&mut self, at: Timestamp, id: ReservationId) -> anyhow::Result<()> {
        let Some(mut it) = self.running.remove(&id) else { return Ok(()) };
        if !self.past.is_live(id) {
            self.ledger.lost = self.ledger.lost.saturating_add(1);
            return Ok(());
        }
        let session = *self.sessions.get(it.host).context("a session")?;
        let reached = it.reached(at, 0);
        self.ledger.add(id, &it.whose, reached.saturating_sub(it.moved));
        it.moved = reached;
        if it.goal == it.volume {
            self.past.release(session, id, ByteCount::new(reached))?;
        } else {
            self.past.beat(session, &[(id, ByteCount::new(reached))])?;
        }
        Ok(())
    }

    /// A test says what one link is able to carry, and a counter what crosses another one.
    fn look(&mut self, at: Timestamp) -> anyhow::Result<()> {
        let over = Interval::new(at.minus(LOOKED_EVERY), at).context("a time")?;
        let able = BitRate::from_bps(self.chance.within(7_100_000_000, 7_400_000_000));
        let weak = network::WEAK_LANE.to_owned();
        let test = Sighting { lane: weak, over, carried: None, able };
        self.past.observe("iperf-los-angeles".parse()?, &[test])?;
        let used = self.ledger.used(network::CROWDED_LANE).bytes();
        let crossed = used.saturating_sub(self.seen);
        self.seen = used;
        // Headers, and a copy that nobody has reserved anything for: 2 Gbit/s.
        let unbooked = BitRate::from_bps(2_000_000_000).context("a rate")?.bytes_in(LOOKED_EVERY);
        let carried = crossed.saturating_mul(102).div_euclid(100).saturating_add(unbooked.bytes());
        let crowded = network::CROWDED_LANE.to_owned();
        let carried = Some(ByteCount::new(carried));
        let counter = Sighting { lane: crowded, over, carried, able: None };
        self.past.observe("snmp-chicago".parse::<Name>()?, &[counter])?;
        self.comes(at.plus(LOOKED_EVERY), Coming::Look);
        Ok(())
    }
}
