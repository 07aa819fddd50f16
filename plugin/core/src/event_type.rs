//! Event types: their length, their characters, and the prefix of the gateway's own.

/// The largest length of an event type, in characters (all are ASCII).
pub const EVENT_TYPE_MAX: usize = 128;

/// Whether an event type may hold this byte.
pub fn is_event_type_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte)
}

/// What stands in an event type for characters that it may not hold, as another system's type has them: `orders/create`,
/// `Push Hook`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventTypeMap(pub Vec<(char, String)>);

impl EventTypeMap {
    /// The text with each character that the map has replaced.
    pub fn apply(&self, text: String) -> String {
        if self.0.is_empty() {
            return text;
        }
        let mut mapped = String::with_capacity(text.len());
        for character in text.chars() {
            match self.0.iter().find(|(from, _)| *from == character) {
                Some((_, other)) => mapped.push_str(other),
                None => mapped.push(character),
            }
        }
        mapped
    }
}

/// The prefix of the type of every operational event. No producer's event type may begin with it.
pub const OPERATIONAL_PREFIX: &str = "gatepost.";

/// Whether an event of this type is operational: one of the gateway's own.
pub fn is_operational(event_type: &str) -> bool {
    event_type.starts_with(OPERATIONAL_PREFIX)
}
