//! The documents of the repository, held against what they tell of: links, commands, metrics, and the
//! reference of the config.
//! It needs the core and nothing that is built: `cargo test -p gatepost-core --test docs`.
#![cfg(test)]

mod commands;
mod links;
mod metrics;
mod pages;
mod reference;
