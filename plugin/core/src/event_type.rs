//! Event types: their length, their characters, and the prefix of the gateway's own.

/// The largest length of an event type, in characters (all are ASCII).
pub const EVENT_TYPE_MAX: usize = 128;

/// Whether an event type may hold this byte.
pub fn is_event_type_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte)
}

/// The prefix of the type of every operational event. No producer's event type may begin with it.
pub const OPERATIONAL_PREFIX: &str = "gatepost.";

/// Whether an event of this type is operational: one of the gateway's own.
pub fn is_operational(event_type: &str) -> bool {
    event_type.starts_with(OPERATIONAL_PREFIX)
}
