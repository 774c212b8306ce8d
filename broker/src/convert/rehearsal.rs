//! What a change of the policy would have decided otherwise, from the wire and back.

use tidegate_core::PolicyAsk;
use tidegate_core::rehearsal::{Decided, Differing, Rehearsal, Verdict};
use tidegate_policy::Timestamp;
use tidegate_proto::v1;
use v1::decided::What;

use super::{Checked, class, policy, reply};
use crate::fields::Fields;
use crate::history::KEPT_MAX;

/// So many requests are asked again where nothing else is said.
const LAST_DEFAULT: usize = 1000;

/// What is to be rehearsed, and on how many of the last requests.
pub(crate) fn simulate(message: &v1::SimulatePolicyRequest) -> Checked<(PolicyAsk, usize)> {
    let mut fields = Fields::default();
    let change = match &message.change {
        Some(change) => fields.within("change", |fields| policy::ask(fields, change)),
        None => {
            fields.fault("change", "it is missing; say what is to be changed");
            None
        }
    };
    let most = u32::try_from(KEPT_MAX).unwrap_or(u32::MAX);
    let last = fields.number("request_count", message.request_count, most);
    let last = last.map(|last| match usize::try_from(last) {
        Ok(0) | Err(_) => LAST_DEFAULT,
        Ok(last) => last,
    });
    fields.finish(change.zip(last))
}

pub(crate) fn told(told: &Rehearsal, now: Timestamp) -> v1::SimulatePolicyResponse {
    let Rehearsal { decided, turned, differing, over, cut_short } = told;
    let turned = turned.iter().map(|((before, after), count)| v1::TurnedDecisions {
        before: Some(verdict(*before)),
        after: Some(verdict(*after)),
        request_count: reply::int(*count),
    });
    v1::SimulatePolicyResponse {
        decided_count: reply::int(*decided),
        turned: turned.collect(),
        differing: differing.iter().map(|it| self::differing(it, now)).collect(),
        start_time: over.map(|over| reply::time(over.start())),
        end_time: over.map(|over| reply::time(over.end())),
        cut_short: *cut_short,
    }
}

fn verdict(verdict: Verdict) -> v1::Verdict {
    let reason = match verdict {
        Verdict::Granted | Verdict::Wrong => v1::refusal::Reason::Unspecified,
        Verdict::Refused(reason) => reply::reason(reason),
    };
    v1::Verdict { granted: verdict == Verdict::Granted, reason: reason.into() }
}

fn differing(it: &Differing, now: Timestamp) -> v1::DifferingDecision {
    v1::DifferingDecision {
        decided_request_id: it.request.to_string(),
        request_time: Some(reply::time(it.at)),
        project: policy::name(&it.project),
        before: Some(decided(&it.before, now)),
        after: Some(decided(&it.after, now)),
    }
}

fn decided(decided: &Decided, now: Timestamp) -> v1::Decided {
    let what = match decided {
        Decided::Granted { rate, over, class } => What::Granted(v1::decided::Granted {
            rate_bps: reply::int(rate.bps()),
            start_time: Some(reply::time(over.start())),
            end_time: Some(reply::time(over.end())),
            class: class.as_ref().map(class::name).unwrap_or_default(),
        }),
        Decided::Refused(refusal) => What::Refusal(reply::refusal(refusal, now, None)),
        Decided::Wrong(fault) => What::Error(fault.to_string()),
    };
    v1::Decided { what: Some(what) }
}
