#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! 1. [`Filter::load`] a build of the filter, once for all tests.
//! 2. [`Process::builder`] describes the process: its [`Builder::config`], [`Builder::workers`], and a [`Builder::cluster`]
//!    for each that the filter calls. [`Builder::start`] starts it.
//! 3. [`Process::request`] makes a [`Request`]; [`Process::advance`] lets time pass, and with it timers, queues, calls and
//!    late answers. Nothing happens by itself.
//! 4. Look at what came of it: [`Process::answer`], [`Process::forwarded`], [`Process::calls`], [`Process::log`],
//!    [`Process::shared_data`], [`Process::metric`]. Print [`Process::trace`] when a test fails.
//! 5. Break something: [`Process::add_rule`], [`Process::kill_vm`], [`Process::restart`], [`Process::stall`].
//!
//! A filter that traps or makes a wrong call is a [`Fault`], which every step returns.
//!
//! # The parts
//!
//! | | |
//! |---|---|
//! | the process | [`Process`], [`Builder`], [`Filter`], [`Thread`], [`StartError`], [`Fault`] |
//! | several processes side by side | [`Fleet`], [`FleetFault`] |
//! | requests through the filter | [`Request`], [`StreamId`], [`Forwarded`], [`Answer`], [`Headers`] |
//! | the servers behind it, as scripts | [`Application`], [`Upstream`], [`Reply`], [`Promise`], [`GrpcReply`]; what they received: [`Call`], [`GrpcCall`] |
//! | faults | [`Rule`]: a [`Point`] and an [`Effect`] |
//! | what can be seen | [`Trace`], [`LogLine`], [`Write`], [`Crossings`], [`Clock`] |
//!
//! # Envoy's behaviours, one by one
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
//! | several machines with an Envoy each, that are killed and started again | [`Fleet`], [`Builder::wall_clock_off_by`] |
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
//! # Inside
//!
//! From the ground up; a file uses only what stands above it in this list.
//!
//! - `ids`, `headers`, `abi`, `phase`: the words. `rules`: faults.
//! - `half`, `stream`: one direction of a request through the filter, and the request. `reply`, `grpc`, `upstream`,
//!   `application`: the scripts.
//! - `world`: what all VMs of a process share: clock, schedule, shared data, queues, metrics, log, trace.
//! - `guest`: what the host remembers about one VM. It lives in the VM's wasmtime store; while a callback runs, the process
//!   lends it the world. So there are no globals and no locks.
//! - `host_call`, `imports`: the host calls, one family a file.
//! - `filter`, `vm`, `deployment`: a compiled build, one VM that runs it, and what is deployed.
//! - `process`: the simulated Envoy. `fleet`: several of them.

mod abi;
mod application;
mod deployment;
mod fault;
mod filter;
mod fleet;
mod grpc;
mod guest;
mod half;
mod headers;
mod host_call;
mod ids;
mod imports;
mod phase;
mod process;
mod reply;
mod rules;
mod stream;
mod upstream;
mod vm;
mod world;

pub use abi::Status;
pub use application::Application;
pub use fault::{Fault, StartError};
pub use filter::Filter;
pub use fleet::{Fleet, FleetFault};
pub use grpc::{GrpcCall, GrpcReply};
pub use headers::Headers;
pub use ids::{StreamId, Thread};
pub use process::Process;
pub use process::builder::Builder;
pub use reply::{Promise, Reply};
pub use rules::{Effect, Point, Rule, RuleId, RuleList, Turns};
pub use stream::{Answer, Forwarded, Request};
pub use upstream::{Call, Upstream};
pub use world::clock::Clock;
pub use world::crossings::Crossings;
pub use world::log::{Level, LogLine};
pub use world::shared_data::Write;
pub use world::trace::Trace;
