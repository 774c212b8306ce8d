//! What policy costs: an admission under five levels of quotas and ten rules beside one under none, and a
//! change of a quota above a hundred thousand live reservations, and what hours of the week take.
//!
//! `cargo bench -p tidegate-broker --bench policy` prints one line of JSON per figure. The two
//! contenders take turns in one run on the same network, each with as many reservations before it;
//! everything goes through `decide` and `apply`. `-- --quick` does a tenth of it, to see that it runs.
//! A goal that is missed on a machine too busy to tell is `"ok":"inconclusive"`: read no figure
//! without the load beside it.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![allow(clippy::disallowed_types, reason = "a benchmark measures time")]
#![allow(clippy::print_stdout, reason = "the figures are the output")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::time::{Duration, Instant};

use tidegate_core::event::RequestMark;
use tidegate_core::topology::spec::{
    Capacity, Framing, HostSpec, LinkSpec, NicSpec, Node, StorageSpec,
};
use tidegate_core::{
    Answer, Ask, Command, Edit, Limits, Machine, PolicyAsk, Request, Shape, Stamp, Standing, Terms,
    TopologySpec, Until, Ways,
};
use tidegate_policy::{
    BitRate, Effect, Endpoint, Name, Project, ProjectId, Quota, RequestId, Rule, RuleId, Span,
    Timestamp,
};

const NOW_MS: i64 = 1_767_225_600_000;
/// Switches between the storage and the host.
const HOPS: usize = 4;
const LEVELS: usize = 5;
const RULES: usize = 10;
/// The goals: an admission under quotas over one under none, and a change of one.
const ADMISSION_PERCENT: u128 = 170;
const CHANGE_MS: u128 = 100;

#[derive(Clone, Copy)]
struct Scale {
    /// Admissions of each contender in each round.
    admissions: usize,
    rounds: usize,
    /// Live reservations under the quota that changes.
    live: usize,
    /// Projects with hours of the week.
    with_hours: usize,
}

const WHOLE: Scale = Scale { admissions: 2_000, rounds: 15, live: 100_000, with_hours: 5_000 };
const QUICK: Scale = Scale { admissions: 200, rounds: 5, live: 10_000, with_hours: 1_000 };

fn main() {
    // Cargo says `--bench` as well.
    let quick = std::env::args().any(|argument| argument == "--quick");
    let scale = if quick { QUICK } else { WHOLE };
    row("host", "load average at the start", &load_average(), None);
    admissions(scale);
    change(scale);
    hours(scale);
    row("host", "load average at the end", &load_average(), None);
}

