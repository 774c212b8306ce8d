//! `tidegate top`: the fullest lanes and the largest reservations, live on a terminal.

use std::io::Write as _;

use tidegate_client::error::ClientError;
use tidegate_client::report::{
    Consumer, ConsumerOrder, ConsumersAsk, LaneUtilization, RefusalsAsk, UtilizationAsk,
};
use tidegate_client::reservation::{Phase, Reservation, State};
use tidegate_client::topology::{Lane, ServerInfo};
use tidegate_policy::{Span, Timestamp};
use tokio::signal::unix::{SignalKind, signal};

use super::{Desk, reservations};
use crate::arguments::Top;
use crate::exit::Exit;
use crate::output::{Sheet, Tone, painted};
use crate::things::{BusyLane, LastHour, Overview, counted};

/// So many reservations are compared; whoever has more sees the largest of these.
const LOOKED_AT: usize = 10_000;

/// So many lanes have their last hour beside them, and so many projects are shown.
const HOURS_MAX: usize = 20;
const PROJECTS_MAX: usize = 5;

const HOUR: Span = Span::from_secs(3600);
const MINUTE: Span = Span::from_secs(60);

pub(super) async fn run(desk: &Desk, typed: Top) -> anyhow::Result<Exit> {
    let sheet: Sheet<Overview> = desk.printer.sheet()?;
    let live = desk.printer.is_terminal() && desk.printer.for_people() && !typed.once;
    if !live {
        let overview = look(desk, typed.count).await?;
        sheet.one_as(&overview, |_| page(desk, &overview))?;
        return Ok(Exit::Done);
    }
    // What cannot be reached at first is an error; what is lost later may come back.
    let mut drawn = page(desk, &look(desk, typed.count).await?);
    // However it ends, the terminal is left as it was.
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let screen = Screen::open()?;
    loop {
        screen.draw(&drawn)?;
        tokio::select! {
            ended = tokio::signal::ctrl_c() => {
                ended?;
                return Ok(Exit::Done);
            }
            _ = terminated.recv() => return Ok(Exit::Done),
            _ = hung_up.recv() => return Ok(Exit::Done),
            () = tokio::time::sleep(typed.every.to_duration()) => {}
        }
        match look(desk, typed.count).await {
            Ok(overview) => drawn = page(desk, &overview),
            Err(error) => stale(&mut drawn, &error, desk),
        }
    }
}

/// Says on the last page that it is the last for now.
fn stale(drawn: &mut String, error: &anyhow::Error, desk: &Desk) {
    let old = drawn.split("\n\nthis was the last answer").next().unwrap_or_default().to_owned();
    let why = match error.downcast_ref::<ClientError>() {
        Some(ClientError::Unreachable { .. }) => "the broker cannot be reached".to_owned(),
        _ => error.to_string(),
    };
    let words = format!("this was the last answer: {why}");
    *drawn = format!("{old}\n\n{}", painted(&words, Tone::Bad, desk.printer.style));
}

async fn look(desk: &Desk, count: usize) -> anyhow::Result<Overview> {
    let info = desk.client.server_info().await?;
    let mut lanes = desk.client.list_lanes(None).await?;
    let full = |lane: &Lane| {
        let (booked, all) = (u128::from(lane.booked.bps()), u128::from(lane.capacity.bps()));
        (booked * 1_000_000).checked_div(all).unwrap_or(0)
    };
    lanes.sort_by_key(|lane| std::cmp::Reverse(full(lane)));
    lanes.truncate(count);
    let (mut all, _) = reservations::list(desk, false, None, LOOKED_AT).await?;
    all.retain(|it| it.phase == Phase::Active && !matches!(it.state, State::Closed { .. }));
    all.sort_by_key(|it| std::cmp::Reverse(it.rate));
    all.truncate(count);
    let hour = without_reports(last_hour(desk, info.now).await)?;
    let mut busy = Vec::new();
    for lane in lanes {
        let looked_at = hour.is_some() && busy.len() < HOURS_MAX;
        let hour = if looked_at { minutes(desk, &lane, info.now).await? } else { None };
        busy.push(BusyLane { lane, hour });
    }
    Ok(Overview { info, lanes: busy, reservations: all, hour })
}

