//! What happened, as lines for Envoy's log: one for each thing an operator would ask about, none for what goes well.

use gatepost_core::breaker::Position;
use gatepost_core::config::{Config, EndpointId};
use gatepost_core::notice::Notice;

use crate::host::LogLevel;

/// The line for a notice, if it is worth one.
pub fn line(config: &Config, notice: &Notice) -> Option<(LogLevel, String)> {
    let name = |endpoint: &EndpointId| config.endpoints.get(endpoint.0).map_or("", |endpoint| &endpoint.name);
    Some(match notice {
        Notice::Attempt { .. } | Notice::Delivery { .. } => return None,
        // The first of a row: the others say nothing new.
        Notice::Refused { times, .. } if *times > 1 => return None,
        Notice::Refused { endpoint, .. } => (
            LogLevel::Warn,
            format!(
                "endpoint {}: Envoy will not send to cluster {} (there is no such cluster, it has no host, or its \
                 circuit breaker's limits are reached); deliveries wait",
                name(endpoint),
                config.endpoints.get(endpoint.0).map_or("", |endpoint| &endpoint.cluster)
            ),
        ),
        Notice::DeadLetter { id, endpoint, reason, attempts, response_status, evicted: _ } => {
            let status = response_status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            let reason = reason.label();
            (
                LogLevel::Warn,
                format!(
                    "endpoint {endpoint}: event {id} is a dead letter: {reason}, {attempts} attempts, last status {status}"
                ),
            )
        }
        Notice::Sink { delivered: true, .. } => return None,
        Notice::Sink { endpoint, id, delivered: false } => (
            LogLevel::Warn,
            format!("endpoint {}: the sink did not take event {id}; it is kept as a dead letter", name(endpoint)),
        ),
        Notice::Breaker { endpoint, position } => {
            let (level, position) = match position {
                Position::Closed => (LogLevel::Info, "closed"),
                Position::Open => (LogLevel::Warn, "open"),
                Position::HalfOpen => (LogLevel::Info, "half-open"),
            };
            (level, format!("endpoint {}: breaker {position}", name(endpoint)))
        }
        Notice::Gone { endpoint } => {
            (LogLevel::Warn, format!("endpoint {}: answered 410 and is disabled; its deliveries wait", name(endpoint)))
        }
        Notice::Adopted { events: 0, .. } => return None,
        Notice::Adopted { partition, events } => {
            (LogLevel::Info, format!("partition {partition}: took over {events} events that no worker held"))
        }
        Notice::Generation { is_newest: false } => {
            (LogLevel::Info, "another configuration of this name delivers from now on".to_owned())
        }
        Notice::Generation { is_newest: true } => (LogLevel::Info, "this configuration delivers again".to_owned()),
        Notice::Lost { partition } => {
            (LogLevel::Warn, format!("partition {partition}: taken over by another worker while this one stalled"))
        }
        Notice::RolledBack { endpoint, trigger, detail } => {
            (LogLevel::Error, format!("endpoint {}: rolled back: {}: {detail}", name(endpoint), trigger.label()))
        }
        Notice::Promoted { endpoint, phase, percent } => {
            (LogLevel::Info, format!("endpoint {}: rollout phase {phase} begins: {percent} %", name(endpoint)))
        }
        Notice::PromotionHeld { endpoint, trigger } => {
            (LogLevel::Warn, format!("endpoint {}: not promoted: {} is breached", name(endpoint), trigger.label()))
        }
        Notice::Share { .. } => return None,
        Notice::Findings { route, action, findings } => {
            let route = config.routes.get(route.0).map_or("", |route| &route.name);
            let found = findings.summary(findings.list.len());
            let parts = ["route ", route, ": personal data in an event, ", action.label(), ": ", &found];
            (LogLevel::Warn, parts.concat())
        }
        Notice::Dropped { endpoint, event_type } => {
            (LogLevel::Warn, format!("endpoint {}: {event_type} is dropped: the queue is full", name(endpoint)))
        }
        Notice::Changed { line } => (LogLevel::Info, format!("admin: {line}")),
        Notice::Store { doing, error } => (LogLevel::Error, format!("{doing}: {error}")),
    })
}
