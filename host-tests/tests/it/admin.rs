//! What operators see and change while it runs.

use host_tests::{Answer, Process, Reply, Request, Upstream};
use serde_json::{Value, json};

use crate::support::{
    BODY, accept, advance, answer, answered, attempts, body, config, endpoint, event, gateway, letters, millis,
    seconds, start, wait, with,
};

fn administered(config: Value) -> Value {
    let tokens = json!([{"value": "may-look"}, {"value": "may-change", "role": "operate"}]);
    with(config, json!({"admin": {"tokens": tokens}}))
}

fn request(method: &str, path: &str, token: &str) -> Request {
    Request::new(method, &format!("/gatepost/{path}")).header("authorization", format!("Bearer {token}"))
}

fn operate(process: &mut Process, worker: usize, method: &str, path: &str, command: &Value) -> Answer {
    let request = request(method, path, "may-change");
    let request = if command.is_null() { request } else { request.body(command.to_string()) };
    answer(process, worker, request)
}

fn done(process: &mut Process, worker: usize, method: &str, path: &str, command: &Value) -> Value {
    let answer = operate(process, worker, method, path, command);
    assert_eq!(answer.status(), 200, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
    body(&answer)
}

fn status(process: &mut Process) -> Value {
    done(process, 0, "GET", "status", &Value::Null)
}

/// Delivers what comes next to 503s until it is a dead letter.
fn with_letters(count: usize) -> Process {
    let config = administered(config([with(
        endpoint("billing"),
        json!({"retry": {"delays": ["0s"]}, "breaker": {"failures": 100}}),
    )]));
    let mut process =
        gateway(&config).cluster("billing", Upstream::always(Reply::status(503))).start().expect("it starts");
    (0..count).for_each(|number| drop(accept(&mut process, number % 2, event("paid"))));
    advance(&mut process, seconds(1));
    assert_eq!(letters(&process, BODY), count);
    process
}

#[test]
fn without_the_section_there_is_no_admin_surface_at_all() {
    let mut process = start(&config([endpoint("billing")]));
    let passing = process.request(0, request("GET", "status", "may-change")).expect("it is taken");
    assert!(process.forwarded(passing).is_some());
}

#[test]
fn whoever_has_no_token_or_not_the_right_one_learns_nothing_and_changes_nothing() {
    let mut process = start(&administered(config([endpoint("billing")])));
    advance(&mut process, seconds(1));
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
    }
    assert_eq!(status(&mut process)["state"], "enabled");
    assert_eq!(answer(&mut process, 0, request("GET", "status", "may-look")).status(), 200);
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    let mut process = start(&administered(config([endpoint("billing")])));
    advance(&mut process, seconds(1));
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
        ("POST", "dead-letters/x/redeliver", "", 404, "no such dead letter"),
    ];
    for (method, path, command, status, says) in cases {
        let refused = answer(&mut process, 1, request(method, path, "may-change").body(command));
        let text = String::from_utf8_lossy(&refused.body).into_owned();
        assert_eq!(refused.status(), status, "{method} {path}: {text}");
        assert!(text.contains(says), "{text}");
    }
    let large = request("PUT", "state", "may-change").body("x".repeat(20_000));
    assert_eq!(answer(&mut process, 0, large).status(), 413);
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
fn paused_it_accepts_and_holds_and_enabled_again_it_goes_on() {
    let mut process = start(&administered(config([endpoint("billing")])));
    advance(&mut process, seconds(1));
    let paused = done(&mut process, 0, "PUT", "state", &json!({"state": "paused", "reason": "a change"}));
    assert_eq!(
        (&paused["state"], &paused["configured"], &paused["reason"]),
        (&json!("paused"), &json!("enabled"), &json!("a change"))
    );
    advance(&mut process, millis(250));
    for worker in [0, 1] {
        let answer = answer(&mut process, worker, event("paid"));
        assert_eq!(body(&answer)["deliveries"][0]["status"], "held");
    }
    advance(&mut process, seconds(60));
    assert!(process.calls("billing").is_empty());
    assert_eq!(status(&mut process)["pending"], 2);
    done(&mut process, 1, "PUT", "state", &json!({"state": "enabled"}));
    advance(&mut process, millis(1_100));
    assert_eq!(attempts(&process, "billing").len(), 2);
}

