//! The built filter in the simulated Envoy: a module a behaviour.
#![cfg(test)]

mod access;
mod admin_listener;
mod announcements;
mod answers;
mod breaker;
mod builds;
mod config;
mod crashes;
mod crossings;
mod decided;
mod delivery;
mod disabled;
mod drain;
mod faults;
mod fleet;
mod fuel;
mod history;
mod host_statuses;
mod hours;
mod inbound;
mod inbound_faults;
mod inbound_fleet;
mod inbound_paths;
mod inbound_secrets;

mod matching;
mod metrics;
mod mutants;
mod mutations;
mod operational_events;
mod operator;
mod page;
mod payload_guard;
mod queue_share;
mod redelivery;
mod replay;
mod rollout;
mod sender;
mod signing;
mod state;
mod support;
mod upstream_faults;
