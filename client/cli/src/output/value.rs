//! One value of a thing: in words for people, in numbers with a unit in their key for programs.

use serde::ser::{Serialize, SerializeMap, Serializer};
use tidegate_policy::{BitRate, ByteCount, Span, Timestamp};

use super::round;

/// What is read from a thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// There is none.
    Nothing,
    Text(String),
    Texts(Vec<String>),
    /// One of a few words: its stable spelling for programs, the words for people.
    Word {
        code: &'static str,
        words: String,
        tone: Tone,
    },
    Rate(BitRate),
    Size(ByteCount),
    /// More or less bits per second.
    Trend(i64),
    /// What is compared and never typed back: people read three digits of it.
    Round(Box<Value>),
    Time(Timestamp),
    Span(Span),
    Count(u64),
    /// In whole percent.
    Percent(u64),
    /// In parts per million; people read percent.
    Ppm(u32),
    /// A fraction, or what is measured in fractions of a unit; people read three digits.
    Ratio(f64),
    Flag(bool),
    /// A flag of which people are told in these words, and only if it is set.
    Mark(bool, &'static str, Tone),
    /// What is nearly always so: people are not told.
    Usual(Box<Value>),
    /// People read the words, programs the value.
    Told {
        words: String,
        data: Box<Value>,
    },
    Record(Record),
    /// Fields whose names people read too.
    Named(Record),
    Records(Vec<Record>),
}

/// Fields in the order in which they are printed.
pub(crate) type Fields = Vec<(&'static str, Value)>;

/// A value with fields of its own.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Record(pub(crate) Fields);

/// How a value is coloured, where there is colour at all; the words say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Warning,
    Bad,
    Faint,
}

/// From these shares on, in percent, a lane is worth a look, or nearly full.
const BUSY: u64 = 75;
const NEARLY_FULL: u64 = 90;

impl Value {
    pub(crate) fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    /// `value`, of which people are told only if it is not `usual`.
    pub(crate) fn unless(usual: bool, value: Self) -> Self {
        if usual { Self::Usual(Box::new(value)) } else { value }
    }

    /// `words` for people, `data` for programs.
    pub(crate) fn told(words: impl Into<String>, data: Self) -> Self {
        Self::Told { words: words.into(), data: Box::new(data) }
    }

    /// A rate that is a mean: people read three digits of it.
    pub(crate) fn mean(rate: BitRate) -> Self {
        Self::Round(Box::new(Self::Rate(rate)))
    }

    /// A sum of bytes: people read three digits of it.
    pub(crate) fn sum(size: ByteCount) -> Self {
        Self::Round(Box::new(Self::Size(size)))
    }

    /// `part` of `whole` bytes in whole percent, rounded down; nothing where there is nothing to share.
    pub(crate) fn share_of_bytes(part: ByteCount, whole: ByteCount) -> Self {
        let percent = (u128::from(part.bytes()) * 100).checked_div(whole.bytes().into());
        percent.map_or(Self::Nothing, |it| Self::Percent(u64::try_from(it).unwrap_or(u64::MAX)))
    }

    pub(crate) fn maybe(text: Option<impl ToString>) -> Self {
        text.map_or(Self::Nothing, Self::text)
    }

