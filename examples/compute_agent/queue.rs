//! What is wanted, in the order in which it is due; and who shares a transfer with whom.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tidegate_client::Digest;
use tidegate_policy::{Endpoint, Timestamp};
use tokio::sync::broadcast;

use crate::protocol::{Event, as_text, maybe_text, text};

/// The most fetches that wait or run.
pub(crate) const JOBS_MAX: usize = 1000;

/// So many that are over are remembered, for those who ask what became of them.
const OVER_MAX: usize = 1000;

/// Events that a follower may be behind.
const BEHIND_MAX: usize = 256;

/// A fetch that was accepted, as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) number: u64,
    pub(crate) url: String,
    pub(crate) or: Vec<String>,
    pub(crate) to: PathBuf,
    #[serde(serialize_with = "as_text", deserialize_with = "text")]
    pub(crate) by: Timestamp,
    #[serde(serialize_with = "as_maybe_text", deserialize_with = "maybe_text")]
    pub(crate) digest: Option<Digest>,
    pub(crate) from: Vec<String>,
    pub(crate) priority: u8,
}

impl Job {
    /// The sources; what was read from a file was checked when it was written.
    pub(crate) fn sources(&self) -> Vec<Endpoint> {
        self.from.iter().filter_map(|it| it.parse().ok()).collect()
    }
}

/// Where a fetch stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Waiting,
    Running,
    /// Its content comes with the transfer of this one.
    Shares(u64),
    Over(Event),
}

#[derive(Debug)]
struct Known {
    job: Job,
    state: State,
    events: broadcast::Sender<Event>,
}

/// Everything that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    jobs: BTreeMap<u64, Known>,
    last: u64,
}

impl Queue {
    /// The number of the next one; `None` if there are too many.
    pub(crate) fn next_number(&self) -> Option<u64> {
        let live = self.jobs.values().filter(|it| !matches!(it.state, State::Over(_))).count();
        (live < JOBS_MAX).then(|| self.last.saturating_add(1))
    }

    /// Takes one in. How many are due before it, and whose transfer it shares.
    pub(crate) fn add(&mut self, job: Job) -> (usize, Option<u64>) {
        self.last = self.last.max(job.number);
        let (number, due) = (job.number, (job.by, job.number));
        let shares = job.digest.and_then(|digest| self.carrier(digest));
        let waiting = self.jobs.values().filter(|it| it.state == State::Waiting);
        let ahead = waiting.filter(|it| (it.job.by, it.job.number) < due).count();
        let state = shares.map_or(State::Waiting, State::Shares);
        let known = Known { job, state, events: broadcast::Sender::new(BEHIND_MAX) };
        self.jobs.insert(number, known);
        (ahead, shares)
    }

    /// Who fetches this content already.
    fn carrier(&self, digest: Digest) -> Option<u64> {
        let carries = |it: &&Known| {
            it.job.digest == Some(digest) && matches!(it.state, State::Waiting | State::Running)
        };
        self.jobs.values().find(carries).map(|it| it.job.number)
    }

    /// The one that is due first begins.
    pub(crate) fn begin(&mut self) -> Option<Job> {
        let waiting = self.jobs.values_mut().filter(|it| it.state == State::Waiting);
        let first = waiting.min_by_key(|it| (it.job.by, it.job.number))?;
        first.state = State::Running;
        Some(first.job.clone())
    }

    /// Those who share a transfer.
    pub(crate) fn sharers(&self, number: u64) -> Vec<Job> {
        let sharers = self.jobs.values().filter(|it| it.state == State::Shares(number));
        sharers.map(|it| it.job.clone()).collect()
    }

    /// The transfer failed: who shared it has to fetch for himself.
    pub(crate) fn alone(&mut self, number: u64) {
        for known in self.jobs.values_mut().filter(|it| it.state == State::Shares(number)) {
            known.state = State::Waiting;
        }
    }

    /// It is over, and those who follow hear how.
    pub(crate) fn over(&mut self, number: u64, event: Event) {
        if let Some(known) = self.jobs.get_mut(&number) {
            known.state = State::Over(event.clone());
        }
        self.tell(number, event);
        let over = self.jobs.values().filter(|it| matches!(it.state, State::Over(_)));
        let numbers: Vec<u64> = over.map(|it| it.job.number).collect();
        for number in &numbers[..numbers.len().saturating_sub(OVER_MAX)] {
            self.jobs.remove(number);
        }
    }

    /// Tells those who follow a fetch, and those who share it.
    pub(crate) fn tell(&self, number: u64, event: Event) {
        if let Some(known) = self.jobs.get(&number) {
            // Nobody needs to listen.
            known.events.send(event).unwrap_or_default();
        }
    }

    /// What is told of a fetch from now on, and how it ended if it has; `None` if it is not known.
    pub(crate) fn follow(
        &self,
        number: u64,
    ) -> Option<(broadcast::Receiver<Event>, Option<Event>)> {
        let known = self.jobs.get(&number)?;
        let over = match &known.state {
            State::Over(event) => Some(event.clone()),
            State::Waiting | State::Running | State::Shares(_) => None,
        };
        Some((known.events.subscribe(), over))
    }

    /// All that are known, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Job, &State)> {
        self.jobs.values().map(|it| (&it.job, &it.state))
    }
}

fn as_maybe_text<S: serde::Serializer>(value: &Option<Digest>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: u64, by: i64, content: &str) -> Job {
        Job {
            number,
            url: format!("http://images/{content}"),
            or: Vec::new(),
            to: format!("/images/{number}").into(),
            by: Timestamp::from_ms(by).unwrap(),
            digest: Some(Digest::of(content.as_bytes())),
            from: vec!["storage/images".into()],
            priority: 0,
        }
    }

    #[test]
    fn who_is_due_first_begins_and_equal_content_comes_once() {
        let mut queue = Queue::default();
        assert_eq!(queue.add(job(1, 300, "a")), (0, None));
        assert_eq!(queue.add(job(2, 100, "b")), (0, None));
        assert_eq!(queue.add(job(3, 200, "a")), (1, Some(1)), "it comes with the first one");
        assert_eq!(queue.begin().map(|it| it.number), Some(2));
        assert_eq!(queue.begin().map(|it| it.number), Some(1));
        assert_eq!(queue.begin(), None);
        assert_eq!(queue.sharers(1).len(), 1);
        // Where it fails, whoever shared it tries for himself.
        queue.alone(1);
        queue.over(1, Event::Failed { job: 1, why: "no".into(), offers: Vec::new() });
        assert_eq!(queue.begin().map(|it| it.number), Some(3));
        assert!(matches!(queue.follow(1), Some((_, Some(Event::Failed { .. })))));
        assert!(queue.follow(9).is_none());
    }

    #[test]
    fn what_is_kept_reads_back() {
        let job = job(7, 1000, "a");
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job, "{text}");
    }
}
