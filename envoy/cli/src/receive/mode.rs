//! How a receiver answers what verified: well, or with a failure on demand.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::gateway::duration;

/// The status of a failure, when nobody asked for another.
const FAILURE: u16 = 503;

/// How to answer. In JSON: `{"fail": 2, "status": 503, "delay": "3s", "retry_after": 5}`; what is left out is not asked
/// for, so `{}` is a receiver that is well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mode {
    /// So many requests fail yet; `None`: all, if there is a `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail: Option<u64>,
    /// What a failure is answered with; 503 unless another is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Every answer waits so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// `Retry-After` of failures, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Mode {
    /// Fails so many times, or for ever.
    pub fn failing(times: Option<u64>, status: u16) -> Self {
        Self { fail: times, status: Some(Status(status)), ..Self::default() }
    }

    /// Answers well, but not before this.
    pub fn slow(delay: Duration) -> Self {
        Self { delay: Some(Delay(delay)), ..Self::default() }
    }

    /// The failure that the next request gets, if it gets one.
    pub fn next_failure(&mut self) -> Option<u16> {
        match (&mut self.fail, self.status) {
            (None, status) => status.map(|Status(status)| status),
            (Some(0), _) => None,
            (Some(left), status) => {
                *left -= 1;
                Some(status.map_or(FAILURE, |Status(status)| status))
            }
        }
    }
}

/// A status that ends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct Status(u16);

impl TryFrom<u16> for Status {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        let is_final = (200..600).contains(&status);
        if is_final { Ok(Self(status)) } else { Err(format!("{status} is no status, expected 200 to 599")) }
    }
}

impl std::str::FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "expected a number from 200 to 599".to_owned())
            .and_then(|status: u16| status.try_into())
    }
}

/// A duration, as the command line and JSON write it: `3s`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Delay(pub Duration);

impl TryFrom<String> for Delay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let delay = duration(&text)?;
        if delay <= DELAY_MAX { Ok(Self(delay)) } else { Err("at most an hour".to_owned()) }
    }
}

impl From<Delay> for String {
    fn from(Delay(delay): Delay) -> Self {
        // Cannot fail: none is above [`DELAY_MAX`].
        format!("{:#}", SignedDuration::try_from(delay).unwrap_or_default())
    }
}

impl std::str::FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

/// Longer than any sender waits.
const DELAY_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Mode, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_n_fail_and_then_it_is_well() {
        let mut mode = read(r#"{"fail": 2, "status": 500}"#).unwrap();
        let failures: Vec<_> = (0..4).map(|_| mode.next_failure()).collect();
        assert_eq!(failures, [Some(500), Some(500), None, None]);
    }

    #[test]
    fn a_failure_is_a_503_unless_another_is_asked_for() {
        assert_eq!(read(r#"{"fail": 1}"#).unwrap().next_failure(), Some(503));
    }

    #[test]
    fn a_status_alone_fails_for_ever_and_nothing_at_all_is_well() {
        let mut mode = Mode::failing(None, 503);
        assert!((0..100).all(|_| mode.next_failure() == Some(503)));
        assert_eq!(read("{}").unwrap().next_failure(), None);
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        let text = r#"{"fail":2,"status":503,"delay":"3s","retry_after":5}"#;
        assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        assert_eq!(serde_json::to_string(&Mode::default()).unwrap(), "{}");
    }

    #[test]
    fn a_slip_is_named() {
        for (json, expected) in [
            (r#"{"stauts": 503}"#, "unknown field `stauts`"),
            (r#"{"status": 99}"#, "99 is no status, expected 200 to 599"),
            (r#"{"delay": "3"}"#, "expected a time such as 500ms"),
            (r#"{"delay": "2h"}"#, "at most an hour"),
        ] {
            let said = read(json).unwrap_err();
            assert!(said.contains(expected), "{json}: {said}");
        }
    }
}
