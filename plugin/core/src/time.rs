//! Points in time, handed in by the caller: nothing in this crate reads a clock.
//!
//! Two clocks, never mixed: [`Instant`] (monotonic) schedules, [`WallTime`] goes into signatures and is compared with
//! dates that came from outside. All VMs of one Envoy share the base of the monotonic clock, so an `Instant` in shared
//! data means the same to every worker; it means nothing after the process has ended.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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

    /// This time plus `duration`, held at the end of the range.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// This time minus `duration`, held at the base.
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

    /// Reads a date and time of RFC 3339, of 1970 or later, to the nanosecond: `2026-11-23T14:00:00Z`,
    /// `2026-11-23 15:00:00.5+01:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (time, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
        let [year, month, day] = numbers(date, '-')?;
        let [hour, minute, second] = numbers(time, ':')?;
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let month_days = *days.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
        // A leap second is the first of the next minute.
        if year < 1970 || !(1..=month_days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (nanos, zone) = fraction(rest)?;
        let since_epoch = (days_from_epoch(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
        let seconds = i64::try_from(since_epoch).ok()?.checked_sub(offset_seconds(zone)?)?;
        Some(Self(u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)?))
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

    /// This time plus `duration`, held at the end of the range.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

/// As RFC 3339 has it, in UTC, to the millisecond: `2026-11-24T06:30:00.125Z`.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.as_secs(), self.as_millis() % 1000);
        let (year, month, day) = date(seconds / SECONDS_A_DAY);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// The date so many days after 1970-01-01, in the Gregorian calendar: H. Hinnant's `civil_from_days`, in which a year
/// begins in March, so that a leap day is its last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_FROM_YEAR_0;
    let (era, of_era) = (days / DAYS_AN_ERA, days % DAYS_AN_ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The days from 1970-01-01 to a date: H. Hinnant's `days_from_civil`, the reverse of [`date`].
fn days_from_epoch(year: u64, month: u64, day: u64) -> u64 {
    let (year, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    era * DAYS_AN_ERA + of_era * 365 + of_era / 4 - of_era / 100 + (153 * from_march + 2) / 5 + day
        - 1
        - DAYS_FROM_YEAR_0
}

/// Three decimal numbers with a separator in between.
fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let is_decimal = part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u64>().ok().filter(|_| is_decimal)
    });
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

/// The nanoseconds of a fraction of a second, where there is one, and what follows.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(digits) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = digits.split_at(end);
    let nanos = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
    (end > 0).then(|| (nanos.fold(0, |nanos, digit| nanos * 10 + u64::from(digit - b'0')), rest))
}

/// The seconds that a zone's clocks are ahead of UTC.
fn offset_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':').filter(|_| rest.len() == 5)?;
    let [hours, minutes] = [hours, minutes].map(|part| part.parse::<u8>().ok());
    let seconds = i64::from(hours?) * 3600 + i64::from(minutes?) * 60;
    match sign {
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

const SECONDS_A_DAY: u64 = 86_400;
/// From 0000-03-01 to 1970-01-01.
const DAYS_FROM_YEAR_0: u64 = 719_468;
/// 400 years.
const DAYS_AN_ERA: u64 = 146_097;

/// Both clocks, read at the start of a callback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For scheduling.
    pub mono: Instant,
    /// For signatures and dates.
    pub wall: WallTime,
}

/// A duration as the wire and the records hold it; the 584 years a `u64` spans are never reached.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
    }

    #[test]
    fn a_date_with_a_zone_and_a_fraction_is_read_and_what_is_no_date_is_not() {
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
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = WallTime::parse(&text);
        }
    }
}
