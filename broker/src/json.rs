//! Messages as proto3 JSON, by the descriptors that reflection serves: what gRPC, a page and a file say of
//! the same thing cannot differ.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use tonic::Status;

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(tidegate_proto::DESCRIPTORS);
    pool.inspect_err(|error| tracing::error!(%error, "nothing can be written as JSON")).ok()
});

/// Whether what has its default is written too: a zero is not the same as not knowing of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Defaults {
    Written,
    LeftOut,
}

/// A message of `tidegate.v1` as proto3 JSON, on one line.
pub(crate) fn text(
    name: &str,
    message: &impl Message,
    defaults: Defaults,
) -> Result<Vec<u8>, Status> {
    let failed = || Status::internal(format!("tidegate.v1.{name} cannot be written as JSON"));
    let known = POOL
        .as_ref()
        .and_then(|pool| pool.get_message_by_name(&format!("tidegate.v1.{name}")))
        .ok_or_else(failed)?;
    let bytes = message.encode_to_vec();
    let dynamic = DynamicMessage::decode(known, bytes.as_slice()).map_err(|_| failed())?;
    let mut json = Vec::new();
    let mut writer = serde_json::Serializer::new(&mut json);
    let options = SerializeOptions::new().skip_default_fields(defaults == Defaults::LeftOut);
    dynamic.serialize_with_options(&mut writer, &options).map_err(|_| failed())?;
    Ok(json)
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
            ..Default::default()
        };
        let whole = text("ServerInfo", &info, Defaults::Written).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        assert_eq!(json["laneCount"], "9007199254740993", "a number beyond 2^53 is a string");
        assert_eq!((&json["lease"], &json["observing"]), (&"30s".into(), &false.into()));
        let short = text("ServerInfo", &info, Defaults::LeftOut).unwrap();
        let wanted = r#"{"version":"0.1.0","laneCount":"9007199254740993","lease":"30s"}"#;
        assert_eq!(String::from_utf8(short).unwrap(), wanted);
        assert!(text("NoSuchMessage", &info, Defaults::Written).is_err());
    }
}
