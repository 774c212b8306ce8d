//! What differs from run to run, under names that do not.

use tidegate_client::clock;
use tidegate_policy::Span;

/// Identifiers by the number under which they first appeared, and the first instant that can
/// belong to a run: those before it are examples.
pub(crate) struct Mask {
    ids: Vec<String>,
    began: String,
}

/// The places of hyphens in an identifier, and how long one is.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
const ID_LENGTH: usize = 36;

impl Mask {
    pub(crate) fn new() -> Self {
        let began = clock::wall().minus(Span::from_secs(3600));
        Self { ids: Vec::new(), began: began.to_string() }
    }

    /// A command with the identifiers that its names stand for.
    pub(crate) fn real(&self, command: &str) -> String {
        // The longest names first, so that ID1 is not found in ID12.
        let named = self.ids.iter().enumerate().rev();
        named.fold(command.to_owned(), |text, (index, id)| text.replace(&name(index), id))
    }

    /// A text with names instead of identifiers, instants, tokens and figures that depend on when
    /// it is asked to the millisecond.
    pub(crate) fn masked(&mut self, text: &str) -> String {
        let mut masked = String::new();
        let mut any_figure = false;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let found = identifier(rest).map(|id| (id.len(), self.named(id)));
            let this_run = |length: &usize| self.began.as_str() < &rest[..*length];
            let time = instant(rest).filter(this_run).map(|length| (length, "TIME".to_owned()));
            let found = found.or(time);
            let found = found.or_else(|| token(rest).map(|length| (length, "TOKEN".to_owned())));
            let found =
                found.or_else(|| figure(&masked, rest).map(|length| (length, "N".to_owned())));
            let found = found.or_else(|| hour(rest).map(|length| (length, "HOUR  ".to_owned())));
            let Some((length, name)) = found else {
                masked.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            };
            any_figure |= name == "N";
            masked.push_str(&name);
            rest = &rest[length..];
            // In a table the next column stays where it is.
            if rest.starts_with("  ") {
                masked.push_str(&" ".repeat(length.saturating_sub(name.len())));
            }
        }
        // How wide a figure is makes columns as wide as they are: chance too.
        let line = |line: &str| if any_figure { narrow(line) } else { line.to_owned() };
        masked.lines().map(|text| format!("{}\n", line(text).trim_end())).collect()
    }

    fn named(&mut self, id: &str) -> String {
        let known = self.ids.iter().position(|known| known == id);
        name(known.unwrap_or_else(|| {
            self.ids.push(id.to_owned());
            self.ids.len() - 1
        }))
    }
}

/// The length of a last hour at the begin of a text that is mostly not known: how high its last piece is
/// depends on the second in which it is asked. What follows it up to the next column is a part of it.
fn hour(text: &str) -> Option<usize> {
    let unknown = text.chars().take_while(|sign| *sign == '·').count();
    let is_piece = |sign: &char| " ·▁▂▃▄▅▆▇█".contains(*sign);
    let pieces = text.chars().take_while(is_piece).map(char::len_utf8).sum();
    (10 <= unknown).then_some(pieces)
}

/// A line with its columns two blanks apart.
fn narrow(line: &str) -> String {
    let text = line.trim_start();
    let indent = &line[..line.len() - text.len()];
    let words = text.split("  ").map(str::trim).filter(|word| !word.is_empty());
    format!("{indent}{}", words.collect::<Vec<_>>().join("  "))
}

fn name(index: usize) -> String {
    format!("ID{}", index + 1)
}

fn identifier(text: &str) -> Option<&str> {
    let id = text.get(..ID_LENGTH)?;
    let right = |(at, byte): (usize, u8)| match HYPHENS.contains(&at) {
        true => byte == b'-',
        false => byte.is_ascii_hexdigit(),
    };
    id.bytes().enumerate().all(right).then_some(id)
}

/// How long the instant is that a text begins with: `2026-11-23T18:00:00.123Z`.
fn instant(text: &str) -> Option<usize> {
    let shape = "dddd-dd-ddTdd:dd:dd";
    let head = text.get(..shape.len())?;
    let right = |(byte, shape): (u8, u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    };
    if !head.bytes().zip(shape.bytes()).all(right) {
        return None;
    }
    let rest = &text[shape.len()..];
    let fraction = rest.find(|c: char| !(c == '.' || c.is_ascii_digit()))?;
    rest[fraction..].starts_with('Z').then_some(shape.len() + fraction + 1)
}

/// What comes before a size that depends on when it was asked for.
const BEFORE_CHANCE: &str = "as much as fits in time: ";

/// How long the figure is that a text begins with, behind `before`: what nobody typed, because it
/// stands where only chance does, has more than three digits behind the point, or is a large number
/// that is no whole million.
fn figure(before: &str, text: &str) -> Option<usize> {
    if before.ends_with(BEFORE_CHANCE) && text.starts_with(|c: char| c.is_ascii_digit()) {
        return text.find(' ');
    }
    let part_of_another = |c: char| c.is_ascii_alphanumeric() || c == '.';
    if before.ends_with(part_of_another) {
        return None;
    }
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole = digits(text);
    let fraction = text[whole..].strip_prefix('.').map_or(0, digits);
    if 0 < whole && 3 < fraction {
        let size = text[whole + 1 + fraction..].starts_with("GB");
        return Some(whole + 1 + fraction + if size { 2 } else { 0 });
    }
    // A size is written in the largest unit that keeps it whole, which is chance too.
    let size = text[whole..].split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("");
    if 6 < whole && ["KB", "MB", "KiB", "MiB"].contains(&size) {
        return Some(whole + size.len());
    }
    let odd = 6 < whole && fraction == 0 && !text[..whole].ends_with("000000");
    odd.then_some(whole)
}

/// How long the token is that a text begins with: a long word without a hyphen or a slash.
fn token(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "_-+=".contains(c)));
    let length = end.unwrap_or(text.len());
    (60 < length).then_some(length)
}
