//! `gatepost check`: what it finds, where, and what it makes of it.

use std::fs;
use std::path::{Path, PathBuf};

use gatepost_cli::check::{Finding, Severity, check};

use crate::gatepost;

#[test]
fn a_production_config_is_free_of_findings() {
    assert_eq!(found(&production()), []);
}

#[test]
fn the_shipped_config_has_no_errors_and_its_demo_secrets_are_warnings() {
    let path = gatepost_cli::workspace().join("envoy/envoy.yaml");
    let findings = check(&fs::read_to_string(path).unwrap(), &|_| None, true);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Warning), "{findings:#?}");
    let mut codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    codes.dedup();
    assert_eq!(codes, ["secret-in-key-values", "secret-short", "token-short"]);
}

#[test]
fn each_planted_fault_is_found_alone_at_its_line() {
    let good = production();
    for Fault { code, severity, edits, at } in FAULTS {
        let mut planted = good.clone();
        for (old, new) in *edits {
            assert!(planted.contains(old), "{code}: the config has no {old:?}");
            planted = planted.replacen(old, new, 1);
        }
        let offset = planted.find(at).unwrap_or_else(|| panic!("{code}: the planted config has no {at:?}"));
        let line = planted[..offset].matches('\n').count() + 1;
        let findings = found(&planted);
        // Two filters may share what is wrong, as they share a vm_config.
        let mut seen: Vec<_> = findings.iter().map(|finding| (finding.code, finding.severity, finding.line)).collect();
        seen.dedup();
        assert_eq!(seen, [(*code, *severity, line)], "{edits:?}\n{findings:#?}");
        assert!(findings.iter().all(|finding| !finding.message.contains('\n')), "{findings:#?}");
    }
}

#[test]
fn the_planted_faults_are_of_more_than_twenty_five_kinds() {
    let mut codes: Vec<_> = FAULTS.iter().map(|fault| fault.code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert!(codes.len() >= 25, "{codes:?}");
}

#[test]
fn every_mistake_in_a_filters_own_config_is_told_at_once_in_the_parsers_words() {
    let text = "routes:\n  - name: ingest\n    match: {path: /events}\n    event: a\nendpoints:\n  - name: billing\n    \
                cluster: billing\n    url: nowhere\n    secrets: [{env: KEY}]\n    tiemout: 5s\n";
    let findings = check(text, &|_| Some(SECRET.to_owned()), false);
    let said: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].starts_with("8: error: endpoints[0].url: is not absolute; expected an absolute URL"), "{said:#?}");
    let typo = "10: error: endpoints[0].tiemout: is not a known key (did you mean timeout?); expected one of name";
    assert!(said[1].starts_with(typo), "{said:#?}");
}

#[test]
fn a_config_written_as_json_inside_a_string_has_the_lines_of_the_file() {
    let begin = r#""@type": type.googleapis.com/google.protobuf.Struct"#;
    let good = production();
    let (head, tail) = good.rsplit_once(begin).unwrap();
    let (_, behind) = tail.split_once("                  - name: envoy.filters.http.router").unwrap();
    let (head, first) = (head.to_owned(), "\"@type\": type.googleapis.com/google.protobuf.StringValue");
    let indent = " ".repeat(26);
    let json = format!(
        "{indent}value: |\n{indent}  {{\"admin\": {{\n{indent}    \"path\": \"/gatepost/\",\n{indent}    \"tokens\": \
         [{{\"env\": \"GATEPOST_ADMIN_TOKEN\"}}]}}}}\n"
    );
    let text = format!("{head}{first}\n{json}                  - name: envoy.filters.http.router{behind}");
    let findings = found(&text);
    let line = text[..text.find("\"/gatepost/\"").unwrap()].matches('\n').count() + 1;
    let seen: Vec<_> = findings.iter().map(|finding| (finding.path.as_str(), finding.line)).collect();
    assert_eq!(seen, [("admin.path", line)], "{findings:#?}");
}

