//! For how long a limiter has held bytes back.

use std::time::Duration;

use super::{Limiter, State};

/// The time in which somebody waited, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Waits {
    since: Option<u64>,
    before: u64,
}

impl Waits {
    fn note(&mut self, waits: bool, now: u64) {
        match (waits, self.since) {
            (true, None) => self.since = Some(now),
            (false, Some(_)) => {
                self.before = self.total(now);
                self.since = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn total(&self, now: u64) -> u64 {
        let open = self.since.map_or(0, |since| now.saturating_sub(since));
        self.before.saturating_add(open)
    }
}

impl State {
    /// Notes whether somebody waits for credit, after whatever may have changed that.
    pub(super) fn note_waiting(&mut self, now: u64) {
        self.waits.note(self.bucket.waiting() > 0, now);
    }
}

impl Limiter {
    /// For how long so far at least one stream had to wait for credit. Where less moves than the rate
    /// allows and this stands still, what moves the bytes is slower than the limiter. A pause that was
    /// set for a time to come does not count.
    ///
    /// ```
    /// use tidegate_client::{Burst, Limiter};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::new("8Mbit".parse()?, Burst::default());
    /// let mut stream = limiter.stream();
    /// // 20 kB at 8 Mbit/s: 20 ms, of which the burst saves 10.
    /// let mut left = 20_000;
    /// while left > 0 {
    ///     let leased = stream.lease_blocking(left)?;
    ///     stream.charge(leased);
    ///     left -= leased;
    /// }
    /// assert!(limiter.held_back().as_millis() > 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn held_back(&self) -> Duration {
        let now = self.shared.pace.now();
        Duration::from_nanos(self.shared.lock().waits.total(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Burst;
    use tidegate_policy::{BitRate, ByteCount};

    #[test]
    fn time_counts_once_however_often_it_is_looked_at() {
        let mut waits = Waits::default();
        for (waiting, now, total) in
            [(false, 5, 0), (true, 10, 0), (true, 14, 4), (false, 20, 10), (false, 90, 10)]
        {
            waits.note(waiting, now);
            assert_eq!(waits.total(now), total, "{now}");
        }
        waits.note(true, 100);
        assert_eq!(waits.total(101), 11);
        assert_eq!(waits.total(99), 10, "a reading from before");
    }

    /// 10 kB at 8 Mbit/s and the burst of two segments: all of it but that is waited for.
    #[tokio::test(start_paused = true)]
    async fn waiting_is_counted_and_idling_is_not() {
        let rate = BitRate::from_bps(8_000_000).unwrap();
        let limiter = Limiter::new(rate, Burst::Bytes(ByteCount::ZERO));
        let mut stream = limiter.stream();
        let mut left = 10_000;
        while left > 0 {
            let leased = stream.lease(left).await.unwrap();
            stream.charge(leased);
            left -= leased;
        }
        let held = limiter.held_back();
        let least = Duration::from_micros(10_000 - 2896);
        assert!(least <= held && held < least * 2, "{held:?}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(limiter.held_back(), held);
    }
}
