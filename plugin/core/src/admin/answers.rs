//! The answers of the admin surface as JSON: the filter writes these types, the command line reads them.
//!
//! A gateway may be newer or older than its operator's command. So a member that the reader does not know is ignored,
//! and a member that is missing has its default, but for `instance`: a body without `instance` is no answer of a
//! gateway. Words such as `paused` are text and no enum: a word that only a newer gateway knows must not make a whole
//! status unreadable.
//!
//! Members stand in the order of the fields. A member without a value is absent if its field has `skip_serializing_if`,
//! else `null`.

use serde::{Deserialize, Serialize};

pub use crate::answer::{Process, Word};

mod events;
mod fleet;
mod hours;
mod status;

pub use events::{
    AttemptView, Deliveries, DeliveryView, EventDeliveries, EventView, LetterView, Letters, ListedDelivery, Redelivered,
};
pub use fleet::{Fleet, GatewayView, JournalView};
pub use hours::{HourView, HoursView, Outcomes};
pub use status::{BreakerView, Counters, EndpointView, NO_BREAKER, Part, RolloutView, Status, WindowView};

/// The answer to `GET health`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Health {
    /// The process that answers.
    #[serde(flatten)]
    pub process: Process,
    /// `ok` or `draining`.
    pub status: Word,
}

/// The answer to `POST drain`, once nothing is pending; before that the answer is a problem with the same counts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Drained {
    /// The process that answers.
    #[serde(flatten)]
    pub process: Process,
    /// The word `drained`.
    pub status: Word,
    /// Deliveries that have not ended: 0.
    pub pending: u64,
    /// Deliveries that wait for an operator: 0.
    pub held: u64,
}

#[cfg(test)]
mod tests;
