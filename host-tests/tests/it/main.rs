//! The built filter in the simulated Envoy: a module a behaviour.
#![cfg(test)]

mod simulator;
mod support;
