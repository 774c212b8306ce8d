//! `AdminService`.

use tidegate_proto::v1;
use tidegate_proto::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

use super::Rpc;
use crate::config::JournalPlace;
use crate::convert::reply;

#[tonic::async_trait]
impl AdminService for Rpc {
    async fn get_server_info(
        &self,
        _: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::ServerInfo>, Status> {
        let published = self.view.read();
        let machine = &published.machine;
        let session = &self.config.session;
        let journal = match self.config.journal {
            JournalPlace::Memory => "memory",
            JournalPlace::Directory(_) => "redb",
        };
        Ok(Response::new(v1::ServerInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            api_versions: vec!["tidegate.v1".into()],
            now: Some(reply::time(self.clock.now())),
            start_time: Some(reply::time(self.started)),
            journal: journal.into(),
            journal_sequence: reply::int(published.sequence),
            topology_version: reply::int(machine.topology_version()),
            lane_count: reply::count(machine.lanes(None).count()),
            live_reservation_count: reply::count(machine.live_reservations()),
            open_session_count: reply::count(machine.open_sessions()),
            beat_every: Some(reply::duration(session.beat_every)),
            lease: Some(reply::duration(session.lease)),
            grace: Some(reply::duration(session.grace)),
        }))
    }
}
