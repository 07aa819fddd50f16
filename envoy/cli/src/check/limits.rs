//! What clients and receivers can make Envoy hold in memory: connections, streams, headers, and the bodies of answers.

use super::document::Node;
use super::finding::Findings;
use super::model::filter::Filter;
use super::model::listener::Listener;
use super::model::runtime::Runtime;

/// Checks the limits of the process and of each listener that has a filter.
pub fn check(envoy: &Node, filters: &[Filter<'_>], findings: &mut Findings) {
    let runtime = Runtime::of(envoy);
    check_connections(envoy, filters, &runtime, findings);
    for filter in filters {
        check_streams(filter, findings);
        check_headers(filter, findings);
    }
    if filters.iter().any(|filter| !filter.tree.list("endpoints").is_empty()) {
        check_answers(envoy, &runtime, findings);
    }
}

fn check_connections(envoy: &Node, filters: &[Filter<'_>], runtime: &Runtime<'_>, findings: &mut Findings) {
    // A runtime key of Envoy's that came before the resource monitor.
    let is_global = envoy.list("overload_manager/resource_monitors").iter().any(is_connection_monitor)
        || runtime.value("overload.global_downstream_max_connections").is_some();
    let unlimited: Vec<&Listener<'_>> =
        filters.iter().map(|filter| filter.listener).filter(|listener| !is_limited(listener, runtime)).collect();
    if !is_global && !unlimited.is_empty() {
        let message = "connections cost memory before they are authenticated, and have no limit; write a resource \
                       monitor envoy.resource_monitors.global_downstream_max_connections with \
                       max_active_downstream_connections: 1000";
        findings.warning(envoy.nearest("overload_manager"), "no-connection-limit", "overload_manager", message);
        return;
    }
    for listener in unlimited.iter().filter(|listener| listener.0.is_true("ignore_global_conn_limit")) {
        let name = listener.name();
        let message = format!(
            "its connections have no limit: it takes no part in that of all; write under a static_layer of \
             layered_runtime envoy.resource_limits.listener.{name}.connection_limit: 50"
        );
        let at = listener.0.nearest("ignore_global_conn_limit");
        findings.warning(at, "no-connection-limit", &format!("listener {name}"), message);
    }
}

fn is_connection_monitor(monitor: &Node) -> bool {
    monitor.type_name().ends_with(".DownstreamConnectionsConfig")
        || monitor.text("name") == "envoy.resource_monitors.global_downstream_max_connections"
}

/// Whether a listener has a limit of its own.
fn is_limited(listener: &Listener<'_>, runtime: &Runtime<'_>) -> bool {
    let key = format!("envoy.resource_limits.listener.{}.connection_limit", listener.0.text("name"));
    let is_filter = |filter: &Node| filter.type_name().ends_with(".connection_limit.v3.ConnectionLimit");
    let mut chains = listener.filter_chains().peekable();
    let by_filters = chains.peek().is_some() && chains.all(|chain| chain.list("filters").iter().any(is_filter));
    runtime.value(&key).is_some() || by_filters
}

/// The most streams of a connection: what RFC 9113, section 6.5.2, says no server needs to go below. Envoy allows 1024.
const STREAMS_MAX: u64 = 100;

fn check_streams(filter: &Filter<'_>, findings: &mut Findings) {
    // HTTP/2 without TLS needs no more than its preface: AUTO takes it.
    let (options, is_limited_by_itself) = match filter.manager.text("codec_type") {
        "HTTP1" => return,
        "HTTP3" => ("http3_protocol_options/quic_protocol_options", true),
        _ => ("http2_protocol_options", false),
    };
    let key = format!("{options}/max_concurrent_streams");
    let streams = filter.manager.at(&key).and_then(Node::as_number);
    if streams.map_or(is_limited_by_itself, |streams| streams <= STREAMS_MAX) {
        return;
    }
    let has = streams.map_or_else(|| "1024, Envoy's default,".to_owned(), |streams| streams.to_string());
    let message = format!(
        "one connection may have {has} requests under way, and each keeps its headers and its place in the filter; write \
         {}: {{max_concurrent_streams: {STREAMS_MAX}}}, or fewer",
        options.replace('/', ": {")
    );
    let message = if is_limited_by_itself { format!("{message}}}") } else { message };
    findings.warning(filter.manager.nearest(&key), "no-stream-limit", &listener(filter), message);
}

/// The largest head of a request, in KiB: what other servers take (nginx: 4 x 8 KiB). Envoy takes 60.
const HEADERS_KIB_MAX: u64 = 32;
/// The most headers of a request: what Envoy takes unless it is told otherwise.
const HEADERS_MAX: u64 = 100;

fn check_headers(filter: &Filter<'_>, findings: &mut Findings) {
    let key = "max_request_headers_kb";
    let size = filter.manager.at(key).and_then(Node::as_number);
    if size.is_none_or(|size| size > HEADERS_KIB_MAX) {
        let has = size.map_or_else(|| "60, Envoy's default,".to_owned(), |size| size.to_string());
        let message = format!(
            "the headers of a request may take {has} KiB for as long as it is under way, and over HTTP/2 a client sends \
             a few bytes for them; write {key}: 16"
        );
        findings.warning(filter.manager.nearest(key), "no-header-size-limit", &listener(filter), message);
    }
    let key = "common_http_protocol_options/max_headers_count";
    let count = filter.manager.at(key).and_then(Node::as_number);
    if count.is_none_or(|count| count > HEADERS_MAX) {
        let has = count.map_or_else(|| "100, Envoy's default,".to_owned(), |count| count.to_string());
        let message = format!(
            "a request may have {has} headers, of which each costs memory however short it is; write \
             common_http_protocol_options: {{max_headers_count: 64}}"
        );
        findings.warning(filter.manager.nearest(key), "no-header-count-limit", &listener(filter), message);
    }
}

fn listener(filter: &Filter<'_>) -> String {
    format!("listener {}", filter.listener.name())
}

/// The largest body of an answer that Envoy keeps for a filter unless it is told otherwise.
const ANSWER_DEFAULT: u64 = 32 << 20;
/// The largest that is asked for: a receiver's answer is looked at for its status alone.
const ANSWER_MAX: u64 = 4 << 20;

fn check_answers(envoy: &Node, runtime: &Runtime<'_>, findings: &mut Findings) {
    let key = "http.async_response_buffer_limit";
    let written = runtime.value(key);
    let limit = written.and_then(Node::as_number);
    if limit.is_some_and(|limit| limit < ANSWER_DEFAULT) || (written.is_none() && runtime.is_elsewhere()) {
        return;
    }
    let message = format!(
        "Envoy keeps {} bytes of each answer of a receiver, and a hostile one can fill the gateway: that times \
         max_in_flight times the workers; write under a static_layer of layered_runtime {key}: {ANSWER_MAX}",
        limit.unwrap_or(ANSWER_DEFAULT)
    );
    let at = written.unwrap_or_else(|| envoy.nearest("layered_runtime/layers"));
    findings.warning(at, "no-answer-limit", "layered_runtime", message);
}
