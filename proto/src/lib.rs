//! The wire: `tidegate.v1`, generated from the protos beside this file. Nothing here is written
//! by hand, and nothing here decides anything.

/// Messages, clients and servers of `tidegate.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code: its documentation is the protos"
)]
pub mod v1 {
    tonic::include_proto!("tidegate.v1");
}

/// The durable form of what happened, as the journal keeps it. Not served to anybody.
#[allow(
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code: its documentation is the protos"
)]
pub mod journal {
    /// The first and only format.
    pub mod v1 {
        tonic::include_proto!("tidegate.journal.v1");
    }
}

/// The encoded descriptors of `tidegate.v1` and its imports, field annotations and comments
/// included: what reflection serves.
pub const DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/tidegate.descriptors.bin"));
