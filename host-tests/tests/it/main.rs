//! The built filter in the simulated Envoy: a module a behaviour.
#![cfg(test)]

mod acknowledge;
mod admin;
mod answers;
mod answers_of_the_application;
mod breaker;
mod config;
mod crashes;
mod dead_letters;
mod delivery;
mod disabled;
mod ends_of_streams;
mod faults;
mod fuel;
mod grpc;
mod idempotency;
mod matching;
mod metrics;
mod new_build;
mod plugins;
mod properties;
mod queue_share;
mod signing;
mod simulator;
mod state;
mod support;
mod upstream_faults;
mod wrong_calls;
