//! The checks of operators' orders: what operators have ordered is in force a second later.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_core::admin::control::FilterState;
use serde_json::Value;

use super::invariant::{Broken, Invariant, broken};
use crate::plan::{Config, Endpoint, Plan};
use crate::receivers::Received;

/// The time after which an order is in force on all workers.
const IN_FORCE: Duration = Duration::from_secs(1);

/// The state that an operator put over the config's `enabled`.
#[derive(Clone, Copy, Debug)]
struct Stated {
    state: FilterState,
    /// The config's `enabled` at that time.
    over: bool,
    /// Since when nothing leaves, if the state stops attempts.
    since: Duration,
    /// A configuration with another `enabled` has been loaded since: the order is forgotten if that configuration has
    /// delivered for a while.
    may_be_forgotten: bool,
}

/// What operators have ordered.
#[derive(Debug, Default)]
pub struct Orders {
    stated: Option<Stated>,
    /// An order was given and its answer was lost.
    is_unknown: bool,
    /// When an order was given or a configuration loaded for the last time.
    changed: Duration,
    draining: Option<Duration>,
    /// Endpoints that an operator disabled, since when.
    disabled: BTreeMap<String, Duration>,
    /// Endpoints that answered 410, and when the gateway learned of that.
    gone: BTreeMap<String, Duration>,
}

impl Orders {
    /// Notes that an operator put this state over the config's `enabled`, which is `over`.
    pub fn state(&mut self, at: Duration, state: FilterState, over: bool) {
        let stopped = self.stated.filter(|stated| stated.over == over && stated.state != FilterState::Enabled);
        let since = stopped.filter(|_| !self.is_unknown).map_or(at, |stopped| stopped.since);
        self.stated = Some(Stated { state, over, since, may_be_forgotten: false });
        (self.is_unknown, self.changed, self.draining) = (false, at, None);
    }

    /// Notes that all overrides were taken back.
    pub fn overrides_deleted(&mut self, at: Duration) {
        (self.stated, self.is_unknown, self.changed, self.draining) = (None, false, at, None);
        self.disabled.clear();
    }

    /// Notes that another configuration was loaded: an order that was put over another `enabled` is in force no more,
    /// and is forgotten when the new configuration has delivered for a while.
    pub fn reconfigured(&mut self, at: Duration, enabled: bool) {
        self.changed = at;
        if let Some(stated) = &mut self.stated {
            stated.may_be_forgotten |= stated.over != enabled;
        }
    }

    /// Notes that a drain has begun.
    pub fn drain(&mut self, at: Duration) {
        self.draining.get_or_insert(at);
    }

    /// Notes that an endpoint was disabled or enabled.
    pub fn endpoint(&mut self, at: Duration, name: &str, disabled: bool) {
        self.gone.retain(|other, gone| other != name || *gone > at);
        if disabled {
            self.disabled.entry(name.to_owned()).or_insert(at);
        } else {
            self.disabled.remove(name);
        }
    }

    /// Notes that an order was given, and that nobody knows whether it is in force.
    pub fn lost(&mut self, at: Duration) {
        (self.is_unknown, self.changed, self.draining) = (true, at, None);
        self.disabled.clear();
    }

    /// Whether everything is on, as far as anybody knows.
    pub fn are_none(&self) -> bool {
        self.stated.is_none_or(|stated| stated.state == FilterState::Enabled)
            && !self.is_unknown
            && self.draining.is_none()
            && self.disabled.is_empty()
            && self.gone.is_empty()
    }

    /// Whether a drain goes on.
    pub fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// Whether new events may be refused: a drain goes on, or was ended just now.
    pub fn may_refuse(&self, at: Duration) -> bool {
        self.is_unknown || self.is_draining() || at < self.changed + IN_FORCE
    }

    /// Checks an attempt of this configuration: to an endpoint or, if that is `None`, to a sink.
    pub fn attempt(
        &mut self,
        plan: &Plan,
        config: &Config,
        endpoint: Option<&Endpoint>,
        got: &Received,
    ) -> Result<(), Broken> {
        let at = got.call.at;
        let place = || format!("{} to {} at {at:?}", config.agent, got.call.cluster);
        if !self.is_unknown {
            let stated = self.stated.filter(|stated| stated.over == config.enabled);
            let stops = match stated {
                Some(Stated { may_be_forgotten: true, .. }) => false,
                Some(stated) => stated.state != FilterState::Enabled && at >= stated.since + IN_FORCE,
                None => !config.enabled && at >= self.changed + IN_FORCE,
            };
            if stops {
                return broken(Invariant::Stopped, format!("{}, {stated:?}", place()));
            }
        }
        let Some(endpoint) = endpoint else { return Ok(()) };
        let stops = |since: Option<&Duration>| since.is_some_and(|since| at >= *since + IN_FORCE);
        if stops(self.disabled.get(&endpoint.name)) || stops(self.gone.get(&endpoint.name)) {
            return broken(Invariant::EndpointDisabled, place());
        }
        if plan.is_calm() && endpoint.ends_by_gone && got.end.status == Some(410) {
            let gone = self.gone.entry(endpoint.name.clone()).or_insert(got.end.at);
            *gone = got.end.at.min(*gone);
        }
        Ok(())
    }

    /// Checks what a producer was told at once, by a root of this configuration.
    pub fn answer(&self, at: Duration, config: &Config, status: u16, receipt: &Value) -> Result<(), Broken> {
        if self.is_unknown || at < self.changed + IN_FORCE {
            return Ok(());
        }
        let word = receipt.get("status").and_then(Value::as_str).unwrap_or_default();
        let stated = self.stated.filter(|stated| stated.over == config.enabled);
        if stated.is_some_and(|stated| stated.may_be_forgotten) {
            return Ok(());
        }
        let state = stated.map(|stated| stated.state);
        let state = state.unwrap_or(FilterState::configured(config.enabled));
        let is_so = match state {
            FilterState::Disabled => status == 503 || word == "disabled",
            _ if self.draining.is_some_and(|since| at >= since + IN_FORCE) => status == 503,
            FilterState::Paused => word != "disabled" && are_held(receipt),
            FilterState::Enabled => word != "disabled",
        };
        if is_so { Ok(()) } else { broken(Invariant::StoppedAnswers, format!("{status} {receipt} while {state:?}")) }
    }
}

/// Whether every delivery waits, or had no room.
fn are_held(receipt: &Value) -> bool {
    let deliveries = receipt.get("deliveries").and_then(Value::as_array);
    deliveries
        .into_iter()
        .flatten()
        .all(|delivery| matches!(delivery.get("status").and_then(Value::as_str), Some("held" | "failed")))
}
