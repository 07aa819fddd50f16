//! The filter's lines in Envoy's log: what happened when, for the timeline, and text to look through.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::Serialize;

use super::personal::{Scan, redacted};
use crate::given;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Moment {
    pub at: Timestamp,
    pub endpoint: Option<String>,
    /// `breaker_opened`, `rolled_back`, ….
    pub event: String,
    /// The rest of what was told.
    pub detail: String,
    /// Where it was read: a file, or what else.
    pub source: String,
}

/// What a log tells.
#[derive(Clone, Debug, Default)]
pub(super) struct LogFacts {
    pub moments: Vec<Moment>,
    pub scan: Scan,
}

/// Reads the lines of a log that mention gatepost.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read(path: &Path, from: Timestamp, told: &mut LogFacts) -> Result<()> {
    let context = || given::named("--logs", path);
    let mut lines = BufReader::new(File::open(path).with_context(context)?);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        if lines.read_until(b'\n', &mut bytes).with_context(context)? == 0 {
            break;
        }
        let line = String::from_utf8_lossy(&bytes);
        // The filter's lines name it as the config does.
        let is_ours = line.contains("gatepost") || line.contains("wasm log ") && line.contains("event=");
        if !is_ours {
            continue;
        }
        let (at, text, is_of_filter) = split(line.trim_end());
        // What is older is of another report.
        if at.is_some_and(|at| at < from) {
            continue;
        }
        told.scan.look(&name, number, text, is_of_filter);
        if let Some(moment) = at.filter(|_| is_of_filter).and_then(|at| moment(at, text, &name)) {
            told.moments.push(moment);
        }
    }
    Ok(())
}

/// A line of Envoy's in its default format: when, what follows the prefix, and whether a filter wrote that. Envoy writes
/// its own clock's time, without a zone: it is taken for UTC, as it is in a container.
fn split(line: &str) -> (Option<Timestamp>, &str, bool) {
    let time = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let at = time.and_then(|(time, _)| time.replacen(' ', "T", 1).parse::<DateTime>().ok());
    let at = at.and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok()).map(|zoned| zoned.timestamp());
    match time.and_then(|(_, rest)| of_filter(rest)) {
        Some(text) => (at, text, true),
        // The rest of the prefix is levels and places in Envoy's source.
        None => (at, line.rsplit_once("] ").map_or(line, |(_, text)| text), false),
    }
}

/// What a filter wrote, behind thread, level, component, perhaps the place in Envoy's source, and the filter's names.
/// Nothing else may stand before it: an access log in the same file holds what clients send, who could write such words.
fn of_filter(rest: &str) -> Option<&str> {
    let (_, rest) = rest.strip_prefix('[')?.split_once(']')?;
    let (_, rest) = rest.strip_prefix('[')?.split_once("][wasm] ")?;
    let rest = rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(rest, |(_, rest)| rest);
    rest.strip_prefix("wasm log ")?.split_once(": ").map(|(_, text)| text)
}

fn moment(at: Timestamp, text: &str, source: &str) -> Option<Moment> {
    let pairs = pairs(text)?;
    let value = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
    let event = value("event").filter(|event| TOLD.contains(&event.as_str()))?;
    let rest = pairs.iter().filter(|(key, _)| !["event", "endpoint"].contains(key));
    let detail = rest.map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", ");
    Some(Moment { at, endpoint: value("endpoint"), event, detail: redacted(&detail), source: source.to_owned() })
}

/// `key=value` pairs; a value may be a JSON string. `None`: it is not such a line.
fn pairs(text: &str) -> Option<Vec<(&str, String)>> {
    let (mut pairs, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = if after.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(after).into_iter::<String>();
            let value = values.next()?.ok()?;
            let read = values.byte_offset();
            (value, after.get(read..)?)
        } else {
            let end = after.find(' ').unwrap_or(after.len());
            let (value, after) = after.split_at(end);
            (value.to_owned(), after)
        };
        pairs.push((key, value));
        rest = after.trim_start();
    }
    Some(pairs)
}

/// What a board wants to see in a timeline; dead letters are counted in the table of hours.
const TOLD: [&str; 10] = [
    "breaker_opened",
    "breaker_half_open",
    "breaker_closed",
    "rolled_back",
    "promoted",
    "promotion_held",
    "endpoint_disabled",
    "personal_data",
    "admin",
    "configuration_in_force",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LINE: &str = "[2026-11-25 12:31:57.123][123][warning][wasm] [source/extensions/common/wasm/context.cc:1198] \
                        wasm log gatepost gatepost gatepost: event=rolled_back endpoint=billing reason=success \
                        detail=\"7 of 20 \\\"deliveries\\\"\"";

    /// A line of the filter is a moment with its time endpoint and words.
    #[test]
    fn log_line_becomes_a_moment_with_time_endpoint_and_text() {
        let (at, text, is_of_filter) = split(LINE);
        assert!(is_of_filter);
        let moment = moment(at.unwrap(), text, "envoy.log").unwrap();
        assert_eq!(moment.at.to_string(), "2026-11-25T12:31:57.123Z");
        assert_eq!((moment.endpoint.as_deref(), moment.event.as_str()), (Some("billing"), "rolled_back"));
        assert_eq!(moment.detail, "reason: success, detail: 7 of 20 \"deliveries\"");
    }

    /// What a client sent stands in an access log, and a filter's line begins in one way only.
    #[test]
    fn words_of_a_client_in_an_access_log_are_no_line_of_the_filter() {
        let words = "wasm log gatepost gatepost gatepost: event=rolled_back endpoint=billing";
        for line in [
            format!("[2026-11-25T12:31:57.123Z] \"POST /a HTTP/1.1\" 200 \"{words}\""),
            format!("[2026-11-25 12:31:57.123] {words}"),
            format!("[2026-11-25 12:31:57.123][1][info][main] agent {words}"),
            format!("[2026-11-25 12:31:57.123][1][info][wasm] said: {words}"),
            words.to_owned(),
        ] {
            assert!(!split(&line).2, "{line}");
        }
        assert!(split(&format!("[2026-11-25 12:31:57.123][1][info][wasm] {words}")).2, "a log without places");
    }

    #[test]
    fn what_is_no_line_of_pairs_is_no_moment() {
        let at = Timestamp::UNIX_EPOCH;
        for text in ["", "the filter has started", "event=unheard_of a=b", "event=admin reason=\"half"] {
            assert_eq!(moment(at, text, "envoy.log"), None, "{text}");
        }
    }

    /// Only lines about gatepost within the time are read and scanned behind their prefix.
    #[test]
    fn only_gatepost_lines_in_the_period_are_read_and_scanned() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let old = LINE.replace("2026-11-25", "2026-11-01");
        writeln!(file, "{old}\n{LINE}\n[2026-11-25 12:00:00.000][1][info][main] somebody@example.com\n").unwrap();
        let mut told = LogFacts::default();
        read(file.path(), "2026-11-25T00:00:00Z".parse().unwrap(), &mut told).unwrap();
        assert_eq!((told.moments.len(), told.scan.lines, told.scan.total), (1, 1, 0));
    }
}
