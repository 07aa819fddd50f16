//! What is wrong with a configuration.

use std::fmt;

use serde_json::json;

/// Everything that is wrong with a configuration, in the order it was read.
pub type Problems = Vec<ConfigProblem>;

/// One thing that is wrong. It prints as one line, and never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where: `endpoints[1].secrets[0].env`.
    pub path: String,
    /// What is wrong there.
    pub what: String,
    /// What would be right.
    pub expected: String,
}

impl ConfigProblem {
    /// A problem stays one line of the log, also where it quotes the config.
    pub(super) fn new(path: String, what: &str, expected: &str) -> Self {
        Self { path, what: what.replace(char::is_control, "\u{fffd}"), expected: expected.to_owned() }
    }
}

impl fmt::Display for ConfigProblem {
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
    json!(start).to_string()
}

/// The path of a field, as users write it: `endpoints[1].url`. `object` is empty for a field of the whole. A key that is
/// not a plain word is quoted, so that a path is always one line and tells its parts.
pub(super) fn field_path(object: &str, key: &str) -> String {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let is_plain = (1..=64).contains(&key.len()) && key.bytes().all(is_word);
    let key = if is_plain { key.to_owned() } else { shown(key) };
    if object.is_empty() { key } else { format!("{object}.{key}") }
}

/// Long enough to recognise a name.
const SHOWN_MAX: usize = 64;
