//! What is asked of lanes: ways, shapes, terms; in requests and in questions alike.

use tidegate_core::command::{LANES_MAX, SOURCES_MAX, VIA_MAX};
use tidegate_core::lane::LaneName;
use tidegate_core::machine::Query;
use tidegate_core::{Ask, Owner, PRIORITY_MAX, Shape, Standing, Terms, Until, Ways};
use tidegate_policy::{ClassId, Endpoint, Interval, Name, Principal, project as projects};
use tidegate_proto::v1;
use tidegate_proto::v1::create_reservation_request::Shape as WireShape;

use super::Checked;
use super::batch::Called;
use super::offer;
use super::request::project;
use crate::fields::Fields;

/// What a request says of the ways that it may take.
struct Said<'a> {
    sources: &'a [String],
    destination: &'a str,
    via: &'a [String],
    lanes: &'a [String],
    path: Option<i32>,
}

/// A request for a reservation, but for its id.
pub(super) fn ask(fields: &mut Fields, message: &v1::CreateReservationRequest) -> Option<Ask> {
    let owner = owner(fields, message);
    let hold_for = message.hold_for.map(|span| fields.span("hold_for", span));
    let session = fields.optional("session", "sessions", &message.session);
    let hold_for = hold_for.map_or(Some(None), |checked| checked.map(Some));
    let standing = standing(fields, message);
    let wanted = match fields.required("shape", message.shape.as_ref()) {
        Some(WireShape::OfferToken(token)) => offered(fields, message, token),
        Some(WireShape::Rigid(rigid)) => said(fields, message, |fields| rigid_shape(fields, rigid)),
        Some(WireShape::Flexible(wanted)) => {
            said(fields, message, |fields| flexible_shape(fields, wanted))
        }
        Some(WireShape::Transfer(wanted)) => {
            said(fields, message, |fields| transfer_shape(fields, wanted))
        }
        // The rest is looked at all the same, so that everything that is wrong is said at once.
        None => said(fields, message, |_| None),
    };
    let Wanted { ways, shape, terms, whose } = wanted?;
    let owner = match whose {
        Some(whose) => of_offer(fields, (owner?, !message.parent.is_empty()), whose),
        None => owner,
    };
    Some(Ask {
        owner: owner?,
        ways,
        shape,
        terms,
        hold_for: hold_for?,
        session: session.map_or(message.session.is_empty().then_some(None), |it| Some(Some(it)))?,
        hold_best_offer: message.hold_best_offer,
        movable: message.movable,
        standing: standing?,
    })
}

fn standing(fields: &mut Fields, message: &v1::CreateReservationRequest) -> Option<Standing> {
    let priority = fields.number("priority", message.priority, PRIORITY_MAX.into())?;
    let priority = u8::try_from(priority).ok()?;
    Some(Standing { priority, preemptible: message.preemptible, ..Standing::default() })
}

fn owner(fields: &mut Fields, message: &v1::CreateReservationRequest) -> Option<Owner> {
    let whose = whose(fields, [&message.parent, &message.class, &message.principal]);
    let labels = message.labels.clone();
    if let Some(why) = projects::label_fault(&labels) {
        fields.fault("labels", why);
    }
    Some(Owner { labels, ..whose? })
}

/// Whose a request is, without labels.
fn whose(fields: &mut Fields, [parent, class, principal]: [&str; 3]) -> Option<Owner> {
    let project = project(fields, "parent", parent);
    let class = match class {
        "" => Some(None),
        name => fields.named::<Name>("class", "classes", name).map(|name| Some(ClassId(name))),
    };
    let principal = match principal {
        "" => Some(None),
        name => fields.word::<Principal>("principal", name).map(Some),
    };
    Some(Owner { principal: principal?, class: class?, ..Owner::from(project?) })
}

/// What a request says of lanes, and whose it is, as far as an offer says that.
struct Wanted {
    ways: Ways,
    shape: Shape,
    terms: Terms,
    whose: Option<Owner>,
}

/// Whose a request for an offer is: the offer is of its class, and what else is not said is as it was
/// when it was offered.
fn of_offer(
    fields: &mut Fields,
    (said, for_another): (Owner, bool),
    offered: Owner,
) -> Option<Owner> {
    if said.class.is_some() && said.class != offered.class {
        let of = offered.class.map_or("no class".into(), |class| format!("classes/{class}"));
        fields.fault("class", format!("the offer is of {of}; leave it out"));
        return None;
    }
    let labels = if said.labels.is_empty() { offered.labels } else { said.labels };
    let principal = said.principal.or(offered.principal);
    let project = if for_another { said.project } else { offered.project };
    Some(Owner { project, principal, class: offered.class, labels })
}

fn said(
    fields: &mut Fields,
    message: &v1::CreateReservationRequest,
    shape: impl FnOnce(&mut Fields) -> Option<Shape>,
) -> Option<Wanted> {
    let ways = ways(fields, &Said::of(message));
    let terms = terms(fields, message.assurance, message.streams);
    let shape = shape(fields);
    Some(Wanted { ways: ways?, shape: shape?, terms: terms?, whose: None })
}

