//! A serialised `google.protobuf.Struct` as a tree.

use prost::Message;
use prost_types::value::Kind;

use super::error::{ConfigProblem, field_path};
use super::tree::{Fields, Number, Value};

/// Why bytes are no configuration in a Struct.
#[derive(Debug, PartialEq)]
pub(super) enum StructFault {
    /// The bytes are no Struct.
    NotStruct(String),
    /// The bytes are a Struct with a number that JSON does not have: an infinity, or NaN.
    NotFinite(ConfigProblem),
}

/// Decodes a `google.protobuf.Struct`. A message without fields is refused: unknown fields are skipped, so nearly any
/// bytes decode to an empty message.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, StructFault> {
    let message = prost_types::Struct::decode(bytes).map_err(|error| StructFault::NotStruct(error.to_string()))?;
    if message.fields.is_empty() {
        return Err(StructFault::NotStruct("it has no fields".to_owned()));
    }
    object(message, "").map_err(StructFault::NotFinite)
}

fn object(message: prost_types::Struct, path: &str) -> Result<Value, ConfigProblem> {
    let fields = message.fields.into_iter().map(|(key, field)| {
        let field = value(field, &field_path(path, &key))?;
        Ok((key, field))
    });
    fields.collect::<Result<Fields, _>>().map(Value::Object)
}

fn value(message: prost_types::Value, path: &str) -> Result<Value, ConfigProblem> {
    Ok(match message.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::NumberValue(number)) => Value::Number(
            Number::new(number).ok_or_else(|| ConfigProblem::new(path.to_owned(), "is not finite", "a number"))?,
        ),
        Some(Kind::StringValue(text)) => Value::Text(text),
        Some(Kind::ListValue(list)) => {
            let items = list.values.into_iter().enumerate().map(|(at, item)| value(item, &format!("{path}[{at}]")));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        Some(Kind::StructValue(message)) => object(message, path)?,
    })
}
