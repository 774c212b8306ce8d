//! `tidegated`: opens, serves, stops; and looks after the journal while it does not.

mod logs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidegate_broker::backup::save::save;
use tidegate_broker::{Broker, Config, service};
use tokio::signal::unix::{SignalKind, signal};

/// The bandwidth-reservation broker
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    logs: logs::Logs,
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
    /// Check a journal directory from end to end; no broker may run in it
    #[command(after_help = "Example:\n  tidegated audit /var/lib/tidegate")]
    Audit {
        /// The journal directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Take a backup of a running broker
    #[command(
        after_help = "Example:\n  tidegated backup --broker http://127.0.0.1:7411 tidegate.backup"
    )]
    Backup {
        /// Where the broker listens: http://127.0.0.1:7411 or unix:/path
        #[arg(long, value_name = "URL")]
        broker: String,
        /// The file to write, which must not exist
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Put a backup in place as a journal directory
    #[command(after_help = "Example:\n  tidegated restore tidegate.backup /var/lib/tidegate")]
    Restore {
        /// The backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The journal directory, which must be missing or empty
        #[arg(value_name = "DIR")]
        dir: PathBuf,
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
    let Arguments { command, logs } = arguments;
    // What serves sends spans as well, for which it needs its runtime.
    if !matches!(command, Command::Serve { .. }) {
        logs.start()?;
    }
    match command {
        Command::Serve { config } => serve(&logs, &config),
        Command::CheckConfig { config } => {
            check_config(&Config::read(&config)?);
            Ok(())
        }
        Command::Audit { dir } => audit(&dir),
        Command::Backup { broker, file } => backup(&broker, &file),
        Command::Restore { file, dir } => restore(&file, &dir),
    }
}

#[allow(clippy::print_stdout, reason = "what the command was asked for")]
fn check_config(config: &Config) {
    print!("# the configuration is good; with every default it reads:\n{config}");
}

#[allow(clippy::print_stdout, reason = "what the command was asked for")]
fn audit(dir: &Path) -> anyhow::Result<()> {
    let report = tidegate_broker::audit::run(dir)?;
    print!("{report}");
    anyhow::ensure!(report.faults.is_empty(), "{} faults found", report.faults.len());
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "what the command was asked for")]
async fn backup(broker: &str, file: &Path) -> anyhow::Result<()> {
    let saved = save(broker, file).await?;
    println!("saved      {} bytes in {}, up to batch {}", saved.bytes, file.display(), saved.head);
    Ok(())
}

#[allow(clippy::print_stdout, reason = "what the command was asked for")]
fn restore(file: &Path, dir: &Path) -> anyhow::Result<()> {
    let standing = tidegate_broker::backup::restore::restore(file, dir)?;
    print!("restored   {} from {}\n{standing}", dir.display(), file.display());
    Ok(())
}

#[tokio::main]
async fn serve(logs: &logs::Logs, config: &Path) -> anyhow::Result<()> {
    let ending = logs.start_serving()?;
    let served = serve_until_stopped(config).await;
    ending.flush().await;
    served
}

#[allow(clippy::print_stdout, reason = "scripts wait for the address")]
async fn serve_until_stopped(config: &Path) -> anyhow::Result<()> {
    let config = Config::read(config)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let broker = Broker::start(config).await?;
    println!("tidegated listens on {}", broker.address());
    service::ready(&broker.address());
    tokio::spawn(service::watch(broker.pulse()));
    let stopper = broker.stopper();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        service::stopping();
        stopper.cancel();
    });
    broker.wait().await?;
    Ok(())
}
