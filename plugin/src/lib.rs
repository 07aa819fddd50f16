//! The Gatepost filter: what Envoy loads. It turns callbacks into calls of the engine in `gatepost-core`.
//!
//! `root` and `stream` are the contexts of the proxy-wasm SDK, whose callbacks Envoy calls; `host` makes the calls to
//! Envoy.

#![allow(missing_docs, reason = "the function that proxy_wasm::main! makes is the ABI's, not ours to describe")]

mod host;
mod metrics;
mod root;
mod stream;
mod worker;

use proxy_wasm::types::LogLevel;
use rlsf::{GlobalTlsf, GlobalTlsfOptions};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}

/// The global allocator of the VM: TLSF (two-level segregated fit), of the crate `rlsf`.
#[global_allocator]
static HEAP: GlobalTlsf<Heap> = GlobalTlsf::new();

struct Heap;

impl GlobalTlsfOptions for Heap {
    /// Off: it makes the code larger, and a vector that grows is moved in most cases anyway.
    const ENABLE_REALLOCATION: bool = false;
    /// On: consecutive pieces of memory from the host become one pool, since large bodies come, grow and go.
    const COALESCE_POOLS: bool = true;
}
