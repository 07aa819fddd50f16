//! What is wrong with a configuration.

use std::fmt;
use std::time::Duration;

use crate::json::write::quoted;

/// Everything that is wrong with a configuration, in the order it was read.
pub type Problems = Vec<Problem>;

/// One thing that is wrong. It prints as one line, and never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `endpoints[1].secrets[0].env`.
    pub path: String,
    /// What is wrong there.
    pub what: String,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; expected {}", self.path, self.what, self.expected)
    }
}

/// A name or key of the config as an error may show it: quoted, on one line, and not too long.
pub(super) fn shown(text: &str) -> String {
    let mut start: String = text.chars().take(SHOWN_MAX).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    quoted(&start)
}

/// A duration as a config writes it, down to milliseconds.
pub(crate) fn shown_duration(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        millis => format!("{}ms", duration.as_secs().saturating_mul(1000).saturating_add(millis.into())),
    }
}

/// Long enough to recognise a name.
const SHOWN_MAX: usize = 64;