/// What an offer says, which leaves nothing else to say.
fn offered(
    fields: &mut Fields,
    message: &v1::CreateReservationRequest,
    token: &str,
) -> Option<Wanted> {
    let said = [
        ("sources", !message.sources.is_empty()),
        ("destination", !message.destination.is_empty()),
        ("via", !message.via.is_empty()),
        ("lanes", !message.lanes.is_empty()),
        ("path", message.path.is_some()),
        ("assurance", message.assurance != 0),
        ("streams", message.streams != 0),
    ];
    for (field, said) in said {
        if said {
            fields.fault(field, "the offer says it already; leave it out");
        }
    }
    let offered = offer::read(token).and_then(|offered| {
        let mut inside = Fields::default();
        let ask = ask(&mut inside, &offered);
        let Ask { ways, shape, terms, owner, .. } = inside.finish(ask).ok()?;
        Some(Wanted { ways, shape: exactly(shape)?, terms, whose: Some(owner) })
    });
    if offered.is_none() {
        fields.fault("offer_token", "it is no token of an offer; copy it whole from a refusal");
    }
    offered
}

/// The shape that a token stands for, so that its faults are those of the token.
fn exactly(shape: Shape) -> Option<Shape> {
    match shape {
        Shape::Rigid { rate, start: Some(start), until: Until::At(end) } => {
            Some(Shape::Offered { rate, over: Interval::new(start, end)? })
        }
        // A volume is offered over a time that is settled.
        Shape::Transfer { start: Some(_), .. } => Some(shape),
        Shape::Rigid { .. }
        | Shape::Flexible { .. }
        | Shape::Transfer { .. }
        | Shape::Offered { .. } => None,
    }
}

impl<'a> Said<'a> {
    fn of(message: &'a v1::CreateReservationRequest) -> Self {
        Self {
            sources: &message.sources,
            destination: &message.destination,
            via: &message.via,
            lanes: &message.lanes,
            path: message.path,
        }
    }
}

fn ways(fields: &mut Fields, said: &Said<'_>) -> Option<Ways> {
    if said.lanes.is_empty() {
        let sources =
            list(fields, "sources", said.sources, (1, SOURCES_MAX), |fields, at, text| {
                fields.word::<Endpoint>(at, text)
            });
        let destination = fields.word::<Endpoint>("destination", said.destination);
        let via = hosts(fields, said.via);
        let path = said.path.map(|path| path_number(fields, path));
        let path = path.map_or(Some(None), |checked| checked.map(Some));
        return Some(Ways::Between {
            sources: sources?,
            destination: destination?,
            via: via?,
            path: path?,
        });
    }
    let others = [
        ("sources", !said.sources.is_empty()),
        ("destination", !said.destination.is_empty()),
        ("via", !said.via.is_empty()),
        ("path", said.path.is_some()),
    ];
    for (field, said) in others {
        if said {
            fields.fault(field, "name lanes or endpoints, not both");
        }
    }
    let lanes = list(fields, "lanes", said.lanes, (1, LANES_MAX), |fields, at, text| {
        lane(fields, at, text)
    });
    lanes.map(Ways::Lanes)
}

/// The longest name that a lane can have: that of a NIC, with the longest of names.
const LANE_NAME_MAX: usize = 200;

fn lane(fields: &mut Fields, at: &str, text: &str) -> Option<LaneName> {
    let parts = text.split('/').all(|part| part.parse::<Name>().is_ok());
    if LANE_NAME_MAX < text.len() || !parts {
        let shown: String = text.chars().take(80).collect();
        fields.fault(at, format!("{shown:?} is no lane; write one such as links/NAME/forward"));
        return None;
    }
    Some(LaneName::new(text))
}

/// Relays that a request names.
pub(super) fn hosts(fields: &mut Fields, texts: &[String]) -> Option<Vec<Name>> {
    list(fields, "via", texts, (0, VIA_MAX), |fields, at, text| {
        fields.named::<Name>(at, "hosts", text)
    })
}

/// The highest number of a path that steering can allow.
const PATH_MAX: u32 = 3;

fn path_number(fields: &mut Fields, path: i32) -> Option<u8> {
    fields.number("path", path, PATH_MAX).and_then(|path| u8::try_from(path).ok())
}

fn terms(fields: &mut Fields, assurance: i32, streams: i32) -> Option<Terms> {
    let shared = match v1::Assurance::try_from(assurance) {
        Ok(v1::Assurance::Unspecified | v1::Assurance::Firm) => Some(false),
        Ok(v1::Assurance::Shared) => Some(true),
        Err(_) => {
            fields.fault("assurance", format!("{assurance} is not known; write firm or shared"));
            None
        }
    };
    let streams = fields.number("streams", streams, u16::MAX.into());
    let streams = streams.and_then(|streams| u16::try_from(streams.max(1)).ok());
    Some(Terms { shared: shared?, streams: streams? })
}

