//! Requests on inbound paths: what is verified and goes on, and what is refused, how and why.

use host_tests::{Application, Process, Reply, Request};
use serde_json::json;

use crate::operator::{administered, done, request};
use crate::sender::{
    Message, OTHER_SECRET, SCHEMES, SECRET, advance_to, counted, detail, passes, path, receiver, rule, send, stopped,
    verifying,
};
use crate::support::{advance, config, endpoint, gateway, millis, outcome, seconds, start, whole, with};

const VERIFIED: &str = "x-gatepost-verified";

/// A signed request reaches the application as it came with the name of the rule.
#[test]
fn signed_request_reaches_the_application_with_its_rule() {
    let mut process = receiver();
    for scheme in SCHEMES {
        let message = Message::new(&process, scheme, "evt_1");
        let gone = passes(&mut process, message.request());
        assert_eq!(gone.header(VERIFIED), format!("from-{scheme}"));
        assert_eq!(gone.body, message.body);
        let mut headers = gone.headers.clone();
        headers.remove(VERIFIED);
        assert_eq!(&headers, message.request().sent().0, "{scheme}");
        assert_eq!(counted(&process, scheme, "verified"), 1);
    }
}

/// What the client says of having been verified is removed on every path.
#[test]
fn client_sent_verification_headers_are_always_removed() {
    let mut config = config([endpoint("billing")]);
    config["inbound"] = json!([rule("github"), with(rule("slack"), json!({"header": "X-Checked-By"})),]);
    let mut process = start(&config);
    let claims = |request: Request| {
        let request = request.header(VERIFIED, "from-github").header("X-Gatepost-Verified", "too");
        let request = request.header("x_gatepost_verified", "me").header("X-Gatepost_Verified", "me");
        let request = request.header("x.gatepost.verified", "me").header("x~gatepost~verified", "me");
        request.header("x-checked-by", "me").trailers([("X-Gatepost-Verified", "me"), ("x-sum", "7")])
    };
    // To CGI, and what descends from it, each of these is `-`.
    let is_claim = |name: &str| [VERIFIED, "x-checked-by"].contains(&name.replace(['_', '.', '~'], "-").as_str());
    let gone = passes(&mut process, claims(Request::new("GET", "/orders")));
    assert!(gone.headers.iter().all(|(name, _)| !is_claim(name)), "{:?}", gone.headers);
    assert_eq!(gone.trailers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["x-sum"]);
    for (scheme, header) in [("github", VERIFIED), ("slack", "x-checked-by")] {
        let message = Message::new(&process, scheme, "evt_1");
        let gone = passes(&mut process, claims(message.request()));
        let said = gone.headers.iter().filter(|(name, _)| is_claim(name));
        let name = format!("from-{scheme}");
        assert_eq!(said.collect::<Vec<_>>(), [(header, name.as_bytes())]);
    }
}

#[test]
fn a_filter_without_inbound_rules_touches_no_header() {
    let mut process = start(&config([endpoint("billing")]));
    let gone = passes(&mut process, Request::new("GET", "/").header(VERIFIED, "by another gateway"));
    assert_eq!(gone.header(VERIFIED), "by another gateway");
}

/// A request, the result it is counted as, the status, and words of the answer.
type Refused = (Request, &'static str, u16, &'static str);

/// Requests of a scheme that are refused, and why.
fn refusals(process: &Process, scheme: &'static str) -> Vec<Refused> {
    let message = Message::new(process, scheme, "evt_1");
    let plain = Request::post(&path(scheme));
    let headers = message.headers_under(SECRET);
    let (signature, value) = &headers[0];
    let too_large = message.clone().body("x".repeat(300_000));
    let broken = |value: &str| message.with(&[&[(*signature, value.to_owned())], &headers[1..]].concat());
    let digits = value.len() - 4..value.len() - 1;
    let mut all = vec![
        (plain.clone().body("{}"), "unsigned", 401, "it has no header"),
        (plain, "unsigned", 401, "it has no header"),
        (message.request_under(OTHER_SECRET), "signature", 401, "the secret differs, or the body is not"),
        (message.request().body("{}"), "signature", 401, "no signature fits the body"),
        (message.request().body(""), "signature", 401, "no signature fits the body"),
        (broken(""), "malformed", 400, signature),
        (broken("sha1=00"), "malformed", 400, signature),
        (broken(&value.replace(&value[digits], "zz")), "malformed", 400, signature),
        (message.request().header(signature, value), "malformed", 400, "there exactly once"),
        (too_large.request(), "too_large", 413, "limit of 262144 bytes"),
    ];
    for method in ["GET", "PUT", "DELETE", "post", "OPTIONS"] {
        let unsigned = Request::new(method, &path(scheme));
        all.push((headers.iter().fold(unsigned, |all, (name, value)| all.header(name, value)), "method", 405, "POST"));
    }
    if scheme != "github" {
        all.push((message.clone().later(-301_000).request(), "stale", 401, "more than 300s in the past"));
        all.push((message.clone().later(31_000).request(), "early", 401, "more than 30s in the future"));
    }
    all
}

