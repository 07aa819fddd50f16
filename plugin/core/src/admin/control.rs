//! What operators say while the gateway runs, in shared data: one truth for all workers.
//!
//! `<name>/control` holds the overrides of the config's switch. An override remembers the value it was put over: it
//! lasts until it is deleted or the config says something else. What concerns one endpoint stands in that endpoint's own
//! record ([`crate::egress::state`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::keys::{Keys, Stored};
use crate::store::{Record, SharedStore, StoreError, Write, read, update};
use crate::time::{Instant, WallTime};

/// How old what a worker knows may be when it takes an event or starts an attempt: a switch is in force everywhere well
/// within a second, and a host call is not spent on every event.
pub const REREAD: Duration = Duration::from_millis(250);

/// What is done with events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilterState {
    /// They are taken and delivered.
    Enabled,
    /// They are taken and wait; no attempt starts.
    Paused,
    /// They are discarded; what was taken before waits.
    Disabled,
}

impl FilterState {
    /// The words of the admin surface.
    pub const WORDS: [(&'static str, Self); 3] =
        [("enabled", Self::Enabled), ("paused", Self::Paused), ("disabled", Self::Disabled)];

    /// What the config's `enabled` says.
    pub fn configured(enabled: bool) -> Self {
        if enabled { Self::Enabled } else { Self::Disabled }
    }

    /// Its word.
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
    /// The config's `enabled` at that time.
    pub over: bool,
    /// Why, in the operator's words; it may be empty.
    pub reason: String,
    /// When.
    pub at: WallTime,
}

/// The record of a plugin's overrides.
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
    /// Reads it.
    ///
    /// # Errors
    /// The store's.
    pub fn read(store: &mut dyn SharedStore, keys: &Keys) -> Result<Self, StoreError> {
        Ok(read(store, &keys.single())?.unwrap_or_default())
    }

    /// Changes it.
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

    /// The override that is in force where the config says `enabled`.
    pub fn override_of(&self, enabled: bool) -> Option<&StateOverride> {
        self.state.as_ref().filter(|state| state.over == enabled)
    }

    /// What is done with events where the config says `enabled`.
    pub fn state(&self, enabled: bool) -> FilterState {
        self.override_of(enabled).map_or(FilterState::configured(enabled), |state| state.state)
    }

    /// Forgets an override whose time is over where the config says `enabled`.
    pub fn forget_lapsed(&mut self, enabled: bool) {
        self.state.take_if(|state| state.over != enabled);
    }

    /// Puts a state over the config's. Whatever it is, a drain ends with it.
    pub fn set_state(&mut self, state: StateOverride) {
        *self = Self { state: Some(state), draining: false };
    }
}

/// What a worker knows of the record.
#[derive(Debug, Default)]
pub struct Cached {
    control: Control,
    read: Option<Instant>,
}

impl Cached {
    /// Reads the record again when it is time.
    ///
    /// # Errors
    /// The store's; what was known stays, and the next call tries again.
    pub fn refresh(&mut self, store: &mut dyn SharedStore, keys: &Keys, now: Instant) -> Result<(), StoreError> {
        if self.read.is_some_and(|read| now.since(read) < REREAD) {
            return Ok(());
        }
        self.control = Control::read(store, keys)?;
        self.read = Some(now);
        Ok(())
    }

    /// What is known.
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

    #[test]
    fn a_worker_reads_what_another_wrote_after_a_quarter_of_a_second() {
        let (mut store, mut cached) = (MemoryStore::default(), Cached::default());
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        cached.refresh(&mut store, &Keys::new("g"), at(1000)).unwrap();
        Control::change(&mut store, &Keys::new("g"), &mut |control| control.set_state(paused(true))).unwrap();
        cached.refresh(&mut store, &Keys::new("g"), at(1249)).unwrap();
        assert_eq!(cached.get().state(true), FilterState::Enabled);
        cached.refresh(&mut store, &Keys::new("g"), at(1250)).unwrap();
        assert_eq!(cached.get().state(true), FilterState::Paused);
    }

    #[test]
    fn overrides_are_read_and_written_as_the_previous_release_wrote_them() {
        assert_recorded("control none", &Control::default());
        for (word, state) in FilterState::WORDS {
            let (over, reason) = (state == FilterState::Paused, "é".repeat(100));
            let state = StateOverride { state, over, reason, at: WallTime::from_millis(1_700_000_000_000) };
            assert_recorded(&format!("control {word}"), &Control { state: Some(state), draining: !over });
        }
    }
}
