//! The switches of operators while the gateway runs, in shared data: one truth for all workers.
//!
//! `<name>/control` holds the override of the config's `enabled`, and whether the gateway drains. An override remembers
//! the value that it was put over: it lasts until it is deleted or the config has another value. The switches of one
//! endpoint stand in that endpoint's own record ([`crate::egress::state`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, Write, read, update};
use crate::time::{Instant, WallTime};

/// The greatest age of a worker's copy of a record when the worker takes an event or starts an attempt. So a switch is
/// in force everywhere well within a second, and not every event costs a host call.
pub const REREAD: Duration = Duration::from_millis(250);

/// The state of the filter: what is done with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilterState {
    /// Events are taken and delivered.
    Enabled,
    /// Events are taken and wait; no attempt starts.
    Paused,
    /// New events are discarded; events that were taken before wait.
    Disabled,
}

impl FilterState {
    /// The states, with their words on the admin surface.
    pub const WORDS: [(&'static str, Self); 3] =
        [("enabled", Self::Enabled), ("paused", Self::Paused), ("disabled", Self::Disabled)];

    /// The state that the config's `enabled` gives.
    pub fn configured(enabled: bool) -> Self {
        if enabled { Self::Enabled } else { Self::Disabled }
    }

    /// The word of the state on the admin surface.
    pub fn label(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// A state that an operator chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateOverride {
    /// The state.
    pub state: FilterState,
    /// The config's `enabled` when the override was set.
    pub over: bool,
    /// The operator's reason, which may be empty.
    pub reason: String,
    /// When the override was set.
    pub at: WallTime,
}

/// The record of the operators' switches of a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    state: Option<StateOverride>,
    /// New events are refused: the process is about to end.
    pub draining: bool,
}

impl Stored for Control {
    const NAME: &'static str = "control";
}

impl Record for Control {
    const VERSION: u8 = 1;
}

impl Control {
    /// Reads the record.
    ///
    /// # Errors
    /// The store's.
    pub fn read(store: &mut dyn SharedStore, keys: &Keys) -> Result<Self, StoreError> {
        Ok(read(store, &keys.single())?.unwrap_or_default())
    }

    /// Changes the record.
    ///
    /// # Errors
    /// The store's.
    pub fn change(
        store: &mut dyn SharedStore,
        keys: &Keys,
        change: &mut dyn FnMut(&mut Self),
    ) -> Result<(), StoreError> {
        update(store, &keys.single(), |control: &mut Self| {
            let before = control.clone();
            change(control);
            (if *control == before { Write::No } else { Write::Yes }, ())
        })
    }

    /// The override, whether it is in force or not.
    pub fn any_override(&self) -> Option<&StateOverride> {
        self.state.as_ref()
    }

    /// Puts an override of the fleet's in the place of the one here. A drain is this gateway's own.
    pub fn take_override(&mut self, state: Option<StateOverride>) {
        self.state = state;
    }

    /// The override that is in force if the config has this `enabled`.
    pub fn override_of(&self, enabled: bool) -> Option<&StateOverride> {
        self.state.as_ref().filter(|state| state.over == enabled)
    }

    /// The state of the filter if the config has this `enabled`.
    pub fn state(&self, enabled: bool) -> FilterState {
        self.override_of(enabled).map_or(FilterState::configured(enabled), |state| state.state)
    }

    /// Forgets an override that was put over another value than this `enabled` of the config.
    pub fn forget_lapsed(&mut self, enabled: bool) {
        self.state.take_if(|state| state.over != enabled);
    }

    /// Puts a state over the config's `enabled`. Any such state ends a drain.
    pub fn set_state(&mut self, state: StateOverride) {
        *self = Self { state: Some(state), draining: false };
    }
}

/// A worker's copy of the record.
#[derive(Debug, Default)]
pub struct Cached {
    control: Control,
    read: Option<Instant>,
}

impl Cached {
    /// Reads the record again if the copy is [`REREAD`] old.
    ///
    /// # Errors
    /// The store's; the copy stays, and the next call tries again.
    pub fn refresh(&mut self, store: &mut dyn SharedStore, keys: &Keys, now: Instant) -> Result<(), StoreError> {
        if self.read.is_some_and(|read| now.since(read) < REREAD) {
            return Ok(());
        }
        self.control = Control::read(store, keys)?;
        self.read = Some(now);
        Ok(())
    }

    /// The record as read last.
    pub fn get(&self) -> &Control {
        &self.control
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::store::recorded::assert_recorded;

    fn paused(over: bool) -> StateOverride {
        StateOverride { state: FilterState::Paused, over, reason: "a test".to_owned(), at: WallTime::default() }
    }

    #[test]
    fn without_an_override_the_config_says_what_is_done() {
        assert_eq!(Control::default().state(true), FilterState::Enabled);
        assert_eq!(Control::default().state(false), FilterState::Disabled);
    }

    #[test]
    fn an_override_lasts_until_the_value_it_was_put_over_changes() {
        let mut control = Control::default();
        control.set_state(paused(true));
        assert_eq!(control.state(true), FilterState::Paused);
        assert_eq!(control.state(false), FilterState::Disabled);
    }

    #[test]
    fn a_new_state_ends_a_drain() {
        let mut control = Control { draining: true, ..Control::default() };
        control.set_state(paused(true));
        assert!(!control.draining);
    }

    /// A worker reads the change of another worker after a quarter of a second.
    #[test]
    fn control_change_is_seen_after_a_quarter_second() {
        let (mut store, mut cached) = (MemoryStore::default(), Cached::default());
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        cached.refresh(&mut store, &Keys::new("g"), at(1000)).unwrap();
        Control::change(&mut store, &Keys::new("g"), &mut |control| control.set_state(paused(true))).unwrap();
        cached.refresh(&mut store, &Keys::new("g"), at(1249)).unwrap();
        assert_eq!(cached.get().state(true), FilterState::Enabled);
        cached.refresh(&mut store, &Keys::new("g"), at(1250)).unwrap();
        assert_eq!(cached.get().state(true), FilterState::Paused);
    }

    /// Overrides are read and written as the previous release wrote them.
    #[test]
    fn overrides_format_matches_previous_release() {
        assert_recorded("control none", &Control::default());
        for (word, state) in FilterState::WORDS {
            let (over, reason) = (state == FilterState::Paused, "é".repeat(100));
            let state = StateOverride { state, over, reason, at: WallTime::from_millis(1_700_000_000_000) };
            assert_recorded(&format!("control {word}"), &Control { state: Some(state), draining: !over });
        }
    }
}
