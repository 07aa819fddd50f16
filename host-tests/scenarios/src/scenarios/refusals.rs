//! What operators are refused.

use crate::steps::{begun, plain_start, send, status, wait_for_status};
use crate::{OPERATE, READ, Request, Scenario};

pub fn all() -> Vec<Scenario> {
    vec![guessing(), wrong_requests()]
}

fn guessing() -> Scenario {
    Scenario {
        name: "after twenty wrong tokens a wrong one has to wait, and a right one does not",
        start: plain_start,
        play: |gateway| {
            begun(gateway)?;
            wait_for_status(gateway, "/state", "enabled")?;
            let with = |token: &str| {
                let request = Request::new("GET", "/gatepost/status");
                request.header("authorization", &format!("Bearer {token}"))
            };
            let mut statuses = Vec::new();
            for number in 0..24 {
                statuses.push(send(gateway, &with("guess").over(number % 2))?.status);
            }
            let count = |status| statuses.iter().filter(|seen| **seen == status).count();
            let mut observed = vec![format!("{} x 401, {} x 429", count(401), count(429))];
            observed.push(format!("none: {}", send(gateway, &Request::new("GET", "/gatepost/status"))?.status));
            observed.push(format!("right: {}", send(gateway, &with(READ))?.status));
            observed.push(format!("wrong: {}", send(gateway, &with("guess"))?.status));
            Ok(observed)
        },
        expected: &["20 x 401, 4 x 429", "none: 401", "right: 200", "wrong: 401"],
    }
}

fn wrong_requests() -> Scenario {
    Scenario {
        name: "whoever may not, or asks wrongly, is told so",
        start: plain_start,
        play: |gateway| {
            begun(gateway)?;
            wait_for_status(gateway, "/state", "enabled")?;
            let request = |method, path, token: &str, body: &str| {
                let request = Request::new(method, path).body(body);
                if token.is_empty() { request } else { request.header("authorization", &format!("Bearer {token}")) }
            };
            let paused = r#"{"state": "paused"}"#;
            let mut observed = Vec::new();
            for (method, path, token, body) in [
                ("GET", "/gatepost/status", "", ""),
                ("GET", "/gatepost/status", "may-loo", ""),
                ("GET", "/gatepost/nothing", "wrong", ""),
                ("GET", "/gatepost/status", READ, ""),
                ("PUT", "/gatepost/state", READ, paused),
                ("POST", "/gatepost/drain", READ, ""),
                ("POST", "/gatepost/status", OPERATE, ""),
                ("GET", "/gatepost/nothing", OPERATE, ""),
                ("PATCH", "/gatepost/endpoints/nobody", OPERATE, r#"{"disabled": true}"#),
                ("PUT", "/gatepost/state", OPERATE, "{"),
                ("PUT", "/gatepost/state", OPERATE, r#"{"state": "off"}"#),
                ("GET", "/gatepost/dead-letters?limit=many", OPERATE, ""),
                ("POST", "/gatepost/dead-letters/x/redeliver", OPERATE, ""),
            ] {
                let answer = send(gateway, &request(method, path, token, body))?;
                let detail = if answer.status == 200 { String::new() } else { answer.text("detail") };
                observed.push(format!("{method} {path}: {} {detail}", answer.status).trim_end().to_owned());
            }
            let large = request("PUT", "/gatepost/state", OPERATE, &"x".repeat(20_000));
            observed.push(send(gateway, &large)?.line());
            observed.push(status(gateway, "/state")?);
            Ok(observed)
        },
        expected: &[
            "GET /gatepost/status: 401 the admin surface wants a token: Authorization: Bearer ...",
            "GET /gatepost/status: 401 the admin surface wants a token: Authorization: Bearer ...",
            "GET /gatepost/nothing: 401 the admin surface wants a token: Authorization: Bearer ...",
            "GET /gatepost/status: 200",
            "PUT /gatepost/state: 403 this token may look, but not change anything",
            "POST /gatepost/drain: 403 this token may look, but not change anything",
            "POST /gatepost/status: 405 expected GET",
            "GET /gatepost/nothing: 404 the admin surface has nothing at this path",
            "PATCH /gatepost/endpoints/nobody: 404 the config has no such endpoint",
            "PUT /gatepost/state: 400 body: is not JSON: EOF while parsing an object at line 1 column 1; expected a JSON object",
            "PUT /gatepost/state: 400 state: is \"off\", which is not known; expected enabled or paused or disabled",
            "GET /gatepost/dead-letters?limit=many: 400 limit: expected a number from 1 to 1000",
            "POST /gatepost/dead-letters/x/redeliver: 404 there is no such dead letter (any more)",
            "answered 413 Content Too Large",
            "enabled",
        ],
    }
}
