//! What an administrator does on the first day: from an empty tree of projects to somebody who asks for
//! too much and is told why, and a change that is tried on what was asked before it is made.
//!
//! `cargo run --bin quota_admin` starts a broker in this process, in memory and on a port of its own. It
//! checks what it tells: it fails if any answer is not the one that the story needs.
#![allow(clippy::print_stdout, reason = "an example talks")]

use anyhow::{Context, bail, ensure};
use comfy_table::{Table, presets};
use tidegate_broker::Broker;
use tidegate_broker::config::{Config, JournalPlace};
use tidegate_client::ask::Between;
use tidegate_client::policy::{Amount, Decided, PolicyApplied, PolicyChange, Verdict};
use tidegate_client::policy_file;
use tidegate_client::refusal::RefusalReason;
use tidegate_client::reservation::{CloseReason, State};
use tidegate_client::topology_file;
use tidegate_client::{Ask, Client, ClientError, End, Outcome, Refusal, Reservation, Session};
use tidegate_policy::{ClassId, Principal, ProjectId, Span};

/// One store, two hosts, and a link of 10 Gbit/s between them that everybody wants.
const TOPOLOGY: &str = r#"
switch = [{ name = "left" }, { name = "right" }]

[[host]]
name = "compute-1"
nic = [{ name = "eth0", switch = "right", capacity = "25Gbit" }]
[[host]]
name = "compute-2"
nic = [{ name = "eth0", switch = "right", capacity = "25Gbit" }]

[[link]]
name = "backbone"
from = "left"
to = "right"
capacity = "10Gbit"
reserved = "0%"
overhead = "0%"

[[storage]]
name = "images"
switch = "left"
read = "40Gbit"
write = "20Gbit"
"#;

/// Two teams in one organization. The lab has six of its ten gigabits and lends what it does not use; the
/// shop has four and may borrow. Nobody in the lab has more than half of the backbone, and guests are slow.
const POLICY: &str = r#"
[[project]]
name = "org"
rate = "10Gbit"

[[project]]
name = "lab"
parent = "org"
rate = "6Gbit"
lend = "6Gbit"
budgets = [{ period = "day", bytes = "40TB" }]
labels = { floor = "3" }

[project.each_principal]
shares = [{ of = "links/backbone", part = "50%" }]

[[project]]
name = "shop"
parent = "org"
rate = "4Gbit"
borrow = "6Gbit"

[[project]]
name = "guests"
parent = "org"
reservations = 2

[[rule]]
name = "guests-are-slow"
when = 'request.project == "guests"'
cap = "500Mbit"

[[rule]]
name = "no-endless-night"
when = 'request.duration > duration("12h")'
deny = "ask for 12 hours at most, or talk to the network team"
shadow = true
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::start(Config::ephemeral(JournalPlace::Memory)).await?;
    let (address, stopper) = (broker.address(), broker.stopper());
    println!("broker    {address}, in memory");
    let told = Box::pin(story(&address)).await;
    stopper.cancel();
    broker.wait().await?;
    told
}

async fn story(broker: &str) -> anyhow::Result<()> {
    let client = Client::connect(broker)?;
    client.apply_topology(topology_file::parse(TOPOLOGY)?, false).await?;
    let applied = client.apply_policy(&whole_policy(false)?).await?;
    tell_applied("from an empty tree", &applied);
    ensure!(applied.changes.len() == 4 && applied.rule_changes.len() == 2, "{applied:?}");

    let session = client.open_session("quota-admin").await?;
    the_lab(&client).await?;
    the_shop(&client, &session).await?;
    the_guests(&client).await?;
    what_binds(&client, "lab").await?;
    a_cut_is_tried(&client).await?;
    session.close().await?;
    println!("\nevery answer was the one that the policy says");
    Ok(())
}

fn whole_policy(validate_only: bool) -> anyhow::Result<PolicyChange> {
    let file = policy_file::read(POLICY)?;
    Ok(PolicyChange {
        put: file.projects,
        replace_all: true,
        rules: file.rules.unwrap_or_default(),
        replace_rules: true,
        validate_only,
        ..PolicyChange::default()
    })
}

