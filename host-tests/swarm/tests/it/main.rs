//! The swarm, as `cargo test` plays it.

#[cfg(test)]
mod batch;
#[cfg(test)]
mod bugs;
#[cfg(test)]
mod fleet;
