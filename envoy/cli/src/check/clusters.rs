//! The clusters that deliveries leave by.

use gatepost_core::config::Config;
use gatepost_core::egress::endpoint::Url;

use super::document::Node;
use super::finding::Findings;
use super::model::cluster::http_options;
use super::tls;

/// One use of a cluster: an endpoint's, or that of its sink for dead letters.
struct Use<'a> {
    /// `endpoints[0]` or `endpoints[0].dead_letter`.
    path: String,
    /// Where that stands.
    node: &'a Node,
    url: &'a Url,
}

/// Checks the clusters of a config whose lines are those of `tree`.
pub fn check(config: &Config, tree: &Node, envoy: &Node, findings: &mut Findings) {
    let mut checked: Vec<&str> = Vec::new();
    for (number, (endpoint, node)) in config.endpoints.iter().zip(tree.list("endpoints")).enumerate() {
        let path = format!("endpoints[{number}]");
        let sink = endpoint.dead_letter.as_ref().zip(node.get("dead_letter")).map(|(sink, node)| {
            let of_sink = Use { path: format!("{path}.dead_letter"), node, url: &sink.url };
            (sink.cluster.as_str(), of_sink)
        });
        let of_endpoint = (endpoint.cluster.as_str(), Use { path, node, url: &endpoint.url });
        for (name, used) in std::iter::once(of_endpoint).chain(sink) {
            let Some(cluster) = find(envoy, name) else {
                let (at, path) = (used.node.nearest("cluster"), format!("{}.cluster", used.path));
                tell_unknown(at, &path, name, "deliveries would wait for it for ever", envoy, findings);
                continue;
            };
            tls::check(cluster, used.url, &used.path, used.node, findings);
            if !checked.contains(&name) {
                checked.push(name);
                check_cluster(cluster, config, findings);
            }
        }
    }
}

/// The cluster of this name.
pub fn find<'a>(envoy: &'a Node, name: &str) -> Option<&'a Node> {
    envoy.list("static_resources/clusters").iter().find(|cluster| cluster.text("name") == name)
}

/// Tells of a cluster that is not there: where it is named, and what would come of it.
pub fn tell_unknown(at: &Node, path: &str, name: &str, then: &str, envoy: &Node, findings: &mut Findings) {
    if envoy.at("dynamic_resources/cds_config").is_some() {
        let message =
            format!("the cluster {name} is not in this file: it is left to cds_config, and was not looked at");
        findings.note(at, "cluster-elsewhere", path, message);
        return;
    }
    let names: Vec<_> = envoy.list("static_resources/clusters").iter().map(|cluster| cluster.text("name")).collect();
    let message =
        format!("Envoy has no cluster {name}, and {then}; expected one of its clusters: {}", names.join(", "));
    findings.error(at, "cluster-unknown", path, message);
}

fn check_cluster(cluster: &Node, config: &Config, findings: &mut Findings) {
    let name = cluster.text("name");
    let path = format!("cluster {name}");
    let options = http_options(cluster);
    if let Some(policy) = options.and_then(|options| options.get("retry_policy")) {
        let message = "Envoy would make attempts that the filter knows nothing of: neither counted, nor signed afresh, \
                       nor kept from an open breaker; delete it, and write the endpoint's retry.delays";
        findings.error(policy, "cluster-retries", &path, message);
    }
    if !options.is_some_and(strips_envoys_headers) {
        let at = options
            .map_or_else(|| cluster.nearest("typed_extension_protocol_options"), |node| node.nearest("http_filters"));
        let message = "the receiver gets Envoy's own x-envoy-* headers; write header_mutation with remove_on_match \
                       {key_matcher: {prefix: x-envoy-}}, and upstream_codec, under http_filters of HttpProtocolOptions";
        findings.warning(at, "envoy-headers", &path, message);
    }
    check_limits(cluster, options, config, &path, findings);
}

/// What Envoy adds to a request that a filter sends.
const ENVOYS: [&str; 2] = ["x-envoy-internal", "x-envoy-expected-rq-timeout-ms"];

fn strips_envoys_headers(options: &Node) -> bool {
    let mutations: Vec<_> = options
        .list("http_filters")
        .iter()
        .filter(|filter| filter.type_name().ends_with(".HeaderMutation"))
        .flat_map(|filter| filter.list("typed_config/mutations/request_mutations"))
        .collect();
    let removes = |header: &str| {
        mutations.iter().any(|mutation| {
            let matcher = mutation.nearest("remove_on_match/key_matcher");
            let prefix = Some(matcher.text("prefix")).filter(|prefix| !prefix.is_empty());
            let is_removed = mutation.text("remove").eq_ignore_ascii_case(header) || matcher.text("exact") == header;
            is_removed || prefix.is_some_and(|prefix| header.starts_with(prefix))
        })
    };
    ENVOYS.iter().all(|header| removes(header))
}

/// What a circuit breaker lets through unless it says otherwise.
const THRESHOLD_DEFAULT: u64 = 1024;

fn check_limits(cluster: &Node, options: Option<&Node>, config: &Config, path: &str, findings: &mut Findings) {
    let name = cluster.text("name");
    let of_cluster = config.endpoints.iter().filter(|endpoint| endpoint.cluster == name);
    let in_flight: u64 = of_cluster.map(|endpoint| u64::from(endpoint.max_in_flight)).sum();
    let thresholds = cluster.list("circuit_breakers/thresholds").iter();
    let threshold = thresholds.clone().find(|threshold| ["", "DEFAULT"].contains(&threshold.text("priority")));
    // Over HTTP/2 one connection carries them all.
    let is_http2 = options.is_some_and(|options| options.at("explicit_http_config/http2_protocol_options").is_some());
    for key in ["max_connections", "max_pending_requests", "max_requests"] {
        let at = threshold.map_or_else(|| cluster.nearest("circuit_breakers/thresholds"), |node| node.nearest(key));
        let limit = threshold.and_then(|node| node.get(key)).and_then(Node::as_number).unwrap_or(THRESHOLD_DEFAULT);
        if limit < in_flight && !(is_http2 && key == "max_connections") {
            let message = format!(
                "{key} is {limit} for all workers together, and the endpoints of this cluster may have {in_flight} \
                 attempts under way in each: Envoy refuses the others, and they wait; write {in_flight} times the \
                 workers (--concurrency), or lower max_in_flight"
            );
            findings.warning(at, "circuit-breaker-low", path, message);
        }
    }
}
