//! Points in time, handed in by the caller: nothing in this crate reads a clock.
//!
//! Two clocks, never mixed: [`Instant`] (monotonic) schedules, [`WallTime`] goes into signatures and is compared with
//! dates that came from outside. All VMs of one Envoy share the base of the monotonic clock, so an `Instant` in shared
//! data means the same to every worker. It means nothing after the process has ended, so whatever leaves the process
//! (an answer, a dead letter, the journal) carries a `WallTime`; a test of the crate's sources checks that.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub mod rfc3339;

/// Monotonic time: nanoseconds since a base that all VMs of the process share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant(u64);

impl Instant {
    /// The time `nanos` nanoseconds after the base.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the base.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long `self` is after `earlier`; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This time plus `duration`, saturating at the end of the range.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// This time minus `duration`, saturating at the base.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

/// Wall-clock time: nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallTime(u64);

impl WallTime {
    /// The time `nanos` nanoseconds after the Unix epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The time `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Whole milliseconds since the Unix epoch: what `X-Webhook-Timestamp` carries.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// How long `self` is after `earlier`; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This time plus `duration`, saturating at the end of the range.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// This time minus `duration`, saturating at the epoch.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }

    /// Reads a date and time of RFC 3339, of 1970 or later, to the nanosecond: `2026-11-23T14:00:00Z`,
    /// `2026-11-23 15:00:00.5+01:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let time: Timestamp = text.parse().ok()?;
        u64::try_from(time.as_nanosecond()).ok().map(Self)
    }

    /// Reads a date of HTTP (RFC 9110, section 5.6.7), of 1970 or later: `Sun, 06 Nov 1994 08:49:37 GMT`, and the two
    /// older forms `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`.
    pub fn parse_http(text: &str) -> Option<Self> {
        let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since_epoch.as_nanos()).ok().map(Self)
    }
}

/// Writes the time as RFC 3339 has it, in UTC, to the millisecond: `2026-11-24T06:30:00.125Z`.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", Timestamp::from(*self))
    }
}

impl From<WallTime> for Timestamp {
    fn from(time: WallTime) -> Self {
        // A `u64` of nanoseconds ends in the year 2554, a `Timestamp` in 9999.
        Self::from_nanosecond(time.0.into()).unwrap_or(Self::MAX)
    }
}

/// Both clocks, read at the start of a callback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock, for scheduling.
    pub mono: Instant,
    /// The wall clock, for signatures and dates.
    pub wall: WallTime,
}

impl Now {
    /// A time of this process on the wall clock.
    #[must_use]
    pub fn on_wall(self, at: Instant) -> WallTime {
        self.wall.plus(at.since(self.mono)).minus(self.mono.since(at))
    }

    /// A time on the wall clock as one of this process.
    #[must_use]
    pub fn in_process(self, at: WallTime) -> Instant {
        self.mono.plus(at.since(self.wall)).minus(self.wall.since(at))
    }
}

/// The nanoseconds of a duration; `u64::MAX` for one beyond the 584 years that a `u64` spans.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration as a config writes it, down to milliseconds.
pub fn shown_duration(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        millis => format!("{}ms", duration.as_secs().saturating_mul(1000).saturating_add(millis.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_time_prints_as_rfc_3339_in_utc() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_251_199_000, "2024-02-29T23:59:59.000Z"),
            (1_795_503_000_125, "2026-11-24T06:50:00.125Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (millis, text) in cases {
            assert_eq!(WallTime::from_millis(millis).to_string(), text);
        }
        assert_eq!(WallTime::from_nanos(1_999_999).to_string(), "1970-01-01T00:00:00.001Z");
        assert_eq!(WallTime::from_nanos(u64::MAX).to_string(), "2554-07-21T23:34:33.709Z");
    }

    /// A date with a zone and a fraction is read and what is no date is not.
    #[test]
    fn date_with_zone_and_fraction_is_read_and_no_other_text() {
        for (text, millis) in [
            ("2026-11-24T06:50:00.125Z", 1_795_503_000_125),
            ("2026-11-24t07:50:00.125999+01:00", 1_795_503_000_125),
            ("2026-11-23 21:20:00.1250-09:30", 1_795_503_000_125),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
        ] {
            assert_eq!(WallTime::parse(text).map(WallTime::as_millis), Some(millis), "{text}");
        }
        for text in [
            "",
            "2026-11-24",
            "2026-11-24T06:50:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-1-01T00:00:000Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T06:50:00.Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2026-11-24T06:50:00+1:00",
            "+026-11-24T06:50:00Z",
            "2026-11-24T06:50:00é",
        ] {
            assert_eq!(WallTime::parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_is_read_again(millis in 0u64..10_000_000_000_000) {
            let time = WallTime::from_millis(millis);
            proptest::prop_assert_eq!(WallTime::parse(&time.to_string()), Some(time));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text: String) {
            let _ = (WallTime::parse(&text), WallTime::parse_http(&text));
        }
    }

    #[test]
    fn the_three_forms_of_an_http_date_are_read() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(WallTime::parse_http(text).map(WallTime::as_secs), Some(784_111_777), "{text}");
        }
        for text in [
            "",
            "soon",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 31 Feb 2026 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
        ] {
            assert_eq!(WallTime::parse_http(text), None, "{text}");
        }
    }
}
