//! What may be asked at all: times against now, bounds, sessions.

use tidegate_core::command::{Ask, Shape};
use tidegate_core::{Fault, SessionState, Until, Ways};
use tidegate_policy::{BitRate, Endpoint, Span, Timestamp};

use super::load::Wish;
use super::oracle::{Expected, Oracle, ms};

impl Oracle {
    /// The times of a request, or the fields that are wrong about it.
    pub(super) fn wish(&self, now: i64, shape: &Shape) -> Result<Wish, Vec<String>> {
        match *shape {
            Shape::Rigid { rate, start, until } => self.rigid(now, rate, start, until),
            Shape::Flexible { min, max, span, start, end } => {
                self.flexible(now, (min, max), (span, start, end))
            }
            Shape::Offered { rate, over } => {
                let (from, to, horizon) =
                    (over.start(), over.end().as_ms(), now + ms(self.limits.horizon));
                let over = self.is_past(now, Some(from)) || to <= now;
                let wrong = [over, rate == BitRate::ZERO, horizon < to];
                let wrong = wrong.into_iter().filter(|bad| *bad);
                let wrong: Vec<String> = wrong.map(|_| "offer_token".into()).collect();
                let first = from.as_ms().max(now);
                let (min, max) = (rate.bps(), rate.bps());
                let wish = Wish { min, max, span: to - first, first, latest: first, horizon };
                if wrong.is_empty() { Ok(wish) } else { Err(wrong) }
            }
            Shape::Transfer { .. } => panic!("transfers have tests of their own"),
        }
    }

    /// What is wished for, or everything that is wrong with what a request says.
    pub(super) fn checked(&self, now: i64, ask: &Ask) -> Result<Wish, Vec<String>> {
        let mut wrong = self.unfit(ask);
        let wish = self.wish(now, &ask.shape);
        let wish = wish.map_err(|fields| wrong.extend(fields)).ok();
        wish.filter(|_| wrong.is_empty()).ok_or(wrong)
    }

    fn rigid(
        &self,
        now: i64,
        rate: BitRate,
        start: Option<Timestamp>,
        until: Until,
    ) -> Result<Wish, Vec<String>> {
        let mut wrong: Vec<String> = Vec::new();
        if rate == BitRate::ZERO {
            wrong.push("rigid.rate_bps".into());
        }
        if self.is_past(now, start) {
            wrong.push("rigid.start_time".into());
        }
        let first = start.map_or(now, Timestamp::as_ms).max(now);
        let (name, to) = match until {
            Until::At(end) => ("rigid.end_time", end.as_ms()),
            Until::After(span) => ("rigid.duration", first + ms(span)),
        };
        let horizon = now + ms(self.limits.horizon);
        for bad in [horizon < to, to <= first] {
            wrong.extend(bad.then(|| name.to_owned()));
        }
        let (min, max) = (rate.bps(), rate.bps());
        let wish = Wish { min, max, span: to - first, first, latest: first, horizon };
        if wrong.is_empty() { Ok(wish) } else { Err(wrong) }
    }

    fn flexible(
        &self,
        now: i64,
        (min, max): (BitRate, BitRate),
        (span, start, end): (Span, Option<Timestamp>, Timestamp),
    ) -> Result<Wish, Vec<String>> {
        let first = start.map_or(now, Timestamp::as_ms).max(now);
        let horizon = now + ms(self.limits.horizon);
        let (span, end) = (ms(span), end.as_ms());
        let wrong = [
            ("flexible.min_bps", min == BitRate::ZERO),
            ("flexible.max_bps", max < min),
            ("flexible.duration", span == 0),
            ("flexible.window_start_time", self.is_past(now, start)),
            ("flexible.window_end_time", horizon < end),
            ("flexible.window_end_time", end < first + span),
        ];
        let wrong: Vec<String> =
            wrong.into_iter().filter(|(_, bad)| *bad).map(|(name, _)| name.into()).collect();
        let (min, max) = (min.bps(), max.bps());
        let wish = Wish { min, max, span, first, latest: end - span, horizon };
        if wrong.is_empty() { Ok(wish) } else { Err(wrong) }
    }

    pub(super) fn is_past(&self, now: i64, start: Option<Timestamp>) -> bool {
        start.is_some_and(|start| start.as_ms() < now - ms(self.limits.past_start))
    }

    fn unfit(&self, ask: &Ask) -> Vec<String> {
        let hold_max = self.limits.hold_max;
        let hold_fits = |hold: Span| hold != Span::ZERO && hold <= hold_max;
        let (sources, via, lanes, onto_itself) = match &ask.ways {
            Ways::Between { sources, destination, via, .. } => {
                let host = matches!(destination, Endpoint::Host(_));
                (sources.len(), via.len(), 1, host && sources.contains(destination))
            }
            Ways::Lanes(lanes) => (1, 0, lanes.len(), false),
        };
        let wrong = [
            ("sources", !(1..=16).contains(&sources)),
            ("via", 8 < via),
            ("destination", onto_itself),
            ("lanes", !(1..=256).contains(&lanes)),
            ("via", self.net.unserved(&ask.ways)),
            ("hold_for", ask.hold_for.is_some_and(|hold| !hold_fits(hold))),
        ];
        wrong.into_iter().filter(|(_, bad)| *bad).map(|(name, _)| name.into()).collect()
    }

    /// Whether there is room for one more.
    pub(super) fn admissible(&self, ask: &Ask) -> Result<(), Expected> {
        let full = |what, limit| Err(Expected::Fault(Fault::Full { what, limit }));
        let limit = self.limits.reservations_max;
        if limit <= self.reservations.len() {
            return full("reservations", limit);
        }
        let Some(id) = ask.session else { return Ok(()) };
        let found = self.sessions.get(&id).map(|session| session.state);
        match found {
            None => {
                let what = format!("sessions/{id}");
                return Err(Expected::Fault(Fault::NotFound { what }));
            }
            Some(SessionState::Open) => {}
            Some(_) => return Err(Expected::Fault(Fault::SessionEnded(id))),
        }
        let limit = self.limits.per_session_max;
        if limit <= self.bound(id).len() {
            return full("live reservations in one session", limit);
        }
        Ok(())
    }
}
