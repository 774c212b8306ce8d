//! The client library of Tidegate: reserve, then move bytes under the grant.
//!
//! - [`Client`] talks to a broker: it asks, confirms, lists, releases.
//! - [`Session`] keeps an agent alive at the broker; grants bound to it end with it.
//! - [`Grant`] is the handle on a reservation, and its [`Limiter`] keeps the promise on real bytes.
//! - [`Download`] fetches a file under a limiter.
//! - [`topology_file`] reads and writes topologies.

mod beats;
pub mod bucket;
pub mod clock;
pub mod connect;
pub mod digest;
pub mod download;
pub mod error;
pub mod fetch;
pub mod grant;
pub mod http;
pub mod limited;
pub mod limiter;
pub mod operator;
pub mod refusal;
pub mod reservation;
pub mod retry;
pub mod session;
pub mod terms;
pub mod topology;
pub mod topology_file;
mod wire;

pub use bucket::Burst;
pub use connect::{Client, Listing, Page, Settings};
pub use digest::Digest;
pub use download::{Download, DownloadError};
pub use error::ClientError;
pub use fetch::{Fetch, FetchError, Fetched};
pub use grant::{Acquired, Grant, GrantEnd};
pub use http::Tls;
pub use limited::Limited;
pub use limiter::{LimitError, Limiter, Revoked};
pub use refusal::{CounterOffer, Refusal};
pub use reservation::{Ask, End, Outcome, Reservation, ReservationName};
pub use retry::RetryPolicy;
pub use session::{Session, SessionPhase};
pub use terms::OnUnreachable;

/// The code in the README is compiled with the tests, so that it cannot rot.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
