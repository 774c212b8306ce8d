//! The single writer: the only room in which the state changes.
//!
//! Requests wait in one bounded queue. The writer stamps the time, lets the core decide, applies
//! the events and hands them on with the answers; while one batch syncs ([`crate::recorder`]),
//! the next is decided. Nothing is answered before what it rests on is durable.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::event::RequestMark;
use tidegate_core::{
    Answer, Corrupt, Decision, Event, Fault, Machine, Note, Refusal, Request, Stamp,
};
use tidegate_policy::{SessionId, Span, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span as Trace;
use uuid::Uuid;

use crate::clock::{self, Clock};
use crate::convert::reply;
use crate::convert::request::{Beat, Mutation, Usage};
use crate::effort::Effort;
use crate::history::History;
use crate::meters::Meters;
use crate::pokes::Pokes;
use crate::recorder::{self, Decided};
use crate::reports::refused::Refused;
use crate::status::Failure;
use crate::trace::decision::{self, Asked as Called};
use tidegate_proto::v1;

/// The most requests that are decided at one reading of the clock.
const BATCH_MAX: usize = 256;

/// The longest that the writer sleeps with nothing to do: the clock is read at least so often.
const NAP_MAX: Duration = Duration::from_secs(60);

/// Something for the writer to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// With the span of whoever asks, which follows it.
    Mutate {
        mutation: Box<Mutation>,
        deadline: Instant,
        asked: Duration,
        trace: Trace,
        reply: Reply<Answered>,
    },
    Beat {
        beat: Beat,
        reply: Reply<Beaten>,
    },
    /// Nothing: only to be answered, behind all that was asked before.
    Ping {
        reply: Reply<()>,
    },
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// The answer to a mutation, and the broker's now that it speaks of.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) now: Timestamp,
    /// What was asked.
    pub(crate) mutation: Box<Mutation>,
}

/// A mutation, and who waits for its answer.
#[derive(Debug)]
pub(crate) struct Asked {
    mutation: Box<Mutation>,
    deadline: Instant,
    /// The uptime when it was asked.
    asked: Duration,
    trace: Trace,
    reply: Reply<Answered>,
    /// Until when it waits for live rates to give way; `None` if it has not begun to.
    until: Option<Timestamp>,
}

/// What became of a mutation.
enum Outcome {
    Answered(Result<Box<Answered>, Failure>),
    /// Live rates are in its way, and give way.
    Waits(Box<Mutation>),
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Answered(Err(failure))
    }
}

/// How long a mutation waits at most for live rates to give way: holders that are connected take two
/// round trips, and of others an answer says when it fits.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// How long one waits that has to be answered by then: half of what is left.
fn waits_for(deadline: Instant) -> Span {
    let wait = clock::left(deadline).checked_div(2).unwrap_or_default().min(WAIT_MAX);
    u64::try_from(wait.as_millis()).ok().and_then(Span::from_ms).unwrap_or(Span::ZERO)
}

/// The answer to a beat.
#[derive(Debug)]
pub struct Beaten {
    /// The session.
    pub session: tidegate_core::Session,
    /// How each grant that the beat named stands.
    pub grants: Vec<v1::GrantStatus>,
}

/// The way into the writer's queue.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Work>,
    meters: Arc<Meters>,
}

impl Queue {
    pub(crate) fn bounded(most: usize, meters: Arc<Meters>) -> (Self, mpsc::Receiver<Work>) {
        let (sender, receiver) = mpsc::channel(most);
        (Self { sender, meters }, receiver)
    }

    /// How many requests wait to be decided.
    pub(crate) fn waiting(&self) -> usize {
        self.sender.max_capacity().saturating_sub(self.sender.capacity())
    }

