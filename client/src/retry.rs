//! When a call is sent again: only if nothing answered, a few times, ever later, at random.

use std::future::Future;
use std::num::NonZeroUsize;
use std::time::Duration;

use backon::{Backoff, BackoffBuilder, ExponentialBuilder, Retryable};

use crate::error::ClientError;

/// How often and how late a call is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first one included. Default 4.
    pub tries: NonZeroUsize,
    /// The longest pause before the second try; it doubles with each further one. Default 100 ms.
    pub first_pause: Duration,
    /// Pauses grow no longer than this. A broker that asks for a longer one gets no further try:
    /// the error carries its wish to the caller. Default 2 s.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries: NonZeroUsize::MIN.saturating_add(3),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(2),
        }
    }
}

impl RetryPolicy {
    /// Pauses between 0 and the exponential bound, evenly spread ("full jitter"): a thousand
    /// clients that lost the broker at one instant do not come back at one instant.
    pub(crate) fn endless(self) -> impl Backoff {
        let bounds = ExponentialBuilder::new()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause)
            .without_max_times();
        // The builder's own jitter is added on top of the bound; the difference is the even part.
        let jittered = bounds.with_jitter().build();
        jittered.zip(bounds.build()).map(|(with, bound)| with.saturating_sub(bound))
    }

    pub(crate) fn pauses(self) -> impl Backoff + use<> {
        self.endless().take(self.tries.get() - 1)
    }

    /// Calls until there is an answer, or the tries are used up.
    pub(crate) async fn run<T, F>(self, call: impl FnMut() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        call.retry(self.pauses())
            .when(ClientError::is_unreachable)
            .adjust(|error, pause| self.honour(error.retry_after(), pause?))
            .notify(|error, pause| tracing::debug!(%error, ?pause, "asking again"))
            .await
    }

    /// The pause that the broker asked for, where it is the longer one.
    pub(crate) fn honour(self, wish: Option<Duration>, pause: Duration) -> Option<Duration> {
        match wish {
            Some(wish) if wish > self.longest_pause => None,
            Some(wish) => Some(wish.max(pause)),
            None => Some(pause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn lost(retry_after: Option<Duration>) -> ClientError {
        ClientError::Unreachable { why: "gone".into(), retry_after }
    }

    async fn tries(
        outcome: impl Fn(u32) -> Result<(), ClientError>,
    ) -> (u32, Result<(), ClientError>) {
        let count = Cell::new(0);
        let call = || {
            count.set(count.get() + 1);
            let result = outcome(count.get());
            async move { result }
        };
        let result = RetryPolicy::default().run(call).await;
        (count.get(), result)
    }

    #[tokio::test(start_paused = true)]
    async fn four_tries_and_no_more() {
        let (count, result) = tries(|_| Err(lost(None))).await;
        assert_eq!(count, 4);
        assert!(result.unwrap_err().is_unreachable());
        let (count, result) = tries(|n| if n < 3 { Err(lost(None)) } else { Ok(()) }).await;
        assert_eq!((count, result.is_ok()), (3, true));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_never_asked_for_again() {
        let (count, _) = tries(|_| Err(ClientError::Denied { why: String::new() })).await;
        assert_eq!(count, 1);
        let shed = ClientError::Shed { why: String::new(), retry_after: None };
        let (count, _) = tries(move |_| Err(shed.clone())).await;
        assert_eq!(count, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wish_of_the_broker_is_honoured_or_handed_on() {
        let policy = RetryPolicy::default();
        let pause = Duration::from_millis(3);
        let wish = Duration::from_secs(1);
        assert_eq!(policy.honour(Some(wish), pause), Some(wish));
        assert_eq!(policy.honour(None, pause), Some(pause));
        let (count, result) = tries(|_| Err(lost(Some(Duration::from_secs(60))))).await;
        assert_eq!(count, 1);
        assert_eq!(result.unwrap_err().retry_after(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn pauses_stay_below_a_bound_that_doubles() {
        let policy = RetryPolicy::default();
        for _ in 0..50 {
            let mut bound = policy.first_pause;
            for pause in policy.endless().take(12) {
                assert!(pause <= bound, "{pause:?} > {bound:?}");
                bound = (bound * 2).min(policy.longest_pause);
            }
        }
    }
}
