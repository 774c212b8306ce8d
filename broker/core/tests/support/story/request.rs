//! The requests of a story: from words to a command under a request id.

use tidegate_core::command::Relation;
use tidegate_core::lane::LaneName;
use tidegate_core::{
    Ask, Batch, Command, MaintenanceAsk, Modify, Release, Shape, Standing, Target, Terms, Until,
    Ways,
};
use tidegate_policy::{ByteCount, MaintenanceId, ProjectId, Span, Timestamp};

use super::{BEGIN_MS, World, draft};

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
            [how @ ("all" | "each"), rest @ ..] => {
                let asks = rest.split(|word| *word == ";").map(|ask| self.ask(&ask[1..]));
                let asks: Vec<Ask> = asks.collect();
                let relation = if *how == "all" { Relation::AllOf } else { Relation::Each };
                Command::ReserveAll(Batch { instance: asks.len(), asks, relation }.into())
            }
            ["confirm", id, rest @ ..] => Command::Confirm(self.target(id, rest)),
            ["extend", id, by, rest @ ..] => Command::ExtendHold(self.target(id, rest), span(by)),
            ["modify", id, rest @ ..] => {
                let modify = Modify {
                    target: self.target(id, rest),
                    holder: option(rest, "by").map(|name| self.session(name)),
                    obeyed: option(rest, "obeying").map_or(u64::MAX, |text| text.parse().unwrap()),
                    rate: option(rest, "rate").map(|text| text.parse().unwrap()),
                    start: option(rest, "start").map(time),
                    end: option(rest, "end").map(time),
                };
                Command::Modify(modify.into())
            }
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

    fn window_id(&mut self, name: &str) -> MaintenanceId {
        self.windows.get(name).copied().unwrap_or(MaintenanceId::from_u128(u128::MAX))
    }
}

impl World {
    /// Reads `A -> B RATE TIMES`, `A -> B RATE..RATE SPAN in FROM..TO` or `lanes L,L RATE TIMES`.
    pub(super) fn ask(&mut self, words: &[&str]) -> Ask {
        let (ways, rest) = match words {
            ["lanes", lanes, rest @ ..] => {
                (Ways::Lanes(lanes.split(',').map(LaneName::new).collect()), rest)
            }
            [sources, "->", destination, rest @ ..] => {
                let ways = Ways::Between {
                    sources: sources.split(',').map(|text| text.parse().unwrap()).collect(),
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
            project: ProjectId::default_project(),
            ways,
            shape,
            terms: Terms {
                shared: rest.contains(&"shared"),
                streams: option(rest, "streams").map_or(1, |text| text.parse().unwrap()),
            },
            hold_for: option(rest, "hold").map(span),
            session: option(rest, "session").map(|name| self.session(name)),
            hold_best_offer: rest.contains(&"hold-best"),
            movable: false,
            standing: Standing::default(),
        }
    }

    fn target(&mut self, id: &str, words: &[&str]) -> Target {
        let revision = option(words, "etag").map(|text| text.parse().unwrap());
        Target { id: self.reservation(id), revision }
    }
}

fn shape<'a>(words: &'a [&'a str]) -> (Shape, &'a [&'a str]) {
    match words {
        [rates, length, "in", window, rest @ ..] => {
            let (min, max) = rates.split_once("..").unwrap_or((rates, rates));
            let (start, Until::At(end)) = times(window) else { panic!("no window: {window}") };
            let (min, max) = (min.parse().unwrap(), max.parse().unwrap());
            (Shape::Flexible { min, max, span: span(length), start, end }, rest)
        }
        [rate, over, rest @ ..] => {
            let (start, until) = times(over);
            (Shape::Rigid { rate: rate.parse().unwrap(), start, until }, rest)
        }
        _ => panic!("a request says a rate and a time: {words:?}"),
    }
}

fn option<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == key)?;
    words.get(at + 1).copied()
}

/// `100m..250m`, `now..250m`, `100m+150m`, `now+150m`.
fn times(text: &str) -> (Option<Timestamp>, Until) {
    let start = |text: &str| (text != "now").then(|| time(text));
    if let Some((from, end)) = text.split_once("..") {
        return (start(from), Until::At(time(end)));
    }
    let (from, length) = text.split_once('+').unwrap();
    (start(from), Until::After(span(length)))
}

pub(super) fn span(text: &str) -> Span {
    text.parse().unwrap()
}

/// An instant of the story, such as `100m` or `-60s`, counted from its beginning.
pub(super) fn time(text: &str) -> Timestamp {
    Timestamp::from_ms(BEGIN_MS + signed_ms(text)).unwrap()
}

fn signed_ms(text: &str) -> i64 {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    // Longer than any span may be, for what lies past the horizon.
    let ms = match text.strip_suffix('m').map(str::parse::<i64>) {
        Some(Ok(minutes)) => minutes * 60_000,
        _ => i64::try_from(span(text).as_ms()).unwrap(),
    };
    sign * ms
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
