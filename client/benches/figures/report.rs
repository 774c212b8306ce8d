//! A line of a table per figure as it is measured, and one JSON object for each at the end.

use std::fmt;

use super::machine::{Quiet, load};

/// Whether a goal was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was.
    Met,
    /// It was not.
    Missed,
    /// Missed where the machine was too busy, or too slow, to tell.
    Inconclusive,
    /// There is no goal.
    None,
}

impl Verdict {
    fn json(self) -> &'static str {
        match self {
            Self::Met => "true",
            Self::Missed => "false",
            Self::Inconclusive => r#""inconclusive""#,
            Self::None => "null",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "ok",
            Self::Missed => "MISS",
            Self::Inconclusive => "inconclusive",
            Self::None => "",
        })
    }
}

/// What is measured: of whom, at which rate.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The part of the benchmark.
    pub bench: &'static str,
    /// Whose figure it is.
    pub contender: &'static str,
    /// In bit/s; zero where there is none.
    pub rate: u64,
}

#[derive(Debug)]
struct Row {
    subject: Subject,
    metric: String,
    value: f64,
    goal: String,
    ok: Verdict,
    load: f64,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub struct Report(Vec<Row>);

impl Report {
    /// A figure without a goal.
    pub fn tell(&mut self, subject: Subject, metric: impl Into<String>, value: f64) {
        self.add(subject, (metric.into(), value), String::new(), Verdict::None);
    }

    /// A figure that is to be at most `goal`.
    pub fn at_most(
        &mut self,
        subject: Subject,
        (metric, value): (&str, f64),
        goal: f64,
        quiet: Quiet,
    ) {
        let ok = quiet.verdict(value <= goal);
        self.add(subject, (metric.into(), value), format!("<= {goal:.6}"), ok);
    }

    /// A figure that is to be at least `goal`.
    pub fn at_least(
        &mut self,
        subject: Subject,
        (metric, value): (&str, f64),
        goal: f64,
        quiet: Quiet,
    ) {
        let ok = quiet.verdict(value >= goal);
        self.add(subject, (metric.into(), value), format!(">= {goal:.6}"), ok);
    }

    /// A figure that is to be one, but for `slack` either way.
    pub fn near_one(
        &mut self,
        subject: Subject,
        (metric, value): (&str, f64),
        slack: f64,
        quiet: Quiet,
    ) {
        let ok = quiet.verdict((value - 1.0).abs() <= slack);
        self.add(subject, (metric.into(), value), format!("1 +- {slack:.4}"), ok);
    }

    fn add(&mut self, subject: Subject, (metric, value): (String, f64), goal: String, ok: Verdict) {
        if self.0.is_empty() {
            line(
                ["bench", "rate", "contender", "metric", "value", "goal", "ok"].map(str::to_owned),
            );
        }
        let Subject { bench, contender, rate } = subject;
        let shown = match value.abs() {
            ..100.0 => format!("{value:.4}"),
            ..1e12 => format!("{value:.0}"),
            _ => "none".into(),
        };
        line([
            bench.into(),
            short(rate),
            contender.into(),
            metric.clone(),
            shown,
            goal.clone(),
            ok.to_string(),
        ]);
        self.0.push(Row { subject, metric, value, goal, ok, load: load().unwrap_or_default() });
    }

    /// Says how many goals were met, and then each figure as JSON.
    pub fn finish(&self) {
        let ours = |ok| {
            let ours = self.0.iter().filter(|row| row.subject.contender == "tidegate");
            ours.filter(|row| row.ok == ok).count()
        };
        println!(
            "\ntidegate: {} goals met, {} missed, {} inconclusive\n",
            ours(Verdict::Met),
            ours(Verdict::Missed),
            ours(Verdict::Inconclusive)
        );
        self.0.iter().for_each(Row::print);
    }
}

impl Row {
    fn print(&self) {
        let Self { subject, metric, value, goal, ok, load } = self;
        let Subject { bench, contender, rate } = subject;
        let rate = if *rate == 0 { "null".into() } else { rate.to_string() };
        let goal = if goal.is_empty() { "null".into() } else { format!("{goal:?}") };
        // What is infinite has no word in JSON.
        let value = if value.is_finite() { format!("{value:.6}") } else { "null".into() };
        let ok = ok.json();
        println!(
            r#"{{"bench":"{bench}","contender":"{contender}","rate_bps":{rate},"metric":"{metric}","value":{value},"goal":{goal},"ok":{ok},"load":{load:.2}}}"#
        );
    }
}

fn line([bench, rate, contender, metric, value, goal, ok]: [String; 7]) {
    println!("{bench:<9} {rate:>6} {contender:<17} {metric:<46} {value:>11} {goal:<14} {ok}");
}

/// `5.5G` and the like.
fn short(bps: u64) -> String {
    let units = [(1_000_000_000_u64, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.iter().find(|(unit, _)| *unit <= bps) {
        Some((unit, letter)) => format!("{}{letter}", bps as f64 / *unit as f64),
        None => String::new(),
    }
}
