//! `ReportService`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::Fault;
use tidegate_core::lane::LaneName;
use tidegate_policy::{ProjectId, Selector};
use tidegate_proto::v1;
use tidegate_proto::v1::report_service_server::ReportService;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::Rpc;
use crate::convert::report::{
    self, Consumers, Export, Forecast, Known, Refusals, Statement, Utilization,
};
use crate::convert::{effective, policy, reply};
use crate::deadline;
use crate::reports::cell::Cell;
use crate::reports::frame::Frame;
use crate::reports::grain::DAY_MS;
use crate::reports::look::Look;
use crate::reports::{consumers, export, observed, outlook, utilization};
use crate::status::Failure;

/// The most buckets of a page.
const CELLS_MAX: usize = 50_000;
/// The most lanes that are looked at under one lock.
const LANES: usize = 64;
/// The most refusals of a statement.
const REFUSALS_MAX: usize = 100;
/// How large a piece of a file is at most, and how many wait for a slow reader.
const PIECE_MAX: usize = 512 << 10;
const PIECES_WAITING: usize = 2;
/// How many reservations of a file are read at once.
const SLICE: usize = 256;

#[tonic::async_trait]
impl ReportService for Rpc {
    async fn query_utilization(
        &self,
        request: Request<v1::QueryUtilizationRequest>,
    ) -> Result<Response<v1::QueryUtilizationResponse>, Status> {
        let deadline = deadline::of(&request);
        let asked = report::utilization(request.get_ref(), &self.known());
        let asked = asked.map_err(Failure::from)?;
        self.report(deadline, move |rpc, look| rpc.utilization(look, &asked)).await
    }

    async fn list_top_consumers(
        &self,
        request: Request<v1::ListTopConsumersRequest>,
    ) -> Result<Response<v1::ListTopConsumersResponse>, Status> {
        let deadline = deadline::of(&request);
        let asked = report::consumers(request.get_ref(), &self.known()).map_err(Failure::from)?;
        self.report(deadline, move |rpc, look| rpc.consumers(look, &asked)).await
    }

    async fn aggregate_refusals(
        &self,
        request: Request<v1::AggregateRefusalsRequest>,
    ) -> Result<Response<v1::AggregateRefusalsResponse>, Status> {
        let deadline = deadline::of(&request);
        let asked = report::refusals(request.get_ref(), &self.known()).map_err(Failure::from)?;
        self.report(deadline, move |rpc, look| rpc.refusals(look, &asked)).await
    }

    async fn forecast_utilization(
        &self,
        request: Request<v1::ForecastUtilizationRequest>,
    ) -> Result<Response<v1::ForecastUtilizationResponse>, Status> {
        let deadline = deadline::of(&request);
        let asked = report::forecast(request.get_ref(), &self.known()).map_err(Failure::from)?;
        self.report(deadline, move |rpc, look| rpc.forecast(look, &asked)).await
    }

    async fn get_usage_statement(
        &self,
        request: Request<v1::GetUsageStatementRequest>,
    ) -> Result<Response<v1::UsageStatement>, Status> {
        let deadline = deadline::of(&request);
        let asked = report::statement(request.get_ref(), &self.known()).map_err(Failure::from)?;
        self.report(deadline, move |rpc, look| rpc.statement(look, &asked)).await
    }

    async fn export_reservations(
        &self,
        request: Request<v1::ExportReservationsRequest>,
    ) -> Result<Response<BoxStream<v1::ExportReservationsResponse>>, Status> {
        let asked = report::export(request.get_ref(), &self.known()).map_err(Failure::from)?;
        self.exists(asked.project.as_ref())?;
        let turn = self.reports.turn(deadline::of(&request)).await?;
        self.reports.soon().await;
        let look = self.reports.look().map_err(Failure::from)?;
        let (pieces, sent) = mpsc::channel(PIECES_WAITING);
        let rpc = self.clone();
        // It ends with its last piece, or with its reader.
        tokio::task::spawn_blocking(move || {
            if let Err(failed) = rpc.export(&look, &asked, &pieces) {
                drop(pieces.blocking_send(Err(failed)));
            }
            drop(turn);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(sent))))
    }
}

