//! The metrics: their names and labels, the series of each, and the changes that each notice makes.
//!
//! Labels stand in the name of Envoy's stat as `label=.=value;.;`, and the tag rules of the example config turn them
//! into labels of `/stats/prometheus`.
//!
//! Every series is defined soon after the start, at 0: to Prometheus a counter that appears at 1 has not increased. The
//! number of series follows from the config: 24 for each endpoint, 8 for each route, 17 for each inbound rule, 15 for a
//! journal, and 16 besides.

use std::time::Duration;

use crate::config::Config;
use crate::egress::breaker::Position;
use crate::ids::{EndpointId, RouteId, RuleId};
use crate::inbound::InboundResult;
use crate::ingress::event::EventResult;
use crate::ingress::payload;
use crate::ingress::request::{AdminRefusal, RequestResult};
use crate::journal::operation::Outcome;
use crate::outcome::DeliveryResult;
use crate::rollout::guard::Trigger;
use crate::telemetry::hours::{OUTCOMES, REJECTED};
use crate::telemetry::notice::{Gauge, Notice};

const EVENTS: &str = "gatepost_events_total";
const INBOUND: &str = "gatepost_inbound_total";
const ATTEMPTS: &str = "gatepost_attempts_total";
const ATTEMPT_DURATION: &str = "gatepost_attempt_duration_ms";
const DELIVERIES: &str = "gatepost_deliveries_total";
const DELIVERY_DURATION: &str = "gatepost_delivery_duration_ms";
const BREAKER_OPENS: &str = "gatepost_breaker_opens_total";
const ROLLBACKS: &str = "gatepost_rollbacks_total";
const FINDINGS: &str = "gatepost_payload_findings_total";
const EVICTED: &str = "gatepost_dead_letters_evicted_total";
const ADOPTED: &str = "gatepost_adopted_total";
const ADMIN_REFUSED: &str = "gatepost_admin_refused_total";
const DROPPED: &str = "gatepost_operational_dropped_total";
const APPENDS: &str = "gatepost_journal_appends_total";
const APPEND_DURATION: &str = "gatepost_journal_append_duration_ms";
const BATCH_EVENTS: &str = "gatepost_journal_batch_events";
const TAKEOVERS: &str = "gatepost_takeovers_total";
const MEMORY_ONLY: &str = "gatepost_events_memory_only_total";
const INBOUND_MEMORY_ONLY: &str = "gatepost_inbound_memory_only_total";

/// The subject of a series, which is its first label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The process.
    Process,
    /// The journal.
    Journal,
    /// A route.
    Route(RouteId),
    /// An endpoint.
    Endpoint(EndpointId),
    /// An inbound rule.
    Rule(RuleId),
    /// An endpoint that is known by name, and need not be in the config.
    Named(String),
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A value that only grows.
    Counter,
    /// A value that rises and falls.
    Gauge,
    /// A distribution of values.
    Histogram,
}

/// A series of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// The name of the metric.
    pub metric: &'static str,
    /// The kind of the metric.
    pub kind: MetricKind,
    /// The label that tells the series of a metric and a subject apart, and its value; empty: there is only one series.
    pub label: (&'static str, &'static str),
}

impl Series {
    const fn counter(metric: &'static str) -> Self {
        Self { metric, kind: MetricKind::Counter, label: ("", "") }
    }

    const fn labelled(metric: &'static str, label: &'static str, value: &'static str) -> Self {
        Self { metric, kind: MetricKind::Counter, label: (label, value) }
    }

    const fn histogram(metric: &'static str) -> Self {
        Self { metric, kind: MetricKind::Histogram, label: ("", "") }
    }

    fn gauge(gauge: Gauge) -> Self {
        Self { metric: gauge.metric(), kind: MetricKind::Gauge, label: ("", "") }
    }

    /// The name of Envoy's stat for this series of a subject.
    pub fn stat(&self, config: &Config, subject: &Subject) -> String {
        let name = match subject {
            Subject::Process | Subject::Journal => None,
            Subject::Route(id) => config.routes.get(id.0).map(|route| ("route", route.name.as_str())),
            Subject::Rule(id) => config.inbound.get(id.0).map(|rule| ("route", rule.name.as_str())),
            Subject::Endpoint(id) => config.endpoints.get(id.0).map(|endpoint| ("endpoint", endpoint.name.as_str())),
            Subject::Named(name) => Some(("endpoint", name.as_str())),
        };
        let mut stat = String::new();
        for (label, value) in name.into_iter().chain([self.label]) {
            if !label.is_empty() {
                stat.extend([label, "=.=", value, ";.;"]);
            }
        }
        stat.push_str(self.metric);
        stat
    }
}

