//! What a story's commands answer, in words.

use tidegate_core::event::Change;
use tidegate_core::lane::{Lane, LaneName, Terms};
use tidegate_core::machine::LaneChange;
use tidegate_core::topology::{How, Steer};
use tidegate_core::{Answer, Event, Losses, Maintenance, Phase, Reservation, Route, State};
use tidegate_policy::{BitRate, Interval, Name, Timestamp};

use super::draft::names;
use super::plan::{refused, ways};
use super::{BEGIN_MS, World, shape};

/// An instant as the time since the story began: `100m`, `1m31s`, `7d10m`, `-60s`.
pub(super) fn instant(time: Timestamp) -> String {
    let ms = time.as_ms() - BEGIN_MS;
    let sign = if ms < 0 { "-" } else { "" };
    let (days, ms) = (ms.abs() / 86_400_000, ms.abs() % 86_400_000);
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    let days = if days == 0 { String::new() } else { format!("{days}d") };
    let seconds = match (ms / 1000, ms % 1000) {
        (seconds, 0) => format!("{seconds}s"),
        (seconds, rest) => format!("{seconds}.{rest:03}s"),
    };
    let rest = match (minutes, ms) {
        (0, 0) if !days.is_empty() => String::new(),
        (_, 0) => format!("{minutes}m"),
        (0, _) => seconds,
        _ => format!("{minutes}m{seconds}"),
    };
    format!("{sign}{days}{rest}")
}

pub(super) fn over(interval: Interval) -> String {
    format!("{}..{}", instant(interval.start()), instant(interval.end()))
}

/// An instant, or the time between two.
fn interval(text: &str) -> Interval {
    match text.split_once("..") {
        Some((from, to)) => Interval::new(shape::time(from), shape::time(to)).unwrap(),
        None => {
            let start = shape::time(text);
            Interval::new(start, Timestamp::from_ms(start.as_ms() + 1).unwrap()).unwrap()
        }
    }
}

pub(super) fn rate(bps: u64) -> String {
    BitRate::from_bps(bps).map_or_else(|| format!("{bps}bit/s"), |rate| rate.to_string())
}

pub(super) fn passing(via: &[Name]) -> String {
    let names: Vec<&str> = via.iter().map(Name::as_str).collect();
    if names.is_empty() { String::new() } else { format!(" via {}", names.join(",")) }
}

impl World {
    pub(super) fn answer(&self, answer: &Answer) -> String {
        match answer {
            Answer::Reservation(found) => self.full(found),
            Answer::Refusal(refusal) => {
                let held = refusal.held.as_deref();
                let held = held.map_or_else(String::new, |held| self.full(held));
                format!("{}{held}", refused(refusal))
            }
            Answer::Batch(answers) => answers.iter().map(|answer| self.answer(answer)).collect(),
            Answer::Session(found) => self.session_line(found.id),
            Answer::Topology { version, changes, losses } => {
                let lines: String = changes.iter().map(change_line).collect();
                format!("topology {version}\n{lines}{}", self.lost(losses))
            }
            Answer::Maintenance { maintenance, losses } => {
                format!("{}{}", self.window(maintenance), self.lost(losses))
            }
            Answer::Drained(drained) => {
                let lanes =
                    drained.lanes.iter().map(|lane| format!("  {lane} takes nothing new\n"));
                let named = drained.reservations.iter().map(|id| self.called(&id.to_string()));
                let named: Vec<String> = named.collect();
                let still = drained.empty.map_or(String::new(), |empty| {
                    format!("  still on it until {}: {}\n", instant(empty), named.join(", "))
                });
                format!("drained\n{}{still}", lanes.collect::<String>())
            }
            Answer::Policy { .. } => self.policy_answer(answer),
            Answer::Undrained(lanes) => {
                let lanes = lanes.iter().map(|lane| format!("  {lane} takes bookings again\n"));
                format!("undrained\n{}", lanes.collect::<String>())
            }
        }
    }

    pub(super) fn window(&self, found: &Maintenance) -> String {
        let name = self.called(&found.id.to_string());
        let ended = found.ended.map_or(String::new(), |at| format!(", ended at {}", instant(at)));
        let (left, when) = (found.left_ppm, over(found.over));
        format!("{name}: {} {when} leaves {left} ppm{ended}\n", found.resource)
    }

