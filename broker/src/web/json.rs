//! The JSON beside each page: of the very message that it shows.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use prost::Message;
use serde::Serialize;
use tonic::Status;

use crate::json::{self, Defaults};
use crate::status;

/// A message of `tidegate.v1` as an answer.
pub(super) fn response(name: &str, message: &impl Message) -> Result<Response, Status> {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((kind, json::text(name, message, Defaults::Written)?).into_response())
}

/// What a failure says, in the form of `google.rpc.Status` without details.
#[derive(Serialize)]
struct Said<'a> {
    code: i32,
    message: &'a str,
}

/// A failure as an answer.
pub(super) fn failure(failed: &Status) -> Response {
    let said = Said { code: i32::from(failed.code()), message: failed.message() };
    let kind = [(header::CONTENT_TYPE, "application/json")];
    match serde_json::to_vec(&said) {
        Ok(json) => (status::http(failed), kind, json).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
