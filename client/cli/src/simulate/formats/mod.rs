//! The files of a replay: requests, what agents really do, and faults of links.
//!
//! Each says its faults with file and line, and nothing is simulated by halves.

pub(super) mod faults;
pub(crate) mod line;
pub(crate) mod numbers;
pub(super) mod requests;
pub(super) mod truth;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use tidegate_policy::Timestamp;

use crate::exit::Mistake;
use crate::things::counted;

/// The longest line, in bytes.
const LINE_MAX: usize = 4 << 20;
/// The largest file that is read as a whole, in bytes.
const FILE_MAX: u64 = 64 << 20;
/// So many faults of a file are told.
const FAULTS_MAX: usize = 10;

/// What second 0 of a file is: any instant would do, and one that never changes is told apart from
/// real ones at sight.
pub(super) fn zero() -> Timestamp {
    // 2026-01-01T00:00:00Z.
    Timestamp::from_ms(1_767_225_600_000).unwrap_or(Timestamp::EPOCH)
}

/// What a file is called in a message.
pub(super) fn called(file: &Path) -> String {
    if file.as_os_str() == "-" { "standard input".into() } else { file.display().to_string() }
}

/// A whole file as text.
pub(super) fn text(file: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read {}", called(file));
    let mut text = String::new();
    let read = open(file)?.take(FILE_MAX + 1).read_to_string(&mut text).with_context(cannot)?;
    if FILE_MAX < u64::try_from(read).unwrap_or(u64::MAX) {
        let why = format!("{} is larger than {} MiB", called(file), FILE_MAX >> 20);
        return Err(Mistake::new(why).into());
    }
    Ok(text)
}

fn open(file: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let opened = File::open(file).with_context(|| format!("cannot read {}", called(file)))?;
    Ok(Box::new(BufReader::new(opened)))
}

/// Reads a file line by line, the first line being 1; blank ones are passed over. All faults are
/// told at once, up to a bound.
pub(super) fn lines(
    file: &Path,
    mut each: impl FnMut(usize, &str) -> Result<(), String>,
) -> anyhow::Result<()> {
    let mut reader = open(file)?;
    let mut faults = Faults::new(file);
    let mut buffer = Vec::new();
    for number in 1.. {
        buffer.clear();
        let most = u64::try_from(LINE_MAX).unwrap_or(u64::MAX).saturating_add(1);
        let mut limited = reader.by_ref().take(most);
        let read = limited
            .read_until(b'\n', &mut buffer)
            .with_context(|| format!("cannot read {}", called(file)))?;
        if read == 0 || faults.are_enough() {
            break;
        }
        if LINE_MAX < read {
            // The rest of it would be read as lines that nobody wrote.
            faults.add(number, &format!("the line is longer than {} MiB", LINE_MAX >> 20));
            break;
        }
        let read = match std::str::from_utf8(&buffer) {
            Ok(line) if line.trim().is_empty() => Ok(()),
            Ok(line) => each(number, line.trim()),
            Err(_) => Err("it is not UTF-8".into()),
        };
        if let Err(why) = read {
            faults.add(number, &why);
        }
    }
    faults.finish()
}

/// What is wrong with a file, as far as it is told.
pub(super) struct Faults<'a> {
    file: &'a Path,
    lines: Vec<String>,
}

impl<'a> Faults<'a> {
    pub(super) fn new(file: &'a Path) -> Self {
        Self { file, lines: Vec::new() }
    }

    pub(super) fn add(&mut self, line: usize, why: &str) {
        self.lines.push(format!("\n  {}:{line}: {why}", called(self.file)));
    }

    fn are_enough(&self) -> bool {
        FAULTS_MAX <= self.lines.len()
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let count = counted(u64::try_from(self.lines.len()).unwrap_or(u64::MAX), "fault");
        let least = if self.are_enough() { "at least " } else { "" };
        let (name, lines) = (called(self.file), self.lines.concat());
        Err(Mistake::new(format!("{name} has {least}{count}; nothing was simulated{lines}")).into())
    }
}

/// One line of JSON, or what is wrong and in which column.
pub(super) fn json<T: serde::de::DeserializeOwned>(line: &str) -> Result<T, String> {
    serde_json::from_str(line).map_err(|error| {
        // Its own place says line 1 of this line.
        let text = error.to_string();
        let why = text.split(" at line ").next().unwrap_or_default();
        format!("column {}: {why}", error.column())
    })
}
