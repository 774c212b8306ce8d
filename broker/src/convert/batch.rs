//! Several requests at once: how they hang together, and again week after week.

use tidegate_core::command::{BATCH_MAX, Relation};
use tidegate_core::{Ask, Batch, Command, Fault, FieldFault, Shape, Until};
use tidegate_policy::{Interval, ProjectId, Timestamp};
use tidegate_proto::v1;
use tidegate_proto::v1::create_reservation_request::Shape as WireShape;

use super::Checked;
use super::ask::ask;
use super::request::{Mutation, mutation, project};
use crate::fields::Fields;

/// Seven days of 24 hours, in milliseconds.
const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;

pub(crate) fn create_all(message: &v1::BatchCreateReservationsRequest) -> Checked<Mutation> {
    let mutation = mutation(message, |fields| {
        let whose = project(fields, "parent", &message.parent);
        let relation = relation(fields, message);
        let count = message.requests.len();
        if !(1..=BATCH_MAX).contains(&count) {
            fields
                .fault("requests", format!("there are {count}; ask for 1 to {BATCH_MAX} at once"));
            return None;
        }
        let weeks = weeks(fields, message.weeks, count);
        let again = weeks.is_some_and(|weeks| 1 < weeks);
        let follow = matches!(relation, Some(Relation::InOrder { .. }));
        let entries = message.requests.iter().enumerate();
        let asks: Vec<Option<Ask>> = entries
            .map(|(index, entry)| {
                fields.within(&format!("requests[{index}]"), |fields| {
                    let ask = entry_of_batch(fields, entry, whose.as_ref());
                    // Behind the first, the one before says when it begins.
                    let follows = follow && 0 < index;
                    let begins = !again || follows || has_start(fields, entry);
                    ask.filter(|_| begins)
                })
            })
            .collect();
        let asks = asks.into_iter().collect::<Option<Vec<Ask>>>();
        let (asks, weeks, relation) = (asks?, weeks?, relation?);
        let asks = each_week(fields, asks, weeks)?;
        Some(Command::ReserveAll(Box::new(Batch { asks, relation, instance: count })))
    })?;
    Ok(Mutation { called: Called::of_batch(&message.requests), ..mutation })
}

/// How the requests of one week hang together.
fn relation(fields: &mut Fields, message: &v1::BatchCreateReservationsRequest) -> Option<Relation> {
    use v1::Relation as Wire;
    let (all, gapless) = (message.all_or_nothing, message.gapless);
    let Ok(said) = Wire::try_from(message.relation) else {
        let why = format!(
            "{} is not known; say each, all of them, any of them or in order",
            message.relation
        );
        fields.fault("relation", why);
        return None;
    };
    if gapless && said != Wire::InOrder {
        fields.fault("gapless", "only requests in order follow one another; say that they do");
    }
    let relation = match said {
        Wire::Unspecified if all => Relation::AllOf,
        Wire::Unspecified | Wire::Each => Relation::Each,
        Wire::AllOf => Relation::AllOf,
        Wire::AnyOf => Relation::AnyOf,
        Wire::InOrder => Relation::InOrder { gapless },
    };
    // Requests in order are granted all or none as well: that says the same twice.
    if all && matches!(relation, Relation::Each | Relation::AnyOf) {
        fields.fault("relation", "all_or_nothing says otherwise; say one of the two");
        return None;
    }
    Some(relation)
}

/// How many weeks, of `count` requests each: at least one.
fn weeks(fields: &mut Fields, weeks: i32, count: usize) -> Option<usize> {
    let most = BATCH_MAX.checked_div(count).unwrap_or(0);
    let said = usize::try_from(weeks).ok().map(|weeks| weeks.max(1));
    let said = said.filter(|weeks| *weeks <= most);
    if said.is_none() {
        let why = format!(
            "it is {weeks}; all weeks together are at most {BATCH_MAX} requests, so write 0 to {most}"
        );
        fields.fault("weeks", why);
    }
    said
}

/// One request of a batch: what the batch says for all of them is not said again. It is for the project
/// of the batch, unless it names another.
fn entry_of_batch(
    fields: &mut Fields,
    entry: &v1::CreateReservationRequest,
    whose: Option<&ProjectId>,
) -> Option<Ask> {
    let said = [
        ("request_id", !entry.request_id.is_empty()),
        ("validate_only", entry.validate_only),
        ("hold_best_offer", entry.hold_best_offer),
    ];
    for (field, said) in said {
        if said {
            fields.fault(field, "it is said for the whole batch or not at all; leave it out here");
        }
    }
    let mut ask = ask(fields, entry)?;
    if entry.parent.is_empty() {
        ask.owner.project = whose?.clone();
    }
    Some(ask)
}

/// Whether a request says when it begins: a week later than now is another instant for everybody.
fn has_start(fields: &mut Fields, entry: &v1::CreateReservationRequest) -> bool {
    let missing = match &entry.shape {
        Some(WireShape::Rigid(it)) if it.start_time.is_none() => "rigid.start_time",
        Some(WireShape::Flexible(it)) if it.window_start_time.is_none() => {
            "flexible.window_start_time"
        }
        Some(WireShape::Transfer(it)) if it.start_time.is_none() => "transfer.start_time",
        Some(_) | None => return true,
    };
    fields.fault(missing, "it is required where it is asked for again in the weeks that follow");
    false
}

