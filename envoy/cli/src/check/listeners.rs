//! The listener of a filter: who can reach it, and what the filter needs of it.

use gatepost_core::config::Config;

use super::document::Node;
use super::finding::{Findings, Severity};
use super::model::filter::Filter;
use super::routes;

/// Checks what is around a filter on its listener.
pub fn check(filter: &Filter<'_>, config: Option<&Config>, exposure: Severity, findings: &mut Findings) {
    check_admin(filter, findings);
    check_router(filter, findings);
    if filter.delivers() || filter.verifies() {
        check_body_limit(filter, config, findings);
        check_clear(filter, findings);
    }
    if filter.delivers() || filter.verifies() {
        check_paths(filter, findings);
    }
    if filter.delivers() {
        routes::check(filter, config, exposure, findings);
    }
}

fn check_admin(filter: &Filter<'_>, findings: &mut Findings) {
    let Some(admin) = filter.tree.get("admin").filter(|_| !filter.listener.is_loopback()) else {
        return;
    };
    let message = format!(
        "whoever reaches the listener {} (line {}) may try tokens; put admin into a filter of the same name and vm_id on \
         a listener of its own with the address 127.0.0.1",
        filter.listener.name(),
        filter.listener.0.nearest("address").line()
    );
    findings.error(admin, "admin-public", "admin", message);
}

fn check_router(filter: &Filter<'_>, findings: &mut Findings) {
    let is_router = |node: &Node| {
        node.type_name().ends_with(".router.v3.Router") || node.text("name") == "envoy.filters.http.router"
    };
    if !filter.chain.iter().skip(filter.place).any(is_router) {
        let message = "no envoy.filters.http.router stands behind it, and Envoy refuses the config; write one as the \
                       last of http_filters";
        findings.error(filter.node, "no-router", &filter.path(), message);
    }
}

/// What Envoy buffers unless the listener says otherwise.
const BUFFER_DEFAULT: u64 = 1 << 20;

fn check_body_limit(filter: &Filter<'_>, config: Option<&Config>, findings: &mut Findings) {
    let body = config.and_then(|config| u64::try_from(config.limits.body).ok()).unwrap_or_default();
    let listener = filter.listener.0;
    let written = listener.get("per_connection_buffer_limit_bytes").and_then(Node::as_number);
    let buffer = written.unwrap_or(BUFFER_DEFAULT);
    if buffer < body {
        let message = format!(
            "Envoy buffers {buffer} bytes and answers 413 to more, so limits.body, {body} bytes, is never reached; \
             write per_connection_buffer_limit_bytes: {body}"
        );
        let path = format!("listener {}", filter.listener.name());
        findings.error(listener.nearest("per_connection_buffer_limit_bytes"), "buffer-below-body", &path, message);
    }
}

fn check_clear(filter: &Filter<'_>, findings: &mut Findings) {
    if !filter.listener.is_loopback() && filter.filter_chain.get("transport_socket").is_none() {
        let message = "requests, and what their senders prove themselves with, cross the network in clear; write a \
                       transport_socket envoy.transport_sockets.tls with a DownstreamTlsContext, or listen on 127.0.0.1 \
                       behind what ends TLS";
        let path = format!("listener {}", filter.listener.name());
        findings.warning(filter.filter_chain, "events-in-clear", &path, message);
    }
}

fn check_paths(filter: &Filter<'_>, findings: &mut Findings) {
    let path = format!("listener {}", filter.listener.name());
    if !filter.manager.is_true("normalize_path") {
        let message = if filter.verifies() {
            "one path can be spelt in many ways, which the filter refuses, and a route without it does not; write \
             normalize_path: true"
        } else {
            "the path names the event, and one path can be spelt in many ways: a rule for one spelling is passed by in \
             another; write normalize_path: true"
        };
        findings.warning(filter.manager.nearest("normalize_path"), "paths-not-normalized", &path, message);
    }
    if filter.verifies() && !filter.manager.is_true("merge_slashes") {
        let message = "a path that begins with // is a host to some servers, and to others the same path; write \
                       merge_slashes: true";
        findings.warning(filter.manager.nearest("merge_slashes"), "slashes-not-merged", &path, message);
    }
}