/// A change of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A counter grows by this.
    Add(u32),
    /// A gauge is set to this value, or a histogram records it.
    Record(u64),
}

/// All subjects of a configuration, the process first; none if the configuration only serves the admin surface.
pub fn subjects(config: &Config) -> impl Iterator<Item = Subject> {
    let (routes, endpoints, rules) = (config.routes.len(), config.endpoints.len(), config.inbound.len());
    let only_serves = endpoints == 0 && rules == 0;
    std::iter::once(Subject::Process)
        .chain(config.journal.as_ref().map(|_| Subject::Journal))
        .chain((0..routes).map(|number| Subject::Route(RouteId(number))))
        .chain((0..endpoints).map(|number| Subject::Endpoint(EndpointId(number))))
        .chain((0..rules).map(|number| Subject::Rule(RuleId(number))))
        .filter(move |_| !only_serves)
}

/// All series of a subject.
pub fn series(subject: &Subject) -> Vec<Series> {
    match subject {
        Subject::Process => {
            let kinds = payload::DataKind::ALL.map(|kind| Series::labelled(FINDINGS, "kind", kind.label()));
            let counters = [EVICTED, ADOPTED, DROPPED].map(Series::counter);
            let refusals = AdminRefusal::ALL.map(|refusal| Series::labelled(ADMIN_REFUSED, "reason", refusal.label()));
            counters.into_iter().chain(kinds).chain(refusals).chain(Gauge::OF_PROCESS.map(Series::gauge)).collect()
        }
        Subject::Journal => {
            let outcomes = OUTCOMES_OF_APPENDS.map(|outcome| Series::labelled(APPENDS, "result", outcome));
            let one = [
                Series::histogram(APPEND_DURATION),
                Series::histogram(BATCH_EVENTS),
                Series::counter(TAKEOVERS),
                Series::counter(MEMORY_ONLY),
                Series::counter(INBOUND_MEMORY_ONLY),
            ];
            outcomes.into_iter().chain(one).chain(Gauge::OF_JOURNAL.map(Series::gauge)).collect()
        }
        Subject::Route(_) => EventResult::ALL.map(|result| Series::labelled(EVENTS, "result", result.label())).into(),
        Subject::Rule(_) => InboundResult::ALL.map(|(_, label)| Series::labelled(INBOUND, "result", label)).into(),
        Subject::Endpoint(_) | Subject::Named(_) => {
            let outcomes = OUTCOMES.map(|outcome| Series::labelled(ATTEMPTS, "outcome", outcome));
            let results = DeliveryResult::ALL.map(|result| Series::labelled(DELIVERIES, "result", result.label()));
            let triggers = Trigger::ALL.map(|trigger| Series::labelled(ROLLBACKS, "reason", trigger.label()));
            let one = [
                Series::counter(BREAKER_OPENS),
                Series::histogram(ATTEMPT_DURATION),
                Series::histogram(DELIVERY_DURATION),
            ];
            (outcomes.into_iter().chain(results).chain(triggers))
                .chain(Gauge::OF_ENDPOINTS.map(Series::gauge))
                .chain(one)
                .collect()
        }
    }
}

