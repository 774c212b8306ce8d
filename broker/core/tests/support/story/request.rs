//! The requests of a story: from words to a command under a request id.

use tidegate_core::command::Relation;
use tidegate_core::lane::LaneName;
use tidegate_core::{
    Ask, Batch, Command, MaintenanceAsk, Modify, Owner, Release, Standing, Target, Terms, Until,
    Ways,
};
use tidegate_policy::{ByteCount, ClassId, Endpoint, ProjectId, Timestamp};

use super::shape::{option, shape, signed_ms, span, time, times, weeks_later};
use super::{World, draft, projects};

impl World {
    /// Asks something of the machine.
    pub(super) fn request(&mut self, words: &[&str]) -> String {
        match words {
            ["again"] => {
                let last = self.last.clone().unwrap();
                self.resubmit(&last)
            }
            ["again", rest @ ..] => {
                let id = self.last.as_ref().map(|last| last.mark.id);
                let command = self.command(rest);
                self.submit(command, id)
            }
            ["made", offset, rest @ ..] => {
                let made = Timestamp::from_ms(self.now.as_ms() + signed_ms(offset)).unwrap();
                let id = self.request_id(made);
                let command = self.command(rest);
                self.submit(command, Some(id))
            }
            _ => {
                let command = self.command(words);
                self.submit(command, None)
            }
        }
    }

    fn command(&mut self, words: &[&str]) -> Command {
        match words {
            ["reserve", rest @ ..] => Command::Reserve(self.ask(rest).into()),
            ["each" | "all-of" | "any-of" | "in-order", ..] => {
                Command::ReserveAll(self.batch(words).into())
            }
            ["confirm", id, rest @ ..] => Command::Confirm(self.target(id, rest)),
            ["extend", id, by, rest @ ..] => Command::ExtendHold(self.target(id, rest), span(by)),
            ["modify", id, rest @ ..] => Command::Modify(self.changed(id, rest).into()),
            ["release", id, rest @ ..] => {
                let used =
                    option(rest, "used").map_or(ByteCount::ZERO, |text| text.parse().unwrap());
                let holder = option(rest, "by").map(|name| self.session(name));
                Command::Release(Release { target: self.target(id, rest), holder, used })
            }
            ["drain", resource] => Command::Drain(resource.parse().unwrap()),
            ["undrain", resource] => Command::Undrain(resource.parse().unwrap()),
            ["maintain", resource, over, left_ppm, rest @ ..] => {
                let (start, until) = times(over);
                let Until::At(end) = until else { self.fail("write FROM..TO") };
                let ask = MaintenanceAsk {
                    resource: resource.parse().unwrap(),
                    start,
                    end,
                    left_ppm: left_ppm.parse().unwrap(),
                    comment: "planned".into(),
                    accept_losses: rest == ["accepting", "losses"],
                };
                Command::CreateMaintenance(ask.into())
            }
            ["policy", rest @ ..] => self.policy(rest),
            ["cancel", window] => Command::DeleteMaintenance(self.window_id(window)),
            ["open", agent] => Command::OpenSession(draft::name(agent)),
            ["close", session] => Command::CloseSession(self.session(session)),
            ["take", number] => {
                let (ask, offers) = self.offers.clone().unwrap();
                let number: usize = number.parse().unwrap();
                Command::Reserve(offers[number - 1].ask(&ask).into())
            }
            _ => self.fail(&format!("no such command: {}", words.join(" "))),
        }
    }
}

