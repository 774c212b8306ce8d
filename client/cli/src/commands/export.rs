//! What was asked of the broker, as a file that `tidegate simulate` replays.

use serde_json::Number;
use tidegate_client::ask::{Flexible, Transfer};
use tidegate_client::connect::Listing;
use tidegate_client::plan::{PlanWay, Promise};
use tidegate_client::reservation::{Reservation, Way};
use tidegate_policy::{BitRate, ByteCount, ProjectId, Span, Timestamp};

use super::Desk;
use crate::arguments::ExportReservations;
use crate::exit::Exit;
use crate::output::{hint, print, say};
use crate::simulate::formats::line::{Id, Kind, Line, When};
use crate::simulate::formats::numbers::seconds;
use crate::things::counted;

/// So many are asked for at once, the most that a page holds.
const PAGE: u16 = 1000;

pub(super) async fn reservations(desk: &Desk, typed: ExportReservations) -> anyhow::Result<Exit> {
    let filter = typed.filter.unwrap_or_default();
    let mut listing =
        Listing { show_closed: typed.all, filter, page_size: PAGE, ..Listing::default() };
    let (mut written, mut left_out): (u64, u64) = (0, 0);
    loop {
        let page = desk.client.list(&listing).await?;
        let mut lines = Vec::new();
        for it in &page.items {
            match line(it) {
                Some(line) => lines.push(serde_json::to_string(&line)?),
                None => left_out += 1,
            }
        }
        if !lines.is_empty() {
            print(&lines.join("\n"))?;
        }
        written += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        // A page that asks for itself would keep this loop alive forever.
        if page.next_page_token.is_empty() || page.next_page_token == listing.page_token {
            break;
        }
        listing.page_token = page.next_page_token;
    }
    if 0 < left_out {
        let count = counted(left_out, "reservation");
        say(&format!("{count} left out: their lanes were named, which such a file cannot say"));
    }
    if written == 0 {
        say("there are no reservations to replay");
        if !typed.all {
            hint("--all takes those that are closed too");
        }
    }
    Ok(Exit::Done)
}

/// The request that a reservation answers, as far as it is still known; `None` if it cannot be
/// said in such a file.
fn line(it: &Reservation) -> Option<Line> {
    let way = it.way.as_ref()?;
    let project = it.name.project.as_ref();
    let project = project.filter(|project| **project != ProjectId::default_project());
    let line = Line {
        id: Some(Id::Text(it.name.id.to_string())),
        src: sources(way, &it.ways),
        dst: way.destination.to_string(),
        via: way.via.iter().map(|host| format!("hosts/{host}")).collect(),
        project: project.map(ToString::to_string),
        prio: (it.priority != 0).then(|| it.priority.into()),
        ..Line::default()
    };
    // The earliest that it may move; it was asked for by then.
    let from = |start: Option<Timestamp>| start.unwrap_or(it.created);
    let arrive = |start: Timestamp| when(it.created.min(start));
    Some(match it.promise {
        Some(Promise::Transfer(asked)) => {
            let start = from(asked.start);
            volume(Line { arrive_s: arrive(start), ..line }, it, &asked, start)
        }
        Some(Promise::Flexible(asked)) => {
            let start = from(asked.window_start);
            flex(Line { arrive_s: arrive(start), ..line }, it, &asked, start)
        }
        None => Line {
            kind: Some(Kind::Rigid),
            arrive_s: arrive(it.start),
            rate_bps: bps(it.rate),
            start_s: when(it.start),
            end_s: when(it.end),
            ..line
        },
    })
}

/// The source that was taken, and others that its plan takes bytes from.
fn sources(way: &Way, ways: &[PlanWay]) -> Vec<String> {
    let mut sources = vec![way.source.to_string()];
    for source in ways.iter().filter_map(|way| way.source.as_ref()).map(ToString::to_string) {
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources
}

/// A rate within bounds becomes the one that was granted: a file says one.
fn flex(line: Line, it: &Reservation, asked: &Flexible, start: Timestamp) -> Line {
    Line {
        kind: Some(Kind::Flex),
        rate_bps: bps(it.rate),
        duration_s: Some(seconds(asked.duration.as_ms())),
        start_min_s: when(start),
        end_max_s: when(asked.window_end),
        ..line
    }
}

fn volume(line: Line, it: &Reservation, asked: &Transfer, start: Timestamp) -> Line {
    let (reference, over) = reference(asked, it.end.since(it.start));
    Line {
        kind: Some(Kind::Volume),
        volume_bytes: Some(asked.volume.bytes().into()),
        max_bps: bps(asked.max),
        min_bps: (asked.min != BitRate::ZERO).then(|| asked.min.bps().into()),
        ref_rate_bps: bps(reference),
        ref_duration_s: Some(seconds(over.as_ms())),
        start_min_s: when(start),
        deadline_s: when(asked.deadline),
        ..line
    }
}

/// What somebody would have asked for who cannot ask for a volume: one rate for as long as its plan
/// takes. The highest that is of use says nothing where nobody bounded it.
fn reference(asked: &Transfer, plan: Span) -> (BitRate, Span) {
    let Some(mean) = BitRate::mean(asked.volume, plan) else { return whole(asked) };
    let up = |rate: BitRate| BitRate::from_bps(rate.bps().saturating_add(1)).unwrap_or(rate);
    // The mean is rounded down.
    let rate = if moves(mean, plan, asked.volume) { mean } else { up(mean) };
    if moves(rate, plan, asked.volume) { (rate, plan) } else { whole(asked) }
}

fn moves(rate: BitRate, span: Span, volume: ByteCount) -> bool {
    volume <= rate.bytes_in(span)
}

/// All of it at the highest rate.
fn whole(asked: &Transfer) -> (BitRate, Span) {
    (asked.max, asked.volume.span_at(asked.max).unwrap_or(Span::MAX))
}

fn bps(rate: BitRate) -> Option<Number> {
    Some(rate.bps().into())
}

fn when(at: Timestamp) -> Option<When> {
    Some(When::At(at.to_string()))
}
