//! What is drawn.

use tidegate_policy::{BitRate, Endpoint, Span};

use super::Market;
use crate::arguments::Generate;
use crate::simulate::dice::{Dice, sums};
use crate::simulate::formats::line::Kind;
use crate::simulate::numbers::{float, floor, round};

/// Rates as shares of the unit, and how often each is drawn.
const RATES: [(f64, f64); 4] = [(0.05, 0.4), (0.1, 0.3), (0.2, 0.2), (0.4, 0.1)];
/// Lengths in slots: at least 1, this much more on average before they are cut at the longest.
const LENGTH_MEAN: f64 = 6.0;
const LENGTH_MAX: u64 = 24;
/// So many are asked for as soon as can be; the others this many slots ahead on average.
const AT_ONCE: f64 = 0.3;
const AHEAD_MEAN: f64 = 12.0;
/// A volume may move at so many times the rate that would do, and at this share of the unit.
const FASTER: u64 = 4;
const FASTEST: f64 = 0.5;
/// How often each priority is drawn, from 0.
const PRIORITIES: [f64; 3] = [0.7, 0.2, 0.1];
const PROJECTS: u64 = 8;
/// What agents need of what they asked for, where they ask for too much.
const NEEDED: (f64, f64) = (0.4, 1.0);

/// One request, its times in slots.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Drawn {
    pub(super) arrive: u64,
    pub(super) start: u64,
    pub(super) length: u64,
    /// From its start.
    pub(super) window: u64,
    pub(super) kind: Kind,
    pub(super) sources: Vec<Endpoint>,
    pub(super) destination: Endpoint,
    pub(super) rate: BitRate,
    pub(super) most: BitRate,
    pub(super) project: u64,
    pub(super) priority: u64,
    pub(super) no_show: bool,
    /// What its agent needs, in 1/10000.
    pub(super) needed: u64,
}

/// How they are drawn.
pub(super) struct Draw<'a> {
    typed: &'a Generate,
    market: &'a Market,
    pub(super) slot: Span,
    unit: BitRate,
    /// For how many slots they arrive.
    slots: u64,
}

/// Dice for each quantity.
struct Cup {
    arrivals: Dice,
    pairs: Dice,
    rates: Dice,
    lengths: Dice,
    leads: Dice,
    windows: Dice,
    kinds: Dice,
    replicas: Dice,
    owners: Dice,
    truth: Dice,
}

/// Running sums of what is drawn by weight.
struct Weights {
    pairs: Vec<f64>,
    rates: Vec<f64>,
    kinds: Vec<f64>,
    priorities: Vec<f64>,
}

impl<'a> Draw<'a> {
    pub(super) fn new(typed: &'a Generate, market: &'a Market, slot: Span, unit: BitRate) -> Self {
        let slots = u64::from(typed.hours) * 3_600_000 / slot.as_ms();
        Self { typed, market, slot, unit, slots }
    }

    /// How many arrive in a slot on average.
    fn per_slot(&self) -> f64 {
        let rate: f64 = RATES.iter().map(|(share, weight)| share * weight).sum();
        // The mean of what is cut at the longest, exactly.
        let step = (-1.0 / LENGTH_MEAN).exp();
        let length = (1.0 - step.powf(float(LENGTH_MAX))) / (1.0 - step);
        let one = float(self.unit.bps()) * rate * length;
        self.typed.load * self.market.most_bps / one
    }

    /// How many there will be on average.
    pub(super) fn expected(&self) -> f64 {
        self.per_slot() * float(self.slots)
    }

    /// All of them, in the order of their arrival.
    pub(super) fn all(&self) -> Vec<Drawn> {
        let mut cup = Cup::new(self.typed.seed);
        let weights = Weights {
            pairs: sums(self.market.demand.iter().map(|it| it.weight)),
            rates: sums(RATES.iter().map(|(_, weight)| *weight)),
            kinds: sums(self.typed.mix.iter().copied()),
            priorities: sums(PRIORITIES),
        };
        let gap = self.per_slot().recip();
        let mut drawn = Vec::new();
        let mut at = cup.arrivals.exponential(gap);
        while at < float(self.slots) {
            drawn.extend(self.one(floor(at), &weights, &mut cup));
            at += cup.arrivals.exponential(gap);
        }
        drawn
    }

    fn one(&self, arrive: u64, weights: &Weights, cup: &mut Cup) -> Option<Drawn> {
        let pair = self.market.demand.get(cup.pairs.pick(&weights.pairs))?;
        let (share, _) = RATES.get(cup.rates.pick(&weights.rates))?;
        let length = (1 + floor(cup.lengths.exponential(LENGTH_MEAN))).min(LENGTH_MAX);
        // Both are drawn each time, so that the next ones are drawn as they would be.
        let (at_once, ahead) = (cup.leads.happens(AT_ONCE), cup.leads.exponential(AHEAD_MEAN));
        let lead = if at_once { 0 } else { floor(ahead) };
        // Whoever asks last and is the longest can still end in time.
        let end = self.slots + LENGTH_MAX;
        let start = (arrive + 1 + lead).min(end - length);
        let wide = 1.0 + self.typed.slack * cup.windows.between(0.5, 1.5);
        let window = floor((float(length) * wide).ceil()).min(end - start);
        let kind = *Kind::ALL.get(cup.kinds.pick(&weights.kinds))?;
        let unit = float(self.unit.bps());
        let rate = round(unit * share).max(1);
        let most = floor(unit * FASTEST).min(rate * FASTER).max(rate);
        let needed = cup.truth.between(NEEDED.0, NEEDED.1);
        let no_shows = float(self.typed.no_shows.unwrap_or(0).into()) / 1e6;
        Some(Drawn {
            arrive,
            start,
            length,
            window: if kind == Kind::Rigid { length } else { window },
            kind,
            sources: self.sources(&pair.source, &pair.destination, &mut cup.replicas),
            destination: pair.destination.clone(),
            rate: BitRate::from_bps(rate)?,
            most: BitRate::from_bps(most)?,
            project: cup.owners.up_to(PROJECTS - 1),
            priority: u64::try_from(cup.owners.pick(&weights.priorities)).ok()?,
            no_show: cup.truth.happens(no_shows),
            needed: round(needed * 1e4),
        })
    }

    /// Its own source, and as many others as there are to be, alike.
    fn sources(&self, own: &Endpoint, to: &Endpoint, dice: &mut Dice) -> Vec<Endpoint> {
        let others = self.market.sources.iter().filter(|it| *it != own && *it != to);
        let mut others: Vec<&Endpoint> = others.collect();
        let mut chosen = vec![own.clone()];
        while chosen.len() < usize::from(self.typed.replicas) && !others.is_empty() {
            let last = u64::try_from(others.len() - 1).unwrap_or(0);
            let place = usize::try_from(dice.up_to(last)).unwrap_or(0);
            chosen.push(others.swap_remove(place).clone());
        }
        chosen
    }
}

impl Cup {
    fn new(seed: u64) -> Self {
        let dice = |purpose| Dice::new(seed, purpose);
        Self {
            arrivals: dice("arrivals"),
            pairs: dice("pairs"),
            rates: dice("rates"),
            lengths: dice("lengths"),
            leads: dice("leads"),
            windows: dice("windows"),
            kinds: dice("kinds"),
            replicas: dice("replicas"),
            owners: dice("owners"),
            truth: dice("truth"),
        }
    }
}