/// Two people of the lab; one of them asks for more than half.
async fn the_lab(client: &Client) -> anyhow::Result<()> {
    println!("\nthe lab: each of its people may have half of the backbone");
    let ann = ask("lab", "4Gbit")?.principal("ann@example.org".parse()?);
    granted("ann", &client.reserve(&ann).await?)?;
    let more = refused("ann again", client.reserve(&ann.anew()).await?)?;
    ensure!(more.reason == RefusalReason::QuotaExhausted, "{more}");
    let of_ann = "projects/lab/principals/ann@example.org/on/links/backbone/forward";
    ensure!(more.blockers.iter().any(|it| it.lane == of_ann), "{more}");
    let bob = ask("lab", "1Gbit")?.principal("bob@example.org".parse()?);
    granted("bob", &client.reserve(&bob).await?)?;
    Ok(())
}

/// The shop borrows what the lab does not use, until the lab wants it.
async fn the_shop(client: &Client, session: &Session) -> anyhow::Result<()> {
    println!("\nthe shop: four of its own, and what the lab lends");
    let own = granted("its own", &client.reserve(&ask("shop", "4Gbit")?).await?)?;
    ensure!(!own.borrowed, "four are its own");
    let firm = refused("one more, firm", client.reserve(&ask("shop", "1Gbit")?).await?)?;
    ensure!(firm.reason == RefusalReason::QuotaExhausted, "{firm}");
    let lent = ask("shop", "1Gbit")?.bound_to(session.id()).preemptible();
    let lent = granted("one more, that can be taken back", &client.reserve(&lent).await?)?;
    ensure!(lent.borrowed, "it is the lab's");
    // At once it is not free: who has it is told first, and may send until it has heard.
    let between = Between::new("storage/images".parse()?, "hosts/compute-1".parse()?);
    let (rate, hour) = ("1Gbit".parse()?, Span::from_secs(3600));
    let soon = lent.end.plus(Span::from_secs(600));
    let bob = Ask::flexible(between, rate..=rate, hour, soon);
    let bob = bob.project(ProjectId("lab".parse()?)).principal("bob@example.org".parse()?);
    granted("bob of the lab wants it soon", &client.reserve(&bob).await?)?;
    let gone = client.get(&lent.name).await?;
    let taken = State::Closed { why: CloseReason::Preempted };
    ensure!(gone.state == taken, "what was lent is {:?}", gone.state);
    println!("  {:<33} closed: its owner wanted it", "what was lent");
    Ok(())
}

/// A rule caps what guests get, and a count how many of them there are.
async fn the_guests(client: &Client) -> anyhow::Result<()> {
    println!("\nguests: a rule caps their rate, a count their number");
    let fast = refused("2 Gbit/s", client.reserve(&ask("guests", "2Gbit")?).await?)?;
    ensure!(fast.reason == RefusalReason::RuleDenied, "{fast}");
    let class = ask("guests", "400Mbit")?.class(ClassId("bronze".parse()?));
    let slow = refused("bronze, with no room", client.reserve(&class).await?)?;
    ensure!(!slow.blockers.is_empty(), "{slow}");
    Ok(())
}

/// What binds a project now, and how much of it is used.
async fn what_binds(client: &Client, project: &str) -> anyhow::Result<()> {
    let found = client.effective_policy(&ProjectId(project.parse()?)).await?;
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_header(["whose", "limit", "allowed", "used"]);
    for limit in &found.limits {
        let used = limit.used.as_ref().map(words).unwrap_or_default();
        let each = if limit.each_principal { ", each" } else { "" };
        let whose = format!("{}{each}", limit.project);
        table.add_row([whose, limit.what.to_string(), words(&limit.allowed), used]);
    }
    println!("\nwhat binds {project}\n{table}");
    Ok(())
}

