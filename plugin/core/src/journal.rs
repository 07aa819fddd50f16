//! The journal: what outlives the process.
//!
//! With a journal an event counts as accepted once it is committed in a store that outlives the gateway, and any living
//! gateway takes over what a dead one had accepted. Without one, an event lives as long as its Envoy
//! ([`crate::ledger`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub mod announcement;
pub mod batches;
#[cfg(any(test, feature = "journal-contract"))]
#[allow(clippy::panic, clippy::indexing_slicing, reason = "these are tests, and only compiled into tests")]
pub mod contract;
pub mod documents;
pub mod etcd;
pub mod event;
pub mod ids;
pub mod jobs;
pub mod keys;
pub mod letters;
#[cfg(test)]
pub mod memory;
pub mod message_queue;
pub mod messages;
pub mod operation;
pub mod record;
pub mod segments;
pub mod takeover;
pub mod writer;

/// The settings of a journal: the section `journal` of the config.
#[derive(Debug)]
pub struct JournalSettings {
    /// How the etcd that holds the journal is reached.
    pub etcd: EtcdSettings,
    /// After so much silence of a gateway another one takes over what it had accepted.
    pub lease: Duration,
    /// What is done with an event that cannot be committed.
    pub unavailable: Unavailable,
    /// The largest size of what the fleet keeps in the store, in bytes; past it new events are refused.
    pub bytes: u64,
}

/// How an etcd is reached.
#[derive(Debug)]
pub struct EtcdSettings {
    /// The Envoy cluster with all members.
    pub cluster: String,
    /// What all keys begin with, without a slash at its end: gateways with one prefix are one fleet.
    pub prefix: String,
    /// The user to authenticate as; `None`: etcd asks for none, or knows the gateway by its certificate.
    pub user: Option<EtcdUser>,
}

/// A user of etcd with a password.
pub struct EtcdUser {
    /// The user's name.
    pub name: String,
    /// The user's password.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for EtcdUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What is done with an event that cannot be committed in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Its producer is answered 503, and may try again.
    Reject,
    /// It is accepted into the memory of its gateway, and its producer is told so.
    Memory,
}

/// How the journal serves, from well to unwell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum JournalState {
    /// It takes events.
    #[default]
    Ok,
    /// It has no room: only what frees room goes through.
    Full,
    /// It does not answer, or refuses the gateway.
    Unavailable,
}

impl JournalState {
    /// The word in answers.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Full => "full",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Where an accepted event is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// In the journal: the event outlives its gateway.
    Journal,
    /// In the memory of its gateway.
    Memory,
}

impl Durability {
    /// The word in a config and in a receipt.
    pub fn label(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Memory => "memory",
        }
    }
}
