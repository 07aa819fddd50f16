//! Request bodies as JSON: checked, and read by JSON pointer (RFC 6901), without building a tree.
//!
//! Neither costs memory that grows with the body's depth: what is skipped is skipped by a loop, and a pointer descends
//! no deeper than it has tokens.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::Tree;

pub mod write;

/// A pointer has at most this many tokens: each is one level of recursion.
pub const POINTER_TOKENS_MAX: usize = 32;

/// Why a body is not the JSON that a route needs. Says where, never what: a body may hold anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// No body at all.
    Empty,
    /// The first byte that is not UTF-8, counted from 0.
    NotUtf8 {
        /// Its place.
        at: usize,
    },
    /// The first place where it is not JSON.
    NotJson {
        /// What the parser met; it quotes nothing of the body.
        reason: String,
    },
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the body is empty where JSON is needed"),
            Self::NotUtf8 { at } => write!(f, "the body is not UTF-8 at byte {at}"),
            Self::NotJson { reason } => write!(f, "the body is not JSON: {reason}"),
        }
    }
}

/// The body as text, if all of it is one JSON value.
pub fn check(body: &[u8]) -> Result<&str, BodyFault> {
    let text = text(body)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(not_json)?;
    Ok(text)
}

/// What a pointer found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A string, a boolean, or a number as it was written.
    Scalar(String),
    /// Nothing, or null.
    Nothing,
    /// An object or array.
    Composite,
}

/// A JSON pointer.
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

    /// Reads the body's value at this pointer. The whole body is read: of a repeated key the last counts, as in most
    /// parsers, so that the receiver of the same bytes sees the same value.
    pub fn read(&self, body: &[u8]) -> Result<Found, BodyFault> {
        let mut parser = serde_json::Deserializer::from_str(text(body)?);
        let found = Descent(&self.tokens).deserialize(&mut parser).map_err(not_json)?;
        parser.end().map_err(not_json)?;
        found.map_or(Ok(Found::Nothing), |raw| scalar(raw.get()))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The text or number under a key of the body, if it is a JSON object that has it.
pub fn id_at(body: &[u8], key: &str) -> Option<Vec<u8>> {
    match Pointer::parse(&["/", key].concat()).ok()?.read(body).ok()? {
        Found::Scalar(id) => Some(id.into_bytes()),
        Found::Nothing | Found::Composite => None,
    }
}

fn text(body: &[u8]) -> Result<&str, BodyFault> {
    if body.is_empty() {
        return Err(BodyFault::Empty);
    }
    std::str::from_utf8(body).map_err(|error| BodyFault::NotUtf8 { at: error.valid_up_to() })
}

fn not_json(error: serde_json::Error) -> BodyFault {
    BodyFault::NotJson { reason: error.to_string() }
}

fn scalar(raw: &str) -> Result<Found, BodyFault> {
    Ok(match raw.as_bytes().first() {
        // A visitor that takes any value has no use for a message of 12 KB about those it does not.
        Some(b'"') => match serde_json::from_str(raw).map_err(not_json)? {
            Tree::Text(text) => Found::Scalar(text),
            _ => Found::Composite,
        },
        Some(b'{' | b'[') => Found::Composite,
        Some(b'n') | None => Found::Nothing,
        Some(_) => Found::Scalar(raw.to_owned()),
    })
}

/// `~1` is `/` and `~0` is `~`; any other use of `~` is an error.
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

/// The tokens still to follow.
#[derive(Clone, Copy)]
struct Descent<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Descent<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        match self.0.split_first() {
            None => <&RawValue>::deserialize(value).map(Some),
            Some((token, rest)) => value.deserialize_any(Step { token, rest: Descent(rest) }),
        }
    }
}

/// One level of the descent.
struct Step<'p> {
    token: &'p str,
    rest: Descent<'p>,
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(wanted) = map.next_key_seed(Key(self.token))? {
            if wanted {
                found = map.next_value_seed(self.rest)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let index = index(self.token);
        let mut found = None;
        for at in 0.. {
            if Some(at) == index {
                match seq.next_element_seed(self.rest)? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// RFC 6901: digits without a leading zero.
fn index(token: &str) -> Option<u64> {
    let canonical = token == "0" || !token.starts_with('0');
    (canonical && token.bytes().all(|byte| byte.is_ascii_digit())).then(|| token.parse().ok())?
}

/// Compares an object's key with the wanted one, without keeping it.
struct Key<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests;