#[test]
fn a_variable_that_only_envoy_will_have_is_a_note_and_an_error_when_asked() {
    for (is_strict, severity) in [(false, Severity::Note), (true, Severity::Error)] {
        let findings = check(&production(), &|_| None, is_strict);
        let seen: Vec<_> = findings.iter().map(|finding| (finding.code, finding.severity)).collect();
        assert_eq!(seen, [("env-unset", severity); 3], "{findings:#?}");
    }
}

#[test]
fn no_value_of_a_secret_is_ever_shown() {
    let text = production()
        .replace("- env: BILLING_WEBHOOK_SECRET", "- value: open-sesame")
        .replace("- { env: GATEPOST_ADMIN_TOKEN, role: operate }", "- { value: 'a b open-sesame', role: boss }");
    let said = format!("{:?}", found(&text));
    assert!(said.contains("literal-secret") && said.contains("role"), "{said}");
    assert!(!said.contains("sesame"), "{said}");
}

#[test]
fn findings_print_with_file_and_line_and_errors_exit_1() {
    let file = written("faulty.yaml", &production().replace("vm_id: gatepost", "vm_id: ''"));
    let output = gatepost(&["check", file.to_str().unwrap()], &ENVIRONMENT);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.starts_with(&format!("{}:", file.display())), "{shown}");
    assert!(shown.contains(": error: filter gatepost of listener public: its state is shared"), "{shown}");
}

#[test]
fn warnings_fail_only_when_asked() {
    let file = written("warned.yaml", &production().replace("normalize_path: true", "normalize_path: false"));
    let file = file.to_str().unwrap();
    assert_eq!(gatepost(&["check", file], &ENVIRONMENT).status.code(), Some(0));
    assert_eq!(gatepost(&["check", file, "--strict"], &ENVIRONMENT).status.code(), Some(1));
}

#[test]
fn with_json_a_script_reads_the_same() {
    let file = written("for-a-script.yaml", &production().replace("vm_id: gatepost", "vm_id: ''"));
    let output = gatepost(&["check", file.to_str().unwrap(), "--json"], &ENVIRONMENT);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let first = &findings[0];
    assert_eq!(first["file"], file.to_str().unwrap());
    assert_eq!((first["code"].as_str(), first["severity"].as_str()), (Some("no-vm-id"), Some("error")));
    assert!(first["line"].is_u64() && first["path"].is_string() && first["message"].is_string(), "{first}");
}

#[test]
fn a_file_that_cannot_be_read_and_a_wrong_flag_exit_2() {
    let output = gatepost(&["check", "/nonexistent/envoy.yaml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: /nonexistent/envoy.yaml cannot be read: No such file"), "{said}");
    assert_eq!(gatepost(&["check", "a.yaml", "--nonsense"], &[]).status.code(), Some(2));
}

#[cfg(test)]
fn production() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/production.yaml");
    fs::read_to_string(path).unwrap()
}

#[cfg(test)]
fn found(text: &str) -> Vec<Finding> {
    check(
        text,
        &|name| ENVIRONMENT.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
        true,
    )
}

