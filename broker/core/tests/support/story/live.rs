//! Live rates in a story: beats that say which one is obeyed, and what they hear.

use tidegate_core::{Note, Obeyed};
use tidegate_policy::{BitRate, Interval, Timestamp};

use super::World;
use super::print::instant;

impl World {
    /// A beat of a session that names one reservation.
    pub(super) fn live(&mut self, session: &str, id: &str, deaf: bool) -> String {
        let (session, id) = (self.session(session), self.reservation(id));
        self.machine.note(&Note::Heard { session, at: self.now });
        let first = Obeyed { version: 1, rate: BitRate::ZERO };
        let obeyed = self.obeyed.get(&id).copied().unwrap_or(first);
        self.machine.live_heard(self.now, session, (id, obeyed));
        let news = self.machine.reshare(self.now);
        let told = self.machine.live_tell(self.now, session, id);
        let mut out = match told {
            Some(told) => format!("{} at version {}\n", told.rate, told.version),
            None => "only its floor\n".into(),
        };
        if let Some(told) = told.filter(|_| !deaf) {
            self.obeyed.insert(id, Obeyed { version: told.version, rate: told.rate });
        }
        let news: Vec<_> = news.into_iter().filter(|other| *other != session).collect();
        out.push_str(&self.poked(&news));
        out
    }

    /// Who is to be told another rate since something happened.
    pub(super) fn news(&mut self) -> String {
        let news = self.machine.reshare(self.now);
        self.poked(&news)
    }

    fn poked(&self, sessions: &[tidegate_policy::SessionId]) -> String {
        let names = sessions.iter().filter_map(|id| self.machine.session(*id));
        names.map(|session| format!("news for {}\n", session.agent)).collect()
    }

    /// What is afloat on a lane, step by step.
    pub(super) fn afloat(&self, name: &str) -> String {
        let Some(lane) = self.lane(name) else { return "there is no such lane\n".into() };
        let ahead = Interval::new(self.now, Timestamp::MAX).unwrap();
        let steps = lane.afloat().steps_over(ahead);
        let line = |(from, level)| {
            format!("{} from {}\n", BitRate::from_bps(level).unwrap(), instant(from))
        };
        steps.map(line).collect()
    }
}
