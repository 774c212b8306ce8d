//! What was drawn, as files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::Number;
use tidegate_policy::{BitRate, Span};

use super::draw::Drawn;
use crate::simulate::formats::line::{Id, Kind, Line, When};
use crate::simulate::formats::numbers::seconds;
use crate::simulate::formats::{called, truth};
use crate::simulate::numbers::float;
use crate::simulate::world::World;

/// The requests, a line each.
pub(super) fn requests(
    file: &Path,
    drawn: &[Drawn],
    world: &World,
    slot: Span,
) -> anyhow::Result<()> {
    lines(file, numbered(drawn).map(|(id, drawn)| line(id, drawn, world, slot)))
}

/// What their agents do, a line each.
pub(super) fn truth(file: &Path, drawn: &[Drawn]) -> anyhow::Result<()> {
    let line = |(id, drawn): (u64, &Drawn)| truth::Line {
        id: Id::Number(id),
        no_show: drawn.no_show,
        used_fraction: if drawn.no_show { 0.0 } else { float(drawn.needed) / 1e4 },
    };
    lines(file, numbered(drawn).map(line))
}

fn numbered(drawn: &[Drawn]) -> impl Iterator<Item = (u64, &Drawn)> {
    (0..).zip(drawn)
}

fn lines(file: &Path, lines: impl Iterator<Item = impl Serialize>) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", called(file));
    let stdout = file.as_os_str() == "-";
    let out: Box<dyn Write> = match stdout {
        true => Box::new(std::io::stdout().lock()),
        false => Box::new(File::create(file).with_context(cannot)?),
    };
    let mut out = BufWriter::new(out);
    let mut write = |line: &str| writeln!(out, "{line}");
    for line in lines {
        let line = serde_json::to_string(&line)?;
        // Whoever reads standard output may have read enough, which is told by the bare error.
        if stdout { write(&line)? } else { write(&line).with_context(cannot)? }
    }
    if stdout {
        out.flush()?
    } else {
        out.flush().with_context(cannot)?
    }
    Ok(())
}

fn line(id: u64, drawn: &Drawn, world: &World, slot: Span) -> Line {
    let ms = |slots: u64| slots * slot.as_ms();
    let when = |slots: u64| Some(When::Seconds(seconds(ms(slots))));
    let bps = |rate: BitRate| Some(Number::from(rate.bps()));
    let rate = bps(drawn.rate);
    let (start, end) = (when(drawn.start), when(drawn.start + drawn.window));
    let length = Some(seconds(ms(drawn.length)));
    let line = Line {
        id: Some(Id::Number(id)),
        arrive_s: when(drawn.arrive),
        src: drawn.sources.iter().map(|source| world.called(source)).collect(),
        dst: world.called(&drawn.destination),
        kind: Some(drawn.kind),
        project: Some(format!("p{}", drawn.project)),
        prio: Some(drawn.priority.into()),
        ..Line::default()
    };
    match drawn.kind {
        Kind::Rigid => Line { rate_bps: rate, start_s: start, end_s: end, ..line },
        Kind::Flex => {
            Line { rate_bps: rate, duration_s: length, start_min_s: start, end_max_s: end, ..line }
        }
        Kind::Volume => {
            // A length of less than 8 bits over it is none that a file could say.
            let span = Span::from_ms(ms(drawn.length)).unwrap_or(Span::MAX);
            let volume = drawn.rate.bytes_in(span).bytes().max(1);
            Line {
                volume_bytes: Some(volume.into()),
                max_bps: bps(drawn.most),
                min_bps: Some(0.into()),
                ref_rate_bps: rate,
                ref_duration_s: length,
                start_min_s: start,
                deadline_s: end,
                ..line
            }
        }
    }
}
