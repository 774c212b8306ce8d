//! `WatchReservations`.

use tidegate_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::Rpc;
use crate::convert::reads;
use crate::status::Failure;
use crate::watch::Watcher;

impl Rpc {
    /// A stream of what stands and what changes, made by a task of its own.
    pub(super) fn watch(
        &self,
        request: &Request<v1::WatchReservationsRequest>,
    ) -> Result<Response<BoxStream<v1::WatchReservationsResponse>>, Status> {
        let reads::Watch { scope, token } =
            reads::watch(request.get_ref()).map_err(Failure::from)?;
        self.exists(scope.project.as_ref())?;
        let place = self.watching.place()?;
        let (view, clock) = (self.view.clone(), self.clock.clone());
        let (watcher, told) =
            Watcher::new(view, clock, self.watching.moved(), self.stop.clone(), scope);
        // Behind whatever still waits to be read, so that the last token is the last one.
        let (ending, end) = mpsc::channel(1);
        tokio::spawn(async move {
            let why = watcher.run(token).await;
            drop(place);
            if let Some(why) = why {
                // Whoever is gone need not hear it.
                drop(ending.try_send(Err(why.into())));
            }
        });
        let told = ReceiverStream::new(told).map(Ok).chain(ReceiverStream::new(end));
        Ok(Response::new(Box::pin(told)))
    }
}
