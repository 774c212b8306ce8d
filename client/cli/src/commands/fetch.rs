//! `tidegate fetch`: reserve, download under the grant, verify, release.

use std::time::Duration;

use anyhow::Context;
use tidegate_client::ask::{Ask, Between, End};
use tidegate_client::fetch::{Fetch, FetchError, Fetched, OnExpiry};
use tidegate_client::{Digest, Download, OnUnreachable, clock};
use tidegate_policy::{BitRate, ByteCount, Overcommit, Span, TimeText};

use super::Desk;
use super::progress::Meter;
use super::reserve::refused;
use crate::arguments;
use crate::arguments::words::Unreachable;
use crate::exit::{Exit, Mistake};
use crate::output::{Column, Sheet, Thing, Value};
use crate::{asking, clerk};

/// How long a fetch waits for a broker that cannot be reached.
const WAIT_MAX: Duration = Duration::from_secs(600);

pub(super) async fn run(desk: &Desk, typed: arguments::Fetch) -> anyhow::Result<Exit> {
    let sheet: Sheet<Fetched> = desk.printer.sheet()?;
    let download = download(&typed)?;
    let sized = typed.terms.span.is_none();
    let said = clerk::Typed::Fetch {
        command: ["fetch".into(), typed.url.clone(), typed.file.display().to_string()],
        ends: Vec::new(),
        options: options(&typed),
        sized,
    };
    let policy = policy(typed.on_unreachable);
    let expiry = match typed.on_expiry {
        arguments::Expiry::Stop => OnExpiry::Stop,
        arguments::Expiry::Again => OnExpiry::AskAgain,
    };
    let at = typed.at.clone();
    let mut sources = typed.between.sources.into_iter();
    let first = sources.next().context("name a source with --from")?;
    let between = sources.fold(Between::new(first, typed.between.destination), Between::or_from);
    let between = typed.between.via.into_iter().fold(between, Between::via);
    let ask = ask(between, typed.between.rate, &typed.terms)?;
    let ask = if typed.split { ask.split() } else { ask };
    let fetch = Fetch::new(ask, download).on_unreachable(policy).on_expiry(expiry);
    let mut fetch = at.into_iter().fold(fetch, |fetch, (source, url)| fetch.at(source, url));
    if sized {
        fetch = fetch.sized().await.map_err(told)?;
        fetch.ask = longer(fetch.ask, ratio(desk, &typed.terms).await?);
    }
    let meter = Meter::new(&desk.printer);
    let fetched = fetch
        .run_alone(
            &desk.client,
            &agent(),
            |grant| meter.begin([grant]),
            |progress| meter.moved(progress),
        )
        .await;
    meter.end();
    match fetched {
        Ok(fetched) => {
            sheet.one_as(&fetched, |_| words(&fetched))?;
            Ok(Exit::Done)
        }
        Err(FetchError::Refused(refusal)) => refused(desk, &refusal, &fetch.ask, &said),
        Err(error) => Err(told(error)),
    }
}

/// How much of a rate is promised in the class that was typed.
pub(super) async fn ratio(desk: &Desk, typed: &arguments::Terms) -> anyhow::Result<Overcommit> {
    let (Some(class), None) = (&typed.class, typed.by) else { return Ok(Overcommit::NONE) };
    match desk.client.class(class).await {
        Ok(class) => Ok(class.ratio),
        // What is done then was typed, or is told where it is asked for.
        Err(error) if error.is_unreachable() => Ok(Overcommit::NONE),
        Err(error) => Err(error.into()),
    }
}

/// A request that lasts as long as its bytes take at what is promised of its rate.
pub(super) fn longer(ask: Ask, ratio: Overcommit) -> Ask {
    let Some(End::After(span)) = ask.until().filter(|_| ratio != Overcommit::NONE) else {
        return ask;
    };
    let ms = u128::from(span.as_ms()) * u128::from(ratio.ppm());
    let ms = u64::try_from(ms.div_ceil(Overcommit::NONE.ppm().into())).ok();
    ask.lasting(ms.and_then(Span::from_ms).unwrap_or(Span::MAX))
}

/// An error whose words hold those of its causes.
fn told(error: FetchError) -> anyhow::Error {
    match error {
        FetchError::Client(error) => error.into(),
        error => anyhow::Error::msg(error.to_string()),
    }
}

/// What to do without a broker.
pub(super) fn policy(typed: Unreachable) -> OnUnreachable {
    match typed {
        Unreachable::Wait => OnUnreachable::Wait { up_to: WAIT_MAX },
        Unreachable::Fail => OnUnreachable::Fail,
        Unreachable::BestEffort(rate) => OnUnreachable::BestEffort(rate),
    }
}

