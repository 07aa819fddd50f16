//! The answers of the admin surface as JSON: the filter writes these types, the command line reads them.
//!
//! A gateway may be newer or older than its operator's command. So a member that the reader does not know is ignored,
//! and one that is missing has its default, but for `instance`: what has none is no answer of a gateway. Words such as
//! `paused` are text and no enum: a word that only a newer gateway knows must not make a whole status unreadable.
//!
//! Members stand in the order of the fields. One that is `skip`ped is absent when there is nothing to say, any other is
//! `null`.

use serde::{Deserialize, Serialize};

pub use crate::answer::{Process, Word};

mod events;
mod hours;
mod status;

pub use events::{
    AttemptView, Deliveries, DeliveryView, EventDeliveries, EventView, LetterView, Letters, ListedDelivery, Redelivered,
};
pub use hours::{HourView, HoursView, Outcomes};
pub use status::{BreakerView, Counters, EndpointView, Part, RolloutView, Status, WindowView};

/// `GET health`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Health {
    /// Who answers.
    #[serde(flatten)]
    pub process: Process,
    /// `ok` or `draining`.
    pub status: Word,
}

/// `POST drain`, once nothing is pending; before that it is a problem with the same counts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Drained {
    /// Who answers.
    #[serde(flatten)]
    pub process: Process,
    /// `drained`.
    pub status: Word,
    /// Deliveries that have not ended: 0.
    pub pending: u64,
    /// Those that wait for an operator: 0.
    pub held: u64,
}

#[cfg(test)]
mod tests;
