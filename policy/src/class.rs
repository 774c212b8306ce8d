//! Classes of service: how firm what is granted is, and whom it stands before.
//!
//! Of a rate that is asked for in a class of ratio two, half is booked and promised: the floor. The
//! other half may be had while nobody else has it. A class of ratio one is promised all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::decimal::{self, Grammar};
use crate::error::ParseError;
use crate::ids::{ClassId, Name, ProjectId};
use crate::share::Part;
use crate::time::Span;
use crate::units::BitRate;

/// The most classes.
pub const CLASSES_MAX: usize = 100;
/// The most projects that a class names, and the most tiers.
pub const NAMED_MAX: usize = 100;
/// The highest weight; the least is 1.
pub const WEIGHT_MAX: u32 = 1000;
/// The highest priority.
pub const PRIORITY_MAX: u8 = 9;

/// How often a rate is handed out: of what is asked for, one in so many is booked. From 1:1 to 1:100.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Overcommit(u32);

impl Default for Overcommit {
    fn default() -> Self {
        Self::NONE
    }
}

impl Overcommit {
    /// All that is asked for is booked.
    pub const NONE: Self = Self(1_000_000);
    /// One in a hundred is.
    pub const MAX: Self = Self(100_000_000);

    /// A ratio in millionths, or `None` below 1 or above 100.
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Option<Self> {
        if Self::NONE.0 <= ppm && ppm <= Self::MAX.0 { Some(Self(ppm)) } else { None }
    }

    /// The ratio in millionths.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// What is booked and promised of a rate that is asked for: rounded down, so that its ceiling is
    /// never more than was asked for, but never to nothing.
    #[must_use]
    pub fn floor(self, asked: BitRate) -> BitRate {
        let scaled = u128::from(asked.bps()).saturating_mul(Self::NONE.0.into());
        let floor = u64::try_from(scaled / u128::from(self.0.max(1))).ok();
        let least = asked.bps().min(1);
        floor.and_then(|bps| BitRate::from_bps(bps.max(least))).unwrap_or(asked)
    }

    /// What may be had at most where this much is booked, rounded down.
    #[must_use]
    pub fn ceiling(self, floor: BitRate) -> BitRate {
        let scaled = u128::from(floor.bps()).saturating_mul(self.0.into());
        let ceiling = u64::try_from(scaled / u128::from(Self::NONE.0)).ok();
        ceiling.and_then(BitRate::from_bps).unwrap_or(BitRate::MAX)
    }
}

/// `1:2`, `1:1.5`.
impl fmt::Display for Overcommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("1:{}", decimal::exact(self.0.into(), Self::NONE.0.into())))
    }
}

const RATIO: Grammar = Grammar {
    kind: "ratio",
    hint: "write 1:1 to 1:100, as in 1:1.5",
    base: "millionth",
    max: Overcommit::MAX.0 as u64,
};

impl FromStr for Overcommit {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fault = || RATIO.fault(text, "it is no ratio of one to something");
        let times = text.trim().strip_prefix("1:").ok_or_else(fault)?;
        let ppm = RATIO.parse(&format!("{times}x"), |unit| (unit == "x").then_some(1_000_000));
        let ppm = ppm.ok().and_then(|ppm| u32::try_from(ppm).ok());
        ppm.and_then(Self::from_ppm).ok_or_else(fault)
    }
}

impl TryFrom<String> for Overcommit {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Overcommit> for String {
    fn from(ratio: Overcommit) -> Self {
        ratio.to_string()
    }
}

/// A part of each lane that only short reservations may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Headroom {
    /// How much of what a lane carries at the time.
    pub part: Part,
    /// The longest that is short; of a volume, from its earliest start to its deadline.
    pub longest: Span,
}