    fn lost(&self, losses: &Losses) -> String {
        let lines = losses.victims.iter().map(|victim| {
            let name = self.called(&victim.reservation.to_string());
            let (lost, end) = (instant(victim.lost), instant(victim.end));
            let told = if victim.session.is_some() { ", its holder is told" } else { "" };
            format!("  loses {name} at {lost} instead of {end}: {}{told}\n", victim.lane)
        });
        let moves = losses.moves.iter().map(|moved| {
            let name = self.called(&moved.reservation.to_string());
            let (from, end, old) =
                (instant(moved.from), instant(moved.end), instant(moved.old_end));
            format!("  moves {name} from {from} on, until {end} instead of {old}\n")
        });
        lines.chain(moves).collect()
    }

    /// A reservation and, while it books any, its lanes from now on.
    pub(super) fn full(&self, found: &Reservation) -> String {
        let mut out = self.line(found);
        out.push_str(&self.planned(found));
        if let Some(over) = found.booked_over().and_then(|over| over.from(self.now)) {
            for booked in &found.plan.within(over).booked() {
                out.push_str(&format!("  {} {}\n", booked.lane, rate(booked.amount)));
            }
        }
        out + &self.kept(&found.kept)
    }

    pub(super) fn line(&self, found: &Reservation) -> String {
        let name = self.called(&found.id.to_string());
        let phase = match found.phase(self.now) {
            Phase::Scheduled => ", scheduled",
            Phase::Active => ", active",
            Phase::Ended => "",
        };
        let state = match found.state {
            State::Held { until } => format!("held until {}{phase}", instant(until)),
            State::Confirmed => format!("confirmed{phase}"),
            State::Closed { why, at, free_from, used } => {
                let kept = if found.booked_over().is_some() {
                    format!(", lanes booked until {}", instant(free_from))
                } else {
                    String::new()
                };
                let moved =
                    if used.bytes() == 0 { String::new() } else { format!(", {used} moved") };
                format!("closed at {} ({why}){kept}{moved}", instant(at))
            }
        };
        let ways = ways(&found.plan);
        let curtailed = if found.curtailed { " (curtailed)" } else { "" };
        let despite = found.despite.map_or(String::new(), |why| format!(", despite {why}"));
        let (rate, over) = (found.rate(), over(found.interval));
        format!("{name}: {ways} {rate} {over}{curtailed} {state}{despite}\n")
    }

    /// What time brought about, or a part of a larger decision.
    pub(super) fn event_line(&self, event: &Event) -> String {
        let at = instant(event.at);
        let named = |id: String| self.called(&id);
        match &event.change {
            Change::Closed { id, why, .. } => {
                format!("{at} {} {why}\n{}", named(id.to_string()), self.instead(event))
            }
            Change::Moved(moved) => self.moves(event, moved),
            Change::Settled { id } => format!("{at} {} settled\n", named(id.to_string())),
            Change::Metered { used } => {
                let used = used
                    .iter()
                    .map(|(id, bytes)| format!("{at} {} metered {bytes}\n", named(id.to_string())));
                used.collect()
            }
            Change::Reserved(reserved) => {
                format!("{at} {} reserved\n", named(reserved.id.to_string()))
            }
            Change::Curtailed { id, end, .. } => {
                format!("{at} {} now ends at {}\n", named(id.to_string()), instant(*end))
            }
            Change::MaintenanceEnded { id } => format!("{at} {} is over\n", named(id.to_string())),
            Change::SessionEnded { id, lost } => {
                let how = if *lost { "lost" } else { "closed" };
                format!("{at} session {} {how}\n", named(id.to_string()))
            }
            Change::Forgotten { reservations, sessions, requests, maintenances } => {
                let mut names: Vec<String> =
                    reservations.iter().map(|id| named(id.to_string())).collect();
                names
                    .extend(sessions.iter().map(|id| format!("session {}", named(id.to_string()))));
                names.extend(maintenances.iter().map(|id| named(id.to_string())));
                if !requests.is_empty() {
                    names.push(format!("answers to {} requests", requests.len()));
                }
                format!("{at} forgotten: {}\n", names.join(", "))
            }
            other => self.fail(&format!("time alone does not bring about {other:?}")),
        }
    }

