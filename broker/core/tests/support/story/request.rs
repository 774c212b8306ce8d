//! The requests of a story: from words to a command under a request id.

use tidegate_core::command::{Shape, Until};
use tidegate_core::{Ask, Command, MaintenanceAsk, Release};
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
            ["reserve", sources, "->", destination, rate, over, rest @ ..] => {
                let (start, until) = times(over);
                let ask = Ask {
                    project: ProjectId::default_project(),
                    sources: sources.split(',').map(|text| text.parse().unwrap()).collect(),
                    destination: destination.parse().unwrap(),
                    via: option(rest, "via").map_or(Vec::new(), draft::names),
                    shape: Shape::Rigid { rate: rate.parse().unwrap(), start, until },
                    hold_for: option(rest, "hold").map(span),
                    session: option(rest, "session").map(|name| self.session(name)),
                };
                Command::Reserve(ask.into())
            }
            ["confirm", id] => Command::Confirm(self.reservation(id)),
            ["extend", id, by] => Command::ExtendHold(self.reservation(id), span(by)),
            ["release", id, rest @ ..] => {
                let used =
                    option(rest, "used").map_or(ByteCount::ZERO, |text| text.parse().unwrap());
                let holder = option(rest, "by").map(|name| self.session(name));
                Command::Release(Release { id: self.reservation(id), holder, used })
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
                let offer = offers[number - 1].clone();
                let until = Until::At(offer.interval.end());
                let start = Some(offer.interval.start());
                let shape = Shape::Rigid { rate: offer.rate, start, until };
                let (sources, via) = (vec![offer.source], offer.via);
                Command::Reserve(Ask { sources, via, shape, ..ask }.into())
            }
            _ => self.fail(&format!("no such command: {}", words.join(" "))),
        }
    }

    fn window_id(&mut self, name: &str) -> MaintenanceId {
        self.windows.get(name).copied().unwrap_or(MaintenanceId::from_u128(u128::MAX))
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
