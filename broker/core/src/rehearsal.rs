//! What a change of the policy would have decided otherwise: requests of the past, asked again of two
//! machines that differ in nothing but the policy.
//!
//! Both begin with the network of today and with what stood before the first of the requests. Each request
//! is decided when it was asked, under the identifier that it would have got, so that a release finds what
//! it released then. Sessions that were open before are open; all of them are heard all the time, because
//! what was heard is not part of what was asked.

use std::collections::BTreeMap;

use tidegate_policy::{
    BitRate, ClassId, Interval, Name, ProjectId, RequestId, SessionId, Span, Timestamp,
};

use crate::command::Request;
use crate::event::{Change, Event, Reserved};
use crate::fault::Fault;
use crate::losses::Losses;
use crate::machine::{Answer, Decision, Limits, Machine, Stamp};
use crate::policy::PolicyAsk;
use crate::refusal::{Reason, Refusal};
use crate::reservation::Reservation;

/// The most decisions that are told one by one.
pub const DIFFERENCES_MAX: usize = 1000;

/// A request as it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// When, and what the identifier was made of.
    pub stamp: Stamp,
    /// What.
    pub request: Request,
}

/// What a change of the policy would have decided otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rehearsal {
    /// So many requests for reservations were decided under both policies.
    pub decided: u64,
    /// How often one decision turned into the other, as it is and as it would be.
    pub turned: BTreeMap<(Verdict, Verdict), u64>,
    /// The first decisions that differ, at most [`DIFFERENCES_MAX`].
    pub differing: Vec<Differing>,
    /// From the first request to the last that was decided; `None` if there was none.
    pub over: Option<Interval>,
    /// There were more requests, for which there was no time.
    pub cut_short: bool,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// It was granted.
    Granted,
    /// It was refused.
    Refused(Reason),
    /// It was wrong.
    Wrong,
}

/// A request that would be decided otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Differing {
    /// Which.
    pub request: RequestId,
    /// When it was asked.
    pub at: Timestamp,
    /// Whose it is.
    pub project: ProjectId,
    /// As it is decided under the policy that stands.
    pub before: Decided,
    /// As it would be.
    pub after: Decided,
}

/// A decision, as far as it is compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decided {
    /// A rate for some time, in a class.
    Granted {
        /// The highest payload rate that is promised.
        rate: BitRate,
        /// From its start to its end.
        over: Interval,
        /// Its class.
        class: Option<ClassId>,
    },
    /// A refusal, without its offers.
    Refused(Box<Refusal>),
    /// What was wrong with it.
    Wrong(Box<Fault>),
}

impl Decided {
    /// In a word.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Granted { .. } => Verdict::Granted,
            Self::Refused(refusal) => Verdict::Refused(refusal.reason),
            Self::Wrong(_) => Verdict::Wrong,
        }
    }

    fn of(answer: &Answer) -> Option<Self> {
        match answer {
            Answer::Reservation(made) => Some(Self::Granted {
                rate: made.standing.ratio.ceiling(made.rate()),
                over: made.interval,
                class: made.owner.class.clone(),
            }),
            Answer::Refusal(refusal) => {
                let bare = Refusal { offers: Vec::new(), held: None, ..(**refusal).clone() };
                Some(Self::Refused(bare.into()))
            }
            Answer::Batch(_)
            | Answer::Session(_)
            | Answer::Topology { .. }
            | Answer::Maintenance { .. }
            | Answer::Drained(_)
            | Answer::Undrained(_)
            | Answer::Policy { .. } => None,
        }
    }
}

