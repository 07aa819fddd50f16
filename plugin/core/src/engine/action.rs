//! What the binding is to do.

use std::rc::Rc;
use std::time::Duration;

use crate::answer::Answer;
use crate::config::Config;
use crate::egress::attempt::{attempt_headers, sink_headers};
use crate::headers::CallHeaders;
use crate::ids::EndpointId;
use crate::ledger::record::EventMeta;
use crate::outcome::Reason;
use crate::signature::Attempt;
use crate::telemetry::notice::Notice;
use crate::time::WallTime;

/// What the binding is to do.
#[derive(Debug)]
pub enum Action {
    /// Send an HTTP request; then call [`Engine::handle_call_ended`](super::Engine::handle_call_ended), or
    /// [`Engine::handle_call_refused`](super::Engine::handle_call_refused) if it could not be sent at all.
    Call(Box<Call>),
    /// Answer a producer that waits.
    Answer {
        /// Its stream.
        stream: u32,
        /// The answer.
        answer: Answer,
    },
    /// Count it and write it down.
    Notice(Notice),
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An attempt of a delivery.
    Delivery,
    /// An attempt at the sink of a dead letter, which died for this reason.
    Sink(Reason),
}

/// A request to send, with all that it takes to send it.
#[derive(Debug)]
pub struct Call {
    /// Names the attempt when its end is reported.
    pub attempt: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// The body, byte for byte as signed.
    pub body: Vec<u8>,
    /// Whose delivery it is.
    pub endpoint: EndpointId,
    pub(super) config: Rc<Config>,
    /// The attempts of the delivery so far, this one included.
    pub(super) number: u32,
    /// The time that is signed.
    pub(super) at: WallTime,
    pub(super) meta: EventMeta,
}

impl Call {
    /// The Envoy cluster to call; `None`: the config has no such endpoint, or that has no sink.
    pub fn cluster(&self) -> Option<&str> {
        let endpoint = self.config.endpoints.get(self.endpoint.0)?;
        match self.purpose {
            Purpose::Delivery => Some(&endpoint.cluster),
            Purpose::Sink(_) => endpoint.dead_letter.as_ref().map(|sink| sink.cluster.as_str()),
        }
    }

    /// How long the receiver may take.
    pub fn timeout(&self) -> Duration {
        self.config.endpoints.get(self.endpoint.0).map_or(Duration::ZERO, |endpoint| endpoint.timeout)
    }

    /// The headers, signed with every live secret: to be asked for when the call leaves.
    pub fn headers(&self) -> Option<CallHeaders<'_>> {
        let endpoint = self.config.endpoints.get(self.endpoint.0)?;
        let attempt = Attempt {
            id: self.meta.id,
            number: self.number,
            at: self.at,
            event_type: &self.meta.event_type,
            content_type: self.meta.content_type.as_deref(),
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
