//! The model against a real etcd, and in a simulated Envoy.
#![cfg(test)]

mod access;
mod contract;
mod disruptions;
mod envoy;
mod gateway;
mod outages;
mod real;
mod same;
mod script;
mod watches;
