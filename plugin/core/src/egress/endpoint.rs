//! An endpoint as it is configured.

use std::time::Duration;

use crate::egress::breaker::BreakerPolicy;
use crate::egress::filter::EventFilter;
use crate::egress::operational::NewsKinds;
use crate::egress::rate::Rate;
use crate::egress::retry::RetryPolicy;
use crate::headers::HeaderValue;
use crate::signature::Signature;

/// An endpoint: a receiver of events.
#[derive(Debug)]
pub struct Endpoint {
    /// The name of the endpoint: its label in metrics, and its name in records.
    pub name: String,
    /// The Envoy cluster to call.
    pub cluster: String,
    /// Where the request goes.
    pub url: Url,
    /// Which of the events that it subscribes to it gets; `None`: all.
    pub filter: Option<EventFilter>,
    /// How deliveries are signed: in one scheme, or in two while receivers move from one scheme to the other.
    pub signatures: Vec<Signature>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// The retry policy: when an attempt is made again.
    pub retry: RetryPolicy,
    /// The policy of the circuit breaker: when the endpoint is left alone; `None`: never, it has no breaker.
    pub breaker: Option<BreakerPolicy>,
    /// The limit of attempts a second, over all workers; `None`: no limit.
    pub rate: Option<Rate>,
    /// The largest number of attempts under way at once in one worker.
    pub max_in_flight: u32,
    /// The largest age of a delivery: an older one becomes a dead letter. Longer than the retry delays together.
    pub max_age: Duration,
    /// The largest number of deliveries that may wait in one worker.
    pub pending: u32,
    /// What happens to a delivery beyond `pending`.
    pub overflow: Overflow,
    /// What a 410 of the receiver does.
    pub on_gone: OnGone,
    /// The headers added to each attempt; names in lower case. Values may be secrets: never print them.
    pub headers: Vec<(String, HeaderValue)>,
    /// The endpoint is disabled: its deliveries wait.
    pub disabled: bool,
    /// The sink of the endpoint: where dead letters are sent; `None`: they stay in the ring only.
    pub dead_letter: Option<Sink>,
    /// The kinds of operational events, the gateway's own, that the endpoint wants.
    pub operational: NewsKinds,
    /// The digest of the endpoint's entry in the config: a 410 disables the endpoint for as long as the digest stays
    /// the same.
    pub digest: u64,
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

/// A sink: where dead letters are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// The Envoy cluster to call.
    pub cluster: String,
    /// Where the request goes.
    pub url: Url,
}

/// What happens to a delivery when its endpoint's share of the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// 503 to the producer, for the whole event.
    Reject,
    /// That delivery becomes a dead letter; the others go on.
    DeadLetter,
}

/// What a 410 of the receiver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGone {
    /// The endpoint is disabled.
    Disable,
    /// Only the delivery fails.
    Fail,
}
