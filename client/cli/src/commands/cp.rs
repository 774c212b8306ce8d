//! `tidegate cp`: reserve each direction, copy under the grants, verify, release.

use tidegate_client::ask::{Ask, Between};
use tidegate_client::copy::{Carried, Carry, CarryError, Check, Legs, LegsError};
use tidegate_client::refusal::{Refusal, RefusalReason};
use tidegate_client::{Copying, Place};
use tidegate_policy::{BitRate, Endpoint};

use super::Desk;
use super::fetch::{agent, ask, longer, policy, ratio};
use super::progress::Meter;
use super::reserve::refused;
use crate::arguments;
use crate::clerk::{self, Typed};
use crate::exit::{Exit, Mistake};
use crate::output::{Column, Sheet, Thing, Tone, Value, say};

pub(super) async fn run(desk: &Desk, typed: arguments::Cp) -> anyhow::Result<Exit> {
    let sheet: Sheet<Carried> = desk.printer.sheet()?;
    let (from, to) = (typed.source.as_str().into(), typed.destination.as_str().into());
    let ends = (is_local(&from), is_local(&to));
    let copying = Copying::new(from, to).schemes(typed.stores.schemes());
    let copying = match typed.digest {
        Some(digest) => copying.digest(digest),
        None => copying,
    };
    let ways = ways(&typed, copying.storages(), ends)?;
    let said = said(&typed);
    let request = |(from, to)| ask(Between::new(from, to), typed.rate, &typed.terms);
    let legs = match ways.map(request) {
        Legs::In(ask) => Legs::In(ask?),
        Legs::Out(ask) => Legs::Out(ask?),
        Legs::Within(ask) => Legs::Within(ask?),
        Legs::Through { into, out } => Legs::Through { into: into?, out: out? },
    };
    let mut carry = Carry::new(copying, legs).on_unreachable(policy(typed.on_unreachable));
    if typed.terms.span.is_none() {
        carry = carry.sized().await.map_err(told)?;
        let ratio = ratio(desk, &typed.terms).await?;
        carry.legs = carry.legs.map(|ask| longer(ask, ratio));
    }
    let meter = Meter::new(&desk.printer);
    let carried = carry
        .run_alone(
            &desk.client,
            &agent(),
            |grants| meter.begin(grants),
            |progress| meter.moved(progress),
        )
        .await;
    meter.end();
    match carried {
        Ok(carried) => {
            sheet.one_as(&carried, |_| words(&carried))?;
            Ok(Exit::Done)
        }
        Err(CarryError::Refused(refusals)) => all_refused(desk, &refusals, &carry.legs, &said),
        Err(error) => Err(told(error)),
    }
}

/// An error whose words hold those of its causes.
fn told(error: CarryError) -> anyhow::Error {
    match error {
        CarryError::Client(error) => error.into(),
        error => anyhow::Error::msg(error.to_string()),
    }
}

fn is_local(place: &Place) -> bool {
    match place {
        Place::File(_) => true,
        Place::Url(url) => url.starts_with("file://"),
    }
}

/// Between which ends of the network its bytes go, each a way of its own.
fn ways(
    typed: &arguments::Cp,
    [source, destination]: [Option<Endpoint>; 2],
    (is_from_here, is_to_here): (bool, bool),
) -> Result<Legs<(Endpoint, Endpoint)>, Mistake> {
    let within = source.is_some() && source == destination;
    // What is no mount of a storage is on this host.
    let own = |is_here: bool| typed.host.clone().filter(|_| is_here);
    let from = typed.from.clone().or(source).or_else(|| own(is_from_here));
    let to = typed.to.clone().or(destination).or_else(|| own(is_to_here));
    let from = from.ok_or_else(|| {
        Mistake::new("it does not say where the bytes come from").hint(
            "add --from storage/NAME; for a file --host hosts/NAME, or --mount storage/NAME=DIR",
        )
    })?;
    let to = to.ok_or_else(|| {
        Mistake::new("it does not say where the bytes go").hint(
            "add --to storage/NAME; for a file --host hosts/NAME, or --mount storage/NAME=DIR",
        )
    })?;
    Legs::between(from, to, typed.host.as_ref(), within).map_err(|error| {
        let mistake = Mistake::new(error.to_string());
        match error {
            LegsError::NoHost => mistake.hint("add --host hosts/NAME, or set TIDEGATE_HOST"),
            LegsError::Nothing => mistake.hint(
                "say whose storage it is: --from storage/NAME, --to storage/NAME, or \
                 --mount storage/NAME=DIR",
            ),
        }
    })
}