#[test]
fn disabled_it_discards_new_events_and_holds_what_is_pending() {
    let failing = Upstream::always(Reply::status(503));
    let config = administered(config([with(endpoint("billing"), json!({"retry": {"delays": ["0s", "2s", "2s"]}}))]));
    let mut process = gateway(&config).cluster("billing", failing).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, millis(500));
    done(&mut process, 1, "PUT", "state", &json!({"state": "disabled"}));
    advance(&mut process, seconds(30));
    assert_eq!(body(&answer(&mut process, 0, event("paid")))["status"], "disabled");
    assert_eq!(attempts(&process, "billing").len(), 1, "the second attempt was due");
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    done(&mut process, 0, "DELETE", "overrides", &Value::Null);
    advance(&mut process, millis(1_100));
    assert_eq!(attempts(&process, "billing").len(), 2);
    assert_eq!(status(&mut process)["pending"], 0);
}

#[test]
fn an_override_ends_when_the_config_says_something_else() {
    let on = administered(config([endpoint("billing")]));
    let off = with(on.clone(), json!({"enabled": false}));
    let mut process = start(&off);
    advance(&mut process, seconds(1));
    assert_eq!(status(&mut process)["state"], "disabled");
    done(&mut process, 0, "PUT", "state", &json!({"state": "enabled"}));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    assert_eq!(attempts(&process, "billing").len(), 1);
    done(&mut process, 0, "PUT", "state", &json!({"state": "paused"}));
    process.update_config(on.to_string()).expect("it is taken");
    advance(&mut process, seconds(2));
    let status = status(&mut process);
    assert_eq!((&status["state"], &status["configured"]), (&json!("enabled"), &Value::Null));
}

#[test]
fn an_endpoint_is_disabled_and_enabled_again_while_the_other_one_goes_on() {
    let mut process = start(&administered(config([endpoint("billing"), endpoint("audit")])));
    advance(&mut process, seconds(1));
    let status = done(&mut process, 0, "PATCH", "endpoints/billing", &json!({"disabled": true}));
    assert_eq!(
        (&status["endpoints"][0]["disabled_by"], &status["endpoints"][1]["disabled"]),
        (&json!("operator"), &json!(false))
    );
    accept(&mut process, 1, event("paid"));
    advance(&mut process, seconds(30));
    assert_eq!((process.calls("billing").len(), process.calls("audit").len()), (0, 1));
    done(&mut process, 1, "PATCH", "endpoints/billing", &json!({"disabled": false}));
    advance(&mut process, millis(1_100));
    assert_eq!(process.calls("billing").len(), 1);
}

#[test]
fn an_operator_enables_an_endpoint_that_answered_410_until_it_does_so_again() {
    let gone = Upstream::replies([Reply::status(410), Reply::status(200), Reply::status(410)]);
    let mut process =
        gateway(&administered(config([endpoint("billing")]))).cluster("billing", gone).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    assert_eq!(status(&mut process)["endpoints"][0]["disabled_by"], "gone");
    done(&mut process, 0, "PATCH", "endpoints/billing", &json!({"disabled": false}));
    for _ in 0..2 {
        accept(&mut process, 0, event("paid"));
        advance(&mut process, seconds(1));
    }
    assert_eq!(process.calls("billing").len(), 3);
    assert_eq!(status(&mut process)["endpoints"][0]["disabled_by"], "gone");
}

#[test]
fn an_operator_opens_a_breaker_and_closes_it() {
    let mut process = start(&administered(config([endpoint("billing")])));
    advance(&mut process, seconds(1));
    let status = done(&mut process, 0, "POST", "endpoints/billing/breaker", &json!({"state": "open"}));
    assert_eq!(status["endpoints"][0]["breaker"], json!({"state": "open", "seconds_left": 60}));
    accept(&mut process, 1, event("paid"));
    advance(&mut process, seconds(50));
    assert!(process.calls("billing").is_empty());
    done(&mut process, 1, "POST", "endpoints/billing/breaker", &json!({"state": "closed"}));
    advance(&mut process, millis(1_100));
    assert_eq!(process.calls("billing").len(), 1);
}

#[test]
fn dead_letters_are_listed_without_their_bodies() {
    let mut process = with_letters(3);
    let listed = done(&mut process, 0, "GET", "dead-letters?endpoint=billing&limit=2", &Value::Null);
    assert_eq!((listed["total"].as_u64(), listed["dead_letters"].as_array().map(Vec::len)), (Some(3), Some(2)));
    let first = &listed["dead_letters"][0];
    let id = first["id"].as_str().expect("an id");
    assert_eq!(first["delivery"], format!("{id}.billing"));
    assert_eq!(
        (&first["reason"], &first["attempts"], &first["response_status"]),
        (&json!("failed"), &json!(1), &json!(503))
    );
    assert!(!listed.to_string().contains("amount"), "{listed}");
}

