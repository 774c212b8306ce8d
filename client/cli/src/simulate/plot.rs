//! A picture of what lanes carry when, as SVG: a row for each lane, darker the fuller it is.

use super::ledger::{Ledger, Row};

/// The most lanes of a picture; the fullest are drawn.
const ROWS_MAX: usize = 200;
/// A lane that is never fuller than this is not drawn, in parts per million.
const EMPTY: u64 = 1_000;
/// Shades from nothing to all, and one for more than all.
const SHADES: usize = 20;
const MILLION: u64 = 1_000_000;

/// Sizes in pixels.
const LEFT: u64 = 260;
const TOP: u64 = 46;
const COLUMN: u64 = 4;
const ROW: u64 = 14;
const FOOT: u64 = 34;
const RIGHT: u64 = 30;
/// As many marks on the axis of time at most.
const TICKS_MAX: u64 = 12;
/// How long marks may be apart, in minutes.
const TICKS: [u64; 12] = [1, 5, 15, 30, 60, 120, 240, 360, 720, 1440, 2880, 10_080];

/// One picture: what it is called, and what was carried.
pub(super) struct Figure<'a> {
    pub(super) title: &'a str,
    pub(super) ledger: &'a Ledger,
}

/// Pictures below each other.
pub(super) fn svg(figures: &[Figure<'_>]) -> String {
    let (mut body, mut top, mut width) = (String::new(), 0, 0);
    for figure in figures {
        let (drawn, size) = figure.drawn(top);
        body.push_str(&drawn);
        top += size.1;
        width = size.0.max(width);
    }
    let mut style = String::new();
    for shade in 0..=SHADES {
        // From pale to dark blue: every part falls on a line.
        let part = |from: usize, to: usize| from - (from - to) * shade / SHADES;
        let (red, green, blue) = (part(240, 8), part(246, 48), part(253, 107));
        style.push_str(&format!(".s{shade}{{fill:#{red:02x}{green:02x}{blue:02x}}}"));
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {top}\" width=\"{width}\" \
         height=\"{top}\" font-family=\"sans-serif\" font-size=\"11\">\n<style>{style}.over{{fill:\
         #d62728}}.name{{text-anchor:end}}.tick{{text-anchor:middle;fill:#555}}</style>\n<rect \
         width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

impl Figure<'_> {
    /// The picture from `top` on, and its width and height.
    fn drawn(&self, top: u64) -> (String, (u64, u64)) {
        let (rows, left_out) = self.rows();
        let columns = count(self.ledger.columns());
        let (width, height) = (columns * COLUMN, count(rows.len()) * ROW);
        let mut out = format!("<g transform=\"translate({LEFT},{})\">\n", top + TOP);
        let more =
            if left_out == 0 { String::new() } else { format!(", {left_out} more left out") };
        out.push_str(&format!(
            "<text y=\"-28\" font-size=\"14\">{}: {} lanes{more}</text>\n<text y=\"-12\" \
             fill=\"#555\">from white for nothing to dark for all of what a lane can carry; red is \
             more</text>\n",
            self.title,
            rows.len()
        ));
        for (place, row) in (0..).zip(&rows) {
            draw_row(&mut out, row, place * ROW);
        }
        self.draw_axis(&mut out, (width, height));
        out.push_str("</g>\n");
        (out, (LEFT + width + RIGHT, TOP + height + FOOT))
    }

    /// The lanes to draw in the order of their names, and how many are not.
    fn rows(&self) -> (Vec<Row>, usize) {
        let mut rows = self.ledger.rows();
        rows.retain(|row| row.shares_ppm.iter().any(|share| EMPTY <= *share));
        let all = rows.len();
        rows.sort_by_key(|row| std::cmp::Reverse(row.shares_ppm.iter().sum::<u64>()));
        rows.truncate(ROWS_MAX);
        let left_out = all - rows.len();
        rows.sort_by(|a, b| a.lane.cmp(&b.lane));
        (rows, left_out)
    }

    fn draw_axis(&self, out: &mut String, (width, height): (u64, u64)) {
        let ms = self.ledger.column_ms();
        let all = count(self.ledger.columns()) * ms / 60_000;
        let step = TICKS.into_iter().find(|step| all / step <= TICKS_MAX).unwrap_or(all.max(1));
        let mut at = 0;
        while at <= all {
            let x = at * 60_000 * COLUMN / ms.max(1);
            let label = match (at / 60, at % 60) {
                (hours, 0) => format!("{hours}h"),
                (0, minutes) => format!("{minutes}m"),
                (hours, minutes) => format!("{hours}h{minutes:02}"),
            };
            out.push_str(&format!("<path d=\"M{x} 0V{}\" stroke=\"#000\" stroke-opacity=\".15\"/><text class=\"tick\" \
                 x=\"{x}\" y=\"{}\">{label}</text>\n",
                height + 4,
                height + 16));
            at += step;
        }
        out.push_str(&format!("<path d=\"M0 {height}H{width}\" stroke=\"#555\"/>\n"));
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A row: columns of one shade in a line are one shape.
fn draw_row(out: &mut String, row: &Row, y: u64) {
    let Row { lane, shares_ppm } = row;
    let mean = shares_ppm.iter().sum::<u64>() / count(shares_ppm.len()).max(1) / 10_000;
    out.push_str(&format!(
        "<text class=\"name\" x=\"-6\" y=\"{}\">{lane}</text><g><title>{lane}: {mean}% on \
         average</title>\n",
        y + ROW - 4
    ));
    let mut from = 0;
    for run in shares_ppm.chunk_by(|a, b| shade(*a) == shade(*b)) {
        let length = count(run.len());
        let (x, width, height) = (from * COLUMN, length * COLUMN, ROW - 1);
        let class = shade(run.first().copied().unwrap_or(0));
        out.push_str(&format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>\n"
        ));
        from += length;
    }
    out.push_str("</g>\n");
}

/// The class of a share; the last shade is for what is full.
fn shade(ppm: u64) -> String {
    if MILLION < ppm {
        return "over".into();
    }
    format!("s{}", ppm * count(SHADES) / MILLION)
}

#[cfg(test)]
mod tests {
    use tidegate_core::lane::LaneName;
    use tidegate_policy::{Interval, Timestamp};

    use super::*;

    #[test]
    fn a_lane_is_drawn_as_full_as_it_is() {
        let at = |ms| Timestamp::from_ms(ms).unwrap();
        let mut ledger = Ledger::new(Interval::new(at(0), at(24 * 3_600_000)).unwrap());
        let (full, nic) = (LaneName::new("links/a/forward"), LaneName::new("hosts/h/nics/n"));
        ledger.limit(at(0), [(&full, 100), (&nic, u64::MAX)].into_iter());
        for lane in [&full, &nic] {
            let lane = ledger.lane(lane, at(0));
            ledger.begin(lane, at(0), 50);
            ledger.begin(lane, at(6 * 3_600_000), 51);
            ledger.end(lane, at(12 * 3_600_000), 101);
        }
        let drawn = svg(&[Figure { title: "full", ledger: &ledger }]);
        let shapes: Vec<&str> = drawn.lines().filter(|line| line.starts_with("<rect c")).collect();
        assert_eq!(
            shapes,
            [
                "<rect class=\"s10\" x=\"0\" y=\"0\" width=\"240\" height=\"13\"/>",
                "<rect class=\"over\" x=\"240\" y=\"0\" width=\"240\" height=\"13\"/>",
                "<rect class=\"s0\" x=\"480\" y=\"0\" width=\"480\" height=\"13\"/>",
            ]
        );
        assert!(drawn.contains("full: 1 lanes<") && !drawn.contains("nics"), "{drawn}");
        assert!(drawn.contains(">12h<") && drawn.contains("links/a/forward: 37% on average"));
    }
}
