//! Which secrets and schemes an inbound rule goes by, and when.

use host_tests::{Process, Request};
use serde_json::json;

use crate::sender::{
    Message, OTHER_SECRET, SCHEMES, SECRET, advance_to, counted, detail, key_pair, passes, path, rule, send, stopped,
    verifying,
};
use crate::support::{advance, millis, start, with};

#[test]
fn whoever_holds_a_public_key_alone_verifies_ed25519() {
    let (pair, public) = key_pair(1);
    let rule = with(rule("standard"), json!({"secrets": [{"value": public}]}));
    let mut process = start(&verifying([rule]));
    let message = Message::new(&process, "standard", "evt_1");
    passes(&mut process, message.with(&message.headers_by(&pair)));
    let other = message.with(&message.headers_by(&key_pair(2).0));
    assert_eq!(stopped(&mut process, other).status(), 401);
    // Whoever knows the public key cannot use it as a shared secret.
    let forged = message.request_under(&public.replace("whpk_", "whsec_"));
    assert_eq!(stopped(&mut process, forged).status(), 401);
}

#[test]
fn while_secrets_rotate_either_fits_and_each_only_in_its_time() {
    for scheme in SCHEMES {
        // The process starts at 2026-01-01T00:00:00Z.
        let rotating = json!({"secrets": [
            {"value": SECRET, "not_before": "2026-01-01T00:00:10Z", "not_after": "2026-01-01T00:00:30Z"},
            {"value": OTHER_SECRET, "not_before": "2026-01-01T00:00:20Z", "not_after": "2026-01-01T00:00:40Z"},
        ]});
        let mut process = start(&verifying([with(rule(scheme), rotating)]));
        let mut number = 0;
        let mut standing = |process: &mut Process| {
            [SECRET, OTHER_SECRET].map(|secret| {
                number += 1;
                let request = Message::new(process, scheme, &format!("evt_{number}")).request_under(secret);
                let stream = send(process, 0, request);
                process
                    .forwarded(stream)
                    .map_or_else(|| detail(process.answer(stream).expect("an answer")), |_| String::new())
            })
        };
        let fits = String::new;
        let differs = || {
            "no signature fits the body: the secret differs, or the body is not, byte for byte, what was signed"
                .to_owned()
        };
        let none = || "no secret is valid at this time".to_owned();
        assert_eq!(standing(&mut process), [none(), none()], "{scheme}");
        advance_to(&mut process, millis(9_999));
        assert_eq!(standing(&mut process), [none(), none()]);
        advance(&mut process, millis(1));
        assert_eq!(standing(&mut process), [fits(), differs()]);
        process.step_wall_clock(15_000);
        assert_eq!(standing(&mut process), [fits(), fits()]);
        process.step_wall_clock(5_000);
        assert_eq!(standing(&mut process), [differs(), fits()]);
        process.step_wall_clock(10_000);
        assert_eq!(standing(&mut process), [none(), none()]);
        // What was right once is right again when the clock goes back.
        process.step_wall_clock(-15_000);
        assert_eq!(standing(&mut process), [fits(), fits()]);
        assert_eq!(counted(&process, scheme, "no_secret"), 6);
    }
}

#[test]
fn a_sender_that_rotates_may_sign_with_both_secrets_at_once() {
    for scheme in SCHEMES {
        let mut process = start(&verifying([rule(scheme)]));
        let message = Message::new(&process, scheme, "evt_1");
        let (new, old) = (message.headers_under(OTHER_SECRET), message.headers_under(SECRET));
        let mut both = new.clone();
        match scheme {
            "standard" => both[0].1 = format!("{} {}", new[0].1, old[0].1),
            "stripe" => both[0].1 = format!("{},{}", new[0].1, old[0].1.split_once(',').expect("two fields").1),
            "timestamped" => both.push(("x-webhook-signature-also", old[0].1.clone())),
            "github" => both.push(("x-hub-signature-256-also", old[0].1.clone())),
            _ => both.push(("x-slack-signature-also", old[0].1.clone())),
        }
        passes(&mut process, message.with(&both));
        assert_eq!(stopped(&mut process, message.with(&new)).status(), 401, "{scheme}");
    }
}

/// A rule of two schemes takes either and every one that is there must hold.
#[test]
fn rule_of_two_schemes_takes_either_and_checks_all_present() {
    let both = json!({"signature": [
        {"scheme": "timestamped"},
        {"scheme": "standard", "secrets": [{"value": OTHER_SECRET}]},
    ]});
    let mut process = start(&verifying([with(rule("timestamped"), both)]));
    let old = |process: &Process, id: &str| Message::new(process, "timestamped", id);
    let new = |message: &Message| Message { scheme: "standard", ..message.clone() };
    let request = |message: &Message, old: &str, second: &str| {
        let headers = [message.headers_under(old), new(message).headers_under(second)].concat();
        message.with(&headers)
    };
    let alone = old(&process, "evt_1");
    passes(&mut process, alone.request());
    let alone = old(&process, "evt_2");
    passes(&mut process, alone.with(&new(&alone).headers_under(OTHER_SECRET)));
    let message = old(&process, "evt_3");
    for (first, second) in [(SECRET, SECRET), (OTHER_SECRET, OTHER_SECRET), (OTHER_SECRET, SECRET)] {
        assert_eq!(stopped(&mut process, request(&message, first, second)).status(), 401);
    }
    passes(&mut process, request(&message, SECRET, OTHER_SECRET));
    // Neither signature alone brings it again.
    assert_eq!(stopped(&mut process, message.request()).status(), 200);
    assert_eq!(stopped(&mut process, message.with(&new(&message).headers_under(OTHER_SECRET))).status(), 200);
    let unsigned = stopped(&mut process, Request::post(&path("timestamped")).body("{}"));
    assert!(detail(&unsigned).contains("no header x-webhook-signature"));
}