/// A cut is looked at twice before it is made: what it would be below, and whom it would have refused.
async fn a_cut_is_tried(client: &Client) -> anyhow::Result<()> {
    println!("\nwhat if the lab had three?");
    let projects = client.list_projects(0, "").await?.0.items.into_iter();
    let lab = projects.map(|it| it.project).find(|it| it.id.to_string() == "lab");
    let mut lab = lab.context("there is a lab")?;
    lab.quota.rate = Some("3Gbit".parse()?);
    lab.quota.lend = Some("3Gbit".parse()?);
    let cut = PolicyChange { put: vec![lab], ..PolicyChange::default() };

    let told = client.simulate_policy(&cut, 0).await?;
    for (before, after, count) in &told.turned {
        let (before, after) = (verdict(*before), verdict(*after));
        println!("  {count} of {}: {before} -> {after}", told.decided);
    }
    for it in told.differing.iter().filter(|it| matches!(it.after, Decided::Refused(_))) {
        if let (Decided::Granted { rate, .. }, Decided::Refused(why)) = (&it.before, &it.after) {
            println!("  {} would not have got {rate}: {}", it.project, why.reason);
        }
    }
    let lost = |it: &(Verdict, Verdict, u64)| {
        it.0 == Verdict::Granted && matches!(it.1, Verdict::Refused(_))
    };
    ensure!(told.turned.iter().any(lost), "somebody would have been refused: {told:?}");

    match client.apply_policy(&cut).await {
        Err(ClientError::QuotasInUse { .. }) => {
            println!("  it is not made: more than that is in use")
        }
        other => bail!("a quota below its use went through: {other:?}"),
    }
    let meant = PolicyChange { ignore_safety_checks: true, ..cut };
    let applied = client.apply_policy(&meant).await?;
    tell_applied("made all the same", &applied);
    ensure!(!applied.overuses.is_empty(), "{applied:?}");
    println!("  nobody lost anything; nothing more is granted to the lab until enough has ended");
    let ann = ask("lab", "100Mbit")?.principal("cy@example.org".parse::<Principal>()?);
    refused("cy of the lab", client.reserve(&ann).await?)?;
    Ok(())
}

// === words ===

fn ask(project: &str, rate: &str) -> anyhow::Result<Ask> {
    let (from, to) = ("storage/images".parse()?, "hosts/compute-1".parse()?);
    let hour = End::After(Span::from_secs(3600));
    Ok(Ask::new(from, to, rate.parse()?, hour).project(ProjectId(project.parse()?)))
}

fn granted(who: &str, outcome: &Outcome) -> anyhow::Result<Reservation> {
    match outcome {
        Outcome::Granted(made) => {
            let lent = if made.borrowed { ", lent" } else { "" };
            println!("  {who:<33} granted {}{lent}", made.rate);
            Ok(made.clone())
        }
        Outcome::Refused(refusal) => bail!("{who} should have been granted: {refusal}"),
    }
}

fn refused(who: &str, outcome: Outcome) -> anyhow::Result<Refusal> {
    match outcome {
        Outcome::Refused(refusal) => {
            println!("  {who:<33} {}", refusal.to_string().replace('\n', "\n    "));
            Ok(refusal)
        }
        Outcome::Granted(made) => bail!("{who} should have been refused: {made:?}"),
    }
}

fn tell_applied(what: &str, applied: &PolicyApplied) {
    println!("\n{what}: policy {}", applied.etag);
    for change in &applied.changes {
        if let Some(project) = change.after.as_ref().or(change.before.as_ref()) {
            println!("  projects/{}", project.id);
        }
    }
    for change in &applied.rule_changes {
        if let Some(rule) = change.after.as_ref().or(change.before.as_ref()) {
            println!("  rules/{}", rule.id);
        }
    }
    for overuse in &applied.overuses {
        println!("  {overuse}");
    }
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Granted => "granted".into(),
        Verdict::Refused(reason) => format!("refused ({reason})"),
        Verdict::Wrong => "wrong".into(),
    }
}

fn words(amount: &Amount) -> String {
    amount.to_string()
}