#[test]
fn a_hundred_dead_letters_are_redelivered_by_one_call_with_their_first_ids() {
    let mut process = with_letters(100);
    let first: Vec<String> = attempts(&process, "billing").into_iter().map(|attempt| attempt.id).collect();
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    let answer = done(&mut process, 0, "POST", "dead-letters/redeliver", &Value::Null);
    assert_eq!((&answer["redelivered"], &answer["skipped"]), (&json!(100), &json!(0)));
    // The breaker is open: a hundred attempts have failed.
    wait(&mut process, seconds(65), |process| process.calls("billing").len() == 200);
    advance(&mut process, seconds(5));
    let mut again: Vec<String> =
        attempts(&process, "billing").into_iter().skip(100).map(|attempt| attempt.id).collect();
    let mut first = first;
    first.sort();
    again.sort();
    assert_eq!(again, first);
    assert_eq!((letters(&process, BODY), status(&mut process)["pending"].as_u64()), (0, Some(0)));
}

#[test]
fn one_dead_letter_is_redelivered_or_thrown_away_and_the_others_stay() {
    let mut process = with_letters(3);
    let listed = done(&mut process, 0, "GET", "dead-letters", &Value::Null);
    let delivery = |at: usize| listed["dead_letters"][at]["delivery"].as_str().expect("a delivery").to_owned();
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    done(&mut process, 1, "POST", &format!("dead-letters/{}/redeliver", delivery(1)), &Value::Null);
    done(&mut process, 0, "DELETE", &format!("dead-letters/{}", delivery(0)), &Value::Null);
    advance(&mut process, seconds(3));
    assert_eq!(process.calls("billing").len(), 4);
    let left = done(&mut process, 0, "GET", "dead-letters", &Value::Null);
    assert_eq!((&left["total"], &left["dead_letters"][0]["delivery"]), (&json!(1), &json!(delivery(2))));
}

#[test]
fn a_redelivery_that_fails_is_a_dead_letter_again() {
    let mut process = with_letters(1);
    done(&mut process, 0, "POST", "dead-letters/redeliver", &Value::Null);
    advance(&mut process, seconds(5));
    assert_eq!(process.calls("billing").len(), 2);
    assert_eq!(letters(&process, BODY), 1);
}

#[test]
fn a_drain_refuses_new_events_and_is_answered_when_nothing_is_pending() {
    let slow = Upstream::always(Reply::status(200).after(seconds(3)));
    let mut process =
        gateway(&administered(config([endpoint("billing")]))).cluster("billing", slow).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    let drain = process.request(1, request("POST", "drain", "may-change")).expect("it is taken");
    advance(&mut process, millis(300));
    for worker in [0, 1] {
        let refused = answer(&mut process, worker, event("paid"));
        assert_eq!((refused.status(), refused.header("retry-after")), (503, "5"));
    }
    assert!(process.is_open(drain));
    advance(&mut process, seconds(4));
    assert_eq!(body(&answered(&process, drain))["status"], "drained");
    assert_eq!(process.calls("billing").len(), 1);
    done(&mut process, 0, "DELETE", "overrides", &Value::Null);
    accept(&mut process, 0, event("paid"));
}

#[test]
fn a_drain_that_cannot_end_says_how_much_is_left() {
    let disabled = with(endpoint("billing"), json!({"disabled": true}));
    let mut process = start(&administered(config([disabled])));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    let drain = process.request(0, request("POST", "drain", "may-change")).expect("it is taken");
    advance(&mut process, seconds(62));
    let left = answered(&process, drain);
    assert_eq!(left.status(), 503);
    assert!(body(&left)["detail"].as_str().expect("a detail").starts_with("1 deliveries are still pending"));
}

#[test]
fn each_change_is_one_line_of_the_log_and_no_token_is_in_it() {
    let mut process = start(&administered(config([endpoint("billing")])));
    advance(&mut process, seconds(1));
    done(&mut process, 0, "PUT", "state", &json!({"state": "paused", "reason": "line one\nline two"}));
    done(&mut process, 1, "PATCH", "endpoints/billing", &json!({"disabled": true}));
    advance(&mut process, seconds(2));
    let lines: Vec<&str> =
        process.log().iter().map(|line| line.message.as_str()).filter(|line| line.starts_with("admin: ")).collect();
    assert_eq!(lines, ["admin: state=paused reason=\"line oneline two\"", "admin: endpoint=billing disabled=true"]);
    assert!(process.log().iter().all(|line| !line.message.contains("may-change")));
}
