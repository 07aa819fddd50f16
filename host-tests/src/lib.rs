//! A simulated Envoy: it runs a built proxy-wasm filter on wasmtime, as one Envoy 1.40 process does.
//!
//! A [`Process`] is a main thread and some workers, each with a VM of its own; all of them share data, queues, metrics
//! and clusters. Time is virtual: nothing waits, and the same seed gives the same run to the last byte.
//!
//! ```
//! use std::time::Duration;
//!
//! use host_tests::{Application, Filter, Process, Reply, Request};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Any .wasm will do; this one lets every request pass.
//! let filter = Filter::load(&gatepost_kit::artifact::wasm("gatepost-noop")?)?;
//! let application = Application::by(|request| {
//!     Reply::status(201).header("x-seen", request.header(":path")).after(Duration::from_millis(20))
//! });
//! let mut envoy = Process::builder(&filter).workers(2).application(application).start()?;
//!
//! let request = envoy.request(0, Request::post("/orders").body("an order"))?;
//! assert!(envoy.is_open(request), "the application takes its time");
//! envoy.advance(Duration::from_secs(1))?;
//!
//! assert_eq!(envoy.forwarded(request).map(|forwarded| forwarded.body.as_slice()), Some(b"an order".as_slice()));
//! let answer = envoy.answer(request).ok_or("no answer")?;
//! assert_eq!((answer.status(), answer.header("x-seen")), (201, "/orders"));
//! # Ok(())
//! # }
//! ```
//!
//! # What is simulated
//!
//! | of Envoy | here |
//! |---|---|
//! | host calls and callbacks of proxy-wasm 0.2.1 (and 0.2.0) for HTTP filters | all of them, with the statuses that Envoy answers; WASI preview 1 as far as Envoy has it |
//! | `concurrency`, the main thread | [`Builder::workers`], [`Thread`] |
//! | a listener's wasm filter: `name`, `vm_id`, `configuration` of plugin and VM, environment | [`Builder`]; further listeners with plugins of their own by [`Builder::listener`] and [`Request::listener`] |
//! | an update of a listener: canary, new root contexts, drain, coming back within it | [`Process::update_config`], [`Process::update_listener`], [`Process::end_drain`] |
//! | another build: new VMs beside the old ones until the drain ends | [`Process::update_filter`] |
//! | `failure_policy`: `FAIL_RELOAD`, `FAIL_CLOSED`; a trap | [`Builder::fail_closed`], [`Process::kill_vm`], [`Effect::Trap`] |
//! | hot restart, or any other end of the process | [`Process::restart`] |
//! | requests over HTTP/1.1 and HTTP/2, bodies in pieces, trailers, kept connections, clients that leave | [`Request`], [`Process::request`], [`Process::request_again`], [`Process::disconnect`] |
//! | `allow_on_headers_stop_iteration` | on, unless [`Builder::hold_body_while_paused`] |
//! | the cluster a route goes to, its `timeout`, `stream_idle_timeout` | [`Application`], [`Builder::route_timeout`], [`Builder::idle_timeout`] |
//! | clusters that the filter calls over HTTP or gRPC | [`Upstream`], [`Reply`], [`GrpcReply`]; what they received: [`Process::calls`], [`Process::grpc_calls`] |
//! | shared data, queues, metrics, logs | [`Process::shared_data`], [`Process::queues`], [`Process::metric`], [`Process::log`] |
//! | filter state and foreign functions | [`Process::filter_state`], [`Builder::foreign_function`] |
//! | time, clocks that step or are off, threads that stall | [`Process::advance`], [`Process::step_wall_clock`], [`Process::skew_wall_clock`], [`Process::stall`] |
//!
//! Faults are [rules](Rule) at host calls, callbacks and upstreams. A [`Trace`] tells what happened, for a test that
//! failed; [`Process::fuel`] and [`Process::crossings`] what it cost.
//!
//! # A wrong call
//!
//! Where Envoy's behaviour is undefined, ends the VM or hangs, and where it silently does nothing with what a filter
//! meant to be done, the call is a [`Fault`] that names it:
//!
//! | the call | Envoy |
//! |---|---|
//! | one from inside the memory allocator, or before the VM has started | ends the VM |
//! | a pointer outside the memory | answers `InvalidMemoryAccess`, about which SDKs panic |
//! | text that is not UTF-8 as a name, a key or a path | takes the bytes |
//! | changing headers that have gone on | answers `BadArgument`, or changes what nobody reads |
//! | a local reply after an answer has gone on | resets the stream |
//! | a local reply whose status is none of 200 to 599 | sends what clients do not understand |
//! | answering, continuing or closing a stream in a root context | says that it did |
//! | continuing what is not paused | is undefined; an answer arrives broken |
//! | sending on a gRPC stream that has ended, or using one whose server has closed it | is undefined |
//! | opening a gRPC stream to a cluster without a host | never comes back |
//! | a callback that does not end within two thousand million instructions | hangs |
//!
//! Everything else that is wrong is answered as Envoy answers it. What Envoy does not load [`Filter::compile`] refuses.
//!
//! # What differs from Envoy
//!
//! - A callback takes no time, and no other VM runs meanwhile, unless a [`Rule`] delays a host call. A VM takes a
//!   millisecond to start.
//! - The back-off of a lost VM is a second exactly; Envoy adds up to half of it at random. `FAIL_OPEN` is not there.
//! - A request arrives all at once, and the application answers when it has the whole of it. Its cluster, route and
//!   addresses are made up, and a connection is plain text: properties of TLS, of metadata, of the upstream's host and of
//!   response flags are `NotFound`.
//! - Headers are those that client, filter and scripts gave: `date`, `server`, `x-forwarded-*` and the like are not added,
//!   but for `x-envoy-upstream-service-time`, and a local reply's `content-length` and `content-type`.
//! - A `grpc_service` is the name of a cluster, not a message that describes one. Clusters have no retries of their own.
//! - `proxy_on_foreign_function` is never called, as nothing in Envoy itself calls it; nor are the callbacks of TCP
//!   filters, of the ABI before 0.2.0, and `envoy_resolve_dns`.
//! - Removing a listener, and with the last one a `vm_id` and its shared data, is not there: that is a
//!   [restart](Process::restart).
//!
//! # Where things are
//!
//! - [`process`](Process): starting, deploying, requests, the passing of time, and everything a test may look at; `half`
//!   and `process/flow`: how a request or an answer passes the filter. `deployment`: builds, listeners, plugins.
//! - `vm`, `guest`, `memory`: one VM, what the host remembers of it, and a host call's view of it. A VM's state lives in
//!   its wasmtime store; while a callback runs, the process lends it the `world` that all VMs share. So there are no
//!   globals and no locks.
//! - `imports`: the host calls, one family a file; `wasi`.
//! - `scheduler`, `clock`: what happens when. `upstream`, `reply`, `grpc`, `application`: the scripts.

mod abi;
mod application;
mod clock;
mod crossings;
mod deployment;
mod fault;
mod filter;
mod grpc;
mod guest;
mod half;
mod headers;
mod imports;
mod memory;
mod process;
mod reply;
mod rules;
mod scheduler;
mod stream;
mod trace;
mod upstream;
mod vm;
mod wasi;
mod world;

pub use abi::Status;
pub use application::Application;
pub use clock::Clock;
pub use crossings::Crossings;
pub use fault::{Fault, StartError};
pub use filter::Filter;
pub use grpc::{GrpcCall, GrpcReply};
pub use headers::Headers;
pub use imports::log::{Level, LogLine};
pub use imports::shared_data::Write;
pub use process::{Builder, Process};
pub use reply::Reply;
pub use rules::{Effect, Point, Rule, RuleId};
pub use stream::{Answer, Forwarded, Request, StreamId};
pub use trace::Trace;
pub use upstream::{Call, Upstream};
pub use world::Thread;
