//! Gatepost in a real Envoy with two workers, delivering to a receiver that verifies with code of its own.
#![cfg(test)]

mod admin;
mod bad_config;
mod bad_input;
mod crashes;
mod endings;
mod fleet;
mod floods;
mod history;
mod inbound;
mod isolation;
mod metrics;
mod page;
mod personal_data;
mod prometheus;
mod receiver;
mod receivers;
mod sample_events;
mod scene;
mod schemes;
mod spellings;
mod surroundings;
mod volume;
