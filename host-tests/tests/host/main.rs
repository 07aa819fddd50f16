//! The simulated Envoy itself: a module for each part of its behaviour. The filters are puppets that do what a test says.
#![cfg(test)]

mod answers_of_the_application;
mod ends_of_streams;
mod faults;
mod fleet;
mod grpc;
mod new_build;
mod plugins;
mod properties;
mod simulator;
mod support;
mod wrong_calls;
