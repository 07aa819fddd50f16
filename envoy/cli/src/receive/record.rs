//! What a receiver remembers of a request, and shows: never a body, a secret or a signature.

use std::time::Instant;

use anstyle::{AnsiColor, Style};
use gatepost_core::printable::printable;
use gatepost_core::time::WallTime;
use serde::{Serialize, Serializer};

use crate::terminal::Line;

/// What a receiver made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reception {
    /// Good, and its id had not been answered 2xx before.
    Verified,
    /// Good, but its id had.
    Duplicate,
    /// Not good; `problem` says why.
    Refused,
}

/// A request.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When it had arrived whole.
    #[serde(serialize_with = "as_text")]
    pub at: WallTime,
    /// The same on the monotonic clock: what waits are measured by.
    #[serde(skip)]
    pub arrived: Instant,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its event type; empty when it had none, as is the id.
    pub event: String,
    /// Its event's id.
    pub id: String,
    /// Its number of the attempt, if it had one.
    pub attempt: Option<u32>,
    /// Its timestamp, as it was sent.
    pub timestamp: String,
    /// Its signature: only to see that the next one is another.
    #[serde(skip)]
    pub signature: String,
    /// Bytes of its body.
    pub bytes: usize,
    /// What was made of it.
    pub verdict: Reception,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it was answered.
    pub status: u16,
}

impl Record {
    /// One line for a person.
    pub fn line(&self) -> Line {
        let at = self.at.to_string();
        // Of 2026-11-25T12:31:57.125Z the time of the day.
        let time = at.get(11..23).unwrap_or(&at);
        let shown = |text: &str| if text.is_empty() { "-".to_owned() } else { printable(text).into_owned() };
        let attempt = self.attempt.map_or_else(|| "-".to_owned(), |attempt| attempt.to_string());
        let (style, said) = self.said();
        let (event, id) = (shown(&self.event), shown(&self.id));
        Line::plain(format!("{time}  {event:<24} {id:<36}  attempt {attempt:<2} {}  ", self.status)).and(style, said)
    }

    fn said(&self) -> (Style, String) {
        let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
        match self.verdict {
            Reception::Verified if (200..300).contains(&self.status) => {
                (color(AnsiColor::Green), "verified".to_owned())
            }
            Reception::Verified => (color(AnsiColor::Yellow), "verified; fails on demand".to_owned()),
            Reception::Duplicate => {
                (color(AnsiColor::Cyan), "verified; duplicate: this id was taken before".to_owned())
            }
            Reception::Refused => {
                let problem = self.problem.as_deref().unwrap_or_default();
                (color(AnsiColor::Red), format!("refused: {problem}"))
            }
        }
    }
}

fn as_text<S: Serializer>(at: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            at: WallTime::from_millis(1_764_000_000_125),
            arrived: Instant::now(),
            method: "POST".to_owned(),
            path: "/hook".to_owned(),
            event: "payment_verified".to_owned(),
            id: "0b7e".to_owned(),
            attempt: Some(2),
            timestamp: "1764000000100".to_owned(),
            signature: "f00d".to_owned(),
            bytes: 14,
            verdict: Reception::Verified,
            problem: None,
            status: 200,
        }
    }

    fn plain(record: &Record) -> String {
        record.line().to_string()
    }

    /// A line holds time event id attempt status and what was made of it.
    #[test]
    fn record_line_has_time_event_id_attempt_status_verdict() {
        let line = plain(&record());
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["16:00:00.125", "payment_verified", "0b7e", "attempt", "2", "200", "verified"]);
        let refused =
            Record { verdict: Reception::Refused, problem: Some("too old".to_owned()), status: 401, ..record() };
        assert!(plain(&refused).ends_with("401  refused: too old"));
        assert!(plain(&Record { status: 503, ..record() }).ends_with("503  verified; fails on demand"));
    }

    #[test]
    fn what_is_sent_cannot_write_over_the_terminal() {
        let line = plain(&Record { event: "a\rb\u{1b}[2J".to_owned(), ..record() });
        assert!(line.contains("a\\u{d}b\\u{1b}[2J"), "{line:?}");
    }

    #[test]
    fn in_json_there_is_no_signature() {
        let json = serde_json::to_string(&record()).unwrap();
        assert!(
            json.starts_with(r#"{"at":"2025-11-24T16:00:00.125Z","method":"POST","path":"/hook","event":"#),
            "{json}"
        );
        assert!(json.ends_with(r#""bytes":14,"verdict":"verified","status":200}"#), "{json}");
        assert!(!json.contains("f00d"));
    }
}
