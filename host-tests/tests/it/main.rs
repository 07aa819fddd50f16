//! The built filter in the simulated Envoy: a module a behaviour.
#![cfg(test)]

mod acknowledge;
mod admin;
mod answers;
mod breaker;
mod config;
mod crashes;
mod dead_letters;
mod delivery;
mod disabled;
mod faults;
mod fuel;
mod idempotency;
mod matching;
mod metrics;
mod page;
mod payload_guard;
mod queue_share;
mod rollout;
mod signing;
mod simulator;
mod state;
mod support;
