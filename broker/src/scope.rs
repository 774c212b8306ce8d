//! Which reservations somebody wants to see: those of a project for which a filter holds.

use sha2::{Digest, Sha256};
use tidegate_core::Reservation;
use tidegate_policy::ProjectId;
use tidegate_proto::v1;

use crate::filter::Filter;

/// Which reservations somebody wants to see.
#[derive(Debug)]
pub(crate) struct Scope {
    /// `None` means all of them.
    pub(crate) project: Option<ProjectId>,
    pub(crate) filter: Option<Filter>,
    /// Tells it from other scopes: a token goes on in its own one only.
    pub(crate) digest: u64,
}

impl Scope {
    pub(crate) fn new(project: Option<ProjectId>, filter: Option<Filter>, text: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update(project.as_ref().map_or("-".into(), |project| project.0.to_string()));
        digest.update([0]);
        digest.update(text);
        let digest = digest.finalize();
        let first = digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Self { project, filter, digest: first }
    }

    /// Whether it belongs to the project; whether the filter holds is asked of its wire form.
    pub(crate) fn has(&self, reservation: &Reservation) -> bool {
        self.project.as_ref().is_none_or(|project| *project == reservation.owner.project)
    }

    /// Whether the filter holds.
    pub(crate) fn holds(&self, reservation: &v1::Reservation) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.holds(reservation))
    }
}
