//! `tidegate pipe`: what comes in goes out, at the rate of a grant.

use std::io;
use std::os::fd::AsFd;

use anyhow::Context;
use tidegate_client::Grant;
use tidegate_client::limiter::LimitError;
use tidegate_client::reservation::State;
use tidegate_policy::ByteCount;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Desk, name};
use crate::arguments::Pipe;
use crate::exit::{Exit, Mistake};
use crate::output::say;

/// Bytes at once: what is read and not written yet when a grant ends is at most this.
const STEP: usize = 256 * 1024;

pub(super) async fn run(desk: &Desk, typed: &Pipe) -> anyhow::Result<Exit> {
    let reservation = desk.client.get(&name(&typed.grant)?).await?;
    match reservation.state {
        State::Confirmed => {}
        State::Held { .. } => {
            let mistake = Mistake::new(format!("{} is held, not confirmed", reservation.name.id));
            let hint = format!("tidegate confirm {}", reservation.name.id);
            return Err(mistake.hint(hint).into());
        }
        State::Closed { why } => {
            let mistake = Mistake::new(format!("{} is over: {why}", reservation.name.id));
            return Err(mistake.hint("reserve anew, with tidegate reserve").into());
        }
    }
    let grant = desk.client.adopt(reservation)?;
    let passed = tokio::select! {
        passed = pass(&grant) => passed,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    let moved = grant.limiter().moved();
    // Given back in either case: nobody else can use what is left of it.
    let released = grant.release().await;
    passed.with_context(|| told(moved))?;
    released?;
    Ok(Exit::Done)
}

async fn pass(grant: &Grant) -> io::Result<()> {
    let mut input = grant.limiter().reader(end(io::stdin())?);
    let mut output = end(io::stdout())?;
    let mut buffer = vec![0; STEP];
    loop {
        let count = match input.read(&mut buffer).await {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if LimitError::of(&error) == Some(LimitError::Expired) => {
                say("the grant ended before the input did; reserve for longer, or more");
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let written = async {
            output.write_all(buffer.get(..count).unwrap_or_default()).await?;
            output.flush().await
        };
        match written.await {
            // Who reads has had enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
}

/// One end of the pipe, without a buffer of its own.
fn end(end: impl AsFd) -> io::Result<File> {
    let own = end.as_fd().try_clone_to_owned()?;
    Ok(File::from_std(own.into()))
}

fn told(moved: ByteCount) -> String {
    format!("{moved} passed")
}
