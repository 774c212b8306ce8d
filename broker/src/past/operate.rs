//! What else happens in a past: what administrators and operators do, what is measured, and what is given
//! back.

use tidegate_core::{Command, Edit, MaintenanceAsk, PolicyAsk, Release, Shape};
use tidegate_policy::{
    BitRate, ByteCount, Class, Interval, Name, Part, Project, ReservationId, Resource, Rule,
    SessionId, Timestamp,
};

use super::{Became, Past, PastError, Wish};
use crate::reports::fact::{Fact, Measured, Observed};

/// What somebody measured on a lane.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Such as `links/spine-1/forward`.
    pub lane: String,
    /// When; it is over.
    pub over: Interval,
    /// What crossed it in all, in bytes of the lane, if that was measured.
    pub carried: Option<ByteCount>,
    /// The most that it was able to carry, if that was measured.
    pub able: Option<BitRate>,
}

impl Past {
    /// Says what all projects, classes and rules are from now on; nobody loses anything by it.
    ///
    /// # Errors
    /// [`PastError::Senseless`]: what is wrong with them.
    pub fn apply_policy(
        &mut self,
        projects: Vec<Project>,
        classes: Vec<Class>,
        rules: Vec<Rule>,
    ) -> Result<(), PastError> {
        let policy = PolicyAsk {
            projects: Edit { put: projects, gone: Vec::new(), whole: true },
            classes: Edit { put: classes, gone: Vec::new(), whole: true },
            rules: Edit { put: rules, gone: Vec::new(), whole: true },
            version: None,
            accept_overuse: true,
        };
        self.ask(Command::ApplyPolicy(policy.into())).map(drop)
    }

    /// Leaves only a part of a resource for a time, whoever was promised more.
    ///
    /// # Errors
    /// [`PastError::Senseless`] if there is no such resource, or the time is over.
    pub fn maintain(
        &mut self,
        resource: Resource,
        over: Interval,
        left: Part,
        comment: &str,
    ) -> Result<(), PastError> {
        let ask = MaintenanceAsk {
            resource,
            start: Some(over.start()),
            end: over.end(),
            left_ppm: left.ppm(),
            comment: comment.to_owned(),
            accept_losses: true,
        };
        self.ask(Command::CreateMaintenance(ask.into())).map(drop)
    }

    /// Asks for a reservation that is bound to no session, to begin at an instant or later.
    ///
    /// # Errors
    /// [`PastError::Senseless`]: what no ledger could satisfy.
    pub fn book(&mut self, start: Timestamp, wish: &Wish) -> Result<Became, PastError> {
        let shape = Shape::Transfer {
            volume: wish.volume,
            min: BitRate::default(),
            max: wish.max,
            start: Some(start),
            deadline: start.plus(wish.within),
            split: false,
        };
        self.wish(None, wish, shape)
    }

    /// Gives a reservation back, as the agent whose session it is bound to: so many bytes have moved in
    /// all. Returns whether it was still there.
    ///
    /// # Errors
    /// [`PastError::Senseless`] if it is bound to another session.
    pub fn release(
        &mut self,
        session: SessionId,
        id: ReservationId,
        moved: ByteCount,
    ) -> Result<bool, PastError> {
        if !self.is_live(id) {
            return Ok(false);
        }
        let release = Release { target: id.into(), holder: Some(session), used: moved };
        self.ask(Command::Release(release)).map(|_| true)
    }

    /// Whether a reservation is there and not closed.
    #[must_use]
    pub fn is_live(&self, id: ReservationId) -> bool {
        self.machine.reservation(id).is_some_and(|found| found.is_live())
    }

    /// The lanes that a reservation moves its bytes over, each as often as they cross it; none of one
    /// that there is not.
    #[must_use]
    pub fn lanes(&self, id: ReservationId) -> Vec<String> {
        let found = self.machine.reservation(id);
        let way = found.and_then(|found| found.plan.ways.first());
        way.into_iter().flat_map(|way| &way.lanes).map(ToString::to_string).collect()
    }

    /// Hears what somebody measured on lanes.
    ///
    /// # Errors
    /// [`PastError::Senseless`] if there is no such lane, or it is measured to a time that is to come.
    pub fn observe(&mut self, observer: Name, sightings: &[Sighting]) -> Result<(), PastError> {
        let mut measured = Vec::with_capacity(sightings.len());
        for Sighting { lane, over, carried, able } in sightings {
            let name = tidegate_core::lane::LaneName::new(lane);
            if self.machine.lane_named(&name).is_none() {
                return Err(PastError::Senseless(format!("there is no lane {lane}")));
            }
            if self.now < over.end() {
                let why =
                    format!("{lane} cannot be measured to {}: it is {}", over.end(), self.now);
                return Err(PastError::Senseless(why));
            }
            measured.push(Measured { lane: name, over: *over, carried: *carried, able: *able });
        }
        self.follow();
        let fact = Fact::Observed(Observed { observer, measured }.into());
        let published = self.view.read();
        self.book.follow(&published.machine, &fact);
        Ok(())
    }
}
