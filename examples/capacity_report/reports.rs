//! Every report, as an operator reads it, with the command that shows it.

use tidegate_client::Client;
use tidegate_client::report::{
    Basis, ConsumerOrder, Consumers, ConsumersAsk, FindingKind, ForecastAsk, LaneUtilization,
    RefusalsAsk, StatementAsk, Utilization, UtilizationAsk, UtilizationBucket,
};
use tidegate_policy::{BitRate, ProjectId, Timestamp};

use crate::words::{bytes, percent, rate, table};

/// So many rows are shown of what has more.
const ROWS: usize = 8;

/// Shows everything of the past from an instant on, and what is to come.
pub(crate) async fn tell(client: &Client, from: Timestamp, project: &str) -> anyhow::Result<()> {
    fullest(client, from).await?;
    odd_lanes(client, from).await?;
    consumers(client, from).await?;
    refusals(client, from).await?;
    forecast(client).await?;
    statement(client, from, project).await
}

fn head(what: &str, command: &str) {
    println!("\n{what}\n  $ tidegate report {command}");
}

/// When it was, to the minute.
fn minute(at: Timestamp) -> String {
    at.to_string().get(5..16).unwrap_or_default().replace('T', " ")
}

async fn fullest(client: &Client, from: Timestamp) -> anyhow::Result<()> {
    let ask = UtilizationAsk {
        selector: Some("network".parse()?),
        start: Some(from),
        fullest: true,
        count: ROWS,
        ..UtilizationAsk::default()
    };
    let told = client.utilization(&ask).await?;
    head(
        "the fullest lanes",
        &format!("utilization network --fullest --count {ROWS} --from {from}"),
    );
    let rows = told.lanes.iter().map(|lane| lane_row(&told, lane)).collect();
    println!("{}", table(&["lane", "at its peak", "when", "booked", "used", "in 24 h"], rows));
    Ok(())
}

fn lane_row(told: &Utilization, lane: &LaneUtilization) -> Vec<String> {
    let (past, next): (Vec<UtilizationBucket>, Vec<_>) =
        lane.buckets.iter().copied().partition(|it| it.start < told.now);
    let share = |part: BitRate, whole: BitRate| percent(part.bps(), whole.bps());
    let key = |peak: BitRate, of: BitRate| {
        u128::from(peak.bps()).saturating_mul(1_000_000).checked_div(of.bps().into())
    };
    let peak = lane.buckets.iter().max_by_key(|it| key(it.peak, it.capacity));
    let booked: u64 = past.iter().map(|it| it.booked_bytes.bytes()).sum();
    let used: u64 = past.iter().map(|it| it.used_bytes.bytes()).sum();
    let ahead = next.iter().max_by_key(|it| it.peak);
    vec![
        lane.lane.clone(),
        peak.map_or_else(|| "-".into(), |it| share(it.peak, it.capacity)),
        peak.map_or_else(|| "-".into(), |it| minute(it.start)),
        bytes(tidegate_policy::ByteCount::new(booked)),
        bytes(tidegate_policy::ByteCount::new(used)),
        ahead.map_or_else(|| "-".into(), |it| share(it.peak, it.capacity)),
    ]
}

/// Lanes where something else was observed than should be, and those that are worked on.
async fn odd_lanes(client: &Client, from: Timestamp) -> anyhow::Result<()> {
    let selector = Some("links/*".parse()?);
    let ask = UtilizationAsk { start: Some(from), selector, ..UtilizationAsk::default() };
    let told = client.utilization(&ask).await?;
    head("lanes that are not as they should be", "utilization 'links/*' -o wide");
    for lane in &told.lanes {
        for it in &lane.findings {
            let (observed, expected) = (rate(it.observed), rate(it.expected));
            let who = it.observer.as_deref().unwrap_or("the sessions");
            let what = match it.kind {
                FindingKind::UnderDelivery => "it can carry only",
                FindingKind::UnbookedTraffic => "more goes over it than is booked:",
                FindingKind::UnusedPromises => "its promises are hardly used:",
                FindingKind::Unknown(_) => "something is wrong with it:",
            };
            println!("  {:<40} {what} {observed} of {expected}, says {who}", lane.lane);
        }
        for it in &lane.outages {
            let (start, end) = (minute(it.start), minute(it.end));
            println!("  {:<40} only {} from {start} to {end}", lane.lane, rate(it.left));
        }
    }
    Ok(())
}

