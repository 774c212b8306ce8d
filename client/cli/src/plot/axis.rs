//! From instants and rates to places, and the axes that say which.

use tidegate_policy::{BitRate, Timestamp};

use super::{Chart, escaped};

/// What one chart is drawn in.
pub(super) struct Frame<'a> {
    chart: &'a Chart,
    start: i64,
    end: i64,
    /// The rate at the upper end: at least as much as anything in it.
    top: u64,
    /// How far marks on the axis of rates are apart.
    step: u64,
    width: u64,
    height: u64,
}

/// As many marks on each axis at most.
const RATES_MAX: u64 = 5;
const TIMES_MAX: i64 = 9;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How far marks on the axis of time may be apart.
const TIMES: [i64; 18] = [
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    56 * DAY,
    112 * DAY,
];

impl<'a> Frame<'a> {
    pub(super) fn new(chart: &'a Chart, highest: u64, (width, height): (u64, u64)) -> Self {
        // No lane carries more, so that no sum below is too large.
        let highest = highest.clamp(1, 10 * BitRate::MAX.bps());
        let step = nice(highest.div_ceil(RATES_MAX));
        // A twentieth is left, so that nothing touches the upper end.
        let top = (highest + highest / 20).next_multiple_of(step);
        let (start, end) = (chart.start.as_ms(), chart.end.as_ms());
        Self { chart, start, end: end.max(start + 1), top, step, width, height }
    }

    pub(super) fn x(&self, ms: i64) -> String {
        let (from, all) = (ms.clamp(self.start, self.end) - self.start, self.end - self.start);
        tenths(part(from.unsigned_abs(), all.unsigned_abs(), self.width))
    }

    pub(super) fn y(&self, bps: u64) -> String {
        tenths(self.height * 10 - part(bps.min(self.top), self.top, self.height))
    }

    /// What lies below everything: a line for each mark.
    pub(super) fn draw_grid(&self, out: &mut String) {
        let mut path = String::new();
        for rate in self.rates() {
            path.push_str(&format!("M0 {}H{}", self.y(rate), self.width));
        }
        out.push_str(&format!("<path class=\"grid\" d=\"{path}\"/>\n"));
    }

    pub(super) fn draw_axes(&self, out: &mut String) {
        let (width, height) = (self.width, self.height);
        for rate in self.rates() {
            // Nothing is nothing in every unit.
            let label = match BitRate::from_bps(rate) {
                Some(BitRate::ZERO) => "0".to_owned(),
                label => label.unwrap_or(BitRate::MAX).to_string(),
            };
            let y = self.y(rate);
            out.push_str(&format!(
                "<text class=\"rate\" x=\"-8\" y=\"{y}\" dy=\"4\">{}</text>",
                escaped(&label)
            ));
        }
        out.push('\n');
        let step = self.time_step();
        let mut at = self.start.div_euclid(step) * step;
        let mut ticks = String::new();
        while at <= self.end {
            if self.start <= at {
                let x = self.x(at);
                ticks.push_str(&format!("M{x} {height}v5"));
                out.push_str(&format!(
                    "<text class=\"time\" x=\"{x}\" y=\"{}\">{}</text>",
                    height + 18,
                    label(at)
                ));
            }
            at += step;
        }
        out.push_str(&format!(
            "\n<path class=\"axis\" d=\"M0 0V{height}H{width}{ticks}\"/>\
             <text class=\"zone\" x=\"-24\" y=\"{}\">UTC</text>\n",
            height + 18
        ));
        let now = self.chart.now.as_ms();
        if (self.start..=self.end).contains(&now) {
            let x = self.x(now);
            // The word stands where there is room for it.
            let class =
                if (self.end - now) * 10 < self.end - self.start { "now left" } else { "now" };
            let gap = if class == "now" { 4 } else { -4 };
            out.push_str(&format!(
                "<path class=\"nowline\" d=\"M{x} 0V{height}\"/>\
                 <text class=\"{class}\" x=\"{x}\" dx=\"{gap}\" y=\"10\">now</text>\n"
            ));
        }
    }

    fn rates(&self) -> impl Iterator<Item = u64> + '_ {
        (0..=self.top / self.step).map(|mark| mark * self.step)
    }

    fn time_step(&self) -> i64 {
        let all = self.end - self.start;
        let fits = TIMES.into_iter().find(|step| all / step <= TIMES_MAX);
        fits.unwrap_or_else(|| (all / TIMES_MAX / DAY + 1) * DAY)
    }
}

/// `part` of `whole`, of so many pixels, in tenths of one.
fn part(part: u64, whole: u64, pixels: u64) -> u64 {
    let tenths = (u128::from(part) * u128::from(pixels) * 10).checked_div(u128::from(whole));
    u64::try_from(tenths.unwrap_or(0)).unwrap_or(u64::MAX)
}

fn tenths(tenths: u64) -> String {
    match tenths % 10 {
        0 => (tenths / 10).to_string(),
        rest => format!("{}.{rest}", tenths / 10),
    }
}

/// The least of 1, 2, 5, 10, 20, 50 and so on that is no less.
fn nice(least: u64) -> u64 {
    let mut ten: u64 = 1;
    loop {
        for step in [ten, ten.saturating_mul(2), ten.saturating_mul(5)] {
            if least <= step {
                return step;
            }
        }
        ten = ten.saturating_mul(10);
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The time of day, or the day where it begins.
fn label(ms: i64) -> String {
    let text = Timestamp::from_ms(ms).unwrap_or(Timestamp::MAX).to_string();
    let (day, time) = text.split_once('T').unwrap_or_default();
    let time = time.get(..5).unwrap_or_default();
    if time != "00:00" {
        return time.to_owned();
    }
    let mut parts = day.split('-').skip(1);
    let month = parts.next().and_then(|month| month.parse::<usize>().ok());
    let month = month.and_then(|month| MONTHS.get(month.wrapping_sub(1))).unwrap_or(&"");
    format!("{} {month}", parts.next().unwrap_or_default().trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_at_numbers_that_people_count_in() {
        let table = [(0, 1), (1, 1), (3, 5), (11, 20), (1_200_000_000, 2_000_000_000)];
        for (least, expected) in table {
            assert_eq!(nice(least), expected, "{least}");
        }
        assert!(nice(u64::MAX - 1) >= 10_u64.pow(19));
    }

    #[test]
    fn a_day_is_named_where_it_begins() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_ms();
        assert_eq!(label(at("2026-11-29T18:00:00Z")), "18:00");
        assert_eq!(label(at("2026-12-01T00:00:00Z")), "1 Dec");
    }
}
