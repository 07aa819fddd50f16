//! Events of producers, and how a request becomes one.

use std::borrow::Cow;
use std::fmt;

use crate::event_type::{EVENT_TYPE_MAX, is_event_type_byte, is_operational};
use crate::headers::{self, Headers};
use crate::ids::RouteId;
use crate::ingress::idempotency::IdempotencyKey;
use crate::ingress::route::{MetadataValue, Payload, Route};
use crate::ingress::template::{Absent, Source};
use crate::json::{self, BodyFault, quoted};

mod trace;

/// The largest size of a header that is taken over from the producer, in bytes: the header is kept with the event. Far
/// above any media type, and twice what W3C Trace Context asks to carry of a `tracestate`.
pub const CARRIED_HEADER_MAX: usize = 1024;

/// An event: what is kept of its request. Fields that are headers hold only bytes that may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event type.
    pub event_type: String,
    /// The body of every attempt.
    pub payload: Vec<u8>,
    /// The `content-type` of every attempt.
    pub content_type: Option<Vec<u8>>,
    /// The `content-encoding` of every attempt: the payload is coded as the producer coded it.
    pub content_encoding: Option<Vec<u8>>,
    /// The producer's `traceparent` (W3C Trace Context).
    pub traceparent: Option<Vec<u8>>,
    /// The producer's `tracestate`; only ever with a `traceparent`.
    pub tracestate: Option<Vec<u8>>,
}

/// An event that a producer offers, with what else its request says.
#[derive(Debug)]
pub struct Offer {
    /// The stream of the producer's request.
    pub stream: u32,
    /// The route that the request matched.
    pub route: RouteId,
    /// The event.
    pub event: Event,
    /// What the path and the headers filled in, for the payload guard; empty if there is none.
    pub fillings: Vec<Filling>,
    /// The headers that filters of endpoints look at, as far as the request has them.
    pub filter_headers: Vec<(String, String)>,
    /// The idempotency key of the request, if it has one.
    pub key: Option<IdempotencyKey>,
    /// The rollout key, which decides whether the event is in a rollout; `None`: the event's id decides.
    pub rollout_key: Option<String>,
}

/// A text of the request, besides its body, that templates of the route may fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filling {
    /// The name of the header; `None`: a capture of the path.
    pub header: Option<String>,
    /// The text.
    pub text: Vec<u8>,
    /// The event type is made of it.
    pub is_in_event_type: bool,
}

/// Why a request on an event route is no event: the producer is answered 400, or 415 for a content coding. Printed, a
/// rejection is one sentence that quotes nothing the producer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The route needs JSON, and the body is not JSON or is nested too deep.
    Body(BodyFault),
    /// The route needs JSON, and the body has a content coding.
    Coded,
    /// The `content-encoding` cannot be passed on: the receiver would get coded bytes that nothing tells of.
    BadCoding,
    /// The part of the request that gives the event type is absent.
    NoEventType(Absent),
    /// The event type has no characters.
    EmptyEventType,
    /// The event type has this many bytes, more than [`EVENT_TYPE_MAX`].
    LongEventType(usize),
    /// The byte at this place of the event type, counted from 0, is not one an event type may have.
    BadEventType(usize),
    /// The event type is one of the gateway's own.
    Reserved,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(fault) => fault.fmt(f),
            Self::Coded => f.write_str(
                "the body has a content coding, and this route reads it as JSON: send it without content-encoding",
            ),
            Self::BadCoding => {
                write!(
                    f,
                    "the content-encoding cannot be passed on: expected text of at most {CARRIED_HEADER_MAX} bytes"
                )
            }
            Self::NoEventType(absent) => write!(f, "there is no event type: {absent}"),
            Self::EmptyEventType => f.write_str("the event type is empty"),
            Self::LongEventType(bytes) => {
                write!(f, "the event type has {bytes} bytes, more than {EVENT_TYPE_MAX}")
            }
            Self::BadEventType(at) => {
                write!(
                    f,
                    "byte {at} of the event type is not one of A-Z a-z 0-9 _ . : -; the route's option event_type: {{map: \
                     {{\"/\": \".\"}}}} says what stands for such a character"
                )
            }
            Self::Reserved => f.write_str("event types that begin with gatepost. are the gateway's own"),
        }
    }
}

/// Turns a request of this route into an event; `captures` is what the route's path captured.
pub fn event(route: &Route, captures: &[String], headers: &Headers, body: Vec<u8>) -> Result<Event, Rejection> {
    let content_encoding = coding(headers)?;
    let is_envelope = matches!(route.payload, Payload::Envelope { .. });
    if content_encoding.is_some() && (is_envelope || route.event.reads_body()) {
        return Err(Rejection::Coded);
    }
    let source = Source { captures, headers, body: &body };
    let event_type = event_type(route, &source)?;
    let (payload, content_type) = match &route.payload {
        Payload::Raw => (None, carried(headers, "content-type")),
        Payload::Envelope { metadata } => {
            let envelope = envelope(&event_type, metadata, &source)?;
            (Some(envelope), Some(b"application/json".to_vec()))
        }
    };
    let traceparent = carried(headers, "traceparent").filter(|value| trace::is_parent(value));
    let tracestate = traceparent.as_ref().and_then(|_| joined(headers, "tracestate"));
    let tracestate = tracestate.filter(|value| trace::is_state(value));
    let payload = payload.unwrap_or(body);
    Ok(Event { event_type, payload, content_type, content_encoding, traceparent, tracestate })
}

