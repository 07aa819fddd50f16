//! The metrics, each defined once, at its first use. Labels stand in the name of Envoy's stat as `label=.=value;.;`,
//! and the tag rules of the example config turn them into labels of `/stats/prometheus`.

use std::time::Duration;

use gatepost_core::breaker::Position;
use gatepost_core::config::{Config, EndpointId, RouteId};
use gatepost_core::notice::{EventResult, Notice};

use crate::host::{self, MetricKind};

/// Handles of metrics.
pub struct Metrics {
    /// One family for each route of the config.
    routes: Vec<Family>,
    /// One family for each endpoint of the config.
    endpoints: Vec<Family>,
    /// Those of the whole process.
    process: Family,
}

/// The series of one route or endpoint, a dozen at most: a metric, the value of its second label, and its handle;
/// `None`: the host would not define it.
type Family = Vec<(&'static str, &'static str, Option<u32>)>;

impl Metrics {
    /// No metric is defined yet: the host learns of a series when it is first used.
    pub fn new(config: &Config) -> Self {
        Self {
            routes: vec![Family::new(); config.routes.len()],
            endpoints: vec![Family::new(); config.endpoints.len()],
            process: Family::new(),
        }
    }

    /// Counts an answered request on an event route.
    pub fn event(&mut self, config: &Config, route: RouteId, result: EventResult) {
        let metric = "gatepost_events_total";
        let Some(family) = self.routes.get_mut(route.0) else { return };
        if let Some(handle) = handle(family, metric, result.label(), MetricKind::Counter, || {
            let name = config.routes.get(route.0).map_or("", |route| &route.name);
            labelled(&[("route", name), ("result", result.label())], metric)
        }) {
            host::count(handle, 1);
        }
    }

    /// Counts what happened.
    pub fn notice(&mut self, config: &Config, notice: &Notice) {
        match notice {
            Notice::Attempt { endpoint, ending, took } => {
                self.count(config, *endpoint, "gatepost_attempts_total", ("outcome", ending.label()));
                self.duration(config, *endpoint, "gatepost_attempt_duration_ms", *took);
            }
            Notice::Refused { endpoint, .. } => {
                self.count(config, *endpoint, "gatepost_attempts_total", ("outcome", "rejected"));
            }
            Notice::Delivery { endpoint, result, took } => {
                self.count(config, *endpoint, "gatepost_deliveries_total", ("result", result.label()));
                self.duration(config, *endpoint, "gatepost_delivery_duration_ms", *took);
            }
            Notice::DeadLetter { evicted, .. } => {
                self.count_process("gatepost_dead_letters_evicted_total", ("", ""), *evicted);
            }
            Notice::Adopted { events, .. } => {
                let events = u32::try_from(*events).unwrap_or(u32::MAX);
                self.count_process("gatepost_adopted_total", ("", ""), events);
            }
            Notice::Breaker { endpoint, position } => {
                if *position == Position::Open {
                    self.count(config, *endpoint, "gatepost_breaker_opens_total", ("", ""));
                }
                let state = match position {
                    Position::Closed => 0,
                    Position::Open => 1,
                    Position::HalfOpen => 2,
                };
                self.record(config, *endpoint, "gatepost_breaker_state", MetricKind::Gauge, state);
            }
            Notice::RolledBack { endpoint, trigger, .. } => {
                self.count(config, *endpoint, "gatepost_rollbacks_total", ("reason", trigger.label()));
            }
            Notice::Share { endpoint, percent } => {
                // A gauge of Envoy's is a whole number: half a percent is more than none.
                let percent = u64::from(percent.0).div_ceil(100);
                self.record(config, *endpoint, "gatepost_rollout_percent", MetricKind::Gauge, percent);
            }
            Notice::Findings { findings, .. } => {
                for (kind, count) in findings.by_kind() {
                    self.count_process("gatepost_payload_findings_total", ("kind", kind.label()), count);
                }
            }
            Notice::Dropped { .. } => self.count_process("gatepost_operational_dropped_total", ("", ""), 1),
            Notice::Promoted { .. }
            | Notice::PromotionHeld { .. }
            | Notice::Gone { .. }
            | Notice::Sink { .. }
            | Notice::Generation { .. }
            | Notice::Lost { .. }
            | Notice::Changed { .. }
            | Notice::Store { .. } => {}
        }
    }

    fn count_process(&mut self, metric: &'static str, label: (&str, &'static str), by: u32) {
        let handle = handle(&mut self.process, metric, label.1, MetricKind::Counter, || labelled(&[label], metric));
        handle.into_iter().for_each(|handle| host::count(handle, by));
    }

    fn count(&mut self, config: &Config, endpoint: EndpointId, metric: &'static str, label: (&str, &'static str)) {
        let Some(family) = self.endpoints.get_mut(endpoint.0) else { return };
        if let Some(handle) = handle(family, metric, label.1, MetricKind::Counter, || {
            labelled(&[("endpoint", endpoint_name(config, endpoint)), label], metric)
        }) {
            host::count(handle, 1);
        }
    }

    fn duration(&mut self, config: &Config, endpoint: EndpointId, metric: &'static str, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.record(config, endpoint, metric, MetricKind::Histogram, millis);
    }

    fn record(&mut self, config: &Config, endpoint: EndpointId, metric: &'static str, kind: MetricKind, value: u64) {
        let Some(family) = self.endpoints.get_mut(endpoint.0) else { return };
        if let Some(handle) =
            handle(family, metric, "", kind, || labelled(&[("endpoint", endpoint_name(config, endpoint))], metric))
        {
            host::record(handle, value);
        }
    }
}

fn handle(
    family: &mut Family,
    metric: &'static str,
    value: &'static str,
    kind: MetricKind,
    name: impl FnOnce() -> String,
) -> Option<u32> {
    if let Some((_, _, handle)) = family.iter().find(|series| series.0 == metric && series.1 == value) {
        return *handle;
    }
    let handle = host::define_metric(kind, &name());
    family.push((metric, value, handle));
    handle
}

/// The name of the stat of a series.
fn labelled(labels: &[(&str, &str)], metric: &str) -> String {
    let mut name = String::new();
    for (label, value) in labels.iter().filter(|(label, _)| !label.is_empty()) {
        name.extend([label, "=.=", value, ";.;"]);
    }
    name.push_str(metric);
    name
}

fn endpoint_name(config: &Config, endpoint: EndpointId) -> &str {
    config.endpoints.get(endpoint.0).map_or("", |endpoint| &endpoint.name)
}
