//! Whether an objective is met.

use serde::Serialize;

/// Whether an objective is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Attainment {
    /// It is.
    Met,
    /// It is not.
    Missed,
    /// Nobody can say.
    NoData,
}

impl Attainment {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::NoData => "no data",
        }
    }

    /// Of an objective that there are figures for.
    pub fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::Missed }
    }
}
