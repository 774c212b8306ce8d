//! Takes a backup from a running broker into a file, whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tidegate_proto::v1;
use tidegate_proto::v1::admin_service_client::AdminServiceClient;
use tonic::transport::{Channel, Endpoint};

use super::{BackupError, io_error};
use crate::journal::snapshot::sync_dir;

/// How long a broker may take to answer, and between two pieces.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A backup that was taken.
#[derive(Debug, Clone, Copy)]
pub struct Saved {
    /// The last batch in it.
    pub head: i64,
    /// The size of the file.
    pub bytes: u64,
}

/// Takes a backup from the broker at `broker` into `path`, which must not exist.
///
/// # Errors
/// [`BackupError`]; there is no file then.
pub async fn save(broker: &str, path: &Path) -> Result<Saved, BackupError> {
    if path.exists() {
        return Err(BackupError::Taken { path: path.into(), what: "exists already" });
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    let unfinished = PathBuf::from(unfinished);
    let result = receive(broker, &unfinished).await;
    let result = result.and_then(|saved| {
        std::fs::rename(&unfinished, path).map_err(io_error("rename the finished", &unfinished))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))?;
        Ok(saved)
    });
    if result.is_err() && unfinished.exists() {
        std::fs::remove_file(&unfinished)
            .map_err(io_error("remove the unfinished", &unfinished))?;
    }
    result
}

async fn connect(broker: &str) -> Result<AdminServiceClient<Channel>, BackupError> {
    let unreachable = |error: tonic::transport::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let why = cause.unwrap_or_else(|| error.to_string());
        BackupError::Unreachable { broker: broker.to_owned(), why }
    };
    let endpoint = Endpoint::new(broker.to_owned()).map_err(unreachable)?;
    let channel = endpoint.connect_timeout(ANSWER_MAX).connect().await.map_err(unreachable)?;
    Ok(AdminServiceClient::new(channel))
}

async fn receive(broker: &str, path: &Path) -> Result<Saved, BackupError> {
    let broken = |status: tonic::Status| BackupError::BrokenOff(status.message().to_owned());
    let silent = |_| BackupError::BrokenOff(format!("nothing came for {} s", ANSWER_MAX.as_secs()));
    let mut client = connect(broker).await?;
    let stream = tokio::time::timeout(ANSWER_MAX, client.stream_backup(v1::StreamBackupRequest {}));
    let mut stream = stream.await.map_err(silent)?.map_err(broken)?.into_inner();
    let mut file = create(path)?;
    let (mut hasher, mut bytes) = (Sha256::new(), 0_u64);
    loop {
        let next = tokio::time::timeout(ANSWER_MAX, stream.message()).await.map_err(silent)?;
        let Some(piece) = next.map_err(broken)? else {
            return Err(BackupError::BrokenOff("it ended before its last piece".to_owned()));
        };
        hasher.update(&piece.data);
        bytes = bytes.saturating_add(u64::try_from(piece.data.len()).unwrap_or(u64::MAX));
        file.write_all(&piece.data).map_err(io_error("write", path))?;
        if piece.sha256.is_empty() {
            continue;
        }
        let sum: [u8; 32] = hasher.finalize().into();
        if piece.sha256 != sum {
            return Err(BackupError::BrokenOff("what arrived is not what was sent".to_owned()));
        }
        file.write_all(&sum).map_err(io_error("write", path))?;
        file.sync_all().map_err(io_error("sync", path))?;
        let bytes = bytes.saturating_add(32);
        return Ok(Saved { head: piece.journal_sequence, bytes });
    }
}

/// Makes the file for its owner only: it says who promised what to whom.
fn create(path: &Path) -> Result<File, BackupError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).map_err(io_error("create", path))
}
