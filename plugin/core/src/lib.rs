//! The policy of Gatepost, without a host: a deterministic state machine that turns events into signed deliveries.
//!
//! Clocks, randomness and shared data come in as arguments. So every decision can be tested as a value, and the same
//! code runs in Envoy's workers and under a simulated clock. The binding in `plugin/` turns callbacks into calls of
//! [`engine::Engine`], performs its actions, and decides nothing.
//!
//! # Where to look
//! | question | module |
//! |---|---|
//! | What may a config say, and what is its default? | [`config`] |
//! | Is this request an event, and of which type? | [`route`], [`template`], [`json`], [`message`] |
//! | Which endpoints want it? | [`subscription`] |
//! | Is there personal data in it? | [`payload`] |
//! | What does a receiver get? | [`message`], [`signature`], [`secret`] |
//! | What does the end of an attempt mean? | [`outcome`], [`retry`], [`breaker`], [`rate`], [`endpoint`] |
//! | How does a delivery live and die? | [`delivery`], [`dead_letter`], [`history`] |
//! | What survives a worker? | [`store`], [`ledger`] |
//! | Which configuration delivers? | [`generation`] |
//! | What can operators see and change while it runs? | [`admin`], [`about`], [`control`], [`endpoint`] |
//! | What are they told without asking? | [`operational`], [`notice`], [`log`] |
//! | What is counted? | [`guard`], [`hours`], [`standing`] |
//! | Is what comes in verified, and is it new? | [`inbound`], [`signature`], [`replay`] |
//! | What does a producer get? | [`answer`], [`idempotency`] |
//! | Who holds it all together? | [`engine`], [`notice`] |
//!
//! # Invariants
//! - An event that was accepted stands in shared data until each of its deliveries is delivered or a dead letter.
//! - No attempt leaves while its endpoint's breaker is open; in half-open one leaves, over all workers.
//! - A delivery has one id, and at most as many attempts as its schedule, never sooner than the schedule says.
//! - A signature is made at the moment of its attempt, over the bytes that are sent.
//! - Keys in shared data are fixed, numbered slots: their number is bounded by the limits of the config.

pub mod about;
pub mod admin;
pub mod answer;
pub mod breaker;
pub mod config;
pub mod control;
pub mod dead_letter;
pub mod delivery;
pub mod endpoint;
pub mod engine;
pub mod generation;
pub mod guard;
pub mod headers;
pub mod history;
pub mod hours;
pub mod idempotency;
pub mod inbound;
mod index;
pub mod json;
pub mod ledger;
pub mod log;
pub mod message;
pub mod notice;
pub mod operational;
pub mod outcome;
pub mod payload;
pub mod rate;
pub mod replay;
pub mod retry;
pub mod rollout;
pub mod route;
pub mod secret;
pub mod signature;
pub mod standing;
pub mod store;
pub mod subscription;
pub mod template;
pub mod time;