async fn consumers(client: &Client, from: Timestamp) -> anyhow::Result<()> {
    let ask = ConsumersAsk {
        start: Some(from),
        order: ConsumerOrder::Wasted,
        count: ROWS,
        ..ConsumersAsk::default()
    };
    let told = client.top_consumers(&ask).await?;
    head("who wastes most", &format!("top --by wasted --from {from}"));
    consumer_table(&told);
    Ok(())
}

fn consumer_table(told: &Consumers) {
    let row = |name: String, it: &tidegate_client::report::Consumption| {
        let reported = it.reported().bytes();
        vec![
            name,
            bytes(it.promised),
            bytes(it.used),
            percent(it.wasted.bytes(), reported),
            bytes(it.unreported),
            it.granted.to_string(),
            it.refused.to_string(),
        ]
    };
    let mut rows: Vec<_> =
        told.consumers.iter().map(|it| row(it.name.to_string(), &it.consumption)).collect();
    rows.push(row("all".into(), &told.total));
    let names = ["who", "promised", "used", "wasted", "unreported", "granted", "refused"];
    println!("{}", table(&names, rows));
}

async fn refusals(client: &Client, from: Timestamp) -> anyhow::Result<()> {
    let ask = RefusalsAsk { start: Some(from), count: ROWS, ..RefusalsAsk::default() };
    let told = client.refusals(&ask).await?;
    head("what was refused", &format!("refusals --from {from} -o wide"));
    let rows = told.groups.iter().map(|it| {
        let project = it.project.as_ref().map_or_else(|| "-".into(), ToString::to_string);
        vec![
            it.bottleneck.clone(),
            project,
            it.refused.to_string(),
            rate(it.most_missing),
            it.offered.to_string(),
        ]
    });
    let names = ["what was in the way", "whose", "times", "missing", "offered"];
    println!("{}", table(&names, rows.collect()));
    println!("  {} of {} were refused", told.refused, told.refused.saturating_add(told.granted));
    Ok(())
}

async fn forecast(client: &Client) -> anyhow::Result<()> {
    let selector = Some("network".parse()?);
    let ask = ForecastAsk { selector, count: ROWS, ..ForecastAsk::default() };
    let told = client.forecast(&ask).await?;
    head("what is to come in seven days", &format!("forecast network --count {ROWS}"));
    let rows = told.lanes.iter().map(|it| {
        let most = it.buckets.iter().max_by_key(|it| it.expected);
        let most =
            most.map_or_else(|| "-".into(), |it| percent(it.expected.bps(), it.capacity.bps()));
        let rests_on = match it.basis {
            Basis::Bookings => "what is booked",
            Basis::Daily => "the hours of the day",
            Basis::Weekly => "the hours of the week",
            Basis::Unknown(_) => "something else",
        };
        let full = it.full.map_or_else(|| "-".into(), minute);
        vec![it.lane.clone(), most, full, format!("{rests_on}, {} h", it.history_hours)]
    });
    println!("{}", table(&["lane", "at most", "full", "rests on"], rows.collect()));
    Ok(())
}

async fn statement(client: &Client, from: Timestamp, project: &str) -> anyhow::Result<()> {
    let id = ProjectId(project.parse()?);
    let ask = StatementAsk { start: Some(from), ..StatementAsk::new(id) };
    let told = client.usage_statement(&ask).await?;
    head(&format!("a statement for {project}"), &format!("statement {project} --from {from}"));
    let consumers = told.projects;
    let (start, end) = (told.start, told.end);
    consumer_table(&Consumers { consumers, more: false, total: told.total, start, end });
    for it in &told.limits {
        let used = it.used.as_ref().map_or_else(|| "-".into(), ToString::to_string);
        println!("  limit of {}: {} {}, used {used}", it.project, it.what, it.allowed);
    }
    Ok(())
}
