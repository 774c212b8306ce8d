//! A workload as a network of some shape might see it: requests drawn by chance, and what their
//! agents really do.
//!
//! Pairs are drawn by the network's demand, rates as shares of a unit, lengths and windows in slots
//! of a grid. The rate of arrivals follows from the load: what is asked for on average, as a
//! multiple of the most that the network carries of its demand. Each quantity has dice of its own,
//! so that other windows or another mix are those of the same requests.

mod draw;
mod write;

use tidegate_core::command::SOURCES_MAX;
use tidegate_policy::{BitRate, Endpoint, Span};

use self::draw::Draw;
use super::dice::Dice;
use super::flow::Net;
use super::formats::called;
use super::formats::requests::REQUESTS_MAX;
use super::numbers::{float, floor};
use super::world::{Demand, World};
use crate::arguments::Generate;
use crate::exit::{Exit, Mistake};
use crate::output::{hint, say};

/// The grid where nothing says another.
const SLOT: Span = Span::from_secs(600);
/// The most pairs that share a demand that no file says.
const PAIRS_MAX: usize = 10_000;
/// The longest that requests arrive, in hours.
const HOURS_MAX: u32 = 24 * 300;
/// The spread of what the ends of a network weigh whose file says no demand.
const SIGMA: f64 = 0.7;

pub(super) fn run(typed: &Generate) -> anyhow::Result<Exit> {
    check(typed)?;
    let world = World::read(&typed.topology, typed.capacity)?;
    let market = Market::of(typed, &world)?;
    let draw = Draw::new(typed, &market, grid(typed, &world)?, unit(typed, &world)?);
    let expected = draw.expected();
    if float(u64::try_from(REQUESTS_MAX)?) < expected {
        let why = format!("that would be about {expected:.0} requests; at most {REQUESTS_MAX}");
        let hint = "a larger --unit makes fewer of the same load, as do fewer --hours";
        return Err(Mistake::new(why).hint(hint).into());
    }
    let drawn = draw.all();
    write::requests(&typed.requests, &drawn, &world, draw.slot)?;
    if let Some(file) = &typed.truth {
        write::truth(file, &drawn)?;
    }
    let carries = BitRate::from_bps(rounded(market.most_bps)).unwrap_or(BitRate::MAX);
    let count = crate::things::counted(u64::try_from(drawn.len())?, "request");
    say(&format!("{count} in {} h; the network carries {carries} of this demand", typed.hours));
    if drawn.is_empty() {
        hint("more --load, more --hours or a smaller --unit makes more");
    }
    Ok(Exit::Done)
}

/// The first three digits: no more of them are known for sure.
fn rounded(bps: f64) -> u64 {
    let bps = floor(bps);
    let step = 10_u64.pow(bps.checked_ilog10().unwrap_or(0).saturating_sub(2));
    bps / step * step
}

/// What cannot be meant, whatever the network is.
fn check(typed: &Generate) -> Result<(), Mistake> {
    let Generate { load, mix, slack, hours, replicas, .. } = typed;
    if !(0.0..=1000.0).contains(load) || *load == 0.0 {
        return Err(Mistake::new(format!("--load is {load}; say more than 0 and at most 1000")));
    }
    let shares = mix.iter().all(|share| (0.0..=1.0).contains(share));
    if mix.len() != 3 || !shares || mix.iter().sum::<f64>() <= 0.0 {
        let why = "--mix is not three shares from 0 to 1, not all of them 0";
        return Err(Mistake::new(why).hint("rigid, flexible, volume: 0.3,0.3,0.4"));
    }
    if !(0.0..=100.0).contains(slack) {
        return Err(Mistake::new(format!("--slack is {slack}; say 0 to 100")));
    }
    if !(1..=HOURS_MAX).contains(hours) {
        return Err(Mistake::new(format!("--hours is {hours}; say 1 to {HOURS_MAX}")));
    }
    if !(1..=SOURCES_MAX).contains(&usize::from(*replicas)) {
        return Err(Mistake::new(format!("--replicas is {replicas}; say 1 to {SOURCES_MAX}")));
    }
    if typed.truth.is_some() && typed.truth.as_ref() == Some(&typed.requests) {
        return Err(Mistake::new("--requests and --truth are the same file"));
    }
    Ok(())
}

