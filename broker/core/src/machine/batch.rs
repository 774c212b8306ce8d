//! Decides several new bookings that see each other: each for itself, all of them, any of them, or
//! one after the other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tidegate_policy::{SessionId, Timestamp};

use super::decide::unchanged;
use super::rules::{Hits, Ruled};
use super::sight::Sight;
use super::wanted::{Wanted, Wish};
use super::{Answer, Decision, Machine, Stamp};
use crate::command::{Ask, BATCH_MAX, Batch, Relation, Shape, Until};
use crate::event::{Change, Event, RequestMark};
use crate::fault::{Fault, FieldFault};
use crate::ids;
use crate::refusal::{Reason, Refusal};

/// A request of a batch, looked at by itself.
enum Entry {
    /// Answered before.
    Answered(Answer),
    /// To be decided.
    Asked(Wish),
    /// Not to be had, whatever is booked.
    Refused(Wish, Box<Refusal>),
}

/// A request of a batch, with its place in it.
struct Member<'a> {
    index: usize,
    ask: Cow<'a, Ask>,
    entry: Entry,
}

impl Member<'_> {
    /// One that says how long, but not when, follows the one before it as soon as it can.
    fn follow(&mut self) {
        if let Shape::Rigid { start: None, until: Until::After(_), .. } = self.ask.shape
            && let Entry::Asked(Wish::Steady(wanted)) = &mut self.entry
        {
            wanted.latest = wanted.last_start();
        }
    }
}

/// What a batch has made before the request at hand.
#[derive(Clone, Default)]
pub(super) struct Pending {
    pub(super) made: usize,
    pub(super) bound: BTreeMap<SessionId, usize>,
}

/// What a batch has come to so far.
#[derive(Clone)]
struct Draft<'a> {
    sight: Sight<'a>,
    pending: Pending,
    events: Vec<Event>,
}

impl Machine {
    /// Decides several in order. One that is refused does not keep the next ones from being
    /// looked at, so that every reason is told at once.
    pub(super) fn reserve_all(
        &self,
        stamp: Stamp,
        mark: &RequestMark,
        batch: &Batch,
    ) -> Result<Decision, Fault> {
        let (mut members, hits) = self.check_entries(stamp, mark, batch)?;
        let (pending, events) = Default::default();
        let mut sight = Sight::of(self);
        sight.followed = 1 < members.len();
        let mut draft = Draft { sight, pending, events };
        let mut answers = Vec::with_capacity(members.len());
        while !members.is_empty() {
            let rest = members.split_off(batch.instance.clamp(1, members.len()));
            let before = draft.clone();
            if let Relation::InOrder { .. } = batch.relation {
                members.iter_mut().skip(1).for_each(Member::follow);
            }
            let decided = match batch.relation {
                Relation::Each | Relation::AllOf => self.each(stamp, mark, &mut draft, &members),
                Relation::AnyOf => self.any_of(stamp, mark, &mut draft, &members),
                Relation::InOrder { gapless } => {
                    self.in_order(stamp, mark, &mut draft, (&members, gapless))
                }
            }?;
            let whole = matches!(batch.relation, Relation::AllOf | Relation::InOrder { .. });
            let made = before.events.len() < draft.events.len();
            if whole && decided.iter().any(is_refused) && made {
                draft = before;
                answers
                    .extend(decided.into_iter().map(|answer| bare(answer, Reason::OthersRefused)));
            } else {
                answers.extend(decided);
            }
            members = rest;
        }
        Ok(Decision { hits, ..Decision::new(draft.events, Answer::Batch(answers)) })
    }

    fn each<'a>(
        &'a self,
        stamp: Stamp,
        mark: &RequestMark,
        draft: &mut Draft<'a>,
        members: &[Member<'_>],
    ) -> Result<Vec<Answer>, Fault> {
        let one = |member: &Member<'_>| self.one(stamp, mark, draft, (member, None));
        members.iter().map(one).collect()
    }