fn rigid_shape(fields: &mut Fields, rigid: &v1::Rigid) -> Option<Shape> {
    let rate = fields.some_rate("rigid.rate_bps", rigid.rate_bps);
    let start = rigid.start_time.map(|time| fields.start("rigid.start_time", time));
    let until = match fields.required("rigid.until", rigid.until) {
        Some(v1::rigid::Until::EndTime(time)) => fields.end("rigid.end_time", time).map(Until::At),
        Some(v1::rigid::Until::Duration(span)) => {
            fields.span("rigid.duration", span).map(Until::After)
        }
        None => None,
    };
    let start = start.map_or(Some(None), |checked| checked.map(Some))?;
    Some(Shape::Rigid { rate: rate?, start, until: until? })
}

fn flexible_shape(fields: &mut Fields, wanted: &v1::Flexible) -> Option<Shape> {
    let min = fields.some_rate("flexible.min_bps", wanted.min_bps);
    let max = fields.some_rate("flexible.max_bps", wanted.max_bps);
    let span = fields.required("flexible.duration", wanted.duration);
    let span = span.and_then(|span| fields.span("flexible.duration", span));
    let start = wanted.window_start_time;
    let start = start.map(|time| fields.start("flexible.window_start_time", time));
    let end = fields.required("flexible.window_end_time", wanted.window_end_time);
    let end = end.and_then(|time| fields.end("flexible.window_end_time", time));
    let start = start.map_or(Some(None), |checked| checked.map(Some))?;
    Some(Shape::Flexible { min: min?, max: max?, span: span?, start, end: end? })
}

fn transfer_shape(fields: &mut Fields, wanted: &v1::Transfer) -> Option<Shape> {
    let volume = fields.some_bytes("transfer.volume_bytes", wanted.volume_bytes);
    let min = fields.rate("transfer.min_bps", wanted.min_bps);
    let max = fields.some_rate("transfer.max_bps", wanted.max_bps);
    let start = wanted.start_time.map(|time| fields.start("transfer.start_time", time));
    let deadline = fields.required("transfer.deadline", wanted.deadline);
    let deadline = deadline.and_then(|time| fields.end("transfer.deadline", time));
    let start = start.map_or(Some(None), |checked| checked.map(Some))?;
    let (volume, min, max, deadline) = (volume?, min?, max?, deadline?);
    Some(Shape::Transfer { volume, min, max, start, deadline, split: wanted.split })
}

/// A list of words. One that is too long is one fault, not a fault for each of its entries.
fn list<T>(
    fields: &mut Fields,
    field: &str,
    texts: &[String],
    (least, most): (usize, usize),
    read: impl Fn(&mut Fields, &str, &str) -> Option<T>,
) -> Option<Vec<T>> {
    if texts.len() < least || most < texts.len() {
        fields.fault(field, format!("there are {}; name {least} to {most}", texts.len()));
        return None;
    }
    let read = |(index, text): (usize, &String)| read(fields, &format!("{field}[{index}]"), text);
    // Collected first, so that every bad entry is reported and not only the first.
    let entries: Vec<Option<T>> = texts.iter().enumerate().map(read).collect();
    entries.into_iter().collect()
}

/// A request that is only to be explained.
pub(crate) fn explained(message: &v1::ExplainReservationRequest) -> Checked<(Ask, Called)> {
    let mut fields = Fields::default();
    let request = fields.required("request", message.request.as_ref());
    let asked = request.and_then(|request| {
        let ask = fields.within("request", |fields| ask(fields, request))?;
        Some((ask, Called::of(request)))
    });
    fields.finish(asked)
}

/// The steps of availability that are told where nothing is said, and the most that are.
const STEPS_DEFAULT: u32 = 100;
const STEPS_MAX: u32 = 1000;

/// A question for times that would fit.
pub(crate) fn windows(message: &v1::FindWindowsRequest) -> Checked<Query> {
    let mut fields = Fields::default();
    let owner = whose(&mut fields, [&message.parent, &message.class, &message.principal]);
    let said = Said {
        sources: &message.sources,
        destination: &message.destination,
        via: &message.via,
        lanes: &message.lanes,
        path: message.path,
    };
    let ways = ways(&mut fields, &said);
    let terms = terms(&mut fields, message.assurance, message.streams);
    let min = fields.some_rate("min_bps", message.min_bps);
    let span = fields.required("duration", message.duration);
    let span = span.and_then(|span| fields.span("duration", span));
    let start = message.start_time.map(|time| fields.start("start_time", time));
    let start = start.map_or(Some(None), |checked| checked.map(Some));
    let end = fields.required("end_time", message.end_time);
    let end = end.and_then(|time| fields.end("end_time", time));
    let steps = fields.number("steps_max", message.steps_max, STEPS_MAX);
    let steps = steps.map(|steps| if steps == 0 { STEPS_DEFAULT } else { steps });
    let steps_max = steps.and_then(|steps| usize::try_from(steps).ok());
    let query = (|| {
        let (owner, ways, terms, start) = (owner?, ways?, terms?, start?);
        let (min, span, end, steps_max) = (min?, span?, end?, steps_max?);
        Some(Query { owner, ways, terms, min, span, start, end, steps_max })
    })();
    fields.finish(query)
}
