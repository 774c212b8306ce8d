//! Every reservation of a range, those that are over included, as lines of a file.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tidegate_policy::{ProjectId, Timestamp};
use tidegate_proto::v1;

use super::{service, time};
use crate::calls::parent;
use crate::connect::Client;
use crate::error::ClientError;
use crate::wire;

/// Which reservations, and how each is written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ExportAsk {
    /// Only those of this project; `None` means of all.
    pub project: Option<ProjectId>,
    /// Those that were booked at some instant from this one on; `None` means 24 hours before the
    /// broker's now.
    pub start: Option<Timestamp>,
    /// And before this one; `None` means the broker's now.
    pub end: Option<Timestamp>,
    /// How each is written.
    pub format: ExportFormat,
    /// Only those for which this CEL expression holds; empty means all.
    pub filter: String,
}

/// How reservations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ExportFormat {
    /// A JSON object each, as the wire has it, on a line of its own.
    #[default]
    JsonLines,
    /// Comma-separated values under a line of names (RFC 4180).
    Csv,
}

/// Whole lines of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportPiece {
    /// The lines, at most 1 MiB.
    pub data: Bytes,
    /// How many reservations they are: a line of names is none.
    pub reservations: u64,
}

/// The pieces of the file, in order, as they come. It ends after an error.
pub struct Exported {
    pieces: BoxStream<'static, Result<ExportPiece, ClientError>>,
}

impl Client {
    /// Every reservation of a range, those that are over included, as lines of a file. The file is
    /// whole when the pieces end without an error.
    ///
    /// ```no_run
    /// use futures_util::TryStreamExt;
    /// use tidegate_client::report::ExportAsk;
    /// # async fn run(client: tidegate_client::Client) -> Result<(), tidegate_client::ClientError> {
    /// let mut file = client.export_reservations(&ExportAsk::default()).await?;
    /// let mut bytes = 0;
    /// while let Some(piece) = file.try_next().await? {
    ///     bytes += piece.data.len();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is no such project, [`ClientError::Invalid`] if the range or
    /// the filter is none. A stream that breaks off later says so as its last piece.
    pub async fn export_reservations(&self, ask: &ExportAsk) -> Result<Exported, ClientError> {
        use v1::export_reservations_request::Format;
        let request = v1::ExportReservationsRequest {
            parent: parent(ask.project.as_ref()),
            start_time: time(ask.start),
            end_time: time(ask.end),
            format: match ask.format {
                ExportFormat::JsonLines => Format::Unspecified,
                ExportFormat::Csv => Format::Csv,
            }
            .into(),
            filter: ask.filter.clone(),
        };
        let deadline = self.settings().deadline;
        let open = || async {
            let mut service = service(self.channel());
            // The deadline binds the opening alone: a large file takes its time.
            let opened = service.export_reservations(request.clone());
            let opened = tokio::time::timeout(deadline, opened).await;
            let opened = opened.map_err(|_| ClientError::Deadline { after: deadline })?;
            opened.map_err(|status| ClientError::from_status(&status, deadline))
        };
        // Nothing was handed on yet, so that it may be asked for again.
        let told = self.settings().retry.run(open).await?.into_inner();
        let pieces = stream::unfold(Some(told), move |told| async move {
            let mut told = told?;
            match told.message().await {
                Ok(None) => None,
                Ok(Some(piece)) => {
                    let piece = ExportPiece::from_wire(piece);
                    let rest = piece.is_ok().then_some(told);
                    Some((piece, rest))
                }
                Err(status) => Some((Err(ClientError::from_status(&status, deadline)), None)),
            }
        });
        Ok(Exported { pieces: pieces.boxed() })
    }
}

impl ExportPiece {
    fn from_wire(wire: v1::ExportReservationsResponse) -> Result<Self, ClientError> {
        let reservations = wire::count("reservation_count", wire.reservation_count)?;
        Ok(Self { data: wire.data.into(), reservations })
    }
}

impl Stream for Exported {
    type Item = Result<ExportPiece, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_next_unpin(cx)
    }
}

impl Exported {
    /// The next piece; `None` at the end of the file, and after an error.
    pub async fn next(&mut self) -> Option<Result<ExportPiece, ClientError>> {
        self.pieces.next().await
    }
}

impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exported").finish_non_exhaustive()
    }
}
