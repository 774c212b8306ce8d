//! What a copy asks the broker for: a way for each direction in which its bytes pass a network.

use tidegate_policy::Endpoint;

/// What a copy has to be granted. `A` is what stands for a way: its two ends, or a request for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Legs<A> {
    /// From elsewhere to this host: charged as it is read.
    In(A),
    /// From this host to elsewhere: charged as it is sent.
    Out(A),
    /// From elsewhere through this host to elsewhere: both or none of them are granted.
    Through {
        /// From the source to this host.
        into: A,
        /// From this host to the destination.
        out: A,
    },
    /// Within one storage, which copies by itself: only its lanes.
    Within(A),
}

/// Why nobody can tell what a copy has to be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegsError {
    /// It goes through this host, whose name at the broker is not told.
    #[error("it goes through this host, and nobody said what the broker calls it")]
    NoHost,
    /// It goes from this host to itself, where there is nothing to book.
    #[error("both ends are this host itself, between which nothing is booked")]
    Nothing,
}

impl Legs<(Endpoint, Endpoint)> {
    /// What leads from one end to the other, by their names at the broker. `here` is this host;
    /// `within` says that the ends are mounts of one storage.
    ///
    /// # Errors
    /// [`LegsError`].
    pub fn between(
        from: Endpoint,
        to: Endpoint,
        here: Option<&Endpoint>,
        within: bool,
    ) -> Result<Self, LegsError> {
        if within && from == to {
            return Ok(Self::Within((from, to)));
        }
        let is_here = |end: &Endpoint| match here {
            Some(here) => end == here,
            // Without a name for this host, a host is this one.
            None => matches!(end, Endpoint::Host(_)),
        };
        match (is_here(&from), is_here(&to)) {
            (true, true) => Err(LegsError::Nothing),
            (true, false) => Ok(Self::Out((from, to))),
            (false, true) => Ok(Self::In((from, to))),
            (false, false) => {
                let here = here.ok_or(LegsError::NoHost)?;
                Ok(Self::Through { into: (from, here.clone()), out: (here.clone(), to) })
            }
        }
    }
}

impl<A> Legs<A> {
    /// The same ways as something else.
    pub fn map<B>(self, mut make: impl FnMut(A) -> B) -> Legs<B> {
        match self {
            Self::In(it) => Legs::In(make(it)),
            Self::Out(it) => Legs::Out(make(it)),
            Self::Within(it) => Legs::Within(make(it)),
            Self::Through { into, out } => Legs::Through { into: make(into), out: make(out) },
        }
    }

    /// The ways in the order in which bytes take them.
    pub fn iter(&self) -> impl Iterator<Item = &A> {
        let (one, two) = match self {
            Self::In(it) | Self::Out(it) | Self::Within(it) => (it, None),
            Self::Through { into, out } => (into, Some(out)),
        };
        std::iter::once(one).chain(two)
    }

    /// Whether it has two ways, which have to go at one speed.
    #[must_use]
    pub fn is_through(&self) -> bool {
        matches!(self, Self::Through { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_has_a_way() {
        let end = |name: &str| name.parse::<Endpoint>().unwrap();
        let (a, b, me) = (end("storage/a"), end("storage/b"), end("hosts/me"));
        let between = |from: &Endpoint, to: &Endpoint, here: Option<&Endpoint>, within| {
            Legs::between(from.clone(), to.clone(), here, within)
        };
        let pair = |from: &Endpoint, to: &Endpoint| (from.clone(), to.clone());
        assert_eq!(between(&a, &me, None, false), Ok(Legs::In(pair(&a, &me))));
        assert_eq!(between(&me, &b, Some(&me), false), Ok(Legs::Out(pair(&me, &b))));
        let through = Legs::Through { into: pair(&a, &me), out: pair(&me, &b) };
        assert_eq!(between(&a, &b, Some(&me), false), Ok(through));
        assert_eq!(between(&a, &b, None, false), Err(LegsError::NoHost));
        assert_eq!(between(&me, &me, Some(&me), false), Err(LegsError::Nothing));
        // A storage onto itself: by itself where both are its mounts, else through this host.
        assert_eq!(between(&a, &a, None, true), Ok(Legs::Within(pair(&a, &a))));
        assert_eq!(between(&a, &a, Some(&me), false).map(|it| it.iter().count()), Ok(2));
        let other = end("hosts/other");
        assert!(between(&other, &a, Some(&me), false).is_ok_and(|it| it.is_through()));
    }
}
