//! `/metrics`, for Prometheus: what stands is computed from the published state when it is asked for,
//! so that no gauge can disagree with the ledger; what was counted is in [`crate::meters`].

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};
use tidegate_proto::v1;

use super::classic;
use super::standing::{ProjectRow, Standing};
use crate::rpc::Rpc;

/// How long a sign of life of the writer may take.
const PING_WITHIN: Duration = Duration::from_secs(2);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page, as OpenMetrics where that is asked for.
pub(super) async fn page(rpc: Rpc, headers: HeaderMap) -> Response {
    let accepts = headers.get_all(header::ACCEPT).iter();
    let mut accepts = accepts.filter_map(|it| it.to_str().ok());
    let open = accepts.any(|it| it.contains("application/openmetrics-text"));
    // One at a time: whoever asks too often waits for himself.
    let Ok(turn) = rpc.scrapes.clone().acquire_owned().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let pinged = tokio::time::timeout(PING_WITHIN, rpc.queue.ping()).await;
    let alive = matches!(pinged, Ok(Ok(())));
    let made = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut registry = Registry::with_prefix("tidegate");
        rpc.meters.register(&mut registry);
        let standing = Standing::of(&rpc, alive);
        registry.register_collector(Box::new(Ledger { standing }));
        let mut told = String::new();
        text::encode(&mut told, &registry).map(|()| told)
    });
    match made.await {
        Ok(Ok(told)) if open => ([(header::CONTENT_TYPE, OPEN_METRICS)], told).into_response(),
        Ok(Ok(told)) => ([(header::CONTENT_TYPE, CLASSIC)], classic::of(&told)).into_response(),
        Ok(Err(_)) | Err(_) => {
            tracing::error!("metrics could not be written; report it");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What stands, as a scrape is told of it.
#[derive(Debug)]
struct Ledger {
    standing: Standing,
}

/// Its name, what it says, and of which lane it says what.
type LaneGauge = (&'static str, &'static str, fn(&v1::Lane) -> i64);
type NoLabels = [(&'static str, &'static str); 0];
const RATE: &str = "bits_per_second";

/// Writes one metric after another.
struct Telling<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
}

impl Telling<'_, '_> {
    fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        (name, unit): (&str, Option<Unit>),
        help: &str,
        rows: impl Iterator<Item = (L, V)>,
    ) -> fmt::Result {
        let unit = unit.as_ref();
        let mut metric = self.encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in rows {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }

    fn rates<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = (L, i64)>,
    ) -> fmt::Result {
        self.gauges((name, Some(Unit::Other(RATE.into()))), help, rows)
    }

    fn counter(
        &mut self,
        (name, unit): (&str, Option<Unit>),
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        let unit = unit.as_ref();
        let mut metric = self.encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        metric.encode_counter(&value, None::<&Exemplar<NoLabels, u64>>)
    }
}

impl Collector for Ledger {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut telling = Telling { encoder: &mut encoder };
        self.process(&mut telling)?;
        self.ledger(&mut telling)?;
        self.counts(&mut telling)?;
        self.lanes(&mut telling)?;
        self.projects(&mut telling)
    }
}

