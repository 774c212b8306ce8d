//! Who stands where some jobs could be, and who stands where those could be, and so on.

use std::collections::BTreeSet;

use tidegate_policy::Interval;

use super::replan::{Ground, Job, Search};

/// Those around some jobs.
pub(super) struct Circle {
    /// When somebody inside could be on each lane.
    windows: Windows,
    /// The lanes on which that has become more since those on them were asked.
    pub(super) wider: BTreeSet<usize>,
    /// Those inside, in the order in which they were found.
    pub(super) members: Vec<usize>,
    /// The windows have those of so many of them.
    asked: usize,
    /// Who is inside, by numbers.
    inside: Vec<bool>,
}

/// A window for each lane.
struct Windows(Vec<Option<Interval>>);

impl Windows {
    fn of(&self, lane: usize) -> Option<Interval> {
        self.0.get(lane).copied().flatten()
    }

    /// Takes the windows of some jobs in, and notes the lanes on which they did not lie inside.
    fn widen<'a>(&mut self, jobs: impl Iterator<Item = &'a Job>, wider: &mut BTreeSet<usize>) {
        for job in jobs {
            for lane in &job.fan.lanes {
                let Some(window) = self.0.get_mut(*lane) else { continue };
                let hull = Some(window.map_or(job.window, |window| window.hull(job.window)));
                if *window != hull {
                    *window = hull;
                    wider.insert(*lane);
                }
            }
        }
    }
}

impl Circle {
    /// Nobody yet, around these.
    pub(super) fn around<'a>(lanes: usize, jobs: impl Iterator<Item = &'a Job>) -> Self {
        let (mut windows, mut wider) = (Windows(vec![None; lanes]), BTreeSet::new());
        windows.widen(jobs, &mut wider);
        Self { windows, wider, members: Vec::new(), asked: 0, inside: Vec::new() }
    }

    fn has(&self, number: usize) -> bool {
        self.inside.get(number) == Some(&true)
    }

    fn take_in(&mut self, number: usize) {
        if self.inside.len() <= number {
            self.inside.resize(number.saturating_add(1), false);
        }
        self.inside[number] = true;
        self.members.push(number);
    }
}

impl<G: Ground> Search<'_, G> {
    /// Takes those in that are where somebody inside could be, and so on, until it has so many.
    pub(super) fn reach(&mut self, circle: &mut Circle, most: usize) {
        while circle.members.len() < most {
            if circle.wider.is_empty() {
                let edge = circle.members[circle.asked..].iter();
                let windows = edge.map(|number| &self.jobs[*number]);
                circle.windows.widen(windows, &mut circle.wider);
                circle.asked = circle.members.len();
            }
            let Some(lane) = circle.wider.first().copied() else { return };
            if self.ask(circle, lane, most) {
                circle.wider.remove(&lane);
            }
        }
    }

    /// Takes those in that are on a lane when somebody inside could be, until the circle has so
    /// many; whether that was all of them.
    pub(super) fn ask(&mut self, circle: &mut Circle, lane: usize, most: usize) -> bool {
        let ground = self.ground;
        let Some(window) = circle.windows.of(lane) else { return true };
        for (seat, over) in ground.on(lane, window) {
            let Some(number) = self.number(seat).filter(|number| !circle.has(*number)) else {
                continue;
            };
            // Where it begins or ends inside, it is there then.
            let is_there =
                over.is_some_and(|it| window.start() <= it.start() || it.end() <= window.end());
            if is_there || self.jobs[number].meets(lane, window) {
                if most <= circle.members.len() {
                    return false;
                }
                circle.take_in(number);
            }
        }
        true
    }
}
