//! Object stores: S3 and Swift, by opendal, over the same transport as everything else.
//!
//! Signing requests and walking through credentials is not a thing to write oneself; sockets and
//! redirects stay ours, so that what a receive buffer holds fits the rate here as well.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use opendal::options::ReaderOptions;
use opendal::{
    Buffer, Error, ErrorKind, HttpBody, HttpTransport, HttpTransporter, OperationContext, Operator,
};
use tidegate_policy::ByteCount;
use tokio_util::io::StreamReader;

use super::{How, Opened, Part, Scheme, Schemes, Source, Stat, web};
use crate::copy::destination::{Destination, Uploading};
use crate::copy::error::CopyError;
use crate::download::error::DownloadError;

/// `s3://BUCKET/KEY`. Where it is not told, endpoint, region and credentials are those of the
/// environment and the files that every tool for S3 reads: `AWS_ENDPOINT_URL`, `AWS_REGION`,
/// `AWS_ACCESS_KEY_ID`, `~/.aws` and so on.
#[derive(Clone, Debug, Default)]
pub struct S3 {
    endpoint: Option<String>,
    region: Option<String>,
    keys: Option<(String, Secret)>,
}

/// `swift://CONTAINER/OBJECT` of one account.
#[derive(Clone, Debug)]
pub struct Swift(Account);

/// Whose objects they are.
#[derive(Clone, Debug)]
pub(crate) enum Account {
    /// Its address, and a token for it.
    Known { url: String, token: Secret },
    /// Who tells both, to whom.
    V1 { auth: String, user: String, key: Secret },
}

/// Secrets are not for logs.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("...")
    }
}

impl S3 {
    /// Asks this server, such as `https://s3.example`.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// In this region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// As who has this access key and its secret.
    #[must_use]
    pub fn keys(mut self, access: impl Into<String>, secret: impl Into<String>) -> Self {
        self.keys = Some((access.into(), Secret(secret.into())));
        self
    }
}

impl Swift {
    /// The account at this URL, by a token.
    #[must_use]
    pub fn account(url: impl Into<String>, token: impl Into<String>) -> Self {
        Self(Account::Known { url: url.into(), token: Secret(token.into()) })
    }

    /// The account that the server at `auth` names to this user: version 1 of the protocol, as
    /// tempauth and `swift -A -U -K` speak it.
    #[must_use]
    pub fn v1(auth: impl Into<String>, user: impl Into<String>, key: impl Into<String>) -> Self {
        Self(Account::V1 { auth: auth.into(), user: user.into(), key: Secret(key.into()) })
    }

    pub(crate) fn store(&self) -> Store {
        Store::Swift(self.0.clone())
    }
}

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) url: String,
    bucket: String,
    pub(crate) key: String,
    pub(crate) store: Store,
}

/// Where an object is, and who may ask for it.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    S3(S3),
    Swift(Account),
}

impl Scheme for S3 {
    fn source(&self, url: &str, _schemes: &Schemes) -> Result<Arc<dyn Source>, DownloadError> {
        let object = Object::at(url, Store::S3(self.clone()));
        Ok(Arc::new(object.map_err(|why| DownloadError::bad_source(url, why))?))
    }

    fn destination(
        &self,
        url: &str,
        _schemes: &Schemes,
    ) -> Result<Arc<dyn Destination>, CopyError> {
        let object = Object::at(url, Store::S3(self.clone()));
        Ok(Arc::new(object.map_err(|why| CopyError::bad_destination(url, why))?))
    }
}

impl Scheme for Swift {
    fn source(&self, url: &str, _schemes: &Schemes) -> Result<Arc<dyn Source>, DownloadError> {
        let object = Object::at(url, self.store());
        Ok(Arc::new(object.map_err(|why| DownloadError::bad_source(url, why))?))
    }

    fn destination(
        &self,
        url: &str,
        _schemes: &Schemes,
    ) -> Result<Arc<dyn Destination>, CopyError> {
        let object = Object::at(url, self.store());
        Ok(Arc::new(object.map_err(|why| CopyError::bad_destination(url, why))?))
    }
}

impl S3 {
    fn builder(&self, bucket: &str) -> opendal::services::S3 {
        let mut builder = opendal::services::S3::default().bucket(bucket);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if let Some(region) = &self.region {
            builder = builder.region(region);
        }
        match &self.keys {
            Some((access, Secret(secret))) => {
                builder.access_key_id(access).secret_access_key(secret)
            }
            None => builder,
        }
    }
}

impl Account {
    /// Its address, and a token for it.
    async fn login(&self, how: &How) -> Result<(String, String), DownloadError> {
        let (auth, user, key) = match self {
            Self::Known { url, token } => return Ok((url.clone(), token.0.clone())),
            Self::V1 { auth, user, key } => (auth, user, key),
        };
        let uri: Uri = auth.parse().map_err(|error| DownloadError::bad_source(auth, error))?;
        let request = web::request(Method::GET, &uri);
        let request = request.header("x-auth-user", user).header("x-auth-key", &key.0);
        let answer = web::ask(request, how).await?;
        let said = |name| answer.headers().get(name).and_then(|it| it.to_str().ok());
        match (said("x-storage-url"), said("x-auth-token")) {
            (Some(url), Some(token)) => Ok((url.to_owned(), token.to_owned())),
            _ => Err(DownloadError::bad_source(auth, "it tells neither X-Storage-Url nor a token")),
        }
    }
}

