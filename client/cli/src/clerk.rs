//! A refusal as a helpful clerk says it: which lane, how much is missing, what would fit, and the
//! exact command that asks for it.

use tidegate_client::refusal::{Blocker, CounterOffer, OfferKind, Refusal};
use tidegate_client::reservation::{Ask, End};

/// How many lanes in the way are named one by one.
const NAMED_MAX: usize = 8;

/// What was typed that was refused.
#[derive(Clone, Debug)]
pub(crate) enum Typed {
    /// `tidegate reserve`.
    Reserve,
    /// `tidegate fetch`.
    Fetch {
        /// What was to be fetched.
        url: String,
        /// The file that it was to become.
        file: String,
        /// The digest that was asked for.
        sha256: Option<String>,
        /// Whether the length followed from the size of the source.
        sized: bool,
    },
}

/// The refusal of `ask`, in words.
pub(crate) fn explain(refusal: &Refusal, ask: &Ask, typed: &Typed) -> String {
    let mut text = format!("refused: {}", refusal.reason);
    for blocker in refusal.blockers.iter().take(NAMED_MAX) {
        line(&mut text, "  ", &blocked(blocker, 1 < ask.sources().len()));
    }
    let more = refusal.blockers.len().saturating_sub(NAMED_MAX);
    if 0 < more {
        line(&mut text, "  ", &format!("and {more} more lanes"));
    }
    if refusal.offers.is_empty() {
        line(&mut text, "", "hint: nothing like it fits; ask for another source or destination");
        return text;
    }
    line(&mut text, "", "what fits now, and the command that asks for it:");
    for offer in &refusal.offers {
        line(&mut text, "  ", &offered(offer));
        line(&mut text, "    ", &command(offer, ask, typed));
    }
    text
}

fn line(text: &mut String, indent: &str, words: &str) {
    text.push('\n');
    text.push_str(indent);
    text.push_str(words);
}

fn blocked(blocker: &Blocker, name_source: bool) -> String {
    let Blocker { source, lane, limit, free, needed, missing, first_free } = blocker;
    let from = match source {
        Some(source) if name_source => format!("from {source}: "),
        Some(_) | None => String::new(),
    };
    let room = match first_free {
        Some(time) => format!("it has room from {time}"),
        None => "it never has room for this".into(),
    };
    format!("{from}{lane} lacks {missing}: {needed} needed, {free} free of {limit}; {room}")
}

fn offered(offer: &CounterOffer) -> String {
    let CounterOffer { kind, source, rate, start, end, .. } = offer;
    let from = source.as_ref().map_or_else(String::new, |source| format!(" from {source}"));
    match kind {
        OfferKind::SameRateLater => {
            format!("the same rate later: {rate}{from}, {start} to {end}")
        }
        OfferKind::LowerRateNow => {
            format!("a lower rate at the time you asked for: {rate}{from}")
        }
        OfferKind::LaterFinish => {
            format!("all of it, but slower: {rate}{from}, {start} to {end}")
        }
        OfferKind::OtherSource => {
            format!("all of it from another source: {rate}{from}, {start} to {end}")
        }
        OfferKind::Unknown(_) => format!("{rate}{from}, {start} to {end}"),
    }
}

/// What to type to take an offer, exactly as offered.
fn command(offer: &CounterOffer, ask: &Ask, typed: &Typed) -> String {
    let mut text = match typed {
        Typed::Reserve => "tidegate reserve".to_owned(),
        Typed::Fetch { url, file, .. } => {
            format!("tidegate fetch {} {}", quoted(url), quoted(file))
        }
    };
    let mut add = |flag: &str, value: &dyn std::fmt::Display| {
        text.push_str(&format!(" --{flag} {value}"));
    };
    if let Some(source) = &offer.source {
        add("from", source);
    }
    if let Some(destination) = ask.destination() {
        add("to", destination);
    }
    for host in &offer.via {
        add("via", host);
    }
    add("rate", &offer.rate);
    // Whoever asked for now means the now in which the command is typed.
    let for_now = offer.kind == OfferKind::LowerRateNow && ask.start().is_none();
    if !for_now {
        add("start", &offer.start);
    }
    match (typed, ask.until()) {
        (Typed::Fetch { sized: true, .. }, _) => {}
        (Typed::Fetch { .. }, Some(End::After(span))) => add("for", &span),
        (_, Some(End::After(span))) if for_now => add("for", &span),
        _ => add("until", &offer.end),
    }
    if let Some(hold_for) = &ask.hold_for {
        add("hold", hold_for);
    }
    if let Typed::Fetch { sha256: Some(hex), .. } = typed {
        add("sha256", hex);
    }
    text
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=%+,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_survives_the_shell() {
        assert_eq!(quoted("http://h:1/a.img"), "http://h:1/a.img");
        assert_eq!(quoted("a b&c"), "'a b&c'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
