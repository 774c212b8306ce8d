//! What a story calls identifiers: reservations are letters in the order in which they are made,
//! sessions are called as their agents, maintenance windows are numbered.

use tidegate_core::{Answer, Command};
use tidegate_policy::{MaintenanceId, RequestId, ReservationId, SessionId, Timestamp};

use super::World;
use super::print::instant;

impl World {
    /// Gives what a request made the name that the story calls it by.
    pub(super) fn name(&mut self, answer: &Answer, command: &Command) {
        match (answer, command) {
            (Answer::Reservation(made), Command::Reserve(_) | Command::ReserveAll(_)) => {
                self.name_reservation(made.id);
            }
            (Answer::Refusal(refusal), _) => {
                if let Some(held) = &refusal.held {
                    self.name_reservation(held.id);
                }
            }
            (Answer::Batch(answers), _) => {
                for answer in answers {
                    self.name(answer, command);
                }
            }
            (Answer::Maintenance { maintenance, .. }, Command::CreateMaintenance(_)) => {
                let text = maintenance.id.to_string();
                if self.windows.values().all(|known| *known != maintenance.id) {
                    let name = format!("w{}", self.windows.len() + 1);
                    self.names.push((text, name.clone()));
                    self.windows.insert(name, maintenance.id);
                }
            }
            (Answer::Session(made), Command::OpenSession(agent)) => {
                self.names.push((made.id.to_string(), agent.to_string()));
                self.sessions.insert(agent.to_string(), made.id);
            }
            _ => {}
        }
    }

    fn name_reservation(&mut self, id: ReservationId) {
        let text = id.to_string();
        if self.names.iter().all(|(known, _)| *known != text) {
            let taken = |letter: &String| self.reservations.contains_key(letter);
            let mut letters = ('a'..='z').map(String::from);
            let free = letters.find(|letter| !taken(letter)).unwrap();
            self.names.push((text, free.clone()));
            self.reservations.insert(free, id);
        }
    }

    pub(super) fn reservation(&mut self, name: &str) -> ReservationId {
        if let Some(id) = self.reservations.get(name) {
            return *id;
        }
        self.serial += 1;
        let id = ReservationId::from_u128(u128::from(self.serial));
        self.names.push((id.to_string(), name.into()));
        id
    }

    pub(super) fn session(&mut self, name: &str) -> SessionId {
        if let Some(id) = self.sessions.get(name) {
            return *id;
        }
        self.serial += 1;
        let id = SessionId::from_u128(u128::from(self.serial));
        self.names.push((id.to_string(), name.into()));
        id
    }

    /// A UUIDv7 made then.
    pub(super) fn request_id(&mut self, made: Timestamp) -> RequestId {
        self.serial += 1;
        let ms = u128::try_from(made.as_ms()).unwrap();
        let id = RequestId::from_u128(ms << 80 | 7 << 76 | 2 << 62 | u128::from(self.serial) << 8);
        self.names.push((id.to_string(), format!("made at {}", instant(made))));
        id
    }

    pub(super) fn window_id(&mut self, name: &str) -> MaintenanceId {
        self.windows.get(name).copied().unwrap_or(MaintenanceId::from_u128(u128::MAX))
    }

    /// An identifier as the story calls it.
    pub(super) fn called(&self, id: &str) -> String {
        let found = self.names.iter().find(|(known, _)| known == id);
        found.map_or_else(|| id.into(), |(_, name)| name.clone())
    }

    /// A text of the core with the story's names and times.
    pub(super) fn tame(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (id, name) in &self.names {
            text = text.replace(id, name);
        }
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some(end) = rest.find('Z') {
            let (head, tail) = rest.split_at(end + 1);
            // With milliseconds an instant takes 24 characters, without them 20.
            let starts = [24, 20].into_iter().filter_map(|length| head.len().checked_sub(length));
            let mut times =
                starts.filter_map(|at| Some((at, head.get(at..)?.parse::<Timestamp>().ok()?)));
            match times.next() {
                Some((at, time)) => out.push_str(&format!("{}{}", &head[..at], instant(time))),
                None => out.push_str(head),
            }
            rest = tail;
        }
        out + rest
    }
}
