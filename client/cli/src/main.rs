//! `tidegate`: ask for bandwidth, see what is booked, fetch under a grant.
//!
//! Data goes to standard output, everything else to standard error; the exit code says how it
//! went ([`exit`]). No word here decides anything: the broker does.

mod advice;
mod arguments;
mod asking;
mod clerk;
mod commands;
mod exit;
mod output;
mod plot;
mod shell;
mod simulate;
mod things;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return shell::misunderstood(&error).into(),
    };
    let told = arguments.general.log.as_deref().unwrap_or("warn");
    let filter = tracing_subscriber::EnvFilter::try_new(told).unwrap_or_default();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    // On the heap: what some commands wait for is large.
    Box::pin(commands::run(arguments)).await.into()
}
