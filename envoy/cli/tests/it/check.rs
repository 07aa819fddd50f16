//! `gatepost check`: what it finds, where, and what it makes of it.

use std::fs;
use std::path::{Path, PathBuf};

use gatepost_cli::check::{Circumstances, Finding, Severity, check};
use gatepost_core::time::WallTime;

use crate::command::gatepost;

#[test]
fn a_production_config_is_free_of_findings() {
    assert_eq!(found(&production()), []);
    assert_eq!(found(&fixture("inbound.yaml")), []);
    assert_eq!(found(&fleet()), []);
}

/// The shipped config has no errors and its demo secrets are warnings.
#[test]
fn shipped_config_has_no_errors_only_demo_secret_warnings() {
    let path = gatepost_kit::workspace::root().unwrap().join("envoy/envoy.yaml");
    let findings = check_with(&fs::read_to_string(path).unwrap(), &|_| None, true);
    assert!(findings.iter().all(|finding| finding.severity == Severity::Warning), "{findings:#?}");
    let mut codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    codes.dedup();
    assert_eq!(codes, ["secret-in-key-values", "secret-short"]);
}

/// The shipped fleet config has no errors, and the warnings that the other has.
#[test]
fn shipped_fleet_config_has_the_warnings_of_the_other() {
    let of = |file: &str| {
        let path = gatepost_kit::workspace::root().unwrap().join(file);
        codes(&check_with(&fs::read_to_string(path).unwrap(), &|_| None, true))
    };
    assert_eq!(of("envoy/fleet.yaml"), of("envoy/envoy.yaml"));
}

/// A token under 32 bytes is an error on a loopback listener too.
#[test]
fn short_token_of_the_shipped_config_is_an_error() {
    let path = gatepost_kit::workspace::root().unwrap().join("envoy/envoy.yaml");
    let text = fs::read_to_string(path).unwrap();
    let short = text.replace("GATEPOST_ADMIN_TOKEN: demo-admin-", "GATEPOST_ADMIN_TOKEN: ");
    let findings = check_with(&short, &|_| None, true);
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert_eq!(errors.iter().map(|error| error.code).collect::<Vec<_>>(), ["token-short"], "{errors:#?}");
    assert!(errors[0].message.starts_with("the token has 21 bytes; expected at least 32"), "{errors:#?}");
}

/// The shipped inbound config has no errors and says what its application is told.
#[test]
fn shipped_inbound_config_has_no_errors() {
    let path = gatepost_kit::workspace::root().unwrap().join("envoy/inbound.yaml");
    let findings = check_with(&fs::read_to_string(path).unwrap(), &|_| None, true);
    assert!(findings.iter().all(|finding| finding.severity < Severity::Error), "{findings:#?}");
    let mut codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes, ["proof-guessable", "secret-in-key-values", "secret-short", "signs-no-time", "stats-tags"]);
}

/// Ways past the filter of the shipped inbound config, whose application is shown no secret, are told as what they are.
#[test]
fn ways_around_the_shipped_inbound_filter_are_found() {
    let path = gatepost_kit::workspace::root().unwrap().join("envoy/inbound.yaml");
    let shipped = fs::read_to_string(path).unwrap();
    let rest =
        "                        - match: { prefix: / }\n                          direct_response: { status: 404 }\n";
    let off = "typed_per_filter_config: { gatepost: { \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, \
               disabled: true } }";
    let listeners = "  listeners:\n";
    let routed = |route: &str| {
        let route = format!("                        - {route}\n{rest}");
        shipped.replace(rest, &route)
    };
    let beside = |filter: &str| {
        let chain = format!("filter_chains: [{{ filters: [{{ name: a, typed_config: {{ {filter} }} }}] }}]");
        shipped.replace(listeners, &format!("{listeners}    - {{ name: b, {chain} }}\n"))
    };
    let ways = [
        // What a rewrite makes of a verified path is a path of the application's.
        (routed("{ match: { path: /app }, route: { cluster: application } }"), Severity::Error, "inbound-rewritten"),
        (routed("{ match: { prefix: /a }, route: { cluster: application } }"), Severity::Error, "inbound-rewritten"),
        (
            routed(&format!("{{ match: {{ prefix: /app }}, route: {{ cluster: application }}, {off} }}")),
            Severity::Error,
            "inbound-around",
        ),
        (
            routed(&format!("{{ match: {{ prefix: /static }}, route: {{ cluster: application }}, {off} }}")),
            Severity::Warning,
            "inbound-beside",
        ),
        (
            routed(&format!("{{ match: {{ prefix: /any }}, route: {{ cluster_header: x-to }}, {off} }}")),
            Severity::Warning,
            "inbound-beside",
        ),
        (
            routed(&format!("{{ match: {{ prefix: /any }}, route: {{ cluster: any }}, {off} }}")).replace(
                "  clusters:\n",
                "  clusters:\n    - { name: any, cluster_type: { name: a, typed_config: { \"@type\": \
                 a/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig } } }\n",
            ),
            Severity::Warning,
            "inbound-beside",
        ),
        (
            beside("\"@type\": a/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, cluster: application"),
            Severity::Error,
            "inbound-tunnel",
        ),
        (
            beside(
                "\"@type\": a/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, \
                 route_config: { virtual_hosts: [{ name: a, routes: [{ match: { prefix: / }, route: { cluster: \
                 application } }] }] }",
            ),
            Severity::Error,
            "inbound-around",
        ),
    ];
    let before: Vec<_> = codes(&found(&shipped));
    for (text, severity, code) in ways {
        assert_ne!(text, shipped);
        let more: Vec<_> = codes(&found(&text)).into_iter().filter(|told| !before.contains(told)).collect();
        assert_eq!(more, [(severity, code)], "{text}");
    }
}

