//! `gatepost send`, to the example in a real Envoy, and to nothing.

use std::process::{Command, Output};

use gatepost_cli::receive::verify::ReceiverCheck;
use gatepost_cli::receive::{self, Setup};
use gatepost_core::secret::Secret;
use gatepost_kit::envoy::{Envoy, Launch};
use gatepost_kit::example::{Example, LISTENER, USER};
use gatepost_kit::receiver::{Options, Receiver};
use serde_json::{Value, json};

use crate::port::unanswered;

const SHARED: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// RFC 8032, section 7.1, test 1.
const PRIVATE: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn send(gateway: &str, arguments: &[&str]) -> Output {
    run(&[&["--gateway", gateway], arguments].concat())
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("send").args(arguments).env("TOKEN", "a-token").env("SHARED", SHARED).env("PRIVATE", PRIVATE);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn events_are_sent_through_a_real_envoy_and_answers_are_shown() {
    let mut example = Example::load().unwrap();
    let secrets: Vec<(&str, String)> = [("billing", "BILLING_WEBHOOK_SECRET"), ("audit", "AUDIT_WEBHOOK_SECRET")]
        .map(|(endpoint, variable)| (endpoint, example.variable(variable).unwrap().to_owned()))
        .into();
    let endpoints: Vec<(&str, &str)> = secrets.iter().map(|(name, secret)| (*name, secret.as_str())).collect();
    let receiver = Receiver::start(&endpoints, &Options::default()).unwrap();
    example.use_free_ports().unwrap();
    for (endpoint, _) in &endpoints {
        example.set_cluster(endpoint, receiver.address()).unwrap();
    }
    let launch = Launch { config: example.config().clone(), workers: 2, env: vec![], arguments: vec![] };
    let envoy = Envoy::start(&launch).unwrap();
    let gateway = format!("http://{}/events/", envoy.listener(LISTENER).unwrap());

    let sent = send(&gateway, &["payment_verified", "--user", USER, "--data", r#"{"amount": 42}"#]);
    let shown = text(&sent.stdout);
    assert_eq!(sent.status.code(), Some(0), "{shown}{}", text(&sent.stderr));
    assert!(shown.starts_with("202 accepted  "), "{shown}");
    assert!(shown.contains("\n  billing              pending\n"), "{shown}");

    let keyed = ["order", "--user", USER, "--idempotency-key", "k", "--count", "3", "--json"];
    let sent = send(&gateway, &keyed);
    let shown = text(&sent.stdout);
    let answers: Vec<serde_json::Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let replayed: Vec<bool> = answers.iter().map(|answer| answer["replayed"].as_bool().unwrap()).collect();
    assert_eq!(replayed, [false, true, true], "{shown}");
    assert!(answers.iter().all(|answer| answer["id"] == answers[0]["id"] && answer["status"] == 202), "{shown}");

    let sent = send(&gateway, &["payment_verified", "--user", "shop:not-the-password"]);
    let shown = text(&sent.stdout) + &text(&sent.stderr);
    assert_eq!(sent.status.code(), Some(1), "{shown}");
    assert!(shown.starts_with("401 ") && shown.contains("--user, --token-env or --header"), "{shown}");
    assert!(!shown.contains("not-the-password"), "{shown}");

    let elsewhere = gateway.replace("/events/", "/elsewhere");
    let sent = send(&elsewhere, &["payment_verified", "--user", USER]);
    assert_eq!(sent.status.code(), Some(1), "{}", text(&sent.stdout));
}

/// An inbound rule is tried in each scheme and sees the same message once.
#[test]
fn inbound_rule_is_tried_in_each_scheme_and_deduplicates() {
    let without = vec![ReceiverCheck::Signature, ReceiverCheck::Timestamp, ReceiverCheck::Replay];
    let setup = Setup { without, ..Setup::new(Secret::new(b"none".to_vec()).unwrap()) };
    let application = receive::Receiver::start(setup, |_| {}).unwrap();
    let (_envoy, base) = verifying(&application);
    for scheme in ["timestamped", "standard", "github", "stripe", "slack", "asymmetric"] {
        let url = format!("{base}/{scheme}");
        let asymmetric = ["--scheme", "standard", "--secret-env", "PRIVATE"];
        let shared = ["--scheme", scheme, "--secret-env", "SHARED"];
        let signed = if scheme == "asymmetric" { asymmetric } else { shared };
        let body =
            format!(r#"{{"object": "event", "type": "event_callback", "id": "{scheme}", "event_id": "{scheme}"}}"#);
        let arguments = [&["push", "--json", "--url", &url, "--data", &body][..], &signed].concat();
        let before = application.received();
        let first = answer(&arguments);
        assert_eq!((&first["status"], application.received() - before), (&json!(200), 1), "{scheme}: {first}");
        let (id, at) = (first["sent"]["id"].as_str().unwrap(), first["sent"]["timestamp_ms"].to_string());
        let again = answer(&[&arguments[..], &["--id", id, "--timestamp", &at]].concat());
        assert_eq!(again["answer"]["status"], "duplicate", "{scheme}: {again}");
        let old = [&arguments[..], &["--timestamp", "2023-11-14T22:13:20Z"]].concat();
        let status = if scheme == "github" { 200 } else { 401 };
        assert_eq!(answer(&old)["status"], status, "{scheme}: only github signs no time");
        let unsigned = answer(&["--json", "--url", &url]);
        assert!(unsigned["answer"]["detail"].as_str().unwrap().starts_with("the request is not signed"), "{unsigned}");
    }
}

/// The example, with inbound rules for each scheme; gives back what their paths begin with.
#[cfg(test)]
fn verifying(application: &receive::Receiver) -> (Envoy, String) {
    let mut example = Example::load().unwrap();
    example.use_free_ports().unwrap();
    example.set_cluster("audit", &application.address().to_string()).unwrap();
    let rule = |name: &str, scheme: &str, secret: &str| {
        let (path, secrets) = (format!("/webhooks/{name}"), json!([{"value": secret}]));
        json!({"name": name, "match": {"path": path}, "secrets": secrets, "signature": {"scheme": scheme}})
    };
    let mut rules: Vec<Value> =
        ["timestamped", "standard", "github", "stripe", "slack"].map(|scheme| rule(scheme, scheme, SHARED)).into();
    rules.push(rule("asymmetric", "standard", PUBLIC));
    example.plugin().unwrap()["inbound"] = json!(rules);
    let on = json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}});
    let route = json!({
        "match": {"path_separated_prefix": "/webhooks"}, "route": {"cluster": "audit"},
        "typed_per_filter_config": {"gatepost": on},
    });
    let routes =
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes";
    example.config_mut().pointer_mut(routes).unwrap().as_array_mut().unwrap().insert(0, route);
    let launch = Launch { config: example.config().clone(), workers: 2, env: vec![], arguments: vec![] };
    let envoy = Envoy::start(&launch).unwrap();
    let base = format!("http://{}/webhooks", envoy.listener(LISTENER).unwrap());
    (envoy, base)
}

#[cfg(test)]
fn answer(arguments: &[&str]) -> Value {
    let sent = run(arguments);
    serde_json::from_slice(&sent.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&sent.stderr)))
}

