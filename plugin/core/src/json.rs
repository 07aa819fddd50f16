//! Request bodies as JSON: checked, and read by JSON pointer (RFC 6901), without building a tree.
//!
//! Neither costs memory that grows with the body's depth: what is skipped is skipped by a loop, and a pointer descends
//! no deeper than it has tokens.

use std::fmt;

use read::{ARRAY, OBJECT, Reader};

pub mod read;
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
    Reader::new(text).whole().map_err(not_json)?;
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
        let mut reader = Reader::new(text(body)?);
        let found = descend(&mut reader, &self.tokens).map_err(not_json)?;
        reader.end().map_err(not_json)?;
        found.map_or(Ok(Found::Nothing), scalar)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The id under a key of a body of this kind, which another of its keys tells: ids of other things are none of messages.
pub fn id_at(body: &[u8], key: &str, (kind_key, kind): (&str, &str)) -> Option<Vec<u8>> {
    let read = |key: &str| match Pointer::parse(&["/", key].concat()).ok()?.read(body).ok()? {
        Found::Scalar(text) => Some(text),
        Found::Nothing | Found::Composite => None,
    };
    if read(kind_key)? == kind { read(key).map(String::into_bytes) } else { None }
}

fn text(body: &[u8]) -> Result<&str, BodyFault> {
    if body.is_empty() {
        return Err(BodyFault::Empty);
    }
    std::str::from_utf8(body).map_err(|error| BodyFault::NotUtf8 { at: error.valid_up_to() })
}

fn not_json(reason: String) -> BodyFault {
    BodyFault::NotJson { reason }
}

fn scalar(raw: &str) -> Result<Found, BodyFault> {
    Ok(match raw.as_bytes().first() {
        Some(b'"') => {
            let mut text = String::new();
            Reader::new(raw).string(Some(&mut text)).map_err(not_json)?;
            Found::Scalar(text)
        }
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

/// The value behind these tokens, as it is written. Of a scalar that should hold it all is read, as of every value on the
/// way.
fn descend<'a>(body: &mut Reader<'a>, tokens: &[String]) -> read::Result<Option<&'a str>> {
    let Some((token, rest)) = tokens.split_first() else { return body.skip().map(Some) };
    let (mut found, mut number) = (None, 0);
    match body.peek() {
        Some(b'{') => {
            body.open();
            let mut key = String::new();
            while body.more(OBJECT, number == 0)? {
                number += 1;
                body.key(Some(&mut key))?;
                if key == *token {
                    found = descend(body, rest)?;
                } else {
                    body.skip()?;
                }
            }
        }
        Some(b'[') => {
            body.open();
            let index = index(token);
            while body.more(ARRAY, number == 0)? {
                if Some(number) == index {
                    found = descend(body, rest)?;
                } else {
                    body.skip()?;
                }
                number += 1;
            }
        }
        _ => body.skip().map(|_| ())?,
    }
    Ok(found)
}

/// RFC 6901: digits without a leading zero.
fn index(token: &str) -> Option<u64> {
    let canonical = token == "0" || !token.starts_with('0');
    (canonical && token.bytes().all(|byte| byte.is_ascii_digit())).then(|| token.parse().ok())?
}

#[cfg(test)]
mod tests;
