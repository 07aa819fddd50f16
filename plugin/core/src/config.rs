//! The configuration, valid by construction: whoever holds a [`Config`] need check nothing again.
//!
//! [`parse`] is the only way in. It reads JSON or a serialised `google.protobuf.Struct` into one tree (`document`),
//! walks the tree (`reader`), and either builds a `Config` or reports every problem at once, each with its path. Each
//! section of the configuration has a file below; the default of a key stands where the key is read.

use crate::egress::dead_letter::Room;
use crate::egress::endpoint::Endpoint;
use crate::egress::filter::Subject;
use crate::egress::subscription::Subscriptions;
use crate::ids::EndpointId;
use crate::inbound::Rules;
use crate::ingress::payload;
use crate::ingress::request::RequestRules;
use crate::ingress::route::{Route, Routes};
use crate::ingress::template::Template;
use crate::journal::JournalSettings;
use crate::rollout::Plan;
use crate::rollout::guard::Guard;

mod admin;
mod custom;
mod delivery;
mod document;
mod endpoints;
mod error;
mod filter;
mod inbound;
mod journal;
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
pub(crate) use top::read_body;
pub use top::{KEYS, parse};
pub(crate) use values::choice;

/// A whole configuration.
#[derive(Debug)]
pub struct Config {
    /// Whether the filter sends. Off by default: a filter that is loaded but not configured to send never sends.
    pub enabled: bool,
    /// The `user-agent` of every delivery.
    pub user_agent: String,
    /// The routes, in the order of the config.
    pub routes: Routes,
    /// The endpoints, in the order of the config.
    pub endpoints: Vec<Endpoint>,
    /// The rollout: which share of the events goes to an endpoint.
    pub rollout: Rollout,
    /// The rules of the payload guard; `None`: anything may be in a payload.
    pub payload_guard: Option<payload::GuardRules>,
    /// The limits of what is kept.
    pub limits: Limits,
    /// The admin surface, over which operators look at the filter and change what it does; `None`: there is none.
    pub admin: Option<Admin>,
    /// The inbound rules: which requests are verified before the application sees them.
    pub inbound: Rules,
    /// The journal that accepted events are committed in; `None`: they live as long as their gateway.
    pub journal: Option<JournalSettings>,
    /// The subscriptions, which find the endpoints of an event type.
    pub subscriptions: Subscriptions,
    /// The request headers that filters of endpoints look at; in lower case.
    pub filter_headers: Vec<String>,
    /// The fingerprint of the configuration and the version of Gatepost: equal for equal ones, and practically only for
    /// those.
    pub fingerprint: u64,
}

impl Config {
    /// The parts of the configuration that decide about requests.
    pub fn request_rules(&self) -> RequestRules<'_> {
        RequestRules {
            admin: self.admin.as_ref().map(|admin| admin.path.as_str()),
            inbound: &self.inbound,
            routes: &self.routes,
            rollout_key: self.rollout.key.as_ref(),
            body_max: self.limits.body,
            is_guarded: self.payload_guard.is_some(),
            filter_headers: &self.filter_headers,
        }
    }

    /// The endpoints that an event of this type goes to, ascending: those that subscribe to the type, of those that the
    /// route feeds.
    pub fn endpoints_for(&self, route: &Route, event_type: &str) -> Vec<EndpointId> {
        let mut wanting = self.subscriptions.matching(event_type);
        if let Some(fed) = &route.endpoints {
            wanting.retain(|endpoint| fed.binary_search(endpoint).is_ok());
        }
        wanting
    }

    /// Says whether an event passes the filter of an endpoint.
    pub fn passes(&self, endpoint: EndpointId, subject: &Subject<'_>) -> bool {
        let filter = self.endpoints.get(endpoint.0).and_then(|endpoint| endpoint.filter.as_ref());
        filter.is_none_or(|filter| filter.matches(subject))
    }
}

/// The section `rollout`: which share of the events goes to an endpoint, and what rolls the rollout back.
#[derive(Debug, Default)]
pub struct Rollout {
    /// The plan: the shares, and when they change.
    pub plan: Plan,
    /// The template of the rollout key, which decides which events are in the rollout. Without a template, or where a
    /// request does not fill it, the event's id is the key.
    pub key: Option<Template>,
    /// The guard, which watches the rollout; `None`: nothing is watched.
    pub guard: Option<Guard>,
}

/// The section `admin`: the admin surface, over which operators look at the filter and change what it does.
#[derive(Debug)]
pub struct Admin {
    /// The prefix of the surface's paths, without a slash at its end.
    pub path: String,
    /// The bearer tokens that give access; never empty.
    pub tokens: Vec<AdminToken>,
}

/// A bearer token of the admin surface.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AdminToken {
    /// The SHA-256 of the token; the token itself is not kept.
    pub digest: [u8; 32],
    /// The role of the token's holder.
    pub role: Role,
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The role of a token: what its holder may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The holder may look.
    Read,
    /// The holder may look and change.
    Operate,
}

impl Role {
    /// The word for the role.
    pub fn label(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

/// The section `limits`: how much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest size of a request body, in bytes.
    pub body: usize,
    /// The largest number of deliveries that wait in one worker.
    pub pending: u32,
    /// The largest size of the bodies that wait in one worker, together, in bytes.
    pub pending_bytes: u64,
    /// The largest number of dead letters that are kept in the process.
    pub dead_letters: u32,
    /// The largest size of the dead letters that are kept in the process, together, in bytes.
    pub dead_letter_bytes: u64,
    /// The number of idempotency keys that are remembered in the process.
    pub idempotency_keys: u32,
    /// The number of events that the history of the process remembers.
    pub history: u32,
}

impl Limits {
    /// The limits of the ring of dead letters.
    pub fn dead_letter_room(&self) -> Room {
        Room { letters: self.dead_letters, bytes: self.dead_letter_bytes }
    }
}

#[cfg(test)]
mod tests;
