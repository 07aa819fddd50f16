//! The outcome of an attempt, decided in one place: status, timeout, reset or connect failure, and `Retry-After`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::WallTime;

/// The longest wait that a receiver's `Retry-After` can ask for: past it an operator would rather see a dead letter.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// A set of HTTP statuses, 100 to 599.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusSet {
    bits: [u64; 8],
}

impl StatusSet {
    /// The set with these statuses added; those outside 100..=599 are passed over.
    #[must_use]
    pub fn with(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        for status in statuses {
            if (100..600).contains(&status)
                && let Some(word) = self.bits.get_mut(usize::from((status - 100) / 64))
            {
                *word |= 1 << ((status - 100) % 64);
            }
        }
        self
    }

    /// The set with a whole class added: `with_class(5)` adds 500..=599.
    #[must_use]
    pub fn with_class(self, class: u16) -> Self {
        self.with(class * 100..class * 100 + 100)
    }

    /// Whether this status is in the set.
    pub fn contains(&self, status: u16) -> bool {
        (100..600).contains(&status)
            && self
                .bits
                .get(usize::from((status - 100) / 64))
                .is_some_and(|word| word >> ((status - 100) % 64) & 1 == 1)
    }
}

impl std::fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries((100..600).filter(|status| self.contains(*status))).finish()
    }
}

/// How a call ended, as the gateway reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The receiver answered with this status.
    Status(u16),
    /// No answer within the endpoint's `timeout`.
    Timeout,
    /// The connection broke after the request had begun, the answer was no HTTP, or it was too large to hold. The
    /// receiver may have taken the message.
    Reset,
    /// No connection could be made.
    Connect,
}

/// What an ending means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndingVerdict {
    /// 2xx: done.
    Delivered,
    /// Worth another attempt, if the schedule has one.
    Retry,
    /// Final: another attempt would be answered alike.
    Failed,
    /// 410: final, and the endpoint asks for no more (`on_gone`).
    Gone,
}

impl Ending {
    /// The verdict on the delivery: a 2xx is success; a timeout, reset or connect failure is always retried; of the
    /// other statuses those in `retried` are retried, and the rest are final. A 3xx is never followed.
    pub fn verdict(self, retried: &StatusSet) -> EndingVerdict {
        match self {
            Self::Status(200..=299) => EndingVerdict::Delivered,
            Self::Status(status) if retried.contains(status) => EndingVerdict::Retry,
            Self::Status(410) => EndingVerdict::Gone,
            Self::Status(_) => EndingVerdict::Failed,
            Self::Timeout | Self::Reset | Self::Connect => EndingVerdict::Retry,
        }
    }

    /// The status that the receiver answered with, if the receiver answered.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status),
            Self::Timeout | Self::Reset | Self::Connect => None,
        }
    }

    /// The ending as a number for records: the status, or 0 to 2, which no status is. [`from_code`](Self::from_code)
    /// reads it.
    pub fn code(self) -> u16 {
        match self {
            Self::Timeout => 0,
            Self::Reset => 1,
            Self::Connect => 2,
            Self::Status(status) => status,
        }
    }

    /// The ending that [`code`](Self::code) gave this number.
    pub fn from_code(code: u16) -> Self {
        match code {
            0 => Self::Timeout,
            1 => Self::Reset,
            2 => Self::Connect,
            status => Self::Status(status),
        }
    }

    /// The value of the `outcome` label of `gatepost_attempts_total`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Status(..=299) => "2xx",
            Self::Status(300..=399) => "3xx",
            Self::Status(400..=499) => "4xx",
            Self::Status(_) => "5xx",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Connect => "connect",
        }
    }
}

/// The end of a call: an attempt with its ending, or no attempt at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// The call was an attempt, with this ending.
    Ended(Ending),
    /// The call never left the gateway, and is no attempt.
    NotSent,
}

impl CallEnd {
    /// Tells a receiver's answer from one that Envoy made up: `status` is `None` when there were no headers, and
    /// `from_upstream` says that the answer carried `x-envoy-upstream-service-time`, which Envoy's own never do. `text`
    /// is the beginning of the body, which names the reason (source/common/router/router.cc of Envoy).
    ///
    /// An interim answer (1xx) as the last word is a reset: after a 101 the connection speaks another protocol, and
    /// nobody has answered the request. A status above 599 is a 500, as RFC 9110, section 15, has it.
    pub fn of(status: Option<u16>, from_upstream: bool, text: &[u8]) -> Self {
        let says = |words: &str| text.windows(words.len()).any(|window| window == words.as_bytes());
        let refusals = ["no healthy upstream", "reset reason: overflow", "maintenance mode", "drop overload"];
        let Some(status) = status else { return Self::Ended(Ending::Reset) };
        Self::Ended(match status {
            ..200 => Ending::Reset,
            _ if from_upstream => Ending::Status(if status < 600 { status } else { 500 }),
            503 if refusals.into_iter().any(says) => return Self::NotSent,
            503 if says("connection failure") || says("connection timeout") => Ending::Connect,
            // 503 as a rule; 502 where the peer speaks no HTTP.
            500.. if says("upstream connect error or disconnect/reset before headers") => Ending::Reset,
            504 if says("upstream request timeout") => Ending::Timeout,
            _ => Ending::Status(status),
        })
    }
}

/// How long a `Retry-After` value asks to wait: seconds, or a date (RFC 9110, section 10.2.3) against the wall clock.
/// A value that is neither, and a date that has passed, ask for nothing; more than [`RETRY_AFTER_MAX`] is cut to it.
pub fn retry_after(value: &[u8], now: WallTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds is a very long time.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let wait = WallTime::parse_http(text)?.since(now);
    (!wait.is_zero()).then(|| wait.min(RETRY_AFTER_MAX))
}