/// A class of service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Class {
    /// Its name.
    pub id: ClassId,
    /// How much of a rate is promised.
    pub ratio: Overcommit,
    /// How much of what is left over it gets beside others: 1 to 1000.
    pub weight: u32,
    /// Higher ones may take from lower ones that can be preempted: 0 to 9.
    pub priority: u8,
    /// What is granted may be shifted, shrunk and at last closed for a higher priority.
    pub preemptible: bool,
    /// The most that all of the class together may book of a lane, of what it carries at the time.
    pub lane_share: Option<Part>,
    /// What long reservations of the class leave to short ones.
    pub headroom: Option<Headroom>,
    /// A grant under which nothing has moved for so long since its start is taken back; `None` is what
    /// the broker does with all.
    pub no_show_grace: Option<Span>,
    /// How long it is held unconfirmed where nothing else is asked; `None` confirms at once.
    pub hold_for: Option<Span>,
    /// Who may use it, those below them included; empty is everybody.
    pub projects: BTreeSet<ProjectId>,
    /// The tiers of storage that will do; empty is any, a backend without a tier included.
    pub tiers: BTreeSet<Name>,
}

impl Class {
    /// A class of this name under which everything is as it is without one.
    #[must_use]
    pub fn new(id: ClassId) -> Self {
        Self {
            id,
            ratio: Overcommit::NONE,
            weight: 1,
            priority: 0,
            preemptible: false,
            lane_share: None,
            headroom: None,
            no_show_grace: None,
            hold_for: None,
            projects: BTreeSet::new(),
            tiers: BTreeSet::new(),
        }
    }

    /// Whether a backend of this tier will do.
    #[must_use]
    pub fn takes_tier(&self, tier: Option<&Name>) -> bool {
        self.tiers.is_empty() || tier.is_some_and(|tier| self.tiers.contains(tier))
    }
}

/// All classes. A broker begins with gold, silver and bronze; each of them may be changed or deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Classes(BTreeMap<ClassId, Class>);

/// What is wrong with a class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassFault {
    /// Which of them.
    pub class: ClassId,
    /// The part of it that is wrong; nothing for all of it.
    pub field: &'static str,
    /// What is wrong, and what would be right.
    pub why: String,
}

/// The classes that a broker begins with: name, ratio, weight, priority, whether it is preemptible.
const SHIPPED: [(&str, u32, u32, u8, bool); 3] =
    [("gold", 1, 4, 6, false), ("silver", 2, 2, 3, false), ("bronze", 4, 1, 0, true)];

impl Default for Classes {
    fn default() -> Self {
        let classes = SHIPPED.iter().filter_map(|(name, ratio, weight, priority, preemptible)| {
            let id = ClassId(name.parse().ok()?);
            let ratio = Overcommit::from_ppm(ratio.checked_mul(Overcommit::NONE.0)?)?;
            let (weight, priority, preemptible) = (*weight, *priority, *preemptible);
            let class = Class { ratio, weight, priority, preemptible, ..Class::new(id.clone()) };
            Some((id, class))
        });
        Self(classes.collect())
    }
}

impl Classes {
    /// These classes and no others.
    ///
    /// # Errors
    /// Every [`ClassFault`] that there is.
    pub fn of(classes: impl IntoIterator<Item = Class>) -> Result<Self, Vec<ClassFault>> {
        let put: Vec<Class> = classes.into_iter().collect();
        Self(BTreeMap::new()).changed(&put, &[], true)
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: &ClassId) -> Option<&Class> {
        self.0.get(id)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Class> {
        self.0.values()
    }

    /// The same classes with some of them put in or replaced, and others gone; all that are not put in
    /// are gone if they are the `whole` of it.
    ///
    /// # Errors
    /// Every [`ClassFault`] that there is.
    pub fn changed(
        &self,
        put: &[Class],
        gone: &[ClassId],
        whole: bool,
    ) -> Result<Self, Vec<ClassFault>> {
        let mut after = if whole { Self(BTreeMap::new()) } else { self.clone() };
        let mut faults = Vec::new();
        let mut fault = |class: &ClassId, field, why: String| {
            faults.push(ClassFault { class: class.clone(), field, why });
        };
        for id in gone {
            if self.0.contains_key(id) {
                after.0.remove(id);
            } else {
                fault(id, "", "there is no such class".into());
            }
        }
        let mut seen = BTreeSet::new();
        for class in put {
            if !seen.insert(&class.id) || gone.contains(&class.id) {
                fault(&class.id, "", "it is named twice".into());
            }
            for (field, why) in class.faults() {
                fault(&class.id, field, why);
            }
            after.0.insert(class.id.clone(), class.clone());
        }
        if CLASSES_MAX < after.0.len()
            && let Some(first) = put.first()
        {
            let why = format!("there would be {}; {CLASSES_MAX} is the most", after.0.len());
            fault(&first.id, "", why);
        }
        if faults.is_empty() { Ok(after) } else { Err(faults) }
    }

    /// The classes that differ, as they were and as they are, in the order of their names.
    pub fn differences<'a>(
        &'a self,
        after: &'a Self,
    ) -> impl Iterator<Item = (Option<&'a Class>, Option<&'a Class>)> {
        let ids: BTreeSet<&ClassId> = self.0.keys().chain(after.0.keys()).collect();
        let both = ids.into_iter().map(|id| (self.0.get(id), after.0.get(id)));
        both.filter(|(before, after)| before != after)
    }
}

