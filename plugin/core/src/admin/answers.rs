//! The answers of the admin surface as JSON: the filter writes these types, the command line reads them.
//!
//! A gateway may be newer or older than its operator's command. So a member that the reader does not know is ignored,
//! and one that is missing has its default, but for `instance`: what has none is no answer of a gateway. Words such as
//! `paused` are text and no enum: a word that only a newer gateway knows must not make a whole status unreadable.
//!
//! Members stand in the order of the fields. One that is `skip`ped is absent when there is nothing to say, any other is
//! `null`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};

use crate::time::{WallTime, rfc3339};

mod events;
mod hours;
mod status;

pub use events::{Attempt, Deliveries, Delivery, Event, EventDeliveries, Letter, Letters, Listed, Redelivered};
pub use hours::{Hour, Hours, Outcomes};
pub use status::{Breaker, Counters, Endpoint, Part, Rollout, Status, Window};

/// One of the surface's words, such as `paused`.
pub type Word = Cow<'static, str>;

/// The Envoy process that answers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Process {
    /// Its name, a UUID: another one after each start.
    pub instance: String,
    /// When its first worker began.
    #[serde(default, with = "rfc3339")]
    pub started_at: WallTime,
}

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

/// Writes a share, or that there is none; a whole one as the config does, without a fraction: `25`, `12.5`.
pub(crate) fn percent<S: Serializer>(
    share: &(impl Copy + Into<Option<f64>>),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match (*share).into() {
        None => serializer.serialize_none(),
        Some(whole) if whole.fract() == 0.0 => serializer.serialize_u64(whole as u64),
        Some(share) => serializer.serialize_f64(share),
    }
}

#[cfg(test)]
mod tests;
