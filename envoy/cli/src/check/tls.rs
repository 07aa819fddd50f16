//! Whether deliveries over https are encrypted, and to whom.

use gatepost_core::config::Url;

use super::clusters::http_options;
use super::document::Node;
use super::finding::Findings;

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
    let combined = "combined_validation_context/default_validation_context";
    let validation = common.get("validation_context").or_else(|| common.at(combined));
    let from_elsewhere = ["validation_context_sds_secret_config", "combined_validation_context"];
    let is_elsewhere = from_elsewhere.iter().any(|key| common.get(key).is_some());
    let has = |keys: &[&str]| validation.is_some_and(|node| keys.iter().any(|key| node.get(key).is_some()));
    let pins = ["verify_certificate_spki", "verify_certificate_hash"];
    // Not system_root_certs: Envoy 1.40 takes the field and verifies nothing by it.
    let roots = ["trusted_ca", "ca_certificate_provider_instance"];
    let accepts_anything = validation.is_some_and(|node| node.text("trust_chain_verification") == "ACCEPT_UNTRUSTED");
    if accepts_anything || !(has(&pins) || has(&roots) || is_elsewhere) {
        let at = validation.unwrap_or(common);
        let message = "any certificate passes, so anyone between here and the receiver can be the receiver; write \
                       common_tls_context.validation_context with trusted_ca {filename: \
                       /etc/ssl/certs/ca-certificates.crt}";
        findings.error(at, "tls-without-ca", name, message);
        return;
    }
    let names = ["match_typed_subject_alt_names", "match_subject_alt_names"];
    let options = http_options(cluster);
    let is_automatic = context.is_true("auto_sni_san_validation")
        || options.is_some_and(|options| options.is_true("upstream_http_protocol_options/auto_san_validation"));
    if !has(&pins) && !has(&names) && !is_automatic && !is_elsewhere {
        let message = "a certificate of any host passes, if only that CA signed it; write \
                       match_typed_subject_alt_names [{san_type: DNS, matcher: {exact: HOST}}], or \
                       auto_sni_san_validation: true";
        findings.error(validation.unwrap_or(common), "tls-without-name", name, message);
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
