//! From a request to an event, and from an event to the headers of an attempt.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::fmt::Hyphenated;
use uuid::{Builder, Uuid};

use crate::config::{Endpoint, MetadataValue, Payload, Route, Sink, Url};
use crate::headers::{self, Headers};
use crate::json::{self, BodyFault, quoted};
use crate::operational::is_operational;
use crate::signature::timestamped::Timestamped;
use crate::template::{Absent, Source};
use crate::time::WallTime;

/// An event type has at most this many characters.
pub const EVENT_TYPE_MAX: usize = 128;

/// A header taken over from the producer has at most this many bytes: it is kept with the event. Far above any media
/// type, and twice what W3C Trace Context asks to carry of a `tracestate`.
pub const CARRIED_HEADER_MAX: usize = 1024;

/// An event's id: a UUID version 4 (RFC 9562), the same in every attempt and redelivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// Makes an id of 16 random bytes: six bits are set as version 4 asks.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(Builder::from_random_bytes(bytes).into_uuid().into_bytes())
    }

    /// Reads what is printed: 32 hexadecimal digits in five groups.
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

/// What is kept of a request that is an event. Fields that are headers hold only bytes that may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event type.
    pub event_type: String,
    /// The body of every attempt.
    pub payload: Vec<u8>,
    /// The `content-type` of every attempt.
    pub content_type: Option<Vec<u8>>,
    /// The producer's `traceparent` (W3C Trace Context).
    pub traceparent: Option<Vec<u8>>,
    /// The producer's `tracestate`; only ever with a `traceparent`.
    pub tracestate: Option<Vec<u8>>,
}

/// Why a request on an event's path is no event: the producer's 400. Printed, it is one sentence that quotes nothing the
/// producer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The route needs JSON and the body is none.
    Body(BodyFault),
    /// What should give the event type is not there.
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
            Self::NoEventType(absent) => write!(f, "there is no event type: {absent}"),
            Self::EmptyEventType => f.write_str("the event type is empty"),
            Self::LongEventType(bytes) => {
                write!(f, "the event type has {bytes} bytes, more than {EVENT_TYPE_MAX}")
            }
            Self::BadEventType(at) => {
                write!(f, "byte {at} of the event type is not one of A-Z a-z 0-9 _ . : -")
            }
            Self::Reserved => f.write_str("event types that begin with gatepost. are the gateway's own"),
        }
    }
}

/// May an event type have this byte?
pub fn is_event_type_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte)
}

/// Turns a request of this route into an event; `captures` is what the route's path captured.
pub fn event(route: &Route, captures: &[String], headers: &Headers, body: Vec<u8>) -> Result<Event, Rejection> {
    let source = Source { captures, headers, body: &body };
    let event_type = event_type(route, &source)?;
    let (payload, content_type) = match &route.payload {
        Payload::Raw => (None, carried(headers, "content-type")),
        Payload::Envelope { metadata } => {
            let envelope = envelope(&event_type, metadata, &source)?;
            (Some(envelope), Some(b"application/json".to_vec()))
        }
    };
    let traceparent = carried(headers, "traceparent");
    let tracestate = traceparent.as_ref().and_then(|_| joined(headers, "tracestate"));
    Ok(Event { event_type, payload: payload.unwrap_or(body), content_type, traceparent, tracestate })
}

fn event_type(route: &Route, source: &Source<'_>) -> Result<String, Rejection> {
    let text = route.event.render(source).map_err(|absent| match absent {
        Absent::Body(fault) => Rejection::Body(fault),
        absent => Rejection::NoEventType(absent),
    })?;
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

/// `{"event":..,"data":<body>,"metadata":{..}}`, with the body's own bytes in the middle.
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

/// The same for a header that may come in several lines.
fn joined(headers: &Headers, name: &str) -> Option<Vec<u8>> {
    headers.get(name).filter(|value| may_be_carried(value)).map(Cow::into_owned)
}

/// Envoy refuses a call whose headers hold control characters: such a header must never be kept. One that is no text
/// helps no receiver.
fn may_be_carried(value: &[u8]) -> bool {
    !value.is_empty()
        && value.len() <= CARRIED_HEADER_MAX
        && headers::is_value(value)
        && std::str::from_utf8(value).is_ok()
}

/// One attempt of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The event's id.
    pub id: EventId,
    /// 1, 2, 3 …
    pub number: u32,
    /// The time that is signed: that of this attempt.
    pub at: WallTime,
    /// See [`Event::event_type`].
    pub event_type: &'a str,
    /// See [`Event::content_type`].
    pub content_type: Option<&'a [u8]>,
    /// See [`Event::traceparent`].
    pub traceparent: Option<&'a [u8]>,
    /// See [`Event::tracestate`].
    pub tracestate: Option<&'a [u8]>,
    /// See [`Event::payload`].
    pub body: &'a [u8],
}

