//! Gatepost in a real Envoy with two workers, delivering to a receiver that verifies with code of its own.

// The harness is a library; everything here is a test, and may fail as one.
#[cfg(test)]
mod admin;
#[cfg(test)]
mod bad_config;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod breaker;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod history;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod isolation;
mod metrics;
#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod page;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod receivers;
#[cfg(test)]
mod rollout;
#[cfg(test)]
mod sample_events;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod surroundings;
#[cfg(test)]
mod switched_off;
#[cfg(test)]
mod volume;
