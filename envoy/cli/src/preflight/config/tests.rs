//! Configs, good and not, and what is said of them.

use gatepost_core::signature::Scheme;
use zeroize::Zeroizing;

use super::*;

const GOOD: &str = r#"
    routes: [{name: a, match: {path: "/events/{event}"}, event: "{event}"}]
    endpoints:
      - {name: other, cluster: other, url: "https://other.example/", secrets: [{env: SET_ELSEWHERE}]}
      - {name: billing, cluster: billing, url: "https://api.example.com/hook?a=1", secrets: [{env: BILLING}]}
    rollout: {phases: [{percent: 5, for: 24h}, {percent: 100}], guard: {}}
"#;

fn checked(text: &str) -> Vec<String> {
    checked_in(Scheme::Timestamped, text)
}

fn checked_in(scheme: Scheme, text: &str) -> Vec<String> {
    let endpoint = signing::endpoint(scheme, "X-Webhook-", &vec![Zeroizing::new("billing0".to_owned())]).unwrap();
    let url = Uri::from_static("https://API.example.com/hook?a=1");
    let expected = Expected { url: &url, endpoint: &endpoint, took: Some(Duration::from_millis(50)) };
    let env = |name: &str| (name == "BILLING").then(|| "billing0".to_owned());
    let checks = check_with(text, &expected, &env);
    checks.iter().map(|check| format!("{:?} {}: {}", check.verdict, check.name, check.seen)).collect()
}

#[test]
fn a_line_that_is_no_yaml_is_told_and_not_shown() {
    let told = checked("endpoints:\n  - secrets: [{value: do-not-show-me}\n    url: ]x\n").join("\n");
    assert!(told.starts_with("Fail config: neither YAML nor JSON: ") && !told.contains("do-not-show-me"), "{told}");
}

/// A good config passes also inside an Envoy config and as text.
#[test]
fn good_config_passes_bare_in_envoy_config_and_as_text() {
    let checks = checked(GOOD);
    assert!(checks.len() == 8 && checks.iter().all(|line| line.starts_with("Pass ")), "{checks:#?}");
    let plugin: Value = serde_saphyr::from_str(GOOD).unwrap();
    // Envoy's own endpoints are none of ours.
    let cluster = serde_json::json!({"load_assignment": {"cluster_name": "a", "endpoints": [{}]}});
    let strukt = serde_json::json!({"clusters": [cluster], "listeners": [{"configuration": {"value": plugin}}]});
    assert_eq!(checked(&strukt.to_string()), checks);
    let text = serde_json::json!({"http_filters": [{"configuration": {"value": plugin.to_string()}}]});
    assert_eq!(checked(&text.to_string()), checks);
}

#[test]
fn a_variable_may_stand_in_envoys_config() {
    let plugin: Value = serde_saphyr::from_str(&GOOD.replace("BILLING", "GIVEN")).unwrap();
    let given = serde_json::json!({"environment_variables": {"key_values": {"GIVEN": "billing0"}}});
    let whole = serde_json::json!({"config": {"vm_config": given, "configuration": {"value": plugin}}});
    assert!(checked(&whole.to_string()).contains(&"Pass config: secret: the one that was tried".to_owned()));
}

/// The scheme that was tried is to be the configs with its secrets.
#[test]
fn tried_scheme_and_secrets_must_match_the_config() {
    let with = |signature: &str| GOOD.replacen("name: billing,", &format!("name: billing, signature: {signature},"), 1);
    let slack = with("{scheme: slack}");
    assert!(checked(&slack).iter().any(|line| {
        line.starts_with("Fail config: headers: the gateway signs in scheme slack, and timestamped was tried")
    }));
    for config in [
        slack,
        with("[{scheme: timestamped}, {scheme: slack}]"),
        with("{scheme: slack, secrets: [{env: BILLING}]}").replace("[{env: BILLING}]}]", "[{value: other}]}]"),
    ] {
        let checks = checked_in(Scheme::Slack, &config);
        let good = ["Pass config: secret: the one that was tried", "Pass config: headers: "];
        assert!(good.iter().all(|good| checks.iter().any(|line| line.starts_with(good))), "{checks:#?}");
    }
    let standard = with("{scheme: standard}").replace("name: other,", "name: other, signature: {scheme: standard},");
    assert!(checked_in(Scheme::Standard, &standard).iter().all(|line| line.starts_with("Pass ")));
}

#[test]
fn what_is_not_as_it_was_tried_fails() {
    for (from, to, expected) in [
        (
            "/hook?a=1",
            "/hook",
            "Fail config: url: no endpoint has this url, only https://other.example/, https://api.example.com/hook",
        ),
        ("{env: BILLING}", "{value: another}", "Fail config: secret: not the one that was tried"),
        (
            "name: billing,",
            "name: billing, signature: {header_prefix: Acme-},",
            "Fail config: headers: the gateway has acme-id and its family, and x-webhook-id was tried",
        ),
        ("name: billing,", "name: billing, timeout: 60ms,", "Fail config: timeout: 60ms"),
        ("name: billing,", "nam: billing,", "Fail config: endpoints[1]"),
    ] {
        let checks = checked(&GOOD.replacen(from, to, 1));
        assert!(checks.iter().any(|line| line.starts_with(expected)), "{expected}: {checks:#?}");
    }
    assert!(checked("a: [")[0].starts_with("Fail config: neither YAML nor JSON"));
    assert!(checked("a: 1")[0].starts_with("Fail config: it holds no config of the filter"));
}

#[test]
fn what_works_but_is_not_careful_is_a_warning() {
    for (from, to, expected) in [
        ("{percent: 5, for: 24h}", "{percent: 50, for: 24h}", "Warn config: rollout: begins with 50 % of the events"),
        (", guard: {}", "", "Warn config: guard: none"),
        ("{env: BILLING}", "{value: billing0}", "Warn config: secret: the one that was tried, written into the file"),
        ("{env: BILLING}", "{env: SET_ELSEWHERE}", "Warn config: secret: $SET_ELSEWHERE is not set here"),
        (
            "[{env: BILLING}]",
            "[{value: new}, {env: BILLING}]",
            "Warn config: secret: the one that was tried is not the first",
        ),
        ("name: billing,", "name: billing, disabled: true,", "Warn config: enabled: the endpoint is disabled"),
        ("name: billing,", "name: billing, retry: {delays: [0s]},", "Warn config: timeout: 10s, 1 attempts"),
    ] {
        let checks = checked(&GOOD.replacen(from, to, 1));
        assert!(checks.iter().any(|line| line.starts_with(expected)), "{expected}: {checks:#?}");
    }
}
