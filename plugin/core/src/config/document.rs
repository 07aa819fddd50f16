//! The bytes of a configuration as one tree, whether they are JSON or a serialised `google.protobuf.Struct`.
//!
//! Envoy hands over either, and does not say which. The first bytes do not tell: a Struct begins with a line feed and a
//! length, which may be the code of `{`. So each is decoded to its end before the other is tried.

use std::fmt;

use prost::Message;
use prost_types::value::Kind;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::{Problem, shown};

/// A configuration that sends, as short as it can be.
pub(super) const MINIMAL: &str = r#"{"enabled":true,"routes":[{"name":"ingest","match":{"path":"/events/{event}"},"event":"{event}"}],"endpoints":[{"name":"billing","cluster":"billing","url":"https://api.example.com/webhooks","secrets":[{"env":"WEBHOOK_SECRET"}]}]}"#;

/// Where a problem is that concerns the whole.
pub(super) const WHOLE: &str = "configuration";

/// Decodes the bytes fully as JSON, and if they are not, fully as a Struct.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, Problem> {
    if bytes.trim_ascii().is_empty() {
        return Err(whole("is empty".to_owned()));
    }
    let json_error = match serde_json::from_slice::<Tree>(bytes) {
        Ok(tree) => return Ok(tree.0),
        Err(error) => error,
    };
    let struct_error = match prost_types::Struct::decode(bytes) {
        Ok(message) if !message.fields.is_empty() => return object(message, &mut String::new()).map(Value::Object),
        Ok(_) => "it has no fields".to_owned(),
        Err(error) => error.to_string(),
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

fn object(message: prost_types::Struct, path: &mut String) -> Result<Map<String, Value>, Problem> {
    let fields = message.fields.into_iter().map(|(key, value)| {
        let parent = path.len();
        path.push_str(if parent == 0 { "" } else { "." });
        path.push_str(shown(&key).trim_matches('"'));
        let value = plain(value, path)?;
        path.truncate(parent);
        Ok((key, value))
    });
    fields.collect()
}

fn plain(value: prost_types::Value, path: &mut String) -> Result<Value, Problem> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::NumberValue(number)) => number_of(number).ok_or_else(|| Problem {
            path: path.clone(),
            what: "is not finite".to_owned(),
            expected: "a number".to_owned(),
        })?,
        Some(Kind::StructValue(message)) => Value::Object(object(message, path)?),
        Some(Kind::ListValue(list)) => {
            let items = list.values.into_iter().enumerate().map(|(at, value)| {
                let parent = path.len();
                path.push_str(&format!("[{at}]"));
                let value = plain(value, path)?;
                path.truncate(parent);
                Ok(value)
            });
            Value::Array(items.collect::<Result<_, _>>()?)
        }
    })
}

/// A double as the number the user wrote: whole ones are integers, so that both encodings give the same tree.
fn number_of(number: f64) -> Option<Value> {
    if number.fract() == 0.0 && number.abs() < EXACT {
        // Within ±2^53 the conversion is exact.
        return Some(Value::from(number as i64));
    }
    Number::from_f64(number).map(Value::Number)
}

/// 2^53: below it every whole double is the integer it says.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A JSON value in which no object has a key twice: of two values one would be ignored in silence.
struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(TreeVisitor).map(Tree)
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
        Ok(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        number_of(value).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Tree(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if fields.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {} stands twice", shown(&key))));
            }
            let Tree(value) = map.next_value()?;
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}
