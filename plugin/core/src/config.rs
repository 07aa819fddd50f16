//! The configuration, valid by construction: whoever holds a [`Config`] need check nothing again.
//!
//! [`parse`] is the only way in. It reads JSON or a serialised `google.protobuf.Struct` into one tree (`document`),
//! walks it (`reader`) and either builds a `Config` or reports every problem at once, each with its path. A section is
//! a file below, and a default stands where its key is read.

use std::time::Duration;

use crate::guard::Guard;
use crate::operational::Kinds;
use crate::outcome::StatusSet;
use crate::payload;
use crate::replay;
use crate::rollout::Plan;
use crate::route::Router;
use crate::signature::{Signature, Tolerance};
use crate::subscription::Subscriptions;
use crate::template::Template;

mod admin;
mod delivery;
mod document;
mod endpoints;
mod error;
mod inbound;
mod limits;
mod payload_guard;
mod protobuf;
mod reader;
mod rollout;
mod routes;
mod signature;
mod top;
mod tree;
mod values;

pub use admin::{breaker_command, endpoint_command, rollout_command, state_command};
pub(crate) use error::shown_duration;
pub use error::{Problem, Problems};
pub use top::parse;

/// The number of a route in [`Config::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub usize);

/// The number of an endpoint in [`Config::endpoints`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub usize);

/// A whole configuration.
#[derive(Debug)]
pub struct Config {
    /// Off until someone turns it on: a filter that is loaded but not configured to send never sends.
    pub enabled: bool,
    /// The `user-agent` of every delivery.
    pub user_agent: String,
    /// The routes, in the order of the config.
    pub routes: Vec<Route>,
    /// The endpoints, in the order of the config.
    pub endpoints: Vec<Endpoint>,
    /// Which share of the events goes to an endpoint.
    pub rollout: Rollout,
    /// What may not be in a payload; `None`: anything may.
    pub payload_guard: Option<payload::Rules>,
    /// What may be kept, and how much of it.
    pub limits: Limits,
    /// How operators see and change what it does; `None`: there is no admin surface at all.
    pub admin: Option<Admin>,
    /// Which requests are verified before the application sees them.
    pub inbound: Vec<Inbound>,
    /// The headers of all those rules, each once.
    pub inbound_headers: Vec<String>,
    /// Finds the rule of `inbound` for a path, see [`readings`](crate::route::readings).
    pub(crate) inbound_router: Router,
    /// Finds the routes of a path.
    pub router: Router,
    /// Finds the endpoints of an event type.
    pub subscriptions: Subscriptions,
    /// The same for the same configuration under the same version of Gatepost, and practically only then.
    pub fingerprint: u64,
}

impl Config {
    /// The endpoints that an event of this type goes to, ascending: those that subscribe to it, of those the route feeds.
    pub fn endpoints_for(&self, route: &Route, event_type: &str) -> Vec<EndpointId> {
        let mut wanting = self.subscriptions.matching(event_type);
        if let Some(fed) = &route.endpoints {
            wanting.retain(|endpoint| fed.binary_search(endpoint).is_ok());
        }
        wanting
    }
}

/// Which share of the events goes to an endpoint, and what ends that.
#[derive(Debug, Default)]
pub struct Rollout {
    /// The shares.
    pub plan: Plan,
    /// What decides which events are in; `None`, or where a request does not fill it: the event's id.
    pub key: Option<Template>,
    /// What is watched; `None`: nothing is.
    pub guard: Option<Guard>,
}

/// A rule that says which requests are events (mode `dispatch`).
#[derive(Debug)]
pub struct Route {
    /// The label in metrics and the scope of idempotency keys.
    pub name: String,
    /// The methods that make an event, upper case.
    pub methods: Vec<String>,
    /// Headers that must all equal these values; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Gives the event type.
    pub event: Template,
    /// What is sent.
    pub payload: Payload,
    /// When the producer is answered.
    pub ack: Ack,
    /// The only endpoints this route feeds, ascending; `None`: every endpoint that subscribes to the event type.
    pub endpoints: Option<Vec<EndpointId>>,
    /// The request header that scopes `Idempotency-Key`, lower case.
    pub idempotency_scope: Option<String>,
}

/// What of an event is sent.
#[derive(Debug)]
pub enum Payload {
    /// The exact bytes received.
    Raw,
    /// `{"event":..,"data":<body>,"metadata":{..}}`.
    Envelope {
        /// Sorted by name, so that the same event always gives the same bytes.
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
        /// After this the answer is 202 with `pending`; delivery goes on.
        timeout: Duration,
    },
}

