//! The payload guard: personal data is found before an event is kept or sent.
//!
//! Three rules look at a payload. A key of `deny_keys` may not stand in the payload, at any depth, whatever its value.
//! A string may hold nothing that a detector finds ([`detect`]), and neither may a key. With `ids_only` a string may
//! stand only under a key of `allow`, which exempts the string from neither of the other rules. Numbers, booleans and
//! null are never looked at but for their key: ids and amounts are numbers, and any long one could be somebody's card.
//!
//! A payload that is not JSON is text: one string under no key. A string that holds JSON is a string.
//!
//! # Bounds
//! The work is linear in a payload of n bytes, however it is nested: two passes over n bytes see that it is JSON and
//! not too deep, one finds the parts of an envelope, one walks through all values, one unescapes keys and strings, and
//! in one the detectors look at them. The walk recurses once a level, at most [`DEPTH_MAX`](crate::json::DEPTH_MAX)
//! times. It keeps the keys on the way to the current value; of these, no more than n bytes are unescaped copies. Of
//! the findings, [`FINDINGS_MAX`] pointers of [`POINTER_BYTES_MAX`] bytes are kept, 8 KiB, and the rest is counted.
//! Redaction makes a payload at most 3.25 times as long (`"a",` becomes `"[redacted]",`).

use crate::index::Index;

pub mod detect;
mod scan;
mod text;

pub use detect::DataKind;
use detect::DataKinds;
pub use scan::inspect;

/// The largest number of findings of an event that are told; all are counted.
pub const FINDINGS_MAX: usize = 32;
/// The longest pointer of a finding, in bytes. A pointer that would be longer ends at an earlier token: it names a
/// value around the one that was found.
pub const POINTER_BYTES_MAX: usize = 256;
/// The longest denied key, in bytes besides `_` and `-`.
pub const KEY_BYTES_MAX: usize = 64;
/// The longest pattern of an allowed key, and the longest key that is allowed, in bytes.
pub const ALLOWED_BYTES_MAX: usize = 128;
/// The text in the place of what was redacted.
pub const REDACTED: &str = "[redacted]";

/// The rules of the payload guard: what may not be in a payload, and what follows when it is. The section
/// `payload_guard` of a configuration.
#[derive(Debug)]
pub struct GuardRules {
    /// Strings may stand only under keys of `allow`.
    pub ids_only: bool,
    /// The patterns of the keys under which strings may stand with `ids_only`.
    pub allow: Vec<KeyPattern>,
    /// The keys that may not be in a payload.
    pub deny_keys: DeniedKeys,
    /// The kinds of data that are looked for in strings and keys.
    pub detect: DataKinds,
    /// What follows when something was found.
    pub action: GuardAction,
}

impl GuardRules {
    /// Whether strings may stand under this key. A key that is longer than any pattern is no id.
    fn allows(&self, key: &[u8]) -> bool {
        key.len() <= ALLOWED_BYTES_MAX && self.allow.iter().any(|pattern| pattern.matches(key))
    }
}

/// What follows when personal data was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardAction {
    /// The producer is answered 422, and nothing is sent.
    Reject,
    /// The data is replaced, and the rest is delivered.
    Redact,
    /// The payload is delivered as it is.
    Report,
}

impl GuardAction {
    /// The word for the action in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reject => "rejected",
            Self::Redact => "redacted",
            Self::Report => "delivered",
        }
    }
}

/// The keys that may not be in a payload. Upper and lower case, `_` and `-` make no difference: `ip_address` is
/// `IP-Address` and `ipAddress`.
#[derive(Debug, Default)]
pub struct DeniedKeys(Index);

impl DeniedKeys {
    /// Adds a key. Returns false, and adds nothing, if the key has no byte besides `_` and `-`, or more than
    /// [`KEY_BYTES_MAX`] of them.
    pub fn add(&mut self, key: &str) -> bool {
        let plain = plain(key.as_bytes());
        let number = self.0.len();
        plain.is_some_and(|plain| self.0.get_or_insert(&plain, number) <= number)
    }

