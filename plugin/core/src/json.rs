//! Request bodies as JSON (RFC 8259), by serde_json: checked, and read by JSON pointer (RFC 6901).
//!
//! One byte order mark in front of a body is passed over by every reader here, as RFC 8259, section 8.1, allows: the
//! mark is no part of the JSON, and a body that is sent on as it came still has the mark.
//!
//! # Bounds
//! To check a body of n bytes, and to read it by one pointer, takes two passes over n bytes, whatever the body:
//! serde_json parses the body once and keeps only the value that the pointer names, and `too_deep` looks at the
//! brackets. A pointer descends at most [`POINTER_TOKENS_MAX`] levels; serde_json skips the values beside the pointer
//! without recursion.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The deepest nesting of a body: the most that serde_json takes, whose recursion limit is 128, and with it many
/// receivers.
pub const DEPTH_MAX: usize = 127;

/// The largest number of tokens of a pointer: each is one level of recursion.
pub const POINTER_TOKENS_MAX: usize = 32;

/// Why a body is not the JSON that a route needs. Names the place and quotes nothing of the body, which may hold
/// anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// No body at all.
    Empty,
    /// The body is not UTF-8.
    NotUtf8 {
        /// The first byte that is not UTF-8, counted from 0.
        at: usize,
    },
    /// The body's arrays and objects are nested deeper than [`DEPTH_MAX`].
    TooDeep {
        /// The byte, counted from 0 behind the byte order mark, that opens the first array or object that is too deep.
        at: usize,
    },
    /// The body is not JSON.
    NotJson {
        /// The parser's message, with the first place that is not JSON; it quotes nothing of the body.
        reason: String,
    },
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the body is empty where JSON is needed"),
            Self::NotUtf8 { at } => write!(f, "the body is not UTF-8 at byte {at}"),
            Self::TooDeep { at } => write!(f, "the body is nested more than {DEPTH_MAX} deep at byte {at}"),
            Self::NotJson { reason } => write!(f, "the body is not JSON: {reason}"),
        }
    }
}

/// The byte order mark, in UTF-8.
const MARK: &str = "\u{feff}";

/// Checks that the body is one JSON value; returns the body as text, without its byte order mark.
pub fn check(body: &[u8]) -> Result<&str, BodyFault> {
    let text = text(body)?;
    parse(text, PhantomData::<IgnoredAny>)?;
    Ok(text)
}

/// Parses the body. Of a repeated key the last counts, as in most parsers.
pub fn value(body: &[u8]) -> Result<Value, BodyFault> {
    parse(text(body)?, PhantomData::<Value>)
}

/// Parses a text that is one JSON value, and no deeper than [`DEPTH_MAX`]. serde_json counts the levels that a visitor
/// enters, not those that it skips, so [`too_deep`] counts all of them.
fn parse<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> Result<S::Value, BodyFault> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut json).and_then(|value| json.end().map(|()| value)).map_err(not_json)?;
    too_deep(text).map_or(Ok(value), |at| Err(BodyFault::TooDeep { at }))
}

/// The first byte of valid JSON that opens more than [`DEPTH_MAX`] arrays and objects within each other.
fn too_deep(json: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut bytes = json.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'{' | b'[' if depth == DEPTH_MAX => return Some(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                // A string, to its closing quote: a backslash takes the next byte with it.
                while let Some((_, byte)) = bytes.next().filter(|(_, byte)| *byte != b'"') {
                    if byte == b'\\' {
                        bytes.next();
                    }
                }
            }
            _ => {}
        }
    }
    None
}

/// What a pointer found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointedAt {
    /// A string, a boolean, or a number as it was written.
    Scalar(String),
    /// Nothing, or null.
    Nothing,
    /// An object or array.
    Composite,
}

