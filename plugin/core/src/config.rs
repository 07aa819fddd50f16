//! The configuration, valid by construction: whoever holds a [`Config`] need check nothing again.
//!
//! [`parse`] is the only way in. It reads JSON or a serialised `google.protobuf.Struct` into one tree (`document`),
//! walks it (`reader`) and either builds a `Config` or reports every problem at once, each with its path. A section is
//! a file below, and a default stands where its key is read.

use crate::egress::dead_letter::Room;
use crate::egress::endpoint::Endpoint;
use crate::egress::subscription::Subscriptions;
use crate::ids::EndpointId;
use crate::inbound::Rules;
use crate::ingress::payload;
use crate::ingress::request::RequestRules;
use crate::ingress::route::{Route, Routes};
use crate::ingress::template::Template;
use crate::rollout::Plan;
use crate::rollout::guard::Guard;

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

pub use error::{ConfigProblem, Problems};
pub use limits::HISTORY_MAX;
pub(crate) use reader::Node;
pub(crate) use rollout::percent;
pub use top::parse;
pub(crate) use top::read_body;
pub(crate) use values::choice;

/// A whole configuration.
#[derive(Debug)]
pub struct Config {
    /// Off until someone turns it on: a filter that is loaded but not configured to send never sends.
    pub enabled: bool,
    /// The `user-agent` of every delivery.
    pub user_agent: String,
    /// The routes, in the order of the config.
    pub routes: Routes,
    /// The endpoints, in the order of the config.
    pub endpoints: Vec<Endpoint>,
    /// Which share of the events goes to an endpoint.
    pub rollout: Rollout,
    /// What may not be in a payload; `None`: anything may.
    pub payload_guard: Option<payload::GuardRules>,
    /// What may be kept, and how much of it.
    pub limits: Limits,
    /// How operators see and change what it does; `None`: there is no admin surface at all.
    pub admin: Option<Admin>,
    /// Which requests are verified before the application sees them.
    pub inbound: Rules,
    /// Finds the endpoints of an event type.
    pub subscriptions: Subscriptions,
    /// The same for the same configuration under the same version of Gatepost, and practically only then.
    pub fingerprint: u64,
}

impl Config {
    /// What a request is held against on its way.
    pub fn request_rules(&self) -> RequestRules<'_> {
        RequestRules {
            admin: self.admin.as_ref().map(|admin| admin.path.as_str()),
            inbound: &self.inbound,
            routes: &self.routes,
            rollout_key: self.rollout.key.as_ref(),
            body_max: self.limits.body,
        }
    }

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

/// How operators see and change what the filter does.
#[derive(Debug)]
pub struct Admin {
    /// What its paths begin with, without a slash at the end.
    pub path: String,
    /// Who may; never empty.
    pub tokens: Vec<AdminToken>,
}

/// A bearer token of the admin surface.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AdminToken {
    /// Its SHA-256: the token itself is not kept.
    pub digest: [u8; 32],
    /// What its holder may do.
    pub role: Role,
}

impl std::fmt::Debug for AdminToken {
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

impl Limits {
    /// The two that are about dead letters.
    pub fn dead_letter_room(&self) -> Room {
        Room { letters: self.dead_letters, bytes: self.dead_letter_bytes }
    }
}

#[cfg(test)]
mod tests;
