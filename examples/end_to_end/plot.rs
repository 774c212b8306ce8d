//! Who got how much when, as SVG: a panel for each world, a line for each host.

use std::time::Duration;

use crate::cases::Ran;

/// In pixels.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 130.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 34.0;
const PANEL: f64 = HEIGHT + 62.0;

/// The top of each panel, in Mbit/s: what a link carries.
const MOST: f64 = 200.0;
/// A point of a line for so long.
const STEP: Duration = Duration::from_millis(200);
/// What comes before the first byte that is looked at, in seconds.
const BEFORE: f64 = 1.0;

/// The classes of the lines and what they are, in the order of the hosts.
const LINES: [(&str, &str); 3] = [
    ("first", "the first agent"),
    ("others", "the other two together"),
    ("more", "traffic without a grant"),
];

const STYLE: &str = "\
svg{font:12px sans-serif;fill:#222;--page:#fff;--faint:#555;--grid:#00000022;--first:#1864ab;\
--others:#868e96;--more:#d9480f}\
.page{fill:var(--page)}.head{font-size:14px}.note,.tick{fill:var(--faint)}.tick{text-anchor:end}\
.under{text-anchor:middle}.grid{stroke:var(--grid)}.grant{stroke:var(--first);stroke-dasharray:4 4}\
polyline,.key{fill:none;stroke-width:2}.first{stroke:var(--first)}.others{stroke:var(--others)}\
.more{stroke:var(--more)}\
@media (prefers-color-scheme:dark){svg{fill:#ddd;--page:#15181c;--faint:#999;--grid:#ffffff22;\
--first:#74c0fc;--others:#adb5bd;--more:#ff922b}}";

/// One world.
pub(crate) struct Panel {
    title: &'static str,
    span: f64,
    /// Seconds from the first byte that is looked at, and Mbit/s.
    lines: [Vec<(f64, f64)>; 3],
}

impl Panel {
    pub(crate) fn of(title: &'static str, ran: &Ran, span: Duration) -> Self {
        let begin = ran.first.begin().saturating_sub(1_000_000_000);
        let lines = [0, 1, 2].map(|host: usize| {
            let steps = ran.hosts.get(host).map(|trace| trace.steps(begin, STEP));
            let points = steps.unwrap_or_default().into_iter();
            let shown = points.map(|(at, rate)| (at - BEFORE, rate / 1e6));
            shown.filter(|(at, _)| *at <= span.as_secs_f64()).collect()
        });
        Self { title, span: span.as_secs_f64(), lines }
    }

    fn drawn(&self, top: f64, grant: f64) -> String {
        let x = |at: f64| (at + BEFORE) / (self.span + BEFORE) * WIDTH;
        let y = |mbit: f64| HEIGHT - mbit.min(MOST) / MOST * HEIGHT;
        let mut out = format!(
            "<g transform=\"translate({LEFT},{})\">\n<text class=\"head\" y=\"-10\">{}, \
             Mbit/s</text>\n",
            top + TOP,
            self.title
        );
        for mbit in [0.0, 100.0, 200.0] {
            let at = y(mbit);
            out.push_str(&format!(
                "<path class=\"grid\" d=\"M0 {at:.1}H{WIDTH}\"/><text class=\"tick\" x=\"-8\" \
                 y=\"{:.1}\">{mbit:.0}</text>\n",
                at + 4.0
            ));
        }
        for second in [0.0, self.span / 2.0, self.span] {
            out.push_str(&format!(
                "<text class=\"note under\" x=\"{:.1}\" y=\"{}\">{second:.0} s</text>\n",
                x(second),
                HEIGHT + 16.0
            ));
        }
        let at = y(grant / 1e6);
        out.push_str(&format!("<path class=\"grant\" d=\"M0 {at:.1}H{WIDTH}\"/>\n"));
        for ((class, _), line) in LINES.iter().zip(&self.lines) {
            let points = line.iter().map(|(at, mbit)| format!("{:.1},{:.1}", x(*at), y(*mbit)));
            let points = points.collect::<Vec<_>>().join(" ");
            out.push_str(&format!("<polyline class=\"{class}\" points=\"{points}\"/>\n"));
        }
        out.push_str("</g>\n");
        out
    }
}

/// All panels below each other; `grant` is what the first agent is to have, in bit/s.
pub(crate) fn svg(panels: &[Panel], grant: f64) -> String {
    let tops = std::iter::successors(Some(24.0), |top| Some(top + PANEL));
    let body: String =
        panels.iter().zip(tops).map(|(panel, top)| panel.drawn(top, grant)).collect();
    let mut legend = String::new();
    let entries = LINES.iter().copied().chain([("grant", "its grant")]);
    for ((class, text), at) in entries.zip([LEFT, LEFT + 150.0, LEFT + 330.0, LEFT + 520.0]) {
        legend.push_str(&format!(
            "<path class=\"key {class}\" d=\"M{at} 16h20\"/><text class=\"note\" x=\"{}\" \
             y=\"20\">{text}</text>\n",
            at + 26.0
        ));
    }
    let (width, height) = (LEFT + WIDTH + 24.0, 24.0 + PANEL * panels.len() as f64);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>Payload in Mbit/s that came to \
         each host</title>\n<style>{STYLE}</style>\n<rect class=\"page\" width=\"100%\" \
         height=\"100%\"/>\n{legend}{body}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_drawn_where_it_belongs() {
        let lines = [vec![(0.0, 100.0), (9.0, 50.0)], vec![(-1.0, 0.0)], vec![(9.0, 400.0)]];
        let panel = Panel { title: "a world", span: 9.0, lines };
        let drawn = svg(&[panel], 1e8);
        let expected = [
            "<polyline class=\"first\" points=\"64.0,65.0 640.0,97.5\"/>",
            "<polyline class=\"others\" points=\"0.0,130.0\"/>",
            // What is beyond the top is at the top.
            "<polyline class=\"more\" points=\"640.0,0.0\"/>",
            "<path class=\"grant\" d=\"M0 65.0H640\"/>",
            ">a world, Mbit/s</text>",
        ];
        for part in expected {
            assert!(drawn.contains(part), "{part}\n{drawn}");
        }
    }
}
