//! A refusal as a helpful clerk says it: which lane, how much is missing, what would fit, and the
//! exact command that asks for it.

use tidegate_client::ask::{Along, Ask, Assurance, End, Shape, Transfer, Want, Wish};
use tidegate_client::refusal::{Blocker, CounterOffer, OfferKind, Refusal, RefusalReason};
use tidegate_client::reservation::{Reservation, State};
use tidegate_policy::{BitRate, Endpoint, ProjectId};

/// How many lanes in the way are named one by one.
const NAMED_MAX: usize = 8;

/// What was typed that was refused.
#[derive(Clone, Debug)]
pub(crate) enum Typed {
    /// `tidegate reserve`.
    Reserve,
    /// `tidegate fetch` or `tidegate cp`.
    Fetch {
        /// The command, what was to be moved, and what it was to become.
        command: [String; 3],
        /// The ends as they were typed, where they are not those of the request.
        ends: Vec<(&'static str, String)>,
        /// What else was typed of it: the names of options, and their values.
        options: Vec<(&'static str, String)>,
        /// Whether the length followed from the size of the source.
        sized: bool,
    },
    /// Something whose offers are not taken by repeating it.
    Other,
}

/// The refusal of `ask`, in words.
pub(crate) fn explain(refusal: &Refusal, ask: &Ask, typed: &Typed) -> String {
    let mut text = format!("refused: {}", refusal.reason);
    for blocker in refusal.blockers.iter().take(NAMED_MAX) {
        line(&mut text, "  ", &blocked(blocker, refusal.reason, 1 < ask.sources().len()));
    }
    let more = refusal.blockers.len().saturating_sub(NAMED_MAX);
    if 0 < more {
        line(&mut text, "  ", &format!("and {more} more lanes"));
    }
    for rule in refusal.rules.iter().take(NAMED_MAX) {
        line(&mut text, "  ", &format!("rules/{}: {}", rule.rule, rule.message));
    }
    for quota in refusal.quotas.iter().take(NAMED_MAX) {
        line(&mut text, "  ", &quota.to_string());
    }
    if let Some(held) = &refusal.held {
        let State::Held { until } = held.state else { return text };
        let (id, rate, start, end) = (held.name.id, held.rate, held.start, held.end);
        line(&mut text, "", &format!("held for you until {until}: {rate}, {start} to {end}"));
        line(&mut text, "    ", &format!("tidegate confirm {id}"));
        return text;
    }
    // A part of a file helps nobody who fetches it.
    let whole = matches!(typed, Typed::Fetch { .. });
    let helps = |offer: &&CounterOffer| !whole || offer.kind != OfferKind::LessInTime;
    let offers: Vec<&CounterOffer> = refusal.offers.iter().filter(helps).collect();
    if offers.is_empty() {
        let next = smaller(refusal, ask).unwrap_or_else(|| nothing(refusal.reason).to_owned());
        line(&mut text, "", &format!("hint: {next}"));
        return text;
    }
    line(&mut text, "", "what fits now, and the command that asks for it:");
    for offer in offers {
        line(&mut text, "  ", &offered(offer));
        line(&mut text, "    ", &command(offer, ask, typed));
    }
    if matches!((typed, &ask.want), (Typed::Reserve, Want::Rate(_))) {
        line(&mut text, "", "hint: with --take, the same command takes the first of these at once");
    }
    text
}

/// The refusal of a change, in words, of the reservation as it stands.
pub(crate) fn unchanged(refusal: &Refusal, present: &Reservation) -> String {
    let id = present.name.id;
    let mut text = format!("refused, and unchanged: {}", refusal.reason);
    for blocker in refusal.blockers.iter().take(NAMED_MAX) {
        line(&mut text, "  ", &blocked(blocker, refusal.reason, false));
    }
    if !refusal.offers.is_empty() {
        line(&mut text, "", "what fits instead, and the command that asks for it:");
    }
    for offer in &refusal.offers {
        line(&mut text, "  ", &offered(offer));
        let mut command = format!("tidegate modify {id} --rate {}", asked(offer.rate, present));
        if offer.kind != OfferKind::LowerRateNow {
            add(&mut command, "start", offer.start);
            add(&mut command, "until", offer.end);
        }
        line(&mut text, "    ", &command);
    }
    text
}

/// What to ask for so that so much is promised, as of a reservation that was asked for in the same class.
fn asked(promised: BitRate, present: &Reservation) -> BitRate {
    let Some(ceiling) = present.ceiling else { return promised };
    let asked = u128::from(promised.bps()) * u128::from(ceiling.bps());
    let asked = asked.checked_div(present.rate.bps().into());
    let asked = asked.and_then(|bps| u64::try_from(bps).ok()).and_then(BitRate::from_bps);
    asked.unwrap_or(promised)
}

/// The highest rate that a path carries when it is empty, if that is what is in the way.
fn smaller(refusal: &Refusal, ask: &Ask) -> Option<String> {
    if refusal.reason != RefusalReason::RateAboveCapacity {
        return None;
    }
    let rate = ask.rate()?;
    let on_lane = |blocker: &Blocker| {
        let carried = u128::from(rate.bps()) * u128::from(blocker.limit.bps());
        carried.checked_div(blocker.needed.bps().into())
    };
    let on_path = |source: &Option<Endpoint>| {
        refusal.blockers.iter().filter(|it| it.source == *source).filter_map(on_lane).min()
    };
    let best = refusal.blockers.iter().filter_map(|it| on_path(&it.source)).max()?;
    let best = BitRate::from_bps(u64::try_from(best).ok()?)?;
    Some(format!("even when it is empty, the path carries no more than --rate {best}"))
}

/// What to do where nothing is offered.
fn nothing(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::AboveQuota | RefusalReason::QuotaExhausted => {
            "`tidegate get quota PROJECT` says what binds it, and whence"
        }
        RefusalReason::RuleDenied => "ask for what the rule allows, or whoever keeps the rules",
        RefusalReason::ClassNotAllowed | RefusalReason::NoTier => {
            "`tidegate describe class CLASS` says who may use it, and which tiers it takes"
        }
        RefusalReason::NoPath => "`tidegate path FROM TO` shows which lanes lead where",
        RefusalReason::Drained => "name another source, or ask when what is drained comes back",
        RefusalReason::OtherTaken => "one of the others was granted in its place",
        RefusalReason::OthersRefused => "leave --all-or-nothing out, or those that are refused",
        _ => "nothing like it fits; ask for another source or destination",
    }
}

fn line(text: &mut String, indent: &str, words: &str) {
    text.push('\n');
    text.push_str(indent);
    text.push_str(words);
}

fn blocked(blocker: &Blocker, reason: RefusalReason, name_source: bool) -> String {
    let Blocker { source, lane, limit, free, needed, missing, first_free } = blocker;
    let from = match source {
        Some(source) if name_source => format!("from {source}: "),
        _ => String::new(),
    };
    // A drained lane has no room at all, although it is large enough.
    let drained = reason == RefusalReason::Drained && first_free.is_none() && needed <= limit;
    if drained {
        return format!("{from}{lane} is drained: it takes nothing new");
    }
    let room = match first_free {
        Some(time) => format!("it has room from {time}"),
        None => "it never has room for this".into(),
    };
    format!("{from}{lane} lacks {missing}: {needed} needed, {free} free of {limit}; {room}")
}

/// An offer in words.
pub(crate) fn offered(offer: &CounterOffer) -> String {
    let CounterOffer { kind, source, rate, start, end, .. } = offer;
    let from = source.as_ref().map_or(String::new(), |source| format!(" from {source}"));
    if let Some(volume) = offer.volume {
        let how = match kind {
            OfferKind::LessInTime => "as much as fits in time: ",
            OfferKind::LaterFinish | OfferKind::SameRateLater => "all of it, but later: ",
            OfferKind::OtherSource => "all of it from another source: ",
            OfferKind::LowerRateNow | OfferKind::Unknown(_) => "",
        };
        return format!("{how}{volume} by {end}{from}");
    }
    match kind {
        OfferKind::SameRateLater => {
            format!("the same rate later: {rate}{from}, {start} to {end}")
        }
        OfferKind::LowerRateNow => {
            format!("a lower rate at the time you asked for: {rate}{from}")
        }
        OfferKind::LaterFinish => format!("all of it, but slower: {rate}{from}, until {end}"),
        OfferKind::OtherSource => {
            format!("all of it from another source: {rate}{from}, {start} to {end}")
        }
        OfferKind::LessInTime | OfferKind::Unknown(_) => format!("{rate}{from}, {start} to {end}"),
    }
}

/// What to type to take an offer, exactly as offered.
fn command(offer: &CounterOffer, ask: &Ask, typed: &Typed) -> String {
    let mut text = match typed {
        Typed::Reserve | Typed::Other => "tidegate reserve".to_owned(),
        Typed::Fetch { command: [command, from, to], .. } => {
            format!("tidegate {command} {} {}", quoted(from), quoted(to))
        }
    };
    let wish = match (&ask.want, &offer.token) {
        (Want::Rate(wish), _) => wish,
        // A token was typed, and what it stood for is not known here; the new one knows.
        (Want::Offer(_), token) => {
            token.iter().for_each(|token| add(&mut text, "offer", token));
            return text;
        }
    };
    if let (Shape::Transfer(transfer), Some(volume)) = (&wish.shape, offer.volume) {
        by(&mut text, offer, (wish, transfer), typed);
        // The volume of a fetch is the size of its source.
        if !matches!(typed, Typed::Fetch { .. }) {
            add(&mut text, "volume", volume);
        }
        standing(&mut text, ask, typed);
        return text;
    }
    if let (Some(_), Typed::Reserve | Typed::Other, Some(token)) = (&ask.class, typed, &offer.token)
    {
        // What is offered is what would be promised; how much to ask for so that it is, the token knows.
        add(&mut text, "offer", token);
        ask.hold_for.iter().for_each(|hold_for| add(&mut text, "hold", hold_for));
        return text;
    }
    way(&mut text, offer, wish, typed);
    add(&mut text, "rate", rate_of(offer, ask));
    // Whoever asked for now means the now in which the command is typed.
    let rigid = matches!(wish.shape, Shape::Rigid(_));
    let for_now = rigid && offer.kind == OfferKind::LowerRateNow && ask.start().is_none();
    if !for_now {
        add(&mut text, "start", offer.start);
    }
    match (typed, ask.until()) {
        (Typed::Fetch { sized: true, .. }, _) => {}
        (Typed::Fetch { .. }, Some(End::After(span))) => add(&mut text, "for", span),
        (_, Some(End::After(span))) if for_now => add(&mut text, "for", span),
        _ => add(&mut text, "until", offer.end),
    }
    standing(&mut text, ask, typed);
    text
}

/// The rate to ask for: in a class, of which it is not known how much it promises, what was asked before.
fn rate_of(offer: &CounterOffer, ask: &Ask) -> BitRate {
    let asked = ask.rate().filter(|_| ask.class.is_some());
    let same = matches!(offer.kind, OfferKind::SameRateLater | OfferKind::OtherSource);
    asked.filter(|_| same).unwrap_or(offer.rate)
}

/// How a request stands to others, and what else was typed.
fn standing(text: &mut String, ask: &Ask, typed: &Typed) {
    let own = matches!(typed, Typed::Fetch { .. });
    if let Some(session) = ask.session.filter(|_| !own) {
        add(text, "session", session);
    }
    if ask.movable && !own {
        text.push_str(" --movable");
    }
    let transfer = matches!(&ask.want, Want::Rate(Wish { shape: Shape::Transfer(_), .. }));
    if own && transfer && !ask.movable {
        text.push_str(" --unmoved");
    }
    if ask.priority != 0 {
        add(text, "priority", ask.priority);
    }
    if ask.preemptible {
        text.push_str(" --preemptible");
    }
    if ask.project != ProjectId::default_project() {
        add(text, "project", &ask.project);
    }
    ask.class.iter().for_each(|class| add(text, "class", class));
    ask.principal.iter().for_each(|principal| add(text, "as", principal));
    for (key, value) in &ask.labels {
        add(text, "label", quoted(&format!("{key}={value}")));
    }
    if let Some(hold_for) = ask.hold_for {
        add(text, "hold", hold_for);
    }
    if let Typed::Fetch { options, .. } = typed {
        options.iter().for_each(|(name, value)| add(text, name, quoted(value)));
    }
}

/// An offered volume: all sources that were named, where it may take several.
fn by(text: &mut String, offer: &CounterOffer, (wish, it): (&Wish, &Transfer), typed: &Typed) {
    let has_ends = matches!(typed, Typed::Fetch { ends, .. } if !ends.is_empty());
    match &wish.along {
        Along::Between(between)
            if it.split && offer.kind != OfferKind::OtherSource && !has_ends =>
        {
            between.sources.iter().for_each(|source| add(text, "from", source));
            add(text, "to", &between.destination);
            between.via.iter().for_each(|host| add(text, "via", host));
            between.path.iter().for_each(|path| add(text, "path", path));
            terms(text, wish);
        }
        Along::Between(_) | Along::Lanes(_) => way(text, offer, wish, typed),
    }
    if it.split {
        text.push_str(" --split");
    }
    if it.min != BitRate::ZERO {
        add(text, "min-rate", it.min);
    }
    if it.max != BitRate::MAX {
        add(text, "max-rate", it.max);
    }
    it.start.iter().for_each(|start| add(text, "start", start));
    add(text, "by", offer.end);
}

/// Where, and on which terms.
fn way(text: &mut String, offer: &CounterOffer, wish: &Wish, typed: &Typed) {
    match &wish.along {
        _ if matches!(typed, Typed::Fetch { ends, .. } if !ends.is_empty()) => {
            let Typed::Fetch { ends, .. } = typed else { return };
            ends.iter().for_each(|(name, end)| add(text, name, end));
        }
        Along::Lanes(lanes) => lanes.iter().for_each(|lane| add(text, "lane", quoted(lane))),
        Along::Between(between) => {
            if let Some(source) = &offer.source {
                add(text, "from", source);
            }
            add(text, "to", &between.destination);
            offer.via.iter().for_each(|host| add(text, "via", host));
            if let Some(path) = offer.path {
                add(text, "path", path);
            }
        }
    }
    terms(text, wish);
}

fn terms(text: &mut String, wish: &Wish) {
    if wish.assurance == Assurance::Shared {
        text.push_str(" --shared");
    }
    if let Some(streams) = wish.streams {
        add(text, "streams", streams);
    }
}

fn add(text: &mut String, flag: &str, value: impl std::fmt::Display) {
    text.push_str(&format!(" --{flag} {value}"));
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
#[path = "clerk_tests.rs"]
mod tests;
