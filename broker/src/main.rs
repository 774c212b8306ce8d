//! `tidegated`: opens, serves, stops.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tidegate_broker::{Broker, Config};
use tokio::signal::unix::{SignalKind, signal};

/// The bandwidth-reservation broker
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// What to log, such as `info` or `tidegate_broker=debug`
    #[arg(long, env = "TIDEGATE_LOG", default_value = "info", global = true)]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to stop
    #[command(after_help = "Example:\n  tidegated serve --config tidegated.toml")]
    Serve {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration file and say what it comes to
    CheckConfig {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

#[allow(clippy::print_stderr, reason = "the last word of a command that failed")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidegated: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&arguments.log).with_context(|| {
        format!("--log {:?} is not a filter; write info or debug", arguments.log)
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match arguments.command {
        Command::Serve { config } => serve(Config::read(&config)?),
        Command::CheckConfig { config } => {
            check_config(&Config::read(&config)?);
            Ok(())
        }
    }
}

#[allow(clippy::print_stdout, reason = "what the command was asked for")]
fn check_config(config: &Config) {
    print!("# the configuration is good; with every default it reads:\n{config}");
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "scripts wait for the address")]
async fn serve(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let broker = Broker::start(config).await?;
    println!("tidegated listens on {}", broker.address());
    let stopper = broker.stopper();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stopper.cancel();
    });
    broker.wait().await?;
    Ok(())
}
