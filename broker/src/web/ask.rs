//! What a page is asked with: the words of its address, read into the request that gRPC takes.
//!
//! Nothing is checked here that a service checks itself: its answer about a bad field is the page's.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use prost_types::{Duration, Timestamp as Wire};
use tidegate_policy::{Span, TimeText, Timestamp};
use tonic::Status;

use crate::convert::reply;
use crate::fields::Fields;
use crate::status::Failure;
use crate::web::say;

/// The longest word that is repeated in a link or a form, in bytes.
const WORD_MAX: usize = 2048;

/// The address of a page.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    path: String,
    words: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Of any query something can be read: what is not UTF-8 is replaced.
        let words = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let words = words.map(|Query(words)| words).unwrap_or_default();
        Ok(Self { path: parts.uri.path().to_owned(), words })
    }
}

impl Asked {
    /// An address for a test.
    #[cfg(test)]
    pub(super) fn of(path: &str, query: &str) -> Self {
        let uri = format!("http://x/?{query}").parse().unwrap();
        let Query(words) = Query::<Vec<(String, String)>>::try_from_uri(&uri).unwrap();
        Self { path: path.into(), words }
    }

    /// Whether the JSON of the answer is asked for instead of the page.
    pub(super) fn is_json(&self) -> bool {
        self.word("format") == "json"
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// A word of the query, empty if it is not there; the last one counts.
    pub(super) fn word(&self, name: &str) -> &str {
        let found = self.words.iter().rev().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.trim())
    }

    /// This address with some of its words changed; an empty one is left out.
    pub(super) fn with(&self, changes: &[(&str, &str)]) -> String {
        let changed = |name: &str| changes.iter().any(|(known, _)| *known == name);
        let kept = self.words.iter().filter(|(name, _)| !changed(name));
        let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        let mut href = self.path.clone();
        let mut sign = '?';
        for (name, value) in kept.chain(changes.iter().copied()) {
            if value.is_empty() || WORD_MAX < value.len() {
                continue;
            }
            href.push(sign);
            href.push_str(&say::escaped(name, false));
            href.push('=');
            href.push_str(&say::escaped(value, false));
            sign = '&';
        }
        href
    }

    /// A command with a flag for each of some words that are there.
    pub(super) fn command(&self, command: &str, flags: &[(&str, &str)]) -> String {
        let mut text = command.to_owned();
        for (word, flag) in flags {
            let value = self.word(word);
            if value.is_empty() {
                continue;
            }
            if !flag.is_empty() {
                text.push_str(&format!(" {flag}"));
            }
            text.push_str(&format!(" {}", quoted(value)));
        }
        text
    }

    /// Reads words; what is wrong with them is told together.
    pub(super) fn read(&self, now: Timestamp) -> Read<'_> {
        Read { asked: self, now, fields: Fields::default() }
    }
}

/// The words of an address, as they are read.
#[derive(Debug)]
pub(super) struct Read<'a> {
    asked: &'a Asked,
    now: Timestamp,
    fields: Fields,
}

