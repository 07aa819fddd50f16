//! Values that tell nothing: null, false, empty, or made of nothing else. A denied key may have such a value.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::text::is_something;

/// Whether a value of JSON tells nothing.
pub(super) fn is_nothing(value: &RawValue) -> bool {
    TellsNothing.deserialize(&mut serde_json::Deserializer::from_str(value.get())).unwrap_or(false)
}

/// The visitor of a value: whether it tells nothing.
struct TellsNothing;

impl<'de> DeserializeSeed<'de> for TellsNothing {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TellsNothing {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(!value)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(!is_something(text.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let mut is_nothing = true;
        while let Some(item) = items.next_element_seed(Self)? {
            is_nothing &= item;
        }
        Ok(is_nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let mut is_nothing = true;
        while members.next_key::<IgnoredAny>()?.is_some() {
            is_nothing &= members.next_value_seed(Self)?;
        }
        Ok(is_nothing)
    }
}
