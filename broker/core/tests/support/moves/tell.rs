//! The last steps in words, for whoever reads a failure.

use std::collections::VecDeque;

use tidegate_core::{Answer, Ask, Change, Command, Event, Fault, Plan, Reservation, Shape, State};
use tidegate_policy::{Interval, Timestamp};

/// So many steps are told.
const STEPS: usize = 40;

pub(super) struct Story {
    lines: VecDeque<String>,
    begin: i64,
}

impl Story {
    pub(super) fn new(begin: i64) -> Self {
        Self { lines: VecDeque::new(), begin }
    }

    pub(super) fn line(&mut self, now: i64, text: &str) {
        if STEPS <= self.lines.len() {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{} {text}", self.instant(now)));
    }

    pub(super) fn told(&self) -> String {
        self.lines.iter().map(|line| format!("  {line}\n")).collect()
    }

    fn instant(&self, ms: i64) -> String {
        let ms = ms - self.begin;
        if ms % 1000 == 0 {
            format!("{}s", ms / 1000)
        } else {
            format!("{}.{:03}s", ms / 1000, ms % 1000)
        }
    }

    fn at(&self, time: Timestamp) -> String {
        self.instant(time.as_ms())
    }

    fn over(&self, over: Interval) -> String {
        format!("{}..{}", self.at(over.start()), self.at(over.end()))
    }

    pub(super) fn plan(&self, plan: &Plan) -> String {
        let parts = plan.segments.iter().map(|it| {
            let way = &plan.ways[it.way];
            let lanes: Vec<&str> = way.lanes.iter().map(|lane| lane.as_str()).collect();
            let amounts: Vec<String> = it.amounts.iter().map(u64::to_string).collect();
            let rate = it.rate.bps();
            format!(
                "[{} {rate} on {} ({})]",
                self.over(it.over),
                lanes.join(" "),
                amounts.join(" ")
            )
        });
        parts.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn reservation(&self, found: &Reservation) -> String {
        let kept: Vec<String> = found
            .kept
            .iter()
            .map(|it| format!("{} {} {}", it.lane, self.over(it.over), it.amount))
            .collect();
        let state = match found.state {
            State::Held { until } => format!("held until {}", self.at(until)),
            State::Confirmed => "confirmed".into(),
            State::Closed { why, at, free_from, used } => {
                format!("closed {} ({why}) free {} {used}", self.at(at), self.at(free_from))
            }
        };
        format!(
            "r{} {state} v{} s{:?} {:?} promise {:?} plan {} kept {kept:?}",
            found.id.as_u128(),
            found.plan_version,
            found.session.map(|session| session.as_u128()),
            found.standing,
            found.promise.as_ref().map(|promise| (promise.what, promise.movable)),
            self.plan(&found.plan),
        )
    }

    fn ask(&self, ask: &Ask) -> String {
        let shape = match ask.shape {
            Shape::Rigid { rate, start, until } => {
                let start = start.map_or("now".into(), |start| self.at(start));
                let until = match until {
                    tidegate_core::Until::At(end) => self.at(end),
                    tidegate_core::Until::After(span) => format!("+{span}"),
                };
                format!("rigid {} {start}..{until}", rate.bps())
            }
            Shape::Flexible { min, max, span, start, end } => {
                let start = start.map_or("now".into(), |start| self.at(start));
                format!("flexible {}..{} {span} in {start}..{}", min.bps(), max.bps(), self.at(end))
            }
            Shape::Transfer { volume, min, max, start, deadline, split } => {
                let start = start.map_or("now".into(), |start| self.at(start));
                let (min, max, deadline) = (min.bps(), max.bps(), self.at(deadline));
                format!(
                    "transfer {} B at {min}..{max} in {start}..{deadline} split {split}",
                    volume.bytes()
                )
            }
            Shape::Offered { rate, over } => format!("offered {} {}", rate.bps(), self.over(over)),
        };
        let session = ask.session.map(|session| session.as_u128());
        let (hold, standing) = (ask.hold_for, ask.standing);
        format!(
            "{shape} {:?} session {session:?} movable {} hold {hold:?} {standing:?}",
            ask.ways, ask.movable
        )
    }

    pub(super) fn command(&self, command: &Command) -> String {
        match command {
            Command::Reserve(ask) => format!("reserve {}", self.ask(ask)),
            Command::ReserveAll(batch) => {
                let asks: Vec<String> = batch.asks.iter().map(|ask| self.ask(ask)).collect();
                format!("{:?} by {} {}", batch.relation, batch.instance, asks.join("\n      "))
            }
            Command::ApplyTopology { accept_losses, .. } => {
                format!("topology, losses {accept_losses}")
            }
            other => format!("{other:?}"),
        }
    }

    pub(super) fn event(&self, event: &Event) -> String {
        let at = self.at(event.at);
        match &event.change {
            Change::Reserved(made) => {
                format!("{at} r{} reserved {}", made.id.as_u128(), self.plan(&made.plan))
            }
            Change::Moved(moved) => format!(
                "{at} r{} moved ({:?}) from {}: {} kept {} short {}",
                moved.id.as_u128(),
                moved.why,
                self.at(moved.from),
                self.plan(&moved.plan),
                moved.kept.len(),
                moved.short
            ),
            Change::Closed { id, why, free_from, used } => {
                format!("{at} r{} {why}, free {} used {used}", id.as_u128(), self.at(*free_from))
            }
            Change::Curtailed { id, end, free_from } => {
                let (end, free) = (self.at(*end), self.at(*free_from));
                format!("{at} r{} now ends {end}, free {free}", id.as_u128())
            }
            Change::TopologyApplied { version, .. } => format!("{at} topology {version}"),
            other => format!("{at} {other:?}"),
        }
    }

    pub(super) fn answer(&self, answer: &Result<Answer, Fault>) -> String {
        match answer {
            Ok(Answer::Reservation(found)) => format!("r{}", found.id.as_u128()),
            Ok(Answer::Refusal(refusal)) => format!("refused: {}", refusal.reason),
            Ok(Answer::Batch(all)) => {
                let all = all.iter().map(|answer| self.answer(&Ok(answer.clone())));
                format!("[{}]", all.collect::<Vec<_>>().join(", "))
            }
            Ok(_) => "done".into(),
            Err(fault) => format!("fault: {fault}"),
        }
    }
}
