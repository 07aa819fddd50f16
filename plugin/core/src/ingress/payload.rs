//! The payload guard: personal data is found before an event is kept or sent.
//!
//! Three rules look at a payload. A key of `deny_keys` may not stand in it, at any depth, whatever it holds. A string may
//! hold nothing that a detector finds ([`detect`]), and neither may a key. With `ids_only` a string may stand only
//! under a key of `allow`; that exempts it from nothing else. Numbers, booleans and null are never looked at but for
//! their key: ids and amounts are numbers, and any long one could be somebody's card.
//!
//! What is not JSON is text: one string under no key. A string that holds JSON is a string.
//!
//! # Bounds
//! The work is linear in a payload of n bytes, however it is nested: two passes over n bytes see that it is JSON and not
//! too deep, one finds the parts of an envelope, one walks through all values, one unescapes keys and strings, and one
//! of the detectors looks at them. The walk recurses once a level, at most [`DEPTH_MAX`](crate::json::DEPTH_MAX) times.
//! It keeps the keys on the way to where it is, and no more than n bytes of them are unescaped copies. Of what is found,
//! [`FINDINGS_MAX`] pointers of [`POINTER_BYTES_MAX`] bytes are kept, 8 KiB, and the rest is counted. What is redacted
//! grows at most by 3.25 (`"a",` to `"[redacted]",`).

use crate::index::Index;

pub mod detect;
mod scan;
mod text;

pub use detect::DataKind;
use detect::DataKinds;
pub use scan::inspect;

/// So many findings of an event are told; all are counted.
pub const FINDINGS_MAX: usize = 32;
/// A pointer that would be longer ends at an earlier token: it names a value around the one that was found.
pub const POINTER_BYTES_MAX: usize = 256;
/// A denied key has at most this many letters and digits.
pub const KEY_BYTES_MAX: usize = 64;
/// An allowed key has at most this many bytes.
pub const ALLOWED_BYTES_MAX: usize = 128;
/// What stands where something was.
pub const REDACTED: &str = "[redacted]";

/// What may not be in a payload, and what follows when it is. The section `payload_guard` of a configuration.
#[derive(Debug)]
pub struct GuardRules {
    /// Strings only under keys of `allow`.
    pub ids_only: bool,
    /// See `ids_only`.
    pub allow: Vec<KeyPattern>,
    /// Keys that may not be there.
    pub deny_keys: DeniedKeys,
    /// What is looked for in strings and keys.
    pub detect: DataKinds,
    /// What follows.
    pub action: GuardAction,
}

impl GuardRules {
    /// May strings stand under this key? A key longer than any pattern's sense is no id.
    fn allows(&self, key: &[u8]) -> bool {
        key.len() <= ALLOWED_BYTES_MAX && self.allow.iter().any(|pattern| pattern.matches(key))
    }
}

/// What follows when personal data was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardAction {
    /// 422, and nothing is sent.
    Reject,
    /// It is replaced and the rest delivered.
    Redact,
    /// It is delivered as it is.
    Report,
}

impl GuardAction {
    /// Its word in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reject => "rejected",
            Self::Redact => "redacted",
            Self::Report => "delivered",
        }
    }
}

/// The keys that may not be in a payload. Upper and lower case, `_` and `-` make no difference: `ip_address` is `IP-Address`
/// and `ipAddress`.
#[derive(Debug, Default)]
pub struct DeniedKeys(Index);

impl DeniedKeys {
    /// Adds a key, unless it has nothing but `_` and `-`, or more than [`KEY_BYTES_MAX`] besides: then false.
    pub fn add(&mut self, key: &str) -> bool {
        let plain = plain(key.as_bytes());
        let number = self.0.len();
        plain.is_some_and(|plain| self.0.get_or_insert(&plain, number) <= number)
    }

    /// Is none denied?
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Is it one of them?
    pub fn has(&self, key: &[u8]) -> bool {
        plain(key).is_some_and(|plain| self.0.get(&plain).is_some())
    }
}

/// A key as it is compared.
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
    /// Does the key match? At most pattern times key in comparisons: the first is bounded by the config.
    pub fn matches(&self, key: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut at, mut read) = (0, 0);
        // Where to go on if what follows the last star does not match: that star, and how much of the key it took.
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

/// Does a key say that its value is a version? Then `1.2.3.4` there is one.
fn is_version_key(key: &[u8]) -> bool {
    let version = b"version";
    key.len()
        .checked_sub(version.len())
        .and_then(|at| key.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(version))
}

/// Where something was found. It holds no value, and of keys none that is itself personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In an envelope's metadata, and not in the producer's body?
    pub in_metadata: bool,
    /// From there, RFC 6901.
    pub pointer: String,
    /// What.
    pub kind: DataKind,
}

/// What was found in a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The first of them, in the order of the payload.
    pub list: Vec<Finding>,
    /// How many there are of each of [`DataKind::ALL`].
    pub counts: [u32; DataKind::ALL.len()],
}

impl Findings {
    /// How many there are.
    pub fn total(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// Each kind there is, and how often.
    pub fn by_kind(&self) -> impl Iterator<Item = (DataKind, u32)> {
        DataKind::ALL.into_iter().zip(self.counts).filter(|(_, count)| *count > 0)
    }

    /// The first of them in words, `email at /user/email`, as many as `max`, and how many more there are.
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

/// A payload, looked through.
#[derive(Debug)]
pub struct Inspected {
    /// What was found.
    pub findings: Findings,
    /// The payload without it, if there is something to redact and it is to be.
    pub redacted: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests;
