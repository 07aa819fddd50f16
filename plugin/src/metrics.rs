//! The metrics, each defined once. Labels stand in the name of Envoy's stat as `label=.=value;.;`, and the tag rules of
//! the example config turn them into labels of `/stats/prometheus`.
//!
//! Every series is defined soon after the start, at 0: to Prometheus a counter that appears at 1 has not increased. That
//! goes over several ticks, since each takes the host a few microseconds. How many there are follows from the config:
//! 24 for each endpoint, 7 for each route, 14 for each inbound rule, and a dozen.

use std::time::Duration;

use gatepost_core::config::Config;
use gatepost_core::egress::breaker::Position;
use gatepost_core::ids::EndpointId;
use gatepost_core::inbound::InboundResult;
use gatepost_core::ingress::event::EventResult;
use gatepost_core::ingress::payload::Kind;
use gatepost_core::ingress::request::Count;
use gatepost_core::outcome::DeliveryResult;
use gatepost_core::rollout::guard::Trigger;
use gatepost_core::telemetry::hours::{OUTCOMES, REJECTED};
use gatepost_core::telemetry::notice::{Gauge, Notice};
use proxy_wasm::types::MetricType;

use crate::host;

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
const DROPPED: &str = "gatepost_operational_dropped_total";

/// Routes and endpoints whose series are defined in one tick: half a millisecond.
const DEFINED_AT_ONCE: usize = 10;

/// Handles of metrics.
pub struct Metrics {
    /// One family for each route of the config.
    routes: Vec<Family>,
    /// One family for each endpoint of the config.
    endpoints: Vec<Family>,
    /// One family for each inbound rule of the config.
    inbound: Vec<Family>,
    /// Those of the whole process.
    process: Family,
    /// How many routes and endpoints have had their series defined; `None`: not even the process has.
    defined: Option<usize>,
}

/// The series of one route or endpoint, two dozen at most: a metric, the value of its second label, and its handle;
/// `None`: the host would not define it.
type Family = Vec<(&'static str, &'static str, Option<u32>)>;

