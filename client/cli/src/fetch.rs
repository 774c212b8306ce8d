//! `tidegate fetch`: reserve, download under the grant, verify, release.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tidegate_client::connect::Client;
use tidegate_client::fetch::{Fetch, FetchError, Fetched};
use tidegate_client::reservation::End;
use tidegate_client::{Digest, Download, Grant, OnUnreachable};
use tidegate_policy::Span;

use crate::arguments::{self, Format, Unreachable};
use crate::commands::{ask, explain, starting};
use crate::exit::Exit;
use crate::{clerk, output};

/// How long a fetch waits for a broker that cannot be reached.
const WAIT_MAX: Duration = Duration::from_secs(600);

pub(crate) async fn run(
    client: &Client,
    format: Format,
    typed: arguments::Fetch,
) -> anyhow::Result<Exit> {
    let digest = typed.sha256.as_deref().map(Digest::sha256).transpose()?;
    let mut download = Download::new(&typed.url, &typed.file);
    if let Some(digest) = digest {
        download = download.digest(digest);
    }
    let words = clerk::Typed::Fetch {
        url: typed.url.clone(),
        file: typed.file.display().to_string(),
        sha256: typed.sha256.clone(),
        sized: typed.span.is_none(),
    };
    let until = End::After(typed.span.unwrap_or(Span::ZERO));
    let policy = match typed.on_unreachable {
        Unreachable::Wait => OnUnreachable::Wait { up_to: WAIT_MAX },
        Unreachable::Fail => OnUnreachable::Fail,
        Unreachable::BestEffort(rate) => OnUnreachable::BestEffort(rate),
    };
    let ask = starting(ask(typed.between, until)?, typed.start);
    let mut fetch = Fetch::new(ask, download).on_unreachable(policy);
    if typed.span.is_none() {
        fetch = fetch.sized().await?;
    }
    let bar = bar(format);
    let fetched = fetch
        .run_alone(
            client,
            &agent(),
            |grant| announce(grant, &bar),
            |progress| {
                if let Some(total) = progress.total {
                    bar.set_length(total.bytes());
                }
                bar.set_position(progress.moved.bytes());
            },
        )
        .await;
    bar.finish_and_clear();
    match fetched {
        Ok(fetched) => {
            report(format, &fetched);
            Ok(Exit::Done)
        }
        Err(FetchError::Refused(refusal)) => {
            match format {
                Format::Table => explain(&clerk::explain(&refusal, &fetch.ask, &words)),
                Format::Json => output::print_json(&output::refusal_json(&refusal)),
            }
            Ok(Exit::Refused)
        }
        Err(FetchError::Client(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}

/// What the session is called at the broker: this machine, as far as it has a name we can use.
fn agent() -> String {
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

fn announce(grant: &Grant, bar: &ProgressBar) {
    match grant.reservation() {
        Some(granted) => {
            let from = granted.source().map_or_else(String::new, |it| format!(" from {it}"));
            let text = format!("granted {}{from} until {}", granted.rate, granted.end);
            bar.suspend(|| explain(&text));
        }
        None => bar.suspend(|| explain("the broker cannot be reached: going on without a promise")),
    }
}

fn bar(format: Format) -> ProgressBar {
    if format == Format::Json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:32} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

fn report(format: Format, fetched: &Fetched) {
    let report = &fetched.report;
    let granted = fetched.reservation.as_ref();
    if format == Format::Json {
        output::print_json(&json!({
            "bytes": report.bytes.bytes(),
            "elapsed_ms": u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
            "mean_rate_bps": report.mean_rate.map(tidegate_policy::BitRate::bps),
            "granted_bps": granted.map(|it| it.rate.bps()),
            "digest": report.digest.to_string(),
            "reservation": granted.map(|it| it.name.id.to_string()),
        }));
        return;
    }
    let rate = report.mean_rate.map_or("too short to tell".into(), |rate| rate.to_string());
    let promised = granted.map_or("nothing".into(), |it| it.rate.to_string());
    output::print(format_args!(
        "{} in {:.3?} = {rate}; granted {promised}\n{}",
        report.bytes, report.elapsed, report.digest
    ));
}