    /// Waits until everything that was asked before is decided and durable: whoever has the answer
    /// knows that writer and recorder are alive.
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        let sent = self.sender.send(Work::Ping { reply }).await;
        sent.map_err(|_| Failure::Stopped)?;
        answer.await.unwrap_or(Err(Failure::Stopped))
    }

    /// Asks for a mutation and waits until its outcome is durable.
    pub(crate) async fn mutate(
        &self,
        mutation: Mutation,
        deadline: Instant,
    ) -> Result<Answered, Failure> {
        let called = Called::begin(mutation.request.mark.id);
        let answer = self.ask(mutation, deadline, called.span())?;
        let answered = answer.await.unwrap_or(Err(Failure::Stopped))?;
        called.answered();
        Ok(answered)
    }

    /// Asks for a mutation in a span of its asker: what is asked first is decided first. The answer comes when its
    /// outcome is durable; if the broker ends before, it never does.
    pub(crate) fn ask(
        &self,
        mutation: Mutation,
        deadline: Instant,
        trace: Trace,
    ) -> Result<oneshot::Receiver<Result<Answered, Failure>>, Failure> {
        let (reply, answer) = oneshot::channel();
        let (mutation, asked) = (Box::new(mutation), clock::uptime());
        // Shed at once rather than let a queue of requests grow old.
        let work = Work::Mutate { mutation, deadline, asked, trace, reply };
        let sent = self.sender.try_send(work);
        sent.map_err(refused).inspect_err(|failure| self.meters.not_taken(failure))?;
        Ok(answer)
    }

    /// Hands in a beat. It waits for its place: liveness is shed last.
    pub(crate) async fn beat(&self, beat: Beat) -> Result<Beaten, Failure> {
        let (reply, answer) = oneshot::channel();
        let sent = self.sender.send(Work::Beat { beat, reply }).await;
        sent.map_err(|_| Failure::Stopped)?;
        answer.await.unwrap_or(Err(Failure::Stopped))
    }
}

fn refused(error: mpsc::error::TrySendError<Work>) -> Failure {
    match error {
        mpsc::error::TrySendError::Full(_) => Failure::Shed,
        mpsc::error::TrySendError::Closed(_) => Failure::Stopped,
    }
}

/// The state, and where its changes go.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) machine: Machine,
    pub(crate) clock: Arc<Clock>,
    pub(crate) queue: mpsc::Receiver<Work>,
    pub(crate) recorder: mpsc::Sender<Decided>,
    /// What is left for making room.
    pub(crate) effort: Effort,
    /// What was asked lately.
    pub(crate) history: Arc<History>,
    /// What waits for live rates to give way.
    pub(crate) waiting: Vec<Asked>,
    /// Who is told at once that a rate has changed.
    pub(crate) pokes: Pokes,
    pub(crate) meters: Arc<Meters>,
}