/// What is not verified is refused with a reason and never seen by the application.
#[test]
fn unverified_request_is_refused_with_a_reason() {
    let mut process = receiver();
    for scheme in SCHEMES {
        for (request, result, status, says) in refusals(&process, scheme) {
            let before = counted(&process, scheme, result);
            let shown = format!("{scheme}: {request:?}");
            let answer = stopped(&mut process, request);
            let said = detail(&answer);
            assert_eq!(answer.status(), status, "{shown}: {said}");
            assert!(said.contains(says), "{shown}: {said}");
            assert_eq!(counted(&process, scheme, result), before + 1, "{shown}");
            assert_eq!(!answer.header("www-authenticate").is_empty(), status == 401, "{shown}");
            assert_eq!(!answer.header("allow").is_empty(), status == 405, "{shown}");
        }
        assert_eq!(counted(&process, scheme, "verified"), 0);
    }
}

#[test]
fn a_timestamp_is_good_to_the_last_moment_on_both_sides() {
    for scheme in ["timestamped", "standard", "stripe", "slack"] {
        let mut process = receiver();
        // Most schemes sign whole seconds.
        advance_to(&mut process, seconds(1));
        for (later, passes) in [(-300_000, true), (30_000, true), (-301_000, false), (31_000, false)] {
            let message = Message::new(&process, scheme, &format!("evt_{later}")).later(later);
            let stream = send(&mut process, 0, message.request());
            assert_eq!(process.forwarded(stream).is_some(), passes, "{scheme}, {later} ms");
        }
    }
}

#[test]
fn no_refusal_tells_what_would_be_right() {
    let mut process = receiver();
    for scheme in SCHEMES {
        let message = Message::new(&process, scheme, "evt_1");
        let right = message.headers_under(SECRET)[0].1.clone();
        let forged = message.request_under(OTHER_SECRET);
        let answer = detail(&stopped(&mut process, forged));
        let tag = right.trim_end_matches('=').rsplit(['=', ',']).next().expect("a tag");
        assert!(!answer.contains(tag) && !answer.contains(SECRET), "{answer}");
    }
}

/// A body of many pieces whose length is not told is refused as soon as it is over the limit.
#[test]
fn chunked_body_over_the_limit_is_refused_at_once() {
    let rule = rule("github");
    let mut process = start(&with(verifying([rule]), json!({"limits": {"body": 1000}})));
    let piece = vec![b'x'; 300];
    for http2 in [false, true] {
        let request = Request::post(&path("github")).header("x-hub-signature-256", "sha256=00");
        let request = request.chunks([piece.clone(), piece.clone(), piece.clone(), piece.clone()]);
        let answer = stopped(&mut process, if http2 { request.http2() } else { request });
        assert_eq!((answer.status(), detail(&answer).as_str()), (413, "the body is over the limit of 1000 bytes"));
    }
    assert_eq!(counted(&process, "github", "too_large"), 2);
    let exact = Message::new(&process, "github", "evt_1").body([b'x'; 1000]);
    assert_eq!(passes(&mut process, exact.request()).body.len(), 1000);
}

