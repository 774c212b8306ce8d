//! What is asked of the machine, and whether it answers as it has to.

use tidegate_core::command::Relation;
use tidegate_core::{
    Answer, Ask, Batch, Change, Command, Decision, Fault, PolicyAsk, Reason, Refusal, Shape, State,
};
use tidegate_policy::ReservationId;

use super::draw::asked;
use super::naive::{Change as Other, Item, Rules, Verdict, Wanted, promised};
use super::{AHEAD, World, at};

impl World {
    /// What somebody who counts says of a request for a fixed rate.
    fn expected(&self, ask: &Ask) -> Verdict {
        self.say(|sight, naive| sight.verdict(naive, &wanted(ask)))
    }

    pub(super) fn rigid(&mut self) {
        let ask = self.drawn_rigid();
        let expected = self.expected(&ask);
        let budget = self.say(|sight, naive| sight.out_of_budget(naive, &wanted(&ask)));
        let decision = self.ask(Command::Reserve(ask.clone().into())).unwrap();
        let (answer, events) = (&decision.answer, decision.events.len());
        if let Err(why) = self.is_as_expected((expected, budget), answer, events) {
            self.fail(&format!("{why}: {:?}: {ask:?}", decision.answer));
        }
        if let Answer::Refusal(refusal) = &decision.answer {
            self.take(&ask, refusal);
        }
    }

    /// Whether the answer is the one that was expected. With more than one event somebody made room; where
    /// somebody would, but a budget has not enough, that is the reason.
    fn is_as_expected(
        &mut self,
        (expected, budget): (Verdict, Option<Reason>),
        answer: &Answer,
        events: usize,
    ) -> Result<(), String> {
        let despite = match answer {
            Answer::Reservation(found) => found.despite,
            _ => None,
        };
        match (answer, expected) {
            (Answer::Reservation(_), Verdict::Granted) if despite.is_none() && events == 1 => {
                self.count("granted");
            }
            (Answer::Reservation(_), Verdict::Refused(reason))
                if self.observes && despite == Some(reason) && events == 1 =>
            {
                self.count("granted despite");
            }
            // Somebody moved away.
            (
                Answer::Reservation(_),
                Verdict::Refused(Reason::QuotaExhausted | Reason::NoHeadroom),
            ) if despite.is_none() && 1 < events => self.count("made room"),
            (
                Answer::Reservation(_),
                Verdict::Refused(Reason::QuotaExhausted | Reason::NoHeadroom),
            ) if self.observes && despite.is_some() && despite == budget && events == 1 => {
                self.count("granted despite");
            }
            (
                Answer::Refusal(refusal),
                Verdict::Refused(Reason::QuotaExhausted | Reason::NoHeadroom),
            ) if refusal.blockers.is_empty()
                && refusal.quotas.iter().all(is_of_budget)
                && budget == Some(refusal.reason)
                && !self.observes =>
            {
                self.count("room but no budget");
            }
            (Answer::Refusal(refusal), Verdict::Refused(reason))
                if refusal.reason == reason && !self.observes =>
            {
                self.count(called(reason));
                if !refusal.quotas.is_empty() && refusal.quotas.iter().all(is_of_budget) {
                    self.count("budget short");
                }
            }
            _ => return Err(format!("{expected:?} is expected")),
        }
        Ok(())
    }

    /// An offer that is taken at once is granted.
    fn take(&mut self, ask: &Ask, refusal: &Refusal) {
        let Some(offer) = refusal.offers.first() else { return };
        if self.now + AHEAD * self.setting.unit < offer.interval.end().as_ms() {
            return self.count("offer far ahead");
        }
        let taken = self.ask(Command::Reserve(offer.ask(ask).into())).unwrap();
        match taken.answer {
            Answer::Reservation(_) => self.count("offer taken"),
            other => self.fail(&format!("{offer:?} of {ask:?} does not hold: {other:?}")),
        }
    }

    pub(super) fn shaped(&mut self) {
        let ask = self.drawn_shape();
        let away = self.say(|sight, naive| sight.turned_away(naive, &ask.owner));
        let volume = matches!(ask.shape, Shape::Transfer { .. });
        let decision = match self.ask(Command::Reserve(ask.clone().into())) {
            Ok(decision) => decision,
            // A hold leaves a volume no time.
            Err(Fault::Invalid(_)) if volume => return,
            Err(other) => self.fail(&format!("{other}")),
        };
        match (&decision.answer, away) {
            (Answer::Reservation(found), away) if away == found.despite => {
                self.count(if volume { "volume granted" } else { "flexible granted" });
            }
            (Answer::Reservation(found), None) if self.observes => {
                assert!(found.despite.is_some(), "{}", self.place);
            }
            (Answer::Refusal(refusal), away) if away.is_none_or(|it| it == refusal.reason) => {
                self.count("shape refused");
                self.take(&ask, refusal);
            }
            (answer, away) => self.fail(&format!("{away:?} is expected: {ask:?} {answer:?}")),
        }
    }

