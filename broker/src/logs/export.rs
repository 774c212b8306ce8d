//! Spans for an OpenTelemetry collector, by OTLP over gRPC.
//!
//! They are sent by a thread of the exporter, from a bounded queue: what does not fit is dropped and
//! counted in its log, and no request waits for a collector.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

/// How long a stop waits for a collector.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Where spans are sent.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The OpenTelemetry collector that spans are sent to, such as `http://127.0.0.1:4317`
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true)]
    otlp_endpoint: Option<String>,
}

impl Export {
    /// Begins to send, if somebody is to receive it.
    ///
    /// # Errors
    /// If it is no address that can be sent to.
    pub(crate) fn start(&self) -> anyhow::Result<Option<Exporter>> {
        // An empty variable is one that is not set, as the specification has it.
        let Some(endpoint) = self.otlp_endpoint.as_deref().filter(|it| !it.is_empty()) else {
            return Ok(None);
        };
        let wrong = format!("--otlp-endpoint {endpoint:?} cannot be sent to");
        anyhow::ensure!(
            endpoint.starts_with("http://"),
            "{wrong}: spans go out without TLS, to a collector nearby; write http://HOST:4317"
        );
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter.with_context(|| format!("{wrong}; write http://HOST:4317"))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource =
            Resource::builder().with_service_name("tidegated").with_attribute(version).build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Some(Exporter { provider }))
    }
}

/// What sends spans.
#[derive(Debug)]
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// Takes the spans of the broker and what is said in them, whatever the log shows. Nothing of the
    /// exporter's own calls: they would never end.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let ours =
            |it: &Metadata<'_>| it.target().starts_with("tidegate") && *it.level() <= Level::DEBUG;
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("tidegated"))
            .with_location(false)
            .with_threads(false)
            .with_filter(filter_fn(ours))
    }

    /// Sends what waits, and no more after that.
    pub(crate) async fn flush(self) {
        // It blocks, and the runtime sends meanwhile.
        let flush = move || self.provider.shutdown_with_timeout(FLUSH_MAX);
        match tokio::task::spawn_blocking(flush).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not sent"),
            Err(error) => tracing::error!(%error, "sending the last spans failed"),
        }
    }
}
