//! The numbers of a picture, for the card that the script shows beside the pointer.
//!
//! Each series is `label|unit|values`; equal neighbours are written once, as `value*count`, and `-` is
//! what is not known. Everything that the card says stands in the table of the page too.

use super::push;

/// What the values of a series are.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) enum Unit {
    /// Parts per thousand.
    Permille,
    /// Bits per second.
    Rate,
    /// Bytes.
    Bytes,
}

/// The values of a picture, bucket by bucket.
#[derive(Debug)]
pub(in crate::web) struct Series {
    text: String,
}

impl Series {
    pub(in crate::web) fn new(
        label: &str,
        unit: Unit,
        values: impl Iterator<Item = Option<i64>>,
    ) -> Self {
        let unit = match unit {
            Unit::Permille => "%",
            Unit::Rate => "bit/s",
            Unit::Bytes => "B",
        };
        let mut text = format!("{label}|{unit}|");
        let mut rest = values.peekable();
        let mut first = true;
        while let Some(value) = rest.next() {
            let mut same = 1_usize;
            while rest.next_if_eq(&value).is_some() {
                same += 1;
            }
            if !first {
                text.push(' ');
            }
            first = false;
            match value {
                None => text.push('-'),
                Some(value) => push(&mut text, format_args!("{value}")),
            }
            if 1 < same {
                push(&mut text, format_args!("*{same}"));
            }
        }
        Self { text }
    }
}

/// All of them in one attribute.
pub(in crate::web) fn series(all: &[Series]) -> String {
    let all: Vec<&str> = all.iter().map(|it| it.text.as_str()).collect();
    all.join(";")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_is_there_once_and_in_order(
            values in proptest::collection::vec(proptest::option::of(0_i64..3), 0..80),
        ) {
            let text = series(&[Series::new("Used", Unit::Rate, values.iter().copied())]);
            let runs = text.strip_prefix("Used|bit/s|").unwrap();
            let mut read = Vec::new();
            for run in runs.split_whitespace() {
                let (value, same) = run.split_once('*').unwrap_or((run, "1"));
                let value = (value != "-").then(|| value.parse::<i64>().unwrap());
                read.extend(std::iter::repeat_n(value, same.parse().unwrap()));
            }
            prop_assert_eq!(read, values);
        }
    }
}
