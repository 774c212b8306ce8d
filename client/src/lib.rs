//! The client library of Tidegate: reserve, then move bytes under the grant.
//!
//! A broker keeps a ledger of what is promised on every NIC, link and storage backend, and grants
//! a request on all lanes of its path at once or not at all. This library asks it, and keeps each
//! grant on the real bytes.
//!
//! # A walk through it
//!
//! **Ask.** An [`Ask`] is a rate, fixed or within bounds, or a volume by a deadline
//! ([`Ask::transfer`]), between endpoints or on named lanes.
//! Rates are payload bits per second ([`BitRate`](tidegate_policy::BitRate), written `2Gbit`),
//! sizes bytes, intervals half-open and in whole milliseconds. The answer is an [`Outcome`]: *no*
//! is an answer, not an error.
//!
//! ```no_run
//! use tidegate_client::{Ask, Client, End, Outcome};
//! use tidegate_policy::Span;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("http://127.0.0.1:7411")?;
//! let (from, to) = ("storage/swift-east".parse()?, "hosts/compute-1".parse()?);
//! let ask = Ask::new(from, to, "2Gbit".parse()?, End::After(Span::from_secs(600)));
//! match client.reserve(&ask).await? {
//!     Outcome::Granted(it) => println!("{} from {} to {}", it.rate, it.start, it.end),
//!     // Says which lane lacks how much, and what would fit instead.
//!     Outcome::Refused(refusal) => println!("{refusal}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **Take an offer.** A [`Refusal`] brings offers: the same rate later, a lower rate now, a later
//! finish, less of a volume in time, another source. [`Client::take`] asks for exactly one of them.
//!
//! **Move bytes.** A [`Session`] keeps an agent alive at the broker, and a [`Grant`] of it is over
//! when the session is. All bytes of a grant pass its [`Limiter`]: nothing moves before the start,
//! the plan is kept, segment by segment, and followed when it changes, and everything stops in time, whether the broker
//! can be reached or not ([`OnUnreachable`]).
//!
//! ```no_run
//! use tidegate_client::{Acquired, Ask, Client, OnUnreachable};
//! use tokio::io::AsyncReadExt;
//!
//! # async fn run(client: Client, ask: Ask) -> Result<(), Box<dyn std::error::Error>> {
//! let session = client.open_session("backup").await?;
//! match session.acquire(&ask, OnUnreachable::Fail).await? {
//!     Acquired::Granted(grant) => {
//!         grant.ready().await?;
//!         let store = tokio::net::TcpStream::connect("image-store:80").await?;
//!         let mut image = Vec::new();
//!         grant.limiter().reader(store).read_to_end(&mut image).await?;
//!         grant.release().await?;
//!     }
//!     Acquired::Refused(refusal) => println!("{refusal}"),
//! }
//! session.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Fetch`] does all of this for a file: reserve, download, verify, release.
//!
//! # What else there is
//!
//! | to | use |
//! | --- | --- |
//! | book several at once, all or none | [`Client::reserve_all`] with a [`Batch`] |
//! | the first that fits, one after the other, every week | [`Client::reserve_batch`] |
//! | copy from one store to another, or to one, under a grant for each direction | [`Carry`] |
//! | send each way of a split plan by itself | [`Grant::way`] |
//! | ask many things without waiting for each | [`Client::admit`] |
//! | see when a rate would fit | [`Client::find_windows`] with a [`Search`] |
//! | see why an answer is what it is | [`Client::explain`] |
//! | change rate, start or end | [`Grant::update`], or [`Client::update`] for somebody else |
//! | say who may have how much | [`Client::apply_policy`], [`Client::effective_policy`] |
//! | follow all reservations | [`Client::watch`] |
//! | see what was booked, used, wasted and refused, and when lanes run full | [`report`] |
//! | tell what was measured on a lane | [`Client::report_observations`] |
//! | do it without async | [`blocking`] |
//! | limit bytes without a broker | [`Limiter`] |
//! | keep the kernel's buffers small | [`socket`] |
//! | limit streams, HTTP bodies, services, files | [`limited`] |
//! | read and write topologies, and policies | [`topology_file`], [`policy_file`] |
//!
//! Without the feature `transfer`, which is on by default, there are no downloads, uploads and copies,
//! and none of the crates that speak to stores: what is left reserves, and limits whatever moves bytes.
//!
//! # Errors
//!
//! Every call returns a [`ClientError`] that says what happened, why, and what to do next, with a
//! variant for each reason that the broker has. Calls that nothing answered are sent again with
//! the same request id, as the [`RetryPolicy`] says; so is what a caller repeats, because asks,
//! batches and changes carry their request ids. What the broker did answer is final.

pub mod admit;
pub mod ask;
pub mod batch;
mod beats;
pub mod blocking;
pub mod bucket;
mod calls;
pub mod change;
pub mod clock;
pub mod connect;
#[cfg(feature = "transfer")]
pub mod copy;
mod course;
#[cfg(feature = "transfer")]
pub mod download;
pub mod error;
#[cfg(feature = "transfer")]
pub mod fetch;
pub mod grant;
mod held;
pub mod limited;
pub mod limiter;
mod notice;
pub mod operator;
pub mod plan;
pub mod policy;
pub mod policy_file;
pub mod refusal;
pub mod report;
pub mod reservation;
pub mod retry;
pub mod session;
pub mod sessions;
pub mod socket;
mod standing;
pub mod steer;
pub mod terms;
pub mod topology;
pub mod topology_file;
pub mod watch;
pub mod windows;
mod wire;

pub use admit::Admission;
pub use ask::{Along, Ask, Assurance, Between, End, OfferToken, Shape, Transfer};
pub use batch::{AllOrNone, Batch, Relation};
pub use bucket::Burst;
pub use change::Change;
pub use connect::{Client, Listing, Page, Settings};
#[cfg(feature = "transfer")]
pub use copy::{Carry, CarryError, CopyError, Copying, Place};
#[cfg(feature = "transfer")]
pub use download::{Digest, Download, DownloadError, Schemes, Tls};
pub use error::ClientError;
#[cfg(feature = "transfer")]
pub use fetch::{Fetch, FetchError, Fetched, OnExpiry};
pub use grant::{Acquired, AllAcquired, Grant, GrantEnd, GrantWay};
pub use limited::Limited;
pub use limiter::{LimitError, Limiter, Revoked};
pub use plan::{PlanWay, Promise, Segment};
pub use policy::{PolicyChange, QuotaBlocker};
pub use refusal::{CounterOffer, Refusal};
pub use reservation::{Etag, Outcome, Reservation, ReservationName};
pub use retry::RetryPolicy;
pub use session::{Session, SessionPhase};
pub use sessions::{SessionInfo, SessionListing, SessionState};
pub use terms::OnUnreachable;
pub use watch::{Watch, Watched};
pub use windows::{Explanation, Search, Windows};

/// How a grant stands, as values and functions of time: what the tests of the broker drive in
/// virtual time. No part of the interface.
#[doc(hidden)]
pub mod law {
    pub use crate::beats::Unanswered;
    pub use crate::held::{Heard, Held, Lease, News};
    pub use crate::reservation::Timing;
    pub use crate::terms::{Order, Window};
}

/// The code in the README is compiled with the tests, so that it cannot rot.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
