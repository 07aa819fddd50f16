//! What happened, as lines for Envoy's log: one for each transition an operator would ask about, none for what goes well.
//!
//! A line is `event=<what> key=value …`, the keys in a fixed order; a value that has a space, a quote or a `=` in it is a
//! JSON string. The words are stable: scripts and alerts read them. No line holds a payload, a secret or an address.
//!
//! A dead endpoint does not fill a disk: of one kind of event about one endpoint [`BURST`] lines are written, then one
//! every [`REFILL`], which says with `left_out=` how many were not. Changes by operators are all written. It is counted in
//! each VM for itself.

use std::time::Duration;

use crate::breaker::Position;
use crate::config::{Config, EndpointId};
use crate::json::write::quoted;
use crate::notice::Notice;
use crate::time::Instant;

/// Lines of one kind about one endpoint that are written one after another.
pub const BURST: u32 = 10;

/// Then one is written each time this has passed.
pub const REFILL: Duration = Duration::from_secs(10);

/// How grave a line is, as the proxy-wasm ABI numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All is well.
    Info = 2,
    /// Somebody should look at it.
    Warn = 3,
    /// Something does not work.
    Error = 4,
    /// Nothing can be relied on.
    Critical = 5,
}

/// The log of one VM.
#[derive(Debug, Default)]
pub struct Log {
    /// As many as there are kinds of events, for each endpoint.
    buckets: Vec<Bucket>,
}

/// How many lines may be written about something.
#[derive(Debug)]
struct Bucket {
    event: &'static str,
    endpoint: Option<EndpointId>,
    left: u32,
    since: Instant,
    left_out: u32,
}

/// A line that is being made.
struct Line {
    event: &'static str,
    endpoint: Option<EndpointId>,
    level: Level,
    text: String,
}

impl Log {
    /// The line for a notice, if it is worth one and there is room for it.
    pub fn line(&mut self, config: &Config, notice: &Notice, now: Instant) -> Option<(Level, String)> {
        if let Notice::Changed { line } = notice {
            return Some((Level::Info, ["event=admin ", line].concat()));
        }
        let Line { event, endpoint, level, mut text } = line(config, notice)?;
        let left_out = self.take(event, endpoint, now)?;
        if left_out > 0 {
            push(&mut text, "left_out", itoa::Buffer::new().format(left_out));
        }
        Some((level, text))
    }

    /// Takes the room of a line; how many had none since the last one. `None`: there is none now.
    fn take(&mut self, event: &'static str, endpoint: Option<EndpointId>, now: Instant) -> Option<u32> {
        let known = self.buckets.iter().position(|bucket| bucket.event == event && bucket.endpoint == endpoint);
        let place = known.unwrap_or(self.buckets.len());
        if known.is_none() {
            self.buckets.push(Bucket { event, endpoint, left: BURST, since: now, left_out: 0 });
        }
        let bucket = self.buckets.get_mut(place)?;
        let refilled = now.since(bucket.since).as_secs() / REFILL.as_secs();
        if refilled > 0 {
            bucket.left = bucket.left.saturating_add(u32::try_from(refilled).unwrap_or(BURST)).min(BURST);
            bucket.since = now;
        }
        if bucket.left == 0 {
            bucket.left_out = bucket.left_out.saturating_add(1);
            return None;
        }
        bucket.left -= 1;
        Some(std::mem::take(&mut bucket.left_out))
    }
}

impl Line {
    fn new(level: Level, event: &'static str) -> Self {
        Self { event, endpoint: None, level, text: ["event=", event].concat() }
    }

    fn of(mut self, config: &Config, endpoint: EndpointId) -> Self {
        self.endpoint = Some(endpoint);
        let name = config.endpoints.get(endpoint.0).map_or("", |endpoint| endpoint.name.as_str());
        self.with("endpoint", name)
    }

    fn with(mut self, key: &str, value: &str) -> Self {
        push(&mut self.text, key, value);
        self
    }

    fn number(self, key: &str, value: u64) -> Self {
        self.with(key, itoa::Buffer::new().format(value))
    }
}

fn push(text: &mut String, key: &str, value: &str) {
    let is_plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"=\\".contains(&byte));
    let value = if is_plain { value.to_owned() } else { quoted(value) };
    text.extend([" ", key, "=", &value]);
}