impl Ledger {
    fn process(&self, telling: &mut Telling<'_, '_>) -> fmt::Result {
        let it = &self.standing;
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("journal", it.journal)];
        let build = "The version that runs, and where its journal is kept; always 1.";
        telling.gauges(("build_info", None), build, [(labels, 1_i64)].into_iter())?;
        let started = "When this process began to serve, in seconds since 1970.";
        let unit = Some(&Unit::Seconds);
        let encoder = &mut telling.encoder;
        let mut metric =
            encoder.encode_descriptor("start_time", started, unit, MetricType::Gauge)?;
        metric.encode_gauge(&it.started_s)?;
        telling.gauge(
            "writer_alive",
            "Whether the writer and the journal answered within two seconds: 1, or 0.",
            i64::from(it.alive),
        )?;
        telling.gauge("requests_waiting", "Requests that wait for a decision.", it.waiting)?;
        telling.gauge("watches", "Watches of reservations that are open.", it.watches)?;
        telling.gauge("observing", "Whether nobody is refused: 1, or 0.", i64::from(it.observing))
    }

    fn ledger(&self, telling: &mut Telling<'_, '_>) -> fmt::Result {
        let it = &self.standing;
        telling.gauge(
            "journal_sequence",
            "The last batch of the journal that is durable.",
            it.sequence,
        )?;
        telling.gauge("topology_version", "How many topologies were applied.", it.topology)?;
        telling.gauge("policy_version", "How often the policy was changed.", it.policy)?;
        telling.gauge("sessions_open", "Sessions that are open.", it.sessions)?;
        let states = [("held", it.held), ("confirmed", it.confirmed), ("closed", it.closed)];
        telling.gauges(
            ("reservations", None),
            "Reservations that are held, confirmed, or closed and remembered.",
            states.iter().map(|(state, count)| ([("state", *state)], *count)),
        )
    }

    fn counts(&self, telling: &mut Telling<'_, '_>) -> fmt::Result {
        let counts = &self.standing.counts;
        let plain = [
            ("plans_moved", "Plans that were moved to make room.", counts.moved),
            (
                "no_shows",
                "Reservations taken back because nothing moved under them.",
                counts.no_shows,
            ),
            (
                "no_shows_false",
                "Those of them under which bytes were reported later.",
                counts.false_no_shows,
            ),
            ("preempted", "Reservations closed for a higher priority.", counts.preempted),
            (
                "room_not_sought",
                "Requests for which no room was looked for, because that had had its time.",
                counts.not_sought,
            ),
            ("observed", "Reservations that would have been refused.", counts.observed),
            (
                "report_facts_lost",
                "Facts that reports had no place for; they are made good from the state.",
                self.standing.facts_lost,
            ),
        ];
        for (name, help, count) in plain {
            telling.counter((name, None), help, count)?;
        }
        let used = "Bytes that sessions reported as moved.";
        telling.counter(("used", Some(Unit::Bytes)), used, counts.used_bytes)?;
        telling.counter(
            ("held_back", Some(Unit::Seconds)),
            "Time for which limiters of agents held bytes back, as sessions reported it.",
            Duration::from_millis(counts.held_back_ms).as_secs_f64(),
        )
    }

    fn lanes(&self, telling: &mut Telling<'_, '_>) -> fmt::Result {
        let it = &self.standing;
        telling.gauge("lanes", "Lanes of NICs, links and storage.", it.lane_count)?;
        telling.gauge(
            "lanes_left_out",
            "Lanes of which this page does not tell: reports.lanes_in_metrics, metrics_selector.",
            it.lane_count.saturating_sub(it.lanes.len()),
        )?;
        let rows: [LaneGauge; 4] = [
            ("lane_capacity", "What can be booked where no maintenance is.", |it| it.capacity_bps),
            ("lane_limit", "What can be booked now: maintenance is taken away.", |it| it.left_bps),
            ("lane_booked", "What is booked now.", |it| it.booked_bps),
            ("lane_used", "What moves by the last reports of sessions, payload.", |it| it.used_bps),
        ];
        for (name, help, value) in rows {
            let rows = it.lanes.iter().map(|it| ([("lane", it.name.as_str())], value(it)));
            telling.rates(name, help, rows)?;
        }
        let help = "Whether it takes nothing new: 1, or 0.";
        let rows = it.lanes.iter().map(|it| ([("lane", it.name.as_str())], i64::from(it.drained)));
        telling.gauges(("lane_drained", None), help, rows)
    }

    fn projects(&self, telling: &mut Telling<'_, '_>) -> fmt::Result {
        let it = &self.standing;
        telling.gauge("projects", "Projects.", it.project_count)?;
        telling.gauge(
            "projects_left_out",
            "Projects of which this page does not tell: it tells of a thousand.",
            it.project_count.saturating_sub(it.projects.len()),
        )?;
        let of = |it: &'_ ProjectRow| [("project", it.name.clone())];
        telling.gauges(
            ("project_reservations", None),
            "Reservations held or confirmed, those of projects below included.",
            it.projects.iter().map(|it| (of(it), it.live)),
        )?;
        telling.rates(
            "project_booked",
            "Payload promised now, that of projects below included.",
            it.projects.iter().map(|it| (of(it), it.booked)),
        )?;
        let quotas = || it.projects.iter().filter_map(|it| Some((of(it), it.quota?)));
        telling.rates(
            "project_rate_limit",
            "What the rate quota of the project itself allows now.",
            quotas().map(|(labels, (limit, _))| (labels, limit)),
        )?;
        telling.rates(
            "project_rate_used",
            "What is booked of the rate quota now.",
            quotas().map(|(labels, (_, used))| (labels, used)),
        )
    }
}
