//! A refusal as a helpful clerk says it: which lane, how much is missing, what would fit, and the
//! exact command that asks for it.

use tidegate_client::refusal::{Blocker, CounterOffer, OfferKind, Refusal};
use tidegate_client::reservation::{Ask, End};

/// How many lanes in the way are named one by one.
const NAMED_MAX: usize = 8;

/// The refusal of `ask`, in words.
pub(crate) fn explain(refusal: &Refusal, ask: &Ask) -> String {
    let mut text = format!("refused: {}", refusal.reason);
    for blocker in refusal.blockers.iter().take(NAMED_MAX) {
        line(&mut text, "  ", &blocked(blocker, 1 < ask.sources.len()));
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
        line(&mut text, "    ", &command(offer, ask));
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
    let from = if name_source { format!("from {source}: ") } else { String::new() };
    let room = match first_free {
        Some(time) => format!("it has room from {time}"),
        None => "it never has room for this".into(),
    };
    format!("{from}{lane} lacks {missing}: {needed} needed, {free} free of {limit}; {room}")
}

fn offered(offer: &CounterOffer) -> String {
    let CounterOffer { kind, source, rate, start, end, .. } = offer;
    match kind {
        OfferKind::SameRateLater => {
            format!("the same rate later: {rate} from {source}, {start} to {end}")
        }
        OfferKind::LowerRateNow => {
            format!("a lower rate at the time you asked for: {rate} from {source}")
        }
        OfferKind::Unknown(_) => format!("{rate} from {source}, {start} to {end}"),
    }
}

/// What to type to take an offer, exactly as offered.
fn command(offer: &CounterOffer, ask: &Ask) -> String {
    let mut text = format!("tidegate reserve --from {} --to {}", offer.source, ask.destination);
    let mut add = |flag: &str, value: &dyn std::fmt::Display| {
        text.push_str(&format!(" --{flag} {value}"));
    };
    for host in &offer.via {
        add("via", host);
    }
    add("rate", &offer.rate);
    match (offer.kind, ask.start, ask.until) {
        // Whoever asked for now means the now in which the command is typed.
        (OfferKind::LowerRateNow, None, End::After(span)) => add("for", &span),
        _ => {
            add("start", &offer.start);
            add("until", &offer.end);
        }
    }
    if let Some(hold_for) = &ask.hold_for {
        add("hold", hold_for);
    }
    text
}
