//! The description of a gateway in shared data, for whoever answers for the gateway: the admin surface may be a filter
//! of its own, whose config has no endpoint.
//!
//! `<name>/about` is written by the newest configuration when it begins to deliver. The name and the start of the
//! process stay as the first configuration wrote them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::admin::control::{Control, FilterState};
use crate::config::Config;
use crate::egress::endpoint::Endpoint;
use crate::egress::operational::{News, NewsKinds};
use crate::egress::state::EndpointKeys;
use crate::ids::EventId;
use crate::ledger::record::{DeliveryRecord, Stage};
use crate::rollout::{Plan, Progress, guard};
use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, Write, read, update};
use crate::time::{Now, WallTime};

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The description of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The name of the process, a random UUID; `None`: no configuration has been announced yet.
    pub instance: Option<EventId>,
    /// When the first worker of the process began to deliver.
    pub started: WallTime,
    /// The version of the filter that delivers.
    pub version: String,
    /// The config's `enabled`.
    pub enabled: bool,
    /// The endpoints, in the order of the config.
    pub endpoints: Vec<AboutEndpoint>,
    /// The rollout plan of the endpoints.
    pub plan: Plan,
    /// How far back the guard looks.
    pub window: Duration,
}

/// An endpoint of the configuration that delivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutEndpoint {
    /// The name of the endpoint.
    pub name: String,
    /// The endpoint's `disabled` in the config.
    pub disabled: bool,
    /// The digest of the endpoint's entry in the config.
    pub digest: u64,
    /// How long the endpoint's breaker stays open; zero: it has none.
    pub open: Duration,
    /// The kinds of operational events that the endpoint wants.
    pub operational: NewsKinds,
}

impl From<&Endpoint> for AboutEndpoint {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            name: endpoint.name.clone(),
            disabled: endpoint.disabled,
            digest: endpoint.digest,
            open: endpoint.breaker.as_ref().map_or(Duration::ZERO, |policy| policy.open),
            operational: endpoint.operational,
        }
    }
}

/// What holds deliveries back for an operator: such deliveries would never end by themselves.
#[derive(Debug)]
pub struct Held<'a> {
    /// The filter is paused or disabled, so all deliveries wait.
    is_off: bool,
    /// The names of the endpoints that are disabled or rolled back.
    endpoints: Vec<&'a str>,
}

impl Held<'_> {
    /// Says whether this delivery is held. A dead letter goes to its sink even if its endpoint is disabled or rolled
    /// back.
    pub fn holds(&self, delivery: &DeliveryRecord<String>) -> bool {
        let of_endpoint = matches!(delivery.stage, Stage::Waiting { .. });
        self.is_off || of_endpoint && self.endpoints.contains(&delivery.endpoint.as_str())
    }
}

impl AboutEndpoint {
    /// Says whether the endpoint is to get this operational event: it asks for the kind, and the event is not about it.
    pub fn wants(&self, news: &News<'_>) -> bool {
        news.is_for(&self.name, self.operational)
    }

    /// Says whether the endpoint has a circuit breaker. The config takes none that stays open for no time.
    pub fn has_breaker(&self) -> bool {
        self.open > Duration::ZERO
    }

    /// Says whether the endpoint is disabled or rolled back: its deliveries wait for an operator then.
    fn is_held(&self, store: &mut dyn SharedStore, keys: &Keys, plan: &Plan, now: Now) -> Result<bool, StoreError> {
        if EndpointKeys::new(keys, &self.name).shared(store)?.disables(self.disabled, self.digest) {
            return Ok(true);
        }
        let kept = read::<Progress>(store, &keys.of(&self.name))?;
        Ok(Progress::under(kept, plan, now).rolled_back.is_some())
    }
}

impl Stored for About {
    const NAME: &'static str = "about";
}

impl Record for About {
    const VERSION: u8 = 1;
}

impl About {
    /// Reads the description; `None` before any gateway of this name has begun.
    ///
    /// # Errors
    /// The store's.
    pub fn read(store: &mut dyn SharedStore, keys: &Keys) -> Result<Option<Self>, StoreError> {
        read(store, &keys.single())
    }

    /// What holds deliveries back until an operator or the config changes it.
    ///
    /// # Errors
    /// The store's.
    pub fn held(&self, store: &mut dyn SharedStore, keys: &Keys, now: Now) -> Result<Held<'_>, StoreError> {
        let is_off = Control::read(store, keys)?.state(self.enabled) != FilterState::Enabled;
        let mut held = Held { is_off, endpoints: Vec::new() };
        for endpoint in &self.endpoints {
            if endpoint.is_held(store, keys, &self.plan, now)? {
                held.endpoints.push(&endpoint.name);
            }
        }
        Ok(held)
    }

    /// Writes the description for this configuration. Returns the names of the endpoints that the configuration before
    /// had and this one lacks. `instance` and `now` are written by the first configuration of the process only.
    ///
    /// # Errors
    /// The store's.
    pub fn announce(
        store: &mut dyn SharedStore,
        keys: &Keys,
        config: &Config,
        instance: EventId,
        now: WallTime,
    ) -> Result<Vec<String>, StoreError> {
        update(store, &keys.single(), |about: &mut Self| {
            let is_gone = |name: &String| !config.endpoints.iter().any(|endpoint| endpoint.name == *name);
            let before = std::mem::take(&mut about.endpoints).into_iter().map(|endpoint| endpoint.name);
            let gone = before.filter(is_gone).collect();
            if about.instance.is_none() {
                (about.instance, about.started) = (Some(instance), now);
            }
            about.version = VERSION.to_owned();
            about.enabled = config.enabled;
            about.endpoints = config.endpoints.iter().map(AboutEndpoint::from).collect();
            about.plan = config.rollout.plan.clone();
            about.window = guard::window(config.rollout.guard.as_ref());
            (Write::Yes, gone)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::subscription::EventPattern;
    use crate::rollout::{Percent, Phase};
    use crate::store::recorded::assert_recorded;

    #[test]
    fn it_is_read_and_written_as_the_previous_release_wrote_it() {
        assert_recorded("about none", &About::default());
        let hour = Duration::from_secs(3600);
        let phases = vec![
            Phase { percent: Percent(500), length: Some(hour + Duration::from_nanos(999_999_999)), is_manual: true },
            Phase { percent: Percent::ALL, length: None, is_manual: false },
        ];
        let start = WallTime::from_millis(1_700_000_000_000);
        let endpoint = AboutEndpoint {
            name: "billing".to_owned(),
            disabled: true,
            digest: 1 << 63,
            open: Duration::from_millis(1500),
            operational: NewsKinds::of(&[EventPattern::parse("gatepost.**").unwrap()]),
        };
        let about = About {
            instance: Some(EventId(*b"0123456789abcdef")),
            started: start,
            version: "1.2.3".to_owned(),
            enabled: true,
            endpoints: vec![endpoint],
            plan: Plan { percent: Percent(1250), start: Some(start), phases, digest: 128 },
            window: Duration::MAX,
        };
        assert_recorded("about", &about);
    }
}