impl World {
    /// Reads `RELATION [gapless] [weeks N]` and requests with ` ; ` in between.
    fn batch(&mut self, words: &[&str]) -> Batch {
        let first = words.iter().position(|word| *word == "reserve").unwrap();
        let (how, asks) = words.split_at(first);
        let gapless = how.contains(&"gapless");
        let relation = match how[0] {
            "each" => Relation::Each,
            "all-of" => Relation::AllOf,
            "any-of" => Relation::AnyOf,
            _ => Relation::InOrder { gapless },
        };
        let asks: Vec<Ask> =
            asks.split(|word| *word == ";").map(|ask| self.ask(&ask[1..])).collect();
        let instance = asks.len();
        let weeks = option(how, "weeks").map_or(1, |weeks| weeks.parse().unwrap());
        let week = |week| {
            let later = |ask: &Ask| Ask { shape: weeks_later(ask.shape, week), ..ask.clone() };
            asks.iter().map(later).collect::<Vec<Ask>>()
        };
        Batch { instance, asks: (0..weeks).flat_map(week).collect(), relation }
    }

    /// Reads what a change asks for; of a transfer, its highest rate and its deadline.
    fn changed(&mut self, id: &str, words: &[&str]) -> Modify {
        let either = |one, other| option(words, one).or_else(|| option(words, other));
        Modify {
            target: self.target(id, words),
            holder: option(words, "by").map(|name| self.session(name)),
            obeyed: option(words, "obeying").map_or(u64::MAX, |text| text.parse().unwrap()),
            rate: either("rate", "max-rate").map(|text| text.parse().unwrap()),
            start: option(words, "start").map(time),
            end: either("end", "deadline").map(time),
            volume: option(words, "volume").map(|text| text.parse().unwrap()),
        }
    }

    /// Reads `A,A -> B` or `lanes L,L`, a shape, and options.
    pub(super) fn ask(&mut self, words: &[&str]) -> Ask {
        let (ways, rest) = match words {
            ["lanes", lanes, rest @ ..] => {
                (Ways::Lanes(lanes.split(',').map(LaneName::new).collect()), rest)
            }
            [sources, "->", destination, rest @ ..] => {
                let ways = Ways::Between {
                    sources: sources.split(',').flat_map(named).collect(),
                    destination: destination.parse().unwrap(),
                    via: option(rest, "via").map_or(Vec::new(), draft::names),
                    path: option(rest, "path").map(|text| text.parse().unwrap()),
                };
                (ways, rest)
            }
            _ => self.fail(&format!("no such request: {}", words.join(" "))),
        };
        let (shape, rest) = shape(rest);
        Ask {
            owner: owner(rest),
            ways,
            shape,
            terms: Terms {
                shared: rest.contains(&"shared"),
                streams: option(rest, "streams").map_or(1, |text| text.parse().unwrap()),
            },
            hold_for: option(rest, "hold").map(span),
            session: option(rest, "session").map(|name| self.session(name)),
            hold_best_offer: rest.contains(&"hold-best"),
            movable: rest.contains(&"movable"),
            standing: Standing {
                priority: option(rest, "priority").map_or(0, |text| text.parse().unwrap()),
                preemptible: rest.contains(&"preemptible"),
                ..Standing::default()
            },
        }
    }

    fn target(&mut self, id: &str, words: &[&str]) -> Target {
        let revision = option(words, "etag").map(|text| text.parse().unwrap());
        Target { id: self.reservation(id), project: None, revision }
    }
}

/// Whose it is: `for PROJECT as PRINCIPAL class CLASS label KEY=VALUE`, each of them or none.
fn owner(words: &[&str]) -> Owner {
    let project = option(words, "for").map_or_else(ProjectId::default_project, projects::id);
    let labels = option(words, "label").and_then(|text| text.split_once('='));
    Owner {
        principal: option(words, "as").map(|text| text.parse().unwrap()),
        class: option(words, "class").map(|text| ClassId(draft::name(text))),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect(),
        ..project.into()
    }
}

/// One source, or `SOURCE*N`: the same so many times.
fn named(text: &str) -> Vec<Endpoint> {
    let (source, times) = text.split_once('*').unwrap_or((text, "1"));
    vec![source.parse().unwrap(); times.parse().unwrap()]
}

/// Tells bodies apart, as a digest would.
pub(super) fn fingerprint(command: &Command) -> [u8; 32] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in format!("{command:?}").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    let mut print = [0; 32];
    print[..8].copy_from_slice(&hash.to_be_bytes());
    print
}
