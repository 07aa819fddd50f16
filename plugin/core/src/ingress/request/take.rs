//! A request that is an event, all of which is here: it becomes work for the engine, or is refused.

use super::rules::RequestRules;
use super::step::Work;
use crate::answer::Answer;
use crate::headers::Headers;
use crate::ids::RouteId;
use crate::inbound::unavailable;
use crate::ingress::event::{Event, Offer, Rejection, event, fillings};
use crate::ingress::idempotency::{IdempotencyKey, KEY_LEN_MAX};
use crate::ingress::payload::Unreadable;
use crate::ingress::route::Route;
use crate::ingress::template::Source;
use crate::json::BodyFault;

/// Makes an event of a request on this stream and route.
///
/// # Errors
/// The answer to a request that is no event.
pub(super) fn take(
    rules: &RequestRules<'_>,
    stream: u32,
    id: RouteId,
    captures: &[String],
    headers: &Headers,
    body: Vec<u8>,
) -> Result<Work, Box<Answer>> {
    let Some(route) = rules.routes.get(id.0) else { return Err(Box::new(unavailable())) };
    let key = headers.get("idempotency-key");
    if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_LEN_MAX) {
        return Err(Box::new(Answer::bad_request("Idempotency-Key must have 1 to 256 bytes")));
    }
    // Where the rollout key is absent the event's id decides: an event without the header is sampled too.
    let source = Source { captures, headers, body: &body };
    let rollout_key = rules.rollout_key.and_then(|key| key.render(&source).ok());
    match event(route, captures, headers, body) {
        Ok(event) => {
            let fillings = if rules.is_guarded { fillings(route, captures, headers) } else { Vec::new() };
            let key = key.map(|key| idempotency_key(route, captures, headers, &key, &event));
            let filter_headers = filter_headers(rules.filter_headers, headers);
            let offer = Offer { stream, route: id, event, fillings, filter_headers, key, rollout_key };
            Ok(Work::Take(Box::new(offer)))
        }
        Err(rejection) => match unreadable(&rejection).filter(|_| rules.is_guarded) {
            Some(why) => Ok(Work::RefuseEvent(id, why)),
            None => Err(Box::new(rejected(&rejection))),
        },
    }
}

/// The headers of these names that the request has.
fn filter_headers(names: &[String], headers: &Headers) -> Vec<(String, String)> {
    let value = |name: &String| Some((name.clone(), String::from_utf8_lossy(&headers.get(name)?).into_owned()));
    names.iter().filter_map(value).collect()
}

/// Why the payload guard cannot read a body that the route cannot read; `None`: the rejection has another reason, or
/// there is no body.
fn unreadable(rejection: &Rejection) -> Option<Unreadable> {
    match rejection {
        Rejection::Coded | Rejection::BadCoding => Some(Unreadable::Coded),
        Rejection::Body(BodyFault::Empty) => None,
        Rejection::Body(fault) => Some(Unreadable::NotJson(fault.clone())),
        _ => None,
    }
}

/// The answer to a request that is no event. 415 names what would be taken (RFC 9110, section 15.5.16).
fn rejected(rejection: &Rejection) -> Answer {
    let detail = rejection.to_string();
    match rejection {
        Rejection::Coded | Rejection::BadCoding => {
            Answer::problem(415, "Unsupported Media Type", &detail).with("accept-encoding", "identity")
        }
        _ => Answer::bad_request(&detail),
    }
}

/// The request's idempotency key in its scope, for all that shapes the event. Trace headers do not: a producer that tries
/// again does so in a span of its own.
fn idempotency_key(route: &Route, captures: &[String], headers: &Headers, key: &[u8], event: &Event) -> IdempotencyKey {
    let scope = route.idempotency_scope.as_deref().and_then(|name| headers.get(name));
    let content_type = event.content_type.as_deref().unwrap_or_default();
    let mut parts = vec![event.event_type.as_bytes(), content_type, &event.payload];
    parts.extend(captures.iter().map(String::as_bytes));
    // The number of captures is the route's: one part more can only be a coding.
    parts.extend(event.content_encoding.as_deref());
    IdempotencyKey::new(&route.name, scope.as_deref(), key, &parts)
}
