//! A broker whose time is told to it: what it would have written down of a past that somebody lets it live
//! through, in minutes instead of days. The same machine decides, the same journal and reports are
//! written, by the same code; a broker that is started in the directory goes on from there.
//!
//! It is how the examples and the tests of reports get a past.

mod operate;

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use tidegate_core::event::RequestMark;
use tidegate_core::{
    Answer, Ask, Command, Event, Machine, Note, Obeyed, Owner, Request, Shape, Stamp, Standing,
    Terms, Ways,
};
use tidegate_policy::{
    BitRate, ByteCount, ClassId, Endpoint, Interval, Name, ProjectId, RequestId, ReservationId,
    SessionId, Span, Timestamp,
};
use tidegate_proto::v1;
use uuid::Builder;

use crate::broker::{StartError, open};
use crate::changes::Changes;
use crate::config::Config;
use crate::convert::request::{Beat, Usage};
use crate::convert::topology;
use crate::durable;
use crate::fields::Fields;
use crate::journal::{Journal, Seq};
use crate::reports::book::Book;
use crate::reports::fact::{Fact, Reporter};
#[cfg(test)]
use crate::reports::look::Look;
use crate::reports::refused::Refused;
use crate::reports::store::Store;
use crate::reports::{self, grain};
use crate::view::View;
use crate::writer;

pub use operate::Sighting;

/// The most reservations that are walked over at once.
const STEP: usize = 1 << 20;
/// How often what happened is written down: nobody relies on it before the end, and each time is a sync.
const WRITE_EVERY: Span = Span::from_secs(600);
/// So many events are written down at once, however little time they took.
const EVENTS_MAX: usize = 8192;

/// Why a past cannot be lived through.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The directory cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The journal or the reports cannot be written.
    #[error("what happened cannot be written down: {0}")]
    Write(String),
    /// Somebody asked for what makes no sense.
    #[error("{0}")]
    Senseless(String),
}

/// What somebody asks for in the past.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The project that it is for.
    pub project: ProjectId,
    /// The class of service, if there is one.
    pub class: Option<ClassId>,
    /// Where the bytes are.
    pub source: Endpoint,
    /// Where they are to be.
    pub destination: Endpoint,
    /// How many, in payload bytes.
    pub volume: ByteCount,
    /// The highest payload rate that is of use.
    pub max: BitRate,
    /// How long it may take.
    pub within: Span,
}

/// What became of it.
#[derive(Clone, Debug)]
pub enum Became {
    /// It was granted: how it is to move, as rates over intervals.
    Granted(ReservationId, Vec<(Interval, BitRate)>),
    /// It was refused.
    Refused,
}

/// A broker whose time is told to it.
pub struct Past {
    machine: Machine,
    view: View,
    facts: Receiver<Fact>,
    book: Book,
    store: Store,
    journal: Box<dyn Journal>,
    /// What is not in the journal yet.
    events: Vec<Event>,
    now: Timestamp,
    written: Timestamp,
    fresh: u64,
}

impl std::fmt::Debug for Past {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Past({})", self.now)
    }
}

impl Past {
    /// Begins, or goes on, at an instant.
    ///
    /// # Errors
    /// [`PastError::Start`].
    pub fn begin(config: &Config, at: Timestamp) -> Result<Self, PastError> {
        config.check().map_err(StartError::from)?;
        let journal = open(&config.journal).map_err(StartError::from)?;
        let look = journal.readers().open().map_err(StartError::from)?;
        let replayed = crate::replay::replay(&*look, &config.core_limits(), &|| false);
        let mut machine = replayed.map_err(StartError::from)?.machine;
        drop(look);
        let now = at.max(machine.clock());
        machine.resume(now);
        let opened = reports::open(config, &mut machine, now);
        let (store, book) = opened.map_err(StartError::from)?;
        let (reporter, facts, _) = Reporter::new();
        let Seq(head) = journal.head();
        let changes = Changes::new(0, config.limits.changes, head);
        let view = View::new(machine.clone(), head, changes, reporter);
        let (events, fresh) = (Vec::new(), 0);
        let mut past =
            Self { machine, view, facts, book, store, journal, events, now, written: now, fresh };
        past.reconcile();
        Ok(past)
    }

