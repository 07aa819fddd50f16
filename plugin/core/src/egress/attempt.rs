//! The headers of an attempt, and of a dead letter on its way to the sink.

use std::borrow::Cow;

use crate::egress::endpoint::{Endpoint, Sink, Url};
use crate::headers::CallHeaders;
use crate::signature::Attempt;
use crate::signature::timestamped::Timestamped;

/// The pseudo-headers of a POST to this URL, as Envoy wants them.
pub fn pseudo_headers(url: &Url) -> [(&str, Cow<'_, [u8]>); 4] {
    [
        (":method", Cow::Borrowed(b"POST")),
        (":scheme", Cow::Borrowed(url.scheme.as_bytes())),
        (":authority", Cow::Borrowed(url.authority.as_bytes())),
        (":path", Cow::Borrowed(url.path.as_bytes())),
    ]
}

/// All headers of an attempt: signed with every secret that is live at the time of the attempt.
pub fn attempt_headers<'a>(endpoint: &'a Endpoint, user_agent: &'a str, attempt: &Attempt<'a>) -> CallHeaders<'a> {
    let mut headers = signed_headers(&endpoint.url, endpoint, user_agent, attempt);
    for (name, value) in &endpoint.headers {
        headers.push((name, Cow::Borrowed(value.0.as_bytes())));
    }
    headers
}

/// All headers of a dead letter on its way to the sink: those of an attempt, so that the sink can verify the letter as
/// the endpoint would have, without the headers that the config adds for the endpoint, and with the endpoint's name and
/// the `reason`.
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
        ("content-encoding", attempt.content_encoding),
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

/// The names of the headers that tell of the event: one set, or more where the endpoint's schemes name them
/// differently.
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
