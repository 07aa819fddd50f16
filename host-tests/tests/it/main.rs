//! The built filter in the simulated Envoy: a module a behaviour.
#![cfg(test)]

mod access;
mod acknowledge;
mod admin;
mod answers;
mod breaker;
mod config;
mod crashes;
mod dead_letters;
mod delivery;
mod disabled;
mod drain;
mod faults;
mod fuel;
mod history;
mod idempotency;
mod matching;
mod metrics;
mod operational_events;
mod operator;
mod page;
mod payload_guard;
mod queue_share;
mod redelivery;
mod rollout;
mod signing;
mod simulator;
mod state;
mod support;