fn download(typed: &arguments::Fetch) -> anyhow::Result<Download> {
    let download = Download::new(&typed.url, &typed.file)
        .schemes(typed.stores.schemes())
        .streams(typed.streams)
        .resume(!typed.no_resume);
    let download = typed.others.iter().fold(download, Download::or_from);
    let sha256 = typed.sha256.as_deref().map(Digest::sha256).transpose()?;
    Ok(match typed.digest.or(sha256) {
        Some(digest) => download.digest(digest),
        None => download,
    })
}

/// What has to be typed again to fetch the same in the same way.
fn options(typed: &arguments::Fetch) -> Vec<(&'static str, String)> {
    let others = typed.others.iter().map(|url| ("or", url.clone()));
    let at = typed.at.iter().map(|(source, url)| ("at", format!("{source}={url}")));
    let digest = typed.digest.iter().map(|digest| ("digest", digest.to_string()));
    let sha256 = typed.sha256.iter().map(|hex| ("sha256", hex.clone()));
    let streams = (1 < typed.streams).then(|| ("streams", typed.streams.to_string()));
    let mounts = typed.stores.mounts.iter().map(|it| ("mount", it.to_string()));
    others.chain(at).chain(digest).chain(sha256).chain(streams).chain(mounts).collect()
}

/// What the session is called at the broker: this machine, as far as it has a name we can use.
pub(super) fn agent() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        .take(48)
        .collect();
    let host = host.trim_matches(['.', '-', '_']);
    format!("{}-{}", if host.is_empty() { "host" } else { host }, std::process::id())
}

fn words(fetched: &Fetched) -> String {
    let report = &fetched.report;
    let rate = report.mean_rate.map_or("too short to tell".into(), |rate| rate.to_string());
    let promised = fetched.reservation.as_ref();
    let promised = promised.map_or("nothing".into(), |it| it.rate.to_string());
    let (bytes, elapsed, digest) = (report.bytes, report.elapsed, &report.digest);
    let resumed = match report.resumed {
        ByteCount::ZERO => String::new(),
        resumed => format!(", {resumed} of it were there before"),
    };
    let grants = match fetched.grants {
        1 => String::new(),
        grants => format!(" under {grants} grants"),
    };
    format!("{bytes} in {elapsed:.3?} = {rate}{resumed}; granted {promised}{grants}\n{digest}")
}

impl Thing for Fetched {
    const ONE: &'static str = "fetch";
    const MANY: &'static str = "fetches";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("bytes", "bytes", |it| Value::Size(it.report.bytes)),
        Column::new("elapsed", "elapsed_ms", |it| {
            let ms = u64::try_from(it.report.elapsed.as_millis());
            Value::Count(ms.unwrap_or(u64::MAX))
        }),
        Column::new("rate", "mean_rate_bps", |it| {
            it.report.mean_rate.map_or(Value::Nothing, Value::Rate)
        }),
        Column::new("granted", "granted_bps", |it| {
            it.reservation.as_ref().map_or(Value::Nothing, |it| Value::Rate(it.rate))
        }),
        Column::new("resumed", "resumed_bytes", |it| Value::Size(it.report.resumed)),
        Column::new("grants", "grant_count", |it| Value::Count(it.grants.into())),
        Column::new("digest", "digest", |it| Value::text(it.report.digest)),
        Column::new("reservation", "reservation", |it| {
            Value::maybe(it.reservation.as_ref().map(|it| it.name.id))
        }),
    ];
}

/// The request that was typed: a rate for as long as the size takes, or all of it by a deadline.
pub(super) fn ask(
    between: Between,
    rate: Option<BitRate>,
    typed: &arguments::Terms,
) -> anyhow::Result<Ask> {
    let now = clock::wall();
    // Now is the broker's to say: this machine's clock may differ.
    let start = match typed.start {
        TimeText::FromNow(Span::ZERO) => None,
        later => Some(later.at(now)),
    };
    let mut ask = match (typed.by, rate) {
        (Some(by), _) => {
            let deadline = asking::deadline(start, by, now)?;
            let bounds = (typed.min_rate, typed.max_rate);
            let ask = Ask::transfer(between, ByteCount::ZERO, deadline);
            let mut ask = asking::bounded(ask, bounds)?;
            ask.movable = !typed.unmoved;
            ask
        }
        (None, Some(rate)) => {
            Ask::rigid(between, rate, End::After(typed.span.unwrap_or(Span::ZERO)))
        }
        (None, None) => {
            let mistake = Mistake::new("it does not say how fast, or by when");
            return Err(mistake.hint("add --rate 2Gbit, or --by 18:00Z").into());
        }
    };
    ask.priority = typed.priority.unwrap_or(0);
    ask.preemptible = typed.preemptible;
    if let Some(project) = &typed.project {
        ask = ask.project(project.clone());
    }
    ask.class.clone_from(&typed.class);
    ask.principal.clone_from(&typed.principal);
    ask.labels = typed.labels.iter().cloned().collect();
    Ok(match start {
        None => ask,
        Some(start) => ask.starting(start),
    })
}
