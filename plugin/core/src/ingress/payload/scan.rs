//! The walk over a JSON payload: a visitor of serde_json that enters every object and array ([`NextValue`]).
//!
//! Keys, strings and the values of denied keys are taken as they are written ([`RawValue`]), since redaction replaces
//! them in place. serde_json does not say where in the payload it is, nor what kind of value comes next. Both can be
//! seen in the payload: behind the key or value that was read last come only white space and punctuation, and then the
//! next key or value ([`Walk::next`]).

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::detect::{DataKinds, kinds};
use super::text::{redacted, text_of};
use super::{DataKind, Findings, GuardAction, GuardRules, Inspected, POINTER_BYTES_MAX, REDACTED, is_version_key};
use crate::json::{self, BodyFault, POINTER_TOKENS_MAX};

/// Looks through a payload. `is_envelope`: the payload is an envelope of the gateway's, with the producer's body under
/// `data` and the metadata beside it; the event type is a name, and not looked at.
///
/// # Errors
/// The payload is JSON that is nested too deep to be looked through.
pub fn inspect(rules: &GuardRules, payload: &[u8], is_envelope: bool) -> Result<Inspected, BodyFault> {
    let walk = Walk::new(rules, payload);
    if is_envelope {
        return walk.envelope().map_err(json::not_json);
    }
    match json::check(payload) {
        Ok(json) => walk.document(json).map_err(json::not_json),
        Err(fault @ BodyFault::TooDeep { .. }) => Err(fault),
        Err(_) => Ok(inspect_text(rules, payload)),
    }
}

/// Looks through a payload that is not JSON: one string, which stands under no key.
fn inspect_text(rules: &GuardRules, payload: &[u8]) -> Inspected {
    let mut findings = Findings::default();
    let kinds = kinds(payload, rules.detect);
    note_string(&mut findings, kinds, rules.ids_only && is_something(payload), false, &String::new);
    let is_redacted = rules.action == GuardAction::Redact && findings.total() > 0;
    let redacted = is_redacted
        .then(|| if rules.ids_only { REDACTED.as_bytes().to_vec() } else { redacted(payload, rules.detect) });
    Inspected { findings, redacted }
}

/// Notes the kinds of data that were found in a string, each once. `is_misplaced`: the string may not stand here, which
/// is noted if nothing else was found. Returns whether anything was noted.
fn note_string(
    findings: &mut Findings,
    kinds: DataKinds,
    is_misplaced: bool,
    in_metadata: bool,
    pointer: &dyn Fn() -> String,
) -> bool {
    let kinds = if is_misplaced && kinds == DataKinds::NONE { DataKinds::NONE.with(DataKind::String) } else { kinds };
    for kind in DataKind::ALL {
        if kinds.has(kind) {
            findings.note(kind, in_metadata, pointer);
        }
    }
    kinds != DataKinds::NONE
}

/// Whether a text tells anything: an empty text does not, nor does one that was redacted already.
fn is_something(text: &[u8]) -> bool {
    !text.is_empty() && text != REDACTED.as_bytes()
}

/// What the nearest key says of a value.
#[derive(Clone, Copy, Default)]
struct Context {
    /// The key is one of `allow`: strings may stand here.
    is_allowed: bool,
    /// The key says that the value is a version.
    is_version: bool,
}

/// A reference token of a JSON pointer: one step from a value to one in it.
enum PathToken<'a> {
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
    in_metadata: bool,
    /// The path to the value that is read, from the root of the payload or of the envelope's part.
    path: Vec<PathToken<'a>>,
    findings: Findings,
    /// The redacted payload so far, in place of `payload[..copied]`.
    out: Vec<u8>,
    copied: usize,
    masked_keys: u32,
}

impl<'a> Walk<'a> {
    fn new(rules: &'a GuardRules, payload: &'a [u8]) -> Self {
        Self {
            rules,
            payload,
            at: 0,
            in_metadata: false,
            path: Vec::new(),
            findings: Findings::default(),
            out: Vec::new(),
            copied: 0,
            masked_keys: 0,
        }
    }

