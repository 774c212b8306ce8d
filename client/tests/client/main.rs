//! The client against a broker that says what each test tells it to say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod admissions;
mod asks;
mod blocking;
mod calls;
mod copies;
mod fake;
mod grants;
mod plans;
mod segments;
mod sessions;
mod transfers;
mod watches;

use std::time::Duration;

/// Waits until `done`. The pause only keeps the wait cheap; a test that hangs fails by the limit.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {what}");
}

/// A request for the rate of the fake's grants.
fn ask() -> tidegate_client::Ask {
    tidegate_client::Ask::new(
        "storage/swift".parse().unwrap(),
        "hosts/compute-1".parse().unwrap(),
        "8Mbit".parse().unwrap(),
        tidegate_client::End::After(tidegate_policy::Span::from_secs(3600)),
    )
}