/// What has to be typed again to copy the same in the same way.
fn said(typed: &arguments::Cp) -> Typed {
    let end = |name, end: &Option<Endpoint>| end.as_ref().map(|it| (name, it.to_string()));
    let ends = [end("from", &typed.from), end("to", &typed.to), end("host", &typed.host)];
    let mut ends: Vec<_> = ends.into_iter().flatten().collect();
    let digest = typed.digest.iter().map(|digest| ("digest", digest.to_string()));
    let mounts = typed.stores.mounts.iter().map(|it| ("mount", it.to_string()));
    let mut options: Vec<_> = digest.chain(mounts).collect();
    if ends.is_empty() {
        // The mounts say it: they stand where the ends would.
        ends = std::mem::take(&mut options);
    }
    let command = ["cp".to_owned(), typed.source.clone(), typed.destination.clone()];
    Typed::Fetch { command, ends, options, sized: typed.terms.span.is_none() }
}

/// Says why of each way that is in the way.
fn all_refused(
    desk: &Desk,
    refusals: &[Refusal],
    legs: &Legs<Ask>,
    typed: &Typed,
) -> anyhow::Result<Exit> {
    let asked = refusals.iter().zip(legs.iter());
    let reasons = asked.filter(|(refusal, _)| refusal.reason != RefusalReason::OthersRefused);
    for (refusal, ask) in reasons {
        if !desk.printer.for_people() {
            return refused(desk, refusal, ask, typed);
        }
        let text = clerk::explain(refusal, ask, typed);
        match (legs.is_through(), ask.sources(), ask.destination()) {
            (true, [from], Some(to)) => say(&format!("{from} to {to} is {text}")),
            _ => say(&text),
        }
    }
    Ok(Exit::Refused)
}

fn words(carried: &Carried) -> String {
    let report = &carried.report;
    let rate = report.mean_rate.map_or("too short to tell".into(), |rate| rate.to_string());
    let granted = granted(carried).map_or("nothing".into(), |rate| rate.to_string());
    let (bytes, elapsed, check) = (report.bytes, report.elapsed, checked(report.check));
    let first = format!("{bytes} in {elapsed:.3?} = {rate}; granted {granted}");
    match &report.digest {
        Some(digest) => format!("{first}\n{digest}; {check}"),
        None => format!("{first}\n{check}"),
    }
}

/// What all of it was granted, in every direction.
fn granted(carried: &Carried) -> Option<BitRate> {
    carried.reservations.iter().map(|it| it.rate).min()
}

fn checked(check: Check) -> &'static str {
    match check {
        Check::Digest => "the destination has the same digest",
        Check::Size => "the destination has as many bytes",
        Check::Taken => "the destination took all of it",
    }
}

impl Thing for Carried {
    const ONE: &'static str = "copy";
    const MANY: &'static str = "copies";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("bytes", "bytes", |it| Value::Size(it.report.bytes)),
        Column::new("elapsed", "elapsed_ms", |it| {
            let ms = u64::try_from(it.report.elapsed.as_millis());
            Value::Count(ms.unwrap_or(u64::MAX))
        }),
        Column::new("rate", "mean_rate_bps", |it| {
            it.report.mean_rate.map_or(Value::Nothing, Value::Rate)
        }),
        Column::new("granted", "granted_bps", |it| granted(it).map_or(Value::Nothing, Value::Rate)),
        Column::new("digest", "digest", |it| Value::maybe(it.report.digest)),
        Column::new("check", "check", |it| {
            let code = match it.report.check {
                Check::Digest => "digest",
                Check::Size => "size",
                Check::Taken => "taken",
            };
            Value::word(code, checked(it.report.check), Tone::Plain)
        }),
        Column::new("reservations", "reservations", |it| {
            Value::texts(it.reservations.iter().map(|it| it.name.id))
        }),
    ];
}
