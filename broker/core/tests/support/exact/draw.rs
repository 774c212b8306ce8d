//! Draws random cases: small networks with a choice of ways, at the edges of what fits.

use tidegate_core::Ways;
use tidegate_core::lane::LaneName;
use tidegate_core::topology::compile::compile;
use tidegate_core::topology::spec::Node;
use tidegate_policy::{BitRate, Endpoint, Name};

use super::case::{Carries, Case, Wished, host, name, switch};
use super::oracle::{Bound, Oracle};
use super::rng::Rng;
use super::world::World;

/// Most times are multiples of this, so that they often touch.
const GRID: i64 = 5000;

/// What cases are drawn from.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    /// What most links carry at most, in bits per second.
    pub(crate) bps: u64,
    /// Headers on top of the payload, in parts per million of it.
    pub(crate) headers: &'static [u32],
    /// The most bookings of most cases.
    pub(crate) bookings: usize,
}

impl Case {
    pub(crate) fn draw(seed: u64, scale: Scale) -> Self {
        let mut rng = Rng::new(seed);
        let mut case = network(&mut rng, scale);
        steer(&mut rng, &mut case);
        case.ways = ways(&mut rng, &case);
        busy(&mut rng, &mut case, scale);
        wish(&mut rng, &mut case, scale);
        case
    }
}

fn carries(rng: &mut Rng, scale: Scale, factor: u64) -> Carries {
    let bps = |rng: &mut Rng| {
        let part = scale.bps * factor / 8 * rng.pick(&[1, 2, 2, 3, 4, 5, 6, 8]);
        (part + rng.below(scale.bps / 4 + 1)).max(1)
    };
    let total = rng.chance(10).then(|| bps(rng));
    Carries { out: bps(rng), back: bps(rng), total, ppm: rng.pick(scale.headers) }
}

fn network(rng: &mut Rng, scale: Scale) -> Case {
    let switches = 2 + rng.index(4);
    let mut links = Vec::new();
    for to in 1..switches {
        links.push((rng.index(to), to, rng.pick(&[1, 1, 2]), carries(rng, scale, 1)));
    }
    for _ in 0..2 + rng.index(7) {
        let (from, to) = (rng.index(switches), rng.index(switches));
        if from != to {
            links.push((from, to, rng.pick(&[1, 1, 2, 3]), carries(rng, scale, 1)));
        }
    }
    // Hosts that carry more than a link, so that there is something to split.
    let hosts: Vec<(usize, Carries)> = (0..2 + rng.index(3))
        .map(|_| {
            let factor = rng.pick(&[1, 2, 4, 8]);
            (rng.index(switches), carries(rng, scale, factor))
        })
        .collect();
    let storage = (0..rng.index(3)).map(|_| {
        let place = if rng.chance(50) {
            Node::Host(host(rng.index(hosts.len())))
        } else {
            Node::Switch(switch(rng.index(switches)))
        };
        let relays = rng.pick(&[0, 0, 1, 2]);
        let mut via: Vec<usize> = (0..relays).map(|_| rng.index(hosts.len())).collect();
        via.dedup();
        (place, via, carries(rng, scale, 3))
    });
    Case {
        switches,
        links,
        storage: storage.collect(),
        hosts,
        steered: Vec::new(),
        cuts: Vec::new(),
        drained: Vec::new(),
        bookings: Vec::new(),
        ways: Ways::Lanes(Vec::new()),
        wish: Wished { volume: 1, min: 0, max: 1, start: None, deadline: 1, split: true },
        margin_ppm: rng.pick(&[0, 0, 10_000, 7]),
        horizon: 1_000_000,
    }
}

/// Lets most pairs of places be steered, with as many paths as there are, up to four.
fn steer(rng: &mut Rng, case: &mut Case) {
    let node = |rng: &mut Rng, case: &Case| match rng.chance(75) {
        true => Node::Switch(switch(rng.index(case.switches))),
        false => Node::Host(host(rng.index(case.hosts.len()))),
    };
    for _ in 0..10 {
        let (from, to) = (node(rng, case), node(rng, case));
        let twice = case.steered.iter().any(|known| (&known.0, &known.1) == (&from, &to));
        if from == to || twice {
            continue;
        }
        for paths in [4, 3, 2] {
            case.steered.push((from.clone(), to.clone(), paths));
            if compile(&case.spec()).is_ok() {
                break;
            }
            case.steered.pop();
        }
    }
}

fn ways(rng: &mut Rng, case: &Case) -> Ways {
    if rng.chance(12) {
        let lanes = case.lanes();
        let count = 1 + rng.index(4);
        return Ways::Lanes((0..count).map(|_| lanes[rng.index(lanes.len())].0.clone()).collect());
    }
    let end = |rng: &mut Rng| -> Endpoint {
        match rng.index(case.hosts.len() + case.storage.len()) {
            index if index < case.hosts.len() => format!("hosts/h{index}").parse().unwrap(),
            index => format!("storage/p{}", index - case.hosts.len()).parse().unwrap(),
        }
    };
    let destination = end(rng);
    let count = rng.pick(&[1, 1, 2, 2, 3]);
    let mut sources: Vec<Endpoint> = (0..count).map(|_| end(rng)).collect();
    let onto_itself = matches!(destination, Endpoint::Host(_));
    sources.retain(|source| !onto_itself || *source != destination);
    if sources.is_empty() {
        return Ways::Lanes(vec![LaneName::new("links/l0/forward")]);
    }
    let relays = if rng.chance(15) { 1 + rng.index(2) } else { 0 };
    let via: Vec<Name> = (0..relays).map(|_| host(rng.index(case.hosts.len()))).collect();
    let served = |end: &Endpoint| {
        let index = case.storage.iter().enumerate();
        let mut found = index.filter(|(index, _)| *end == endpoint(*index)).map(|(_, it)| &it.1);
        found.all(|serve| serve.is_empty() || serve.iter().any(|it| via.contains(&host(*it))))
    };
    let fits = sources.iter().chain([&destination]).all(served);
    let via = if fits { via } else { Vec::new() };
    Ways::Between { sources, destination, via, path: None }
}

