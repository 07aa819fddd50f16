//! Requests that are verified before the application sees them.

use anyhow::Result;
use serde_json::{Value, json};

use crate::steps::{BODY, begun, lines, numbers, pass, post, route, send, signature, until, update, wait_for, waiting};
use crate::{APPLICATION, Answer, Gateway, Reply, Request, Scenario, Start, endpoint, secret};

/// The setup with one inbound rule, which verifies the requests to `/hooks/partner` and has these keys too.
pub fn receiving(more: Value) -> Start {
    let mut rule = json!({
        "name": "partner", "match": {"path": "/hooks/partner"}, "secrets": [{"value": secret(APPLICATION)}],
    });
    crate::merge(&mut rule, more);
    Start::new(json!({"inbound": [rule]}))
}

/// A message with this id, signed with this secret at a time that is `away` milliseconds from now.
pub fn signed_at(gateway: &dyn Gateway, path: &str, id: &str, secret: &str, away: i64) -> Result<Request> {
    let timestamp = u64::try_from(gateway.now().as_millis())?.saturating_add_signed(away).to_string();
    let signature = signature(secret, &timestamp, BODY.as_bytes());
    let request = Request::event(path, BODY).header("x-webhook-id", id).header("x-webhook-event", "paid");
    Ok(request.header("x-webhook-timestamp", &timestamp).header("x-webhook-signature", &signature))
}

/// A message with this id, as the partner signs it now.
pub fn signed(gateway: &dyn Gateway, id: &str) -> Result<Request> {
    signed_at(gateway, "/hooks/partner", id, &secret(APPLICATION), 0)
}

/// A line with the answer's status code, and the body's `detail`, or else its `status`.
pub fn said(answer: &Answer) -> String {
    let words = [answer.text("detail"), answer.text("status")];
    let word = words.iter().find(|word| *word != "-").map_or("", String::as_str);
    format!("{} {word}", answer.status).trim_end().to_owned()
}

/// Makes a request, and returns its answer as a line.
pub fn told(gateway: &mut dyn Gateway, request: &Request) -> Result<String> {
    send(gateway, request).map(|answer| said(&answer))
}

/// The requests that the application got, each as a line: its id, whether its body and signature are untouched, and the
/// name of the rule that verified it.
pub fn got(gateway: &mut dyn Gateway) -> Result<Vec<String>> {
    let seen = gateway.seen(APPLICATION)?;
    Ok(seen
        .iter()
        .map(|seen| {
            let right = if seen.verified && seen.body == BODY.as_bytes() { "untouched" } else { "CHANGED" };
            format!("the application got {}, {right}, verified by {:?}", seen.id(), seen.header("x-gatepost-verified"))
        })
        .collect())
}

pub fn all() -> Vec<Scenario> {
    [verified(), rotation(), in_a_row()].into_iter().flatten().collect()
}

