//! What passed a wire when, and how far that is from a rate.

use std::time::Duration;

/// What a packet carries beside its payload, in bytes: Ethernet, IP, TCP with timestamps. One that
/// the kernel has not cut into segments yet is counted with one head.
const HEAD: u64 = 14 + 20 + 32;

/// So many bytes of payload are no head of an answer any more: the content has begun.
const BEGUN: u64 = 1000;

/// The counters of a device at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When, by [`crate::now_ns`].
    pub ns: u64,
    /// All bytes so far.
    pub bytes: u64,
    /// All packets so far.
    pub packets: u64,
}

impl Reading {
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ').map(str::parse);
        let mut number = || words.next()?.ok();
        Some(Self { ns: number()?, bytes: number()?, packets: number()? })
    }
}

#[derive(Clone, Copy, Debug)]
struct Point {
    ns: u64,
    payload: u64,
}

/// Payload by time, from the beginning on.
#[derive(Clone, Debug, Default)]
pub struct Trace(Vec<Point>);

impl Trace {
    pub(crate) fn of(readings: &[Reading]) -> Self {
        let Some(first) = readings.first() else { return Self::default() };
        let mut most = 0;
        let points = readings.iter().map(|reading| {
            let heads = reading.packets.saturating_sub(first.packets).saturating_mul(HEAD);
            let bytes = reading.bytes.saturating_sub(first.bytes);
            // The two counters are not read in the same instant.
            most = most.max(bytes.saturating_sub(heads));
            Point { ns: reading.ns, payload: most }
        });
        Self(points.collect())
    }

    /// What follows an instant.
    #[must_use]
    pub fn from(&self, ns: u64) -> Self {
        Self(self.0.iter().filter(|point| ns <= point.ns).copied().collect())
    }

    /// What comes up to an instant.
    #[must_use]
    pub fn until(&self, ns: u64) -> Self {
        Self(self.0.iter().filter(|point| point.ns <= ns).copied().collect())
    }

    /// From the last reading before the content began, for as long at most; nothing if none came.
    #[must_use]
    pub fn content(&self, span: Duration) -> Self {
        let begun = self.0.iter().position(|point| BEGUN <= point.payload);
        let Some(begin) = begun.and_then(|it| self.0.get(it.saturating_sub(1)..)) else {
            return Self::default();
        };
        let until = begin.first().map_or(0, |first| first.ns.saturating_add(nanos(span)));
        Self(begin.iter().filter(|point| point.ns <= until).copied().collect())
    }

