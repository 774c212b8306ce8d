//! Looking without deciding: explanations and windows, in words.

use tidegate_core::command::Shape;
use tidegate_core::machine::{LaneCheck, Query, WayCheck};

use super::World;
use super::print::{instant, over, rate, way};

impl World {
    /// What a request would be answered, and how each lane stands to it.
    pub(super) fn explain(&mut self, words: &[&str]) -> String {
        let ask = self.ask(&words[1..]);
        let explained = match self.machine.explain(self.now, &ask) {
            Ok(explained) => explained,
            Err(fault) => return format!("fault: {}\n", self.tame(&fault.to_string())),
        };
        let ways: String = explained.ways.iter().map(|way| self.explained(way)).collect();
        format!("{}{ways}", self.answer(&explained.answer))
    }

    fn explained(&self, check: &WayCheck) -> String {
        let earliest = check.earliest.map_or_else(|| "never".into(), instant);
        let fits = if check.fits { "fits" } else { "does not fit" };
        let (route, highest) = (way(&check.route), check.highest);
        let lanes: String = check.lanes.iter().map(|lane| self.explained_lane(lane)).collect();
        format!("way {route} {fits}, carries {highest}, earliest {earliest}\n{lanes}")
    }

    fn explained_lane(&self, lane: &LaneCheck) -> String {
        let holders = lane.holders.iter().map(|holder| {
            let name = self.called(&holder.id.to_string());
            format!(", {name} has {} until {}", rate(holder.amount), instant(holder.end))
        });
        let holders: String = holders.collect();
        format!(
            "  {} {} needed, {} free and {} booked of {} at {}{holders}\n",
            lane.lane,
            rate(lane.needed),
            rate(lane.free),
            rate(lane.booked),
            rate(lane.limit),
            instant(lane.tightest),
        )
    }

    /// When a flexible request would fit, and what is free when.
    pub(super) fn when(&mut self, words: &[&str]) -> String {
        let ask = self.ask(words);
        let Shape::Flexible { min, span, start, end, .. } = ask.shape else {
            panic!("write RATE SPAN in FROM..TO");
        };
        let (owner, ways, terms) = (ask.owner, ask.ways, ask.terms);
        let query = Query { owner, ways, terms, min, span, start, end, steps_max: 100 };
        let windows = match self.machine.windows(self.now, &query) {
            Ok(windows) => windows,
            Err(fault) => return format!("fault: {}\n", self.tame(&fault.to_string())),
        };
        let mut out = String::new();
        for window in &windows.windows {
            let (route, when) = (way(&window.route), over(window.over));
            out.push_str(&format!("{route} {} {when}\n", window.rate));
        }
        for free in &windows.availability {
            let steps: Vec<String> = free
                .steps
                .iter()
                .map(|(from, rate)| format!("{}={rate}", instant(*from)))
                .collect();
            let (route, until) = (way(&free.route), instant(free.until));
            out.push_str(&format!("free on {route}: {} until {until}\n", steps.join(" ")));
        }
        out
    }
}
