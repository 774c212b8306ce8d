//! Calls below the generated clients: any bytes, any headers, and the status as it came.

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::bytes::Bytes;
use tonic::{Code, Status};

/// A connection that speaks HTTP/2 and leaves gRPC to whoever uses it.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    client: Client<HttpConnector, Full<Bytes>>,
    address: String,
}

/// What came back of one call.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http: http::StatusCode,
    pub(crate) status: Status,
    pub(crate) body: Bytes,
}

impl Raw {
    pub(crate) fn new(address: &str) -> Self {
        let mut tcp = HttpConnector::new();
        // A frame does not wait for the acknowledgement of the one before it.
        tcp.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build(tcp);
        Self { client, address: address.to_owned() }
    }

    /// Sends a whole body; what the transport says is an answer too, of code UNKNOWN.
    pub(crate) async fn send(&self, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Answer {
        let mut request = http::Request::post(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let failed = |error: &dyn std::fmt::Debug| Answer {
            http: http::StatusCode::IM_A_TEAPOT,
            status: Status::new(Code::Unknown, format!("transport: {error:?}")),
            body: Bytes::new(),
        };
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return failed(&error),
        };
        let (parts, mut body) = response.into_parts();
        if path.ends_with("/WatchReservations") && !parts.headers.contains_key("grpc-status") {
            // It does not end by itself: what comes first is the answer.
            let first = body.frame().await.map(|frame| frame.map(|frame| frame.into_data()));
            if let Some(Ok(Ok(body))) = first {
                return Answer { http: parts.status, status: Status::new(Code::Ok, ""), body };
            }
        }
        let body = match body.collect().await {
            Ok(body) => body,
            Err(error) => return failed(&error),
        };
        let trailers = body.trailers().cloned().unwrap_or_default();
        let status = Status::from_header_map(&trailers)
            .or_else(|| Status::from_header_map(&parts.headers))
            .unwrap_or_else(|| Status::new(Code::Unknown, "no status at all"));
        Answer { http: parts.status, status, body: body.to_bytes() }
    }

    /// Calls `Service/Method` with one well-formed frame.
    pub(crate) async fn call(&self, method: &str, message: &[u8]) -> Answer {
        self.send(&path(method), frame(message), GRPC).await
    }
}

/// The headers of a gRPC call.
pub(crate) const GRPC: &[(&str, &str)] =
    &[("content-type", "application/grpc"), ("te", "trailers")];

/// The path of `Service/Method`.
pub(crate) fn path(method: &str) -> String {
    format!("/tidegate.v1.{method}")
}

/// One uncompressed gRPC frame.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}
