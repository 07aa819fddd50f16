//! The routes: which requests are events, and how an event is made of a request.

use std::ops::Deref;
use std::time::Duration;

use crate::event_type::EventTypeMap;
use crate::headers::Headers;
use crate::ids::{EndpointId, RouteId};
use crate::ingress::template::Template;
use crate::journal::Durability;
use crate::path::{PathPattern, Router};

/// A rule that says which requests are events (mode `dispatch`).
#[derive(Debug)]
pub struct Route {
    /// The name of the route: its label in metrics, and a part of the scope of idempotency keys.
    pub name: String,
    /// The methods that make an event, upper case.
    pub methods: Vec<String>,
    /// Headers that must all equal these values; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The template of the event type.
    pub event: Template,
    /// What stands in the event type for characters that it may not hold.
    pub event_type: EventTypeMap,
    /// The payload: what is sent.
    pub payload: Payload,
    /// When the producer is answered.
    pub ack: Ack,
    /// Where the route's events are kept.
    pub durability: Durability,
    /// The only endpoints this route feeds, ascending; `None`: every endpoint that subscribes to the event type.
    pub endpoints: Option<Vec<EndpointId>>,
    /// The request header that scopes `Idempotency-Key`, lower case.
    pub idempotency_scope: Option<String>,
}

/// The payload of an event: what is sent of its request.
#[derive(Debug)]
pub enum Payload {
    /// The exact bytes received.
    Raw,
    /// An envelope, `{"event":..,"data":<body>,"metadata":{..}}`.
    Envelope {
        /// The metadata, sorted by name, so that the same event always gives the same bytes.
        metadata: Vec<(String, MetadataValue)>,
    },
}

/// A value under `metadata`.
#[derive(Debug)]
pub enum MetadataValue {
    /// A number, boolean or null, as JSON text.
    Literal(String),
    /// A string, filled from the request; JSON null when a header or pointer it names is absent.
    Template(Template),
}

/// When the producer of an event is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// As soon as the event is kept.
    Accepted,
    /// When every delivery has ended, or after `timeout`.
    Delivered {
        /// The time after which the answer is 202 with `pending`; delivery goes on.
        timeout: Duration,
    },
}

/// The result of a search for the route of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// No route matches: the request passes through untouched.
    NoRoute,
    /// Routes match by path and headers, and none of them by method.
    MethodNotAllowed {
        /// The methods of these routes, in the order in which the routes are looked at.
        allow: Vec<String>,
    },
    /// A route matches: the request is an event.
    Event {
        /// The route.
        route: RouteId,
        /// What the captures of the route's path matched, percent-decoded, in the order of the path.
        captures: Vec<String>,
    },
}

/// The routes of a configuration.
#[derive(Debug, Default)]
pub struct Routes {
    /// The routes, in the order of the config.
    list: Vec<Route>,
    /// The router, which finds the routes of a path.
    router: Router,
}

/// Gives all routes, in the order of the config.
impl Deref for Routes {
    type Target = [Route];

    fn deref(&self) -> &[Route] {
        &self.list
    }
}

impl Routes {
    /// The routes, each with the pattern of its path.
    pub fn new(routes: Vec<(Route, PathPattern)>) -> Self {
        let router = Router::build(routes.iter().map(|(route, pattern)| (pattern, route.headers.as_slice())));
        Self { list: routes.into_iter().map(|(route, _)| route).collect(), router }
    }

    /// Selects the route of a request: the first whose path, headers and method match. Routes with a more specific
    /// pattern go first; routes with one pattern go in the order of the config.
    pub fn select(&self, path: &str, method: &str, headers: &Headers) -> Selection {
        let mut allow: Vec<String> = Vec::new();
        for candidate in self.router.lookup(path) {
            for number in self.router.with_headers(&candidate, headers) {
                let methods = self.list.get(number).map_or(&[][..], |route| &route.methods);
                if methods.iter().any(|allowed| allowed == method) {
                    return Selection::Event { route: RouteId(number), captures: candidate.captures };
                }
                for method in methods {
                    if !allow.contains(method) {
                        allow.push(method.clone());
                    }
                }
            }
        }
        if allow.is_empty() { Selection::NoRoute } else { Selection::MethodNotAllowed { allow } }
    }
}

#[cfg(test)]
mod tests;