impl Rpc {
    pub(super) fn known(&self) -> Known<'_> {
        Known { now: self.clock.now(), config: &self.config.reports }
    }

    /// Makes a report where it may take its time, not too many at once.
    pub(crate) async fn report<T: Send + 'static>(
        &self,
        deadline: Instant,
        make: impl FnOnce(&Self, &Look) -> Result<T, Status> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let turn = self.reports.turn(deadline).await?;
        self.reports.soon().await;
        let look = self.reports.look().map_err(Failure::from)?;
        let rpc = self.clone();
        let made = tokio::task::spawn_blocking(move || {
            let made = make(&rpc, &look);
            drop(turn);
            made
        });
        Ok(Response::new(made.await.map_err(|_| Failure::Stopped)??))
    }

    /// The lanes that a selector takes. A name without a star has to be one that there is.
    pub(super) fn lanes_of(
        &self,
        look: &Look,
        selector: &Selector,
    ) -> Result<Vec<LaneName>, Status> {
        let mut found = utilization::chosen(&self.view.read().machine, selector);
        let is_name = selector.as_str().contains('/') && !selector.as_str().contains('*');
        if found.is_empty() && is_name {
            // One that is not there any more has its past.
            let gone = look.names().lanes().filter(|(name, _)| selector.takes(name));
            found.extend(gone.map(|(name, _)| LaneName::new(name)));
        }
        if found.is_empty() && is_name {
            let what = selector.to_string();
            return Err(Failure::from(Fault::NotFound { what }).into());
        }
        Ok(found)
    }

    fn utilization(
        &self,
        look: &Look,
        asked: &Utilization,
    ) -> Result<v1::QueryUtilizationResponse, Status> {
        let Utilization { selector, rows, fullest } = asked;
        let frame = &rows.frame;
        let mut lanes = self.lanes_of(look, selector)?;
        if *fullest {
            lanes = self.fullest(look, lanes, frame)?;
        }
        let count = usize::try_from(frame.count()).unwrap_or(usize::MAX).max(1);
        let most = rows.size.min(CELLS_MAX.div_euclid(count).max(1));
        let page = lanes.get(rows.offset..).unwrap_or_default();
        let page = &page[..most.min(page.len())];
        let mut findings: BTreeMap<String, Vec<v1::Finding>> = BTreeMap::new();
        for (key, finding) in look.findings().map_err(Failure::from)? {
            findings.entry(observed::lane_of(&key).to_owned()).or_default().push(finding);
        }
        let mut shown = Vec::with_capacity(page.len());
        for name in page {
            let past = utilization::past(look, name, frame).map_err(Failure::from)?;
            let published = self.view.read();
            let lane = (name, published.machine.lane_named(name));
            let mut it = utilization::whole(look, past, lane, frame);
            drop(published);
            it.findings = findings.remove(name.as_str()).unwrap_or_default();
            it.findings.extend(utilization::unused(look, name).map_err(Failure::from)?);
            shown.push(it);
        }
        let (start_time, end_time) = report::bounds(frame);
        Ok(v1::QueryUtilizationResponse {
            next_page_token: rows.next(shown.len(), lanes.len()),
            lanes: shown,
            bucket: Some(report::bucket_of(frame)),
            start_time,
            end_time,
            now: Some(reply::time(self.clock.now())),
            lane_count: reply::count(lanes.len()),
        })
    }

    /// Lanes, those first of which most is booked at some instant.
    fn fullest(
        &self,
        look: &Look,
        lanes: Vec<LaneName>,
        frame: &Frame,
    ) -> Result<Vec<LaneName>, Status> {
        let mut ranked = Vec::with_capacity(lanes.len());
        for name in lanes {
            let past = utilization::past_peak(look, &name, frame).map_err(Failure::from)?;
            ranked.push((past, name));
        }
        let mut ranked: Vec<_> = ranked
            .chunks(LANES)
            .flat_map(|part| {
                let published = self.view.read();
                let full = |(past, name): &(u64, LaneName)| {
                    let lane = published.machine.lane_named(name);
                    let full =
                        lane.map_or(0, |lane| utilization::fullest(look, (*past, lane), frame));
                    (Reverse(full), name.clone())
                };
                part.iter().map(full).collect::<Vec<_>>()
            })
            .collect();
        ranked.sort();
        Ok(ranked.into_iter().map(|(_, name)| name).collect())
    }

    fn consumers(
        &self,
        look: &Look,
        asked: &Consumers,
    ) -> Result<v1::ListTopConsumersResponse, Status> {
        let Consumers { lanes, group, order, rows } = asked;
        if let Some(lanes) = lanes {
            self.lanes_of(look, lanes)?;
        }
        let had = consumers::had(look, (*group, lanes.as_ref()), &rows.frame);
        let (mut all, total) = had.map_err(Failure::from)?;
        // What is alike stays in the order of names.
        all.sort_by_key(|(_, cell)| Reverse(consumers::rank(*order, cell)));
        let page = all.iter().skip(rows.offset).take(rows.size);
        let consumers: Vec<_> = page.map(|(name, cell)| consumer(name.clone(), cell)).collect();
        let (start_time, end_time) = report::bounds(&rows.frame);
        Ok(v1::ListTopConsumersResponse {
            next_page_token: rows.next(consumers.len(), all.len()),
            consumers,
            total: Some(consumers::consumption(&total)),
            start_time,
            end_time,
        })
    }

    fn refusals(
        &self,
        look: &Look,
        asked: &Refusals,
    ) -> Result<v1::AggregateRefusalsResponse, Status> {
        let Refusals { project, bottleneck, rows } = asked;
        self.exists(project.as_ref())?;
        let name = project.as_ref().map(policy::name);
        let (grain, range) = (rows.frame.grain(), rows.frame.range());
        let groups = look.refusals(grain, range).map_err(Failure::from)?;
        let all = groups.ranked(|group| {
            name.as_ref().is_none_or(|name| *name == group.project)
                && (bottleneck.is_empty() || *bottleneck == group.bottleneck)
        });
        let project = project.as_ref().map(|project| project.0.as_str());
        let granted = consumers::granted(look, project, (grain, range)).map_err(Failure::from)?;
        let refused = all.iter().map(|group| group.refused_count).sum();
        let groups: Vec<_> = all.iter().skip(rows.offset).take(rows.size).cloned().collect();
        let (start_time, end_time) = report::bounds(&rows.frame);
        Ok(v1::AggregateRefusalsResponse {
            next_page_token: rows.next(groups.len(), all.len()),
            groups,
            refused_count: refused,
            granted_count: reply::int(granted),
            start_time,
            end_time,
        })
    }

    fn forecast(
        &self,
        look: &Look,
        asked: &Forecast,
    ) -> Result<v1::ForecastUtilizationResponse, Status> {
        let Forecast { selector, rows } = asked;
        let mut lanes = self.lanes_of(look, selector)?;
        if outlook::LANES_MAX < lanes.len() {
            // Whoever was or is to be full within a week either way.
            let (from, to) = (rows.frame.start.saturating_sub(7 * DAY_MS), rows.frame.end);
            lanes = self.fullest(look, lanes, &Frame::new((from, to), DAY_MS))?;
            lanes.truncate(outlook::LANES_MAX);
        }
        let mut told = Vec::with_capacity(lanes.len());
        for name in &lanes {
            let past = outlook::past(look, name).map_err(Failure::from)?;
            let published = self.view.read();
            let Some(lane) = published.machine.lane_named(name) else { continue };
            let known = outlook::ahead(past, lane, (look.until(), &rows.frame));
            drop(published);
            told.push(outlook::told(&known, &rows.frame));
        }
        told.sort_by_cached_key(outlook::rank);
        let all = told.len();
        let lanes: Vec<_> = told.into_iter().skip(rows.offset).take(rows.size).collect();
        Ok(v1::ForecastUtilizationResponse {
            next_page_token: rows.next(lanes.len(), all),
            lanes,
            bucket: Some(report::bucket_of(&rows.frame)),
            now: Some(reply::time(self.clock.now())),
        })
    }

    fn statement(&self, look: &Look, asked: &Statement) -> Result<v1::UsageStatement, Status> {
        let Statement { project, own_only, frame } = asked;
        let (members, limits) = self.members(project, *own_only)?;
        let mut total = Cell::default();
        let mut periods: BTreeMap<i64, Cell> = BTreeMap::new();
        let mut projects = Vec::with_capacity(members.len());
        for member in &members {
            let had = consumers::of_project(look, member.0.as_str(), frame);
            let mut own = Cell::default();
            for (start, cell) in had.map_err(Failure::from)? {
                periods.entry(start).or_default().merge(&cell);
                own.merge(&cell);
            }
            total.merge(&own);
            projects.push(consumer(policy::name(member), &own));
        }
        let names: Vec<_> = members.iter().map(policy::name).collect();
        let refused = look.refusals(frame.grain(), frame.range()).map_err(Failure::from)?;
        let mut refusals = refused.ranked(|group| names.contains(&group.project));
        refusals.truncate(REFUSALS_MAX);
        let period = |(start, cell): (i64, Cell)| v1::StatementPeriod {
            start_time: crate::reports::time(start),
            consumption: Some(consumers::consumption(&cell)),
        };
        let (start_time, end_time) = report::bounds(frame);
        Ok(v1::UsageStatement {
            name: policy::name(project),
            start_time,
            end_time,
            total: Some(consumers::consumption(&total)),
            projects,
            periods: periods.into_iter().map(period).collect(),
            refusals,
            limits,
        })
    }

    /// A project and those below it, in the order of their names, and what limits it now.
    fn members(
        &self,
        project: &ProjectId,
        own_only: bool,
    ) -> Result<(Vec<ProjectId>, Vec<v1::EffectiveLimit>), Status> {
        let published = self.view.read();
        let machine = &published.machine;
        let found = effective::effective_policy(machine, project, self.clock.now());
        let missing = || Failure::from(Fault::NotFound { what: policy::name(project) });
        let limits = found.ok_or_else(missing)?.limits;
        let projects = machine.projects();
        let is_below = |id: &ProjectId| projects.lineage(id).any(|above| above.id == *project);
        let all = projects.iter().map(|it| &it.id);
        let members = all.filter(|id| *id == project || (!own_only && is_below(id)));
        Ok((members.cloned().collect(), limits))
    }

    fn export(
        &self,
        look: &Look,
        asked: &Export,
        pieces: &mpsc::Sender<Result<v1::ExportReservationsResponse, Status>>,
    ) -> Result<(), Status> {
        let mut lines = export::Lines::new(asked);
        lines.head()?;
        // What is closed while the file is written is in the ledger still, and not in what is kept.
        let mut seen = BTreeSet::new();
        let retain = i64::try_from(self.config.limits.retain.as_ms()).unwrap_or(i64::MAX);
        let remembered = self.clock.now().as_ms().saturating_sub(retain.saturating_mul(2));
        let mut behind = (asked.over.start().as_ms(), 0);
        loop {
            let closed = look.closed(behind, SLICE).map_err(Failure::from)?;
            let Some((last, _)) = closed.last() else { break };
            behind = *last;
            closed.iter().try_for_each(|(_, it)| lines.add(it))?;
            seen.extend(
                closed.iter().filter(|((at, _), _)| remembered <= *at).map(|(key, _)| key.1),
            );
            if PIECE_MAX <= lines.len() && pieces.blocking_send(Ok(lines.take())).is_err() {
                return Ok(());
            }
        }
        let mut after = None;
        loop {
            let now = self.clock.now();
            let place = (after, SLICE);
            let (last, live) = export::left(&self.view.read().machine, place, (now, &seen));
            live.iter().try_for_each(|it| lines.add(it))?;
            let is_full = PIECE_MAX <= lines.len() || last.is_none();
            if is_full && pieces.blocking_send(Ok(lines.take())).is_err() || last.is_none() {
                return Ok(());
            }
            after = last;
        }
    }
}

fn consumer(name: String, cell: &Cell) -> v1::Consumer {
    v1::Consumer { name, consumption: Some(consumers::consumption(cell)) }
}
