//! The one error of every parser here: what was wrong, with what, and what would be right.

use thiserror::Error;

/// Why a text or number is not a word of Tidegate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a {kind}: {why}; {hint}")]
pub struct ParseError {
    /// The kind of word that was expected, such as `rate`.
    pub kind: &'static str,
    /// The text as it was given, cut to a readable length.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
    /// What to write instead.
    pub hint: &'static str,
}

/// Longest piece of a rejected text that an error repeats, in characters.
const ECHO_MAX: usize = 80;

impl ParseError {
    /// An error about `text`, of which at most 80 characters are repeated.
    #[must_use]
    pub fn new(kind: &'static str, text: &str, why: impl Into<String>, hint: &'static str) -> Self {
        let mut shown: String = text.chars().take(ECHO_MAX).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Self { kind, text: shown, why: why.into(), hint }
    }
}
