//! The metrics, each defined once, at its first use. Labels stand in the name of Envoy's stat as `label=.=value;.;`,
//! and the tag rules of the example config turn them into labels of `/stats/prometheus`.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost_core::breaker::Position;
use gatepost_core::config::{Config, EndpointId, RouteId};
use gatepost_core::notice::{EventResult, Notice};

use crate::host::{self, MetricKind};

/// Handles of metrics by their names.
#[derive(Default)]
pub struct Metrics {
    /// `None`: the host would not define it.
    handles: BTreeMap<Series, Option<u32>>,
}

/// One series: a metric, its first label's value by number, and its second's.
type Series = (&'static str, usize, &'static str);

impl Metrics {
    /// Counts an answered request on an event route.
    pub fn event(&mut self, config: &Config, route: RouteId, result: EventResult) {
        let name = config.routes.get(route.0).map_or("", |route| &route.name);
        let series = ("gatepost_events_total", route.0, result.label());
        self.count(series, 1, || format!("route=.={name};.;result=.={};.;gatepost_events_total", result.label()));
    }

    /// Counts what happened.
    pub fn notice(&mut self, config: &Config, notice: &Notice) {
        match notice {
            Notice::Attempt { endpoint, ending, took } => {
                self.endpoint_count(config, *endpoint, "gatepost_attempts_total", "outcome", ending.label());
                self.duration(config, *endpoint, "gatepost_attempt_duration_ms", *took);
            }
            Notice::Refused { endpoint, .. } => {
                self.endpoint_count(config, *endpoint, "gatepost_attempts_total", "outcome", "rejected");
            }
            Notice::Delivery { endpoint, result, took } => {
                self.endpoint_count(config, *endpoint, "gatepost_deliveries_total", "result", result.label());
                self.duration(config, *endpoint, "gatepost_delivery_duration_ms", *took);
            }
            Notice::DeadLetter { evicted, .. } => {
                let name = "gatepost_dead_letters_evicted_total";
                self.count((name, 0, ""), *evicted, || name.to_owned());
            }
            Notice::Breaker { endpoint, position } => self.breaker(config, *endpoint, *position),
            Notice::Gone { endpoint } => {
                let name = "gatepost_endpoint_disabled";
                self.record(config, *endpoint, name, MetricKind::Gauge, 1);
            }
            Notice::Sink { .. } | Notice::Claimed { .. } | Notice::Lost { .. } | Notice::Store { .. } => {}
        }
    }

    fn breaker(&mut self, config: &Config, endpoint: EndpointId, position: Position) {
        let state = match position {
            Position::Closed => 0,
            Position::Open => 1,
            Position::HalfOpen => 2,
        };
        self.record(config, endpoint, "gatepost_breaker_state", MetricKind::Gauge, state);
        if position == Position::Open {
            let name = "gatepost_breaker_opens_total";
            self.count((name, endpoint.0, ""), 1, || series_name(config, endpoint, name));
        }
    }

    fn duration(&mut self, config: &Config, endpoint: EndpointId, name: &'static str, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.record(config, endpoint, name, MetricKind::Histogram, millis);
    }

    fn endpoint_count(
        &mut self,
        config: &Config,
        endpoint: EndpointId,
        name: &'static str,
        label: &str,
        value: &'static str,
    ) {
        let endpoint_name = endpoint_name(config, endpoint);
        self.count((name, endpoint.0, value), 1, || format!("endpoint=.={endpoint_name};.;{label}=.={value};.;{name}"));
    }

    fn record(&mut self, config: &Config, endpoint: EndpointId, name: &'static str, kind: MetricKind, value: u64) {
        let handle = self.handle((name, endpoint.0, ""), kind, || series_name(config, endpoint, name));
        if let Some(handle) = handle {
            host::record(handle, value);
        }
    }

    fn count(&mut self, series: Series, by: u32, name: impl FnOnce() -> String) {
        if let Some(handle) = self.handle(series, MetricKind::Counter, name) {
            host::count(handle, by);
        }
    }

    fn handle(&mut self, series: Series, kind: MetricKind, name: impl FnOnce() -> String) -> Option<u32> {
        *self.handles.entry(series).or_insert_with(|| host::define_metric(kind, &name()))
    }
}

fn endpoint_name(config: &Config, endpoint: EndpointId) -> &str {
    config.endpoints.get(endpoint.0).map_or("", |endpoint| &endpoint.name)
}

fn series_name(config: &Config, endpoint: EndpointId, name: &str) -> String {
    format!("endpoint=.={};.;{name}", endpoint_name(config, endpoint))
}