fn grid(typed: &Generate, world: &World) -> Result<Span, Mistake> {
    let slot = typed.slot.or(world.slot).unwrap_or(SLOT);
    let arrivals = Span::from_secs(3600);
    if slot == Span::ZERO || arrivals < slot {
        return Err(Mistake::new(format!("--slot is {slot}; say up to {arrivals}")));
    }
    Ok(slot)
}

/// What requests are shares of.
fn unit(typed: &Generate, world: &World) -> Result<BitRate, Mistake> {
    let mut rates = world.link_rates();
    rates.sort_unstable();
    let median = rates.get(rates.len() / 2).copied().and_then(BitRate::from_bps);
    let unit = typed.unit.or(median);
    let large = unit.filter(|unit| 100 <= unit.bps());
    large.ok_or_else(|| {
        let why = match unit {
            Some(unit) => format!("--unit is {unit}; say at least 100 bit/s"),
            None => "the network has no links that would say what to ask for".to_owned(),
        };
        Mistake::new(why).hint("--unit 10Gbit draws rates of 0.5 to 4 Gbit/s")
    })
}

/// Who asks for how much of what.
struct Market {
    /// At least one.
    demand: Vec<Demand>,
    /// Everybody who can be asked.
    sources: Vec<Endpoint>,
    /// The most that can be carried of the demand, in bits per second.
    most_bps: f64,
}

impl Market {
    fn of(typed: &Generate, world: &World) -> anyhow::Result<Self> {
        let wrong = |why: String| Mistake::new(format!("{}: {why}", called(&typed.topology)));
        let (sources, destinations) = world.ends();
        let demand = match world.demand.is_empty() {
            true => gravity(&sources, &destinations).map_err(wrong)?,
            false => world.demand.clone(),
        };
        let most_of = demand.iter().map(|it| &it.destination);
        let most_of = most_of.map(|to| sources.iter().filter(|from| *from != to).count());
        let most = most_of.min().unwrap_or(0);
        if most < usize::from(typed.replicas) {
            let why = format!("--replicas is {}; the network has {most} sources", typed.replicas);
            return Err(Mistake::new(why).into());
        }
        let most_bps = match world.concurrent_bps {
            Some(said) => float(said),
            None => computed(world, &demand).map_err(wrong)?,
        };
        Ok(Self { demand, sources, most_bps })
    }
}

fn computed(world: &World, demand: &[Demand]) -> Result<f64, String> {
    let mut largest: Vec<&Demand> = demand.iter().collect();
    largest.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let pairs = largest.iter().map(|it| (it.source.clone(), it.destination.clone()));
    let topology = world.compiled(&pairs.collect::<Vec<_>>())?;
    let (most, gap) = Net::of(&topology, demand)?.most();
    if !most.is_finite() || most < 1.0 {
        return Err("it carries nothing of its demand".into());
    }
    if 0.01 < gap {
        say(&format!("what the network carries is known to {:.1}% only", gap * 100.0));
    }
    Ok(most)
}

/// A demand for a network that says none: each end weighs something, and two ends ask for each
/// other by both. It is part of the network and not of a seed.
fn gravity(sources: &[Endpoint], destinations: &[Endpoint]) -> Result<Vec<Demand>, String> {
    let pairs = sources.len().saturating_mul(destinations.len());
    if PAIRS_MAX < pairs {
        let why = format!("it says no demand and has {pairs} pairs of ends");
        return Err(format!("{why}; at most {PAIRS_MAX} are made up one"));
    }
    let mut dice = Dice::new(0, "masses");
    let mut masses =
        |ends: &[Endpoint]| ends.iter().map(|_| dice.lognormal(SIGMA)).collect::<Vec<_>>();
    let from = masses(sources);
    let to = if sources == destinations { from.clone() } else { masses(destinations) };
    let mut demand = Vec::new();
    for (source, mass) in sources.iter().zip(&from) {
        for (destination, other) in destinations.iter().zip(&to) {
            if source != destination {
                let (source, destination) = (source.clone(), destination.clone());
                demand.push(Demand { source, destination, weight: mass * other });
            }
        }
    }
    if demand.is_empty() { Err("it has no two ends to ask for".into()) } else { Ok(demand) }
}
