//! Whether everything that is told agrees, to the byte: what the agents reported, each report, the files,
//! and the metrics.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use futures_util::TryStreamExt;
use serde::Deserialize;
use tidegate_client::Client;
use tidegate_client::report::{
    Consumers, ConsumersAsk, ExportAsk, ExportFormat, GroupBy, RefusalsAsk, StatementAsk,
    UtilizationAsk,
};
use tidegate_policy::{ProjectId, Span, Timestamp};

use crate::ledger::Ledger;
use crate::words::bytes;

/// Checks that whatever is told of the past from an instant on agrees with the ledger.
pub(crate) async fn check(
    client: &Client,
    ledger: &Ledger,
    (start, end): (Timestamp, Timestamp),
) -> anyhow::Result<()> {
    println!("\ndoes it all agree?");
    let ask = ConsumersAsk { start: Some(start), ..ConsumersAsk::default() };
    let projects = client.top_consumers(&ask).await?;
    of_consumers(&projects, ledger)?;
    let classes = ConsumersAsk { group_by: GroupBy::Class, ..ask };
    of_consumers(&client.top_consumers(&classes).await?, ledger)?;
    let total = ledger.total();
    ok(&format!("{total} moved: the agents, top by project, top by class"));
    of_lanes(client, ledger, start).await?;
    of_statements(client, ledger, start).await?;
    of_refusals(client, ledger, start).await?;
    of_csv(client, ledger, start).await?;
    of_promises(client, (start, end)).await
}

fn ok(what: &str) {
    println!("  yes  {what}");
}

fn of_consumers(told: &Consumers, ledger: &Ledger) -> anyhow::Result<()> {
    let mut sum = 0_u64;
    for it in &told.consumers {
        let name = it.name.to_string();
        let (used, reported) = (it.consumption.used, ledger.used(&name));
        ensure!(used == reported, "{name} used {used}, and its agents reported {reported}");
        sum = sum.saturating_add(used.bytes());
        if let Some(decided) = ledger.decided.get(&name) {
            let (granted, refused) = (it.consumption.granted, it.consumption.refused);
            ensure!(granted == decided.granted, "{name}: {granted} granted, {decided:?}");
            ensure!(refused == decided.refused, "{name}: {refused} refused, {decided:?}");
        }
    }
    let (all, total) = (told.total.used, ledger.total());
    ensure!(all == total && sum == total.bytes(), "{all} in all, {sum} B of each, {total} moved");
    Ok(())
}

/// Each lane carried what was reported of the reservations that go over it.
async fn of_lanes(client: &Client, ledger: &Ledger, start: Timestamp) -> anyhow::Result<()> {
    let ask = UtilizationAsk { start: Some(start), count: 100_000, ..UtilizationAsk::default() };
    let told = client.utilization(&ask).await?;
    let mut all = 0_u64;
    for lane in &told.lanes {
        let used: u64 = lane.buckets.iter().map(|it| it.used_bytes.bytes()).sum();
        let reported = ledger.used(&lane.lane).bytes();
        ensure!(used == reported, "{}: {used} B used, {reported} B reported", lane.lane);
        all = all.saturating_add(used);
    }
    let all = bytes(tidegate_policy::ByteCount::new(all));
    ok(&format!("each of {} lanes, {all} together: the agents, utilization", told.lanes.len()));
    Ok(())
}

async fn of_statements(client: &Client, ledger: &Ledger, start: Timestamp) -> anyhow::Result<()> {
    for name in ledger.decided.keys() {
        let project = ProjectId(name.trim_start_matches("projects/").parse()?);
        let ask = StatementAsk { start: Some(start), own_only: true, ..StatementAsk::new(project) };
        let told = client.usage_statement(&ask).await?;
        let by_hour: u64 = told.periods.iter().map(|it| it.consumption.used.bytes()).sum();
        let (used, reported) = (told.total.used, ledger.used(name));
        ensure!(used == reported, "the statement of {name} says {used}, its agents {reported}");
        ensure!(by_hour == used.bytes(), "{name}: {used} in all, {by_hour} B by the hour");
    }
    ok(&format!("{} statements, in all and hour by hour", ledger.decided.len()));
    Ok(())
}

async fn of_refusals(client: &Client, ledger: &Ledger, start: Timestamp) -> anyhow::Result<()> {
    let ask = RefusalsAsk { start: Some(start), count: 100_000, ..RefusalsAsk::default() };
    let told = client.refusals(&ask).await?;
    let groups: u64 = told.groups.iter().map(|it| it.refused).sum();
    let decided = ledger.all_decided();
    let (granted, refused) = (told.granted, told.refused);
    ensure!(groups == refused, "{refused} were refused, {groups} of each kind together");
    ensure!(
        (granted, refused) == (decided.granted, decided.refused),
        "{granted} granted and {refused} refused, and the agents say {decided:?}"
    );
    ok(&format!("{granted} granted and {refused} refused: the agents, refusals"));
    Ok(())
}

