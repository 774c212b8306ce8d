//! The client library of Tidegate: reserve, then move bytes under the grant.

pub mod clock;
