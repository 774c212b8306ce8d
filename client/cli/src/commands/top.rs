//! `tidegate top`: the fullest lanes and the largest reservations, live on a terminal.

use std::io::Write as _;

use tidegate_client::error::ClientError;
use tidegate_client::reservation::{Phase, Reservation, State};
use tidegate_client::topology::{Lane, ServerInfo};
use tokio::signal::unix::{SignalKind, signal};

use super::{Desk, reservations};
use crate::arguments::Top;
use crate::exit::Exit;
use crate::output::{Sheet, Tone, painted};
use crate::things::{Overview, counted};

/// So many reservations are compared; whoever has more sees the largest of these.
const LOOKED_AT: usize = 10_000;

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
    Ok(Overview { info, lanes, reservations: all })
}

fn page(desk: &Desk, overview: &Overview) -> String {
    let Overview { info, lanes, reservations } = overview;
    let lanes =
        desk.printer.table::<Lane>(lanes, &["lane", "share", "load", "booked", "capacity", "used"]);
    let columns = ["rate", "from", "to", "end", "id"];
    let reservations = desk.printer.table::<Reservation>(reservations, &columns);
    format!("{}\n\n{lanes}\n\n{reservations}", heading(desk, info))
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
