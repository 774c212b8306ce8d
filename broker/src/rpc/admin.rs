//! `AdminService`.

use std::time::Duration;

use tidegate_proto::v1;
use tidegate_proto::v1::admin_service_server::AdminService;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::Rpc;
use crate::backup::{self, BackupError};
use crate::config::{AdmissionMode, JournalPlace};
use crate::convert::reply;
use crate::journal::{JournalError, Readers, Seq};
use crate::status::Failure;

/// The largest piece of a backup, in bytes.
const PIECE_MAX: usize = 1 << 20;
/// How many pieces wait for a slow receiver.
const PIECES_WAITING: usize = 2;
/// How long a receiver may take for one piece: what is being read keeps its pages in the file.
const TAKE_WITHIN: Duration = Duration::from_secs(60);

#[tonic::async_trait]
impl AdminService for Rpc {
    async fn stream_backup(
        &self,
        _: Request<v1::StreamBackupRequest>,
    ) -> Result<Response<BoxStream<v1::StreamBackupResponse>>, Status> {
        let under_way = self.backups.clone().try_acquire_owned();
        let permit = under_way.map_err(|_| Failure::BackupUnderWay)?;
        let (pieces, sent) = mpsc::channel(PIECES_WAITING);
        let mut sender = Sender {
            pieces,
            stop: self.stop.clone(),
            handle: Handle::current(),
            piece: Vec::new(),
        };
        let readers = self.readers.clone();
        // It reads a disk. Nobody waits for the task: it ends with its last piece, or its receiver.
        tokio::task::spawn_blocking(move || sender.run(&readers, permit));
        Ok(Response::new(Box::pin(ReceiverStream::new(sent))))
    }

    async fn get_server_info(
        &self,
        _: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::ServerInfo>, Status> {
        let published = self.view.read();
        let machine = &published.machine;
        let (session, counts) = (&self.config.session, machine.counts());
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
            no_show_grace: Some(reply::duration(self.config.planning.no_show_grace)),
            moved_count: reply::int(counts.moved),
            no_show_count: reply::int(counts.no_shows),
            false_no_show_count: reply::int(counts.false_no_shows),
            preempted_count: reply::int(counts.preempted),
            room_not_sought_count: reply::int(counts.not_sought),
            observing: self.config.admission.mode == AdmissionMode::Observe,
            observed_count: reply::int(counts.observed),
        }))
    }
}

/// Sends a backup piece by piece.
struct Sender {
    pieces: mpsc::Sender<Result<v1::StreamBackupResponse, Status>>,
    stop: CancellationToken,
    handle: Handle,
    piece: Vec<u8>,
}

impl Sender {
    fn run(&mut self, readers: &Readers, permit: OwnedSemaphorePermit) {
        let failure = match self.backup(readers) {
            Ok(()) | Err(BackupError::Gone) => None,
            Err(BackupError::Journal(JournalError::Closed)) => Some(Failure::Stopped),
            Err(error) => Some(Failure::NoBackup(error.to_string())),
        };
        // Free before the receiver hears of the end, so that it may ask again at once.
        drop(permit);
        let last = match failure {
            Some(failure) => self.send(Err(failure.into())),
            None => Ok(()),
        };
        if last.is_err() {
            tracing::debug!("nobody hears that a backup failed");
        }
    }

    fn backup(&mut self, readers: &Readers) -> Result<(), BackupError> {
        let journal = readers.open()?;
        let Seq(head) = journal.head();
        let sha256 = backup::write(&*journal, &mut |bytes| self.put(bytes))?;
        // Freed before the end is heard: whoever hears it may stop the broker at once.
        drop(journal);
        let data = std::mem::take(&mut self.piece);
        let (sha256, journal_sequence) = (sha256.to_vec(), reply::int(head));
        self.send(Ok(v1::StreamBackupResponse { data, sha256, journal_sequence }))
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), BackupError> {
        while !bytes.is_empty() {
            let room = PIECE_MAX.saturating_sub(self.piece.len()).min(bytes.len());
            self.piece.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
            if PIECE_MAX <= self.piece.len() {
                let data = std::mem::take(&mut self.piece);
                self.send(Ok(v1::StreamBackupResponse { data, ..Default::default() }))?;
            }
        }
        Ok(())
    }

    fn send(&self, piece: Result<v1::StreamBackupResponse, Status>) -> Result<(), BackupError> {
        let sent = tokio::time::timeout(TAKE_WITHIN, self.pieces.send(piece));
        let stopped = async {
            self.stop.cancelled().await;
            BackupError::Journal(JournalError::Closed)
        };
        self.handle.block_on(async {
            tokio::select! {
                biased;
                sent = sent => match sent {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) | Err(_) => Err(BackupError::Gone),
                },
                stopped = stopped => Err(stopped),
            }
        })
    }
}
