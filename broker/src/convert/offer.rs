//! The token of a counter-offer: the exact request for it, as text that can be copied.
//!
//! It carries no secret and no right: whoever could write it by hand may ask for it anyway. A
//! checksum tells one that was cut or mistyped from one that is whole.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use tidegate_core::{Ask, CounterOffer, Route, Shape, Ways};
use tidegate_proto::v1;
use tidegate_proto::v1::create_reservation_request::Shape as WireShape;

use super::reply::{hosts, int, time};
use super::{class, policy};

/// What every token begins with: the version of its form.
const FORM: &str = "o1.";
/// The longest token that is read, in characters.
const TOKEN_MAX: usize = 32 << 10;
const CHECKSUM_BYTES: usize = 4;

/// The token that asks for exactly this offer. Of a volume it says what the request that was
/// refused, `asked`, says beside it.
pub(crate) fn token(offer: &CounterOffer, asked: Option<&Ask>) -> String {
    let owner = asked.map(|asked| &asked.owner);
    let (ways, shape) = match asked.map(|asked| offer.ask(asked)) {
        Some(Ask {
            ways,
            shape: Shape::Transfer { volume, min, max, start, deadline, split },
            ..
        }) => {
            let transfer = v1::Transfer {
                volume_bytes: int(volume.bytes()),
                min_bps: int(min.bps()),
                max_bps: int(max.bps()),
                start_time: start.map(time),
                deadline: Some(time(deadline)),
                split,
            };
            (ways, WireShape::Transfer(transfer))
        }
        Some(_) | None => {
            let rigid = v1::Rigid {
                rate_bps: int(offer.rate.bps()),
                start_time: Some(time(offer.interval.start())),
                until: Some(v1::rigid::Until::EndTime(time(offer.interval.end()))),
            };
            (along(&offer.route), WireShape::Rigid(rigid))
        }
    };
    let mut request = v1::CreateReservationRequest {
        shape: Some(shape),
        assurance: if offer.terms.shared { v1::Assurance::Shared.into() } else { 0 },
        streams: if offer.terms.streams == 1 { 0 } else { offer.terms.streams.into() },
        parent: owner.map(|owner| policy::name(&owner.project)).unwrap_or_default(),
        // A rate that is offered is a rate of its class.
        class: owner.and_then(|owner| owner.class.as_ref()).map(class::name).unwrap_or_default(),
        principal: owner
            .and_then(|owner| owner.principal.as_ref())
            .map(ToString::to_string)
            .unwrap_or_default(),
        labels: owner.map(|owner| owner.labels.clone()).unwrap_or_default(),
        ..Default::default()
    };
    match &ways {
        Ways::Between { sources, destination, via, path } => {
            request.sources = sources.iter().map(ToString::to_string).collect();
            request.destination = destination.to_string();
            request.via = hosts(via);
            request.path = path.map(i32::from);
        }
        Ways::Lanes(lanes) => request.lanes = lanes.iter().map(ToString::to_string).collect(),
    }
    let mut bytes = vec![0; CHECKSUM_BYTES];
    bytes.extend(request.encode_to_vec());
    let sum = crc32fast::hash(bytes.get(CHECKSUM_BYTES..).unwrap_or_default());
    bytes.splice(..CHECKSUM_BYTES, sum.to_be_bytes());
    format!("{FORM}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// Exactly one way.
fn along(route: &Route) -> Ways {
    match route {
        Route::Between { source, destination, via, path, .. } => Ways::Between {
            sources: vec![source.clone()],
            destination: destination.clone(),
            via: via.clone(),
            path: *path,
        },
        Route::Lanes(lanes) => Ways::Lanes(lanes.clone()),
    }
}

/// The request that a token stands for; `None` if it is not one, or not whole.
pub(super) fn read(token: &str) -> Option<v1::CreateReservationRequest> {
    let text = token.trim().strip_prefix(FORM).filter(|text| text.len() <= TOKEN_MAX)?;
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (sum, body) = bytes.split_at_checked(CHECKSUM_BYTES)?;
    if sum != crc32fast::hash(body).to_be_bytes() {
        return None;
    }
    let request = v1::CreateReservationRequest::decode(body).ok()?;
    // Only what `token` writes: nothing that would lead on to another token.
    matches!(request.shape, Some(WireShape::Rigid(_) | WireShape::Transfer(_))).then_some(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::{OfferKind, Owner, Standing, Terms};
    use tidegate_policy::{ByteCount, ClassId, Interval, ProjectId, Timestamp};

    fn offer() -> CounterOffer {
        let at = |ms| Timestamp::from_ms(ms).unwrap();
        CounterOffer {
            kind: OfferKind::SameRateLater,
            route: Route::Between {
                source: "storage/p".parse().unwrap(),
                destination: "hosts/h".parse().unwrap(),
                via: vec!["r".parse().unwrap()],
                path: Some(2),
                steers: Vec::new(),
            },
            terms: Terms { shared: true, streams: 8 },
            rate: "1Gbit".parse().unwrap(),
            interval: Interval::new(at(1000), at(2000)).unwrap(),
            volume: None,
        }
    }

    /// A request for a volume from two places, by any path.
    fn asked() -> Ask {
        let at = |ms| Timestamp::from_ms(ms).unwrap();
        Ask {
            owner: Owner {
                principal: Some("ann@example.org".parse().unwrap()),
                class: Some(ClassId("bronze".parse().unwrap())),
                labels: [("run".into(), "7".into())].into(),
                ..ProjectId::default_project().into()
            },
            ways: Ways::Between {
                sources: vec!["storage/p".parse().unwrap(), "storage/q".parse().unwrap()],
                destination: "hosts/h".parse().unwrap(),
                via: vec!["r".parse().unwrap()],
                path: None,
            },
            shape: Shape::Transfer {
                volume: ByteCount::new(1_000_000),
                min: "1Mbit".parse().unwrap(),
                max: "1Gbit".parse().unwrap(),
                start: None,
                deadline: at(9000),
                split: true,
            },
            terms: Terms { shared: true, streams: 8 },
            hold_for: None,
            session: None,
            hold_best_offer: true,
            movable: true,
            standing: Standing { priority: 3, preemptible: true, ..Standing::default() },
        }
    }

    #[test]
    fn a_token_says_what_was_offered() {
        let request = read(&token(&offer(), None)).unwrap();
        assert_eq!(request.sources, ["storage/p"]);
        assert_eq!(request.via, ["hosts/r"]);
        assert_eq!(request.path, Some(2));
        assert_eq!((request.assurance, request.streams), (v1::Assurance::Shared.into(), 8));
        let lanes = vec![tidegate_core::lane::LaneName::new("links/l/forward")];
        let request =
            read(&token(&CounterOffer { route: Route::Lanes(lanes), ..offer() }, None)).unwrap();
        assert_eq!(request.lanes, ["links/l/forward"]);
    }

    #[test]
    fn a_token_of_a_volume_says_all_that_was_asked_of_it() {
        let volume = Some(ByteCount::new(777_777));
        let less = CounterOffer { kind: OfferKind::LessInTime, volume, ..offer() };
        let request = read(&token(&less, Some(&asked()))).unwrap();
        assert_eq!(request.sources, ["storage/p", "storage/q"]);
        assert_eq!(
            (request.via.as_slice(), request.path),
            (["hosts/r".to_owned()].as_slice(), None)
        );
        assert_eq!((request.assurance, request.streams), (v1::Assurance::Shared.into(), 8));
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let transfer = v1::Transfer {
            volume_bytes: 777_777,
            min_bps: 1_000_000,
            max_bps: 1_000_000_000,
            start_time: at(1),
            deadline: at(2),
            split: true,
        };
        assert_eq!(request.shape, Some(WireShape::Transfer(transfer)));
        let whose = (request.class.as_str(), request.principal.as_str());
        assert_eq!(whose, ("classes/bronze", "ann@example.org"));
        assert_eq!(request.labels, [("run".to_owned(), "7".to_owned())].into());
        // From the backend that is offered instead, by whichever of its paths.
        let other = CounterOffer { kind: OfferKind::OtherSource, ..less };
        let request = read(&token(&other, Some(&asked()))).unwrap();
        assert_eq!((request.sources, request.path), (vec!["storage/p".to_owned()], None));
    }

    #[test]
    fn what_is_not_whole_is_no_token() {
        let whole = token(&offer(), None);
        assert_eq!(read(""), None);
        assert_eq!(read(&whole[1..]), None);
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None, "cut at {end}");
        }
        let mistyped: String = whole.chars().map(|c| if c == 'A' { 'B' } else { c }).collect();
        assert_eq!(read(&mistyped), None);
    }
}