fn row(bench: &str, metric: &str, value: &str, goal: Option<(u128, bool)>) {
    let goal = match goal {
        Some((goal, false)) if is_busy() => format!(r#""<= {goal}","ok":"inconclusive""#),
        Some((goal, ok)) => format!(r#""<= {goal}","ok":{ok}"#),
        None => r#"null,"ok":null"#.into(),
    };
    println!(
        r#"{{"bench":"{bench}","contender":"tidegate","metric":"{metric}","value":{value},"goal":{goal}}}"#
    );
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().to_owned()
}

fn is_busy() -> bool {
    let cores = std::thread::available_parallelism().unwrap().get();
    load_average().parse::<f64>().unwrap() > f64::from(u32::try_from(cores).unwrap())
}

/// A machine, and what it has been asked so far.
struct World {
    machine: Machine,
    serial: u128,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let limits = Limits { reservations_max: usize::MAX, ..Limits::default() };
        let now = Timestamp::from_ms(NOW_MS).unwrap();
        let mut world = Self { machine: Machine::new(limits), serial: 0, now };
        world.ask(Command::ApplyTopology { spec: chain().into(), accept_losses: false });
        world
    }

    /// Asks and follows: how long it took.
    fn ask(&mut self, command: Command) -> (Answer, Duration) {
        self.serial += 1;
        let bits = u128::try_from(self.now.as_ms()).unwrap() << 80 | 7 << 76 | 2 << 62;
        let mark =
            RequestMark { id: RequestId::from_u128(bits | self.serial), fingerprint: [0; 32] };
        let stamp = Stamp { now: self.now, fresh: self.serial };
        let request = Request { mark, command };
        let begun = Instant::now();
        let decision = self.machine.decide(stamp, &request).unwrap();
        for event in &decision.events {
            self.machine.apply(event).unwrap();
        }
        (decision.answer, begun.elapsed())
    }

    /// One more of a project, a second somewhere in the next days.
    fn admit(&mut self, project: &ProjectId) -> Duration {
        let start = self.now.as_ms() + i64::try_from(self.serial * 7919 % 200_000).unwrap() * 1000;
        let ask = Ask {
            owner: project.clone().into(),
            ways: Ways::Between {
                sources: vec![Endpoint::Storage(name("store"))],
                destination: Endpoint::Host(name("host")),
                via: Vec::new(),
                path: None,
            },
            shape: Shape::Rigid {
                rate: BitRate::from_bps(1_000).unwrap(),
                start: Timestamp::from_ms(start),
                until: Until::After(Span::from_secs(60)),
            },
            terms: Terms::default(),
            hold_for: None,
            session: None,
            hold_best_offer: false,
            movable: false,
            standing: Standing::default(),
        };
        let (answer, took) = self.ask(Command::Reserve(ask.into()));
        assert!(matches!(answer, Answer::Reservation(_)), "{answer:?}");
        took
    }

    fn put(&mut self, put: Vec<Project>) -> Duration {
        let projects = Edit { put, ..Edit::default() };
        let ask = PolicyAsk { projects, ..PolicyAsk::default() };
        self.ask(Command::ApplyPolicy(ask.into())).1
    }

    fn rule(&mut self, put: Vec<Rule>) {
        let rules = Edit { put, ..Edit::default() };
        self.ask(Command::ApplyPolicy(PolicyAsk { rules, ..PolicyAsk::default() }.into()));
    }
}

fn admissions(scale: Scale) {
    let (mut free, mut under) = (World::new(), World::new());
    let levels: Vec<Project> = (0..LEVELS).map(level).collect();
    let lowest = levels.last().unwrap().id.clone();
    under.put(levels);
    under.rule((0..RULES).map(rule).collect());
    let none = ProjectId::default_project();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        without.extend((0..scale.admissions).map(|_| free.admit(&none).as_nanos()));
        with.extend((0..scale.admissions).map(|_| under.admit(&lowest).as_nanos()));
    }
    let [without, with] = [without, with].map(|mut all| {
        all.sort_unstable();
        all[all.len() / 2]
    });
    row("admission", "median without quotas, ns", &without.to_string(), None);
    row("admission", "median under five levels and ten rules, ns", &with.to_string(), None);
    let percent = with * 100 / without;
    let goal = (ADMISSION_PERCENT, percent <= ADMISSION_PERCENT);
    row(
        "admission",
        "under five levels and ten rules, % of without",
        &percent.to_string(),
        Some(goal),
    );
}

fn change(scale: Scale) {
    let mut world = World::new();
    let lab = Project::new(ProjectId(name("lab")));
    world.put(vec![lab.clone()]);
    for _ in 0..scale.live {
        world.admit(&lab.id);
    }
    row("change", "live reservations", &world.machine.live_reservations().to_string(), None);
    let rates: [Option<u64>; 3] = [Some(1_000_000_000), Some(2_000_000_000), None];
    for (what, rate) in ["set", "changed", "taken away"].into_iter().zip(rates) {
        let quota = Quota { rate: rate.and_then(BitRate::from_bps), ..Quota::default() };
        let took = world.put(vec![Project { quota, ..lab.clone() }]).as_millis();
        let goal = (CHANGE_MS, took <= CHANGE_MS);
        row("change", &format!("a quota is {what}, ms"), &took.to_string(), Some(goal));
    }
}

