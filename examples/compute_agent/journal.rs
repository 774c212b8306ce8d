//! What was accepted and is not over, on disk: a line for each, made durable before it is said.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::queue::Job;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    Queued(Job),
    Over(u64),
}

/// The list of a state directory. Only one agent has it at a time.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// Locked as long as the agent lives.
    _lock: File,
}

impl Journal {
    /// Opens the list, with all that were accepted and are not over.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<(Self, Vec<Job>)> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("the state directory {}", directory.display()))?;
        let lock = File::create(directory.join("lock"))?;
        lock.try_lock().with_context(|| format!("another agent uses {}", directory.display()))?;
        let path = directory.join("queue.jsonl");
        let said = || format!("the list of fetches {}", path.display());
        let jobs = read(&path).with_context(said)?;
        rewrite(&path, &jobs).with_context(said)?;
        let file = File::options().append(true).open(&path).with_context(said)?;
        Ok((Self { file, _lock: lock }, jobs))
    }

    pub(crate) fn queued(&mut self, job: &Job) -> anyhow::Result<()> {
        self.write(&Entry::Queued(job.clone()))
    }

    pub(crate) fn over(&mut self, number: u64) -> anyhow::Result<()> {
        self.write(&Entry::Over(number))
    }

    fn write(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Job>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut jobs = BTreeMap::new();
    for line in BufReader::new(file).split(b'\n') {
        // A line that was cut by a crash was never said to be accepted.
        match serde_json::from_slice(&line?) {
            Ok(Entry::Queued(job)) => drop(jobs.insert(job.number, job)),
            Ok(Entry::Over(number)) => drop(jobs.remove(&number)),
            Err(_) => {}
        }
    }
    Ok(jobs.into_values().collect())
}

/// Keeps what is not over alone. The old lines are whole until the new ones are durable beside them.
fn rewrite(path: &Path, jobs: &[Job]) -> anyhow::Result<()> {
    let mut text = Vec::new();
    for job in jobs {
        serde_json::to_writer(&mut text, &Entry::Queued(job.clone()))?;
        text.push(b'\n');
    }
    let beside = path.with_extension("new");
    let mut new = File::create(&beside)?;
    new.write_all(&text)?;
    new.sync_all()?;
    std::fs::rename(&beside, path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_over_is_there_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let job = |number: u64| Job {
            number,
            url: "http://images/a".into(),
            or: Vec::new(),
            to: "/images/a".into(),
            by: tidegate_policy::Timestamp::MAX,
            digest: None,
            from: Vec::new(),
            priority: 3,
        };
        let (mut journal, jobs) = Journal::open(folder.path()).unwrap();
        assert_eq!(jobs, []);
        assert!(Journal::open(folder.path()).is_err(), "one agent at a time");
        journal.queued(&job(1)).unwrap();
        journal.queued(&job(2)).unwrap();
        journal.over(1).unwrap();
        // The machine stops in the middle of a line.
        journal.file.write_all(br#"{"queued":{"numb"#).unwrap();
        drop(journal);
        let (mut journal, jobs) = Journal::open(folder.path()).unwrap();
        assert_eq!(jobs, [job(2)]);
        journal.queued(&job(3)).unwrap();
        drop(journal);
        assert_eq!(Journal::open(folder.path()).unwrap().1, [job(2), job(3)]);
    }
}