/// Reads a file of reservations.
async fn file(client: &Client, ask: &ExportAsk) -> anyhow::Result<(Vec<u8>, u64)> {
    let (mut all, mut count) = (Vec::new(), 0_u64);
    let mut pieces = client.export_reservations(ask).await?;
    while let Some(piece) = pieces.try_next().await? {
        all.extend_from_slice(&piece.data);
        count = count.saturating_add(piece.reservations);
    }
    Ok((all, count))
}

#[derive(Deserialize)]
struct Row {
    name: String,
    used_bytes: u64,
}

/// Every reservation has a line, which says what its agent reported.
async fn of_csv(client: &Client, ledger: &Ledger, start: Timestamp) -> anyhow::Result<()> {
    let format = ExportFormat::Csv;
    let ask = ExportAsk { start: Some(start), format, ..ExportAsk::default() };
    let (text, count) = file(client, &ask).await?;
    let mut moved = BTreeMap::new();
    let mut lines = 0_u64;
    for row in csv::Reader::from_reader(text.as_slice()).deserialize() {
        let Row { name, used_bytes } = row?;
        lines = lines.saturating_add(1);
        let (_, id) = name.rsplit_once('/').context("a name without a project")?;
        let twice = moved.insert(id.to_owned(), used_bytes);
        ensure!(twice.is_none(), "{name} is in the file twice");
    }
    ensure!(lines == count, "{lines} lines, and {count} reservations are said to be in them");
    for (id, reported) in &ledger.moved {
        let told = moved.remove(&id.to_string());
        ensure!(told == Some(*reported), "{id} moved {reported} B, and the file says {told:?}");
    }
    // Under the others nothing moved.
    let rest: u64 = moved.values().sum();
    ensure!(rest == 0, "the file has {rest} B that nobody reported");
    println!("\nevery reservation as a line\n  $ tidegate report export --csv --from {start}");
    let size = bytes(tidegate_policy::ByteCount::new(u64::try_from(text.len())?));
    ok(&format!(
        "{count} lines, {size}: what each reservation moved, and {} together",
        ledger.total()
    ));
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: String,
    #[serde(default)]
    segments: Vec<Piece>,
    #[serde(default)]
    close_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece {
    start_time: String,
    end_time: String,
    rate_bps: String,
}

/// What each project was promised is what the plans of its reservations carried until they were over.
async fn of_promises(client: &Client, (start, end): (Timestamp, Timestamp)) -> anyhow::Result<()> {
    // Longer buckets than these are not taken for so short a range.
    let long = Span::from_secs(3 * 86_400) < end.since(start);
    let step = i64::from(if long { 12 * 3600 } else { 900_u32 }) * 1000;
    let whole = end.as_ms().div_euclid(step).saturating_mul(step);
    let whole = Timestamp::from_ms(whole).context("an end")?;
    if whole <= start {
        println!("  -    promises are not compared: that takes more than a quarter of an hour");
        return Ok(());
    }
    let ask = ConsumersAsk { start: Some(start), end: Some(whole), ..ConsumersAsk::default() };
    let told = client.top_consumers(&ask).await?;
    ensure!(told.end == whole, "asked until {whole}, told until {}", told.end);
    let ask = ExportAsk { start: Some(start), ..ExportAsk::default() };
    let (text, _) = file(client, &ask).await?;
    // In bits times milliseconds: rounded once, where it is compared.
    let mut promised: BTreeMap<String, u128> = BTreeMap::new();
    for line in std::str::from_utf8(&text)?.lines() {
        let Line { name, segments, close_time } = serde_json::from_str(line)?;
        let (project, _) = name.split_once("/reservations/").context("a name")?;
        let closed = close_time.map(|at| at.parse::<Timestamp>()).transpose()?;
        let until = closed.unwrap_or(whole).min(whole);
        for Piece { start_time, end_time, rate_bps } in segments {
            let (from, to) = (start_time.parse::<Timestamp>()?, end_time.parse::<Timestamp>()?);
            let span = to.min(until).since(from.max(told.start)).as_ms();
            let bits = u128::from(rate_bps.parse::<u64>()?).saturating_mul(span.into());
            let sum = promised.entry(project.to_owned()).or_default();
            *sum = sum.saturating_add(bits);
        }
    }
    let mut all = 0_u128;
    for it in &told.consumers {
        let sum = promised.remove(&it.name.to_string()).unwrap_or(0);
        let (plans, said) = (sum.div_euclid(8000), it.consumption.promised.bytes());
        ensure!(plans == said.into(), "{}: {said} B promised, {plans} B by its plans", it.name);
        all = all.saturating_add(sum);
    }
    ensure!(promised.values().all(|sum| *sum == 0), "plans of others: {promised:?}");
    let (all, said) = (all.div_euclid(8000), told.total.promised);
    ensure!(all == said.bytes().into(), "{said} promised in all, {all} B by all plans");
    ok(&format!("{said} promised until {whole}: the plans of all lines, top by project"));
    Ok(())
}