    /// Whether no key is denied.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Whether this key is denied.
    pub fn has(&self, key: &[u8]) -> bool {
        plain(key).is_some_and(|plain| self.0.get(&plain).is_some())
    }
}

/// The form in which keys are compared: lower case, without `_` and `-`. `None`: nothing is left, or more than
/// [`KEY_BYTES_MAX`] bytes.
fn plain(key: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    for byte in key.iter().filter(|byte| !b"_-".contains(byte)) {
        if plain.len() == KEY_BYTES_MAX {
            return None;
        }
        plain.push(byte.to_ascii_lowercase());
    }
    (!plain.is_empty()).then_some(plain)
}

/// A pattern over whole keys: `*` stands for any run of characters, which may be empty. Case counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern(pub String);

impl KeyPattern {
    /// Whether a key matches. This takes at most as many comparisons as pattern times key has bytes: the config bounds
    /// the pattern.
    pub fn matches(&self, key: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut at, mut read) = (0, 0);
        // Where to go on if the pattern behind the last star does not match: the place of that star, and the end of the
        // part of the key that it took.
        let mut star = None;
        while let Some(byte) = key.get(read) {
            match (pattern.get(at), star) {
                (Some(b'*'), _) => {
                    star = Some((at, read));
                    at += 1;
                }
                (Some(wanted), _) if wanted == byte => (at, read) = (at + 1, read + 1),
                (_, Some((place, taken))) => {
                    (at, read) = (place + 1, taken + 1);
                    star = Some((place, taken + 1));
                }
                _ => return false,
            }
        }
        pattern.iter().skip(at).all(|byte| *byte == b'*')
    }
}

/// Whether a key says that its value is a version: then `1.2.3.4` there is a version too, and no IP address.
fn is_version_key(key: &[u8]) -> bool {
    let version = b"version";
    key.len()
        .checked_sub(version.len())
        .and_then(|at| key.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(version))
}

/// A finding: where it is, and of which kind. A finding holds no value, and of keys none that is itself personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The finding is in an envelope's metadata, and not in the producer's body.
    pub in_metadata: bool,
    /// The JSON pointer (RFC 6901) to the finding, from the root of the metadata or of the body.
    pub pointer: String,
    /// The kind of data.
    pub kind: DataKind,
}

/// The findings in a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The first [`FINDINGS_MAX`] findings, in the order of the payload.
    pub list: Vec<Finding>,
    /// The number of findings of each of [`DataKind::ALL`].
    pub counts: [u32; DataKind::ALL.len()],
}

impl Findings {
    /// The number of all findings.
    pub fn total(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// The kinds that were found, each with the number of its findings.
    pub fn by_kind(&self) -> impl Iterator<Item = (DataKind, u32)> {
        DataKind::ALL.into_iter().zip(self.counts).filter(|(_, count)| *count > 0)
    }

    /// The first findings in words, `email at /user/email`, as many as `max`, and the number of the others.
    pub fn summary(&self, max: usize) -> String {
        let mut summary = String::new();
        for finding in self.list.iter().take(max) {
            let place = if finding.in_metadata { " in metadata at " } else { " at " };
            let pointer = if finding.pointer.is_empty() { "the root" } else { &finding.pointer };
            summary.extend([if summary.is_empty() { "" } else { ", " }, finding.kind.label(), place, pointer]);
        }
        let more = self.total() as usize - self.list.len().min(max);
        if more > 0 {
            summary.extend([" and ", itoa::Buffer::new().format(more), " more"]);
        }
        summary
    }

    fn note(&mut self, kind: DataKind, in_metadata: bool, pointer: &dyn Fn() -> String) {
        if let Some(count) = self.counts.get_mut(kind as usize) {
            *count = count.saturating_add(1);
        }
        if self.list.len() < FINDINGS_MAX {
            self.list.push(Finding { in_metadata, pointer: pointer(), kind });
        }
    }
}

/// The result of looking through a payload.
#[derive(Debug)]
pub struct Inspected {
    /// The findings.
    pub findings: Findings,
    /// The payload without the findings; `None`: there is nothing to redact, or the action is another one.
    pub redacted: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests;