    /// Several at once: each is answered as if those before it had been granted already.
    pub(super) fn several(&mut self) {
        let asks: Vec<Ask> = (0..3).map(|_| self.drawn_rigid()).collect();
        let (machine, mut naive) = (self.machine.clone(), self.naive.clone());
        let batch = Batch { asks: asks.clone(), relation: Relation::Each, instance: 3 };
        let mut sight_of = Vec::new();
        let decision = {
            let Decision { events, answer, .. } =
                self.decided(&Command::ReserveAll(batch.clone().into()));
            let Answer::Batch(answers) = &answer else { self.fail("no batch") };
            let moves = events.iter().any(|it| !matches!(it.change, Change::Reserved(_)));
            for (ask, answer) in asks.iter().zip(answers).filter(|_| !moves) {
                let expected = self.say(|sight, _| sight.verdict(&naive, &wanted(ask)));
                let budget = self.say(|sight, _| sight.out_of_budget(&naive, &wanted(ask)));
                sight_of.push(((expected, budget), answer.clone()));
                let Answer::Reservation(found) = answer else { continue };
                let narrowed = &self.narrowed;
                let item = Item::of(Rules::of(&machine), &self.network, found, narrowed);
                naive.add(machine.projects(), item);
            }
            answer
        };
        for (expected, answer) in sight_of {
            if let Err(why) = self.is_as_expected(expected, &answer, 1) {
                self.fail(&format!("{why} in a batch: {answer:?} {asks:?}"));
            }
        }
        let got = self.ask(Command::ReserveAll(batch.into())).unwrap().answer;
        if let (Answer::Batch(got), Answer::Batch(answers)) = (&got, &decision) {
            let granted = |answer: &&Answer| matches!(answer, Answer::Reservation(_));
            let count = got.iter().filter(granted).count();
            assert_eq!(count, answers.iter().filter(granted).count(), "{}", self.place);
            if 1 < count {
                self.count("several granted");
            }
        }
    }

    pub(super) fn release(&mut self) {
        let Some(id) = self.drawn_live() else { return };
        self.give_back(id);
        self.count("released");
    }

    /// Another rate, another end: of a fixed rate it is known whether it is granted.
    pub(super) fn change(&mut self) {
        let Some(id) = self.drawn_live() else { return };
        let found = self.machine.reservation(id).unwrap().clone();
        let modify = self.drawn_change(id);
        if let Some(reason) = found.despite {
            let answer = self.ask(Command::Modify(modify.clone().into()));
            let has = found.rate().bps();
            let rate = modify.rate.map_or(has, |it| promised(it.bps(), found.standing.ratio));
            let is_less = rate <= has && modify.end.is_none_or(|end| end <= found.interval.end());
            return match answer.map(|it| it.answer) {
                Ok(Answer::Reservation(after))
                    if after.despite == Some(reason) && (self.observes || is_less) =>
                {
                    self.count("observed changed");
                }
                Ok(Answer::Refusal(refusal)) if refusal.reason == reason && !self.observes => {
                    self.count("observed not changed");
                }
                answer => self.fail(&format!("{modify:?}: {answer:?} {found:?}")),
            };
        }
        let what = found.promise.as_ref().and_then(|it| it.what.volume());
        if what.is_some() {
            return match self.ask(Command::Modify(modify.into())) {
                Ok(_) => self.count("volume changed"),
                Err(Fault::Invalid(_)) => {}
                Err(other) => self.fail(&format!("{other}")),
            };
        }
        let change = Other {
            found: &found,
            rate: modify.rate.map(|it| it.bps()),
            end: modify.end.map(|it| it.as_ms()),
        };
        let expected = self.say(|sight, naive| sight.changes(naive, &change));
        match (self.ask(Command::Modify(modify.clone().into())), expected) {
            (Ok(Decision { answer: Answer::Reservation(after), .. }), Verdict::Granted)
                if after.despite.is_none() =>
            {
                self.count("changed");
            }
            (Ok(Decision { answer: Answer::Reservation(after), .. }), Verdict::Refused(reason))
                if self.observes && after.despite == Some(reason) =>
            {
                self.count("changed despite");
            }
            (Ok(Decision { answer: Answer::Refusal(refusal), .. }), Verdict::Refused(reason))
                if refusal.reason == reason && !self.observes =>
            {
                self.count("change refused");
            }
            (answer, expected) => {
                self.fail(&format!("{expected:?} is expected of {modify:?}: {answer:?} {found:?}"))
            }
        }
    }

