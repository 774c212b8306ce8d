//! What somebody measured on lanes.

use tidegate_core::lane::LaneName;
use tidegate_policy::share::SELECTOR_MAX;
use tidegate_policy::{Interval, Name, Span, Timestamp};
use tidegate_proto::v1;

use super::Checked;
use super::policy::few;
use crate::fields::Fields;
use crate::reports::fact::{Measured, Observed};

/// The most that is measured at once.
const OBSERVATIONS_MAX: usize = 1000;

/// What somebody measured.
pub(crate) fn observed(
    message: &v1::ReportObservationsRequest,
    now: Timestamp,
) -> Checked<Observed> {
    let mut fields = Fields::default();
    let observer = fields.word::<Name>("observer", &message.observer);
    if message.observations.is_empty() {
        fields.fault("observations", "there are none; write at least one");
    }
    let measured = few(
        &mut fields,
        "observations",
        &message.observations,
        OBSERVATIONS_MAX,
        |fields, at, it| fields.within(at, |fields| measured(fields, it, now)),
    );
    let read = observer.zip(measured);
    fields.finish(read.map(|(observer, measured)| Observed { observer, measured }))
}

fn measured(fields: &mut Fields, it: &v1::Observation, now: Timestamp) -> Option<Measured> {
    let start = fields.required("start_time", it.start_time);
    let start = start.and_then(|at| fields.start("start_time", at));
    let end = fields.required("end_time", it.end_time);
    let end = end.and_then(|at| fields.end("end_time", at));
    let carried = it.carried_bytes.map(|bytes| fields.bytes("carried_bytes", bytes));
    let able = it.able_bps.map(|bps| fields.rate("able_bps", bps));
    if it.lane.is_empty() || SELECTOR_MAX < it.lane.chars().count() {
        fields.fault("lane", "it is no name of a lane; write such as `links/spine-1/forward`");
    }
    if carried.is_none() && able.is_none() {
        fields.fault("carried_bytes", "nothing was measured; write this or `able_bps`");
    }
    let (start, end) = (start?, end?);
    let hour = Span::from_secs(3600);
    let over = Interval::new(start, end);
    if over.is_none_or(|over| hour < over.span()) {
        fields.fault("end_time", "it is not within the hour after the start");
    }
    // Clocks of agents differ a little.
    if now.plus(Span::from_secs(60)) < end {
        fields.fault("end_time", "it is to come; write what was measured");
    }
    if start < now.minus(hour) {
        fields
            .fault("start_time", "it is more than an hour ago; minutes of then are accounted for");
    }
    let lane = LaneName::new(&it.lane);
    Some(Measured {
        lane,
        over: over?,
        carried: carried.map_or(Some(None), |it| it.map(Some))?,
        able: able.map_or(Some(None), |it| it.map(Some))?,
    })
}