impl Writer {
    /// Runs until it is told to stop and the queue is empty, or until the recorder is gone.
    ///
    /// # Errors
    /// [`Corrupt`] if an event of its own does not follow from the state: the process must stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), Corrupt> {
        let mut works = Vec::with_capacity(BATCH_MAX);
        loop {
            let nap = self.nap();
            tokio::select! {
                biased;
                taken = self.queue.recv_many(&mut works, BATCH_MAX) => {
                    if taken == 0 {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep(nap) => {}
                () = stop.cancelled() => self.queue.close(),
            }
            for decided in self.decide_all(&mut works)? {
                if self.recorder.send(decided).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// How long until something is due.
    fn nap(&self) -> Duration {
        let now = self.clock.now();
        let until = self.waiting.iter().map(|asked| asked.until);
        let next = self.machine.next_due().into_iter().chain(until.flatten()).min();
        next.map_or(NAP_MAX, |next| next.since(now).to_duration()).min(NAP_MAX)
    }

    /// Everything that is due and everything that was asked, in pieces that each fit into one
    /// append. What one decision brings about is never spread over two.
    fn decide_all(&mut self, works: &mut Vec<Work>) -> Result<Vec<Decided>, Corrupt> {
        let now = self.clock.now().max(self.machine.clock());
        let mut pieces = Vec::new();
        let mut decided = Decided::default();
        loop {
            let due = self.machine.due(now);
            if due.is_empty() {
                break;
            }
            self.apply(due, &mut decided)?;
            decided.break_off(&mut pieces);
        }
        let mut heard = false;
        for work in works.drain(..) {
            match work {
                Work::Mutate { mutation, deadline, asked, trace, reply } => {
                    decided.break_off_before(&mutation.request.command, &mut pieces);
                    let asked = Asked { mutation, deadline, asked, trace, reply, until: None };
                    self.answer(now, asked, &mut decided)?;
                }
                Work::Beat { beat, reply } => {
                    heard = true;
                    let result = self.beat(now, &beat, &mut decided)?;
                    decided.answer(Trace::none(), move || drop(reply.send(result)));
                }
                Work::Ping { reply } => {
                    decided.answer(Trace::none(), move || drop(reply.send(Ok(()))));
                }
            }
            decided.break_off(&mut pieces);
        }
        for asked in self.take_waiting(now, heard) {
            self.answer(now, asked, &mut decided)?;
            decided.break_off(&mut pieces);
        }
        self.machine.reshare(now).into_iter().for_each(|session| self.pokes.poke(session));
        if !decided.is_empty() {
            pieces.push(decided);
        }
        Ok(pieces)
    }

    fn apply(&mut self, events: Vec<Event>, decided: &mut Decided) -> Result<(), Corrupt> {
        for event in &events {
            self.machine.apply(event)?;
        }
        decided.happened(events);
        Ok(())
    }

    fn note(&mut self, note: Note, decided: &mut Decided) {
        self.machine.note(&note);
        decided.notes.push(note);
    }

    /// Answers, or lets it wait.
    fn answer(
        &mut self,
        now: Timestamp,
        asked: Asked,
        decided: &mut Decided,
    ) -> Result<(), Corrupt> {
        let Asked { mutation, deadline, asked, trace, reply, until } = asked;
        let may_wait = until.is_none_or(|until| now < until);
        let outcome = decision::deciding(&trace, || {
            let outcome = self.mutate(now, mutation, (deadline, may_wait), decided);
            if let Ok(Outcome::Answered(Err(failure))) = &outcome {
                decision::failed(failure);
            }
            outcome
        });
        let result = match outcome? {
            Outcome::Answered(result) => result.map(|answered| *answered),
            Outcome::Waits(mutation) => {
                let until = Some(until.unwrap_or_else(|| now.plus(waits_for(deadline))));
                self.waiting.push(Asked { mutation, deadline, asked, trace, reply, until });
                return Ok(());
            }
        };
        let meters = Arc::clone(&self.meters);
        decided.answer(trace, move || {
            meters.answered(clock::uptime().saturating_sub(asked), &result);
            drop(reply.send(result));
        });
        Ok(())
    }

    /// What waits and is asked again, in the order in which it was asked: when beats were heard some may
    /// have given way. Whoever does not wait any more is dropped.
    fn take_waiting(&mut self, now: Timestamp, heard: bool) -> Vec<Asked> {
        let waiting = std::mem::take(&mut self.waiting);
        let waiting = waiting.into_iter().filter(|asked| !asked.reply.is_closed());
        let is_over = |asked: &Asked| asked.until.is_none_or(|until| until <= now);
        let (again, on) = waiting.partition(|asked| heard || is_over(asked));
        self.waiting = on;
        again
    }

    fn mutate(
        &mut self,
        now: Timestamp,
        mutation: Box<Mutation>,
        (deadline, may_wait): (Instant, bool),
        decided: &mut Decided,
    ) -> Result<Outcome, Corrupt> {
        // Checked as late as can be: what nobody waits for any more must not be granted.
        if clock::has_passed(deadline) {
            return Ok(Failure::DeadlinePassed.into());
        }
        let stamp = Stamp { now, fresh: Uuid::now_v7().as_u128() };
        let Request { mark, .. } = mutation.request;
        let (decision, searched) = match self.decide(stamp, &mutation.request, decided) {
            Ok(decision) => decision,
            Err(fault) => return Ok(Failure::from(mutation.called.fault(fault)).into()),
        };
        if !recorder::fits(&decision.events) {
            let what = "bytes in what one request brings about";
            let fault = Fault::Full { what, limit: recorder::DECISION_MAX };
            return Ok(Failure::from(fault).into());
        }
        if !mutation.validate_only
            && let Answer::Refusal(refusal) = &decision.answer
            && self.machine.claim(now, &mutation.request, refusal)
            && may_wait
        {
            decision::waits();
            return Ok(Outcome::Waits(mutation));
        }
        decision::decided(&mutation, &decision, searched);
        if !mutation.validate_only {
            self.history.keep(stamp, &mutation.request);
            if !decision.hits.is_empty() {
                self.note(Note::Ruled(decision.hits.clone()), decided);
            }
            for (index, mark, refusal) in refusals(mark, &decision.answer) {
                // Who asks again is told the same, and was refused once.
                if !self.machine.has_refused(mark.id) {
                    let asked = (&mutation.request.command, index);
                    decided.refused.push(Refused::new(&self.machine, now, asked, &refusal));
                }
                self.note(Note::Refused { mark, refusal, at: now }, decided);
            }
            self.apply(decision.events, decided)?;
        }
        let answered = Answered { answer: decision.answer, now, mutation };
        Ok(Outcome::Answered(Ok(answered.into())))
    }

    /// Decides, and looks for room among plans that may move as long as there is time for it; and says
    /// whether it was looked for.
    fn decide(
        &mut self,
        stamp: Stamp,
        request: &Request,
        decided: &mut Decided,
    ) -> Result<(Decision, bool), Fault> {
        let begun = clock::uptime();
        let allowed = self.effort.allows(begun);
        self.machine.seek_room(allowed);
        let decision = self.machine.decide(stamp, request)?;
        let searched = decision.searched();
        if searched && allowed {
            self.effort.spend(clock::uptime().saturating_sub(begun));
        }
        if searched && !allowed {
            self.note(Note::RoomNotSought, decided);
        }
        Ok((decision, searched && allowed))
    }

    fn beat(
        &mut self,
        now: Timestamp,
        beat: &Beat,
        decided: &mut Decided,
    ) -> Result<Result<Beaten, Failure>, Corrupt> {
        let Some(heard) = hear(&mut self.machine, now, beat)? else {
            let missing = Fault::NotFound { what: reply::session_name(beat.session) };
            return Ok(Err(missing.into()));
        };
        let Heard { beaten, notes, events, news } = heard;
        news.into_iter().for_each(|session| self.pokes.poke(session));
        decided.notes.extend(notes);
        decided.happened(events);
        Ok(Ok(beaten))
    }
}

/// What a beat brought about.
#[derive(Debug)]
pub struct Heard {
    /// The answer.
    pub beaten: Beaten,
    /// What was noted.
    pub notes: Vec<Note>,
    /// What happened.
    pub events: Vec<Event>,
    /// Other sessions whose live rates are to change: they are told to beat at once.
    pub news: Vec<SessionId>,
}

/// Lets the machine follow a beat: a sign of life, bytes that were moved, plans and live rates that are
/// obeyed. `None` if there is no such session.
///
/// # Errors
/// [`Corrupt`] if an event of the machine does not follow from its state.
pub fn hear(machine: &mut Machine, now: Timestamp, beat: &Beat) -> Result<Option<Heard>, Corrupt> {
    let id = beat.session;
    let Some(session) = machine.session(id).cloned() else { return Ok(None) };
    let mut notes = vec![Note::Heard { session: id, at: now }];
    notes.iter().for_each(|note| machine.note(note));
    let mut events = Vec::new();
    for Usage { reservation, bytes, plan, live, held_back } in beat.usage.iter().copied() {
        let used = Note::Used { session: id, reservation, bytes, at: now };
        machine.note(&used);
        notes.push(used);
        if let Some(total) = held_back {
            let held = Note::HeldBack { session: id, reservation, total };
            machine.note(&held);
            notes.push(held);
        }
        if let Some(settled) = machine.settle(now, id, (reservation, plan)) {
            machine.apply(&settled)?;
            events.push(settled);
        }
        machine.live_heard(now, id, (reservation, live));
    }
    let mut news = machine.reshare(now);
    news.retain(|session| *session != id);
    // Told once all that it says is known.
    let told = |Usage { reservation, plan, .. }: &Usage| {
        let live = machine.live_tell(now, id, *reservation);
        reply::grant_status((*reservation, *plan), live, (machine, now))
    };
    let grants = beat.usage.iter().map(told).collect();
    Ok(Some(Heard { beaten: Beaten { session, grants }, notes, events, news }))
}

/// The refusals of an answer, each with the place of what was asked, and under the mark that it is
/// remembered by.
fn refusals(mark: RequestMark, answer: &Answer) -> Vec<(usize, RequestMark, Box<Refusal>)> {
    let entries: Vec<(usize, RequestMark, &Answer)> = match answer {
        Answer::Batch(answers) => {
            let entries = answers.iter().enumerate();
            entries.map(|(index, answer)| (index, mark.entry(index), answer)).collect()
        }
        other => vec![(0, mark, other)],
    };
    let refused = entries.into_iter().filter_map(|(index, mark, answer)| match answer {
        Answer::Refusal(refusal) => Some((index, mark, refusal.clone())),
        _ => None,
    });
    refused.collect()
}
