//! Wire to core and back. After [`request`] and [`reads`] no unchecked number exists; [`reply`]
//! forms answers.

pub(crate) mod ask;
pub(crate) mod batch;
pub(crate) mod class;
pub(crate) mod effective;
pub(crate) mod limits;
pub(crate) mod look;
pub(crate) mod network;
pub(crate) mod observed;
pub(crate) mod offer;
mod plan;
pub(crate) mod policy;
pub(crate) mod quota;
pub(crate) mod reads;
pub(crate) mod rehearsal;
pub(crate) mod reply;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod rule;
pub(crate) mod topology;

use tidegate_core::FieldFault;

/// Every bad field of a request, or what it says.
pub(crate) type Checked<T> = Result<T, Vec<FieldFault>>;
