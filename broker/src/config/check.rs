//! What settings must be for a broker to run by them.

use tidegate_policy::{ByteCount, Span};

use super::{Config, ConfigError, Listen, PlanningConfig, SessionConfig, SnapshotConfig};

impl Config {
    /// Whether a broker can run by it.
    ///
    /// # Errors
    /// [`ConfigError::Senseless`] with everything that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        if let Listen::Tcp(address) = &self.listen
            && !address.ip().is_loopback()
        {
            faults.push(format!(
                "listen: {address} is not a loopback address, and this broker knows no identities \
                 yet, so everybody who reaches it may do everything; listen on 127.0.0.1 or a \
                 unix socket"
            ));
        }
        self.check_session(&mut faults);
        self.check_limits(&mut faults);
        self.check_planning(&mut faults);
        self.check_snapshots(&mut faults);
        self.reports.check(&mut faults);
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::Senseless(faults)) }
    }

    fn check_session(&self, faults: &mut Vec<String>) {
        let SessionConfig { beat_every, lease, grace } = self.session;
        if beat_every < Span::from_ms(10).unwrap_or_default() {
            faults.push(format!("session.beat_every: it is {beat_every}; write at least 10ms"));
        }
        if lease < beat_every.plus(beat_every) {
            faults.push(format!(
                "session.lease: it is {lease}, so one lost beat in {beat_every} loses the session; \
                 write at least twice session.beat_every"
            ));
        }
        let hour = Span::from_secs(3600);
        if hour < lease || hour < grace {
            faults.push("session: lease and grace are at most 1h each".into());
        }
    }

    fn check_limits(&self, faults: &mut Vec<String>) {
        let limits = &self.limits;
        if limits.retain < Span::from_secs(1200) {
            faults.push(format!(
                "limits.retain: it is {}; a request may be repeated for 20m, write at least that",
                limits.retain
            ));
        }
        if limits.horizon < Span::from_secs(60) {
            faults.push(format!("limits.horizon: it is {}; write at least 1m", limits.horizon));
        }
        let counts = [
            ("reservations", limits.reservations),
            ("sessions", limits.sessions),
            ("reservations_per_session", limits.reservations_per_session),
            ("queue", limits.queue),
            ("requests_per_connection", limits.requests_per_connection),
            ("watchers", limits.watchers),
            ("changes", limits.changes),
        ];
        for (name, count) in counts {
            if !(1..=100_000_000).contains(&count) {
                faults.push(format!("limits.{name}: it is {count}; write 1 to 100000000"));
            }
        }
    }

    fn check_planning(&self, faults: &mut Vec<String>) {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let PlanningConfig { margin_ppm, segments_max, moves_max, .. } = self.planning;
        let PlanningConfig { replan_steps, replan_rounds, no_show_grace, .. } = self.planning;
        let numbers = [
            ("margin_ppm", margin_ppm.into(), 0..=1_000_000),
            ("segments_max", count(segments_max), 1..=1024),
            ("moves_max", count(moves_max), 0..=10_000),
            ("replan_steps", replan_steps, 0..=1_000_000_000),
            ("replan_rounds", count(replan_rounds), 0..=1000),
        ];
        for (name, number, bounds) in numbers {
            if !bounds.contains(&number) {
                let (least, most) = bounds.into_inner();
                faults.push(format!("planning.{name}: it is {number}; write {least} to {most}"));
            }
        }
        if !(Span::from_secs(10)..=Span::from_secs(24 * 3600)).contains(&no_show_grace) {
            faults.push(format!("planning.no_show_grace: it is {no_show_grace}; write 10s to 1d"));
        }
    }

    fn check_snapshots(&self, faults: &mut Vec<String>) {
        let SnapshotConfig { after_batches, after_bytes } = self.snapshots;
        if !(1..=100_000_000).contains(&after_batches) {
            faults.push(format!(
                "snapshots.after_batches: it is {after_batches}; write 1 to 100000000"
            ));
        }
        let most = ByteCount::new(1 << 40);
        if after_bytes == ByteCount::ZERO || most < after_bytes {
            faults.push(format!("snapshots.after_bytes: it is {after_bytes}; write 1B to 1TiB"));
        }
    }
}