impl Machine {
    /// What a change of the policy would have decided otherwise of what was asked, in the order in which
    /// it was; `go_on` is asked before each request whether there is time for it.
    ///
    /// # Errors
    /// The [`Fault`] of the change itself.
    pub fn rehearse(
        &self,
        now: Timestamp,
        (asked, change): (&[Asked], &PolicyAsk),
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Rehearsal, Fault> {
        self.is_seen(change.version)?;
        let begin = asked.first().map_or(now, |first| first.stamp.now.min(now));
        let mut before = self.stage(begin);
        let change = PolicyAsk { accept_overuse: true, version: None, ..change.clone() };
        let mut after = before.clone();
        let decided = after.apply_policy(Stamp { now: begin, fresh: 0 }, &change)?;
        play(&mut after, &decided.events);
        let mut told = Rehearsal::default();
        for one in asked {
            if !go_on() {
                told.cut_short = true;
                break;
            }
            let stamp = Stamp { now: one.stamp.now.max(begin), ..one.stamp };
            let one = Asked { stamp, request: one.request.clone() };
            let results = [&mut before, &mut after].map(|machine| ask_again(machine, &one));
            told.compare(&one, results);
            let over = Interval::new(begin, stamp.now.plus(MOMENT));
            told.over = over;
        }
        Ok(told)
    }

    /// A machine with the network and the policy of this one, and what stood before an instant and still
    /// does.
    fn stage(&self, begin: Timestamp) -> Self {
        // Nobody is lost, taken back or forgotten for what only a running process would have heard.
        let limits = Limits {
            lease: Span::MAX,
            grace: Span::MAX,
            no_show_grace: Span::MAX,
            request_window: Span::MAX,
            observe: false,
            ..self.limits().clone()
        };
        let mut stage = Self::new(limits);
        let event = |change| Event { at: begin, request: None, change };
        let (spec, losses) = (self.topology().spec.clone().into(), Losses::default());
        let mut events = vec![event(Change::TopologyApplied { spec, version: 1, losses })];
        for found in self.maintenances(None).filter(|found| begin < found.over.end()) {
            let (maintenance, losses) = (found.clone().into(), Losses::default());
            events.push(event(Change::MaintenanceCreated { maintenance, losses }));
        }
        let drained = self.drained().cloned();
        events.extend(drained.map(|resource| event(Change::Drained { resource })));
        events.push(event(self.whole_policy()));
        for found in self.reservations(None).filter(|found| found.is_counted()) {
            if found.created < begin
                && let Some(reserved) = standing(found, begin)
            {
                if let Some(id) = reserved.session.filter(|id| stage_lacks(&events, *id)) {
                    events.push(event(Change::SessionOpened { id, agent: agent() }));
                }
                events.push(event(Change::Reserved(reserved.into())));
            }
        }
        play(&mut stage, &events);
        stage.seek_room(true);
        stage
    }
}

/// So long after the last request the time ends that was looked at: intervals are never empty.
const MOMENT: Span = match Span::from_ms(1) {
    Some(span) => span,
    None => Span::ZERO,
};

/// What anybody is called whose name does not matter here.
fn agent() -> Name {
    ProjectId::default_project().0
}

fn stage_lacks(events: &[Event], session: SessionId) -> bool {
    let opens =
        |event: &Event| matches!(&event.change, Change::SessionOpened { id, .. } if *id == session);
    !events.iter().any(opens)
}

/// A reservation as one that is granted then, with what is left of its plan.
fn standing(found: &Reservation, begin: Timestamp) -> Option<Reserved> {
    let plan = found.plan.within(Interval::new(begin, Timestamp::MAX)?);
    plan.interval()?;
    Some(Reserved {
        id: found.id,
        owner: found.owner.clone(),
        plan,
        promise: found.promise.clone(),
        standing: found.standing,
        terms: found.terms,
        hold_until: None,
        session: found.session,
        borrowed: found.borrowed,
        despite: None,
    })
}

/// Follows events; what does not follow is left out: it is a rehearsal.
fn play(machine: &mut Machine, events: &[Event]) {
    for event in events {
        let followed = machine.apply(event);
        debug_assert!(followed.is_ok(), "{followed:?}");
    }
}

/// Decides a request when it was asked, and follows what comes of it.
fn ask_again(machine: &mut Machine, one: &Asked) -> Result<Decision, Fault> {
    let now = one.stamp.now;
    loop {
        let due = machine.due(now);
        if due.is_empty() {
            break;
        }
        play(machine, &due);
    }
    for id in one.request.command.asks().iter().filter_map(|ask| ask.session) {
        if machine.session(id).is_none() {
            let change = Change::SessionOpened { id, agent: agent() };
            play(machine, &[Event { at: now, request: None, change }]);
        }
    }
    let decided = machine.decide(one.stamp, &one.request)?;
    play(machine, &decided.events);
    Ok(decided)
}

impl Rehearsal {
    /// Compares what became of the reservations that a request asks for.
    fn compare(&mut self, one: &Asked, [before, after]: [Result<Decision, Fault>; 2]) {
        let asks = one.request.command.asks();
        let answers = |decided: &Result<Decision, Fault>| -> Vec<Option<Decided>> {
            match decided {
                Err(fault) => vec![Some(Decided::Wrong(fault.clone().into())); asks.len()],
                Ok(Decision { answer: Answer::Batch(answers), .. }) => {
                    answers.iter().map(Decided::of).collect()
                }
                Ok(decision) => vec![Decided::of(&decision.answer)],
            }
        };
        let both = answers(&before).into_iter().zip(answers(&after));
        for (index, (ask, both)) in asks.iter().zip(both).enumerate() {
            let (Some(before), Some(after)) = both else { continue };
            self.decided = self.decided.saturating_add(1);
            if before == after {
                continue;
            }
            let turned = self.turned.entry((before.verdict(), after.verdict())).or_default();
            *turned = turned.saturating_add(1);
            if self.differing.len() < DIFFERENCES_MAX {
                let mark = one.request.mark;
                let request = if asks.len() == 1 { mark.id } else { mark.entry(index).id };
                let (at, project) = (one.stamp.now, ask.owner.project.clone());
                self.differing.push(Differing { request, at, project, before, after });
            }
        }
    }
}