/// The content coding of a body, as its header has it; `identity` is none.
fn coding(headers: &Headers) -> Result<Option<Vec<u8>>, Rejection> {
    let Some(value) = headers.get("content-encoding") else { return Ok(None) };
    let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    if codings.all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")) {
        return Ok(None);
    }
    if may_be_carried(&value) { Ok(Some(value.into_owned())) } else { Err(Rejection::BadCoding) }
}

/// What the path and the headers may fill into the event type or the metadata of a route: all captures, and the headers
/// that its templates name.
pub fn fillings(route: &Route, captures: &[String], headers: &Headers) -> Vec<Filling> {
    let mut fillings: Vec<Filling> = Vec::new();
    for (number, capture) in captures.iter().enumerate() {
        let is_in_event_type = route.event.captures().any(|used| used == number);
        fillings.push(Filling { header: None, text: capture.as_bytes().to_vec(), is_in_event_type });
    }
    let metadata = match &route.payload {
        Payload::Envelope { metadata } => metadata.as_slice(),
        Payload::Raw => &[],
    };
    let templates = metadata.iter().filter_map(|(_, value)| match value {
        MetadataValue::Template(template) => Some((template, false)),
        MetadataValue::Literal(_) => None,
    });
    for (template, is_in_event_type) in std::iter::once((&route.event, true)).chain(templates) {
        for name in template.headers() {
            let is_new = !fillings.iter().any(|filling| filling.header.as_deref() == Some(name));
            if let Some(value) = headers.get(name).filter(|_| is_new) {
                fillings.push(Filling { header: Some(name.to_owned()), text: value.into_owned(), is_in_event_type });
            }
        }
    }
    fillings
}

fn event_type(route: &Route, source: &Source<'_>) -> Result<String, Rejection> {
    let text = route.event.render(source).map_err(|absent| match absent {
        Absent::Body(fault) => Rejection::Body(fault),
        absent => Rejection::NoEventType(absent),
    })?;
    // A longer text is refused below; the map makes each byte up to 16.
    let text = if text.len() > 4 * EVENT_TYPE_MAX { text } else { route.event_type.apply(text) };
    if text.is_empty() {
        return Err(Rejection::EmptyEventType);
    }
    if text.len() > EVENT_TYPE_MAX {
        return Err(Rejection::LongEventType(text.len()));
    }
    match text.bytes().position(|byte| !is_event_type_byte(byte)) {
        Some(at) => Err(Rejection::BadEventType(at)),
        None if is_operational(&text) => Err(Rejection::Reserved),
        None => Ok(text),
    }
}

/// The envelope of an event, `{"event":..,"data":<body>,"metadata":{..}}`, with the body's own bytes in the middle.
fn envelope(event_type: &str, metadata: &[(String, MetadataValue)], source: &Source<'_>) -> Result<Vec<u8>, Rejection> {
    let data = json::check(source.body).map_err(Rejection::Body)?;
    let members = metadata.iter().map(|(name, value)| {
        let value = match value {
            MetadataValue::Literal(literal) => Cow::Borrowed(literal.as_str()),
            MetadataValue::Template(template) => match template.render(source) {
                Ok(value) => Cow::Owned(quoted(&value)),
                Err(_) => Cow::Borrowed("null"),
            },
        };
        format!("{}:{value}", quoted(name))
    });
    let metadata = members.collect::<Vec<_>>().join(",");
    // No character of an event type needs escaping.
    Ok(format!(r#"{{"event":"{event_type}","data":{data},"metadata":{{{metadata}}}}}"#).into_bytes())
}

/// A header of the producer that goes on to receivers, if it came once and may be sent.
fn carried(headers: &Headers, name: &str) -> Option<Vec<u8>> {
    headers.single(name).filter(|value| may_be_carried(value)).map(<[u8]>::to_vec)
}

/// A header of the producer that goes on to receivers, if it may be sent. The header may come in several lines, which
/// are joined.
fn joined(headers: &Headers, name: &str) -> Option<Vec<u8>> {
    headers.get(name).filter(|value| may_be_carried(value)).map(Cow::into_owned)
}

/// Whether the value of a header may be kept and sent. Envoy refuses a call whose headers hold control characters: such
/// a header must never be kept. A value that is not UTF-8 helps no receiver.
fn may_be_carried(value: &[u8]) -> bool {
    !value.is_empty()
        && value.len() <= CARRIED_HEADER_MAX
        && headers::is_value(value)
        && std::str::from_utf8(value).is_ok()
}

/// The result of a request on an event route; the label `result` of `gatepost_events_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventResult {
    /// The event is kept.
    Accepted,
    /// The filter is off.
    Disabled,
    /// No endpoint wants the event.
    NoSubscriber,
    /// The event is outside of the rollout of every endpoint that wants it.
    NotSampled,
    /// The answer of an idempotency key was given again.
    Replayed,
    /// 400, 409, 413, 415 or 422: the request cannot be taken. A 405 belongs to no route, and is not counted.
    Invalid,
    /// 503: the request may be tried again.
    Unavailable,
    /// 503: too many other requests were waited for.
    Overloaded,
}

impl EventResult {
    /// All results.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Disabled,
        Self::NoSubscriber,
        Self::NotSampled,
        Self::Replayed,
        Self::Invalid,
        Self::Unavailable,
        Self::Overloaded,
    ];

    /// The label's value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Disabled => "disabled",
            Self::NoSubscriber => "no_subscriber",
            Self::NotSampled => "not_sampled",
            Self::Replayed => "replayed",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
        }
    }
}

#[cfg(test)]
mod tests;
