//! Ten thousand small random cases: the place of a flexible request and its counter-offers equal
//! what trying every start, every end and every rate finds, millisecond by millisecond.
#![allow(clippy::unwrap_used, reason = "a case that cannot be told fails its test")]

use proptest::prelude::*;
use tidegate_core::command::Ask;
use tidegate_core::event::RequestMark;
use tidegate_core::lane::LaneName;
use tidegate_core::topology::spec::{Capacity, Framing, LinkSpec};
use tidegate_core::{
    Answer, Command, CounterOffer, Limits, Machine, OfferKind, Request, Shape, Stamp, Standing,
    Terms, TopologySpec, Ways,
};
use tidegate_policy::{BitRate, Interval, ProjectId, RequestId, Span, Timestamp};

/// When every case is asked.
const NOW: i64 = 1_767_225_600_000;
/// Nothing ends later than so many milliseconds after it.
const HORIZON: i64 = 48;
const LANES: [&str; 2] = ["links/a/forward", "links/b/forward"];

/// From, to, the lane and the amount: all small, so that everything can be tried.
type Booking = (i64, i64, usize, u64);

#[derive(Clone, Debug)]
struct Case {
    capacity: [u64; 2],
    bookings: Vec<Booking>,
    /// How often the request crosses each lane.
    times: [u64; 2],
    rates: (u64, u64),
    span: i64,
    window: (i64, i64),
}

fn case() -> impl Strategy<Value = Case> {
    let booking = (0..40_i64, 1..16_i64, 0..2_usize, 1..6_u64);
    let booking = booking.prop_map(|(from, length, lane, amount)| {
        (from, (from + length).min(HORIZON), lane, amount)
    });
    let capacity = [4..12_u64, 4..12_u64];
    let times = [1..3_u64, 0..2_u64];
    let rates = (1..9_u64, 0..4_u64);
    let times_of = (1..12_i64, 0..20_i64, 0..16_i64);
    (capacity, prop::collection::vec(booking, 0..14), times, rates, times_of).prop_map(
        |(capacity, bookings, times, (min, more), (span, start, slack))| Case {
            capacity,
            bookings,
            times,
            rates: (min, min + more),
            span,
            window: (start, (start + span + slack).min(HORIZON)),
        },
    )
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(NOW + ms).unwrap()
}

fn rate(bps: u64) -> BitRate {
    BitRate::from_bps(bps).unwrap()
}

/// A machine, and what it is asked.
struct Told {
    machine: Machine,
    serial: u128,
}

impl Told {
    fn ask(&mut self, command: Command) -> Answer {
        self.serial += 1;
        let id = u128::try_from(NOW).unwrap() << 80 | 7 << 76 | 2 << 62 | self.serial;
        let mark = RequestMark { id: RequestId::from_u128(id), fingerprint: [0; 32] };
        let stamp = Stamp { now: at(0), fresh: self.serial };
        let decision = self.machine.decide(stamp, &Request { mark, command }).unwrap();
        for event in &decision.events {
            self.machine.apply(event).unwrap();
        }
        decision.answer
    }

    fn new(case: &Case) -> (Self, Vec<Booking>) {
        let horizon = Span::from_ms(u64::try_from(HORIZON).unwrap()).unwrap();
        let machine = Machine::new(Limits { horizon, ..Limits::default() });
        let mut told = Self { machine, serial: 0 };
        let link = |name: &str, bps| LinkSpec {
            name: name.parse().unwrap(),
            from: "s".parse().unwrap(),
            to: "t".parse().unwrap(),
            capacity: Capacity {
                out: rate(bps),
                back: rate(bps),
                total: None,
                reserved_ppm: Some(0),
                allocation_ratio_ppm: None,
            },
            framing: Framing::none(),
            cost: 1,
            bundle: None,
        };
        let spec = TopologySpec {
            switches: vec!["s".parse().unwrap(), "t".parse().unwrap()],
            links: vec![link("a", case.capacity[0]), link("b", case.capacity[1])],
            ..TopologySpec::default()
        };
        told.ask(Command::ApplyTopology { spec: spec.into(), accept_losses: false });
        // Those that do not fit beside the ones before are no part of the case.
        let fits = |booking: &Booking, told: &mut Self| {
            let (from, to, lane, amount) = *booking;
            let shape = Shape::exactly(rate(amount), Interval::new(at(from), at(to)).unwrap());
            let ask = ask(vec![LaneName::new(LANES[lane])], shape);
            matches!(told.ask(Command::Reserve(ask.into())), Answer::Reservation(_))
        };
        let booked = case.bookings.iter().filter(|booking| fits(booking, &mut told));
        let booked = booked.copied().collect();
        (told, booked)
    }
}

