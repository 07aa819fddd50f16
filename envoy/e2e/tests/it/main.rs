//! Gatepost in a real Envoy with two workers, delivering to a receiver that verifies with code of its own.
#![cfg(test)]

mod admin;
mod bad_config;
mod bad_input;
mod breaker;
mod crashes;
mod dead_letters;
mod history;
mod idempotency;
mod inbound;
mod isolation;
mod metrics;
mod outcomes;
mod page;
mod prometheus;
mod receiver;
mod receivers;
mod rollout;
mod sample_events;
mod scene;
mod schemes;
mod surroundings;
mod switched_off;
mod volume;