#[cfg(test)]
fn codes(findings: &[Finding]) -> Vec<(Severity, &'static str)> {
    findings.iter().map(|finding| (finding.severity, finding.code)).collect()
}

#[test]
fn each_planted_fault_is_found_alone_at_its_line() {
    let of_inbound = fixture("inbound.yaml");
    let faults: Vec<_> = read("faults.diff").into_iter().map(|fault| (production(), fault)).collect();
    let faults: Vec<_> = faults
        .into_iter()
        .chain(read("inbound-faults.diff").into_iter().map(|fault| (of_inbound.clone(), fault)))
        .chain(read("fleet-faults.diff").into_iter().map(|fault| (fleet(), fault)))
        .collect();
    for (good, fault) in &faults {
        let planted = fault.plant(good);
        let findings = found(&planted);
        let line = 1 + planted.lines().position(|line| line.ends_with("# here")).unwrap();
        // Two filters may share what is wrong, as they share a vm_config.
        let mut seen: Vec<_> =
            findings.iter().map(|finding| (finding.severity.to_string(), finding.code, finding.line)).collect();
        seen.dedup();
        assert_eq!(seen, [(fault.severity.clone(), fault.code.as_str(), line)], "{fault:#?}\n{findings:#?}");
    }
    let mut kinds: Vec<_> = faults.iter().map(|(_, fault)| &fault.code).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert!(kinds.len() >= 25, "{kinds:?}");
}

#[test]
fn what_is_right_in_another_way_is_not_found_fault_with() {
    for (good, variants) in [
        (production(), "variants.diff"),
        (fixture("inbound.yaml"), "inbound-variants.diff"),
        (fleet(), "fleet-variants.diff"),
    ] {
        for variant in read(variants) {
            assert_eq!(found(&variant.plant(&good)), [], "{variant:#?}");
        }
    }
}

/// Every mistake in a filters own config is told at once in the parsers words.
#[test]
fn all_filter_config_mistakes_are_reported_at_once() {
    let text = "routes:\n  - name: ingest\n    match: {path: /events}\n    event: a\nendpoints:\n  - name: billing\n    \
                cluster: billing\n    url: nowhere\n    secrets: [{env: KEY}]\n    tiemout: 5s\n";
    let findings = check_with(text, &|_| Some(SECRET.to_owned()), false);
    let said: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].starts_with("8: error: endpoints[0].url: is not absolute; expected an absolute URL"), "{said:#?}");
    let typo = "10: error: endpoints[0].tiemout: is not a known key (did you mean timeout?); expected one of name";
    assert!(said[1].starts_with(typo), "{said:#?}");
}

#[test]
fn of_a_filters_config_alone_it_is_not_known_who_reaches_it() {
    let text = "{\"routes\": [{\"name\": \"a\", \"match\": {\"path\": \"/a\"}, \"event\": \"a\"}],\n\"endpoints\": [\n\
                {\"name\": \"b\", \"cluster\": \"b\", \"url\": \"http://b\", \"secrets\": [{\"env\": \"KEY\"},\n\
                {\"value\": \"open-sesame\"}]}]}";
    let findings = check_with(text, &|_| None, false);
    let seen: Vec<_> = findings.iter().map(|finding| (finding.line, finding.severity, finding.code)).collect();
    let expected = [
        (3, Severity::Note, "env-unset"),
        (4, Severity::Warning, "literal-secret"),
        (4, Severity::Warning, "secret-short"),
    ];
    assert_eq!(seen, expected, "{findings:#?}");
}