fn ask(lanes: Vec<LaneName>, shape: Shape) -> Ask {
    Ask {
        owner: ProjectId::default_project().into(),
        ways: Ways::Lanes(lanes),
        shape,
        terms: Terms::default(),
        hold_for: None,
        session: None,
        hold_best_offer: false,
        movable: false,
        standing: Standing::default(),
    }
}

impl Case {
    /// Whether a rate fits, by looking at every millisecond of every lane.
    fn fits(&self, booked: &[Booking], bps: u64, (from, to): (i64, i64)) -> bool {
        (from..to).all(|ms| {
            (0..2).all(|lane| {
                let there = booked.iter().filter(|it| it.2 == lane && it.0 <= ms && ms < it.1);
                let level: u64 = there.map(|it| it.3).sum();
                level + bps * self.times[lane] <= self.capacity[lane]
            })
        })
    }

    fn highest(&self, booked: &[Booking], over: (i64, i64)) -> u64 {
        (0..=20).rev().find(|bps| self.fits(booked, *bps, over)).unwrap()
    }

    /// The first start up to `latest` that fits, and the highest rate there.
    fn place(&self, booked: &[Booking], latest: i64) -> Option<(u64, i64, i64)> {
        let over = |start: i64| (start, start + self.span);
        let mut starts = self.window.0..=latest;
        let start = starts.find(|start| self.fits(booked, self.rates.0, over(*start)))?;
        let bps = self.highest(booked, over(start)).min(self.rates.1);
        Some((bps, start, start + self.span))
    }

    fn later_finish(&self, booked: &[Booking]) -> Option<(u64, i64, i64)> {
        let volume = self.rates.0 * u64::try_from(self.span).unwrap();
        let start = self.window.0;
        let needed = |end: i64| volume.div_ceil(u64::try_from(end - start).unwrap());
        let fits = |end: &i64| {
            needed(*end) <= self.rates.1 && self.fits(booked, needed(*end), (start, *end))
        };
        let end = (start + 1..=HORIZON).find(fits)?;
        Some((needed(end), start, end))
    }

    fn lower(&self, booked: &[Booking], latest: i64) -> Option<(u64, i64, i64)> {
        let mut best = None;
        for start in self.window.0..=latest {
            let bps = self.highest(booked, (start, start + self.span));
            if best.map_or(0, |(most, _, _)| most) < bps {
                best = Some((bps, start, start + self.span));
            }
        }
        best
    }
}

fn told(offer: &CounterOffer) -> (u64, i64, i64) {
    let over = offer.interval;
    (offer.rate.bps(), over.start().as_ms() - NOW, over.end().as_ms() - NOW)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn places_and_offers_equal_trying_everything(case in case()) {
        let (mut machine, booked) = Told::new(&case);
        let crossed = |lane: usize| (0..case.times[lane]).map(move |_| LaneName::new(LANES[lane]));
        let lanes: Vec<LaneName> = (0..2).flat_map(crossed).collect();
        let shape = Shape::Flexible {
            min: rate(case.rates.0),
            max: rate(case.rates.1),
            span: Span::from_ms(u64::try_from(case.span).unwrap()).unwrap(),
            start: Some(at(case.window.0)),
            end: at(case.window.1),
        };
        let latest = case.window.1 - case.span;
        prop_assume!(case.window.0 <= latest);
        match machine.ask(Command::Reserve(ask(lanes, shape).into())) {
            Answer::Reservation(made) => {
                let over = (made.interval.start().as_ms() - NOW, made.interval.end().as_ms() - NOW);
                let got = Some((made.rate().bps(), over.0, over.1));
                prop_assert_eq!(got, case.place(&booked, latest));
            }
            Answer::Refusal(refusal) => {
                prop_assert_eq!(case.place(&booked, latest), None);
                let of = |kind| refusal.offers.iter().find(|offer| offer.kind == kind).map(told);
                let later = case.place(&booked, HORIZON - case.span);
                prop_assert_eq!(of(OfferKind::SameRateLater), later);
                prop_assert_eq!(of(OfferKind::LaterFinish), case.later_finish(&booked));
                prop_assert_eq!(of(OfferKind::LowerRateNow), case.lower(&booked, latest));
            }
            other => prop_assert!(false, "answered {:?}", other),
        }
    }
}
