//! The problems of a configuration.

use std::fmt;

use serde_json::json;

use crate::printable::{printable, printable_json};

/// All problems of a configuration, in the order in which they were found.
pub type Problems = Vec<ConfigProblem>;

/// A problem of a configuration. The problem prints as one line, and never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The path of the faulty value, such as `endpoints[1].secrets[0].env`.
    pub path: String,
    /// What is wrong with the value.
    pub what: String,
    /// What was expected instead.
    pub expected: String,
}

impl ConfigProblem {
    /// Makes a problem. What is not printable in `what` is escaped, so that a problem stays one line of the log, also
    /// where it quotes the config.
    pub(super) fn new(path: String, what: &str, expected: &str) -> Self {
        Self { path, what: printable(what).into_owned(), expected: expected.to_owned() }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; expected {}", self.path, self.what, self.expected)
    }
}

/// A name or key of the config as a problem may show it: quoted, on one line, and not too long.
pub(super) fn shown(text: &str) -> String {
    let mut start: String = text.chars().take(SHOWN_MAX).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    printable_json(&json!(start).to_string()).into_owned()
}

/// The path of a field, as users write it: `endpoints[1].url`. `object` is the path of the object that has the field,
/// empty for the whole configuration. A key that is not a plain word is quoted, so that a path is always one line, and
/// its parts can be told apart.
pub(super) fn field_path(object: &str, key: &str) -> String {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let is_plain = (1..=64).contains(&key.len()) && key.bytes().all(is_word);
    let key = if is_plain { key.to_owned() } else { shown(key) };
    if object.is_empty() { key } else { format!("{object}.{key}") }
}

/// The largest number of characters that [`shown`] shows: enough to recognise a name.
const SHOWN_MAX: usize = 64;
