//! Whose a reservation is, and what its bookings are charged to.

use std::collections::BTreeMap;

use tidegate_policy::{ClassId, Overcommit, Principal, ProjectId, project};

use crate::fault::FieldFault;

/// Whose a reservation is, and what it is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The project that it belongs to.
    pub project: ProjectId,
    /// Who asks, as far as that is said.
    pub principal: Option<Principal>,
    /// The class of service.
    pub class: Option<ClassId>,
    /// What people and rules want to know of it.
    pub labels: BTreeMap<String, String>,
}

impl From<ProjectId> for Owner {
    fn from(project: ProjectId) -> Self {
        Self { project, principal: None, class: None, labels: BTreeMap::new() }
    }
}

impl Owner {
    /// What is wrong with its labels.
    pub(crate) fn label_fault(&self) -> Option<FieldFault> {
        let why = project::label_fault(&self.labels)?;
        Some(FieldFault::new("labels", why))
    }
}

/// All that the quotas of a booking depend on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Account {
    /// Whose quotas count, and those of all above it.
    pub project: ProjectId,
    /// Whose share of them counts too.
    pub principal: Option<Principal>,
    /// The class whose shares of lanes count.
    pub class: Option<ClassId>,
    /// How much of a rate that is asked for is booked: a quota of a rate counts all of it.
    pub ratio: Overcommit,
    /// It lasts longer than what may use the headroom of its class.
    pub long: bool,
    /// It may have what others lend: they can have it again.
    pub borrows: bool,
}