    /// Lets time pass: what is due happens, and each minute is accounted for when it is over.
    ///
    /// # Errors
    /// [`PastError::Write`].
    pub fn pass(&mut self, to: Timestamp) -> Result<(), PastError> {
        while self.now < to {
            let minute = grain::floor(self.now.as_ms(), grain::MINUTE_MS) + grain::MINUTE_MS;
            let minute = Timestamp::from_ms(minute).unwrap_or(Timestamp::MAX);
            self.now = minute.min(to);
            self.due()?;
            if self.now == minute {
                self.account(minute);
            }
            if self.written.plus(WRITE_EVERY) <= self.now {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Lets a long time pass at once: what is due happens, and reports have hours of it instead of minutes if
    /// it is longer than two.
    ///
    /// # Errors
    /// [`PastError::Write`].
    pub fn leap(&mut self, to: Timestamp) -> Result<(), PastError> {
        while let Some(due) = self.machine.next_due().filter(|due| *due <= to) {
            self.now = self.now.max(due);
            self.due()?;
        }
        self.now = self.now.max(to);
        self.account(self.now);
        self.write()
    }

    /// Replaces the topology.
    ///
    /// # Errors
    /// [`PastError::Senseless`]: what is wrong with it.
    pub fn apply_topology(&mut self, topology: &v1::Topology) -> Result<(), PastError> {
        let mut fields = Fields::default();
        let spec = topology::from_wire(&mut fields, topology);
        let faults = |faults: Vec<_>| PastError::Senseless(format!("{faults:?}"));
        let spec = Box::new(fields.finish(spec).map_err(faults)?);
        self.ask(Command::ApplyTopology { spec, accept_losses: true }).map(drop)
    }

    /// Opens a session.
    ///
    /// # Errors
    /// [`PastError::Senseless`] if there are too many.
    pub fn open_session(&mut self, agent: Name) -> Result<SessionId, PastError> {
        match self.ask(Command::OpenSession(agent))? {
            Answer::Session(session) => Ok(session.id),
            other => Err(PastError::Senseless(format!("no session: {other:?}"))),
        }
    }

    /// Asks for a reservation that is bound to a session.
    ///
    /// # Errors
    /// [`PastError::Senseless`]: what no ledger could satisfy.
    pub fn reserve(&mut self, session: SessionId, wish: &Wish) -> Result<Became, PastError> {
        self.reserve_by(Some(session), wish)
    }

    /// Asks for a reservation that is bound to no session: nobody reports how much moves under it.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn reserve_unbound(&mut self, wish: &Wish) -> Result<Became, PastError> {
        self.reserve_by(None, wish)
    }

    fn reserve_by(&mut self, session: Option<SessionId>, wish: &Wish) -> Result<Became, PastError> {
        let shape = Shape::Transfer {
            volume: wish.volume,
            min: BitRate::default(),
            max: wish.max,
            start: None,
            deadline: self.now.plus(wish.within),
            split: false,
        };
        self.wish(session, wish, shape)
    }

    fn wish(
        &mut self,
        session: Option<SessionId>,
        wish: &Wish,
        shape: Shape,
    ) -> Result<Became, PastError> {
        let ask = Self::asked(wish, shape, session);
        match self.ask(Command::Reserve(ask.into()))? {
            Answer::Reservation(made) => {
                let segments = made.plan.segments.iter().map(|it| (it.over, it.rate));
                Ok(Became::Granted(made.id, segments.collect()))
            }
            Answer::Refusal(_) => Ok(Became::Refused),
            other => Err(PastError::Senseless(format!("no reservation: {other:?}"))),
        }
    }

    /// What a wish asks for, in a shape.
    pub(crate) fn asked(wish: &Wish, shape: Shape, session: Option<SessionId>) -> Ask {
        let ways = Ways::Between {
            sources: vec![wish.source.clone()],
            destination: wish.destination.clone(),
            via: Vec::new(),
            path: None,
        };
        Ask {
            owner: Owner { class: wish.class.clone(), ..Owner::from(wish.project.clone()) },
            ways,
            shape,
            terms: Terms::default(),
            hold_for: None,
            session,
            hold_best_offer: false,
            movable: false,
            standing: Standing::default(),
        }
    }

    /// Hears from a session how many bytes have moved under its reservations so far.
    ///
    /// # Errors
    /// [`PastError::Senseless`] if there is no such session.
    pub fn beat(
        &mut self,
        session: SessionId,
        moved: &[(ReservationId, ByteCount)],
    ) -> Result<(), PastError> {
        let live = Obeyed { version: 0, rate: BitRate::default() };
        let usage = moved.iter().map(|(reservation, bytes)| Usage {
            reservation: *reservation,
            bytes: *bytes,
            plan: 0,
            live,
            held_back: None,
        });
        let beat = Beat { session, sequence: 0, usage: usage.collect() };
        let heard = writer::hear(&mut self.machine, self.now, &beat);
        let heard = heard.map_err(|corrupt| PastError::Senseless(corrupt.to_string()))?;
        let heard = heard.ok_or_else(|| PastError::Senseless("there is no such session".into()))?;
        self.publish(heard.events, &heard.notes, Vec::new())
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Writes everything down and closes it.
    ///
    /// # Errors
    /// [`PastError::Write`].
    pub fn end(mut self) -> Result<(), PastError> {
        self.account(self.now);
        self.write()
    }

    /// Decides, and lets it happen.
    pub(crate) fn ask(&mut self, command: Command) -> Result<Answer, PastError> {
        self.due()?;
        let id = RequestId::from_u128(self.uuid());
        let mark = RequestMark { id, fingerprint: [0; 32] };
        let stamp = Stamp { now: self.now, fresh: self.uuid() };
        let request = Request { mark, command };
        let decision = self.machine.decide(stamp, &request);
        let decision = decision.map_err(|fault| PastError::Senseless(fault.to_string()))?;
        let (mut notes, mut refused) = (Vec::new(), Vec::new());
        if let Answer::Refusal(refusal) = &decision.answer {
            let asked = (&request.command, 0);
            refused.push(Refused::new(&self.machine, self.now, asked, refusal));
            notes.push(Note::Refused { mark, refusal: refusal.clone(), at: self.now });
        }
        for event in &decision.events {
            self.machine.apply(event).map_err(|it| PastError::Senseless(it.to_string()))?;
        }
        notes.iter().for_each(|note| self.machine.note(note));
        self.publish(decision.events, &notes, refused)?;
        Ok(decision.answer)
    }

    fn due(&mut self) -> Result<(), PastError> {
        loop {
            let due = self.machine.due(self.now);
            if due.is_empty() {
                return Ok(());
            }
            for event in &due {
                self.machine.apply(event).map_err(|it| PastError::Senseless(it.to_string()))?;
            }
            self.publish(due, &[], Vec::new())?;
        }
    }

    fn publish(
        &mut self,
        events: Vec<Event>,
        notes: &[Note],
        refused: Vec<Refused>,
    ) -> Result<(), PastError> {
        let Seq(head) = self.journal.head();
        let published = self.view.publish(&events, notes, refused, head);
        published.map_err(|corrupt| PastError::Senseless(corrupt.to_string()))?;
        self.events.extend(events);
        self.follow();
        if EVENTS_MAX <= self.events.len() { self.write() } else { Ok(()) }
    }

    fn follow(&mut self) {
        let published = self.view.read();
        for fact in self.facts.try_iter() {
            self.book.follow(&published.machine, &fact);
        }
    }

    /// Makes good what the reports have not heard of.
    fn reconcile(&mut self) {
        let published = self.view.read();
        let mut last = None;
        loop {
            last = self.book.reconcile(&published.machine, (last, STEP), self.now);
            if last.is_none() {
                return self.book.forget_unknown(&published.machine);
            }
        }
    }

    /// Accounts for everything before an instant.
    pub(crate) fn account(&mut self, to: Timestamp) {
        self.follow();
        let published = self.view.read();
        self.book.begin(&published.machine, to);
        while !self.book.step(&published.machine, STEP) {}
    }

    /// Writes down what happened.
    pub(crate) fn write(&mut self) -> Result<(), PastError> {
        let failed = |error: &dyn std::fmt::Display| PastError::Write(error.to_string());
        self.written = self.now;
        self.write_journal()?;
        let (range, pending) = (self.book.range(), Arc::clone(self.book.settled()));
        self.store.write(&pending, range).map_err(|error| failed(&error))?;
        self.book.written();
        Ok(())
    }

    pub(crate) fn write_journal(&mut self) -> Result<(), PastError> {
        if self.events.is_empty() {
            return Ok(());
        }
        let bytes = durable::encode(&std::mem::take(&mut self.events));
        let (epoch, next) = (self.journal.epoch(), self.journal.head().next());
        let appended = self.journal.append(epoch, next, &bytes);
        appended.map_err(|error| PastError::Write(error.to_string()))
    }

    /// What the reports say.
    #[cfg(test)]
    pub(crate) fn look(&mut self) -> Result<Look, PastError> {
        let failed = |error: reports::ReportsError| PastError::Write(error.to_string());
        let pending = Arc::clone(self.book.settled());
        let stored = self.store.read().map_err(failed)?;
        Ok(Look::new(stored, pending, Arc::clone(self.book.names()), self.book.range()))
    }

    #[cfg(test)]
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// An identifier of now that comes once.
    fn uuid(&mut self) -> u128 {
        self.fresh = self.fresh.wrapping_add(1);
        let ms = u64::try_from(self.now.as_ms()).unwrap_or(0);
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.fresh.to_be_bytes());
        Builder::from_unix_timestamp_millis(ms, &random).into_uuid().as_u128()
    }
}
