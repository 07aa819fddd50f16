//! The Gatepost filter: what Envoy loads. It turns callbacks into calls of the engine in `gatepost-core`.
//!
//! `root` and `stream` are the contexts of the proxy-wasm SDK, which Envoy enters by; `host` is the way out again.

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

/// The allocator.
#[global_allocator]
static HEAP: GlobalTlsf<Heap> = GlobalTlsf::new();

struct Heap;

impl GlobalTlsfOptions for Heap {
    /// A vector that grows moves in any case.
    const ENABLE_REALLOCATION: bool = false;
    /// What the host gives in pieces is one piece: large bodies come, grow and go.
    const COALESCE_POOLS: bool = true;
}