/// The series of a metric that belong to a family: the metric, its kind, the label that tells them apart, and its value.
type Series = (&'static str, MetricType, (&'static str, &'static str));

const NONE: (&str, &str) = ("", "");

impl Metrics {
    /// No metric is defined yet.
    pub fn new(config: &Config) -> Self {
        Self {
            routes: vec![Family::new(); config.routes.len()],
            endpoints: vec![Family::new(); config.endpoints.len()],
            inbound: vec![Family::new(); config.inbound.len()],
            process: Family::new(),
            defined: None,
        }
    }

    /// Defines some of the series that are not defined yet.
    pub fn define_some(&mut self, config: &Config) {
        // A filter with neither only serves the admin surface.
        if config.endpoints.is_empty() && config.inbound.is_empty() {
            return;
        }
        let Some(from) = self.defined else {
            self.define_process();
            self.defined = Some(0);
            return;
        };
        for number in from..from + DEFINED_AT_ONCE {
            if let Some((family, route)) = self.routes.get_mut(number).zip(config.routes.get(number)) {
                for result in EventResult::ALL {
                    handle(family, Some(("route", &route.name)), counter(EVENTS, "result", result.label()));
                }
            } else if let Some(family) = self.endpoints.get_mut(number - config.routes.len()) {
                define_endpoint(family, endpoint_name(config, EndpointId(number - config.routes.len())));
            } else {
                let number = number - config.routes.len() - config.endpoints.len();
                let Some((family, rule)) = self.inbound.get_mut(number).zip(config.inbound.get(number)) else { return };
                for (_, label) in InboundResult::ALL {
                    handle(family, Some(("route", &rule.name)), counter(INBOUND, "result", label));
                }
            }
            self.defined = Some(number + 1);
        }
    }

    fn define_process(&mut self) {
        for metric in [EVICTED, ADOPTED, DROPPED] {
            handle(&mut self.process, None, (metric, MetricType::Counter, NONE));
        }
        for kind in Kind::ALL {
            handle(&mut self.process, None, counter(FINDINGS, "kind", kind.label()));
        }
        for gauge in Gauge::OF_PROCESS {
            handle(&mut self.process, None, (gauge.metric(), MetricType::Gauge, NONE));
        }
    }

    /// Counts what happened.
    pub fn notice(&mut self, config: &Config, notice: &Notice) {
        match notice {
            Notice::Request(count) => self.request(config, *count),
            Notice::Attempt { endpoint, ending, took } => {
                self.count(config, *endpoint, ATTEMPTS, ("outcome", ending.label()));
                self.duration(config, *endpoint, ATTEMPT_DURATION, *took);
            }
            Notice::Refused { endpoint, .. } => self.count(config, *endpoint, ATTEMPTS, ("outcome", REJECTED)),
            Notice::Delivery { endpoint, result, took } => {
                self.count(config, *endpoint, DELIVERIES, ("result", result.label()));
                self.duration(config, *endpoint, DELIVERY_DURATION, *took);
            }
            Notice::DeadLetter { evicted, .. } => self.count_process(EVICTED, NONE, *evicted),
            Notice::Adopted { events, .. } => {
                self.count_process(ADOPTED, NONE, u32::try_from(*events).unwrap_or(u32::MAX));
            }
            Notice::Breaker { endpoint, position } => {
                if *position == Position::Open {
                    self.count(config, *endpoint, BREAKER_OPENS, NONE);
                }
                self.record(config, Some(*endpoint), Gauge::BreakerState, position.number());
            }
            Notice::RolledBack { endpoint, trigger, .. } => {
                self.count(config, *endpoint, ROLLBACKS, ("reason", trigger.label()));
            }
            Notice::RolledBackByOperator { endpoint } => {
                // Seldom enough to be defined each time.
                let series = (ROLLBACKS, MetricType::Counter, ("reason", Trigger::Operator.label()));
                let handle = handle(&mut Family::new(), Some(("endpoint", endpoint)), series);
                handle.into_iter().for_each(|handle| host::count(handle, 1));
            }
            Notice::Removed { endpoint } => {
                for gauge in Gauge::OF_ENDPOINTS {
                    let series = (gauge.metric(), MetricType::Gauge, NONE);
                    let handle = handle(&mut Family::new(), Some(("endpoint", endpoint)), series);
                    handle.into_iter().for_each(|handle| host::record(handle, gauge.of_none()));
                }
            }
            Notice::Gauge { endpoint, gauge, value } => self.record(config, *endpoint, *gauge, *value),
            Notice::Findings { findings, .. } => {
                for (kind, count) in findings.by_kind() {
                    self.count_process(FINDINGS, ("kind", kind.label()), count);
                }
            }
            Notice::Dropped { .. } => self.count_process(DROPPED, NONE, 1),
            Notice::Promoted { .. }
            | Notice::PhaseWaits { .. }
            | Notice::PromotionHeld { .. }
            | Notice::Gone { .. }
            | Notice::Sink { .. }
            | Notice::Generation { .. }
            | Notice::Lost { .. }
            | Notice::Changed { .. }
            | Notice::Store { .. } => {}
        }
    }

    fn request(&mut self, config: &Config, count: Count) {
        let handle = match count {
            Count::Event(route, result) => {
                let series = counter(EVENTS, "result", result.label());
                let family = self.routes.get_mut(route.0).zip(config.routes.get(route.0));
                family.and_then(|(family, route)| handle(family, Some(("route", &route.name)), series))
            }
            Count::Inbound(rule, result) => {
                let series = counter(INBOUND, "result", result.label());
                let family = self.inbound.get_mut(rule.0).zip(config.inbound.get(rule.0));
                family.and_then(|(family, rule)| handle(family, Some(("route", &rule.name)), series))
            }
        };
        handle.into_iter().for_each(|handle| host::count(handle, 1));
    }

    fn count_process(&mut self, metric: &'static str, label: (&'static str, &'static str), by: u32) {
        let handle = handle(&mut self.process, None, (metric, MetricType::Counter, label));
        handle.into_iter().for_each(|handle| host::count(handle, by));
    }

    fn count(
        &mut self,
        config: &Config,
        endpoint: EndpointId,
        metric: &'static str,
        label: (&'static str, &'static str),
    ) {
        let handle = self.handle(config, endpoint, (metric, MetricType::Counter, label));
        handle.into_iter().for_each(|handle| host::count(handle, 1));
    }

    fn duration(&mut self, config: &Config, endpoint: EndpointId, metric: &'static str, took: Duration) {
        let handle = self.handle(config, endpoint, (metric, MetricType::Histogram, NONE));
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        handle.into_iter().for_each(|handle| host::record(handle, millis));
    }

    fn record(&mut self, config: &Config, endpoint: Option<EndpointId>, gauge: Gauge, value: u64) {
        let series = (gauge.metric(), MetricType::Gauge, NONE);
        let handle = match endpoint {
            Some(endpoint) => self.handle(config, endpoint, series),
            None => handle(&mut self.process, None, series),
        };
        handle.into_iter().for_each(|handle| host::record(handle, value));
    }

    fn handle(&mut self, config: &Config, endpoint: EndpointId, series: Series) -> Option<u32> {
        let family = self.endpoints.get_mut(endpoint.0)?;
        handle(family, Some(("endpoint", endpoint_name(config, endpoint))), series)
    }
}

fn define_endpoint(family: &mut Family, endpoint: &str) {
    let mut define = |series| handle(family, Some(("endpoint", endpoint)), series);
    for outcome in OUTCOMES {
        define(counter(ATTEMPTS, "outcome", outcome));
    }
    for result in DeliveryResult::ALL {
        define(counter(DELIVERIES, "result", result.label()));
    }
    for trigger in Trigger::ALL {
        define(counter(ROLLBACKS, "reason", trigger.label()));
    }
    for gauge in Gauge::OF_ENDPOINTS {
        define((gauge.metric(), MetricType::Gauge, NONE));
    }
    define((BREAKER_OPENS, MetricType::Counter, NONE));
    define((ATTEMPT_DURATION, MetricType::Histogram, NONE));
    define((DELIVERY_DURATION, MetricType::Histogram, NONE));
}

/// One of several series of a counter.
fn counter(metric: &'static str, label: &'static str, value: &'static str) -> Series {
    (metric, MetricType::Counter, (label, value))
}

/// The handle of a series of whoever it is about, defined at its first use.
fn handle(family: &mut Family, owner: Option<(&str, &str)>, series: Series) -> Option<u32> {
    let (metric, kind, label) = series;
    if let Some((_, _, handle)) = family.iter().find(|known| known.0 == metric && known.1 == label.1) {
        return *handle;
    }
    let mut name = String::new();
    for (label, value) in owner.into_iter().chain((label != NONE).then_some(label)) {
        name.extend([label, "=.=", value, ";.;"]);
    }
    name.push_str(metric);
    let handle = host::define_metric(kind, &name);
    family.push((metric, label.1, handle));
    handle
}

fn endpoint_name(config: &Config, endpoint: EndpointId) -> &str {
    config.endpoints.get(endpoint.0).map_or("", |endpoint| &endpoint.name)
}
