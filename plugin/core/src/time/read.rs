//! Dates as others write them: RFC 3339 in configs, the three forms of HTTP in headers.

use super::{DAYS_AN_ERA, DAYS_FROM_YEAR_0, WallTime};

impl WallTime {
    /// Reads a date and time of RFC 3339, of 1970 or later, to the nanosecond: `2026-11-23T14:00:00Z`,
    /// `2026-11-23 15:00:00.5+01:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (time, rest) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
        let [year, month, day] = numbers(date, '-')?;
        let [hour, minute, second] = numbers(time, ':')?;
        let since_epoch = seconds_since_epoch([year, month, day], [hour, minute, second])?;
        let (nanos, zone) = fraction(rest)?;
        let seconds = i64::try_from(since_epoch).ok()?.checked_sub(offset_seconds(zone)?)?;
        Some(Self(u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)?))
    }

    /// Reads a date of HTTP (RFC 9110, section 5.6.7), of 1970 or later: `Sun, 06 Nov 1994 08:49:37 GMT`, and the two
    /// older forms `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`. The day of the week says nothing new
    /// and is not looked at. (By hand: the crate for it is 5 KB of the filter.)
    pub fn parse_http(text: &str) -> Option<Self> {
        let mut words = text.split([' ', ',', '-']).filter(|word| !word.is_empty()).skip(1);
        let four = [words.next()?, words.next()?, words.next()?, words.next()?];
        let (day, month, year, time) = match four {
            [month, day, time, year] if words.next().is_none() => (day, month, year, time),
            [day, month, year, time] if text.ends_with(" GMT") => (day, month, year, time),
            _ => return None,
        };
        let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
        let [hour, minute, second] = numbers(time, ':')?;
        let [day, year] = [number(day)?, number(year)?];
        // Two digits are of the century that makes a date of 1970 to 2069.
        let year = if year < 100 { year + if year < 70 { 2000 } else { 1900 } } else { year };
        let seconds = seconds_since_epoch([year, month, day], [hour, minute, second])?;
        seconds.checked_mul(1_000_000_000).map(Self)
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds from 1970 to a date and time of UTC, if there is such a one.
fn seconds_since_epoch([year, month, day]: [u64; 3], [hour, minute, second]: [u64; 3]) -> Option<u64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month_days = *days.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    // A leap second is the first of the next minute.
    let is_time = hour <= 23 && minute <= 59 && second <= 60;
    let is_date = (1970..=9999).contains(&year) && (1..=month_days).contains(&day);
    (is_time && is_date).then(|| (days_from_epoch(year, month, day) * 24 + hour) * 3600 + minute * 60 + second)
}

/// The days from 1970-01-01 to a date: H. Hinnant's `days_from_civil`.
fn days_from_epoch(year: u64, month: u64, day: u64) -> u64 {
    let (year, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    era * DAYS_AN_ERA + of_era * 365 + of_era / 4 - of_era / 100 + (153 * from_march + 2) / 5 + day
        - 1
        - DAYS_FROM_YEAR_0
}

/// Three decimal numbers with a separator in between.
fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(number);
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

/// A decimal number without a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The nanoseconds of a fraction of a second, where there is one, and what follows.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(digits) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = digits.split_at_checked(end)?;
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

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

    proptest::proptest! {
        #[test]
        fn what_another_library_writes_as_an_http_date_is_read(seconds in 0u64..18_000_000_000) {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            proptest::prop_assert_eq!(WallTime::parse_http(&text).map(WallTime::as_secs), Some(seconds));
        }

        #[test]
        fn no_text_makes_the_reader_of_http_dates_panic(text: String) {
            let _ = WallTime::parse_http(&text);
        }
    }
}