fn line(config: &Config, notice: &Notice) -> Option<Line> {
    Some(match notice {
        Notice::Attempt { .. } | Notice::Delivery { .. } | Notice::Gauge { .. } | Notice::Changed { .. } => {
            return None;
        }
        // The first of a row: the others say nothing new.
        Notice::Refused { times, .. } if *times > 1 => return None,
        Notice::Sink { delivered: true, .. } | Notice::Adopted { events: 0, .. } => return None,
        Notice::Refused { endpoint, .. } => {
            let cluster = config.endpoints.get(endpoint.0).map_or("", |endpoint| endpoint.cluster.as_str());
            let detail = "Envoy will not send: there is no such cluster, it has no host, or its circuit breaker's \
                          limits are reached; deliveries wait";
            Line::new(Level::Warn, "refused").of(config, *endpoint).with("cluster", cluster).with("detail", detail)
        }
        Notice::DeadLetter { id, endpoint, reason, attempts, response_status, evicted: _ } => {
            let status = response_status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            let mut line = Line::new(Level::Warn, "dead_letter");
            // One that is gone from the config has its name only.
            line.endpoint = config.endpoints.iter().position(|other| other.name == *endpoint).map(EndpointId);
            line.with("endpoint", endpoint)
                .with("id", &id.to_string())
                .with("reason", reason.label())
                .number("attempts", u64::from(*attempts))
                .with("response_status", &status)
        }
        Notice::Sink { endpoint, id, delivered: false } => {
            Line::new(Level::Warn, "sink_failed").of(config, *endpoint).with("id", &id.to_string())
        }
        Notice::Breaker { endpoint, position } => {
            let (level, event) = match position {
                Position::Closed => (Level::Info, "breaker_closed"),
                Position::Open => (Level::Warn, "breaker_opened"),
                Position::HalfOpen => (Level::Info, "breaker_half_open"),
            };
            Line::new(level, event).of(config, *endpoint)
        }
        Notice::Gone { endpoint } => {
            Line::new(Level::Warn, "endpoint_disabled").of(config, *endpoint).with("reason", "gone")
        }
        Notice::RolledBack { endpoint, trigger, detail } => Line::new(Level::Error, "rolled_back")
            .of(config, *endpoint)
            .with("reason", trigger.label())
            .with("detail", detail),
        Notice::Promoted { endpoint, phase, percent } => Line::new(Level::Info, "promoted")
            .of(config, *endpoint)
            .number("phase", u64::from(*phase) + 1)
            .with("percent", &percent.to_string()),
        Notice::PromotionHeld { endpoint, trigger } => {
            Line::new(Level::Warn, "promotion_held").of(config, *endpoint).with("reason", trigger.label())
        }
        Notice::Findings { route, action, findings } => {
            let route = config.routes.get(route.0).map_or("", |route| &route.name);
            let found = findings.summary(findings.list.len());
            Line::new(Level::Warn, "personal_data")
                .with("route", route)
                .with("action", action.label())
                .with("found", &found)
        }
        Notice::Dropped { endpoint, event_type } => Line::new(Level::Warn, "operational_event_dropped")
            .of(config, *endpoint)
            .with("type", event_type)
            .with("detail", "the queue is full"),
        Notice::Adopted { partition, events } => Line::new(Level::Info, "adopted")
            .number("partition", u64::from(*partition))
            .number("events", *events as u64),
        Notice::Lost { partition } => Line::new(Level::Warn, "partition_lost")
            .number("partition", u64::from(*partition))
            .with("detail", "another worker took over while this one stalled"),
        Notice::Generation { is_newest: true } => Line::new(Level::Info, "configuration_in_force"),
        Notice::Generation { is_newest: false } => Line::new(Level::Info, "configuration_superseded"),
        Notice::Store { doing, error } => {
            Line::new(Level::Error, "store_failed").with("doing", doing).with("error", &error.to_string())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Trigger;
    use crate::message::EventId;
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
            reason: crate::dead_letter::Reason::Failed,
            attempts: 3,
            response_status: None,
            evicted: 0,
        }
    }

    #[test]
    fn a_line_is_keys_and_values_and_what_could_be_misread_is_quoted() {
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
        let failed = Notice::Store { doing: "reading an event", error: StoreError::Host(10) };
        assert_eq!(text(&failed), r#"event=store_failed doing="reading an event" error="the host answered status 10""#);
    }

    #[test]
    fn a_dead_endpoint_gets_ten_lines_then_one_every_ten_seconds_and_each_says_how_many_were_left_out() {
        let (config, mut log) = (config(), Log::default());
        let mut written = Vec::new();
        // Ten a second, for a minute.
        for tenth in 0..600 {
            written.extend(log.line(&config, &letter("billing"), at(tenth / 10)).map(|(_, text)| text));
        }
        assert_eq!(written.len(), 10 + 5);
        assert!(written[..10].iter().all(|line| !line.contains("left_out")));
        assert!(written[10].ends_with("response_status=none left_out=90"), "{}", written[10]);
        assert!(written[11..].iter().all(|line| line.ends_with("left_out=99")), "{written:#?}");
        // Nobody else has less room for it.
        assert!(log.line(&config, &letter("audit"), at(59)).is_some());
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
