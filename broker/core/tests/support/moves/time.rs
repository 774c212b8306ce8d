//! Lets time pass: beats, reports, what is due, and what everybody sends meanwhile.

use tidegate_core::{Note, State};

use super::checks::{Limits, fits};
use super::clients::Mood;
use super::draw::at;
use super::driver::Driver;
use super::levels::{nothing, plan_into};

impl Driver {
    /// Goes on to an instant, stopping wherever something happens.
    pub(super) fn walk_to(&mut self, target: i64) {
        while self.now < target {
            let due = self.machine.next_due().map(|due| due.as_ms());
            let just_before = due.map(|due| due - 1).filter(|before| self.now < *before);
            let beats = self.clients.iter().filter(|client| client.mood != Mood::Gone);
            let beats = beats.map(|client| client.next.max(self.now + 1));
            let next = beats.chain(due).chain(just_before).chain([target]).min();
            let next = next.unwrap_or(target).clamp(self.now, target);
            self.send_until(next);
            self.now = next;
            if Some(next) == just_before {
                self.report_in_time();
            }
            self.settle_due();
            self.beat();
        }
    }

    /// What is due happens.
    pub(super) fn settle_due(&mut self) {
        for _ in 0..1000 {
            let events = self.machine.due(at(self.now));
            if events.is_empty() {
                if self.machine.next_due().is_some_and(|due| due <= at(self.now)) {
                    self.fail("something is said to be due, and nothing happens");
                }
                return;
            }
            self.happen(&events, (None, None));
        }
        self.fail("the same things are due for ever");
    }

    /// What all of them send by what they know, until some instant, fits; unless capacity was lost
    /// and they cannot have heard of it.
    fn send_until(&mut self, until: i64) {
        let mut lanes = nothing();
        let limits = (self.lease(), self.grace());
        for client in &mut self.clients {
            client.send(&mut lanes, (self.now, until), limits);
        }
        // Nobody can tell those without a session of anything: they send what they were granted.
        for found in self.machine.reservations(None) {
            if found.session.is_none() && found.state == State::Confirmed {
                plan_into(&mut lanes, &found.plan, (self.now, until));
            }
        }
        let from = self.now.max(self.tolerated);
        if from < until {
            let can = Limits::of(&self.net, &self.machine);
            for taken in &mut lanes {
                taken.retain(|(_, to, _)| from < *to);
            }
            self.must(fits(&lanes, &can, from, "sent"));
        }
    }

    /// Whoever is prompt reports before it is too late.
    fn report_in_time(&mut self) {
        let prompt = self.clients.iter().filter(|client| client.mood == Mood::Prompt);
        let notes: Vec<Note> = prompt.flat_map(|client| client.reports(self.now)).collect();
        notes.iter().for_each(|note| self.report(note));
    }

    fn report(&mut self, note: &Note) {
        if let Note::Used { session, reservation, bytes, .. } = note
            && self.machine.reservation(*reservation).is_some_and(|found| found.is_live())
        {
            self.reporting.insert(*session);
            let known = self.reported.entry(*reservation).or_default();
            *known = bytes.bytes().max(*known);
        }
        self.machine.note(note);
    }

    /// Those whose time has come beat: they say what they obey and what they have moved, and hear
    /// how things stand.
    fn beat(&mut self) {
        let every = self.lease() / 3;
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            if self.now < client.next || client.mood == Mood::Gone {
                continue;
            }
            self.clients[index].next = self.now + every;
            let mood = self.clients[index].mood;
            if mood == Mood::Flaky && self.draw.rng.chance(60) {
                continue;
            }
            let client = &self.clients[index];
            let session = client.session;
            let obeys: Vec<_> =
                client.known.iter().map(|(id, found)| (*id, found.plan_version)).collect();
            let notes = client.reports(self.now);
            for obeyed in obeys {
                if let Some(event) = self.machine.settle(at(self.now), session, obeyed) {
                    self.count("settled");
                    self.happen(&[event], (None, None));
                }
            }
            self.machine.note(&Note::Heard { session, at: at(self.now) });
            notes.iter().for_each(|note| self.report(note));
            self.clients[index].hear(self.now, &self.machine);
        }
    }
}
