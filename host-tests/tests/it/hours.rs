//! What the admin surface tells of each hour of a week.

use host_tests::{Process, Reply, Request, Thread, Upstream};
use serde_json::{Value, json};

use crate::support::{accept, advance, answer, body, config, endpoint, event, gateway, seconds, with};

fn administered(config: Value) -> Value {
    with(config, json!({"admin": {"tokens": [{"value": "may-look"}]}}))
}

fn ask(process: &mut Process, query: &str) -> Value {
    let request = Request::new("GET", &format!("/gatepost/hours{query}")).header("authorization", "Bearer may-look");
    let answer = answer(process, 1, request);
    with(body(&answer), json!({"status_code": answer.status()}))
}

fn hours(process: &mut Process, query: &str) -> Vec<Value> {
    ask(process, query)["hours"].as_array().cloned().unwrap_or_default()
}

#[test]
fn each_hour_of_an_endpoint_is_told_for_all_workers() {
    let config = administered(config([with(endpoint("billing"), json!({"breaker": {"failures": 2}}))]));
    let replies = [Reply::status(503), Reply::status(503), Reply::status(401)];
    let mut process = gateway(&config).cluster("billing", Upstream::replies(replies)).start().expect("it starts");
    // Two failures open the breaker; a minute later the probe is answered 401, and the rest 200.
    for number in 0..4 {
        accept(&mut process, number % 2, event("paid"));
    }
    advance(&mut process, seconds(130));
    let listed = hours(&mut process, "?endpoint=billing");
    assert_eq!(listed.len(), 1, "{listed:#?}");
    let hour = &listed[0];
    assert_eq!((&hour["accepted"], &hour["delivered"], &hour["failed"]), (&json!(4), &json!(3), &json!(1)));
    assert_eq!((&hour["breaker_opens"], &hour["unauthorized"]), (&json!(1), &json!(1)));
    let attempts = &hour["attempts"];
    assert_eq!((&attempts["2xx"], &attempts["4xx"], &attempts["5xx"]), (&json!(3), &json!(1), &json!(2)));
    assert!(hour["p95_ms"].is_u64() && hour["hour"].as_str().is_some_and(|hour| hour.ends_with(":00:00.000Z")));
}

#[test]
fn a_week_of_hours_is_told_and_what_is_older_is_not() {
    let mut process = gateway(&administered(config([endpoint("billing")]))).workers(1).start().expect("it starts");
    for _ in 0..175 {
        accept(&mut process, 0, event("paid"));
        advance(&mut process, seconds(3600));
    }
    let one = |listed: &[Value]| listed.iter().all(|hour| hour["accepted"] == 1);
    let all = hours_of_the_only_worker(&mut process, "?endpoint=billing");
    // The one that has just begun has nothing in it yet.
    assert!(all.len() == 167 && one(&all), "{}", all.len());
    assert_eq!(hours_of_the_only_worker(&mut process, "?endpoint=billing&hours=25").len(), 24);
}

fn hours_of_the_only_worker(process: &mut Process, query: &str) -> Vec<Value> {
    let request = Request::new("GET", &format!("/gatepost/hours{query}")).header("authorization", "Bearer may-look");
    body(&answer(process, 0, request))["hours"].as_array().cloned().unwrap_or_default()
}

#[test]
fn an_hour_outlives_the_vms_that_counted_it() {
    let mut process = gateway(&administered(config([endpoint("billing")]))).start().expect("it starts");
    (0..6).for_each(|number| drop(accept(&mut process, number % 2, event("paid"))));
    advance(&mut process, seconds(3));
    let before = hours(&mut process, "?endpoint=billing");
    (0..2).for_each(|worker| process.kill_vm(Thread::Worker(worker)));
    advance(&mut process, seconds(3));
    assert_eq!(hours(&mut process, "?endpoint=billing"), before);
}

#[test]
fn what_is_wrong_with_the_question_is_said() {
    let mut process = gateway(&administered(config([endpoint("billing")]))).start().expect("it starts");
    advance(&mut process, seconds(2));
    for (query, status, detail) in [
        ("", 400, "endpoint: expected the name of an endpoint"),
        ("?endpoint=nobody", 404, "the config has no such endpoint"),
        ("?endpoint=billing&hours=169", 400, "hours: expected a number from 1 to 168"),
        ("?endpoint=billing&hours=none", 400, "hours: expected a number from 1 to 168"),
    ] {
        let answer = ask(&mut process, query);
        assert_eq!((&answer["status_code"], &answer["detail"]), (&json!(status), &json!(detail)), "{query}");
    }
}