impl Object {
    pub(crate) fn at(url: &str, store: Store) -> Result<Self, &'static str> {
        let place = url.split_once("://").and_then(|(_, place)| place.split_once('/'));
        let place = place.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
        let (bucket, key) = place.ok_or("write s3://BUCKET/KEY or swift://CONTAINER/OBJECT")?;
        let (url, bucket, key) = (url.to_owned(), bucket.to_owned(), key.to_owned());
        Ok(Self { url, bucket, key, store })
    }

    /// Who asks the store; what it sends with a body goes through `uploading`, where there is one.
    pub(crate) async fn operator(
        &self,
        how: &How,
        uploading: Option<Arc<Uploading>>,
    ) -> Result<Operator, DownloadError> {
        let operator = match &self.store {
            Store::S3(s3) => Operator::new(s3.builder(&self.bucket)),
            Store::Swift(account) => {
                let (url, token) = account.login(how).await?;
                let builder = opendal::services::Swift::default();
                Operator::new(builder.endpoint(&url).container(&self.bucket).token(&token))
            }
        };
        let transport = HttpTransporter::new(Transport { how: how.clone(), uploading });
        let context = OperationContext::new().with_http_transport(transport);
        operator.map(|it| it.with_context(context)).map_err(|error| self.failed(&error))
    }

    async fn looked_up(&self, how: &How) -> Result<(Operator, Stat), DownloadError> {
        let operator = self.operator(how, None).await?;
        let found = in_time(how, operator.stat(&self.key)).await?;
        let found = found.map_err(|error| self.failed(&error))?;
        let size = Some(ByteCount::new(found.content_length()));
        let tag = found.etag().map(str::to_owned);
        Ok((operator, Stat { size, tag, ..Stat::default() }))
    }

    fn failed(&self, error: &Error) -> DownloadError {
        let why = match error.kind() {
            ErrorKind::NotFound => "there is no such object".to_owned(),
            ErrorKind::PermissionDenied => format!("it may not be read: {error}"),
            _ => error.to_string(),
        };
        DownloadError::Store { source_url: self.url.clone(), why, passing: error.is_temporary() }
    }
}

impl Source for Object {
    fn stat<'a>(&'a self, how: &'a How) -> BoxFuture<'a, Result<Stat, DownloadError>> {
        async { self.looked_up(how).await.map(|(_, stat)| stat) }.boxed()
    }

    fn open<'a>(
        &'a self,
        part: &'a Part,
        how: &'a How,
    ) -> BoxFuture<'a, Result<Opened, DownloadError>> {
        async {
            let (operator, stat) = self.looked_up(how).await?;
            let same = part.tag.is_none() || part.tag == stat.tag;
            let from = if same { part.from } else { 0 };
            let until = part.until.filter(|_| same).or(stat.size.map(ByteCount::bytes));
            // What is replaced between the look and the read is noticed by the store.
            let options = ReaderOptions { if_match: stat.tag.clone(), ..ReaderOptions::default() };
            let reader = in_time(how, operator.reader_options(&self.key, options)).await?;
            let reader = reader.map_err(|error| self.failed(&error))?;
            let stream = match until {
                Some(until) => reader.into_bytes_stream(from..until).await,
                None => reader.into_bytes_stream(from..).await,
            };
            let stream = stream.map_err(|error| self.failed(&error))?;
            Ok(Opened { stat, from, reader: Box::new(StreamReader::new(stream)) })
        }
        .boxed()
    }
}

pub(crate) async fn in_time<T>(
    how: &How,
    answer: impl Future<Output = T>,
) -> Result<T, DownloadError> {
    let answer = tokio::time::timeout(how.patience, answer).await;
    answer.map_err(|_| DownloadError::Idle { after: how.patience })
}

/// What opendal sends its requests by.
#[derive(Clone, Debug)]
struct Transport {
    how: How,
    uploading: Option<Arc<Uploading>>,
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        if let Some(uploading) = self.uploading.as_ref().filter(|_| !request.body().is_empty()) {
            return uploading.send(request).await;
        }
        let request = request.map(|body| Full::new(body.to_bytes()));
        let has_body = request.method() != Method::HEAD;
        let answer = web::send(request, &self.how).await.map_err(|error| {
            let passing = error.is_passing();
            let error = Error::new(ErrorKind::Unexpected, error.to_string());
            if passing { error.set_temporary() } else { error }
        })?;
        let size = web::length(answer.headers()).filter(|_| has_body);
        let (head, body) = answer.into_parts();
        let frames = body.into_data_stream().map_ok(Buffer::from).map_err(|error| {
            let error = Error::new(ErrorKind::Unexpected, "the connection broke").set_source(error);
            error.set_temporary()
        });
        Ok(Response::from_parts(head, HttpBody::new(frames, size)))
    }
}
