//! Whether deliveries over https are encrypted, and to whom.

use gatepost_core::egress::endpoint::Url;

use super::document::Node;
use super::finding::Findings;
use super::model::cluster::http_options;
use super::model::validation::Validation;

/// What a cluster's connections are wrapped in.
enum Socket<'a> {
    Plain,
    Tls(&'a Node),
    /// Something else that may well encrypt.
    Other,
}

/// Checks a cluster against the URL that is called by it; `used` is where that stands.
pub fn check(cluster: &Node, url: &Url, path: &str, used: &Node, findings: &mut Findings) {
    let name = format!("cluster {}", cluster.text("name"));
    let is_https = url.scheme == "https";
    match socket(cluster) {
        Socket::Plain if is_https => {
            let message = format!(
                "the url of {path} (line {}) says https and this cluster sends in clear; write a transport_socket \
                 envoy.transport_sockets.tls with an UpstreamTlsContext",
                used.nearest("url").line()
            );
            findings.error(cluster.nearest("transport_socket"), "https-in-clear", &name, message);
        }
        Socket::Tls(_) if !is_https => {
            let message = format!(
                "the url says http and the cluster {} (line {}) speaks TLS: the receiver is told the wrong scheme; write \
                 https",
                cluster.text("name"),
                cluster.line()
            );
            findings.warning(used.nearest("url"), "http-over-tls", &format!("{path}.url"), message);
        }
        Socket::Tls(context) => {
            check_certificate(cluster, context, &name, findings);
            check_sni(cluster, context, url, &name, findings);
        }
        Socket::Plain | Socket::Other => {}
    }
}

/// Whether what leaves by a cluster is surely not encrypted.
pub fn is_in_clear(cluster: &Node) -> bool {
    matches!(socket(cluster), Socket::Plain)
}

/// Checks that a cluster that speaks TLS knows to whom.
pub fn check_server(cluster: &Node, findings: &mut Findings) {
    if let Socket::Tls(context) = socket(cluster) {
        check_certificate(cluster, context, &format!("cluster {}", cluster.text("name")), findings);
    }
}

fn socket(cluster: &Node) -> Socket<'_> {
    let matched = || cluster.list("transport_socket_matches").first().and_then(|entry| entry.get("transport_socket"));
    let mut socket = cluster.get("transport_socket").or_else(matched);
    while let Some(node) = socket {
        let Some(config) = node.get("typed_config") else { break };
        let kind = node.type_name();
        if kind.ends_with(".UpstreamTlsContext") {
            return Socket::Tls(config);
        }
        if kind.ends_with(".QuicUpstreamTransport") {
            return config.get("upstream_tls_context").map_or(Socket::Other, Socket::Tls);
        }
        if kind.ends_with(".RawBuffer") {
            break;
        }
        // Such as the PROXY protocol's, which has another within.
        let Some(within) = config.get("transport_socket") else {
            return Socket::Other;
        };
        socket = Some(within);
    }
    Socket::Plain
}

fn check_certificate(cluster: &Node, context: &Node, name: &str, findings: &mut Findings) {
    let common = context.nearest("common_tls_context");
    let validation = Validation::of(common);
    let at = validation.context.unwrap_or(common);
    let is_automatic = context.is_true("auto_sni_san_validation")
        || http_options(cluster)
            .is_some_and(|options| options.is_true("upstream_http_protocol_options/auto_san_validation"));
    if !validation.is_there() {
        let message = "any certificate passes, so anyone in between can be the other side; write \
                       common_tls_context.validation_context with trusted_ca {filename: \
                       /etc/ssl/certs/ca-certificates.crt}";
        findings.error(at, "tls-without-ca", name, message);
    } else if !validation.names_host() && !is_automatic {
        let message = "a certificate of any host passes, if only that CA signed it; write \
                       match_typed_subject_alt_names [{san_type: DNS, matcher: {exact: HOST}}], or \
                       auto_sni_san_validation: true";
        findings.error(at, "tls-without-name", name, message);
    }
}

fn check_sni(cluster: &Node, context: &Node, url: &Url, name: &str, findings: &mut Findings) {
    let host = host(&url.authority);
    let is_automatic = context.is_true("auto_host_sni")
        || http_options(cluster).is_some_and(|options| options.is_true("upstream_http_protocol_options/auto_sni"));
    // An address is no server name (RFC 6066, section 3).
    if is_automatic || host.parse::<std::net::IpAddr>().is_ok() {
        return;
    }
    let sni = context.text("sni");
    if sni.is_empty() {
        let message = format!(
            "the receiver is not told which host is meant, and may show another's certificate; write sni: {host}"
        );
        findings.error(context.nearest("sni"), "sni-missing", name, message);
    } else if !sni.eq_ignore_ascii_case(host) {
        let message = format!("sni is {sni} and the url's host is {host}; write sni: {host}");
        findings.error(context.nearest("sni"), "sni-mismatch", name, message);
    }
}

/// The host of an authority: an IPv6 address stands in brackets, a port behind a colon.
fn host(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_authority_has_neither_port_nor_brackets() {
        assert_eq!(host("api.example.com:8443"), "api.example.com");
        assert_eq!(host("api.example.com"), "api.example.com");
        assert_eq!(host("[2001:db8::1]:443"), "2001:db8::1");
    }
}
