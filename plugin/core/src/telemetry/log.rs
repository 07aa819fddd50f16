//! Lines for Envoy's log about what happened: one for each transition that an operator would ask about, none for
//! successes.
//!
//! A line is `event=<what> key=value …`, the keys in a fixed order; a value that has a space, a quote or a `=` in it is
//! a JSON string, in which all that is not [`printable`](crate::printable) is escaped. The words are stable: scripts and alerts read them. No line holds a payload, a secret or an address.
//!
//! The rate of lines is limited, so that a dead endpoint does not fill a disk: of one kind of event about one endpoint
//! [`BURST`] lines are written, then one every [`REFILL`], which says with `left_out=` how many were suppressed.
//! Changes by operators are all written. Each VM limits its own lines.

use std::time::Duration;

use log::Level;

use crate::config::Config;
use crate::egress::breaker::Position;
use crate::ids::EndpointId;
use crate::ingress::request::{AdminRefusal, RequestResult};
use crate::journal::JournalState;
use crate::json::quoted;
use crate::printable::printable_json;
use crate::telemetry::notice::Notice;
use crate::time::Instant;

/// The most lines of one kind about one endpoint that are written in a burst.
pub const BURST: u32 = 10;

/// The interval at which one more line may be written after a burst.
pub const REFILL: Duration = Duration::from_secs(10);

/// The log of one VM.
#[derive(Debug, Default)]
pub struct Log {
    /// The buckets: for each endpoint at most one for each kind of event.
    buckets: Vec<LineBucket>,
}

/// The token bucket that limits the lines of one kind of event about one endpoint.
#[derive(Debug)]
struct LineBucket {
    event: &'static str,
    endpoint: Option<EndpointId>,
    left: u32,
    since: Instant,
    left_out: u32,
}