impl Read<'_> {
    /// An instant: RFC 3339, what a form has for a date and a time (UTC), `now`, `+2h` or `-2h`.
    pub(super) fn time(&mut self, name: &str) -> Option<Wire> {
        let text = self.asked.words.iter().rev().find(|(known, _)| known == name);
        let (_, text) = text?;
        if text.trim().is_empty() {
            return None;
        }
        // A plus that nobody escaped arrives as a space.
        let text = match text.strip_prefix(' ') {
            Some(rest) => format!("+{}", rest.trim()),
            None => text.trim().to_owned(),
        };
        let read = completed(&text).parse::<TimeText>().map(|read| read.at(self.now));
        self.fields.keep(name, read).map(reply::time)
    }

    /// A length of time such as `15m`.
    pub(super) fn span(&mut self, name: &str) -> Option<Duration> {
        let text = self.asked.word(name);
        if text.is_empty() {
            return None;
        }
        self.fields.keep(name, text.parse::<Span>()).map(reply::duration)
    }

    /// A number from 1 to `most`, or `usual` where none is given.
    pub(super) fn number(&mut self, name: &str, usual: i32, most: i32) -> i32 {
        let text = self.asked.word(name);
        if text.is_empty() {
            return usual;
        }
        let number = text.parse::<i32>().ok().filter(|number| (1..=most).contains(number));
        if number.is_none() {
            let shown: String = text.chars().take(80).collect();
            self.fields.fault(name, format!("it is {shown:?}; write 1 to {most}"));
        }
        number.unwrap_or(usual)
    }

    /// One of some words; the first where none is given.
    pub(super) fn one_of(&mut self, name: &str, words: &[&'static str]) -> &'static str {
        let text = self.asked.word(name);
        let first = words.first().copied().unwrap_or_default();
        if text.is_empty() {
            return first;
        }
        let found = words.iter().find(|word| **word == text);
        if found.is_none() {
            let shown: String = text.chars().take(80).collect();
            self.fields.fault(name, format!("it is {shown:?}; write {}", words.join(" or ")));
        }
        found.copied().unwrap_or(first)
    }

    /// The request, if nothing is wrong with the words.
    pub(super) fn finish<T>(self, request: T) -> Result<T, Status> {
        Ok(self.fields.finish(Some(request)).map_err(Failure::from)?)
    }
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-+:./_=,@%".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A date and a time as forms have them, `2026-11-29T18:00`, are of UTC here.
fn completed(text: &str) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b"-T:.".contains(&b));
    let colons = text.matches(':').count();
    match (plain && text.contains('T'), colons) {
        (true, 1) => format!("{text}:00Z"),
        (true, 2) => format!("{text}Z"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        Asked::of("/lanes", query)
    }

    fn time(query: &str) -> Result<Option<i64>, String> {
        let now = Timestamp::from_ms(1_000_000_000).unwrap();
        let asked = asked(query);
        let mut read = asked.read(now);
        let at = read.time("from");
        let read = read.finish(at).map_err(|status| status.message().to_owned());
        read.map(|at| at.map(|at| at.seconds))
    }

    #[test]
    fn times_are_read_as_people_and_forms_write_them() {
        assert_eq!(time(""), Ok(None));
        assert_eq!(time("from="), Ok(None));
        assert_eq!(time("from=now"), Ok(Some(1_000_000)));
        assert_eq!(time("from=-1h"), Ok(Some(996_400)));
        assert_eq!(time("from=%2B1h"), Ok(Some(1_003_600)));
        assert_eq!(time("from=+1h"), Ok(Some(1_003_600)));
        assert_eq!(time("from=1970-01-02T00:00"), Ok(Some(86_400)));
        assert_eq!(time("from=1970-01-02T00:00:01"), Ok(Some(86_401)));
        assert_eq!(time("from=1970-01-02T01:00:00%2B01:00"), Ok(Some(86_400)));
        let wrong = time("from=tomorrow").unwrap_err();
        assert!(wrong.starts_with("from: ") && wrong.contains("tomorrow"), "{wrong}");
    }

    #[test]
    fn links_keep_what_they_do_not_change() {
        let asked = asked("selector=links/*&page=x&from=+1h");
        assert_eq!(
            asked.with(&[("page", ""), ("format", "json")]),
            "/lanes?selector=links%2F%2A&from=%201h&format=json"
        );
        assert_eq!(asked.word("selector"), "links/*");
        let long = "x".repeat(WORD_MAX + 1);
        assert_eq!(asked.with(&[("selector", &long), ("from", ""), ("page", "")]), "/lanes");
    }

    #[test]
    fn commands_can_be_pasted_into_a_shell() {
        let asked = asked("selector=links/*/forward&from=-24h&x=it's");
        let flags = [("selector", ""), ("from", "--from"), ("to", "--to"), ("x", "--x")];
        assert_eq!(
            asked.command("tidegate report utilization", &flags),
            r"tidegate report utilization 'links/*/forward' --from -24h --x 'it'\''s'"
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told_together() {
        let asked = asked("size=0&order=best");
        let mut read = asked.read(Timestamp::EPOCH);
        let size = read.number("size", 100, 200);
        let order = read.one_of("order", &["fullest", "name"]);
        let told = read.finish((size, order)).unwrap_err();
        let told = told.message();
        assert!(told.contains("write 1 to 200") && told.contains("fullest or name"), "{told}");
    }
}