/// What it takes that many projects have hours of the week, each in the calendar of its zone.
fn hours(scale: Scale) {
    let mut world = World::new();
    let projects: Vec<Project> = (0..scale.with_hours).map(of_hours).collect();
    let took = world.put(projects).as_millis();
    row("hours", "projects", &scale.with_hours.to_string(), None);
    row("hours", "all of them are put in, ms", &took.to_string(), None);
    let mut one = of_hours(0);
    one.quota.rate = BitRate::from_bps(3_000_000_000);
    let took = world.put(vec![one]).as_millis();
    let goal = (CHANGE_MS, took <= CHANGE_MS);
    row("hours", "one of them is changed, ms", &took.to_string(), Some(goal));
    world.now = world.now.plus(Span::from_secs(24 * 3600));
    let took = world.admit(&of_hours(1).id).as_millis();
    row("hours", "the first request of a day, ms", &took.to_string(), None);
}

fn of_hours(number: usize) -> Project {
    let hours = "mon-fri 08:00-18:00".parse().unwrap();
    let quota = Quota {
        rate: BitRate::from_bps(8_000_000_000),
        weekly: vec![(hours, BitRate::from_bps(2_000_000_000).unwrap())],
        zone: "Europe/Zurich".parse().unwrap(),
        ..Quota::default()
    };
    Project { quota, ..Project::new(ProjectId(name(&format!("hours-{number}")))) }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A rule as administrators write them, which does not hold for what is asked here.
fn rule(number: usize) -> Rule {
    let when = [
        r#"request.project == "guests" && request.rate_bps > 1000000000"#,
        r#""storage/archive" in request.sources"#,
        r#"request.duration > duration("12h")"#,
        r#""team" in request.labels && request.labels["team"] == "vision""#,
        r#"project.lineage.exists(above, above == "untrusted")"#,
    ];
    Rule {
        id: RuleId(name(&format!("rule-{number}"))),
        when: when[number % when.len()].to_owned(),
        then: Effect::Deny { message: "not like this".into() },
        shadow: false,
        comment: String::new(),
    }
}

/// A level of the tree, with every quota that there is.
fn level(number: usize) -> Project {
    let id = |number: usize| ProjectId(name(&format!("level-{number}")));
    let quota = Quota {
        rate: BitRate::from_bps(1_000_000_000),
        reservations: Some(u32::MAX),
        rate_each: BitRate::from_bps(1_000_000),
        duration_each: Some(Span::from_secs(3600)),
        horizon: Some(Span::from_secs(30 * 24 * 3600)),
        ..Quota::default()
    };
    Project { parent: number.checked_sub(1).map(id), quota, ..Project::new(id(number)) }
}

/// A storage and a host with switches in a row between them.
fn chain() -> TopologySpec {
    let rate = BitRate::from_bps(10_000_000_000).unwrap();
    let capacity = Capacity {
        out: rate,
        back: rate,
        total: None,
        reserved_ppm: None,
        allocation_ratio_ppm: None,
    };
    let framing = Framing { overhead_ppm: None, mtu: Some(9000) };
    let switch = |number: usize| name(&format!("s{number}"));
    let links = (1..HOPS).map(|number| LinkSpec {
        name: name(&format!("l{number}")),
        from: switch(number - 1),
        to: switch(number),
        capacity,
        framing,
        cost: 1,
        bundle: None,
    });
    let nic = NicSpec { name: name("eth0"), switch: switch(HOPS - 1), capacity, framing };
    TopologySpec {
        switches: (0..HOPS).map(switch).collect(),
        links: links.collect(),
        hosts: vec![HostSpec { name: name("host"), nics: vec![nic] }],
        storage: vec![StorageSpec {
            name: name("store"),
            place: Node::Switch(switch(0)),
            capacity,
            served_via: Vec::new(),
            mirrors: Vec::new(),
            tier: None,
        }],
        ..TopologySpec::default()
    }
}