    /// The first that fits.
    fn any_of<'a>(
        &'a self,
        stamp: Stamp,
        mark: &RequestMark,
        draft: &mut Draft<'a>,
        members: &[Member<'_>],
    ) -> Result<Vec<Answer>, Fault> {
        let taken_before = |member: &Member<'_>| match &member.entry {
            Entry::Answered(answer) => !is_refused(answer),
            Entry::Asked(_) | Entry::Refused(..) => false,
        };
        let mut taken = members.iter().any(taken_before);
        let mut answers = Vec::with_capacity(members.len());
        for member in members {
            answers.push(match &member.entry {
                Entry::Answered(answer) => answer.clone(),
                Entry::Asked(_) | Entry::Refused(..) if taken => refusal(Reason::OtherTaken),
                Entry::Asked(_) | Entry::Refused(..) => {
                    let answer = self.one(stamp, mark, draft, (member, None))?;
                    taken = !is_refused(&answer);
                    answer
                }
            });
        }
        Ok(answers)
    }

    /// One after the other. Each as early as it can be leaves the most to the next; without gaps,
    /// the first is moved on until all follow.
    fn in_order<'a>(
        &'a self,
        stamp: Stamp,
        mark: &RequestMark,
        draft: &mut Draft<'a>,
        (members, gapless): (&[Member<'_>], bool),
    ) -> Result<Vec<Answer>, Fault> {
        let starts = if gapless { self.chained(&draft.sight, members)? } else { None };
        if gapless && starts.is_none() {
            return self.broken_chain(&draft.sight, members);
        }
        let mut answers = Vec::with_capacity(members.len());
        let mut from: Option<Timestamp> = None;
        for (place, member) in members.iter().enumerate() {
            let exactly = starts.as_ref().and_then(|starts| starts.get(place).copied());
            let wish = match &member.entry {
                Entry::Answered(_) | Entry::Refused(..) => None,
                Entry::Asked(wish) => match (wish.not_before(from), exactly) {
                    (Some(wish), None) if !gapless => Some(wish),
                    (Some(_), Some(start)) => wish.exactly_at(start),
                    // It has no time after the one before it.
                    (None | Some(_), _) => {
                        let ways = self.ways_asked(&member.ask, wish)?;
                        let sight = draft.sight.opened(&ways);
                        answers.push(Answer::Refusal(sight.refuse(&ways, wish).into()));
                        continue;
                    }
                },
            };
            let answer = self.one(stamp, mark, draft, (member, wish))?;
            if let Answer::Reservation(made) = &answer {
                from = Some(made.interval.end());
            }
            answers.push(answer);
        }
        keep_in_order(&mut draft.events, &mut answers);
        Ok(answers)
    }

    /// Why a chain without gaps does not fit: what is in the way of it if it starts as early as it
    /// may.
    fn broken_chain(
        &self,
        sight: &Sight<'_>,
        members: &[Member<'_>],
    ) -> Result<Vec<Answer>, Fault> {
        let mut here: Option<Timestamp> = None;
        let mut answers = Vec::with_capacity(members.len());
        for Member { ask, entry, .. } in members {
            answers.push(match entry {
                Entry::Answered(answer) => answer.clone(),
                Entry::Refused(_, refusal) => Answer::Refusal(refusal.clone()),
                Entry::Asked(wish) => {
                    let ways = self.ways_asked(ask, wish)?;
                    let sight = sight.opened(&ways);
                    let wanted = wish.steady();
                    let first = here.unwrap_or(wanted.first);
                    here = Some(first.plus(wanted.span));
                    let there = Wanted { first, latest: first, ..wanted };
                    match sight.place(&ways, &there) {
                        Some(_) => refusal(Reason::OthersRefused),
                        None => Answer::Refusal(sight.refuse_steady(&ways, &there).into()),
                    }
                }
            });
        }
        Ok(answers)
    }

    /// When each of a chain without gaps starts, the earliest of all; `None` if never.
    fn chained(
        &self,
        sight: &Sight<'_>,
        members: &[Member<'_>],
    ) -> Result<Option<Vec<Timestamp>>, Fault> {
        let mut stages = Vec::with_capacity(members.len());
        for Member { index, ask, entry } in members {
            let wanted = match entry {
                Entry::Asked(Wish::Steady(wanted)) => *wanted,
                Entry::Asked(Wish::Volume(_)) => {
                    let why = "a transfer has no length of its own; leave gapless out";
                    let field = format!("requests[{index}].transfer");
                    return Err(Fault::Invalid(vec![FieldFault::new(field, why)]));
                }
                // All of them stand, or none does: a chain is decided as one.
                Entry::Answered(Answer::Reservation(made)) => Wanted::of(made),
                Entry::Answered(_) | Entry::Refused(..) => return Ok(None),
            };
            stages.push((wanted, self.ways_asked(ask, &Wish::Steady(wanted))?));
        }
        let mut sight = sight.clone();
        for (_, ways) in &stages {
            sight.open(ways);
        }
        let Some(mut first) = stages.first().map(|(wanted, _)| wanted.first) else {
            return Ok(None);
        };
        loop {
            let (mut starts, mut here) = (Vec::with_capacity(stages.len()), first);
            let mut late = None;
            for (wanted, ways) in &stages {
                let wanted = Wanted { first: here.max(wanted.first), ..*wanted };
                let Some(placed) = sight.place(ways, &wanted) else { return Ok(None) };
                if here < placed.over.start() {
                    late = Some(placed.over.start().since(here));
                    break;
                }
                starts.push(here);
                here = here.plus(wanted.span);
            }
            match late {
                // Nothing earlier will do: the first moves on by as much.
                Some(late) => first = first.plus(late),
                None => return Ok(Some(starts)),
            }
        }
    }

    /// Decides one, as it wants itself or as its place in a chain makes it want.
    fn one<'a>(
        &'a self,
        stamp: Stamp,
        mark: &RequestMark,
        draft: &mut Draft<'a>,
        (member, instead): (&Member<'_>, Option<Wish>),
    ) -> Result<Answer, Fault> {
        let Member { index, ask, entry } = member;
        if let Entry::Answered(answer) = entry {
            return Ok(answer.clone());
        }
        let mark = mark.entry(*index);
        let stamp = Stamp { fresh: ids::entry(stamp.fresh, *index), ..stamp };
        let decided = self
            .check_room(ask, &draft.pending)
            .and_then(|()| match entry {
                Entry::Answered(answer) => Ok(unchanged(answer.clone())),
                Entry::Refused(wish, refusal) => {
                    self.refused(stamp, (ask, wish), (**refusal).clone())
                }
                Entry::Asked(wish) => {
                    let wish = instead.unwrap_or(*wish);
                    self.reserve_in(&mut draft.sight, stamp, ask, &wish)
                }
            })
            .map_err(|fault| fault.within(&format!("requests[{index}]")))?;
        for mut event in decided.events {
            if matches!(event.change, Change::Reserved(_)) {
                event.request = Some(mark);
                draft.pending.count(ask);
            }
            draft.events.push(event);
        }
        Ok(decided.answer.made_by(mark.id))
    }

    /// Looks at each request of a batch by itself, so that everything that is wrong with any of
    /// them is told at once.
    fn check_entries<'a>(
        &self,
        stamp: Stamp,
        mark: &RequestMark,
        batch: &'a Batch,
    ) -> Result<(Vec<Member<'a>>, Hits), Fault> {
        let count = batch.asks.len();
        if !(1..=BATCH_MAX).contains(&count) {
            let why = format!("there are {count}; ask for 1 to {BATCH_MAX} at once");
            return Err(Fault::Invalid(vec![FieldFault::new("requests", why)]));
        }
        let (mut members, mut faults, mut hits) = (Vec::new(), Vec::new(), Hits::default());
        for (index, ask) in batch.asks.iter().enumerate() {
            let mark = mark.entry(index);
            if let Some(answer) = self.answered(stamp, &mark)? {
                let ask = Cow::Borrowed(ask);
                members.push(Member { index, ask, entry: Entry::Answered(answer) });
                continue;
            }
            self.check_window(stamp, &mark)?;
            let part = format!("requests[{index}]");
            if ask.hold_best_offer {
                let why = "a batch holds no offers; ask for it by itself";
                faults.push(FieldFault::new(format!("{part}.hold_best_offer"), why));
            }
            match self.entry(stamp.now, ask).map_err(|fault| fault.within(&part)) {
                Ok((ask, entry, more)) => {
                    hits.add(more);
                    members.push(Member { index, ask, entry });
                }
                Err(Fault::Invalid(more)) => faults.extend(more),
                Err(other) => return Err(other),
            }
        }
        if faults.is_empty() { Ok((members, hits)) } else { Err(Fault::Invalid(faults)) }
    }
}

impl Machine {
    /// A request of a batch by itself.
    fn entry<'a>(
        &self,
        now: Timestamp,
        ask: &'a Ask,
    ) -> Result<(Cow<'a, Ask>, Entry, Hits), Fault> {
        let Ruled { ask, refusal, hits } = self.ruled(now, ask)?;
        let wish = self.checked(now, &ask)?;
        let entry = match refusal {
            Some(refusal) => Entry::Refused(wish, refusal.into()),
            None => Entry::Asked(wish),
        };
        Ok((ask, entry, hits))
    }
}