fn endpoint(index: usize) -> Endpoint {
    Endpoint::Storage(name(&format!("p{index}")))
}

fn instant(rng: &mut Rng, bound: i64) -> i64 {
    let time = rng.ms(bound);
    if rng.chance(30) { time / GRID * GRID } else { time }
}

/// Maintenance, drains and bookings.
fn busy(rng: &mut Rng, case: &mut Case, scale: Scale) {
    let resource = |rng: &mut Rng, case: &Case| match rng.below(10) {
        0..7 => format!("links/l{}", rng.index(case.links.len())),
        7..9 => format!("hosts/h{}", rng.index(case.hosts.len())),
        _ if case.storage.is_empty() => "links/l0".into(),
        _ => format!("storage/p{}", rng.index(case.storage.len())),
    };
    for _ in 0..rng.pick(&[0, 0, 0, 1, 2, 3]) {
        let (cut, from) = (resource(rng, case), instant(rng, 120_000));
        let to = from + 1 + instant(rng, 60_000);
        let left = rng.pick(&[0, 1, 250_000, 333_333, 500_000, 900_000]);
        // Where two lie over each other the stronger counts, which is not what is tested here.
        if case.cuts.iter().all(|known| known.0 != cut) {
            case.cuts.push((cut, from, to, left));
        }
    }
    if rng.chance(4) {
        case.drained.push(resource(rng, case));
    }
    let lanes: Vec<LaneName> = case.lanes().into_iter().map(|lane| lane.0).collect();
    for _ in 0..rng.index(scale.bookings + 1) {
        let count = 1 + rng.index(2);
        let names = (0..count).map(|_| lanes[rng.index(lanes.len())].clone()).collect();
        let from = instant(rng, 150_000);
        let length = rng.pick(&[2_000, 20_000, 60_000]);
        let to = from + 1 + instant(rng, length);
        let bps = scale.bps * rng.pick(&[1, 2, 3, 5]) / 8 + rng.below(5);
        case.bookings.push((names, from, to, bps.max(1)));
    }
    if rng.chance(5) {
        crowd(rng, case, scale);
    }
}

/// So many short bookings on the lanes in question that a plan may take too many segments.
fn crowd(rng: &mut Rng, case: &mut Case, scale: Scale) {
    let world = World::new(case);
    let crossed: Vec<&LaneName> = world.ways.iter().flatten().map(|(name, _)| name).collect();
    if crossed.is_empty() {
        return;
    }
    for _ in 0..60 + rng.index(200) {
        let (name, from) = (crossed[rng.index(crossed.len())].clone(), rng.ms(150_000));
        let to = from + 1 + rng.ms(3_000);
        case.bookings.push((vec![name], from, to, (scale.bps / 16 * (1 + rng.below(4))).max(1)));
    }
}

/// What is asked: some of what can be had, all of it to the byte, a little more, or a lot.
fn wish(rng: &mut Rng, case: &mut Case, scale: Scale) {
    let start = match rng.below(10) {
        0..5 => None,
        5 => Some(-rng.ms(5000)),
        _ => Some(instant(rng, 60_000)),
    };
    let first = start.unwrap_or(0).max(0);
    let length = rng.pick(&[2_000, 30_000, 120_000, 300_000]);
    let deadline = first + 1 + instant(rng, length);
    let any = BitRate::MAX.bps();
    let max = match rng.below(10) {
        0..6 => any,
        6 => 1 + rng.below(scale.bps),
        _ => (scale.bps * rng.pick(&[1, 2, 4, 8, 16]) / 8).max(1),
    };
    let min = match rng.below(10) {
        0..6 => 0,
        6 => max.min(scale.bps),
        _ => (scale.bps * rng.pick(&[1, 2, 4]) / 16 + rng.below(3)).min(max),
    };
    let split = rng.chance(65);
    case.wish = Wished { volume: 1, min, max, start, deadline, split };
    let world = World::new(case);
    let most = Oracle::new(&world, case.wish).most((first, deadline), Bound::Maybe);
    let all = most * 1_000_000 / u128::from(1_000_000 + case.margin_ppm) / 8000;
    let all = u64::try_from(all).unwrap();
    let ten = u64::try_from(length).unwrap() * scale.bps / 80_000;
    let volume = match rng.below(100) {
        0..45 => all / 100 * rng.below(100),
        45..58 => all,
        58..66 => all + 1 + rng.below(3),
        66..85 => all + all / 100 * rng.below(200),
        85..95 => ten + rng.below(ten + 10),
        _ => 1 + rng.below(3),
    };
    case.wish.volume = volume.max(1);
}