/// An older broker has no reports; there is enough to be seen without.
fn without_reports<T>(found: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(ClientError::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Who had most in the last hour, and what was refused.
async fn last_hour(desk: &Desk, now: Timestamp) -> Result<LastHour, ClientError> {
    let start = Some(now.minus(HOUR));
    let order = ConsumerOrder::Promised;
    let ask = ConsumersAsk { start, order, count: PROJECTS_MAX, ..ConsumersAsk::default() };
    let consumers = desk.client.top_consumers(&ask).await?;
    let ask = RefusalsAsk { start, count: 1, ..RefusalsAsk::default() };
    Ok(LastHour { consumers, refusals: desk.client.refusals(&ask).await? })
}

/// The last hour of a lane, minute by minute; `None` if it went meanwhile.
async fn minutes(
    desk: &Desk,
    lane: &Lane,
    now: Timestamp,
) -> Result<Option<LaneUtilization>, ClientError> {
    // A name that is no selector, such as that of a quota, has no report.
    let Ok(selector) = lane.name.parse() else { return Ok(None) };
    let ask = UtilizationAsk {
        selector: Some(selector),
        start: Some(now.minus(HOUR)),
        end: Some(now),
        bucket: Some(MINUTE),
        count: 2,
        ..UtilizationAsk::default()
    };
    let found = match desk.client.utilization(&ask).await {
        Err(ClientError::NotFound { .. }) => return Ok(None),
        found => found?,
    };
    Ok(found.lanes.into_iter().find(|it| it.lane == lane.name))
}

fn page(desk: &Desk, overview: &Overview) -> String {
    let Overview { info, lanes, reservations, hour } = overview;
    let columns: &[&str] = match hour {
        Some(_) => &["lane", "share", "last-hour", "booked", "used", "capacity"],
        None => &["lane", "share", "booked", "used", "capacity"],
    };
    let lanes = desk.printer.table::<BusyLane>(lanes, columns);
    let columns = ["rate", "from", "to", "end", "id"];
    let reservations = desk.printer.table::<Reservation>(reservations, &columns);
    let mut parts = vec![heading(desk, info), lanes, reservations];
    if let Some(hour) = hour {
        if !hour.consumers.consumers.is_empty() {
            let columns = ["consumer", "promised", "used", "use", "wasted", "waste"];
            parts.push(desk.printer.table::<Consumer>(&hour.consumers.consumers, &columns));
        }
        let tone = if hour.refusals.refused == 0 { Tone::Faint } else { Tone::Warning };
        parts.push(painted(&hour.refusal_words(), tone, desk.printer.style));
    }
    parts.join("\n\n")
}

fn heading(desk: &Desk, info: &ServerInfo) -> String {
    let lanes = counted(info.lanes, "lane");
    let reservations = counted(info.live_reservations, "live reservation");
    let sessions = counted(info.open_sessions, "open session");
    let (version, broker, now) = (&info.version, &desk.broker, info.now);
    format!("tidegated {version} at {broker}, {now}\n{lanes}, {reservations}, {sessions}")
}

/// The terminal's other screen, so that what stood there before comes back.
struct Screen;

impl Screen {
    fn open() -> anyhow::Result<Self> {
        print_raw("\u{1b}[?1049h\u{1b}[?25l")?;
        Ok(Self)
    }

    /// Draws over the page before, line by line, so that nothing flickers.
    fn draw(&self, page: &str) -> anyhow::Result<()> {
        let lines: String = page.lines().map(|line| format!("{line}\u{1b}[K\r\n")).collect();
        let foot = "\u{1b}[2mCtrl-C ends\u{1b}[0m";
        print_raw(&format!("\u{1b}[H{lines}\u{1b}[K\r\n{foot}\u{1b}[K\u{1b}[J"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There is nobody left to tell.
        drop(print_raw("\u{1b}[?25h\u{1b}[?1049l"));
    }
}

fn print_raw(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
