//! The walk over a JSON payload: a visitor of serde_json that enters every object and array ([`NextValue`]).
//!
//! Keys, strings and the values of denied keys are taken as they are written ([`RawValue`]), since redaction replaces
//! them in place. serde_json does not say where in the payload it is, nor what kind of value comes next. Both can be
//! seen in the payload: behind the key or value that was read last come only white space and punctuation, and then the
//! next key or value ([`Walk::next`]).
//!
//! A string may hold JSON itself, as in the messages of queues and topics: the same walk goes through it, and what it
//! finds is found in the string ([`kinds_of`]).

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::detect::{DataKinds, kinds};
use super::keys::is_version_key;
use super::nothing::is_nothing;
use super::read::begin;
use super::redaction::Redaction;
use super::text::{is_something, text_of};
use super::{DataKind, EventPart, Findings, GuardAction, GuardRules, Inspected, POINTER_BYTES_MAX, REDACTED};
use crate::json::{self, POINTER_TOKENS_MAX};

/// The number of levels of JSON within strings that are looked into; a string below them is text.
pub(super) const LEVELS_MAX: usize = 2;

/// Looks through a payload that is an envelope of the gateway's.
///
/// # Errors
/// The payload is no envelope.
pub(super) fn inspect_envelope(rules: &GuardRules, payload: &[u8]) -> serde_json::Result<Inspected> {
    Walk::new(rules, payload).envelope()
}

/// Looks through a payload that is JSON; `json`: its slice behind the byte order mark.
///
/// # Errors
/// The payload is no JSON.
pub(super) fn inspect_json<'a>(
    rules: &'a GuardRules,
    payload: &'a [u8],
    json: &'a str,
) -> serde_json::Result<Inspected> {
    Walk::new(rules, payload).document(json)
}

/// Notes the kinds of data that were found in a string, each once. `is_misplaced`: the string may not stand here, which
/// is noted if nothing else was found. Returns whether anything was noted.
pub(super) fn note_string(
    findings: &mut Findings,
    kinds: DataKinds,
    is_misplaced: bool,
    part: EventPart,
    pointer: &dyn Fn() -> String,
) -> bool {
    let kinds = if is_misplaced && kinds == DataKinds::NONE { DataKinds::NONE.with(DataKind::String) } else { kinds };
    for kind in DataKind::ALL {
        if kinds.has(kind) {
            findings.note(kind, part, pointer);
        }
    }
    kinds != DataKinds::NONE
}

/// The kinds of what a string holds. A string that is JSON is looked into, up to `levels` deep, by the rules that hold for
/// the payload; any other is text.
pub(super) fn kinds_of(rules: &GuardRules, text: &[u8], context: Context, levels: usize) -> DataKinds {
    let may_be_json = levels > 0 && matches!(begin(text), [b'{' | b'[' | b'"', ..]);
    let Some(json) = may_be_json.then(|| json::check(text).ok()).flatten() else {
        return kinds(text, if context.is_version { rules.detect.without(DataKind::Ipv4) } else { rules.detect });
    };
    let walk = Walk { context, levels: levels - 1, redaction: Redaction::new(text, false), ..Walk::new(rules, text) };
    // It is JSON, so that the walk comes to its end.
    walk.document(json).map_or(DataKinds::NONE, |inspected| inspected.findings.kinds())
}

/// What the nearest key says of a value.
#[derive(Clone, Copy, Default)]
pub(super) struct Context {
    /// The key is one of `allow`: strings may stand here.
    pub is_allowed: bool,
    /// The key says that the value is a version.
    pub is_version: bool,
    /// The value tells nothing, and so does all in it: no key in it is denied.
    pub is_nothing: bool,
}

/// A reference token of a JSON pointer: one step from a value to one in it.
pub(super) enum PathToken<'a> {
    Item(usize),
    Key(Cow<'a, [u8]>),
    /// A key that is not shown: it is itself personal data, or could hold what no detector knows, such as a name.
    Masked,
}

/// The parts of an envelope that are looked through.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
}

struct Walk<'a> {
    rules: &'a GuardRules,
    payload: &'a [u8],
    /// The number of bytes of the payload that were read.
    at: usize,
    /// The part of the event that is walked through.
    part: EventPart,
    /// What is known of the value at the root.
    context: Context,
    /// So many levels of JSON within strings are looked into.
    levels: usize,
    redaction: Redaction<'a>,
    /// The path to the value that is read, from the root of the payload or of the envelope's part.
    path: Vec<PathToken<'a>>,
    findings: Findings,
}

impl<'a> Walk<'a> {
    fn new(rules: &'a GuardRules, payload: &'a [u8]) -> Self {
        Self {
            rules,
            payload,
            at: 0,
            part: EventPart::Body,
            context: Context::default(),
            levels: LEVELS_MAX,
            redaction: Redaction::new(payload, rules.action == GuardAction::Redact),
            path: Vec::new(),
            findings: Findings::default(),
        }
    }

    /// Looks through the parts of an envelope. Each part may be as deep as a body: the envelope itself does not count.
    fn envelope(mut self) -> serde_json::Result<Inspected> {
        let Envelope { data, metadata } = serde_json::from_slice(self.payload)?;
        self.value(data.get())?;
        self.part = EventPart::Metadata;
        self.value(metadata.get())?;
        Ok(self.finish())
    }

    /// Looks through a payload that is JSON; `json`: the payload without its byte order mark.
    fn document(mut self, json: &'a str) -> serde_json::Result<Inspected> {
        self.value(json)?;
        Ok(self.finish())
    }

    fn finish(self) -> Inspected {
        Inspected { findings: self.findings, redacted: self.redaction.finish() }
    }

