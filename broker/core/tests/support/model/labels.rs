//! What happened, in the words by which it is counted.

use tidegate_core::{Answer, Fault, OfferKind, Reason, State};

pub(super) fn fault_label(fault: &Fault) -> &'static str {
    match fault {
        Fault::Invalid(_) => "invalid",
        Fault::NotFound { .. } => "not found",
        Fault::RequestReused(_) => "request reused",
        Fault::RequestOutOfWindow { .. } => "request out of window",
        Fault::IllegalStep { .. } => "illegal step",
        Fault::Stale { .. } => "stale",
        Fault::SessionEnded(_) => "session ended",
        Fault::NotHolder { .. } => "not holder",
        Fault::LanesInUse { .. } => "lanes in use",
        Fault::StalePolicy { .. }
        | Fault::ProjectInUse { .. }
        | Fault::ClassInUse { .. }
        | Fault::QuotasInUse(_) => "policy",
        Fault::Full { .. } => "full",
        Fault::Within { fault, .. } => fault_label(fault),
    }
}

pub(super) fn label(answer: &Answer, changed: bool) -> &'static str {
    match answer {
        Answer::Refusal(refusal) => match refusal.reason {
            Reason::AboveQuota => "above quota",
            Reason::QuotaExhausted => "quota exhausted",
            Reason::NoPath => "no path",
            Reason::RateAboveCapacity => "rate above capacity",
            Reason::Drained => "drained",
            Reason::NoHeadroom if refusal.held.is_some() => "offer held",
            Reason::NoHeadroom => "no headroom",
            Reason::OthersRefused => "others refused",
            Reason::OtherTaken => "other taken",
            Reason::ClassNotAllowed => "class not allowed",
            Reason::NoTier => "no tier",
            Reason::RuleDenied => "rule denied",
        },
        Answer::Batch(answers) if !changed && 1 < answers.len() => "batch refused",
        Answer::Batch(_) => "batch",
        _ if !changed => "unchanged",
        Answer::Session(_) => "session step",
        Answer::Topology { .. } => "topology",
        Answer::Maintenance { .. } => "maintenance",
        Answer::Drained(_) => "drained",
        Answer::Undrained(_) => "undrained",
        Answer::Policy { .. } => "policy",
        Answer::Reservation(made) => match made.state {
            State::Held { .. } | State::Confirmed if !made.kept.is_empty() => {
                "changed, still booked"
            }
            State::Held { .. } | State::Confirmed if 1 < made.plan_version => "changed",
            State::Held { .. } => "held",
            State::Confirmed => "confirmed",
            State::Closed { at, free_from, .. } if at < free_from => "released, still booked",
            State::Closed { .. } => "released",
        },
    }
}

pub(super) fn offer_label(kind: OfferKind) -> &'static str {
    match kind {
        OfferKind::SameRateLater => "same rate later taken",
        OfferKind::LowerRateNow => "lower rate taken",
        OfferKind::LaterFinish => "later finish taken",
        OfferKind::LessInTime => "less in time taken",
        OfferKind::OtherSource => "other source taken",
    }
}
