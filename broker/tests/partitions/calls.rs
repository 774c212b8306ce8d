//! The calls of agents: asked with a deadline, tried again with the same request, given up.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_client::clock::BootTime;
use tidegate_client::law::{Lease, Timing, Unanswered};
use tidegate_client::refusal::RefusalReason;
use tidegate_client::{ClientError, Outcome, Refusal};
use tidegate_core::Command;
use tidegate_proto::v1;

use crate::agent::{About, Call, Session, Told};
use crate::world::{Coming, PATIENCE, World};

/// How often a call is sent.
const TRIES: u64 = 3;

impl World<'_> {
    /// Asks, and waits for an answer.
    pub(crate) fn ask(&mut self, agent: usize, command: Command, about: About) {
        let request = self.broker.request(self.time, command);
        let sent = self.agents[agent].clock(self.time);
        self.serial += 1;
        let call = self.serial;
        self.agents[agent].calls.insert(call, Call { request, sent, tries: 0, about });
        self.send(agent, call);
    }

    fn send(&mut self, agent: usize, call: u64) {
        let Some(body) = self.agents[agent].calls.get_mut(&call) else { return };
        body.tries += 1;
        let (tries, body, sent) = (body.tries, Box::new(body.clone()), self.time);
        if let Some(arrival) = self.arrival(agent, true, None) {
            self.later(arrival, Coming::Call { agent, call, sent, body });
        }
        self.later(sent + PATIENCE, Coming::Impatient { agent, call, tries });
    }

    pub(crate) fn impatient(&mut self, agent: usize, call: u64, tries: u64) {
        let waiting = self.agents[agent].calls.get(&call).is_some_and(|it| it.tries == tries);
        if !waiting {
            return;
        }
        if tries < TRIES {
            self.tally.count("requests tried again");
            return self.send(agent, call);
        }
        let Some(Call { about, .. }) = self.agents[agent].calls.remove(&call) else { return };
        self.tell(|| format!("agent {agent}: no answer"));
        if let About::Change(id) = about {
            let error = ClientError::Deadline { after: Duration::from_secs(5) };
            self.agents[agent].changed(id, &Err(error));
            self.review(agent, id);
        }
    }

    pub(crate) fn told(&mut self, agent: usize, (call, tries): (u64, u64), told: Told) {
        let calls = &mut self.agents[agent].calls;
        // It waits for the answer to its last try alone.
        let waiting = calls.get(&call).is_some_and(|it| it.tries == tries);
        let answered = if waiting { calls.remove(&call) } else { None };
        let Some(Call { about, sent, .. }) = answered else {
            self.tally.count("answers that nobody waited for");
            return;
        };
        match (about, told) {
            (About::Session, Told::Session(told)) => self.opened(agent, &told, sent),
            (About::Reserve { window, policy, lanes }, Told::Reservation(told)) => {
                let told = self.agents[agent].read(*told, sent, self.time);
                self.tally.count("grants");
                if let Some(id) = self.agents[agent].bind(told, (window, policy, lanes)) {
                    self.review(agent, id);
                }
            }
            (About::Reserve { .. }, _) => self.tally.count("refusals"),
            (About::Confirm(id), Told::Reservation(told)) => {
                let told = self.agents[agent].read(*told, sent, self.time);
                self.tally.count("holds confirmed");
                if let Some(grant) = self.agents[agent].grants.get_mut(&id) {
                    grant.held.take(told);
                    self.review(agent, id);
                }
            }
            (About::Change(id), told) => {
                let answer = match told {
                    Told::Reservation(told) => {
                        self.tally.count("changes by holders");
                        Ok(Outcome::Granted(self.agents[agent].read(*told, sent, self.time)))
                    }
                    Told::Fault(why) => Err(ClientError::FailedPrecondition { why }),
                    _ => Ok(Outcome::Refused(refused())),
                };
                self.agents[agent].changed(id, &answer);
                self.review(agent, id);
            }
            _ => {}
        }
    }

    fn opened(&mut self, agent: usize, told: &v1::Session, sent: BootTime) {
        if self.agents[agent].session.is_some() {
            return;
        }
        let id = told.name.rsplit('/').next().unwrap().parse().unwrap();
        let received = self.agents[agent].clock(self.time);
        let lease = Lease::from_wire(told, Timing { sent, received }).unwrap();
        let beat_ms = i64::try_from(self.broker.session.beat_every.as_ms()).unwrap();
        let (unanswered, farewells) = (Unanswered::default(), BTreeMap::new());
        let session = Session { id, lease, beat_ms, stream: None, unanswered, farewells };
        self.agents[agent].session = Some(session);
        self.tell(|| format!("agent {agent}: has a session"));
        self.connect(agent);
    }
}

fn refused() -> Refusal {
    let reason = RefusalReason::NoHeadroom;
    let (blockers, rules, quotas, offers) = Default::default();
    Refusal { reason, blockers, rules, quotas, offers, held: None }
}