/// A filter without any config is told what the parser would say.
#[test]
fn missing_filter_config_is_reported_as_by_the_parser() {
    let good = production();
    let begin = good.find("                        configuration:").unwrap();
    let end = begin + good[begin..].find("                  - name: envoy.filters.http.router").unwrap();
    let findings = found(&format!("{}{}", &good[..begin], &good[end..]));
    let is_said =
        |finding: &Finding| finding.message.starts_with("is empty; expected JSON or a google.protobuf.Struct");
    assert!(findings.iter().any(|finding| finding.code == "config" && is_said(finding)), "{findings:#?}");
}

/// A config written as JSON inside a string has the lines of the file.
#[test]
fn json_string_config_errors_have_file_line_numbers() {
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

/// A variable that only Envoy will have is a note and an error when asked.
#[test]
fn unset_variable_is_a_note_or_an_error_when_asked() {
    for (is_strict, severity) in [(false, Severity::Note), (true, Severity::Error)] {
        let findings = check_with(&production(), &|_| None, is_strict);
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
    fixture("production.yaml")
}

#[cfg(test)]
fn fleet() -> String {
    read("fleet.diff").iter().fold(production(), |good, change| change.plant(&good))
}

#[cfg(test)]
fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

#[cfg(test)]
fn found(text: &str) -> Vec<Finding> {
    check_with(
        text,
        &|name| ENVIRONMENT.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
        true,
    )
}

/// On the first of June 2026.
#[cfg(test)]
fn check_with(text: &str, host: &dyn Fn(&str) -> Option<String>, is_strict_env: bool) -> Vec<Finding> {
    check(text, &Circumstances { host, is_strict_env, now: WallTime::parse("2026-06-01T00:00:00Z").unwrap() })
}

/// A file of that name among those of this build's tests.
#[cfg(test)]
fn written(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ENVIRONMENT: [(&str, &str); 11] = [
    ("ETCD_PASSWORD", "short"),
    ("BILLING_WEBHOOK_SECRET", SECRET),
    ("AUDIT_WEBHOOK_SECRET", SECRET),
    ("GATEPOST_ADMIN_TOKEN", SECRET),
    ("APPLICATION_PROOF", SECRET),
    ("SHORT_SECRET", "sixteen-bytes-xx"),
    ("SHORT_TOKEN", "a-token-of-thirty-one-bytes-xxx"),
    ("PARTNER_SECRET", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
    ("PARTNER_SECRET_OF_SHOPS", "whsec_32LettersAfterwardsAsStripeHas"),
    // The public key of RFC 8032, section 7.1, test 1.
    ("PARTNER_PUBLIC_KEY", "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
    ("SHORT_WHSEC", "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="),
];

/// One thing that is wrong, as `fixtures/faults.diff` writes it: lines with '-' go, lines with '+' come, where they
/// first fit; `@@` stands between changes, and "# here" on the line where the fault is to be found.
#[derive(Debug)]
struct Fault {
    severity: String,
    code: String,
    changes: Vec<(String, String)>,
}

#[cfg(test)]
impl Fault {
    fn read(text: &str) -> Self {
        let (head, changes) = text.split_once('\n').unwrap();
        let (severity, code) = head.split_once(' ').unwrap();
        let side = |change: &str, mark| -> String {
            let lines = change.lines().filter(|line| line.starts_with([mark, ' ']));
            lines.map(|line| format!("{}\n", &line[1..])).collect()
        };
        let changes = changes.split("@@\n").map(|change| (side(change, '-'), side(change, '+'))).collect();
        Self { severity: severity.to_owned(), code: code.to_owned(), changes }
    }

    fn plant(&self, good: &str) -> String {
        // Behind a line feed, so that a change begins where a line does.
        let mut planted = format!("\n{good}");
        for (old, new) in &self.changes {
            let (old, new) = (format!("\n{old}"), format!("\n{new}"));
            assert!(planted.contains(&old), "{}: the config has no {old}", self.code);
            planted = planted.replacen(&old, &new, 1);
        }
        planted.remove(0);
        planted
    }
}

#[cfg(test)]
fn read(name: &str) -> Vec<Fault> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let text = fs::read_to_string(path).unwrap();
    text.split("\n# ").skip(1).map(Fault::read).collect()
}
