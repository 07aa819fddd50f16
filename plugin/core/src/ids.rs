//! The id of an event, and the numbers of routes, endpoints and inbound rules in a configuration.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::fmt::Hyphenated;
use uuid::{Builder, Uuid};

/// The number of a route in [`Config::routes`](crate::config::Config::routes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub usize);

/// The number of an endpoint in [`Config::endpoints`](crate::config::Config::endpoints).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub usize);

/// The number of a rule in [`Config::inbound`](crate::config::Config::inbound).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(pub usize);

/// An event's id: a UUID version 4 (RFC 9562), the same in every attempt and redelivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// Makes an id of 16 random bytes: six bits are set as version 4 asks.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(Builder::from_random_bytes(bytes).into_uuid().into_bytes())
    }

    /// Parses the printed form: 32 hexadecimal digits in five groups. `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let id: Hyphenated = text.parse().ok()?;
        Some(Self(id.into_uuid().into_bytes()))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_a_version_4_uuid_in_lower_case() {
        assert_eq!(EventId::from_random([0xff; 16]).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(EventId::from_random([0; 16]).to_string(), "00000000-0000-4000-8000-000000000000");
    }

    proptest! {
        #[test]
        fn an_id_is_read_as_it_is_printed_and_nothing_else_is_one(bytes: [u8; 16], other in "[0-9a-f-]{0,40}|\\PC{0,40}") {
            let id = EventId::from_random(bytes);
            prop_assert_eq!(EventId::parse(&id.to_string()), Some(id));
            prop_assert_eq!(EventId::parse(&id.to_string().to_uppercase()), Some(id));
            prop_assert_eq!(EventId::parse(&other).is_some(), uuid::Uuid::try_parse(&other).is_ok() && other.len() == 36);
        }
    }
}