fn verified() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "inbound: what is signed reaches the application untouched, with the name of the rule",
            start: || receiving(json!({})),
            play: |gateway| {
                let mut observed = Vec::new();
                let first = signed(gateway, "evt-1")?.header("x-gatepost-verified", "forged");
                observed.push(told(gateway, &first)?);
                // Within a millisecond the same body gets the same signature.
                pass(gateway, 10)?;
                let second = signed(gateway, "evt-2")?.http2();
                observed.push(told(gateway, &second)?);
                observed.extend(got(gateway)?);
                Ok(observed)
            },
            expected: &[
                "200",
                "200",
                r#"the application got evt-1, untouched, verified by "partner""#,
                r#"the application got evt-2, untouched, verified by "partner""#,
            ],
        },
        Scenario {
            name: "inbound: what is not signed, not now, or not so, never reaches the application",
            start: || receiving(json!({})).with(json!({"limits": {"body": 1000}})),
            play: |gateway| {
                let (path, key) = ("/hooks/partner", secret(APPLICATION));
                let unsigned = Request::event(path, BODY);
                let good = signed(gateway, "evt-1")?;
                let requests = [
                    unsigned.clone(),
                    unsigned.clone().http2(),
                    unsigned.clone().trailer("x-checksum", "1"),
                    unsigned.clone().header("x-gatepost-verified", "partner"),
                    signed_at(gateway, path, "evt-1", "another", 0)?,
                    signed_at(gateway, path, "evt-1", &key, -301_000)?,
                    signed_at(gateway, path, "evt-1", &key, 60_000)?,
                    good.clone().body("{}"),
                    good.clone().body(""),
                    good.clone().header("x-webhook-timestamp", "1"),
                    unsigned.header("x-webhook-signature", "00"),
                    good.clone().body("x".repeat(1001)),
                    good.body("x".repeat(5000)).in_chunks(700),
                    Request::new("GET", path),
                ];
                let mut observed = requests.iter().map(|request| told(gateway, request)).collect::<Result<Vec<_>>>()?;
                observed.extend(got(gateway)?);
                Ok(observed)
            },
            expected: &[
                "401 the request is not signed: it has no header x-webhook-signature",
                "401 the request is not signed: it has no header x-webhook-signature",
                "401 the request is not signed: it has no header x-webhook-signature",
                "401 the request is not signed: it has no header x-webhook-signature",
                DIFFERS,
                "401 the timestamp is more than 300s in the past",
                "401 the timestamp is more than 30s in the future",
                DIFFERS,
                DIFFERS,
                "400 the header x-webhook-timestamp is not there exactly once",
                "400 the header x-webhook-signature is not 64 hex digits",
                "413 the body is over the limit of 1000 bytes",
                "413 the body is over the limit of 1000 bytes",
                "405 this path takes POST",
            ],
        },
        Scenario {
            // Spellings that Envoy's `normalize_path` and `merge_slashes` leave as they are.
            name: "inbound: the path is verified, its other spellings are refused, and claims are removed on other paths",
            start: || receiving(json!({})),
            play: |gateway| {
                let mut observed = Vec::new();
                for path in [
                    "/hooks/Partner",
                    "/hooks/partner/",
                    "/hooks/partner?x",
                    "/hooks/%2570artner",
                    "/hooks/partner;x",
                    "/hooks/partner%20",
                    "/hooks/partner.json",
                ] {
                    observed.push(told(gateway, &Request::event(path, BODY))?);
                }
                let other = signed_at(gateway, "/hooks/other", "evt-1", &secret(APPLICATION), 0)?;
                let other = other.header("x-gatepost-verified", "partner").header("x_gatepost_verified", "partner");
                observed.push(told(gateway, &other)?);
                observed.extend(got(gateway)?);
                Ok(observed)
            },
            expected: &[
                "401 the request is not signed: it has no header x-webhook-signature",
                "401 the request is not signed: it has no header x-webhook-signature",
                "401 the request is not signed: it has no header x-webhook-signature",
                "400 the path may be read as one that is guarded; expected its plain form, such as /webhooks/partner",
                "400 the path may be read as one that is guarded; expected its plain form, such as /webhooks/partner",
                "400 the path may be read as one that is guarded; expected its plain form, such as /webhooks/partner",
                "400 the path may be read as one that is guarded; expected its plain form, such as /webhooks/partner",
                "200",
                r#"the application got evt-1, untouched, verified by """#,
            ],
        },
        Scenario {
            name: "inbound: a request at which the VM traps does not reach the application, and the next one is verified",
            start: || receiving(json!({})).trapping(),
            play: |gateway| {
                let trapping = signed(gateway, "evt-1")?.header("x-gatepost-trap", "now");
                let mut observed = vec![told(gateway, &trapping.over(0))?];
                let unsigned = Request::event("/hooks/partner", BODY).over(0);
                observed.push(until(gateway, "the VM is rebuilt", |gateway| {
                    let answer = send(gateway, &unsigned)?;
                    Ok((answer.status != 503).then(|| said(&answer)))
                })?);
                let good = signed(gateway, "evt-1")?;
                observed.push(told(gateway, &good.over(0))?);
                observed.extend(got(gateway)?);
                Ok(observed)
            },
            expected: &[
                "503",
                "401 the request is not signed: it has no header x-webhook-signature",
                "200",
                r#"the application got evt-1, untouched, verified by "partner""#,
            ],
        },
    ]
}

const DIFFERS: &str =
    "401 no signature fits the body: the secret differs, or the body is not, byte for byte, what was signed";