/// The headers of a call, pseudo-headers first.
pub type CallHeaders<'a> = Vec<(&'a str, Cow<'a, [u8]>)>;

/// The pseudo-headers of a POST to this URL, as Envoy wants them.
pub fn pseudo_headers(url: &Url) -> [(&str, Cow<'_, [u8]>); 4] {
    [
        (":method", Cow::Borrowed(b"POST")),
        (":scheme", Cow::Borrowed(url.scheme.as_bytes())),
        (":authority", Cow::Borrowed(url.authority.as_bytes())),
        (":path", Cow::Borrowed(url.path.as_bytes())),
    ]
}

/// All headers of an attempt: signed now, with every live secret.
pub fn attempt_headers<'a>(endpoint: &'a Endpoint, user_agent: &'a str, attempt: &Attempt<'a>) -> CallHeaders<'a> {
    let mut headers = signed_headers(&endpoint.url, endpoint, user_agent, attempt);
    for (name, value) in &endpoint.headers {
        headers.push((name, Cow::Borrowed(value.0.as_bytes())));
    }
    headers
}

/// All headers of a dead letter on its way to the sink: those of an attempt, so that it can be verified as the endpoint
/// would have, without the endpoint's own headers, and with what the sink needs to know besides.
pub fn sink_headers<'a>(
    sink: &'a Sink,
    endpoint: &'a Endpoint,
    user_agent: &'a str,
    attempt: &Attempt<'a>,
    reason: &'a str,
) -> CallHeaders<'a> {
    let mut headers = signed_headers(&sink.url, endpoint, user_agent, attempt);
    for names in names(endpoint) {
        headers.push((&names.endpoint, Cow::Borrowed(endpoint.name.as_bytes())));
        headers.push((&names.dead_letter, Cow::Borrowed(reason.as_bytes())));
    }
    headers
}

fn signed_headers<'a>(
    url: &'a Url,
    endpoint: &'a Endpoint,
    user_agent: &'a str,
    attempt: &Attempt<'a>,
) -> CallHeaders<'a> {
    let mut headers = Vec::with_capacity(16 + endpoint.headers.len());
    headers.extend(pseudo_headers(url));
    let carried = [
        ("content-type", attempt.content_type),
        ("user-agent", Some(user_agent.as_bytes())),
        ("traceparent", attempt.traceparent),
        ("tracestate", attempt.tracestate),
    ];
    for (name, value) in carried {
        headers.extend(value.map(|value| (name, Cow::Borrowed(value))));
    }
    for signature in &endpoint.signatures {
        signature.sign(attempt, &mut headers);
    }
    for names in names(endpoint) {
        headers.push((&names.id, owned(attempt.id.to_string())));
        headers.push((&names.event, Cow::Borrowed(attempt.event_type.as_bytes())));
        headers.push((&names.attempt, owned(itoa::Buffer::new().format(attempt.number).to_owned())));
    }
    headers
}

/// What the headers are called that tell of the event: once, unless two schemes call them differently.
fn names(endpoint: &Endpoint) -> impl Iterator<Item = &Timestamped> {
    let mut all = endpoint.signatures.iter().map(|signature| &signature.names);
    let first = all.next();
    first.into_iter().chain(all.filter(move |names| Some(*names) != first))
}

fn owned<'a>(text: String) -> Cow<'a, [u8]> {
    Cow::Owned(text.into_bytes())
}

#[cfg(test)]
mod tests;
