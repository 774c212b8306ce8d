//! The client library of Tidegate: reserve, then move bytes under the grant.

pub mod bucket;
pub mod clock;
pub mod connect;
pub mod error;
pub mod limited;
pub mod limiter;
pub mod refusal;
pub mod reservation;
pub mod retry;
pub mod topology;
mod wire;

pub use bucket::Burst;
pub use limited::Limited;
pub use limiter::{LimitError, Limiter, Revoked};
pub mod grant;
pub mod session;
pub mod terms;
mod beats;