/// A file of that name among those of this build's tests.
#[cfg(test)]
fn written(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ENVIRONMENT: [(&str, &str); 5] = [
    ("BILLING_WEBHOOK_SECRET", SECRET),
    ("AUDIT_WEBHOOK_SECRET", SECRET),
    ("GATEPOST_ADMIN_TOKEN", SECRET),
    ("SHORT_SECRET", "sixteen-bytes-xx"),
    ("SHORT_TOKEN", "ten-bytes-"),
];

/// One thing that is wrong.
struct Fault {
    code: &'static str,
    severity: Severity,
    /// What is written instead of what, where that stands first.
    edits: &'static [(&'static str, &'static str)],
    /// Begins on the line it is found on.
    at: &'static str,
}

const fn error(code: &'static str, edits: &'static [(&'static str, &'static str)], at: &'static str) -> Fault {
    Fault { code, severity: Severity::Error, edits, at }
}

const fn warning(code: &'static str, edits: &'static [(&'static str, &'static str)], at: &'static str) -> Fault {
    Fault { code, severity: Severity::Warning, edits, at }
}

const fn note(code: &'static str, edits: &'static [(&'static str, &'static str)], at: &'static str) -> Fault {
    Fault { code, severity: Severity::Note, edits, at }
}

const FAULTS: &[Fault] = &[
    // The filter's own config.
    error("config", &[("max_in_flight: 64", "max_in_fligth: 64")], "max_in_fligth"),
    error("config", &[("[0s, 2s, 4s]", "[0s, 2, 4s]")], "retry: { delays"),
    error("config", &[("- BILLING_WEBHOOK_SECRET\n", "- BILLING_SECRET\n")], "- env: BILLING_WEBHOOK_SECRET"),
    error("syntax", &[("domains: [\"*\"]", "domains: [\"*\"")], "routes:\n                        - name: events"),
    error(
        "env-unset",
        &[("- BILLING_WEBHOOK_SECRET", "- OTHER"), ("env: BILLING_WEBHOOK_SECRET", "env: OTHER")],
        "- env: OTHER",
    ),
    note("not-enabled", &[("enabled: true", "enabled: false")], "enabled: false"),
    note(
        "not-enabled",
        &[("                            enabled: true\n", "")],
        "value:\n                            routes:",
    ),
    // Secrets.
    error(
        "literal-secret",
        &[("- env: BILLING_WEBHOOK_SECRET", "- value: 0123456789abcdef0123456789abcdef")],
        "- value: 0123",
    ),
    error(
        "literal-secret",
        &[("max_in_flight: 64", "headers: { x-api-key: 0123456789abcdef }")],
        "headers: { x-api-key",
    ),
    error(
        "literal-token",
        &[("{ env: GATEPOST_ADMIN_TOKEN, role", "{ value: 0123456789abcdef, role")],
        "- { value: 0123",
    ),
    error(
        "secret-in-key-values",
        &[
            ("                              - AUDIT_WEBHOOK_SECRET\n", ""),
            (
                "                            host_env_keys:",
                "                            key_values:\n                              AUDIT_WEBHOOK_SECRET: \
                 0123456789abcdef0123456789abcdef\n                            host_env_keys:",
            ),
        ],
        "AUDIT_WEBHOOK_SECRET: 0123",
    ),
    error(
        "secret-short",
        &[("- AUDIT_WEBHOOK_SECRET", "- SHORT_SECRET"), ("env: AUDIT_WEBHOOK_SECRET", "env: SHORT_SECRET")],
        "- env: SHORT_SECRET",
    ),
    error(
        "token-short",
        &[("- GATEPOST_ADMIN_TOKEN", "- SHORT_TOKEN"), ("env: GATEPOST_ADMIN_TOKEN", "env: SHORT_TOKEN")],
        "- { env: SHORT_TOKEN",
    ),
    // The filter's entry.
    error(
        "no-stop-iteration",
        &[("allow_on_headers_stop_iteration: true", "allow_on_headers_stop_iteration: false")],
        "allow_on_headers_stop_iteration: false",
    ),
    error(
        "no-stop-iteration",
        &[("                        allow_on_headers_stop_iteration: true\n", "")],
        "config:\n                        name: gatepost",
    ),
    error(
        "failure-policy",
        &[("failure_policy: FAIL_RELOAD", "failure_policy: FAIL_CLOSED")],
        "failure_policy: FAIL_CLOSED",
    ),
    error("fail-open", &[("failure_policy: FAIL_RELOAD", "failure_policy: FAIL_OPEN")], "failure_policy: FAIL_OPEN"),
    error("fail-open", &[("failure_policy: FAIL_RELOAD", "fail_open: true")], "fail_open: true"),
    error("no-vm-id", &[("                          vm_id: gatepost\n", "")], "vm_config: &vm"),
    error(
        "admin-of-nobody",
        &[("                        name: gatepost\n", "                        name: events\n")],
        "name: gatepost\n                        failure_policy: FAIL_RELOAD",
    ),
    error(
        "name-twice",
        &[
            (
                "admin:\n                              path: /gatepost\n                              tokens:\n                                - { env: GATEPOST_ADMIN_TOKEN, role: operate }",
                "enabled: true\n                            routes: [{ name: other, match: { path: /events }, event: other }]\n                            endpoints: []",
            ),
            (
                "- name: gatepost\n                    typed_config",
                "- name: envoy.filters.http.basic_auth\n                    typed_config:\n                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth\n                  - name: gatepost\n                    typed_config",
            ),
            ("stat_prefix: admin", "stat_prefix: admin\n                normalize_path: true"),
        ],
        "name: gatepost\n                        failure_policy: FAIL_RELOAD\n                        reload_config: { backoff: { base_interval: 1s } }\n                        allow_on_headers_stop_iteration: true\n                        vm_config: *vm",
    ),
    error(
        "no-filter",
        &[
            (
                "routes:\n                              - name: ingest",
                "rules:\n                              - name: ingest",
            ),
            (
                "endpoints:\n                              - name: billing",
                "places:\n                              - name: billing",
            ),
            ("admin:\n                              path", "console:\n                              path"),
            ("- name: gatepost\n", "- name: other\n"),
            ("name: gatepost\n                        failure", "name: other\n                        failure"),
            ("gatepost.wasm", "other.wasm"),
            ("- name: gatepost\n", "- name: other\n"),
            ("name: gatepost\n                        failure", "name: other\n                        failure"),
        ],
        "listeners:",
    ),
    // The listener and its routes.
    error(
        "admin-public",
        &[("{ address: 127.0.0.1, port_value: 10001 }", "{ address: 10.0.0.7, port_value: 10001 }")],
        "admin:\n                              path",
    ),
    error(
        "no-router",
        &[(
            "                  - name: envoy.filters.http.router\n                    typed_config:\n                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n\n",
            "\n",
        )],
        "- name: gatepost",
    ),
    error(
        "buffer-below-body",
        &[("per_connection_buffer_limit_bytes: 4194304", "per_connection_buffer_limit_bytes: 32768")],
        "per_connection_buffer_limit_bytes",
    ),
    error(
        "buffer-below-body",
        &[("      per_connection_buffer_limit_bytes: 4194304\n", "")],
        "- name: public\n      address",
    ),
    warning(
        "paths-not-normalized",
        &[("                normalize_path: true\n", "")],
        "typed_config:\n              \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager",
    ),
    error(
        "filter-off-on-route",
        &[(
            "gatepost:\n                              \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig\n                              config: {}",
            "gatepost:\n                              \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig\n                              disabled: true",
        )],
        "- name: events",
    ),
    error(
        "authentication-off",
        &[(
            "envoy.filters.http.basic_auth:\n                              \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig\n                              config: {}",
            "envoy.filters.http.basic_auth:\n                              \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig\n                              disabled: true",
        )],
        "- name: events",
    ),
    error(
        "no-authentication",
        &[(
            "                  - name: envoy.filters.http.basic_auth\n                    disabled: true\n                    typed_config:\n                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth\n                      users: { filename: /etc/envoy/users }\n",
            "",
        )],
        "- name: gatepost\n                    disabled",
    ),
    error(
        "before-authentication",
        &[
            (
                "                  - name: envoy.filters.http.basic_auth\n                    disabled: true\n                    typed_config:\n                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth\n                      users: { filename: /etc/envoy/users }\n",
                "",
            ),
            (
                "                  - name: envoy.filters.http.router",
                "                  - name: envoy.filters.http.basic_auth\n                    disabled: true\n                    typed_config:\n                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth\n                      users: { filename: /etc/envoy/users }\n                  - name: envoy.filters.http.router",
            ),
        ],
        "- name: gatepost\n                    disabled",
    ),
    warning(
        "route-retries",
        &[(
            "direct_response: { status: 404 }\n                          typed",
            "direct_response: { status: 404 }\n                          retry_policy: { retry_on: 5xx }\n                          typed",
        )],
        "retry_policy",
    ),
    // Clusters.
    error("cluster-unknown", &[("cluster: billing\n", "cluster: biling\n")], "cluster: biling"),
    error(
        "cluster-unknown",
        &[("dead_letter: { cluster: audit,", "dead_letter: { cluster: dlq,")],
        "dead_letter: { cluster: dlq",
    ),
    error(
        "https-in-clear",
        &[(
            "transport_socket:\n        name: envoy.transport_sockets.tls\n        typed_config:\n          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n          sni: billing.example.com\n          common_tls_context:\n            validation_context:\n              trusted_ca: { filename: /etc/ssl/certs/ca-certificates.crt }\n              match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: billing.example.com } }]\n      ",
            "",
        )],
        "- name: billing\n      type",
    ),
    error(
        "https-in-clear",
        &[(
            "envoy.transport_sockets.tls\n        typed_config:\n          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n          sni: billing.example.com\n          common_tls_context:\n            validation_context:\n              trusted_ca: { filename: /etc/ssl/certs/ca-certificates.crt }\n              match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: billing.example.com } }]\n",
            "envoy.transport_sockets.raw_buffer\n        typed_config: { \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer }\n",
        )],
        "transport_socket:\n        name: envoy.transport_sockets.raw_buffer",
    ),
    warning(
        "http-over-tls",
        &[("\"https://billing.example.com/webhooks\"", "\"http://billing.example.com/webhooks\"")],
        "url: \"http://billing",
    ),
    error(
        "tls-without-ca",
        &[("              trusted_ca: { filename: /etc/ssl/certs/ca-certificates.crt }\n", "")],
        "validation_context:",
    ),
    error(
        "tls-without-ca",
        &[(
            "            validation_context:\n              trusted_ca: { filename: /etc/ssl/certs/ca-certificates.crt }\n              match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: billing.example.com } }]\n",
            "            alpn_protocols: [http/1.1]\n",
        )],
        "common_tls_context:\n            alpn",
    ),
    error(
        "tls-without-ca",
        &[(
            "              trusted_ca:",
            "              trust_chain_verification: ACCEPT_UNTRUSTED\n              trusted_ca:",
        )],
        "validation_context:",
    ),
    error(
        "tls-without-name",
        &[(
            "              match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: billing.example.com } }]\n",
            "",
        )],
        "validation_context:",
    ),
    error(
        "sni-missing",
        &[("          sni: billing.example.com\n", "")],
        "typed_config:\n          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    ),
    error("sni-mismatch", &[("sni: billing.example.com", "sni: www.example.com")], "sni: www.example.com"),
    error(
        "cluster-retries",
        &[(
            "          explicit_http_config",
            "          retry_policy: { num_retries: 2 }\n          explicit_http_config",
        )],
        "retry_policy",
    ),
    warning("circuit-breaker-low", &[("max_requests: 1024", "max_requests: 63")], "max_requests: 63"),
    warning("circuit-breaker-low", &[("max_connections: 1024", "max_connections: 10")], "max_connections: 10"),
    warning(
        "circuit-breaker-low",
        &[("max_pending_requests: 1024", "max_pending_requests: 1")],
        "max_pending_requests: 1\n",
    ),
    warning(
        "envoy-headers",
        &[("prefix: x-envoy-", "prefix: x-internal-")],
        "http_filters:\n            - name: envoy.filters.http.header_mutation",
    ),
    // The process.
    error(
        "envoy-admin-public",
        &[("address: 127.0.0.1, port_value: 9901", "address: 0.0.0.0, port_value: 9901")],
        "address: { socket_address: { address: 0.0.0.0, port_value: 9901",
    ),
    warning("stats-tags", &[("endpoint=\\.=", "endpoints=\\.=")], "stats_tags:"),
    note("no-connection-limit", &[("resource_monitors:", "refresh_interval: 1s\n  actions:")], "overload_manager:"),
];
