//! The cluster of etcd that a journal is in. What is asked of it was measured with etcd 3.4 and Envoy 1.40: members killed,
//! stopped and cut off, under load.

use super::clusters;
use super::document::Node;
use super::finding::Findings;
use super::model::cluster::http_options;
use super::model::listener::is_loopback;
use super::tls;

/// Checks the cluster of the journal of a config whose lines are those of `tree`, if it has one.
pub fn check(tree: &Node, envoy: &Node, findings: &mut Findings) {
    let Some(etcd) = tree.at("journal/etcd") else { return };
    let name = etcd.text("cluster");
    let Some(node) = clusters::find(envoy, name) else {
        let at = etcd.nearest("cluster");
        clusters::tell_unknown(at, "journal.etcd.cluster", name, "no event would be accepted", envoy, findings);
        return;
    };
    let members = node.list("load_assignment/endpoints").iter().flat_map(|group| group.list("lb_endpoints"));
    let members = members.filter_map(|member| member.at("endpoint/address")).collect();
    let cluster = Cluster { node, path: format!("cluster {name}"), members };
    cluster.check_protocol(findings);
    cluster.check_privacy(etcd, findings);
    cluster.check_members(findings);
    cluster.check_health(findings);
    cluster.check_retries(findings);
}

/// A shorter lease lapses while etcd elects a leader, which takes up to 3 s when a member is stopped, and a second more.
const LEASE_MIN: f64 = 4.0;

/// Checks what a journal says of itself, whatever it is in.
pub fn check_settings(tree: &Node, findings: &mut Findings) {
    let lease = tree.nearest("journal/lease");
    if seconds(lease).is_some_and(|lease| lease < LEASE_MIN) {
        let message = "etcd may take 3 s to elect a leader, and meanwhile no gateway can renew: all would be taken for dead \
                       at once, and what they had under way come twice; write lease: 5s";
        findings.warning(lease, "lease-short", "journal.lease", message);
    }
}

/// etcd's cluster.
struct Cluster<'a> {
    node: &'a Node,
    path: String,
    /// The addresses of its members; none where Envoy is told of them by somebody else.
    members: Vec<&'a Node>,
}

/// The shortest interval of pings that etcd bears: it takes more frequent ones for an attack (gRPC's
/// `MinTime` of its keepalive policy).
const PING_MIN: f64 = 5.0;