    pub(crate) fn texts<T: ToString>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Texts(texts.into_iter().map(|text| text.to_string()).collect())
    }

    pub(crate) fn word(code: &'static str, words: impl Into<String>, tone: Tone) -> Self {
        Self::Word { code, words: words.into(), tone }
    }

    pub(crate) fn time(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Nothing, Self::Time)
    }

    /// `part` of `whole` in whole percent, rounded down; nothing where there is nothing to share.
    pub(crate) fn share(part: BitRate, whole: BitRate) -> Self {
        let percent = (u128::from(part.bps()) * 100).checked_div(whole.bps().into());
        percent.map_or(Self::Nothing, |it| Self::Percent(u64::try_from(it).unwrap_or(u64::MAX)))
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_nothing(&self) -> bool {
        match self {
            Self::Nothing | Self::Usual(_) | Self::Mark(false, ..) => true,
            Self::Round(value) => value.is_nothing(),
            Self::Texts(texts) => texts.is_empty(),
            Self::Named(record) => record.0.is_empty(),
            Self::Records(records) => records.is_empty(),
            _ => false,
        }
    }

    /// Whether it is compared by its size, and so stands at the right of its column.
    pub(crate) fn is_number(&self) -> bool {
        match self {
            Self::Round(value) => value.is_number(),
            value => matches!(
                value,
                Self::Rate(_)
                    | Self::Size(_)
                    | Self::Trend(_)
                    | Self::Count(_)
                    | Self::Percent(_)
                    | Self::Ppm(_)
                    | Self::Ratio(_)
            ),
        }
    }

    pub(crate) fn tone(&self) -> Tone {
        match self {
            Self::Word { tone, .. } | Self::Mark(true, _, tone) => *tone,
            Self::Percent(NEARLY_FULL..) => Tone::Bad,
            Self::Percent(BUSY..) => Tone::Warning,
            Self::Nothing | Self::Usual(_) | Self::Mark(false, ..) => Tone::Faint,
            _ => Tone::Plain,
        }
    }

    /// For people, exact: what is printed can be typed back.
    pub(crate) fn exact(&self) -> String {
        match self {
            Self::Nothing | Self::Usual(_) | Self::Mark(false, ..) => "-".into(),
            Self::Mark(true, words, _) => (*words).to_owned(),
            Self::Text(text) => text.clone(),
            Self::Texts(texts) if texts.is_empty() => "-".into(),
            Self::Texts(texts) => texts.join(", "),
            Self::Word { words, .. } | Self::Told { words, .. } => words.clone(),
            Self::Rate(rate) => rate.to_string(),
            Self::Size(size) => size.to_string(),
            Self::Trend(bps) => round::signed(*bps),
            Self::Round(value) => match &**value {
                Self::Rate(rate) => round::rate(*rate),
                Self::Size(size) => round::size(*size),
                other => other.exact(),
            },
            Self::Time(time) => time.to_string(),
            Self::Span(span) => span.to_string(),
            Self::Count(count) => count.to_string(),
            Self::Percent(percent) => format!("{percent} %"),
            Self::Ppm(ppm) => percent(*ppm),
            Self::Ratio(ratio) => format!("{ratio:.3}"),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.into(),
            Self::Record(record) => record.exact(),
            Self::Named(record) if record.0.is_empty() => "-".into(),
            Self::Named(record) => record.named(),
            Self::Records(records) => {
                records.iter().map(Record::exact).collect::<Vec<_>>().join("; ")
            }
        }
    }

    /// For people in a narrow table: times to the second.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::Time(time) => {
                let text = time.to_string();
                match text.split_once('.') {
                    Some((seconds, _)) => format!("{seconds}Z"),
                    None => text,
                }
            }
            other => other.exact(),
        }
    }

    /// For a cell of CSV: a number without its unit, which stands in the header.
    pub(crate) fn cell(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Usual(value) | Self::Told { data: value, .. } | Self::Round(value) => {
                value.cell()
            }
            Self::Texts(texts) => texts.join(" "),
            Self::Word { code, .. } => (*code).to_owned(),
            Self::Rate(rate) => rate.bps().to_string(),
            Self::Size(size) => size.bytes().to_string(),
            Self::Trend(bps) => bps.to_string(),
            Self::Percent(percent) => percent.to_string(),
            Self::Ppm(ppm) => ppm.to_string(),
            Self::Ratio(ratio) => six_digits(*ratio).to_string(),
            Self::Span(span) => span.as_ms().to_string(),
            Self::Flag(flag) | Self::Mark(flag, ..) => flag.to_string(),
            // Writing these to a text cannot fail: their keys are texts.
            Self::Record(_) | Self::Named(_) | Self::Records(_) => {
                serde_json::to_string(self).unwrap_or_default()
            }
            Self::Text(_) | Self::Time(_) | Self::Count(_) => self.exact(),
        }
    }
}

/// Parts per million as a percentage, exactly.
fn percent(ppm: u32) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// What a program is told of a fraction: more digits are noise.
fn six_digits(ratio: f64) -> f64 {
    (ratio * 1e6).round() / 1e6
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => to.serialize_none(),
            Self::Usual(value) | Self::Told { data: value, .. } | Self::Round(value) => {
                value.serialize(to)
            }
            Self::Text(text) => to.serialize_str(text),
            Self::Texts(texts) => texts.serialize(to),
            Self::Word { code, .. } => to.serialize_str(code),
            Self::Rate(rate) => to.serialize_u64(rate.bps()),
            Self::Size(size) => to.serialize_u64(size.bytes()),
            Self::Trend(bps) => to.serialize_i64(*bps),
            Self::Time(time) => to.serialize_str(&time.to_string()),
            Self::Span(span) => to.serialize_u64(span.as_ms()),
            Self::Count(count) | Self::Percent(count) => to.serialize_u64(*count),
            Self::Ppm(ppm) => to.serialize_u32(*ppm),
            Self::Ratio(ratio) => to.serialize_f64(six_digits(*ratio)),
            Self::Flag(flag) | Self::Mark(flag, ..) => to.serialize_bool(*flag),
            Self::Record(record) | Self::Named(record) => record.serialize(to),
            Self::Records(records) => records.serialize(to),
        }
    }
}

impl Record {
    fn exact(&self) -> String {
        let fields = self.0.iter().filter(|(_, value)| !value.is_nothing());
        fields.map(|(_, value)| value.exact()).collect::<Vec<_>>().join(" ")
    }

    fn named(&self) -> String {
        let field =
            |(name, value): &(&str, Value)| format!("{} {}", name.replace('_', " "), value.exact());
        self.0.iter().map(field).collect::<Vec<_>>().join(", ")
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
