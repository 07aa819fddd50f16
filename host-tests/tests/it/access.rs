//! Who may ask the admin surface for what, and what it says to those who may not, or ask wrongly.

use host_tests::Request;
use serde_json::json;

use crate::operator::{administered, done, request, status};
use crate::support::{advance, answer, body, config, endpoint, seconds, start, with};

#[test]
fn without_the_section_there_is_no_admin_surface_at_all() {
    let mut process = start(&config([endpoint("billing")]));
    let passing = process.request(0, request("GET", "status", "may-change")).expect("it is taken");
    assert!(process.forwarded(passing).is_some());
}

/// Whoever has no token or not the right one learns nothing and changes nothing.
#[test]
fn missing_or_wrong_token_reveals_and_changes_nothing() {
    let mut process = start(&administered(config([endpoint("billing")])));
    advance(&mut process, seconds(1));
    let named = status(&mut process);
    let cases = [
        (Request::new("GET", "/gatepost/status"), 401),
        (request("GET", "status", "may-chang"), 401),
        (request("GET", "status", "may-changes"), 401),
        (request("GET", "status", ""), 401),
        (Request::new("GET", "/gatepost/status").header("authorization", "Basic may-change"), 401),
        (request("GET", "nothing", "wrong"), 401),
        (request("PUT", "state", "may-look").body(r#"{"state": "paused"}"#), 403),
        (request("POST", "drain", "may-look"), 403),
        (request("DELETE", "overrides", "may-look"), 403),
    ];
    for (request, status) in cases {
        let shown = format!("{request:?}");
        let refused = answer(&mut process, 0, request);
        assert_eq!(refused.status(), status, "{shown}");
        assert_eq!(refused.header("content-type"), "application/problem+json");
        let refused = body(&refused);
        assert_eq!(
            (&refused["instance"], &refused["started_at"]),
            (&named["instance"], &named["started_at"]),
            "{shown}"
        );
    }
    assert_eq!(status(&mut process)["state"], "enabled");
    assert_eq!(answer(&mut process, 0, request("GET", "status", "may-look")).status(), 200);
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let mut process = start(&administered(config([endpoint("billing")])));
    advance(&mut process, seconds(1));
    let instance = status(&mut process)["instance"].clone();
    let cases = [
        ("POST", "status", "", 405, "expected GET"),
        ("GET", "nothing", "", 404, "nothing at this path"),
        ("PATCH", "endpoints/nobody", r#"{"disabled": true}"#, 404, "no such endpoint"),
        ("PUT", "state", "{", 400, "body: is not JSON"),
        ("PUT", "state", "", 400, "body: is not JSON"),
        (
            "PUT",
            "state",
            r#"{"state": "off"}"#,
            400,
            r#"state: is \"off\", which is not known; expected enabled or paused or disabled"#,
        ),
        ("PUT", "state", r#"{"stat": "paused"}"#, 400, "stat: is not a known key (did you mean state?)"),
        ("PATCH", "endpoints/billing", r#"{"disabled": "yes"}"#, 400, "disabled: is a string; expected true or false"),
        ("GET", "dead-letters?limit=many", "", 400, "limit: expected a number"),
        ("GET", "dead-letters?endpoint=nobody", "", 404, "no such endpoint"),
        (
            "GET",
            "dead-letters?since=yesterday",
            "",
            400,
            "since: expected a time such as 2026-11-23T14:00:00Z, or Unix",
        ),
        ("POST", "dead-letters/redeliver?sinse=0", "", 400, "query: expected only endpoint, since"),
        ("POST", "dead-letters/redeliver?endpoint=nobody", "", 404, "no such endpoint"),
        ("POST", "drain?force", "", 400, "query: expected none at this path"),
        ("POST", "dead-letters/x/redeliver", "", 404, "no such dead letter"),
        ("POST", "rollout/hold", "", 409, "the config has no phases"),
        ("GET", "events/42", "", 400, "id: expected that of an event, a UUID"),
        ("GET", "events/7f0c9d7e-3b1f-4c58-9d3a-0d5c1f6f2b11", "", 404, "no event of this id is pending"),
        (
            "GET",
            "deliveries?status=lost",
            "",
            400,
            "status: expected pending or held or delivered or failed or expired",
        ),
        ("GET", "deliveries?since=", "", 400, "since: expected a time"),
        ("GET", "deliveries?since=99999999999999999999999", "", 400, "since: expected a time"),
        ("GET", "deliveries?limit=0", "", 400, "limit: expected a number from 1 to 1000"),
        ("GET", "deliveries?limit=1001", "", 400, "limit: expected a number from 1 to 1000"),
        ("GET", "deliveries?event=a***", "", 400, "event: expected an event type, or a pattern"),
        ("GET", "deliveries?endpoint=nobody", "", 404, "no such endpoint"),
    ];
    for (method, path, command, status, says) in cases {
        let refused = answer(&mut process, 1, request(method, path, "may-change").body(command));
        let text = String::from_utf8_lossy(&refused.body).into_owned();
        assert_eq!(refused.status(), status, "{method} {path}: {text}");
        assert!(text.contains(says), "{text}");
        assert_eq!(body(&refused)["instance"], instance, "{text}");
    }
    let large = answer(&mut process, 0, request("PUT", "state", "may-change").body("x".repeat(20_000)));
    assert_eq!((large.status(), &body(&large)["instance"]), (413, &instance));
}

#[test]
fn every_answer_names_the_process() {
    let mut process = start(&administered(config([endpoint("billing")])));
    advance(&mut process, seconds(1));
    let answer = answer(&mut process, 1, Request::new("GET", "/gatepost/health"));
    let health = body(&answer);
    assert_eq!((answer.status(), &health["status"]), (200, &json!("ok")));
    let status = status(&mut process);
    assert_eq!((&status["instance"], &status["started_at"]), (&health["instance"], &health["started_at"]));
    assert_eq!(health["instance"].as_str().map(str::len), Some(36));
}

#[test]
fn each_change_is_one_line_of_the_log_and_no_token_is_in_it() {
    let mut process = start(&administered(config([endpoint("billing")])));
    advance(&mut process, seconds(1));
    done(&mut process, 0, "PUT", "state", &json!({"state": "paused", "reason": "line one\nline two"}));
    done(&mut process, 1, "PATCH", "endpoints/billing", &json!({"disabled": true}));
    advance(&mut process, seconds(2));
    let lines: Vec<&str> = process
        .log()
        .iter()
        .map(|line| line.message.as_str())
        .filter(|line| line.starts_with("event=admin "))
        .collect();
    // The beginning of the token's SHA-256: `printf may-change | sha256sum`.
    let expected = [
        "event=admin state=paused reason=\"line oneline two\" token=84db6e7d",
        "event=admin endpoint=billing disabled=true token=84db6e7d",
    ];
    assert_eq!(lines, expected);
    assert!(process.log().iter().all(|line| !line.message.contains("may-change")));
}

#[test]
fn a_wrong_token_costs_the_same_work_whatever_its_prefix() {
    let token = "0123456789abcdef0123456789abcdef";
    let tokens = json!([{"value": "may-look"}, {"value": token, "role": "operate"}]);
    let mut process = start(&with(config([endpoint("billing")]), json!({"admin": {"tokens": tokens}})));
    advance(&mut process, seconds(1));
    let mut work = |token: &str| {
        let before = process.fuel();
        assert_eq!(answer(&mut process, 0, request("GET", "status", token)).status(), 401);
        let work = process.fuel() - before;
        // A right one in between: else the wrong ones in a row would have to wait.
        assert_eq!(answer(&mut process, 0, request("GET", "status", "may-look")).status(), 200);
        work
    };
    // The first requests grow the memory, and have a line in the log.
    for _ in 0..16 {
        work(&"z".repeat(token.len()));
    }
    let costs: Vec<u64> = (0..token.len())
        .map(|right| format!("{}{}", &token[..right], "z".repeat(token.len() - right)))
        .map(|wrong| work(&wrong))
        .collect();
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
}