#[test]
fn pieces_trailers_and_the_version_of_http_make_no_difference() {
    let mut process = receiver();
    for scheme in SCHEMES {
        let message = |id: &str| Message::new(&process, scheme, id);
        let pieces = |message: &Message| message.request().chunks(message.body.chunks(3));
        let long =
            message("evt_7").body(format!(r#"{{"id": "evt_7", "event_id": "evt_7", "x": "{}"}}"#, "x".repeat(9_999)));
        let cases = [
            (message("evt_1"), pieces(&message("evt_1"))),
            (message("evt_2"), pieces(&message("evt_2")).http2()),
            (message("evt_3"), pieces(&message("evt_3")).trailers([("x-checksum", "1")])),
            (message("evt_4"), message("evt_4").request().http2()),
            (message("evt_5"), message("evt_5").request().trailers([("x-checksum", "1")])),
            (message("evt_6"), pieces(&message("evt_6")).chunks([message("evt_6").body, Vec::new()])),
            (long.clone(), long.request().chunks(long.body.chunks(1))),
            // Stripe and Slack have no id but in the body: the empty one is known by what is signed.
            (message("evt_8").body(""), message("evt_8").body("").request()),
            (message("evt_9").body("").later(-2000), message("evt_9").body("").later(-2000).request().http2()),
        ];
        let mut count = 0;
        for (message, request) in cases {
            if scheme == "github" && message.id == "evt_9" {
                // Without a timestamp an empty body is the one before.
                continue;
            }
            let trailers = request.clone();
            let gone = passes(&mut process, request);
            assert_eq!(gone.body, message.body, "{scheme}: {trailers:?}");
            assert_eq!(gone.header(VERIFIED), format!("from-{scheme}"));
            count += 1;
        }
        assert_eq!(counted(&process, scheme, "verified"), count);
        let broken = Message::new(&process, scheme, "evt_9").request_under(OTHER_SECRET);
        for request in [broken.clone().http2(), broken.clone().trailers([("x-a", "1")]), broken.chunks(["{", "}"])] {
            assert_eq!(stopped(&mut process, request).status(), 401);
        }
    }
}

#[test]
fn the_trailers_of_a_verified_request_go_on_too() {
    let mut process = receiver();
    let message = Message::new(&process, "github", "evt_1");
    let gone = passes(&mut process, message.request().trailers([("x-checksum", "1")]));
    assert_eq!(gone.trailers.get("x-checksum"), Some("1"));
}

#[test]
fn neither_the_config_nor_an_operator_turns_verification_off() {
    let mut config = administered(config([endpoint("billing")]));
    config["enabled"] = json!(false);
    config["inbound"] = json!([rule("github")]);
    let mut process = start(&config);
    advance(&mut process, seconds(1));
    let mut number = 0;
    let mut assert_verifies = |process: &mut Process| {
        number += 1;
        let message = Message::new(process, "github", &format!("evt_{number}"));
        assert_eq!(passes(process, message.request()).header(VERIFIED), "from-github");
        assert_eq!(stopped(process, message.request_under(OTHER_SECRET)).status(), 401);
        assert_eq!(stopped(process, message.request()).status(), 200);
    };
    assert_verifies(&mut process);
    for state in ["enabled", "paused", "disabled"] {
        done(&mut process, 0, "PUT", "state", &json!({"state": state}));
        advance(&mut process, seconds(2));
        assert_verifies(&mut process);
    }
    send(&mut process, 0, request("POST", "drain", "may-change"));
    advance(&mut process, seconds(1));
    assert_verifies(&mut process);
}

#[test]
fn a_verified_request_on_an_event_route_becomes_an_event() {
    let mut config = config([endpoint("billing")]);
    config["inbound"] = json!([with(rule("github"), json!({"match": {"path": "/events/paid"}}))]);
    let mut process = start(&config);
    let message = Message::new(&process, "github", "evt_1");
    let request = |secret: &str| {
        let request = Request::post("/events/paid").header("content-type", "application/json");
        let headers = message.headers_under(secret);
        headers.iter().fold(request, |all, (name, value)| all.header(name, value)).body(message.body.clone())
    };
    assert_eq!(stopped(&mut process, request(OTHER_SECRET)).status(), 401);
    assert_eq!(stopped(&mut process, request(SECRET)).status(), 202);
    assert_eq!(stopped(&mut process, request(SECRET)).body, br#"{"status":"duplicate"}"#);
    advance(&mut process, seconds(1));
    assert_eq!(process.calls("billing").len(), 1);
}

#[test]
fn the_applications_answer_comes_back_as_it_is() {
    let reply = Reply::status(422).header("x-app", "1").chunks(["no ", "such ", "order"]).spaced(millis(10));
    let mut process = gateway(&verifying([rule("slack")])).application(Application::always(reply)).start().expect("ok");
    let request = Message::new(&process, "slack", "evt_1").request();
    let stream = send(&mut process, 0, request);
    advance(&mut process, seconds(1));
    assert_eq!(outcome(&process, stream), whole(422, "no such order"));
    assert_eq!(process.answer(stream).expect("an answer").header("x-app"), "1");
}

#[test]
fn bytes_that_are_no_text_are_verified_like_any_others() {
    let mut process = receiver();
    let body: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for scheme in SCHEMES {
        let message = Message::new(&process, scheme, "evt_1").body(body.clone());
        assert_eq!(passes(&mut process, message.request()).body, body);
        let not_text = Message::new(&process, scheme, "evt_2").with(&[]);
        let (signature, value) = message.headers_under(SECRET)[0].clone();
        let value = [value.as_bytes(), b"\xff\xfe"].concat();
        assert_eq!(stopped(&mut process, not_text.header(signature, value)).status(), 400, "{scheme}");
    }
}
