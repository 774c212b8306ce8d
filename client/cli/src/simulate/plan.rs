//! What a request becomes under each plan.

use tidegate_core::lane::Terms;
use tidegate_core::{Ask, Shape, Standing, Until, Ways};
use tidegate_policy::{BitRate, SessionId, Span, Timestamp};

use super::formats::requests::{Request, What};
use crate::arguments::{PlanName, Reclaim};

impl PlanName {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Pinned => "pinned",
            Self::Rigid => "rigid",
            Self::RigidOnePath => "rigid-1path",
        }
    }

    /// Whether the core hears what agents do.
    pub(super) fn reclaims(self, typed: Reclaim) -> bool {
        match typed {
            Reclaim::Auto => matches!(self, Self::Full | Self::Pinned),
            Reclaim::On => true,
            Reclaim::Off => false,
        }
    }

    /// What is asked of the core.
    pub(super) fn ask(self, request: &Request, session: SessionId, standing: Standing) -> Ask {
        let shape = match self {
            Self::Full | Self::Pinned => flexible(request),
            Self::Rigid | Self::RigidOnePath => rigid(request),
        };
        let one_path = self == Self::RigidOnePath;
        let ways = Ways::Between {
            sources: request.sources.clone(),
            destination: request.destination.clone(),
            via: request.via.clone(),
            path: one_path.then_some(0),
        };
        Ask {
            owner: request.project.clone().into(),
            ways,
            shape,
            terms: Terms::default(),
            hold_for: None,
            session: Some(session),
            hold_best_offer: false,
            movable: self == Self::Full && !matches!(request.what, What::Rigid { .. }),
            standing,
        }
    }
}

/// As it was meant.
fn flexible(request: &Request) -> Shape {
    match request.what {
        What::Flex { rate, span, window } => {
            let (start, end) = (Some(window.start()), window.end());
            Shape::Flexible { min: rate, max: rate, span, start, end }
        }
        What::Volume { bytes: volume, min, max, window, .. } => {
            let (start, deadline) = (Some(window.start()), window.end());
            Shape::Transfer { volume, min, max, start, deadline, split: true }
        }
        What::Rigid { .. } => rigid(request),
    }
}

/// One rate at one time, as early as it may start.
fn rigid(request: &Request) -> Shape {
    let fixed = |rate: BitRate, start: Timestamp, span: Span| Shape::Rigid {
        rate,
        start: Some(start),
        until: Until::After(span),
    };
    match request.what {
        What::Rigid { rate, over } => Shape::exactly(rate, over),
        What::Flex { rate, span, window } => fixed(rate, window.start(), span),
        What::Volume { window, reference, .. } => {
            fixed(reference.rate, window.start(), reference.span)
        }
    }
}
