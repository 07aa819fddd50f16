//! The attempt that is signed.

use crate::ids::EventId;
use crate::time::WallTime;

/// One attempt of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The event's id.
    pub id: EventId,
    /// The number of the attempt: 1, 2, 3 …
    pub number: u32,
    /// The time of this attempt, which is signed.
    pub at: WallTime,
    /// The event type.
    pub event_type: &'a str,
    /// The `content-type` of the body.
    pub content_type: Option<&'a [u8]>,
    /// The `content-encoding` of the body.
    pub content_encoding: Option<&'a [u8]>,
    /// The producer's `traceparent` (W3C Trace Context).
    pub traceparent: Option<&'a [u8]>,
    /// The producer's `tracestate`.
    pub tracestate: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
}
