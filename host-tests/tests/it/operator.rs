//! An operator of the simulated gateway: its tokens, what it asks, what it is answered.

use host_tests::{Answer, Process, Reply, Request, Upstream};
use serde_json::{Value, json};

use crate::support::{BODY, accept, advance, answer, body, config, endpoint, event, gateway, letters, seconds, with};

/// The same configuration with an admin surface; whoever has the token `may-look` may look, and so on.
pub fn administered(config: Value) -> Value {
    let tokens = json!([{"value": "may-look"}, {"value": "may-change", "role": "operate"}]);
    with(config, json!({"admin": {"tokens": tokens}}))
}

/// A request to the surface with this token.
pub fn request(method: &str, path: &str, token: &str) -> Request {
    Request::new(method, &format!("/gatepost/{path}")).header("authorization", format!("Bearer {token}"))
}

/// What is answered to an operator who asks this worker.
pub fn operate(process: &mut Process, worker: usize, method: &str, path: &str, command: &Value) -> Answer {
    let request = request(method, path, "may-change");
    let request = if command.is_null() { request } else { request.body(command.to_string()) };
    answer(process, worker, request)
}

/// The same, which must be a success, as JSON.
pub fn done(process: &mut Process, worker: usize, method: &str, path: &str, command: &Value) -> Value {
    let answer = operate(process, worker, method, path, command);
    assert_eq!(answer.status(), 200, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
    body(&answer)
}

/// What one may look at.
pub fn get(process: &mut Process, path: &str) -> Value {
    done(process, 0, "GET", path, &Value::Null)
}

/// How it stands.
pub fn status(process: &mut Process) -> Value {
    get(process, "status")
}

/// A process with so many dead letters: their receiver answers 503.
pub fn with_letters(count: usize) -> Process {
    let config = administered(config([with(
        endpoint("billing"),
        json!({"retry": {"delays": ["0s"]}, "breaker": {"failures": 100}}),
    )]));
    let config = with(config, json!({"limits": {"dead_letters": 5000}}));
    let mut process =
        gateway(&config).cluster("billing", Upstream::always(Reply::status(503))).start().expect("it starts");
    for number in 0..count {
        accept(&mut process, number % 2, event("paid"));
        if number % 100 == 99 {
            // The breaker has opened.
            operate(&mut process, 0, "POST", "endpoints/billing/breaker", &json!({"state": "closed"}));
            advance(&mut process, seconds(2));
        }
    }
    advance(&mut process, seconds(1));
    assert_eq!(letters(&process, BODY), count);
    process
}