    /// Of a lane: what is free at an instant, or the least over an interval.
    pub(super) fn free(&self, lane: &str, text: &str) -> String {
        match self.lane(lane) {
            Some(found) => format!("{}\n", rate(found.free(interval(text)))),
            None => format!("there is no lane {lane}\n"),
        }
    }

    /// What is free of a lane, step by step.
    pub(super) fn lane_steps(&self, lane: &str, text: &str) -> String {
        let Some(found) = self.lane(lane) else { return format!("there is no lane {lane}\n") };
        let steps = found.steps(interval(text));
        steps.map(|(from, free)| format!("  from {} {}\n", instant(from), rate(free))).collect()
    }

    /// Every path that a request could take.
    pub(super) fn paths(&self, (source, destination): (&str, &str), rest: &[&str]) -> String {
        let via = match rest {
            ["via", hosts] => names(hosts),
            _ => Vec::new(),
        };
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let paths = self.machine.topology().paths(&source, &via, &destination).unwrap();
        let mut out = String::new();
        for path in paths {
            let number = path.path.map_or_else(|| "only".into(), |path| path.to_string());
            out.push_str(&format!("{number}{}\n", passing(&path.via)));
            for Steer { from, to, how } in &path.steers {
                let how = match how {
                    How::Mark(mark) => format!("by {mark}"),
                    How::Controller(name) => format!("by controller {name}"),
                };
                out.push_str(&format!("  from {from} to {to} {how}\n"));
            }
            for need in &path.needs {
                let terms = [
                    Terms::default(),
                    Terms { shared: true, ..Terms::default() },
                    Terms { streams: 16, ..Terms::default() },
                ];
                let gigabit = BitRate::from_bps(1_000_000_000).unwrap();
                let [firm, shared, spread] = terms.map(|terms| rate(need.amount(gigabit, terms)));
                let mut line = format!("  {} {firm} for 1Gbit/s", need.lane);
                if shared != firm {
                    line.push_str(&format!(", {shared} shared"));
                }
                if spread != firm {
                    line.push_str(&format!(", {spread} over 16 streams"));
                }
                out.push_str(&format!("{line}\n"));
            }
        }
        out
    }

    pub(super) fn lane(&self, lane: &str) -> Option<&Lane> {
        let mut lanes = self.machine.lanes(None);
        lanes.find(|(name, _)| name.as_str() == lane).map(|(_, found)| found)
    }

    /// What happened so far, if anything did.
    pub(super) fn counts(&self) -> String {
        let counts = self.machine.counts();
        let counted = [
            ("moved", counts.moved),
            ("no shows", counts.no_shows),
            ("false no shows", counts.false_no_shows),
            ("preempted", counts.preempted),
        ];
        let counted = counted.into_iter().filter(|(_, count)| *count != 0);
        counted.map(|(what, count)| format!("{what}: {count}\n")).collect()
    }

    /// What the sessions' reports say is moving.
    pub(super) fn moving(&self) -> String {
        let rates = self.machine.used_rates();
        rates.iter().map(|(lane, bps)| format!("{lane} {}\n", rate(*bps))).collect()
    }
}

pub(super) fn way(route: &Route) -> String {
    match route {
        Route::Between { source, destination, via, path, .. } => {
            let path = path.map_or_else(String::new, |path| format!(" path {path}"));
            format!("{source} -> {destination}{}{path}", passing(via))
        }
        Route::Lanes(lanes) => {
            let names: Vec<&str> = lanes.iter().map(LaneName::as_str).collect();
            format!("lanes {}", names.join(","))
        }
    }
}

fn change_line(change: &LaneChange) -> String {
    let lane = &change.lane;
    match (change.before, change.after) {
        (None, Some(after)) => format!("  + {lane} {}\n", rate(after)),
        (Some(before), None) => format!("  - {lane} {}\n", rate(before)),
        (before, after) if before == after => format!("  {lane} is used in another way\n"),
        (before, after) => {
            let shown = |bps: Option<u64>| bps.map_or_else(|| "nothing".into(), rate);
            format!("  {lane} {} -> {}\n", shown(before), shown(after))
        }
    }
}
