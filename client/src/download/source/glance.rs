//! Images of OpenStack Glance: the record says how large an image is, what its digest is and which
//! store holds it, before a byte moves.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Uri};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use tidegate_policy::ByteCount;

use super::{How, Opened, Part, Scheme, Schemes, Source, Stat, web};
use crate::download::digest::{Algorithm, Digest};
use crate::download::error::DownloadError;

/// `glance://HOST:PORT/ID` over http, `glances://` over https.
#[derive(Clone, Default)]
pub struct Glance {
    token: Option<String>,
}

impl Glance {
    /// Shows a token of Keystone.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }
}

/// Secrets are not for logs.
impl std::fmt::Debug for Glance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "...");
        f.debug_struct("Glance").field("token", &token).finish()
    }
}

/// One image.
#[derive(Debug)]
struct Image {
    glance: Glance,
    url: String,
    record: Uri,
    file: Uri,
    schemes: Schemes,
}

/// What is read of an image's record.
#[derive(Debug, Deserialize)]
struct Record {
    status: String,
    size: Option<u64>,
    checksum: Option<String>,
    os_hash_algo: Option<String>,
    os_hash_value: Option<String>,
    /// Names, separated by commas.
    stores: Option<String>,
    direct_url: Option<String>,
}

/// The longest record that is read, in bytes.
const RECORD_MAX: usize = 1 << 20;

impl Scheme for Glance {
    fn source(&self, url: &str, schemes: &Schemes) -> Result<Arc<dyn Source>, DownloadError> {
        let how = "write glance://HOST:PORT/ID";
        let bad = || DownloadError::bad_source(url, how);
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        let (server, id) = rest.rsplit_once('/').ok_or_else(bad)?;
        if server.is_empty() || id.is_empty() {
            return Err(bad());
        }
        let web = if scheme == "glances" { "https" } else { "http" };
        let uri = |tail: &str| -> Result<Uri, DownloadError> {
            let uri = format!("{web}://{server}/v2/images/{id}{tail}");
            uri.parse().map_err(|error| DownloadError::bad_source(url, error))
        };
        let (record, file) = (uri("")?, uri("/file")?);
        // What a record leads to is never another record.
        let names: Vec<&str> = schemes.names().filter(|it| !it.starts_with("glance")).collect();
        let schemes = schemes.clone().only(&names);
        Ok(Arc::new(Image { glance: self.clone(), url: url.to_owned(), record, file, schemes }))
    }
}

impl Image {
    fn request(&self, uri: &Uri) -> http::request::Builder {
        let request = web::request(Method::GET, uri);
        match &self.glance.token {
            Some(token) => request.header("x-auth-token", token),
            None => request,
        }
    }

    async fn looked_up(&self, how: &How) -> Result<(Record, Stat), DownloadError> {
        let answer = web::ask(self.request(&self.record), how).await?;
        let body = Limited::new(answer.into_body(), RECORD_MAX).collect();
        let body = tokio::time::timeout(how.patience, body).await;
        let body = body.map_err(|_| DownloadError::Idle { after: how.patience })?;
        let body = body.map_err(|error| self.unreadable(error))?.to_bytes();
        let record: Record =
            serde_json::from_slice(&body).map_err(|error| self.unreadable(error))?;
        if record.status != "active" {
            let why = format!("the image is {}, so it has no content to fetch", record.status);
            return Err(DownloadError::bad_source(&self.url, why));
        }
        let stat = Stat {
            size: record.size.map(ByteCount::new),
            // The content of an image never changes: its id is as good as a tag.
            tag: Some(self.url.clone()),
            digest: record.digest(),
            store: record.stores.as_deref().and_then(|it| it.split(',').next()).map(str::to_owned),
        };
        Ok((record, stat))
    }

    fn unreadable(&self, why: impl ToString) -> DownloadError {
        let why = format!("its record cannot be read: {}", why.to_string());
        DownloadError::Store { source_url: self.url.clone(), why, passing: false }
    }

    /// From where the store has it, if that may be read here; else through Glance.
    async fn content(
        &self,
        (record, part): (&Record, &Part),
        how: &How,
    ) -> Result<Opened, DownloadError> {
        let part = Part { tag: None, ..part.clone() };
        if let Some(direct) = record.direct_url.as_deref()
            && let Ok(source) = self.schemes.source(direct)
        {
            match source.open(&part, how).await {
                Ok(opened) => return Ok(opened),
                Err(error) => {
                    tracing::debug!(image = %self.url, %direct, %error, "not read directly");
                }
            }
        }
        let request = web::ranged(self.request(&self.file), &part);
        let answer = web::ask(request, how).await?;
        web::opened(&self.file, answer, &part)
    }
}

impl Record {
    fn digest(&self) -> Option<Digest> {
        let algorithm = match self.os_hash_algo.as_deref() {
            Some("sha512") => Some(Algorithm::Sha512),
            Some("sha256") => Some(Algorithm::Sha256),
            // Others are not known here; the checksum is there for all.
            Some(_) | None => None,
        };
        let strong = algorithm.zip(self.os_hash_value.as_deref());
        let known = strong.or(self.checksum.as_deref().map(|it| (Algorithm::Md5, it)));
        known.and_then(|(algorithm, hex)| Digest::new(algorithm, hex).ok())
    }
}

impl Source for Image {
    fn stat<'a>(&'a self, how: &'a How) -> BoxFuture<'a, Result<Stat, DownloadError>> {
        async { self.looked_up(how).await.map(|(_, stat)| stat) }.boxed()
    }

    fn open<'a>(
        &'a self,
        part: &'a Part,
        how: &'a How,
    ) -> BoxFuture<'a, Result<Opened, DownloadError>> {
        async {
            let (record, stat) = self.looked_up(how).await?;
            let opened = self.content((&record, part), how).await?;
            if let (Some(said), Some(given)) = (stat.size, opened.stat.size)
                && said != given
            {
                let why = format!("its record says {said}, its content is {given}");
                return Err(DownloadError::bad_source(&self.url, why));
            }
            Ok(Opened { stat, ..opened })
        }
        .boxed()
    }
}