/// The subject of a line: its level, its event and its endpoint.
type LineSubject = (Level, &'static str, Option<EndpointId>);

impl Log {
    /// The line for a notice; `None`: the notice is worth no line, or the line is suppressed.
    pub fn line(&mut self, config: &Config, notice: &Notice, now: Instant) -> Option<(Level, String)> {
        if let Notice::Changed { line } = notice {
            return Some((Level::Info, ["event=admin ", &printable_json(line)].concat()));
        }
        let (level, event, endpoint) = subject(config, notice)?;
        let left_out = self.take(event, endpoint, now)?;
        let mut line = Line(["event=", event].concat());
        if let Some(endpoint) = endpoint.and_then(|endpoint| config.endpoints.get(endpoint.0)) {
            line.text("endpoint", &endpoint.name);
        }
        line.tell(config, notice);
        if left_out > 0 {
            line.number("left_out", left_out.into());
        }
        Some((level, line.0))
    }

    /// Takes a token for a line, and returns how many lines were suppressed since the last one that was written.
    /// `None`: the bucket is empty, and this line is suppressed too.
    fn take(&mut self, event: &'static str, endpoint: Option<EndpointId>, now: Instant) -> Option<u32> {
        let known = self.buckets.iter().position(|bucket| bucket.event == event && bucket.endpoint == endpoint);
        let place = known.unwrap_or(self.buckets.len());
        if known.is_none() {
            self.buckets.push(LineBucket { event, endpoint, left: BURST, since: now, left_out: 0 });
        }
        let bucket = self.buckets.get_mut(place)?;
        let passed = now.since(bucket.since);
        let refilled = passed.as_secs() / REFILL.as_secs();
        if refilled > 0 {
            bucket.left = bucket.left.saturating_add(u32::try_from(refilled).unwrap_or(BURST)).min(BURST);
            bucket.since = now.minus(Duration::from_secs(passed.as_secs() % REFILL.as_secs()));
        }
        if bucket.left == 0 {
            bucket.left_out = bucket.left_out.saturating_add(1);
            return None;
        }
        bucket.left -= 1;
        Some(std::mem::take(&mut bucket.left_out))
    }
}

/// The subject of a notice's line; `None`: the notice is worth no line.
fn subject(config: &Config, notice: &Notice) -> Option<LineSubject> {
    let (level, event, endpoint) = match notice {
        Notice::Request(RequestResult::Admin(AdminRefusal::Token | AdminRefusal::Throttled)) => {
            (Level::Warn, "admin_refused", None)
        }
        Notice::Request(_) | Notice::Attempt { .. } | Notice::Delivery { .. } | Notice::Gauge { .. } => return None,
        // An operator's change is one line, which `line` makes; a removed endpoint is no line.
        Notice::Changed { .. } | Notice::RolledBackByOperator { .. } | Notice::Removed { .. } => return None,
        // Only the first refusal in a row has a line: the others say nothing new.
        Notice::Refused { times, .. } if *times > 1 => return None,
        Notice::Sink { delivered: true, .. } | Notice::Adopted { events: 0, .. } => return None,
        Notice::Refused { endpoint, .. } => (Level::Warn, "refused", Some(*endpoint)),
        Notice::DeadLetter { endpoint, .. } => {
            let known = config.endpoints.iter().position(|other| other.name == *endpoint);
            (Level::Warn, "dead_letter", known.map(EndpointId))
        }
        Notice::Sink { endpoint, delivered: false, .. } => (Level::Warn, "sink_failed", Some(*endpoint)),
        Notice::Breaker { endpoint, position: Position::Open } => (Level::Warn, "breaker_opened", Some(*endpoint)),
        Notice::Breaker { endpoint, position: Position::Closed } => (Level::Info, "breaker_closed", Some(*endpoint)),
        Notice::Breaker { endpoint, position: Position::HalfOpen } => {
            (Level::Info, "breaker_half_open", Some(*endpoint))
        }
        Notice::Gone { endpoint } => (Level::Warn, "endpoint_disabled", Some(*endpoint)),
        Notice::RolledBack { endpoint, .. } => (Level::Error, "rolled_back", Some(*endpoint)),
        Notice::Promoted { endpoint, .. } => (Level::Info, "promoted", Some(*endpoint)),
        Notice::PhaseWaits { endpoint, .. } => (Level::Warn, "waiting_for_approval", Some(*endpoint)),
        Notice::PromotionHeld { endpoint, .. } => (Level::Warn, "promotion_held", Some(*endpoint)),
        Notice::Findings { .. } => (Level::Warn, "personal_data", None),
        Notice::Unreadable { .. } => (Level::Warn, "unreadable", None),
        Notice::Dropped { endpoint, .. } => (Level::Warn, "operational_event_dropped", Some(*endpoint)),
        Notice::Adopted { .. } => (Level::Info, "adopted", None),
        Notice::Lost { .. } => (Level::Warn, "partition_lost", None),
        Notice::Generation { is_newest: true } => (Level::Info, "configuration_in_force", None),
        Notice::Generation { is_newest: false } => (Level::Info, "configuration_superseded", None),
        Notice::Appended { .. }
        | Notice::MemoryOnly
        | Notice::InboundMemoryOnly
        | Notice::JournalLost { events: 0 } => return None,
        Notice::Journal { state: JournalState::Ok, .. } => (Level::Info, "journal_available", None),
        Notice::Journal { state: JournalState::Full, .. } => (Level::Error, "journal_full", None),
        Notice::Journal { state: JournalState::Unavailable, .. } => (Level::Error, "journal_unavailable", None),
        Notice::TakenOver { .. } => (Level::Info, "taken_over", None),
        Notice::JournalLost { .. } => (Level::Warn, "journal_lost", None),
        Notice::EndsWithPending { .. } => (Level::Error, "ends_with_pending", None),
        Notice::Store { .. } => (Level::Error, "store_failed", None),
    };
    Some((level, event, endpoint))
}

/// A line that is being made.
struct Line(String);

impl Line {
    fn text(&mut self, key: &str, value: &str) {
        let is_plain =
            !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"=\\".contains(&byte));
        let value = if is_plain { value.to_owned() } else { printable_json(&quoted(value)).into_owned() };
        self.0.extend([" ", key, "=", &value]);
    }

    fn number(&mut self, key: &str, value: u64) {
        self.text(key, itoa::Buffer::new().format(value));
    }

    /// Adds the keys that only lines about this kind of notice have.
    fn tell(&mut self, config: &Config, notice: &Notice) {
        match notice {
            Notice::Request(RequestResult::Admin(refusal)) => self.text("reason", refusal.label()),
            Notice::Refused { endpoint, .. } => {
                self.text("cluster", config.endpoints.get(endpoint.0).map_or("", |endpoint| &endpoint.cluster));
                let detail = "Envoy will not send: there is no such cluster, it has no host, or its circuit breaker's \
                              limits are reached; deliveries wait";
                self.text("detail", detail);
            }
            Notice::DeadLetter { id, endpoint, reason, attempts, response_status, evicted: _ } => {
                // An endpoint that is gone from the config is not in the line yet.
                if !config.endpoints.iter().any(|other| other.name == *endpoint) {
                    self.text("endpoint", endpoint);
                }
                self.text("id", &id.to_string());
                self.text("reason", reason.label());
                self.number("attempts", u64::from(*attempts));
                match response_status {
                    Some(status) => self.number("response_status", u64::from(*status)),
                    None => self.text("response_status", "none"),
                }
            }
            Notice::Sink { id, .. } => self.text("id", &id.to_string()),
            Notice::Gone { .. } => self.text("reason", "gone"),
            Notice::RolledBack { trigger, detail, .. } => {
                self.text("reason", trigger.label());
                self.text("detail", detail);
            }
            Notice::Promoted { phase, percent, .. } => {
                self.number("phase", u64::from(*phase) + 1);
                self.text("percent", &percent.to_string());
            }
            Notice::PhaseWaits { phase, .. } => self.number("phase", u64::from(*phase) + 1),
            Notice::PromotionHeld { trigger, .. } => self.text("reason", trigger.label()),
            Notice::Findings { route, action, findings } => {
                self.text("route", config.routes.get(route.0).map_or("", |route| &route.name));
                self.text("action", action.label());
                self.text("found", &findings.summary(findings.list.len()));
            }
            Notice::Unreadable { route, reason } => {
                self.text("route", config.routes.get(route.0).map_or("", |route| &route.name));
                self.text("reason", reason);
            }
            Notice::Dropped { event_type, .. } => self.text("type", event_type),
            Notice::Adopted { partition, events } => {
                self.number("partition", u64::from(*partition));
                self.number("events", *events as u64);
            }
            Notice::Journal { why: Some(why), .. } => self.text("reason", why),
            Notice::TakenOver { writer } => self.text("writer", writer),
            Notice::JournalLost { events } => self.number("events", *events as u64),
            Notice::EndsWithPending { deliveries } => {
                self.number("deliveries", *deliveries as u64);
                self.text("detail", "they are lost unless another configuration of this filter goes on; drain before");
            }
            Notice::Lost { partition } => self.number("partition", u64::from(*partition)),
            Notice::Store { doing, error } => {
                self.text("doing", doing);
                self.text("error", &error.to_string());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EventId;
    use crate::rollout::guard::Trigger;
    use crate::store::StoreError;

    fn config() -> Config {
        let text = r#"{"enabled": true,
            "routes": [{"name": "ingest", "match": {"path": "/e/{event}"}, "event": "{event}"}],
            "endpoints": [{"name": "billing", "cluster": "b", "url": "https://b.example/", "secrets": [{"value": "s"}]},
                          {"name": "audit", "cluster": "a", "url": "https://a.example/", "secrets": [{"value": "s"}]}]}"#;
        crate::config::parse(text.as_bytes(), &|_| None).unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::default().plus(Duration::from_secs(seconds))
    }

    fn letter(endpoint: &str) -> Notice {
        Notice::DeadLetter {
            id: EventId([0; 16]),
            endpoint: endpoint.to_owned(),
            reason: crate::outcome::Reason::Failed,
            attempts: 3,
            response_status: None,
            evicted: 0,
        }
    }

    /// A line is keys and values, and a value that could be misread is quoted.
    #[test]
    fn log_line_is_key_values_with_ambiguity_quoted() {
        let config = config();
        let text = |notice: &Notice| Log::default().line(&config, notice, at(0)).unwrap().1;
        let opened = Notice::Breaker { endpoint: EndpointId(0), position: Position::Open };
        assert_eq!(text(&opened), "event=breaker_opened endpoint=billing");
        assert_eq!(
            text(&letter("gone by now")),
            "event=dead_letter endpoint=\"gone by now\" id=00000000-0000-0000-0000-000000000000 reason=failed \
             attempts=3 response_status=none"
        );
        let (endpoint, trigger) = (EndpointId(1), Trigger::Success);
        let rolled_back = Notice::RolledBack { endpoint, trigger, detail: "1 of 9 \"deliveries\"".to_owned() };
        assert_eq!(
            text(&rolled_back),
            r#"event=rolled_back endpoint=audit reason=success detail="1 of 9 \"deliveries\"""#
        );
        let full = Notice::Journal { state: JournalState::Full, why: Some("access denied".to_owned()) };
        assert_eq!(text(&full), r#"event=journal_full reason="access denied""#);
        let well = Notice::Journal { state: JournalState::Ok, why: None };
        assert_eq!(text(&well), "event=journal_available");
        let failed = Notice::Store { doing: "reading an event", error: StoreError::Host(10) };
        assert_eq!(text(&failed), r#"event=store_failed doing="reading an event" error="the host answered status 10""#);
    }

    /// No character of a value acts on a terminal or ends the line, whoever wrote it.
    #[test]
    fn log_line_is_printable_whatever_its_values_hold() {
        let config = config();
        let text = |notice: &Notice| Log::default().line(&config, notice, at(0)).unwrap().1;
        let hostile = "a\u{85}b\u{9b}31mc\u{202e}d\u{2066}\u{200f}\u{61c}\u{2028}\u{7f}\n\u{1b}[2J";
        let changed = Notice::Changed { line: format!("state=paused reason={} token=0a", quoted(hostile)) };
        for line in [text(&letter(hostile)), text(&changed)] {
            assert!(line.chars().all(crate::printable::is_printable), "{line:?}");
            let from = line.find('"').unwrap();
            let mut values = serde_json::Deserializer::from_str(&line[from..]).into_iter::<String>();
            assert_eq!(values.next().unwrap().unwrap(), hostile);
        }
    }

    /// A dead endpoint gets ten lines, then one every ten seconds, each of which says how many were left out.
    #[test]
    fn log_lines_of_a_dead_endpoint_are_limited_and_counted() {
        let (config, mut log) = (config(), Log::default());
        let mut written = Vec::new();
        // Ten lines a second, for a minute.
        for tenth in 0..600 {
            written.extend(log.line(&config, &letter("billing"), at(tenth / 10)).map(|(_, text)| text));
        }
        assert_eq!(written.len(), 10 + 5);
        assert!(written[..10].iter().all(|line| !line.contains("left_out")));
        assert!(written[10].ends_with("response_status=none left_out=90"), "{}", written[10]);
        assert!(written[11..].iter().all(|line| line.ends_with("left_out=99")), "{written:#?}");
        // The lines of another endpoint are not limited by that.
        assert!(log.line(&config, &letter("audit"), at(59)).is_some());
    }

    /// A line each ten seconds is written on average, whenever the notices come.
    #[test]
    fn refill_keeps_the_rest_of_its_time() {
        let (config, mut log) = (config(), Log::default());
        let mut written = |second| log.line(&config, &letter("billing"), at(second)).is_some();
        assert_eq!((0..10).filter(|_| written(0)).count(), 10);
        assert_eq!((1..=100).filter(|step| written(7 * step)).count(), 70);
    }

    #[test]
    fn every_change_by_an_operator_is_written() {
        let (config, mut log) = (config(), Log::default());
        let changed = Notice::Changed { line: "state=paused reason=\"\" token=0a1b2c3d".to_owned() };
        let written = (0..100).filter_map(|_| log.line(&config, &changed, at(0))).collect::<Vec<_>>();
        assert_eq!(written.len(), 100);
        assert_eq!(written[0], (Level::Info, "event=admin state=paused reason=\"\" token=0a1b2c3d".to_owned()));
    }
}