/// A JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    /// Parses the text of a pointer: empty for the whole document, else `/` before each token. The error says what is
    /// wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let tokens = match text.strip_prefix('/') {
            Some(rest) => rest.split('/').map(unescape).collect::<Option<Vec<_>>>(),
            None if text.is_empty() => Some(Vec::new()),
            None => return Err("a JSON pointer begins with '/'"),
        };
        let tokens = tokens.ok_or("in a JSON pointer '~' is written '~0' and '/' is written '~1'")?;
        if tokens.len() > POINTER_TOKENS_MAX {
            return Err("a JSON pointer has at most 32 tokens");
        }
        Ok(Self { text: text.to_owned(), tokens })
    }

    /// The text of the pointer.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Reads the body's value at this pointer. The whole body is read: of a repeated key the last counts, as in most
    /// parsers, so that the receiver of the same bytes sees the same value.
    pub fn read(&self, body: &[u8]) -> Result<PointedAt, BodyFault> {
        parse(text(body)?, Behind(&self.tokens))?.map_or(Ok(PointedAt::Nothing), scalar)
    }

    /// The scalar at this pointer of a JSON body, if it is there and not empty.
    pub fn scalar(&self, body: &[u8]) -> Option<String> {
        match self.read(body).ok()? {
            PointedAt::Scalar(text) if !text.is_empty() => Some(text),
            PointedAt::Scalar(_) | PointedAt::Nothing | PointedAt::Composite => None,
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Text as a JSON string, quotes included.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The value of `key` in a JSON body whose `kind_key` has one of the values `kinds`; `None` for a body of another kind,
/// whose ids do not name messages.
pub fn id_at(body: &[u8], key: &str, (kind_key, kinds): (&str, &[&str])) -> Option<Vec<u8>> {
    let kind = top_level(body, kind_key)?;
    if kinds.contains(&kind.as_str()) { top_level(body, key).map(String::into_bytes) } else { None }
}

/// The scalar under `key` of a JSON body, if it is there and not empty.
pub fn top_level(body: &[u8], key: &str) -> Option<String> {
    Pointer { text: String::new(), tokens: vec![key.to_owned()] }.scalar(body)
}

/// The body as text, without its byte order mark.
fn text(body: &[u8]) -> Result<&str, BodyFault> {
    let text = std::str::from_utf8(body).map_err(|error| BodyFault::NotUtf8 { at: error.valid_up_to() })?;
    let text = text.strip_prefix(MARK).unwrap_or(text);
    if text.is_empty() { Err(BodyFault::Empty) } else { Ok(text) }
}

pub(crate) fn not_json(error: serde_json::Error) -> BodyFault {
    BodyFault::NotJson { reason: error.to_string() }
}

fn scalar(raw: &str) -> Result<PointedAt, BodyFault> {
    Ok(match raw.as_bytes().first() {
        Some(b'"') => PointedAt::Scalar(serde_json::from_str(raw).map_err(not_json)?),
        Some(b'{' | b'[') => PointedAt::Composite,
        Some(b'n') | None => PointedAt::Nothing,
        Some(_) => PointedAt::Scalar(raw.to_owned()),
    })
}

/// Unescapes a token of a pointer: `~1` is `/` and `~0` is `~`; `None` for any other use of `~`.
fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            _ => return None,
        };
        plain.push(escaped);
        plain.push_str(rest);
    }
    Some(plain)
}

/// A serde visitor that finds the value behind these tokens of a pointer, as the document writes it, and keeps nothing
/// else of the document.
struct Behind<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Behind<'_> {
    type Value = Option<&'de str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return <&RawValue>::deserialize(json).map(|value| Some(value.get()));
        }
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Behind<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let Some((token, rest)) = self.0.split_first() else { return Ok(None) };
        let mut found = None;
        while let Some(key) = members.next_key::<String>()? {
            if key == *token {
                found = members.next_value_seed(Behind(rest))?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Some((token, rest)) = self.0.split_first() else { return Ok(None) };
        let mut found = None;
        if let Some(index) = index(token) {
            let mut before = 0;
            while before < index && items.next_element::<IgnoredAny>()?.is_some() {
                before += 1;
            }
            found = items.next_element_seed(Behind(rest))?.flatten();
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }

    // A pointer that goes on finds nothing in a scalar.
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// The array index that a token names (RFC 6901, section 4): digits without a leading zero.
fn index(token: &str) -> Option<u64> {
    let canonical = token == "0" || !token.starts_with('0');
    (canonical && token.bytes().all(|byte| byte.is_ascii_digit())).then(|| token.parse().ok())?
}

#[cfg(test)]
mod tests;
