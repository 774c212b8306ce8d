//! The answers as JSON: proto3 JSON of the very message that a page shows, by the descriptors that
//! reflection serves, so that gRPC, page and JSON cannot disagree.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde::Serialize;
use tonic::Status;

use crate::status;

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(tidegate_proto::DESCRIPTORS);
    pool.inspect_err(|error| tracing::error!(%error, "no page has its JSON")).ok()
});

/// A message of `tidegate.v1` as proto3 JSON.
pub(super) fn text(name: &str, message: &impl Message) -> Result<Vec<u8>, Status> {
    let failed = || Status::internal(format!("tidegate.v1.{name} cannot be written as JSON"));
    let known =
        POOL.as_ref().and_then(|pool| pool.get_message_by_name(&format!("tidegate.v1.{name}")));
    let known = known.ok_or_else(failed)?;
    let bytes = message.encode_to_vec();
    let dynamic = DynamicMessage::decode(known, bytes.as_slice()).map_err(|_| failed())?;
    let mut json = Vec::new();
    let mut writer = serde_json::Serializer::new(&mut json);
    // What has its default is there too: a zero is not the same as not knowing of a field.
    let options = SerializeOptions::new().skip_default_fields(false);
    dynamic.serialize_with_options(&mut writer, &options).map_err(|_| failed())?;
    Ok(json)
}

/// A message of `tidegate.v1` as an answer.
pub(super) fn response(name: &str, message: &impl Message) -> Result<Response, Status> {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((kind, text(name, message)?).into_response())
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

#[cfg(test)]
mod tests {
    use tidegate_proto::v1;

    use super::*;

    #[test]
    fn messages_are_proto3_json() {
        let info = v1::ServerInfo {
            version: "0.1.0".into(),
            lane_count: 9_007_199_254_740_993,
            lease: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
            now: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            ..Default::default()
        };
        let json: serde_json::Value =
            serde_json::from_slice(&text("ServerInfo", &info).unwrap()).unwrap();
        assert_eq!(json["laneCount"], "9007199254740993", "a number beyond 2^53 is a string");
        assert_eq!(json["lease"], "30s");
        assert_eq!(json["now"], "1970-01-01T00:00:00Z");
        assert_eq!(json["observing"], false);
        assert!(text("NoSuchMessage", &info).is_err());
    }
}