    /// Looks through the parts of an envelope. Each part may be as deep as a body: the envelope itself does not count.
    fn envelope(mut self) -> serde_json::Result<Inspected> {
        let Envelope { data, metadata } = serde_json::from_slice(self.payload)?;
        self.part(data.get())?;
        self.in_metadata = true;
        self.part(metadata.get())?;
        Ok(self.finish())
    }

    /// Looks through a payload that is JSON; `json`: the payload without its byte order mark.
    fn document(mut self, json: &'a str) -> serde_json::Result<Inspected> {
        self.part(json)?;
        Ok(self.finish())
    }

    fn finish(mut self) -> Inspected {
        let redacted = (self.copied > 0).then(|| {
            self.out.extend_from_slice(self.payload.get(self.copied..).unwrap_or_default());
            self.out
        });
        Inspected { findings: self.findings, redacted }
    }

    /// Looks through a part of the payload that is one value.
    fn part(&mut self, json: &'a str) -> serde_json::Result<()> {
        // The part is a slice of the payload.
        self.at = json.as_ptr().addr().saturating_sub(self.payload.as_ptr().addr());
        NextValue { walk: self, context: Context::default() }.deserialize(&mut serde_json::Deserializer::from_str(json))
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

    /// Looks at a key. Returns what the key says of its value; `None`: the key is denied.
    fn key(&mut self, key: Cow<'a, [u8]>, place: Range<usize>) -> Option<Context> {
        let found = kinds(&key, self.rules.detect);
        let is_masked = found != DataKinds::NONE;
        let context = Context {
            is_allowed: self.rules.ids_only && !is_masked && self.rules.allows(&key),
            is_version: is_version_key(&key),
        };
        let is_denied = self.rules.deny_keys.has(&key);
        let is_shown = !is_masked && (is_denied || is_identifier(&key));
        self.path.push(if is_shown { PathToken::Key(key) } else { PathToken::Masked });
        if is_masked {
            self.note(found, false);
            self.masked_keys += 1;
            // The replaced keys are numbered: two keys that are the same would be one to a receiver.
            let masked = match self.masked_keys {
                1 => format!("\"{REDACTED}\""),
                number => format!("\"{REDACTED} {number}\""),
            };
            self.replace(place, &masked);
        }
        (!is_denied).then_some(context)
    }

    /// Looks at the value of a denied key.
    fn denied(&mut self, value: &RawValue) {
        let place = self.pass(value);
        if value.get() != QUOTED {
            self.note(DataKinds::NONE.with(DataKind::Key), false);
            self.replace(place, QUOTED);
        }
    }

    /// Looks at a string that is a value.
    fn string(&mut self, text: &[u8], place: Range<usize>, context: Context) {
        let wanted = if context.is_version { self.rules.detect.without(DataKind::Ipv4) } else { self.rules.detect };
        let is_misplaced = self.rules.ids_only && !context.is_allowed && is_something(text);
        if self.note(kinds(text, wanted), is_misplaced) {
            self.replace(place, QUOTED);
        }
    }

    fn note(&mut self, kinds: DataKinds, is_misplaced: bool) -> bool {
        let Self { findings, path, in_metadata, .. } = self;
        note_string(findings, kinds, is_misplaced, *in_metadata, &|| pointer(path))
    }

    fn replace(&mut self, place: Range<usize>, with: &str) {
        if self.rules.action == GuardAction::Redact {
            self.out.extend_from_slice(self.payload.get(self.copied..place.start).unwrap_or_default());
            self.out.extend_from_slice(with.as_bytes());
            self.copied = place.end;
        }
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
        let Self { walk, .. } = self;
        walk.at += 1;
        while let Some(key) = members.next_key::<&RawValue>()? {
            let place = walk.pass(key);
            match walk.key(text_of(key).map_err(A::Error::custom)?, place) {
                Some(context) => members.next_value_seed(NextValue { walk, context })?,
                None => walk.denied(members.next_value()?),
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
fn pointer(path: &[PathToken<'_>]) -> String {
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
