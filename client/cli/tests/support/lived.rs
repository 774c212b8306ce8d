//! A past for a broker to remember: six hours of one day, with what was moved, wasted and refused.

use tidegate_broker::config::Config;
use tidegate_broker::past::{Became, Past, Wish};
use tidegate_client::topology_file;
use tidegate_policy::{ByteCount, Interval, ReservationId, SessionId, Span, Timestamp};

/// How often the agent is heard, which is alive all the time.
const BEAT: Span = Span::from_secs(20);

const HOUR: Span = Span::from_secs(3600);

/// From midnight on: 900 GB are asked for and moved; at two, 1.8 TB, of which half is moved, while 2.4 TB
/// more find no room in an hour; at six it ends.
pub(crate) fn live(config: &Config, topology: &str, day: Timestamp) {
    let mut past = Past::begin(config, day).unwrap();
    past.apply_topology(&topology_file::parse(topology).unwrap()).unwrap();
    let agent = past.open_session("agent-7".parse().unwrap()).unwrap();
    let hour = |count: u32| day.plus(Span::from_secs(count * 3600));
    let first = past.reserve(agent, &wish("900GB", "2Gbit", HOUR.plus(HOUR))).unwrap();
    let mut first = Moving::new(&first, 100);
    first.until(&mut past, agent, hour(2));
    let second = past.reserve(agent, &wish("1800GB", "4Gbit", HOUR.plus(HOUR))).unwrap();
    for _ in 0..3 {
        let refused = past.reserve(agent, &wish("2400GB", "6Gbit", HOUR)).unwrap();
        assert!(matches!(refused, Became::Refused));
    }
    let mut second = Moving::new(&second, 50);
    second.until(&mut past, agent, hour(6));
    past.end().unwrap();
}

fn wish(volume: &str, max: &str, within: Span) -> Wish {
    Wish {
        project: "default".parse().map(tidegate_policy::ProjectId).unwrap(),
        class: None,
        source: "storage/images".parse().unwrap(),
        destination: "hosts/compute-1".parse().unwrap(),
        volume: volume.parse().unwrap(),
        max: max.parse().unwrap(),
        within,
    }
}

/// What moves under a grant: a part of what its plan says, and never more.
struct Moving {
    id: ReservationId,
    plan: Vec<(Interval, tidegate_policy::BitRate)>,
    percent: u64,
}

impl Moving {
    fn new(became: &Became, percent: u64) -> Self {
        let Became::Granted(id, plan) = became else { panic!("{became:?}") };
        Self { id: *id, plan: plan.clone(), percent }
    }

    /// Lets time pass, and tells in each beat how much has moved.
    fn until(&mut self, past: &mut Past, session: SessionId, end: Timestamp) {
        while past.now() < end {
            past.pass(past.now().plus(BEAT).min(end)).unwrap();
            let now = past.now();
            let before = |(over, rate): &(Interval, tidegate_policy::BitRate)| {
                rate.bytes_in(now.min(over.end()).since(over.start())).bytes()
            };
            let due: u64 = self.plan.iter().map(before).sum();
            let moved = ByteCount::new(due * self.percent / 100);
            past.beat(session, &[(self.id, moved)]).unwrap();
        }
    }
}