fn rotation() -> Vec<Scenario> {
    vec![Scenario {
        name: "inbound: while secrets rotate either fits, and each only in its time",
        start: || receiving(json!({"secrets": [{"value": "new"}, {"value": "old"}]})),
        play: |gateway| {
            let mut observed = Vec::new();
            let mut number = 0;
            let mut try_both = |gateway: &mut dyn Gateway, observed: &mut Vec<String>| -> Result<()> {
                for secret in ["new", "old"] {
                    number += 1;
                    let id = format!("evt-{number}");
                    let request = signed_at(gateway, "/hooks/partner", &id, secret, 0)?;
                    send(gateway, &request)?;
                    // The application knows neither secret, but it records also the requests that it refuses.
                    let verdict = if gateway.seen(APPLICATION)?.iter().any(|seen| seen.id() == id) {
                        "passed"
                    } else {
                        "refused"
                    };
                    observed.push(format!("{secret}: {verdict}"));
                }
                Ok(())
            };
            try_both(gateway, &mut observed)?;
            let (past, future) = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
            for secrets in [
                json!([{"value": "new"}, {"value": "old", "not_after": past}]),
                json!([{"value": "new", "not_before": future}, {"value": "old"}]),
                json!([{"value": "new", "not_before": future}, {"value": "old", "not_after": past}]),
            ] {
                observed.push(update(gateway, &receiving(json!({"secrets": secrets})))?);
                try_both(gateway, &mut observed)?;
            }
            Ok(observed)
        },
        expected: &[
            "new: passed",
            "old: passed",
            "taken: true",
            "new: passed",
            "old: refused",
            "taken: true",
            "new: refused",
            "old: passed",
            "taken: true",
            "new: refused",
            "old: refused",
        ],
    }]
}

/// The setup with one config in both directions: a gateway delivers its events to another gateway with the same config,
/// which verifies them. `signature` is a section that endpoint and rule have besides, such as `{"signature": …}`.
pub fn in_both_directions(signature: &Value) -> Start {
    let mut hooks = endpoint(
        APPLICATION,
        json!({
            "cluster": "gateway", "url": "http://gateway.test/hooks/partner", "retry": {"delays": ["0s", "1s", "1s"]},
        }),
    );
    crate::merge(&mut hooks, signature.clone());
    let start = receiving(signature.clone()).with(json!({
        "enabled": true,
        "routes": [route("ingest", "/events/{event}", json!({}))],
        "endpoints": [hooks],
        "admin": {"tokens": [{"value": crate::READ}, {"value": crate::OPERATE, "role": "operate"}]},
    }));
    start.behind_itself()
}

fn in_a_row() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "Gatepost behind Gatepost: what one sends the other verifies, and the application's 500 is tried again",
            start: || in_both_directions(&json!({})),
            play: |gateway| {
                begun(gateway)?;
                gateway.script(APPLICATION, &[Reply::Status(500)])?;
                let accepted = post(gateway)?;
                let seen = wait_for(gateway, APPLICATION, 2)?;
                let mut observed = vec![accepted.line(), numbers(&seen)];
                observed.extend(lines(&seen));
                let named = seen.iter().all(|seen| seen.header("x-gatepost-verified") == "partner");
                observed.push(format!("both with the name of the rule: {named}"));
                observed
                    .push(format!("the id that was accepted: {}", seen.iter().all(|seen| seen.id() == accepted.id())));
                pass(gateway, 3000)?;
                observed.push(format!("{} in all", gateway.arrived(APPLICATION)?));
                Ok(observed)
            },
            expected: &[
                "answered 202 accepted",
                "attempts 1, 2",
                "+0 s: attempt 1 of paid, verified, same id",
                "+1 s: attempt 2 of paid, verified, same id",
                "both with the name of the rule: true",
                "the id that was accepted: true",
                "2 in all",
            ],
        },
        Scenario {
            name: "Gatepost behind Gatepost: the producer who waits hears what became of it",
            start: || waiting(in_both_directions(&json!({}))).behind_itself(),
            play: |gateway| {
                begun(gateway)?;
                gateway.script(APPLICATION, &[Reply::Status(500), Reply::Status(400)])?;
                let mut observed = post(gateway)?.lines();
                observed.extend(post(gateway)?.lines());
                observed.push(format!("{} in all", gateway.arrived(APPLICATION)?));
                Ok(observed)
            },
            expected: &[
                "answered 502 failed",
                "application failed, 2 attempts, last answer 400",
                "answered 200 delivered",
                "application delivered, 1 attempts, last answer 200",
                "3 in all",
            ],
        },
    ]
}
