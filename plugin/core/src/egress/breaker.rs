//! The circuit breaker of an endpoint: one for all workers, kept in shared data.
//!
//! ```text
//!              `failures` within `window`
//!   ┌────────┐ ─────────────────────────────▶ ┌──────┐
//!   │ Closed │                                │ Open │ ◀──────────┐
//!   └────────┘                                └──────┘            │
//!       ▲                                         │ `open` is over│ the probe failed
//!       │            ┌──────────┐                 ▼               │
//!       └─────────── │ HalfOpen │ ◀─── one VM claims the probe    │
//!  the probe         └──────────┘                                 │
//!  was answered           └───────────────────────────────────────┘
//! ```
//!
//! The record is read before every attempt and written only when it changes, so a healthy endpoint costs one read.
//! Compare-and-swap makes the claim of the probe exclusive. Should the VM that holds it die, the claim lapses at its
//! deadline and any VM may claim again. A result counts only in the epoch that admitted its attempt: an answer that
//! comes back after the breaker has opened and closed again says nothing about the receiver as it is now.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::{Ending, StatusSet};
use crate::time::Instant;

/// The time that a probe may take beyond the endpoint's timeout, before another VM takes its place.
pub const PROBE_GRACE: Duration = Duration::from_secs(5);

/// The policy of a circuit breaker: when it opens, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// The number of failures that open the breaker; 1 to 100.
    pub failures: u32,
    /// The window in which failures count: older ones are forgotten.
    pub window: Duration,
    /// How long the breaker stays open.
    pub open: Duration,
    /// What is counted.
    pub count: Count,
    /// The statuses that are failures; a timeout, reset or connect failure always is.
    pub statuses: StatusSet,
}

/// What a breaker counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Each attempt.
    Attempts,
    /// Each delivery, when its last attempt failed.
    Deliveries,
}

impl Default for BreakerPolicy {
    /// The default policy: five failures in two minutes are no accident; after a minute one probe costs little.
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(120),
            open: Duration::from_secs(60),
            count: Count::Attempts,
            statuses: StatusSet::default().with_class(5),
        }
    }
}

/// The circuit breaker of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    state: BreakerState,
    /// The number of transitions so far.
    epoch: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum BreakerState {
    /// Attempts leave. `failures` are the times of the last failures, oldest first.
    Closed { failures: Vec<Instant> },
    /// No attempt leaves.
    Open { until: Instant },
    /// One attempt, the probe, decides.
    HalfOpen { probe: Option<Probe> },
}

impl Default for BreakerState {
    fn default() -> Self {
        Self::Closed { failures: Vec::new() }
    }
}

/// The right to make the one attempt of a half-open breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The nonce of the VM that makes the attempt.
    pub owner: u64,
    /// When the claim lapses.
    pub deadline: Instant,
}

/// The position of a breaker, as metrics and logs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Attempts leave. In the metric: 0.
    Closed,
    /// No attempt leaves. In the metric: 1.
    Open,
    /// One attempt leaves, the probe. In the metric: 2.
    HalfOpen,
}

impl Position {
    /// The word for the position in answers.
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// The number of the position in the metric `gatepost_breaker_state`.
    pub fn number(self) -> u64 {
        match self {
            Self::Closed => 0,
            Self::Open => 1,
            Self::HalfOpen => 2,
        }
    }
}

/// The admission of an attempt: whether it may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes, with this permit.
    Admit(Permit),
    /// The probe is free: whoever wins [`Breaker::claim_probe`] may send.
    Probe,
    /// Not before `until`, unless the breaker changes first.
    Wait {
        /// When to ask again at the latest.
        until: Instant,
    },
}

/// The permit under which an attempt was admitted; the attempt's result is reported with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// A closed breaker, in this epoch.
    Closed {
        /// The epoch.
        epoch: u32,
    },
    /// The probe of a half-open breaker.
    Probe(Probe),
}

/// What an attempt says of the receiver's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The receiver took the delivery.
    Success,
    /// The receiver is in trouble.
    Failure,
    /// The receiver is there, but refused this delivery: no sign of trouble, no success either.
    Neutral,
}

impl Signal {
    /// The signal of an ending: a 2xx is a success; a lost connection, a timeout and the policy's statuses are
    /// failures; any other status is neutral.
    pub fn of(ending: Ending, policy: &BreakerPolicy) -> Self {
        match ending {
            Ending::Status(200..=299) => Self::Success,
            Ending::Status(status) if !policy.statuses.contains(status) => Self::Neutral,
            Ending::Status(_) | Ending::Timeout | Ending::Reset | Ending::Connect => Self::Failure,
        }
    }
}