    /// Looks through a part of the payload that is one value.
    fn value(&mut self, json: &'a str) -> serde_json::Result<()> {
        // The part is a slice of the payload.
        self.at = json.as_ptr().addr().saturating_sub(self.payload.as_ptr().addr());
        let context = self.context;
        NextValue { walk: self, context }.deserialize(&mut serde_json::Deserializer::from_str(json))
    }

    /// Goes to the next key or value, and returns its first byte.
    fn next(&mut self) -> Option<u8> {
        let rest = self.payload.get(self.at..).unwrap_or_default();
        let between = rest.iter().take_while(|byte| b" \t\r\n,:]}".contains(byte)).count();
        self.at += between;
        rest.get(between).copied()
    }

    /// Goes past the key or value that serde_json has just read, and gives its place in the payload.
    fn pass(&mut self, read: &RawValue) -> Range<usize> {
        self.next();
        let start = self.at;
        self.at += read.get().len();
        start..self.at
    }

    /// Looks at a key; `is_nothing`: of a value that tells nothing. Returns what the key says of its own value; `None`:
    /// the key is denied.
    fn key(&mut self, key: Cow<'a, [u8]>, place: Range<usize>, is_nothing: bool) -> Option<Context> {
        let found = kinds(&key, self.rules.detect);
        let is_masked = found != DataKinds::NONE;
        let context = Context {
            is_allowed: self.rules.ids_only && !is_masked && self.rules.allows(&key),
            is_version: is_version_key(&key),
            is_nothing,
        };
        let is_denied = !is_nothing && self.rules.deny_keys.has(&key);
        let is_shown = !is_masked && (is_denied || is_identifier(&key));
        self.path.push(if is_shown { PathToken::Key(key) } else { PathToken::Masked });
        if is_masked {
            self.note(found, false);
            let mask = format!("\"{}\"", self.redaction.mask(' '));
            self.redaction.replace(place, &mask);
        }
        (!is_denied).then_some(context)
    }

    /// Looks at the value of a denied key. In a value that tells nothing only the keys are looked at.
    fn denied(&mut self, value: &'a RawValue) -> serde_json::Result<()> {
        if is_nothing(value) {
            let context = Context { is_nothing: true, ..Context::default() };
            let seed = NextValue { walk: self, context };
            return seed.deserialize(&mut serde_json::Deserializer::from_str(value.get()));
        }
        let place = self.pass(value);
        self.note(DataKinds::NONE.with(DataKind::Key), false);
        self.redaction.replace(place, QUOTED);
        Ok(())
    }

    /// Looks at a string that is a value.
    fn string(&mut self, text: &[u8], place: Range<usize>, context: Context) {
        let is_misplaced = self.rules.ids_only && !context.is_allowed && is_something(text);
        let kinds = kinds_of(self.rules, text, context, self.levels);
        if self.note(kinds, is_misplaced) {
            self.redaction.replace(place, QUOTED);
        }
    }

    fn note(&mut self, kinds: DataKinds, is_misplaced: bool) -> bool {
        let Self { findings, path, part, .. } = self;
        note_string(findings, kinds, is_misplaced, *part, &|| pointer(path))
    }
}

/// The visitor of the value that comes next, with what its nearest key says of it.
struct NextValue<'w, 'a> {
    walk: &'w mut Walk<'a>,
    context: Context,
}

impl<'a> DeserializeSeed<'a> for NextValue<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        match self.walk.next() {
            Some(b'{') => json.deserialize_map(self),
            Some(b'[') => json.deserialize_seq(self),
            first => {
                let value = <&RawValue>::deserialize(json)?;
                let place = self.walk.pass(value);
                if first == Some(b'"') {
                    let text = text_of(value).map_err(D::Error::custom)?;
                    self.walk.string(&text, place, self.context);
                }
                Ok(())
            }
        }
    }
}

impl<'a> Visitor<'a> for NextValue<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { walk, context: Context { is_nothing, .. } } = self;
        walk.at += 1;
        while let Some(key) = members.next_key::<&RawValue>()? {
            let place = walk.pass(key);
            match walk.key(text_of(key).map_err(A::Error::custom)?, place, is_nothing) {
                Some(context) => members.next_value_seed(NextValue { walk, context })?,
                None => walk.denied(members.next_value()?).map_err(A::Error::custom)?,
            }
            walk.path.pop();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { walk, context } = self;
        walk.at += 1;
        let (mut number, mut is_another) = (0, true);
        while is_another {
            walk.path.push(PathToken::Item(number));
            is_another = items.next_element_seed(NextValue { walk, context })?.is_some();
            walk.path.pop();
            number += 1;
        }
        Ok(())
    }
}

/// Whether a key looks like a field of a schema: a letter or `_`, then letters, digits, `_` and `-`, 64 at the most. What
/// else stands in place of a key is data.
fn is_identifier(key: &[u8]) -> bool {
    key.len() <= 64
        && key.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && key.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
}

/// The JSON pointer along a path, cut where it would have too many tokens or bytes.
pub(super) fn pointer(path: &[PathToken<'_>]) -> String {
    let mut pointer = String::new();
    for token in path.iter().take(POINTER_TOKENS_MAX) {
        let length = pointer.len();
        pointer.push('/');
        match token {
            PathToken::Item(number) => pointer.push_str(&number.to_string()),
            PathToken::Key(key) => {
                pointer.push_str(&String::from_utf8_lossy(key).replace('~', "~0").replace('/', "~1"));
            }
            PathToken::Masked => pointer.push_str(REDACTED),
        }
        if pointer.len() > POINTER_BYTES_MAX {
            pointer.truncate(length);
            break;
        }
    }
    pointer
}

/// The JSON string in the place of a value that was redacted.
const QUOTED: &str = "\"[redacted]\"";
