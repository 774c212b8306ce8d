//! What a single value in a topology file may be.

use serde::Serialize;
use tidegate_policy::{BitRate, Name, ParseError};

use crate::wire;

/// A checked name.
#[derive(Clone, Default, Serialize)]
#[serde(into = "String")]
pub(super) struct Word(pub(super) String);

impl TryFrom<String> for Word {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse::<Name>().map(|name| Self(name.as_str().to_owned()))
    }
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        word.0
    }
}

/// `hosts/NAME` or `switches/NAME`.
#[derive(Clone, Serialize)]
#[serde(into = "String")]
pub(super) struct Place(pub(super) String);

impl TryFrom<String> for Place {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        let fault =
            |why: &str| ParseError::new("place", &text, why, "write hosts/NAME or switches/NAME");
        let name = text.strip_prefix("hosts/").or_else(|| text.strip_prefix("switches/"));
        let name = name.ok_or_else(|| fault("its collection is neither"))?;
        name.parse::<Name>().map_err(|error| fault(&error.why))?;
        Ok(Self(text))
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.0
    }
}

/// A rate above zero, in bits per second as the wire has it, where zero means "not said".
#[derive(Clone, Copy, Serialize)]
#[serde(into = "String")]
pub(super) struct Rate(pub(super) i64);

impl TryFrom<String> for Rate {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        match text.parse::<BitRate>()? {
            BitRate::ZERO => Err(ParseError::new(
                "capacity",
                &text,
                "it is zero",
                "leave it out, or say how much",
            )),
            rate => Ok(Self(wire::to_rate(rate))),
        }
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        wire::rate("rate", rate.0).unwrap_or_default().to_string()
    }
}

/// How often something may be booked, in parts per million, written as a decimal of at most six
/// places.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(into = "String")]
pub(super) struct Ratio(pub(super) i32);

impl TryFrom<String> for Ratio {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        let hint = "write 1 to 100, such as 1.5, with at most 6 decimals";
        let fault = |why: &str| ParseError::new("ratio", &text, why, hint);
        let (whole, decimals) = text.split_once('.').unwrap_or((text.as_str(), "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) {
            return Err(fault("the number is malformed"));
        }
        if decimals.len() > 6 {
            return Err(fault("it has more than 6 decimals"));
        }
        let ppm = format!("{whole}{decimals:0<6}").parse().map_err(|_| fault("it is too large"))?;
        if !(1_000_000..=100_000_000).contains(&ppm) {
            return Err(fault("it is out of range"));
        }
        Ok(Self(ppm))
    }
}

impl From<Ratio> for String {
    fn from(ratio: Ratio) -> Self {
        let ppm = ratio.0.max(0);
        let text = format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// A share in parts per million, written in percent with at most four decimals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(into = "String")]
pub(super) struct Percent(pub(super) i32);

impl TryFrom<String> for Percent {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        let fault = |why: &str| {
            ParseError::new("percentage", &text, why, "write 3% or 7.75%, with at most 4 decimals")
        };
        let number = text.trim().strip_suffix('%').ok_or_else(|| fault("it has no %"))?.trim_end();
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) {
            return Err(fault("the number is malformed"));
        }
        if decimals.len() > 4 {
            return Err(fault("it has more than 4 decimals"));
        }
        let ppm = format!("{whole}{decimals:0<4}").parse().map_err(|_| fault("it is too large"))?;
        Ok(Self(ppm))
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        let ppm = percent.0.max(0);
        let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
        format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}
