//! Why a request is not taken.

use std::fmt;
use std::time::Duration;

use crate::time::shown_duration;

/// Why a request is not taken. Printed, it is one sentence that helps its sender, and tells nobody what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<'a> {
    /// There is no signature.
    Unsigned {
        /// The header it should be in.
        header: &'a str,
    },
    /// A header of the scheme is not what it should be.
    Malformed {
        /// Which.
        header: &'a str,
        /// What it should be.
        expected: &'static str,
    },
    /// It was signed too long ago.
    Stale {
        /// What is tolerated.
        past: Duration,
    },
    /// It was signed too far ahead.
    Early {
        /// What is tolerated.
        future: Duration,
    },
    /// No signature is one under a live secret.
    Mismatch,
    /// No secret is live now.
    NoSecret,
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned { header } => write!(f, "the request is not signed: it has no header {header}"),
            Self::Malformed { header, expected } => write!(f, "the header {header} is not {expected}"),
            Self::Stale { past } => {
                write!(f, "the timestamp is more than {} in the past", shown_duration(*past))
            }
            Self::Early { future } => {
                write!(f, "the timestamp is more than {} in the future", shown_duration(*future))
            }
            Self::Mismatch => f.write_str(
                "no signature fits the body: the secret differs, or the body is not, byte for byte, what was signed",
            ),
            Self::NoSecret => f.write_str("no secret is valid at this time"),
        }
    }
}
