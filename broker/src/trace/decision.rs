//! What is said of a decision, and by whom it is asked for. The core says nothing: it is pure.

use tidegate_core::{Answer, Change, Decision, Reason, Refusal};
use tidegate_policy::RequestId;
use tracing::field::{Empty, display};
use tracing::{Level, Span};

use crate::convert::reply;
use crate::convert::request::Mutation;
use crate::status::{self, Failure};

/// What its caller calls a mutation, for the span of its call. At `info` it is said there only of what is
/// not answered, by whatever way: of all others nothing is shown.
#[derive(Debug)]
pub(crate) struct Asked {
    span: Span,
    request: RequestId,
    said: bool,
}

impl Asked {
    pub(crate) fn begin(request: RequestId) -> Self {
        let mut asked = Self { span: Span::current(), request, said: false };
        if tracing::enabled!(Level::DEBUG) {
            asked.say();
        }
        asked
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// It was answered.
    pub(crate) fn answered(mut self) {
        self.said = true;
    }

    fn say(&mut self) {
        if !std::mem::replace(&mut self.said, true) {
            self.span.record("request_id", display(self.request));
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.say();
    }
}

/// The span of one question of a stream, below that of the stream: its own at `debug` only, because there
/// are many.
pub(crate) fn question(sequence: i64, request: RequestId) -> Span {
    let span = tracing::debug_span!("question", sequence, request_id = %request);
    if span.is_disabled() { Span::current() } else { span }
}

/// Says that a question of a stream failed, which a call of its own would be told by its code.
pub(crate) fn question_failed(sequence: i64, request: Option<RequestId>, failure: &Failure) {
    let (code, reason) = status::code(failure);
    let request_id = request.map(display);
    tracing::info!(sequence, request_id, code = status::code_name(code), reason, "failed");
}

/// Decides, in a span of the request.
pub(crate) fn deciding<T>(request: &Span, decide: impl FnOnce() -> T) -> T {
    request.in_scope(|| {
        let span = tracing::debug_span!(
            "decide",
            decided = Empty,
            reason = Empty,
            searched = Empty,
            moved = Empty,
        );
        span.in_scope(decide)
    })
}

/// Says what was decided, and how. A dry run that is refused was refused nothing.
pub(crate) fn decided(mutation: &Mutation, decision: &Decision, searched: bool) {
    let validate_only = mutation.validate_only;
    let answers = match &decision.answer {
        Answer::Batch(answers) => answers.as_slice(),
        other => std::slice::from_ref(other),
    };
    let first = answers.iter().find_map(refusal).map(|refusal| refusal.reason);
    if let Some(reason) = first
        && !validate_only
        && tracing::enabled!(Level::INFO)
    {
        let (request_id, reason) = (display(mutation.request.mark.id), word(reason));
        if answers.len() == 1 {
            tracing::info!(request_id, reason, "refused");
        } else {
            let refused = answers.iter().filter(|answer| refusal(answer).is_some()).count();
            tracing::info!(request_id, reason, refused, of = answers.len(), "refused");
        }
    }
    if !tracing::enabled!(Level::DEBUG) {
        return;
    }
    let despite = answers.iter().find_map(|answer| match answer {
        Answer::Reservation(made) => made.despite,
        _ => None,
    });
    let (what, reason) = match (first, despite) {
        (Some(reason), _) => ("refused", Some(reason)),
        (None, Some(reason)) => ("observed", Some(reason)),
        (None, None) => ("granted", None),
    };
    let reason = reason.map(word);
    let is_move = |change: &Change| matches!(change, Change::Moved(_));
    let moved = decision.events.iter().filter(|event| is_move(&event.change)).count();
    let span = Span::current();
    span.record("decided", what).record("searched", searched).record("moved", reply::count(moved));
    span.record("reason", reason);
    tracing::debug!(events = decision.events.len(), validate_only, "decided");
}

/// Says that nothing was decided, and why.
pub(crate) fn failed(failure: &Failure) {
    if tracing::enabled!(Level::DEBUG) {
        let span = Span::current();
        span.record("decided", "failed").record("reason", status::reason(failure));
        tracing::debug!("decided");
    }
}

/// Says that live rates are in its way, and have to give way first.
pub(crate) fn waits() {
    tracing::debug!("waits for live rates to give way");
}

fn refusal(answer: &Answer) -> Option<&Refusal> {
    match answer {
        Answer::Refusal(refusal) => Some(refusal),
        _ => None,
    }
}

/// A reason as filters and reports call it.
fn word(reason: Reason) -> &'static str {
    let name = reply::reason(reason).as_str_name();
    name.strip_prefix("REASON_").unwrap_or(name)
}