    /// A hold is confirmed, or lasts longer.
    pub(super) fn hold(&mut self) {
        let held = self.machine.reservations(None);
        let held = held.filter(|it| matches!(it.state, State::Held { .. }));
        let held: Vec<ReservationId> = held.map(|it| it.id).collect();
        if held.is_empty() {
            return;
        }
        let id = self.rng.pick(&held);
        if self.rng.chance(50) {
            self.ask(Command::Confirm(id.into())).unwrap();
            self.count("confirmed");
        } else {
            let span = self.setting.span(1 + self.rng.ms(4));
            self.ask(Command::ExtendHold(id.into(), span)).unwrap();
            self.count("held on");
        }
    }

    pub(super) fn policy(&mut self) {
        let ask: PolicyAsk = self.drawn_policy();
        let (edit, classes) = (&ask.projects, &ask.classes);
        let projects = self.machine.projects().changed(&edit.put, &edit.gone, edit.whole);
        let changed = self.machine.classes().changed(&classes.put, &classes.gone, classes.whole);
        let (Ok(projects), Ok(changed)) = (projects, changed) else {
            let answer = self.ask(Command::ApplyPolicy(ask.into()));
            assert!(matches!(answer, Err(Fault::Invalid(_))), "{}", self.place);
            return self.count("no policy");
        };
        let mut named = classes.put.iter().flat_map(|it| &it.projects);
        if named.any(|it| projects.get(it).is_none()) {
            let answer = self.ask(Command::ApplyPolicy(ask.into()));
            assert!(matches!(answer, Err(Fault::Invalid(_))), "{}", self.place);
            return self.count("class of nobody");
        }
        let after = Rules { projects: &projects, classes: &changed };
        let items = self.machine.reservations(None);
        let items = items.map(|it| Item::of(after, &self.network, it, &self.narrowed)).collect();
        let ahead = AHEAD * self.setting.unit;
        let (over, why) = self.say(|sight, naive| sight.overused((naive, items), after, ahead));
        let over = over.filter(|_| !self.naive.items.iter().any(|it| it.cut));
        let left = edit.gone.iter().any(|id| self.naive.has(id));
        let used = classes.gone.iter().any(|id| self.naive.has_class(id));
        let (accepted, told) = (ask.accept_overuse, format!("{why} {ask:?}"));
        match self.ask(Command::ApplyPolicy(ask.into())) {
            Err(Fault::ProjectInUse { .. }) if left => self.count("project in use"),
            Err(Fault::ClassInUse { .. }) if used => self.count("class in use"),
            Err(Fault::QuotasInUse(_)) if over != Some(false) && !accepted && !left && !used => {
                self.count("quotas in use");
            }
            Ok(decision) if !left && !used && (over != Some(true) || accepted) => {
                let Answer::Policy { overuses, .. } = decision.answer else {
                    self.fail("no policy")
                };
                if over.is_some_and(|over| over == overuses.is_empty()) {
                    self.fail(&format!("over {over:?}: {overuses:?}: {told}"));
                }
                assert_eq!(projects, *self.machine.projects(), "{}", self.place);
                assert_eq!(changed, *self.machine.classes(), "{}", self.place);
                self.count(match over {
                    Some(true) => "cut below use",
                    Some(false) => "policy changed",
                    None => "policy unsure",
                });
            }
            answer => self.fail(&format!("over {over:?}, left {left}, {used}: {told} {answer:?}")),
        }
    }

    /// What would be decided, without a trace.
    fn decided(&self, command: &Command) -> Decision {
        let serial = self.serial + 128;
        let bits = u128::try_from(self.now).unwrap() << 80 | 7 << 76 | 2 << 62;
        let id = tidegate_policy::RequestId::from_u128(bits | serial);
        let mark = tidegate_core::event::RequestMark { id, fingerprint: [0; 32] };
        let stamp = tidegate_core::Stamp { now: at(self.now), fresh: serial };
        let request = tidegate_core::Request { mark, command: command.clone() };
        self.machine.decide(stamp, &request).unwrap()
    }
}

fn wanted(ask: &Ask) -> Wanted<'_> {
    let (sources, destination, over, rate) = asked(ask);
    let over = (over.start().as_ms(), over.end().as_ms());
    Wanted { owner: &ask.owner, sources, destination, over, rate: rate.bps() }
}

fn is_of_budget(blocker: &tidegate_core::QuotaBlocker) -> bool {
    matches!(blocker.what, tidegate_policy::Limit::Budget(_))
}

fn called(reason: Reason) -> &'static str {
    match reason {
        Reason::ClassNotAllowed => "class not allowed",
        Reason::AboveQuota => "above quota",
        Reason::QuotaExhausted => "quota exhausted",
        Reason::NoTier => "no tier",
        Reason::RateAboveCapacity => "rate above capacity",
        _ => "no headroom",
    }
}