/// How a delivery ended; the label `result` of `gatepost_deliveries_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryResult {
    /// The receiver answered with a 2xx.
    Delivered,
    /// The delivery failed for good.
    Failed,
    /// The delivery grew older than `max_age`.
    Expired,
}

impl DeliveryResult {
    /// All results.
    pub const ALL: [Self; 3] = [Self::Delivered, Self::Failed, Self::Expired];

    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// Why a delivery became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The answer was final, or the retry schedule had no further attempt.
    Failed,
    /// The delivery grew older than `max_age`.
    Expired,
    /// The endpoint's share of the queue was full (`overflow: dead_letter`).
    Overflow,
    /// The endpoint is no longer in the config.
    EndpointRemoved,
    /// The VM that attempted the event died, three times in a row.
    Poison,
}

impl Reason {
    /// The word for the reason in logs, headers and answers.
    pub fn label(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Overflow => "overflow",
            Self::EndpointRemoved => "endpoint_removed",
            Self::Poison => "poison",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn retried() -> StatusSet {
        StatusSet::default().with([408, 429]).with_class(5)
    }

    /// Only a 2xx delivers and only listed statuses and lost connections are tried again.
    #[test]
    fn only_2xx_delivers_and_listed_or_lost_is_retried() {
        for status in 100..600 {
            let expected = match status {
                200..=299 => EndingVerdict::Delivered,
                410 => EndingVerdict::Gone,
                408 | 429 | 500..=599 => EndingVerdict::Retry,
                _ => EndingVerdict::Failed,
            };
            assert_eq!(Ending::Status(status).verdict(&retried()), expected, "{status}");
        }
        for lost in [Ending::Timeout, Ending::Reset, Ending::Connect] {
            assert_eq!(lost.verdict(&StatusSet::default()), EndingVerdict::Retry);
        }
    }

    #[test]
    fn envoys_own_answers_are_not_taken_for_the_receivers() {
        let before = "upstream connect error or disconnect/reset before headers. ";
        let remote = format!("{before}retried and the latest reset reason: remote connection failure");
        for (status, from_upstream, text, expected) in [
            (None, false, "", CallEnd::Ended(Ending::Reset)),
            (Some(200), true, "", CallEnd::Ended(Ending::Status(200))),
            (Some(503), true, "no healthy upstream", CallEnd::Ended(Ending::Status(503))),
            (Some(503), false, "no healthy upstream", CallEnd::NotSent),
            (Some(503), false, &format!("{before}reset reason: overflow"), CallEnd::NotSent),
            (Some(503), false, &format!("{before}reset reason: connection failure"), CallEnd::Ended(Ending::Connect)),
            (Some(503), false, &remote, CallEnd::Ended(Ending::Connect)),
            (Some(503), false, &format!("{before}reset reason: connection timeout"), CallEnd::Ended(Ending::Connect)),
            (Some(503), false, &format!("{before}reset reason: connection termination"), CallEnd::Ended(Ending::Reset)),
            (Some(504), false, "upstream request timeout", CallEnd::Ended(Ending::Timeout)),
            (Some(502), false, &format!("{before}reset reason: protocol error"), CallEnd::Ended(Ending::Reset)),
            (Some(503), false, "maintenance mode", CallEnd::NotSent),
            (Some(503), false, "unconditional drop overload", CallEnd::NotSent),
            (Some(502), true, &format!("{before}reset reason: protocol error"), CallEnd::Ended(Ending::Status(502))),
            (Some(403), false, "RBAC: access denied", CallEnd::Ended(Ending::Status(403))),
        ] {
            assert_eq!(CallEnd::of(status, from_upstream, text.as_bytes()), expected, "{status:?} {text}");
        }
    }

    /// What is no final answer is none, whoever gave it; what no class has is the server's fault.
    #[test]
    fn interim_and_unknown_statuses_are_no_success() {
        for (status, ending) in [
            (0, Ending::Reset),
            (100, Ending::Reset),
            (101, Ending::Reset),
            (103, Ending::Reset),
            (199, Ending::Reset),
            (599, Ending::Status(599)),
            (600, Ending::Status(500)),
            (999, Ending::Status(500)),
        ] {
            assert_eq!(CallEnd::of(Some(status), true, b""), CallEnd::Ended(ending), "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        // 2015-10-21 07:28:00 UTC, the date RFC 9110 uses in its own example headers.
        let now = WallTime::from_millis(1_445_412_480_000);
        for (value, expected) in [
            ("3", Some(3)),
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("86400", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("Wed, 21 Oct 2015 07:28:05 GMT", Some(5)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", None),
            ("Thu, 01 Jan 2099 00:00:00 GMT", Some(3600)),
            ("-1", None),
            ("3s", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value.as_bytes(), now), expected.map(Duration::from_secs), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn an_ending_is_what_its_number_says(status in 100u16..600) {
            for ending in [Ending::Status(status), Ending::Timeout, Ending::Reset, Ending::Connect] {
                prop_assert_eq!(Ending::from_code(ending.code()), ending);
            }
        }

        #[test]
        fn no_retry_after_value_waits_longer_than_the_limit(value: Vec<u8>, millis in 0u64..4_102_444_800_000) {
            if let Some(wait) = retry_after(&value, WallTime::from_millis(millis)) {
                prop_assert!(wait <= RETRY_AFTER_MAX);
            }
        }

        #[test]
        fn a_set_holds_what_was_put_in_and_nothing_else(statuses: Vec<u16>, probe: u16) {
            let set = StatusSet::default().with(statuses.iter().copied());
            prop_assert_eq!(set.contains(probe), (100..600).contains(&probe) && statuses.contains(&probe));
        }
    }
}