/// Passes each change of a series that follows from a notice to `change`. The function is long because it is one table,
/// with an arm for each notice.
pub fn changes(notice: &Notice, change: &mut dyn FnMut(&Subject, Series, Change)) {
    let mut add = |subject: Subject, series: Series| change(&subject, series, Change::Add(1));
    match notice {
        Notice::Request(RequestResult::Event(route, result)) => {
            add(Subject::Route(*route), Series::labelled(EVENTS, "result", result.label()));
        }
        Notice::Request(RequestResult::Inbound(rule, result)) => {
            add(Subject::Rule(*rule), Series::labelled(INBOUND, "result", result.label()));
        }
        Notice::Request(RequestResult::Admin(refusal)) => {
            add(Subject::Process, Series::labelled(ADMIN_REFUSED, "reason", refusal.label()));
        }
        Notice::Attempt { endpoint, ending, took } => {
            let subject = Subject::Endpoint(*endpoint);
            change(&subject, Series::labelled(ATTEMPTS, "outcome", ending.label()), Change::Add(1));
            change(&subject, Series::histogram(ATTEMPT_DURATION), Change::Record(millis(*took)));
        }
        Notice::Refused { endpoint, .. } => {
            add(Subject::Endpoint(*endpoint), Series::labelled(ATTEMPTS, "outcome", REJECTED));
        }
        Notice::Delivery { endpoint, result, took } => {
            let subject = Subject::Endpoint(*endpoint);
            change(&subject, Series::labelled(DELIVERIES, "result", result.label()), Change::Add(1));
            change(&subject, Series::histogram(DELIVERY_DURATION), Change::Record(millis(*took)));
        }
        Notice::DeadLetter { evicted, .. } => {
            change(&Subject::Process, Series::counter(EVICTED), Change::Add(*evicted))
        }
        Notice::Adopted { events, .. } => {
            let events = u32::try_from(*events).unwrap_or(u32::MAX);
            change(&Subject::Process, Series::counter(ADOPTED), Change::Add(events));
        }
        Notice::Breaker { endpoint, position } => {
            let subject = Subject::Endpoint(*endpoint);
            if *position == Position::Open {
                change(&subject, Series::counter(BREAKER_OPENS), Change::Add(1));
            }
            change(&subject, Series::gauge(Gauge::BreakerState), Change::Record(position.number()));
        }
        Notice::RolledBack { endpoint, trigger, .. } => {
            add(Subject::Endpoint(*endpoint), Series::labelled(ROLLBACKS, "reason", trigger.label()));
        }
        Notice::RolledBackByOperator { endpoint } => {
            let series = Series::labelled(ROLLBACKS, "reason", Trigger::Operator.label());
            add(Subject::Named(endpoint.clone()), series);
        }
        Notice::Removed { endpoint } => {
            let subject = Subject::Named(endpoint.clone());
            for gauge in Gauge::OF_ENDPOINTS {
                change(&subject, Series::gauge(gauge), Change::Record(gauge.of_none()));
            }
        }
        Notice::Gauge { endpoint, gauge, value } => {
            let of_none = if Gauge::OF_JOURNAL.contains(gauge) { Subject::Journal } else { Subject::Process };
            let subject = endpoint.map_or(of_none, Subject::Endpoint);
            change(&subject, Series::gauge(*gauge), Change::Record(*value));
        }
        Notice::Findings { findings, .. } => {
            for (kind, count) in findings.by_kind() {
                let series = Series::labelled(FINDINGS, "kind", kind.label());
                change(&Subject::Process, series, Change::Add(count));
            }
        }
        Notice::Unreadable { .. } => {
            add(Subject::Process, Series::labelled(FINDINGS, "kind", payload::DataKind::Unreadable.label()));
        }
        Notice::Dropped { .. } => add(Subject::Process, Series::counter(DROPPED)),
        Notice::Appended { outcome, took, entries } => {
            let Some(label) = append_label(outcome) else { return };
            change(&Subject::Journal, Series::labelled(APPENDS, "result", label), Change::Add(1));
            if matches!(outcome, Outcome::Applied | Outcome::Already) {
                change(&Subject::Journal, Series::histogram(APPEND_DURATION), Change::Record(millis(*took)));
                change(&Subject::Journal, Series::histogram(BATCH_EVENTS), Change::Record(*entries as u64));
            }
        }
        Notice::MemoryOnly => add(Subject::Journal, Series::counter(MEMORY_ONLY)),
        Notice::InboundMemoryOnly => add(Subject::Journal, Series::counter(INBOUND_MEMORY_ONLY)),
        Notice::TakenOver { .. } => add(Subject::Journal, Series::counter(TAKEOVERS)),
        Notice::Promoted { .. }
        | Notice::PhaseWaits { .. }
        | Notice::PromotionHeld { .. }
        | Notice::Gone { .. }
        | Notice::Sink { .. }
        | Notice::Generation { .. }
        | Notice::Lost { .. }
        | Notice::Journal { .. }
        | Notice::EndsWithPending { .. }
        | Notice::JournalLost { .. }
        | Notice::Changed { .. }
        | Notice::Store { .. } => {}
    }
}

/// The outcomes of appends: the values of the label `result`.
const OUTCOMES_OF_APPENDS: [&str; 5] = ["applied", "already", "fenced", "refused", "unknown"];

