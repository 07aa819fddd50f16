//! Wall-clock times in JSON, as text of RFC 3339: for `#[serde(with = "rfc3339")]`.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use super::WallTime;

/// Writes a time.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(time: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// Reads a time.
///
/// # Errors
/// When the value is no text, or the text is no time of 1970 or later.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WallTime, D::Error> {
    time(&String::deserialize(deserializer)?)
}

fn time<E: Error>(text: &str) -> Result<WallTime, E> {
    WallTime::parse(text).ok_or_else(|| E::custom("expected a time such as 2026-11-23T14:00:00Z"))
}

/// Wall-clock times that may be `null`: for `#[serde(with = "rfc3339::option")]`.
pub mod option {
    use super::{Deserialize, Deserializer, Serializer, WallTime, time};

    /// Writes a time or `null`.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(time: &Option<WallTime>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a time or `null`.
    ///
    /// # Errors
    /// When the value is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WallTime>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| time(&text)).transpose()
    }
}
