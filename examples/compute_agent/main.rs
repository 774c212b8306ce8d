//! A compute agent that reserves before it downloads.
//!
//! `compute_agent fetch URL DEST --to hosts/NAME --from storage/NAME --rate 2Gbit` fetches one image.
//!
//! `compute_agent serve --to hosts/NAME --socket PATH --state DIR` is what a host runs: it takes requests
//! for images on a unix socket, a line of JSON each, from agents in any language. It queues them by
//! deadline, reserves, downloads, verifies and reports; requests for the same content share one
//! reservation and one transfer. What it has accepted survives its own `kill -9` and goes on where it
//! was; a broker that restarts is waited for. `protocol.rs` lists the words of the socket.
#![allow(clippy::print_stdout, reason = "what the example has to say")]

mod fetch;
mod grants;
mod journal;
mod protocol;
mod queue;
mod serve;
mod work;

use clap::{Parser, Subcommand};

/// Reserve, download under the grant, verify, release
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// Where the broker listens
    #[arg(long, global = true, env = "TIDEGATE_BROKER", default_value = "http://127.0.0.1:7411")]
    broker: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Fetch one image
    Fetch(fetch::Arguments),
    /// Serve the agents of this host on a unix socket
    Serve(serve::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { broker, verb } = Arguments::parse();
    match verb {
        Verb::Fetch(arguments) => fetch::run(&broker, arguments).await,
        Verb::Serve(arguments) => serve::run(&broker, arguments).await,
    }
}
