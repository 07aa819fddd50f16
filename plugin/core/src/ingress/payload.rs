//! The payload guard: personal data is found before an event is kept or sent.
//!
//! Three rules look at a payload. A key of `deny_keys` may not stand in the payload, at any depth, with a value that
//! tells anything. A string may hold nothing that a detector finds ([`detect`]), and neither may a key. With `ids_only` a
//! string may stand only under a key of `allow`, which exempts the string from neither of the other rules. Numbers,
//! booleans and null are never looked at but for their key: ids and amounts are numbers, and any long one could be
//! somebody's card.
//!
//! A form is looked at like an object of strings. Text is one string under no key. A string that holds JSON is looked
//! into. What cannot be read at all is refused ([`Unreadable`]).
//!
//! # Bounds
//! The work is linear in a payload of n bytes, however it is nested: two passes over n bytes see that it is JSON and
//! not too deep, one finds the parts of an envelope, one walks through all values, one unescapes keys and strings, and
//! the detectors look at them, in up to four views of a string (its percent-encoding undone once and twice, and both
//! with a blank for each `+`). The value of a denied key is read up to three times more. JSON within strings adds the same
//! again for each of two levels, over no more than n bytes each. The walk recurses once a level, at most
//! [`DEPTH_MAX`](crate::json::DEPTH_MAX) times, and as often again in the JSON of a string, and of a string in it. It
//! keeps the keys on the way to the current value; of these, no more than n bytes are unescaped copies. A view of a string
//! is a copy, with a place of 4 bytes for each byte of it where the string is text to redact. Of the findings,
//! [`FINDINGS_MAX`] pointers of [`POINTER_BYTES_MAX`] bytes are kept, 8 KiB, and the rest is counted. Redaction makes a
//! payload at most 3.25 times as long (`"a",` becomes `"[redacted]",`), and a form at most 12 times (`a&` becomes
//! `[redacted]&`, with a number behind it from the second on).

pub mod detect;
mod form;
mod inspect;
mod keys;
mod nothing;
mod read;
mod redaction;
mod scan;
mod text;

pub use detect::DataKind;
use detect::DataKinds;
pub use inspect::inspect;
pub use keys::{DeniedKeys, KeyPattern};
pub use read::Unreadable;

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
    /// What is done with a payload that is neither JSON nor a form.
    pub non_json: NonJson,
}

impl GuardRules {
    /// Whether strings may stand under this key. A key that is longer than any pattern is no id.
    fn allows(&self, key: &[u8]) -> bool {
        key.len() <= ALLOWED_BYTES_MAX && self.allow.iter().any(|pattern| pattern.matches(key))
    }
}

/// What is done with a payload that is neither JSON nor a form, and does not say that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonJson {
    /// It is refused: nobody knows what is in it.
    Reject,
    /// It is looked at as text.
    Text,
}

/// A payload that is to leave, with the headers that say how it is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The payload.
    pub bytes: &'a [u8],
    /// Its `content-type`.
    pub content_type: Option<&'a [u8]>,
    /// Its `content-encoding`.
    pub content_encoding: Option<&'a [u8]>,
    /// The payload is an envelope of the gateway's, with the producer's body under `data` and the metadata beside it.
    pub is_envelope: bool,
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

/// A part of an event that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventPart {
    /// The producer's body.
    Body,
    /// An envelope's metadata.
    Metadata,
    /// The event type.
    EventType,
    /// A capture of the path; the pointer is its number, counted from 0.
    Path,
    /// A header that fills a template; the pointer is its name.
    Header,
    /// The `content-type` that is passed on.
    ContentType,
    /// The `tracestate` that is passed on.
    TraceState,
}

impl EventPart {
    /// The word for the part in an answer and in the log; the body has none.
    pub fn label(self) -> Option<&'static str> {
        match self {
            Self::Body => None,
            Self::Metadata => Some("metadata"),
            Self::EventType => Some("event_type"),
            Self::Path => Some("path"),
            Self::Header => Some("header"),
            Self::ContentType => Some("content-type"),
            Self::TraceState => Some("tracestate"),
        }
    }
}

/// A finding: where it is, and of which kind. A finding holds no value, and of keys none that is itself personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The part of the event.
    pub part: EventPart,
    /// The JSON pointer (RFC 6901) to the finding, from the root of the part.
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
            summary.extend([if summary.is_empty() { "" } else { ", " }, finding.kind.label()]);
            let part = finding.part.label();
            summary.extend(part.into_iter().flat_map(|part| [" in ", part]));
            match (part, finding.pointer.as_str()) {
                (_, pointer) if !pointer.is_empty() => summary.extend([" at ", pointer]),
                (None | Some("metadata"), _) => summary.push_str(" at the root"),
                _ => {}
            }
        }
        let more = self.total() as usize - self.list.len().min(max);
        if more > 0 {
            summary.extend([" and ", itoa::Buffer::new().format(more), " more"]);
        }
        summary
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The kinds that were found.
    pub fn kinds(&self) -> DataKinds {
        self.by_kind().fold(DataKinds::NONE, |kinds, (kind, _)| kinds.with(kind))
    }

    /// Notes a finding.
    pub fn note(&mut self, kind: DataKind, part: EventPart, pointer: &dyn Fn() -> String) {
        if let Some(count) = self.counts.get_mut(kind as usize) {
            *count = count.saturating_add(1);
        }
        if self.list.len() < FINDINGS_MAX {
            self.list.push(Finding { part, pointer: pointer(), kind });
        }
    }
}

/// The result of looking through a payload.
#[derive(Debug, Default)]
pub struct Inspected {
    /// The findings.
    pub findings: Findings,
    /// The payload without the findings; `None`: there is nothing to redact, or the action is another one.
    pub redacted: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests;
