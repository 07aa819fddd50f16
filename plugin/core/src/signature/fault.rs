//! The faults of a request's signature.

use std::fmt;
use std::time::Duration;

use crate::time::shown_duration;

/// The fault of a request's signature, for which the request is refused. Printed, a fault is one sentence that helps
/// the sender, and tells nobody what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<'a> {
    /// The request has no signature.
    Unsigned {
        /// The header that should carry the signature.
        header: &'a str,
    },
    /// A header of the scheme is not what it should be.
    Malformed {
        /// The name of the header.
        header: &'a str,
        /// What the header should be.
        expected: &'a str,
    },
    /// The timestamp in the body is not what it should be.
    BodyTime {
        /// What the timestamp should be.
        expected: &'a str,
    },
    /// The request was signed too long ago.
    Stale {
        /// How long ago is tolerated.
        past: Duration,
    },
    /// The signed time is too far ahead.
    Early {
        /// How far ahead is tolerated.
        future: Duration,
    },
    /// No signature of the request fits a live secret.
    Mismatch,
    /// No secret is live at the signed time.
    NoSecret,
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned { header } => write!(f, "the request is not signed: it has no header {header}"),
            Self::Malformed { header, expected } => write!(f, "the header {header} is not {expected}"),
            Self::BodyTime { expected } => write!(f, "the timestamp in the body is not {expected}"),
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
