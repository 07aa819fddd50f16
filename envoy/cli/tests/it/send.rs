//! `gatepost send`, to the example in a real Envoy, and to nothing.

use std::net::TcpListener;
use std::process::{Command, Output};

use gatepost_cli::envoy::{Envoy, Launch};
use gatepost_cli::example::{Example, LISTENER, USER};
use gatepost_cli::receiver::{Options, Receiver};

fn send(gateway: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.args(["send", "--gateway", gateway]).args(arguments).env("TOKEN", "a-token").output().unwrap()
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

#[test]
fn where_nothing_listens_it_says_so_and_exits_1() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
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
        ("http://a/events", vec!["a", "--token-env", "hunter2"], "--token-env: the environment has no such variable"),
        ("http://u:hunter2@a/events", vec!["a"], "--gateway has a user in it"),
        ("ftp://a/events", vec!["a"], "expected a URL such as"),
        ("http://a/events", vec!["a", "--data", "@/nonexistent/file"], "/nonexistent/file: No such file"),
        ("http://a/events", vec![""], "the event type is empty"),
        ("http://a/events", vec!["a", "--count", "0"], "--count"),
    ] {
        let sent = send(gateway, &arguments);
        let said = text(&sent.stderr);
        assert_eq!(sent.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(says) && !said.contains("hunter2"), "{arguments:?}: {said}");
    }
}