/// The value of the label `result` for the outcome of an append; `None`: an append has no such outcome.
fn append_label(outcome: &Outcome) -> Option<&'static str> {
    let [applied, already, fenced, refused, unknown] = OUTCOMES_OF_APPENDS;
    match outcome {
        Outcome::Applied => Some(applied),
        Outcome::Already => Some(already),
        Outcome::Fenced => Some(fenced),
        // An event whose idempotency key was used at another gateway is not written, either.
        Outcome::Refused(_) | Outcome::KeyTaken { .. } => Some(refused),
        Outcome::Unknown => Some(unknown),
        // No append ends so.
        _ => None,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::operation::StoreRefusal;
    use crate::outcome::Ending;

    /// The number of series of the process, a route, an endpoint, an inbound rule and the journal.
    const SERIES: [usize; 5] = [16, 8, 24, 17, 15];

    fn changed(notice: &Notice) -> Vec<(Subject, &'static str, &'static str, Change)> {
        let mut changed = Vec::new();
        changes(notice, &mut |subject, series, change| {
            changed.push((subject.clone(), series.metric, series.label.1, change));
        });
        changed
    }

    /// A series that is counted and not defined would begin at 1, and its first increase would be lost.
    #[test]
    fn what_is_counted_is_defined() {
        let endpoint = EndpointId(0);
        let took = Duration::from_millis(7);
        let notices = [
            Notice::Request(RequestResult::Event(RouteId(0), EventResult::Accepted)),
            Notice::Request(RequestResult::Inbound(RuleId(0), InboundResult::Full)),
            Notice::Request(RequestResult::Admin(AdminRefusal::Throttled)),
            Notice::Attempt { endpoint, ending: Ending::Timeout, took },
            Notice::Refused { endpoint, times: 1 },
            Notice::Delivery { endpoint, result: DeliveryResult::Expired, took },
            Notice::Adopted { partition: 1, events: 3 },
            Notice::Breaker { endpoint, position: Position::Open },
            Notice::RolledBack { endpoint, trigger: Trigger::P95, detail: String::new() },
            Notice::RolledBackByOperator { endpoint: "gone".into() },
            Notice::Removed { endpoint: "gone".into() },
            Notice::Gauge { endpoint: None, gauge: Gauge::DeadLetters, value: 1 },
            Notice::Gauge { endpoint: Some(endpoint), gauge: Gauge::Pending, value: 1 },
            Notice::Dropped { endpoint, event_type: "gatepost.dead_letter" },
            Notice::Unreadable { route: RouteId(0), reason: String::new() },
            Notice::Appended { outcome: Outcome::Applied, took, entries: 3 },
            Notice::Appended { outcome: Outcome::Refused(StoreRefusal::Full), took, entries: 3 },
            Notice::MemoryOnly,
            Notice::InboundMemoryOnly,
            Notice::TakenOver { writer: String::new() },
            Notice::Gauge { endpoint: None, gauge: Gauge::JournalUp, value: 1 },
        ];
        for notice in notices {
            let changes = changed(&notice);
            assert!(!changes.is_empty(), "{notice:?}");
            for (subject, metric, value, _) in changes {
                let defined = series(&subject);
                assert!(defined.iter().any(|series| series.metric == metric && series.label.1 == value), "{notice:?}");
            }
        }
    }

    #[test]
    fn an_attempt_is_counted_and_timed() {
        let took = Duration::from_micros(7_900);
        let notice = Notice::Attempt { endpoint: EndpointId(2), ending: Ending::Status(204), took };
        let subject = Subject::Endpoint(EndpointId(2));
        let expected =
            [(subject.clone(), ATTEMPTS, "2xx", Change::Add(1)), (subject, ATTEMPT_DURATION, "", Change::Record(7))];
        assert_eq!(changed(&notice), expected);
    }

    /// An append is counted by its outcome, and timed when its events are committed.
    #[test]
    fn an_append_is_counted_and_timed_when_committed() {
        let notice = |outcome| Notice::Appended { outcome, took: Duration::from_millis(3), entries: 21 };
        let subject = Subject::Journal;
        let committed = [
            (subject.clone(), APPENDS, "already", Change::Add(1)),
            (subject.clone(), APPEND_DURATION, "", Change::Record(3)),
            (subject.clone(), BATCH_EVENTS, "", Change::Record(21)),
        ];
        assert_eq!(changed(&notice(Outcome::Already)), committed);
        assert_eq!(changed(&notice(Outcome::Unknown)), [(subject, APPENDS, "unknown", Change::Add(1))]);
    }

    #[test]
    fn no_series_is_defined_twice() {
        let subjects = [
            Subject::Process,
            Subject::Route(RouteId(0)),
            Subject::Endpoint(EndpointId(0)),
            Subject::Rule(RuleId(0)),
            Subject::Journal,
        ];
        let count = |subject| {
            let mut series: Vec<_> = series(subject).iter().map(|series| (series.metric, series.label.1)).collect();
            series.sort_unstable();
            let all = series.len();
            series.dedup();
            assert_eq!(series.len(), all, "{subject:?}");
            all
        };
        assert_eq!(
            subjects.each_ref().map(count),
            SERIES,
            "SERIES, the first lines of this file and the guide tell it"
        );
    }
}
