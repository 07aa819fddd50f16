//! The actions that the engine asks of the binding.

use std::rc::Rc;
use std::time::Duration;

use crate::answer::Answer;
use crate::config::Config;
use crate::egress::attempt::{attempt_headers, sink_headers};
use crate::headers::CallHeaders;
use crate::ids::{EndpointId, RuleId};
use crate::ingress::request::Changes;
use crate::journal::jobs::CALL_TIMEOUT;
use crate::journal::operation::{StoreCall, StoreStream};
use crate::ledger::record::EventMeta;
use crate::outcome::Reason;
use crate::signature::Attempt;
use crate::telemetry::notice::Notice;
use crate::time::WallTime;

/// An action that the engine asks of the binding.
#[derive(Debug)]
pub enum Action {
    /// Send an HTTP request; then call [`Engine::handle_call_ended`](super::Engine::handle_call_ended), or
    /// [`Engine::handle_call_refused`](super::Engine::handle_call_refused) if it could not be sent at all.
    Call(Box<Call>),
    /// Send a call to the store of the journal; then call
    /// [`Engine::handle_store_reply`](super::Engine::handle_store_reply).
    Store(StoreRequest),
    /// Open a stream to the store of the journal, in place of the one before, and send its message; then call
    /// [`Engine::handle_announcement`](super::Engine::handle_announcement) with each message that comes, and
    /// [`Engine::handle_stream_end`](super::Engine::handle_stream_end) when it has ended or could not be opened.
    OpenStream {
        /// The Envoy cluster.
        cluster: String,
        /// The stream.
        stream: StoreStream,
    },
    /// Close that stream.
    CloseStream,
    /// Answer a request that waits: a producer's, or an operator's drain request.
    Answer {
        /// The stream of the request.
        stream: u32,
        /// The answer.
        answer: Answer,
    },
    /// Let a message go on that was held, with its headers changed, or if they cannot be, answer it as one that cannot be
    /// verified now; then call [`Engine::handle_passed`](super::Engine::handle_passed).
    Pass {
        /// The stream of the request.
        stream: u32,
        /// The rule of the message.
        rule: RuleId,
        /// The changes.
        changes: Changes,
    },
    /// Count a notice and write it to the log.
    Notice(Notice),
}

/// A call to the store of the journal.
#[derive(Debug)]
pub struct StoreRequest {
    /// The number of the call, by which its end is reported.
    pub number: u64,
    /// The config, which names the cluster.
    pub(super) config: Rc<Config>,
    /// The call.
    pub call: StoreCall,
}

impl StoreRequest {
    /// The Envoy cluster to call.
    pub fn cluster(&self) -> &str {
        self.config.journal.as_ref().map_or("", |journal| journal.etcd.cluster.as_str())
    }

    /// The time within which the store must answer.
    pub fn timeout(&self) -> Duration {
        CALL_TIMEOUT
    }

    /// All headers of the call. A connection that cannot be made is tried again by Envoy at another member.
    pub fn headers(&self) -> Vec<(&str, &str)> {
        let own = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", self.cluster()),
            ("x-envoy-retry-on", "connect-failure"),
            ("x-envoy-max-retries", "2"),
        ];
        own.into_iter().chain(self.call.headers.iter().map(|(name, value)| (*name, value.as_str()))).collect()
    }
}

/// The purpose of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An attempt of a delivery.
    Delivery,
    /// An attempt to send a dead letter to the sink, with the reason why the delivery failed for good.
    Sink(Reason),
}

/// An HTTP request to send, with everything that sending needs.
#[derive(Debug)]
pub struct Call {
    /// The number of the attempt, by which its end is reported.
    pub attempt: u64,
    /// The purpose of the call.
    pub purpose: Purpose,
    /// The body, byte for byte as signed.
    pub body: Vec<u8>,
    /// The endpoint of the delivery.
    pub endpoint: EndpointId,
    pub(super) config: Rc<Config>,
    /// The number of the attempt among those of the delivery or, for a sink, among those at the sink; counted from 1.
    pub(super) number: u32,
    /// The time that is signed.
    pub(super) at: WallTime,
    pub(super) meta: EventMeta,
}

impl Call {
    /// The Envoy cluster to call; `None`: the config has no such endpoint, or the endpoint has no sink.
    pub fn cluster(&self) -> Option<&str> {
        let endpoint = self.config.endpoints.get(self.endpoint.0)?;
        match self.purpose {
            Purpose::Delivery => Some(&endpoint.cluster),
            Purpose::Sink(_) => endpoint.dead_letter.as_ref().map(|sink| sink.cluster.as_str()),
        }
    }

    /// The time within which the receiver must answer.
    pub fn timeout(&self) -> Duration {
        self.config.endpoints.get(self.endpoint.0).map_or(Duration::ZERO, |endpoint| endpoint.timeout)
    }

    /// The headers of the call, signed with every live secret: to be made when the call leaves. `None`: the config has
    /// no such endpoint, or the endpoint has no sink.
    pub fn headers(&self) -> Option<CallHeaders<'_>> {
        let endpoint = self.config.endpoints.get(self.endpoint.0)?;
        let attempt = Attempt {
            id: self.meta.id,
            number: self.number,
            at: self.at,
            event_type: &self.meta.event_type,
            content_type: self.meta.content_type.as_deref(),
            content_encoding: self.meta.content_encoding.as_deref(),
            traceparent: self.meta.traceparent.as_deref(),
            tracestate: self.meta.tracestate.as_deref(),
            body: &self.body,
        };
        match self.purpose {
            Purpose::Delivery => Some(attempt_headers(endpoint, &self.config.user_agent, &attempt)),
            Purpose::Sink(reason) => {
                let sink = endpoint.dead_letter.as_ref()?;
                Some(sink_headers(sink, endpoint, &self.config.user_agent, &attempt, reason.label()))
            }
        }
    }
}