    /// When it begins, by [`crate::now_ns`]; 0 for one of nothing.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.0.first().map_or(0, |point| point.ns)
    }

    /// How long it is.
    #[must_use]
    pub fn span(&self) -> Duration {
        let end = self.0.last().map_or(0, |point| point.ns);
        Duration::from_nanos(end.saturating_sub(self.begin()))
    }

    /// The payload of all of it, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let ends = self.0.first().zip(self.0.last());
        ends.map_or(0, |(first, last)| last.payload.saturating_sub(first.payload))
    }

    /// Its payload, in bit/s.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.bytes() as f64 * 8.0 / self.span().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The least and the most, in bit/s, of all windows that are as long as `span` or, where a
    /// reading was late, barely longer. `None` if it is shorter itself.
    #[must_use]
    pub fn windows(&self, span: Duration) -> Option<(f64, f64)> {
        let span = nanos(span);
        let mut end = 0;
        let mut found: Option<(f64, f64)> = None;
        for first in &self.0 {
            let wanted = first.ns.saturating_add(span);
            while self.0.get(end).is_some_and(|point| point.ns < wanted) {
                end += 1;
            }
            let Some(last) = self.0.get(end) else { break };
            let bits = last.payload.saturating_sub(first.payload) as f64 * 8e9;
            let rate = bits / last.ns.saturating_sub(first.ns).max(1) as f64;
            let (least, most) = found.unwrap_or((rate, rate));
            found = Some((least.min(rate), most.max(rate)));
        }
        found
    }

    /// The smallest bucket through which all of it passes at `bps`, in seconds of that rate: how far any
    /// window went beyond the rate.
    #[must_use]
    pub fn sigma(&self, bps: u64) -> f64 {
        let (mut lowest, mut sigma) = (0.0_f64, 0.0_f64);
        let (begin, before) = (self.begin(), self.0.first().map_or(0, |point| point.payload));
        for point in &self.0 {
            let carried = point.ns.saturating_sub(begin) as f64 / 1e9;
            let ahead = point.payload.saturating_sub(before) as f64 * 8.0 / bps as f64 - carried;
            lowest = lowest.min(ahead);
            sigma = sigma.max(ahead - lowest);
        }
        sigma
    }

    /// How fast it was from `begin` on, step by step: the end of each in seconds, and its rate in bit/s.
    #[must_use]
    pub fn steps(&self, begin: u64, step: Duration) -> Vec<(f64, f64)> {
        let step = nanos(step).max(1);
        let mut steps = Vec::new();
        let mut last = self.0.iter().find(|point| begin <= point.ns).copied();
        for point in &self.0 {
            let Some(from) = last else { break };
            let length = point.ns.saturating_sub(from.ns);
            if point.ns < from.ns || length < step {
                continue;
            }
            let bits = point.payload.saturating_sub(from.payload) as f64 * 8e9;
            steps.push((point.ns.saturating_sub(begin) as f64 / 1e9, bits / length as f64));
            last = Some(*point);
        }
        steps
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A packet of 1000 bytes of payload each millisecond, and 5 more of them in the one at `burst`.
    fn trace(millis: u64, burst: u64) -> Trace {
        let readings = (0..=millis).map(|ms| {
            let packets = ms + if burst <= ms { 5 } else { 0 };
            Reading { ns: 7 + ms * MS, bytes: 99 + packets * (1000 + HEAD), packets: 3 + packets }
        });
        Trace::of(&readings.collect::<Vec<_>>())
    }

    #[test]
    fn heads_are_no_payload() {
        let even = trace(100, 101);
        assert_eq!((even.bytes(), even.span()), (100_000, Duration::from_millis(100)));
        assert!((even.rate() - 8e6).abs() < 1.0, "{}", even.rate());
        assert!(even.sigma(8_000_000) < 1e-9, "{}", even.sigma(8_000_000));
    }

    #[test]
    fn a_burst_is_seen_in_the_windows_and_in_sigma() {
        let uneven = trace(100, 50);
        let (least, most) = uneven.windows(Duration::from_millis(10)).unwrap();
        assert!((least - 8e6).abs() < 1.0 && (most - 12e6).abs() < 1.0, "{least} {most}");
        assert!((uneven.sigma(8_000_000) - 0.005).abs() < 1e-9, "{}", uneven.sigma(8_000_000));
        assert_eq!(uneven.windows(Duration::from_secs(1)), None);
    }

    #[test]
    fn content_begins_with_its_first_packet() {
        let mut readings: Vec<Reading> =
            (0..10).map(|ms| Reading { ns: ms * MS, bytes: 0, packets: 0 }).collect();
        let came =
            |ms: u64| Reading { ns: ms * MS, bytes: (ms - 9) * (1000 + HEAD), packets: ms - 9 };
        readings.extend((10..100).map(came));
        let content = Trace::of(&readings).content(Duration::from_millis(20));
        assert_eq!((content.begin(), content.bytes()), (9 * MS, 20_000));
        assert_eq!(Trace::of(&readings[..9]).content(Duration::from_secs(1)).bytes(), 0);
    }

    #[test]
    fn steps_are_of_equal_length() {
        let steps = trace(100, 50).steps(7, Duration::from_millis(20));
        let rates: Vec<f64> = steps.iter().map(|(_, rate)| (rate / 1e6).round()).collect();
        assert_eq!(rates, [8.0, 8.0, 10.0, 8.0, 8.0]);
        assert!((steps[0].0 - 0.02).abs() < 1e-9);
    }
}
