//! One more pull, after the past: a real session, real bytes through a real limiter, and what `/metrics` makes
//! of them.

use anyhow::{Context, bail, ensure};
use tidegate_client::{Acquired, Ask, Client, End, OnUnreachable};
use tidegate_policy::{ByteCount, ClassId, ProjectId, Span};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ledger::{Ledger, Whose};

/// How much is moved.
const BYTES: u64 = 32 << 20;
/// The counter of the bytes that were reported since the broker began to serve.
const COUNTER: &str = "tidegate_used_bytes_total";
/// The largest page that is read.
const PAGE_MAX: u64 = 64 << 20;

/// Moves some bytes through memory, and adds them to the ledger. The metrics have to have counted them.
pub(crate) async fn pull(client: &Client, broker: &str, ledger: &mut Ledger) -> anyhow::Result<()> {
    let before = counted(broker).await?;
    let (project, class) = (ProjectId("genomics".parse()?), ClassId("gold".parse()?));
    let (from, to) = ("storage/glance".parse()?, "hosts/indianapolis-2".parse()?);
    let ask = Ask::new(from, to, "400Mbit".parse()?, End::After(Span::from_secs(60)));
    let ask = ask.project(project.clone()).class(class.clone());
    let session = client.open_session("indianapolis-2").await?;
    let grant = match session.acquire(&ask, OnUnreachable::Fail).await? {
        Acquired::Granted(grant) => grant,
        Acquired::Refused(refusal) => bail!("there should be room for 400 Mbit/s: {refusal}"),
    };
    ledger.decide(&project, true);
    let made = grant.reservation().context("a grant has a reservation")?;
    grant.ready().await?;
    let mut image = grant.limiter().reader(tokio::io::repeat(7).take(BYTES));
    let moved = tokio::io::copy(&mut image, &mut tokio::io::sink()).await?;
    grant.release().await?;
    session.close().await?;
    let lanes = made.bookings.iter().map(|booking| booking.lane.clone()).collect();
    ledger.add(made.name.id, &Whose { project, class, lanes }, moved);

    let moved = ByteCount::new(moved);
    println!("\none more pull, now: {moved} at 400 Mbit/s, reported by a real session");
    match (before, counted(broker).await?) {
        (Some(before), Some(after)) => {
            let counted = ByteCount::new(after.saturating_sub(before));
            ensure!(counted == moved, "{COUNTER} counted {counted}, and {moved} moved");
            println!("  yes  /metrics counted the same: {COUNTER} {after}");
        }
        _ => println!("  -    this broker serves no /metrics to compare it with"),
    }
    Ok(())
}

/// What the counter of bytes says; `None` of a broker without metrics.
async fn counted(broker: &str) -> anyhow::Result<Option<u64>> {
    let address = broker.strip_prefix("http://").context("a broker on TCP")?;
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0: the page comes whole, and the connection ends with it.
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    stream.take(PAGE_MAX).read_to_string(&mut page).await?;
    let status = page.split(' ').nth(1).context("an answer without a status")?;
    match status {
        "404" => return Ok(None),
        "200" => {}
        other => bail!("/metrics answered {other}"),
    }
    let line = page.lines().find_map(|line| line.strip_prefix(COUNTER)?.strip_prefix(' '));
    let value = line.with_context(|| format!("/metrics has no {COUNTER}"))?;
    Ok(Some(value.trim().parse().with_context(|| format!("{COUNTER} is {value}"))?))
}
