//! Time that passes, and what it takes with it: sessions, capacity, maintenance windows.

use tidegate_core::{Answer, Command, Decision, Fault, MaintenanceAsk, Note};
use tidegate_policy::Resource;

use super::setting::Rates;
use super::{World, at};

impl World {
    /// Time passes; sessions are heard all the while, but where that would be for long.
    pub(super) fn pass(&mut self) {
        let unit = self.setting.unit;
        if self.rng.chance(3) {
            let days = self.between(1, 40);
            self.pass_silently(self.now + days * 86_400_000);
            self.count("days passed");
        } else {
            let target = self.now + self.between(1, 4 * unit);
            self.pass_to(target);
        }
        self.open_sessions();
    }

    pub(super) fn pass_to(&mut self, target: i64) {
        let beat = self.setting.unit / 10;
        while self.now < target {
            for session in self.sessions.clone() {
                self.machine.note(&Note::Heard { session, at: at(self.now) });
            }
            let next = target.min(self.now + beat);
            self.pass_silently(next);
        }
    }

    /// Whatever is due happens, the silence of sessions included.
    fn pass_silently(&mut self, target: i64) {
        while let Some(due) = self.machine.next_due().filter(|due| due.as_ms() <= target) {
            self.now = self.now.max(due.as_ms());
            let events = self.machine.due(at(self.now));
            self.follow(&events);
        }
        self.now = target;
    }

    /// A session is closed, or ends because nobody is heard.
    pub(super) fn end_session(&mut self) {
        let id = self.drawn_session();
        if self.rng.chance(50) {
            self.ask(Command::CloseSession(id)).unwrap();
        } else {
            self.sessions.retain(|it| *it != id);
            self.pass_to(self.now + self.setting.unit);
        }
        self.open_sessions();
        self.count("session ended");
    }

    /// Capacity is taken away for a time, or given back before that is over.
    pub(super) fn maintenance(&mut self) {
        if !self.windows.is_empty() && self.rng.chance(40) {
            let place = self.rng.index(self.windows.len());
            let id = self.windows.swap_remove(place);
            match self.ask(Command::DeleteMaintenance(id)) {
                Ok(_) | Err(Fault::NotFound { .. }) => return self.count("maintenance ended"),
                Err(other) => self.fail(&format!("{other}")),
            }
        }
        let resource = ["storage/p", "storage/q", "hosts/h", "hosts/i"];
        let resource: Resource = self.rng.pick(&resource).parse().unwrap();
        let over = self.drawn_over();
        let ask = MaintenanceAsk {
            resource,
            start: Some(over.start()),
            end: over.end(),
            left_ppm: u32::try_from(self.rng.below(1_000_000)).unwrap(),
            comment: String::new(),
            accept_losses: self.rng.chance(40),
        };
        match self.ask(Command::CreateMaintenance(ask.into())) {
            Ok(Decision { answer: Answer::Maintenance { maintenance, losses }, .. }) => {
                self.windows.push(maintenance.id);
                self.count(if losses.count == 0 { "maintenance" } else { "maintenance lost" });
            }
            Err(Fault::LanesInUse { .. }) => self.count("lanes in use"),
            other => self.fail(&format!("{other:?}")),
        }
    }

    /// The network carries more, or less.
    pub(super) fn topology(&mut self) {
        let (before, drawn) = (self.rates, Rates::drawn(&mut self.rng));
        self.rates = match self.rng.below(3) {
            0 => Rates { p: drawn.p, ..before },
            1 => Rates { h: drawn.h, ..before },
            _ => drawn,
        };
        let (spec, accept_losses) = (self.rates.spec().into(), self.rng.chance(50));
        match self.ask(Command::ApplyTopology { spec, accept_losses }) {
            Ok(Decision { answer: Answer::Topology { losses, .. }, .. }) => {
                self.count(if losses.count == 0 { "topology" } else { "topology lost" });
            }
            Err(Fault::LanesInUse { .. }) => {
                self.rates = before;
                self.count("lanes in use");
            }
            other => self.fail(&format!("{other:?}")),
        }
    }
}
