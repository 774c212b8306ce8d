//! One line of JSON per figure, and a table of all of them.

use std::fmt;

use crate::host::Quiet;

/// Whether a goal was met.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// Missed where the machine was too busy, or too slow, to tell.
    Inconclusive,
    /// There is no goal.
    None,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "true",
            Self::Missed => "false",
            Self::Inconclusive => r#""inconclusive""#,
            Self::None => "null",
        })
    }
}

/// What is measured: of whom, at which rate.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) bench: &'static str,
    pub(crate) contender: &'static str,
    /// In bit/s; zero where there is none.
    pub(crate) rate: u64,
}

struct Row {
    subject: Subject,
    metric: String,
    value: f64,
    goal: String,
    ok: Verdict,
}

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    /// A figure without a goal.
    pub(crate) fn tell(&mut self, subject: Subject, metric: impl Into<String>, value: f64) {
        self.add(Row {
            subject,
            metric: metric.into(),
            value,
            goal: String::new(),
            ok: Verdict::None,
        });
    }

    /// A figure that is to be at most `goal`.
    pub(crate) fn at_most(
        &mut self,
        subject: Subject,
        (metric, value): (&str, f64),
        goal: f64,
        quiet: Quiet,
    ) {
        let ok = quiet.verdict(value <= goal);
        self.add(Row { subject, metric: metric.into(), value, goal: format!("<= {goal:.6}"), ok });
    }

    /// A figure that is to be at least `goal`.
    pub(crate) fn at_least(
        &mut self,
        subject: Subject,
        (metric, value): (&str, f64),
        goal: f64,
        quiet: Quiet,
    ) {
        let ok = quiet.verdict(value >= goal);
        self.add(Row { subject, metric: metric.into(), value, goal: format!(">= {goal:.6}"), ok });
    }

    /// A figure that is to be one, but for `slack` either way.
    pub(crate) fn near_one(
        &mut self,
        subject: Subject,
        (metric, value): (&str, f64),
        slack: f64,
        quiet: Quiet,
    ) {
        let ok = quiet.verdict((value - 1.0).abs() <= slack);
        self.add(Row {
            subject,
            metric: metric.into(),
            value,
            goal: format!("1 +- {slack:.4}"),
            ok,
        });
    }

    fn add(&mut self, row: Row) {
        let Row { subject, metric, value, goal, ok } = &row;
        let Subject { bench, contender, rate } = subject;
        let rate = if *rate == 0 { "null".into() } else { rate.to_string() };
        let goal = if goal.is_empty() { "null".into() } else { format!("{goal:?}") };
        let load = crate::host::load().unwrap_or_default();
        println!(
            r#"{{"bench":"{bench}","contender":"{contender}","rate_bps":{rate},"metric":"{metric}","value":{value:.6},"goal":{goal},"ok":{ok},"load":{load:.2}}}"#
        );
        self.0.push(row);
    }

    pub(crate) fn table(&self) {
        println!();
        let title = ["bench", "rate", "contender", "metric", "value", "goal", "ok"];
        line(title.map(str::to_owned));
        for Row { subject, metric, value, goal, ok } in &self.0 {
            let ok = match ok {
                Verdict::Met => "yes",
                Verdict::Missed => "NO",
                Verdict::Inconclusive => "inconclusive",
                Verdict::None => "",
            };
            let Subject { bench, contender, rate } = *subject;
            let value = match value.abs() {
                ..100.0 => format!("{value:.4}"),
                ..1e12 => format!("{value:.0}"),
                _ => "none".into(),
            };
            line([
                bench.into(),
                short(rate),
                contender.into(),
                metric.clone(),
                value,
                goal.clone(),
                ok.into(),
            ]);
        }
        let ours = |ok| {
            let ours = self.0.iter().filter(|row| row.subject.contender == "tidegate");
            ours.filter(|row| row.ok == ok).count()
        };
        println!(
            "\ntidegate: {} goals met, {} missed, {} inconclusive",
            ours(Verdict::Met),
            ours(Verdict::Missed),
            ours(Verdict::Inconclusive)
        );
    }
}

fn line([bench, rate, contender, metric, value, goal, ok]: [String; 7]) {
    println!("{bench:<9} {rate:>6} {contender:<17} {metric:<44} {value:>11} {goal:<14} {ok}");
}

/// `5.5G` and the like.
fn short(bps: u64) -> String {
    let units = [(1_000_000_000_u64, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.iter().find(|(unit, _)| *unit <= bps) {
        Some((unit, letter)) => format!("{}{letter}", bps as f64 / *unit as f64),
        None => String::new(),
    }
}