/// All of them in the first week, then all of them in the next.
fn each_week(fields: &mut Fields, asks: Vec<Ask>, weeks: usize) -> Option<Vec<Ask>> {
    let mut all = Vec::with_capacity(asks.len().saturating_mul(weeks));
    for week in 0..weeks {
        let by = i64::try_from(week).ok()?.saturating_mul(WEEK_MS);
        for (index, ask) in asks.iter().enumerate() {
            let Some(shape) = later(ask.shape, by) else {
                let why = format!("week {} of it lies past the year 9999", week.saturating_add(1));
                fields.fault(&format!("requests[{index}]"), why);
                return None;
            };
            all.push(Ask { shape, ..ask.clone() });
        }
    }
    Some(all)
}

/// The same so many milliseconds later; `None` if there is no such time.
fn later(shape: Shape, ms: i64) -> Option<Shape> {
    let shift = |at: Timestamp| at.as_ms().checked_add(ms).and_then(Timestamp::from_ms);
    let maybe = |at: Option<Timestamp>| match at {
        Some(at) => shift(at).map(Some),
        None => Some(None),
    };
    Some(match shape {
        Shape::Rigid { rate, start, until } => {
            let until = match until {
                Until::At(end) => Until::At(shift(end)?),
                Until::After(span) => Until::After(span),
            };
            Shape::Rigid { rate, start: maybe(start)?, until }
        }
        Shape::Flexible { min, max, span, start, end } => {
            Shape::Flexible { min, max, span, start: maybe(start)?, end: shift(end)? }
        }
        Shape::Transfer { volume, min, max, start, deadline, split } => {
            let (start, deadline) = (maybe(start)?, shift(deadline)?);
            Shape::Transfer { volume, min, max, start, deadline, split }
        }
        Shape::Offered { rate, over } => {
            Shape::Offered { rate, over: Interval::new(shift(over.start())?, shift(over.end())?)? }
        }
    })
}

/// What an asker calls the fields in which core finds something wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Called {
    /// How many requests a batch has; each week repeats them.
    sent: usize,
    /// The places of those that are tokens of offers; of one by itself, the first.
    tokens: Vec<usize>,
}

impl Called {
    /// Of one by itself.
    pub(crate) fn of(request: &v1::CreateReservationRequest) -> Self {
        Self { sent: 0, tokens: tokens(std::slice::from_ref(request)) }
    }

    fn of_batch(requests: &[v1::CreateReservationRequest]) -> Self {
        Self { sent: requests.len(), tokens: tokens(requests) }
    }

    /// A fault with its fields as the asker calls them.
    pub(crate) fn fault(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Invalid(faults) => {
                let mut called: Vec<FieldFault> = Vec::with_capacity(faults.len());
                for FieldFault { field, why } in faults {
                    let field = self.field(&field);
                    // One field says all of an offer, and one request is for all of its weeks.
                    if called.iter().all(|known| known.field != field) {
                        called.push(FieldFault { field, why });
                    }
                }
                Fault::Invalid(called)
            }
            Fault::Within { part, fault } => Fault::Within { part: self.field(&part), fault },
            other => other,
        }
    }

    fn field(&self, field: &str) -> String {
        let entry = field.strip_prefix("requests[").and_then(|rest| rest.split_once(']'));
        let entry = entry.and_then(|(place, rest)| Some((place.parse::<usize>().ok()?, rest)));
        match entry.and_then(|(place, rest)| Some((place.checked_rem(self.sent)?, rest))) {
            Some((place, rest)) => {
                let inside = rest.strip_prefix('.').map(|rest| self.inside(place, rest));
                let inside = inside.map(|inside| format!(".{inside}")).unwrap_or_default();
                format!("requests[{place}]{inside}")
            }
            None => self.inside(0, field).into(),
        }
    }

    /// What is said of a volume that is asked for by a token is said of the token.
    fn inside<'a>(&self, place: usize, field: &'a str) -> &'a str {
        let offered = field.starts_with("transfer.") && self.tokens.contains(&place);
        if offered { "offer_token" } else { field }
    }
}

fn tokens(requests: &[v1::CreateReservationRequest]) -> Vec<usize> {
    let token = |request: &v1::CreateReservationRequest| {
        matches!(request.shape, Some(WireShape::OfferToken(_)))
    };
    let requests = requests.iter().enumerate();
    requests.filter(|(_, request)| token(request)).map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(field: &str) -> FieldFault {
        FieldFault::new(field, "wrong")
    }

    #[test]
    fn fields_are_called_as_they_were_sent() {
        let token = WireShape::OfferToken("o1.x".into());
        let token = v1::CreateReservationRequest { shape: Some(token), ..Default::default() };
        let plain = v1::CreateReservationRequest::default();
        let batch = Called::of_batch(&[plain.clone(), token.clone()]);
        let found = [
            "requests[0].transfer.deadline",
            "requests[3].transfer.deadline",
            "requests[5].transfer.start_time",
            "requests[4].hold_for",
            "requests[1]",
        ];
        let told = [
            "requests[0].transfer.deadline",
            "requests[1].offer_token",
            "requests[0].hold_for",
            "requests[1]",
        ];
        let told = Fault::Invalid(told.map(fault).to_vec());
        assert_eq!(batch.fault(Fault::Invalid(found.map(fault).to_vec())), told);
        let one = Fault::Invalid(vec![fault("transfer.deadline"), fault("via")]);
        let told = Fault::Invalid(vec![fault("offer_token"), fault("via")]);
        assert_eq!(Called::of(&token).fault(one.clone()), told);
        assert_eq!(Called::of(&plain).fault(one.clone()), one);
        let full = || Box::new(Fault::Full { what: "reservations", limit: 1 });
        let within = |part: &str| Fault::Within { part: part.into(), fault: full() };
        assert_eq!(batch.fault(within("requests[3]")), within("requests[1]"));
    }
}