#[test]
fn where_nothing_listens_it_says_so_and_exits_1() {
    let (_held, free) = unanswered();
    let sent = send(&format!("http://{free}/events"), &["a", "--count", "5"]);
    let said = text(&sent.stderr);
    assert_eq!(sent.status.code(), Some(1), "{said}");
    assert!(said.starts_with(&format!("error: {free}: nothing listens there: does Envoy run")), "{said}");
    let sent = send(&format!("http://{free}/events"), &["a", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert!(answer["error"].as_str().unwrap().contains("nothing listens there"), "{answer}");
}

#[test]
fn what_cannot_be_sent_exits_2_and_no_credential_is_shown() {
    for (gateway, arguments, says) in [
        ("http://a/events", vec!["a", "--user", "hunter2"], "--user: expected user:password"),
        ("http://a/events", vec!["a", "--header", "hunter2"], "--header: expected `name: value`"),
        ("http://a/events", vec!["a", "--header", "x: hunter2\n1"], "--header: the value holds what no header may"),
        (
            "http://a/events",
            vec!["a", "--token-env", "hunter2"],
            "--token-env: the environment has no variable of that name",
        ),
        ("http://u:hunter2@a/events", vec!["a"], "--gateway has a user in it"),
        ("ftp://a/events", vec!["a"], "expected a URL such as"),
        ("http://a/events", vec!["a", "--data", "@/nonexistent/file"], "/nonexistent/file: No such file"),
        ("http://a/events", vec![""], "the event type is empty"),
        ("http://a/events", vec!["a", "--count", "0"], "--count"),
        ("http://a/events", vec!["a", "--scheme", "stripe"], "--secret-env"),
        ("http://a/events", vec!["a", "--secret-env", "SHARED"], "--scheme"),
        ("http://a/events", vec!["a", "--scheme", "hunter", "--secret-env", "SHARED"], "possible values: timestamped"),
        (
            "http://a/events",
            vec!["a", "--scheme", "slack", "--secret-env", "hunter-2"],
            "takes the name of an environment",
        ),
        ("http://a/events", vec!["a", "--scheme", "standard", "--secret-env", "TOKEN"], "secret 1 is no key of scheme"),
        (
            "http://a/events",
            vec!["a b", "--scheme", "slack", "--secret-env", "TOKEN"],
            "the event type: expected letters",
        ),
        ("http://a/events", vec!["a", "--id", "1", "--scheme", "slack", "--secret-env", "TOKEN"], "expected a UUID"),
        ("http://a/events", vec!["a", "--url", "http://a"], "cannot be used with"),
    ] {
        let sent = send(gateway, &arguments);
        let said = text(&sent.stderr);
        assert_eq!(sent.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says) && !said.contains("hunter2"), "{arguments:?}: {said}");
    }
}
