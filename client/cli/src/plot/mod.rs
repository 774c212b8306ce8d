//! Pictures of lanes over time, as SVG: areas and lines of rates on axes, one lane below the other.
//!
//! Colours are told apart by whoever sees few, lines also by how they are drawn, and both are light or
//! dark as the reader has it. Nothing here knows a report: it draws shapes.

mod axis;
mod style;

use tidegate_policy::Timestamp;

use axis::Frame;

/// Sizes in pixels: of all, of what is drawn in, and around it.
const WIDTH: u64 = 800;
const LEFT: u64 = 84;
const RIGHT: u64 = 20;
const PLOT: (u64, u64) = (WIDTH - LEFT - RIGHT, 170);
const HEAD: u64 = 48;
const FOOT: u64 = 34;
const LEGEND: u64 = 78;

/// All that is drawn.
pub(crate) struct Picture {
    pub(crate) title: String,
    /// What is seen, for whoever does not see it.
    pub(crate) description: String,
    pub(crate) legend: Vec<(Ink, &'static str)>,
    pub(crate) charts: Vec<Chart>,
}

/// One lane.
pub(crate) struct Chart {
    pub(crate) name: String,
    /// What is to be said of it, in a line.
    pub(crate) note: String,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) now: Timestamp,
    /// The lowest first.
    pub(crate) shapes: Vec<Shape>,
}

/// Something over time.
pub(crate) struct Shape {
    pub(crate) ink: Ink,
    /// In the order of time; where there is a gap, nothing is drawn.
    pub(crate) steps: Vec<Step>,
}

/// What holds between two instants, in milliseconds and bits per second. Lines are at the upper end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) low: u64,
    pub(crate) high: u64,
}

/// What is drawn, and so how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// What was booked: an area.
    Booked,
    /// What is booked ahead of now: a lighter one.
    Ahead,
    /// Where the expected is to lie: the lightest.
    Band,
    /// Where nothing is known: hatched.
    Unknown,
    /// What can be booked: a line.
    Capacity,
    Used,
    Observed,
    Expected,
}

impl Ink {
    fn class(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Ahead => "ahead",
            Self::Band => "band",
            Self::Unknown => "unknown",
            Self::Capacity => "capacity",
            Self::Used => "used",
            Self::Observed => "observed",
            Self::Expected => "expected",
        }
    }

    fn is_area(self) -> bool {
        matches!(self, Self::Booked | Self::Ahead | Self::Band | Self::Unknown)
    }
}

/// The picture as a document of its own.
pub(crate) fn svg(picture: &Picture) -> String {
    let height = LEGEND + (HEAD + PLOT.1 + FOOT) * count(picture.charts.len()).max(1);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-labelledby=\"title desc\">\n\
         <title id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n<style>{}</style>\n{}\
         <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"30\">{}</text>\n",
        escaped(&picture.title),
        escaped(&picture.description),
        style::CSS,
        style::DEFS,
        escaped(&picture.title),
    );
    legend(&mut out, &picture.legend);
    for (place, chart) in (0..).zip(&picture.charts) {
        draw(&mut out, chart, LEGEND + place * (HEAD + PLOT.1 + FOOT));
    }
    if picture.charts.is_empty() {
        let y = LEGEND + HEAD;
        out.push_str(&format!(
            "<text class=\"note\" x=\"{LEFT}\" y=\"{y}\">there is nothing to draw</text>\n"
        ));
    }
    out.push_str("</svg>\n");
    out
}

/// How much room a sample and its words have: so much for each letter, in tenths of a pixel.
const SAMPLE: u64 = 26;
const LETTER: u64 = 62;

fn legend(out: &mut String, entries: &[(Ink, &str)]) {
    let mut x = LEFT;
    for (ink, words) in entries {
        let class = ink.class();
        out.push_str(&match ink.is_area() {
            true => format!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"45\" width=\"{SAMPLE}\" height=\"12\"/>"
            ),
            false => format!("<path class=\"{class}\" d=\"M{x} 51h{SAMPLE}\"/>"),
        });
        let at = x + SAMPLE + 6;
        out.push_str(&format!(
            "<text class=\"note\" x=\"{at}\" y=\"55\">{}</text>\n",
            escaped(words)
        ));
        x = at + count(words.chars().count()) * LETTER / 10 + 16;
    }
}

fn draw(out: &mut String, chart: &Chart, top: u64) {
    let highest = chart.shapes.iter().flat_map(|shape| &shape.steps).map(|step| step.high).max();
    let frame = Frame::new(chart, highest.unwrap_or(0), PLOT);
    out.push_str(&format!(
        "<g transform=\"translate({LEFT},{})\">\n<text class=\"name\" y=\"-26\">{}</text>\
         <text class=\"note\" y=\"-10\">{}</text>\n",
        top + HEAD,
        escaped(&chart.name),
        escaped(&chart.note),
    ));
    frame.draw_grid(out);
    for shape in &chart.shapes {
        let class = shape.ink.class();
        let path = match shape.ink.is_area() {
            true => area(&frame, &shape.steps),
            false => line(&frame, &shape.steps),
        };
        if !path.is_empty() {
            out.push_str(&format!("<path class=\"{class}\" d=\"{path}\"/>\n"));
        }
    }
    frame.draw_axes(out);
    out.push_str("</g>\n");
}

/// Steps that follow each other without a gap.
fn runs(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    steps.chunk_by(|one, next| one.end == next.start)
}

fn line(frame: &Frame<'_>, steps: &[Step]) -> String {
    let mut path = String::new();
    for run in runs(steps) {
        let Some(first) = run.first() else { continue };
        path.push_str(&format!("M{} {}", frame.x(first.start), frame.y(first.high)));
        for same in run.chunk_by(|one, next| one.high == next.high) {
            let (Some(first), Some(last)) = (same.first(), same.last()) else { continue };
            path.push_str(&format!("V{}H{}", frame.y(first.high), frame.x(last.end)));
        }
    }
    path
}

fn area(frame: &Frame<'_>, steps: &[Step]) -> String {
    let mut path = String::new();
    for run in runs(steps) {
        let Some(first) = run.first() else { continue };
        path.push_str(&format!("M{} {}", frame.x(first.start), frame.y(first.low)));
        for same in run.chunk_by(|one, next| one.high == next.high) {
            let (Some(first), Some(last)) = (same.first(), same.last()) else { continue };
            path.push_str(&format!("V{}H{}", frame.y(first.high), frame.x(last.end)));
        }
        // And back along its lower end.
        for same in run.chunk_by(|one, next| one.low == next.low).rev() {
            let (Some(first), Some(last)) = (same.first(), same.last()) else { continue };
            path.push_str(&format!("V{}H{}", frame.y(last.low), frame.x(first.start)));
        }
        path.push('z');
    }
    path
}

/// A text that is no markup.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML knows no others of these.
            c if c.is_control() && !matches!(c, '\t' | '\n') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "../plot_tests.rs"]
mod tests;
