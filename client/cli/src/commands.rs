//! Carries out what was typed: one function a command, one screen each.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use tidegate_client::connect::{Client, Listing};
use tidegate_client::reservation::{Ask, End, Outcome, Reservation, ReservationName};
use tidegate_client::{clock, topology_file};
use tidegate_policy::{Interval, ProjectId, Span, TimeText};

use crate::arguments::{Apply, Arguments, Between, Command, Export, Format, Reserve};
use crate::exit::Exit;
use crate::{clerk, fetch, output};

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let client = Client::connect(&arguments.broker)?;
    let format = arguments.output;
    match arguments.command {
        Command::Reserve(reserve) => self::reserve(&client, format, reserve).await,
        Command::Confirm(one) => shown(format, &client.confirm(&name(&one.reservation)?).await?),
        Command::Extend { one, span } => {
            shown(format, &client.extend_hold(&name(&one.reservation)?, span).await?)
        }
        Command::Release { reservations } => release(&client, format, &reservations).await,
        Command::Ls { closed, limit } => ls(&client, format, closed, limit).await,
        Command::Show(one) => shown(format, &client.get(&name(&one.reservation)?).await?),
        Command::Lanes { start, span } => {
            let start = start.at(clock::wall());
            let over = Interval::new(start, start.plus(span)).context("--for must not be zero")?;
            let lanes = client.list_lanes(Some(over)).await?;
            match format {
                Format::Table => output::print(output::lanes(&lanes)),
                Format::Json => output::print_json(&output::lanes_json(&lanes)),
            }
            Ok(Exit::Done)
        }
        Command::Apply(Apply::Topology { file, dry_run }) => {
            apply_topology(&client, format, &file, dry_run).await
        }
        Command::Export(Export::Topology) => {
            output::print(topology_file::to_toml(&client.export_topology().await?).trim_end());
            Ok(Exit::Done)
        }
        Command::Fetch(fetch) => fetch::run(&client, format, fetch).await,
        Command::Info => {
            let info = client.server_info().await?;
            match format {
                Format::Table => output::print(output::info(&info)),
                Format::Json => output::print_json(&output::info_json(&info)),
            }
            Ok(Exit::Done)
        }
    }
}

/// A request between the endpoints that were typed.
pub(crate) fn ask(between: Between, until: End) -> anyhow::Result<Ask> {
    let mut sources = between.sources.into_iter();
    let first = sources.next().context("name a source with --from")?;
    let ask = Ask::new(first, between.destination, between.rate, until);
    let ask = sources.fold(ask, Ask::or_from);
    Ok(between.via.into_iter().fold(ask, Ask::via))
}

/// The request, starting when it was said to.
pub(crate) fn starting(ask: Ask, start: TimeText) -> Ask {
    match start {
        // Now is the broker's to say: this machine's clock may differ.
        TimeText::FromNow(Span::ZERO) => ask,
        later => ask.starting(later.at(clock::wall())),
    }
}

async fn reserve(client: &Client, format: Format, reserve: Reserve) -> anyhow::Result<Exit> {
    let now = clock::wall();
    let until = match (reserve.span, reserve.until) {
        (Some(span), _) => End::After(span),
        (None, Some(time)) => End::At(time.at(now)),
        (None, None) => anyhow::bail!("say how long with --for, or until when with --until"),
    };
    let mut ask = starting(ask(reserve.between, until)?, reserve.start);
    if let Some(hold) = reserve.hold {
        ask = ask.held_for(hold);
    }
    ask.validate_only = reserve.dry_run;
    match client.reserve(&ask).await? {
        Outcome::Granted(reservation) => {
            if reserve.dry_run {
                explain("it would be granted; nothing was booked");
            }
            shown(format, &reservation)
        }
        Outcome::Refused(refusal) => {
            match format {
                Format::Table => explain(&clerk::explain(&refusal, &ask, &clerk::Typed::Reserve)),
                Format::Json => output::print_json(&output::refusal_json(&refusal)),
            }
            Ok(Exit::Refused)
        }
    }
}

/// Says something that is not what was asked for.
#[allow(clippy::print_stderr, reason = "everything but data goes to standard error")]
pub(crate) fn explain(text: &str) {
    eprintln!("{text}");
}

async fn release(client: &Client, format: Format, texts: &[String]) -> anyhow::Result<Exit> {
    // All names are read before the first is released.
    let names: Vec<_> = texts.iter().map(|text| name(text)).collect::<Result<_, _>>()?;
    for name in &names {
        let released = client.release(name).await?;
        match format {
            Format::Table => {
                let state = output::state(&released);
                output::print(format_args!("{}  {state}", released.name.id));
            }
            Format::Json => output::print_json(&output::reservation_json(&released)),
        }
    }
    Ok(Exit::Done)
}

async fn ls(client: &Client, format: Format, closed: bool, limit: usize) -> anyhow::Result<Exit> {
    let mut listing = Listing { show_closed: closed, ..Listing::default() };
    let mut found: Vec<Reservation> = Vec::new();
    let more = loop {
        let left = limit.saturating_sub(found.len()).min(1000);
        listing.page_size = u16::try_from(left).unwrap_or(1000);
        let page = client.list(&listing).await?;
        found.extend(page.items);
        listing.page_token = page.next_page_token;
        if listing.page_token.is_empty() || limit <= found.len() {
            break !listing.page_token.is_empty();
        }
    };
    match format {
        Format::Table if found.is_empty() => explain("there are no reservations"),
        Format::Table => output::print(output::reservations(&found)),
        Format::Json => {
            output::print_json(&found.iter().map(output::reservation_json).collect());
        }
    }
    if more {
        explain(&format!("hint: there are more than {limit}; see them with --limit"));
    }
    Ok(Exit::Done)
}

async fn apply_topology(
    client: &Client,
    format: Format,
    file: &Path,
    dry_run: bool,
) -> anyhow::Result<Exit> {
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        text
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
    };
    let topology =
        topology_file::parse(&text).with_context(|| format!("{} is wrong", file.display()))?;
    let applied = client.apply_topology(topology, dry_run).await?;
    match format {
        Format::Table => output::print(output::applied(&applied, dry_run)),
        Format::Json => output::print_json(&output::applied_json(&applied)),
    }
    Ok(Exit::Done)
}

fn shown(format: Format, reservation: &Reservation) -> anyhow::Result<Exit> {
    match format {
        Format::Table => output::print(output::details(reservation)),
        Format::Json => output::print_json(&output::reservation_json(reservation)),
    }
    Ok(Exit::Done)
}

/// A reservation by its id in the default project, or by its full name.
fn name(text: &str) -> anyhow::Result<ReservationName> {
    if text.contains('/') {
        return Ok(text.parse()?);
    }
    Ok(ReservationName { project: ProjectId::default_project(), id: text.parse()? })
}
