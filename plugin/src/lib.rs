//! The Gatepost filter: what Envoy loads. It turns callbacks into calls of the engine in `gatepost-core`.
//!
//! `exports` is where Envoy enters; `root` and `stream` are what it enters for; `host` is the way out again.

mod exports;
mod host;
mod metrics;
mod root;
mod stream;
mod worker;
