//! A simulated Envoy: it runs a built proxy-wasm filter on wasmtime, as one Envoy process does.
//!
//! A [`Process`] is a main thread and some workers, each with a VM of its own; all of them share data, queues, metrics
//! and clusters. Time is virtual: nothing waits, and the same seed gives the same run to the last byte.
//!
//! ```
//! use std::time::Duration;
//!
//! use host_tests::{Filter, Process, Request};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Any .wasm will do; this one lets every request pass.
//! let filter = Filter::load(&gatepost_cli::artifact::wasm("gatepost-noop")?)?;
//! let mut envoy = Process::builder(&filter).workers(2).start()?;
//!
//! let request = envoy.request(0, Request::post("/orders").body("an order"))?;
//! envoy.advance(Duration::from_secs(1))?;
//!
//! assert_eq!(envoy.forwarded(request).map(|forwarded| forwarded.body.as_slice()), Some(b"an order".as_slice()));
//! assert_eq!(envoy.answer(request).map(|answer| answer.status()), Some(200));
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//!
//! - [`process`](Process): starting, requests, the passing of time, and everything a test may look at.
//! - `vm`, `memory`: one VM, and a host call's view of it. A VM's state lives in its wasmtime store; while a callback
//!   runs, the process lends it the `world` that all VMs share. So there are no globals and no locks.
//! - `imports`: the proxy-wasm 0.2.1 host calls, one family a file, with Envoy's semantics; `wasi`: what Rust's
//!   standard library needs besides.
//! - [`Rule`]: faults to put in, at host calls and callbacks.
//! - `scheduler`, `clock`: what happens when. [`Upstream`]: the clusters a filter calls, as scripts.
//! - `trace`: what happened, for a test that failed.
//!
//! # What differs from Envoy
//!
//! A callback takes no time, unless a [`Rule`] delays a host call, and no other VM runs meanwhile. An application behind
//! the gateway answers every request 200. gRPC calls, foreign functions and pausing an answer are not simulated: they
//! are a [`Fault`] that names the call. A new configuration always keeps the VMs; a new build of the filter, which
//! replaces them, is not simulated.

mod abi;
mod clock;
mod fault;
mod filter;
mod headers;
mod imports;
mod memory;
mod process;
mod rules;
mod scheduler;
mod stream;
mod trace;
mod upstream;
mod vm;
mod wasi;
mod world;

pub use clock::Clock;
pub use fault::{Fault, StartError};
pub use filter::Filter;
pub use headers::Headers;
pub use imports::log::{Level, LogLine};
pub use imports::shared_data::Write;
pub use process::{Builder, Process};
pub use rules::{Effect, Point, Rule, RuleId};
pub use stream::{Answer, Forwarded, Request, StreamId};
pub use trace::Trace;
pub use upstream::{Call, Reply, Upstream};
pub use world::Thread;
