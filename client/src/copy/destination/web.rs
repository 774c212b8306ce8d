//! Web servers as destinations: one `PUT`.
//!
//! Whether a file is seen before all of it is there is up to the server; a body that breaks off before
//! the length that it announced is one that no server takes for whole.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, stream};
use http::{Method, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tidegate_policy::ByteCount;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Check, Destination, Outlet, Writing};
use crate::copy::error::CopyError;
use crate::copy::sending::{self, Fault};
use crate::download::source::web::{self, Page};
use crate::limited::body::BodyError;

/// Pieces that wait between who writes and the connection.
const WAITING_MAX: usize = 2;

impl Destination for Page {
    fn begin<'a>(
        &'a self,
        size: Option<ByteCount>,
        outlet: &'a Outlet,
    ) -> BoxFuture<'a, Result<Box<dyn Writing>, CopyError>> {
        async move {
            let url = self.uri.to_string();
            let (pieces, inbox) = mpsc::channel(WAITING_MAX);
            let mut request = Request::put(&self.uri)
                .header(header::USER_AGENT, concat!("tidegate/", env!("CARGO_PKG_VERSION")));
            if let Some(size) = size {
                request = request.header(header::CONTENT_LENGTH, size.bytes());
            }
            let request = request.body(StreamBody::new(frames(inbox)).boxed_unsync());
            let request = request.map_err(|error| CopyError::bad_destination(&url, error))?;
            let (uri, own) = (self.uri.clone(), outlet.clone());
            let answer =
                tokio::spawn(
                    async move { sending::taken(&uri, sending::send(request, &own).await?) },
                );
            let (page, outlet) = (self.clone(), outlet.clone());
            let pieces = Some(pieces);
            let (size, answer) = (size.map(ByteCount::bytes), Some(answer));
            let writing = Put { page, outlet, pieces, answer, size, sent: 0 };
            Ok(Box::new(writing) as Box<dyn Writing>)
        }
        .boxed()
    }
}

/// What the body is made of.
enum Piece {
    Bytes(Bytes),
    /// All of it is there. A body whose writer is gone without having said so breaks off.
    End,
}

/// The pieces as they come. Where they stop before their end, the body ends with an error and the
/// connection is cut: no server may take what came for all of it, told the length or not.
fn frames(inbox: mpsc::Receiver<Piece>) -> impl Stream<Item = Result<Frame<Bytes>, BodyError>> {
    stream::unfold(Some(inbox), |inbox| async {
        let mut inbox = inbox?;
        match inbox.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(Frame::data(bytes)), Some(inbox))),
            Some(Piece::End) => None,
            None => Some((Err(Fault("the copy was given up".to_owned()).into()), None)),
        }
    })
}

struct Put {
    page: Page,
    outlet: Outlet,
    /// Where the connection gets its bytes from.
    pieces: Option<mpsc::Sender<Piece>>,
    answer: Option<JoinHandle<Result<Response<Bytes>, CopyError>>>,
    /// What was announced, in bytes.
    size: Option<u64>,
    /// In bytes.
    sent: u64,
}

impl Put {
    /// What the server answered.
    async fn answered(&mut self) -> Result<(), CopyError> {
        let over = || CopyError::bad_destination(&self.page.uri, "it is over already");
        let answer = self.answer.take().ok_or_else(over)?;
        let failed = |error| Err(CopyError::bad_destination(&self.page.uri, error));
        answer.await.unwrap_or_else(failed).map(drop)
    }

    async fn put(&mut self, piece: Piece) -> Result<(), CopyError> {
        let answered = self.answer.as_ref().is_none_or(JoinHandle::is_finished);
        let sent = match &self.pieces {
            Some(pieces) if !answered => pieces.send(piece).await.is_ok(),
            Some(_) | None => false,
        };
        if sent {
            return Ok(());
        }
        // Whoever stops reading in the middle has said why, or an answer that makes no sense.
        self.answered().await?;
        let why = "the server answered before it had all of it".to_owned();
        Err(CopyError::Connect { url: self.page.uri.to_string(), why })
    }

    /// What it has by its own word; many servers do not tell.
    async fn read_back(&self) -> Result<Check, CopyError> {
        let request = web::request(Method::HEAD, &self.page.uri);
        let told = match web::ask(request, &self.outlet.how).await {
            Ok(answer) => web::length(answer.headers()),
            Err(error) => {
                tracing::debug!(url = %self.page.uri, %error, "it does not tell what it has");
                None
            }
        };
        match told {
            Some(stored) if stored == self.sent => Ok(Check::Size),
            Some(stored) => {
                let (sent, stored) = (ByteCount::new(self.sent), ByteCount::new(stored));
                Err(CopyError::ShortWrite { url: self.page.uri.to_string(), sent, stored })
            }
            None => Ok(Check::Taken),
        }
    }
}

impl Writing for Put {
    fn write(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), CopyError>> {
        async {
            let count = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.put(Piece::Bytes(piece)).await?;
            self.sent = self.sent.saturating_add(count);
            Ok(())
        }
        .boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Check, CopyError>> {
        async {
            match &self.pieces {
                // At the length that was announced nobody asks for more.
                Some(pieces) if self.size == Some(self.sent) => {
                    drop(pieces.send(Piece::End).await);
                }
                Some(_) | None => self.put(Piece::End).await?,
            }
            self.answered().await?;
            self.read_back().await
        }
        .boxed()
    }

    fn abort(&mut self) -> BoxFuture<'_, Result<(), CopyError>> {
        async {
            drop(self.pieces.take());
            if let Some(answer) = self.answer.take() {
                answer.abort();
            }
            Ok(())
        }
        .boxed()
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            answer.abort();
        }
    }
}
