//! Where lines of the log go, and how they look; and, in builds that can, where spans are sent.

#[cfg(feature = "otel")]
mod export;

use std::io::IsTerminal;

use anyhow::Context;
use clap::{Args, ValueEnum};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged, and how.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// What to log, such as `info` or `tidegate_broker=debug`
    #[arg(long, env = "TIDEGATE_LOG", default_value = "info", global = true)]
    log: String,

    /// How a line of the log looks
    #[arg(
        long,
        value_name = "FORMAT",
        env = "TIDEGATE_LOG_FORMAT",
        default_value = "text",
        global = true
    )]
    log_format: Format,

    #[cfg(feature = "otel")]
    #[command(flatten)]
    export: export::Export,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object a line, for programs
    Json,
}

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

impl Logs {
    /// Begins to log.
    ///
    /// # Errors
    /// If what is to be logged makes no sense.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        tracing_subscriber::registry().with(self.lines()?).init();
        Ok(())
    }

    /// Begins to log, and to send spans if that is asked for; within a runtime, which sends them.
    ///
    /// # Errors
    /// If what is to be logged makes no sense, or where spans are to be sent.
    #[cfg(feature = "otel")]
    pub(crate) fn start_serving(&self) -> anyhow::Result<Ending> {
        let exporter = self.export.start()?;
        let sent = exporter.as_ref().map(export::Exporter::layer);
        tracing_subscriber::registry().with(self.lines()?).with(sent).init();
        Ok(Ending { exporter })
    }

    /// Begins to log.
    ///
    /// # Errors
    /// If what is to be logged makes no sense.
    #[cfg(not(feature = "otel"))]
    pub(crate) fn start_serving(&self) -> anyhow::Result<Ending> {
        self.start().map(|()| Ending {})
    }

    /// Lines on standard error, with the time in UTC.
    fn lines(&self) -> anyhow::Result<Lines> {
        let filter = EnvFilter::try_new(&self.log).with_context(|| {
            format!("--log {:?} is not a filter; write info or debug", self.log)
        })?;
        let lines = fmt::layer().with_writer(std::io::stderr);
        Ok(match self.log_format {
            Format::Text => {
                let lines = lines.with_ansi(std::io::stderr().is_terminal());
                Box::new(lines.with_filter(filter))
            }
            // Whoever looks for a message or a reason finds it beside the level, and the span within
            // the list of all of them: once.
            Format::Json => {
                let lines = lines.json().flatten_event(true).with_current_span(false);
                Box::new(lines.with_filter(filter))
            }
        })
    }
}

/// What is to be done before the process ends.
#[derive(Debug)]
#[must_use = "spans that wait to be sent would be lost"]
pub(crate) struct Ending {
    #[cfg(feature = "otel")]
    exporter: Option<export::Exporter>,
}

impl Ending {
    /// Sends what waits to be sent.
    #[cfg_attr(not(feature = "otel"), allow(clippy::unused_async, reason = "nothing waits"))]
    pub(crate) async fn flush(self) {
        #[cfg(feature = "otel")]
        if let Some(exporter) = self.exporter {
            exporter.flush().await;
        }
    }
}