/// A rule that says which requests are verified before the application sees them, and how.
#[derive(Debug)]
pub struct Inbound {
    /// The label in metrics, the name of its replay table, and what the application is told.
    pub name: String,
    /// The methods that may be used there, upper case.
    pub methods: Vec<String>,
    /// How a request may be signed: in one scheme, or in two while its sender moves from one to the other.
    pub signatures: Vec<Signature>,
    /// How old or early a signature may be.
    pub tolerance: Tolerance,
    /// What happens to a message that comes again.
    pub replay: replay::Policy,
    /// Tells the application which rule has verified a request, lower case; removed from what clients send.
    pub header: String,
}

/// A place that wants events.
#[derive(Debug)]
pub struct Endpoint {
    /// The label in metrics, and the name records know it by.
    pub name: String,
    /// The Envoy cluster to call.
    pub cluster: String,
    /// Where the request goes.
    pub url: Url,
    /// How its deliveries are signed: in one scheme, or in two while its receivers move from one to the other.
    pub signatures: Vec<Signature>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// When an attempt is made again.
    pub retry: RetryPolicy,
    /// When the endpoint is left alone.
    pub breaker: BreakerPolicy,
    /// At most this many attempts a second, over all workers.
    pub rate: Option<Rate>,
    /// Attempts under way at once in one worker.
    pub max_in_flight: u32,
    /// An older delivery becomes a dead letter; longer than the delays together.
    pub max_age: Duration,
    /// Deliveries that may wait in one worker.
    pub pending: u32,
    /// What happens to the next one.
    pub overflow: Overflow,
    /// What a 410 does.
    pub on_gone: OnGone,
    /// Headers added to each attempt; names in lower case. Their values may be secrets: never print them.
    pub headers: Vec<(String, HeaderValue)>,
    /// Its deliveries wait.
    pub disabled: bool,
    /// Where dead letters are sent.
    pub dead_letter: Option<Sink>,
    /// The events of the gateway's own that it wants.
    pub operational: Kinds,
    /// Changes whenever this entry of the config does; a 410's disabling lasts as long as it stays the same.
    pub digest: u64,
}

/// The value of a configured header, kept out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderValue(pub String);

impl std::fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An absolute URL, split as Envoy wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `http` or `https`.
    pub scheme: String,
    /// Host and, when given, port.
    pub authority: String,
    /// Path and query; `/` when the URL has none.
    pub path: String,
}

/// Where dead letters are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// The Envoy cluster to call.
    pub cluster: String,
    /// Where the request goes.
    pub url: Url,
}

/// When an attempt is made again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The wait before attempts 1, 2, 3 …; never empty. Its length is the number of attempts.
    pub delays: Vec<Duration>,
    /// 0 to 1: a wait is lengthened at random by up to this share of itself.
    pub jitter: f64,
    /// The statuses that are tried again.
    pub statuses: StatusSet,
}

/// When an endpoint is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// This many failures open it; 1 to 100.
    pub failures: u32,
    /// Older failures are forgotten.
    pub window: Duration,
    /// How long it stays open.
    pub open: Duration,
    /// What is counted.
    pub count: Count,
    /// The statuses that are failures; a timeout, reset or connect failure always is.
    pub statuses: StatusSet,
}

/// What a breaker counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Each attempt.
    Attempts,
    /// Each delivery, when its last attempt failed.
    Deliveries,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens a second; more than 0.
    pub per_second: f64,
    /// The bucket's size; at least 1.
    pub burst: u32,
}

/// What happens to a delivery when its endpoint's share of the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// 503 to the producer, for the whole event.
    Reject,
    /// That delivery becomes a dead letter; the others go on.
    DeadLetter,
}

/// What a 410 does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGone {
    /// The endpoint is disabled.
    Disable,
    /// Only the delivery fails.
    Fail,
}

/// How operators see and change what the filter does.
#[derive(Debug)]
pub struct Admin {
    /// What its paths begin with, without a slash at the end.
    pub path: String,
    /// Who may; never empty.
    pub tokens: Vec<Token>,
}

/// A bearer token of the admin surface.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Its SHA-256: the token itself is not kept.
    pub digest: [u8; 32],
    /// What its holder may do.
    pub role: Role,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Read,
    /// Look and change.
    Operate,
}

impl Role {
    /// Its word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

/// What may be kept, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body.
    pub body: usize,
    /// Deliveries waiting in one worker.
    pub pending: u32,
    /// Bytes of the bodies that wait in one worker.
    pub pending_bytes: u64,
    /// Dead letters kept in the process.
    pub dead_letters: u32,
    /// Bytes of the dead letters kept in the process.
    pub dead_letter_bytes: u64,
    /// Idempotency keys remembered in the process.
    pub idempotency_keys: u32,
    /// Events remembered in the process.
    pub history: u32,
}

#[cfg(test)]
mod tests;