impl Cluster<'_> {
    /// gRPC needs HTTP/2, and only pings find out about a member that says nothing any more.
    fn check_protocol(&self, findings: &mut Findings) {
        let options = http_options(self.node);
        let of = |key: &str| options.and_then(|options| options.at(key));
        let ways = ["explicit_http_config/http2_protocol_options", "auto_config/http2_protocol_options"];
        // By ALPN, which is TLS's: without TLS that is HTTP/1.1.
        let is_chosen = of("auto_config").is_some() && !tls::is_in_clear(self.node);
        let http2 = ways.into_iter().find_map(of).or_else(|| self.node.get("http2_protocol_options"));
        let is_http2 = is_chosen || (http2.is_some() && of("auto_config").is_none());
        if !is_http2 {
            let message = "etcd speaks gRPC, which needs HTTP/2, and no event would be accepted; write under \
                           HttpProtocolOptions explicit_http_config: {http2_protocol_options: {connection_keepalive: \
                           {interval: 10s, timeout: 5s}}}";
            let at = options.unwrap_or_else(|| self.node.nearest("typed_extension_protocol_options"));
            findings.error(at, "journal-http2", &self.path, message);
            return;
        }
        let interval = http2.and_then(|http2| http2.at("connection_keepalive/interval"));
        match interval.map(|interval| (interval, seconds(interval))) {
            None => {
                let message = "a member whose machine is gone, or that is stopped, keeps its connections, and a watch on \
                               one hears nothing more; write connection_keepalive: {interval: 10s, timeout: 5s} under \
                               http2_protocol_options";
                let at = http2.or(options).unwrap_or(self.node);
                findings.warning(at, "journal-keepalive", &self.path, message);
            }
            Some((at, Some(interval))) if interval < PING_MIN => {
                let message = format!(
                    "etcd drops a connection that pings it every {interval} s (too_many_pings): it bears {PING_MIN} s and \
                     more; write interval: 10s"
                );
                findings.warning(at, "journal-keepalive", &self.path, message);
            }
            Some(_) => {}
        }
    }

    /// Who reads or writes etcd reads every event, and may make some.
    fn check_privacy(&self, etcd: &Node, findings: &mut Findings) {
        if !tls::is_in_clear(self.node) {
            tls::check_server(self.node, findings);
            return;
        }
        if self.members.iter().all(|address| is_loopback(address)) {
            return;
        }
        let at = self.node.nearest("transport_socket");
        if etcd.get("password").is_some() {
            let message = format!(
                "the password of journal.etcd (line {}) leaves this machine in clear, and so do the events; write a \
                 transport_socket envoy.transport_sockets.tls with an UpstreamTlsContext",
                etcd.nearest("password").line()
            );
            findings.error(at, "journal-in-clear", &self.path, message);
        } else {
            let message = "every event leaves this machine in clear, and anyone who reaches etcd reads and writes them; \
                           write a transport_socket envoy.transport_sockets.tls with an UpstreamTlsContext and a \
                           certificate of the gateways', and have etcd ask for it (--client-cert-auth)";
            findings.warning(at, "journal-in-clear", &self.path, message);
        }
    }

    fn check_members(&self, findings: &mut Findings) {
        // A name may stand for all of them.
        let is_one = |address: &Node| {
            let host = address.text("socket_address/address");
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok()
        };
        if let [only] = self.members.as_slice()
            && is_one(only)
        {
            let message = "one member is all there is: when it is down no event is accepted; run three, and write all of \
                           them under lb_endpoints";
            findings.warning(only, "journal-one-member", &self.path, message);
        }
        if self.members.len() > 1 && self.node.get("outlier_detection").is_none() {
            let message = "a member that answers nothing gets its share of all calls for as long as it is down; write \
                           outlier_detection: {interval: 1s, base_ejection_time: 2s, max_ejection_percent: 34, \
                           split_external_local_origin_errors: true, consecutive_local_origin_failure: 3, \
                           enforcing_consecutive_5xx: 0}";
            findings.warning(self.node.nearest("outlier_detection"), "journal-outliers", &self.path, message);
        }
    }

    fn check_health(&self, findings: &mut Findings) {
        for check in self.node.list("health_checks") {
            let path = check.nearest("http_health_check/path");
            // `/health?serializable=true` asks one member alone, whoever leads.
            if ["/health", "/readyz"].contains(&path.as_text().unwrap_or_default()) {
                let message = "while etcd elects a leader each member calls itself unhealthy here, and Envoy sends to none \
                               long after there is one (3.4 s instead of 1 to 2 s were measured); delete this check: \
                               outlier_detection finds a dead member";
                findings.warning(path, "journal-health-check", &self.path, message);
            }
        }
    }

    fn check_retries(&self, findings: &mut Findings) {
        let thresholds = self.node.list("circuit_breakers/thresholds").iter();
        let threshold = thresholds.clone().find(|threshold| ["", "DEFAULT"].contains(&threshold.text("priority")));
        if threshold.is_some_and(|threshold| threshold.get("retry_budget").is_some()) {
            return;
        }
        let limit = threshold.and_then(|threshold| threshold.get("max_retries")).and_then(Node::as_number);
        let limit = limit.unwrap_or(RETRIES_DEFAULT);
        if limit < RETRIES_MIN {
            let at = threshold
                .map_or_else(|| self.node.nearest("circuit_breakers/thresholds"), |node| node.nearest("max_retries"));
            let message = format!(
                "max_retries is {limit} for all workers together, and when a member dies each worker has up to \
                 {RETRIES_MIN} calls to send to another: the others fail; write max_retries: 4096"
            );
            findings.warning(at, "journal-retries", &self.path, message);
        }
    }
}

/// What Envoy allows unless it is told otherwise.
const RETRIES_DEFAULT: u64 = 3;
/// What one worker has under way: appends of its journal.
const RETRIES_MIN: u64 = 16;

/// A duration as Envoy's configs write it: seconds.
fn seconds(node: &Node) -> Option<f64> {
    node.as_text()?.strip_suffix('s')?.parse().ok()
}