impl Pending {
    fn count(&mut self, ask: &Ask) {
        self.made = self.made.saturating_add(1);
        if let Some(session) = ask.session {
            let bound = self.bound.entry(session).or_default();
            *bound = bound.saturating_add(1);
        }
    }
}

/// Whatever moves later, what follows stays behind what it follows: the one has until the other
/// begins now, and that never begins earlier.
fn keep_in_order(events: &mut [Event], answers: &mut [Answer]) {
    let mut until = Timestamp::MAX;
    for (place, answer) in answers.iter_mut().enumerate().rev() {
        let Answer::Reservation(made) = answer else { return };
        let start = made.interval.start();
        let from = if place == 0 { Timestamp::EPOCH } else { start };
        let mut reserved = events.iter_mut().filter_map(|event| {
            let Change::Reserved(reserved) = &mut event.change else { return None };
            (reserved.id == made.id).then_some(reserved)
        });
        // One that was answered before stands as it is.
        if let Some(reserved) = reserved.next() {
            for promise in [&mut reserved.promise, &mut made.promise].into_iter().flatten() {
                promise.what = promise.what.narrowed(from, until);
            }
        }
        until = start;
    }
}

fn is_refused(answer: &Answer) -> bool {
    matches!(answer, Answer::Refusal(_))
}

fn refusal(reason: Reason) -> Answer {
    Answer::Refusal(Refusal::bare(reason).into())
}

/// The answer, or a bare refusal where it was granted.
fn bare(answer: Answer, reason: Reason) -> Answer {
    if is_refused(&answer) { answer } else { refusal(reason) }
}