/// The effect of a call on the breaker's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: no write is needed.
    Unchanged,
    /// The record, but not the position: the failures, or the probe.
    Counted,
    /// The position, to this one.
    Moved(Position),
}

impl Breaker {
    /// The position of the breaker.
    pub fn position(&self) -> Position {
        match self.state {
            BreakerState::Closed { .. } => Position::Closed,
            BreakerState::Open { .. } => Position::Open,
            BreakerState::HalfOpen { .. } => Position::HalfOpen,
        }
    }

    /// The epoch: the number of transitions so far. So each time that the breaker is half-open has an epoch of its own.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether an attempt may leave now.
    pub fn admission(&self, now: Instant) -> Admission {
        match self.state {
            BreakerState::Closed { .. } => Admission::Admit(Permit::Closed { epoch: self.epoch }),
            BreakerState::Open { until } if until > now => Admission::Wait { until },
            BreakerState::HalfOpen { probe: Some(probe) } if probe.deadline > now => {
                Admission::Wait { until: probe.deadline }
            }
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => Admission::Probe,
        }
    }

    /// Takes the free probe for `owner`; `None` when somebody else was faster or the breaker has moved on.
    pub fn claim_probe(&mut self, now: Instant, owner: u64, timeout: Duration) -> Option<(Probe, Effect)> {
        if self.admission(now) != Admission::Probe {
            return None;
        }
        let effect = match self.state {
            BreakerState::HalfOpen { .. } => Effect::Counted,
            BreakerState::Open { .. } | BreakerState::Closed { .. } => {
                self.epoch = self.epoch.wrapping_add(1);
                Effect::Moved(Position::HalfOpen)
            }
        };
        let probe = Probe { owner, deadline: now.plus(timeout).plus(PROBE_GRACE) };
        self.state = BreakerState::HalfOpen { probe: Some(probe) };
        Some((probe, effect))
    }

    /// Gives a probe back that was never sent.
    pub fn release_probe(&mut self, probe: Probe) -> Effect {
        if self.state != (BreakerState::HalfOpen { probe: Some(probe) }) {
            return Effect::Unchanged;
        }
        self.state = BreakerState::HalfOpen { probe: None };
        Effect::Counted
    }

    /// Reports how an attempt ended. `ended` says whether the delivery has failed for good with this attempt, which is
    /// what [`Count::Deliveries`] counts; a probe decides by its attempt whatever is counted.
    pub fn report(
        &mut self,
        now: Instant,
        permit: Permit,
        signal: Signal,
        ended: bool,
        policy: &BreakerPolicy,
    ) -> Effect {
        match (&mut self.state, permit) {
            (BreakerState::Closed { failures }, Permit::Closed { epoch }) if epoch == self.epoch => {
                let counted = policy.count == Count::Attempts || ended;
                match signal {
                    Signal::Failure if counted => {
                        failures.retain(|at| now.since(*at) < policy.window);
                        failures.push(now);
                        if failures.len() < policy.failures as usize {
                            return Effect::Counted;
                        }
                        self.open(now, policy.open)
                    }
                    Signal::Success if !failures.is_empty() => {
                        failures.remove(0);
                        Effect::Counted
                    }
                    Signal::Success | Signal::Failure | Signal::Neutral => Effect::Unchanged,
                }
            }
            (BreakerState::HalfOpen { probe: Some(current) }, Permit::Probe(probe)) if *current == probe => {
                match signal {
                    Signal::Failure => self.open(now, policy.open),
                    // The receiver answered: it is there again.
                    Signal::Success | Signal::Neutral => self.close(),
                }
            }
            _ => Effect::Unchanged,
        }
    }

    /// Opens the breaker for the time `open`, after failures or for an operator.
    pub fn open(&mut self, now: Instant, open: Duration) -> Effect {
        self.epoch = self.epoch.wrapping_add(1);
        self.state = BreakerState::Open { until: now.plus(open) };
        Effect::Moved(Position::Open)
    }

    /// Closes the breaker, after a probe or for an operator; earlier failures are forgotten.
    pub fn close(&mut self) -> Effect {
        self.epoch = self.epoch.wrapping_add(1);
        self.state = BreakerState::default();
        Effect::Moved(Position::Closed)
    }
}

#[cfg(test)]
mod tests;
