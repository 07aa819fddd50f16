//! What a gateway says of itself in shared data, for whoever answers for it: the admin surface may stand in a filter of
//! its own, whose config knows no endpoint.
//!
//! `<name>/about` is written by the newest configuration when it begins to deliver. Which process it is, and since when,
//! stays what the first one wrote.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Endpoint};
use crate::message::EventId;
use crate::store::{Record, SharedStore, StoreError, Write, read, update};
use crate::time::WallTime;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Names the process: a random UUID.
    pub instance: Option<EventId>,
    /// When its first worker began.
    pub started: WallTime,
    /// The version of the filter that delivers.
    pub version: String,
    /// The config's `enabled`.
    pub enabled: bool,
    /// The endpoints, in the order of the config.
    pub endpoints: Vec<AboutEndpoint>,
}

/// An endpoint of the configuration that delivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutEndpoint {
    /// Its name.
    pub name: String,
    /// The config's `disabled`.
    pub disabled: bool,
    /// Changes with its entry in the config.
    pub digest: u64,
    /// How long its breaker stays open.
    pub open: Duration,
}

impl From<&Endpoint> for AboutEndpoint {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            name: endpoint.name.clone(),
            disabled: endpoint.disabled,
            digest: endpoint.digest,
            open: endpoint.breaker.open,
        }
    }
}

impl Record for About {
    const VERSION: u8 = 1;
}

impl About {
    /// Reads it; `None` before any gateway of this name has begun.
    ///
    /// # Errors
    /// The store's.
    pub fn read(store: &mut dyn SharedStore, prefix: &str) -> Result<Option<Self>, StoreError> {
        read(store, &key(prefix))
    }

    /// Says what this configuration is. `instance` and `now` count for the first one of the process.
    ///
    /// # Errors
    /// The store's.
    pub fn announce(
        store: &mut dyn SharedStore,
        prefix: &str,
        config: &Config,
        instance: EventId,
        now: WallTime,
    ) -> Result<(), StoreError> {
        update(store, &key(prefix), |about: &mut Self| {
            if about.instance.is_none() {
                (about.instance, about.started) = (Some(instance), now);
            }
            about.version = VERSION.to_owned();
            about.enabled = config.enabled;
            about.endpoints = config.endpoints.iter().map(AboutEndpoint::from).collect();
            (Write::Yes, ())
        })
    }
}

fn key(prefix: &str) -> String {
    format!("{prefix}/about")
}
