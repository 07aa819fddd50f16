//! The bytes of a configuration as one tree, whether they are JSON or a serialised `google.protobuf.Struct`.
//!
//! Envoy hands over either, and does not say which. The first bytes do not tell: a Struct begins with a line feed and a
//! length, which may be the code of `{`. So each is decoded to its end before the other is tried.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::{Problem, shown};
use super::protobuf::{self, Fault};
use super::tree::{Fields, Number, Value};

/// A configuration that sends, as short as it can be.
pub(super) const MINIMAL: &str = r#"{"enabled":true,"routes":[{"name":"ingest","match":{"path":"/events/{event}"},"event":"{event}"}],"endpoints":[{"name":"billing","cluster":"billing","url":"https://api.example.com/webhooks","secrets":[{"env":"WEBHOOK_SECRET"}]}]}"#;

/// Where a problem is that concerns the whole.
pub(super) const WHOLE: &str = "configuration";

/// Decodes the bytes fully as JSON, and if they are not, fully as a Struct.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, Problem> {
    if bytes.trim_ascii().is_empty() {
        return Err(whole("is empty".to_owned()));
    }
    let json_error = match std::str::from_utf8(bytes).map(serde_json::from_str) {
        Ok(Ok(tree)) => return Ok(tree),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it is not UTF-8".to_owned(),
    };
    let struct_error = match protobuf::decode(bytes) {
        Ok(tree) => return Ok(tree),
        Err(Fault::NotFinite { path }) => {
            return Err(Problem { path, what: "is not finite".to_owned(), expected: "a number".to_owned() });
        }
        Err(Fault::NotStruct(reason)) => reason,
    };
    Err(whole(if bytes.trim_ascii_start().starts_with(b"{") {
        format!("is not valid JSON: {json_error}")
    } else {
        format!("is neither JSON ({json_error}) nor a google.protobuf.Struct ({struct_error})")
    }))
}

fn whole(what: String) -> Problem {
    Problem { path: WHOLE.to_owned(), what, expected: format!("JSON or a google.protobuf.Struct, such as {MINIMAL}") }
}

/// From JSON. `serde_json` bounds the depth.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(Number::Whole(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(Number::from_u64(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Value::number(value).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Fields::default();
        while let Some((key, value)) = map.next_entry()? {
            let added = fields.insert(key, value);
            added.map_err(|key| A::Error::custom(format!("the key {} stands twice", shown(&key))))?;
        }
        Ok(Value::Object(fields))
    }
}
