//! What an event type may be.

/// An event type has at most this many characters.
pub const EVENT_TYPE_MAX: usize = 128;

/// May an event type have this byte?
pub fn is_event_type_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte)
}

/// What the type of every operational event begins with. No producer's may.
pub const OPERATIONAL_PREFIX: &str = "gatepost.";

/// Is an event of this type one of the gateway's own?
pub fn is_operational(event_type: &str) -> bool {
    event_type.starts_with(OPERATIONAL_PREFIX)
}