impl Class {
    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.weight == 0 || WEIGHT_MAX < self.weight {
            faults.push(("weight", format!("it is {}; write 1 to {WEIGHT_MAX}", self.weight)));
        }
        if PRIORITY_MAX < self.priority {
            faults
                .push(("priority", format!("it is {}; write 0 to {PRIORITY_MAX}", self.priority)));
        }
        for (field, count) in [("projects", self.projects.len()), ("tiers", self.tiers.len())] {
            if NAMED_MAX < count {
                faults.push((field, format!("there are {count}; name at most {NAMED_MAX}")));
            }
        }
        for (field, span) in [
            ("headroom.longest", self.headroom.map(|it| it.longest)),
            ("no_show_grace", self.no_show_grace),
            ("hold_for", self.hold_for),
        ] {
            if span == Some(Span::ZERO) {
                faults.push((field, "it is zero; leave it out, or write 1s or more".into()));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn class(name: &str) -> Class {
        Class::new(ClassId(name.parse().unwrap()))
    }

    #[test]
    fn a_broker_begins_with_three_classes() {
        let shipped = Classes::default();
        let ratios: Vec<String> =
            shipped.iter().map(|it| format!("{} {}", it.id, it.ratio)).collect();
        assert_eq!(ratios, ["bronze 1:4", "gold 1:1", "silver 1:2"]);
        let own = Classes::of(shipped.iter().cloned()).unwrap();
        assert_eq!(own, shipped, "they are as good as any other");
    }

    #[test]
    fn what_is_no_class_is_refused_with_all_that_is_wrong() {
        let bad = Class { weight: 0, priority: 10, hold_for: Some(Span::ZERO), ..class("bad") };
        let gone = [ClassId("iron".parse().unwrap())];
        let faults = Classes::default().changed(&[bad], &gone, false).unwrap_err();
        let fields: Vec<&str> = faults.iter().map(|it| it.field).collect();
        assert_eq!(fields, ["", "weight", "priority", "hold_for"]);
        let twice = Classes::default().changed(&[class("a"), class("a")], &[], false).unwrap_err();
        assert_eq!(twice.len(), 1, "{twice:?}");
    }

    #[test]
    fn ratios_are_read_as_people_write_them() {
        for (text, ppm) in [("1:1", 1_000_000), ("1:1.5", 1_500_000), ("1:100", 100_000_000)] {
            let ratio: Overcommit = text.parse().unwrap();
            assert_eq!((ratio.ppm(), ratio.to_string().as_str()), (ppm, text));
        }
        for bad in ["2", "1:0.5", "1:101", "2:1", "1:", "1:two", "1:0.0000001"] {
            bad.parse::<Overcommit>().unwrap_err();
        }
    }

    proptest! {
        /// Asking for the ceiling of a floor promises that floor again, and no ceiling is above what
        /// was asked for.
        #[test]
        fn floors_and_ceilings_agree(bps in 1..=BitRate::MAX.bps(), ppm in 1_000_000..=100_000_000_u32) {
            let (asked, ratio) = (BitRate::from_bps(bps).unwrap(), Overcommit::from_ppm(ppm).unwrap());
            let floor = ratio.floor(asked);
            prop_assert!(BitRate::ZERO < floor && floor <= asked);
            if u64::from(ppm) <= bps {
                prop_assert!(ratio.ceiling(floor) <= asked);
                let again = ratio.floor(ratio.ceiling(floor));
                prop_assert!(again == floor || again.bps() + 1 == floor.bps());
            }
        }
    }
}
