//! The policy of Gatepost, without a host: a deterministic state machine that turns events into signed deliveries.
//!
//! Clocks, randomness and shared data come in as arguments. So every decision can be tested as a value, and the same
//! code runs in Envoy's workers and under a simulated clock. The binding in `plugin/` turns callbacks into calls of
//! [`engine::Engine`], performs its actions, and decides nothing.
//!
//! # Modules
//! The modules are named by what happens to an event. The larger ones, called wings, are layers: a wing imports only
//! from those below it in this list, and no two files import each other. `tests/house.rs` checks both from the sources.
//!
//! | wing | what happens there |
//! |---|---|
//! | [`engine`] | the state machine of one worker: takes events, sends attempts, settles what came of them |
//! | [`admin`] | operators look and change: requests, answers, the page |
//! | [`telemetry`] | what happened is told: metrics, log lines, the history, counts by the hour |
//! | [`config`] | a configuration is read, valid by construction; every problem at once, each with its path |
//! | [`ingress`] | a request becomes an event or an answer: routes, templates, payload guard, idempotency |
//! | [`inbound`] | a request is verified: rules, replays |
//! | [`egress`] | an event becomes attempts: subscriptions, headers, retry, breaker, rate, dead letters |
//! | [`rollout`] | which share of the events an endpoint gets: the plan, its progress, the guard that ends it |
//! | [`journal`] | what outlives the process: segments, the writer that appends them, takeover, the fleet's documents; etcd |
//! | [`ledger`] | what outlives a VM: partitions, leases, slots, generations |
//! | [`store`] | data that all VMs share: typed keys, records, their versions, changes by compare-and-swap |
//! | [`signature`] | an attempt is signed, a request's signature verified: one scheme a file |
//! | ground | [`ids`], [`event_type`], [`outcome`], [`answer`], [`headers`], [`path`], [`json`], [`printable`], [`template`], [`secret`], [`time`] |
//!
//! The config stands above what it configures: the type of a policy stands beside the code that applies it, and the
//! config makes its values.
//!
//! # Invariants
//! - An event that was accepted stands in shared data until each of its deliveries is delivered or a dead letter.
//! - No attempt leaves while its endpoint's breaker is open; while it is half-open one attempt leaves, over all
//!   workers.
//! - A delivery has one id, and at most as many attempts as its schedule, never sooner than the schedule says.
//! - Where a journal is configured, an event is answered with a 202 only once it is committed there, and a journalled
//!   event is attempted only by a gateway that holds its lease.
//! - A signature is made at the moment of its attempt, over the bytes that are sent.
//! - Keys in shared data are fixed, numbered slots: their number is bounded by the limits of the config.

pub mod admin;
pub mod answer;
pub mod config;
pub mod egress;
pub mod engine;
pub mod event_type;
pub mod headers;
pub mod ids;
pub mod inbound;
mod index;
pub mod ingress;
pub mod journal;
pub mod json;
pub mod ledger;
pub mod outcome;
pub mod path;
pub mod printable;
pub mod rollout;
pub mod secret;
pub mod signature;
pub mod store;
pub mod telemetry;
pub mod template;
pub mod time;
