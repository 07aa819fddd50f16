//! The Gatepost filter: what Envoy loads. It turns callbacks into calls of the engine in `gatepost-core`.

#![allow(missing_docs, reason = "the exports that the SDK's macro makes have no docs, and nobody calls them by name")]

mod host;
mod metrics;
mod report;
mod root;
mod stream;
mod worker;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Trace);
    proxy_wasm::set_root_context(|context_id| Box::new(root::Root::new(context_id)));
}}
