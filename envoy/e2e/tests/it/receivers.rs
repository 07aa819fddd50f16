//! The receivers of the guide, `envoy/docs/receivers.md`: each accepts what is good and refuses what is not.

mod guide;
mod running;
pub mod webhook;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Barrier;
use std::thread;

use anyhow::{Context, Result};
use gatepost_e2e::{Event, Gateway, Setup, endpoint};
use serde_json::{Value, json};

use running::{LANGUAGES, Running};
use webhook::{SECRET, Webhook, id, request, signature};

const NEXT: &str = "77aa55ee33cc11997755aa33ee11cc99";
const BODY_MAX: usize = 1024 * 1024;

/// Runs a test with each receiver that this machine can start.
fn each(next: Option<&str>, test: impl Fn(Running) -> Result<()>) -> Result<()> {
    for language in LANGUAGES {
        if let Some(receiver) = Running::start(language, SECRET, next)? {
            test(receiver).with_context(|| format!("{language:?}"))?;
        }
    }
    Ok(())
}

/// Each accepts a good one and processes it once however often it comes.
#[test]
fn good_delivery_is_accepted_and_processed_once() -> Result<()> {
    each(None, |receiver| {
        let name = receiver.language;
        let body = "{ \"amount\" :42.0,\r\n \"payer\": \"Zoë\" }".as_bytes();
        let good = Webhook::new(1, body);
        assert_eq!(good.send(&receiver)?.0, 200, "{name:?}");
        assert_eq!(receiver.wait_for(1)?, [format!("{} payment_verified", id(1))], "{name:?}");
        // The same bytes again, and a later attempt with a signature of its own.
        for again in [good, Webhook::new(1, body)] {
            assert_eq!(
                again.send(&receiver)?.0,
                200,
                "{name:?} on {again}",
                again = again.value("X-Webhook-Timestamp")
            );
        }
        assert_eq!(Webhook::new(2, b"").send(&receiver)?.0, 200, "{name:?}: an empty body can be signed too");
        nothing_else_was_processed(&receiver, 2)
    })
}

/// Each refuses with 401 what is stale from the future tampered with or signed with another secret.
#[test]
fn stale_future_tampered_or_wrongly_signed_gets_401() -> Result<()> {
    each(None, |receiver| {
        let body = b"{\"amount\":42}";
        let good = Webhook::new(1, body);
        let signature = good.value("X-Webhook-Signature").to_owned();
        let (first, rest) = signature.split_at(1);
        let flipped = format!("{}{rest}", if first == "0" { "1" } else { "0" });
        let later = (good.value("X-Webhook-Timestamp").parse::<i64>()? + 1).to_string();
        let bad: [(&str, Webhook, &[&str]); 8] = [
            (
                "302 s old",
                Webhook::aged(1, body, 302_000, SECRET),
                &["X-Webhook-Timestamp: 30", " s old, at most 300 s"],
            ),
            ("40 s ahead", Webhook::aged(1, body, -40_000, SECRET), &["X-Webhook-Timestamp: "]),
            ("another body", Webhook { body: b"{\"amount\":43}".to_vec(), ..good.clone() }, &["X-Webhook-Signature: "]),
            (
                "a body more",
                Webhook { body: b"{\"amount\":42}\n".to_vec(), ..good.clone() },
                &["X-Webhook-Signature: "],
            ),
            ("another time", good.clone().replacing("X-Webhook-Timestamp", &later), &["X-Webhook-Signature: "]),
            ("another bit", good.clone().replacing("X-Webhook-Signature", &flipped), &["X-Webhook-Signature: "]),
            ("another secret", Webhook::aged(1, body, 0, "another"), &["X-Webhook-Signature: "]),
            ("the next one, which it was not told", Webhook::aged(1, body, 0, NEXT), &["X-Webhook-Signature: "]),
        ];
        for (what, webhook, reasons) in bad {
            let (status, answer) = webhook.send(&receiver)?;
            assert_eq!(status, 401, "{:?}, {what}: {answer}", receiver.language);
            for reason in reasons {
                assert!(answer.contains(reason), "{:?}, {what}: {answer}", receiver.language);
            }
        }
        nothing_was_taken(&receiver)
    })
}

/// Each refuses with 400 a header that is missing doubled or malformed and names it.
#[test]
fn missing_doubled_or_malformed_header_gets_a_named_400() -> Result<()> {
    each(None, |receiver| {
        let good = Webhook::new(1, b"{}");
        let signature = good.value("X-Webhook-Signature").to_owned();
        let seconds = good.value("X-Webhook-Timestamp")[..10].to_owned();
        let many = [signature.as_str(); 9].join(",");
        for name in ["X-Webhook-Signature", "X-Webhook-Timestamp", "X-Webhook-Id", "X-Webhook-Event"] {
            let value = good.value(name).to_owned();
            refused_for(&receiver, name, &good.clone().without(name))?;
            refused_for(&receiver, name, &good.clone().with(name, &value))?;
            refused_for(&receiver, name, &good.clone().replacing(name, ""))?;
            // What a proxy makes of two.
            refused_for(&receiver, name, &good.clone().replacing(name, &format!("{value}, {value}")))?;
        }
        for (name, value) in [
            ("X-Webhook-Signature", signature.to_uppercase().as_str()),
            ("X-Webhook-Signature", &signature[1..]),
            ("X-Webhook-Signature", &format!("sha256={signature}")),
            ("X-Webhook-Timestamp", &seconds),
            ("X-Webhook-Timestamp", "-1700000000000"),
            ("X-Webhook-Id", "../../../../etc/passwd"),
            ("X-Webhook-Id", "1"),
            ("X-Webhook-Event", "a b"),
            ("X-Webhook-Event", &"a".repeat(129)),
        ] {
            refused_for(&receiver, name, &good.clone().replacing(name, value))?;
        }
        for also in ["", "x", &many, &format!("{signature},,{signature}")] {
            refused_for(&receiver, "X-Webhook-Signature-Also", &good.clone().with("X-Webhook-Signature-Also", also))?;
        }
        let doubled = good.with("X-Webhook-Signature-Also", &signature).with("X-Webhook-Signature-Also", &signature);
        refused_for(&receiver, "X-Webhook-Signature-Also", &doubled)?;
        nothing_was_taken(&receiver)
    })
}

fn refused_for(receiver: &Running, name: &str, webhook: &Webhook) -> Result<()> {
    let (status, answer) = webhook.send(receiver)?;
    assert_eq!(status, 400, "{:?}, {name} {:?}: {answer}", receiver.language, webhook.headers);
    assert!(answer.contains(&format!("\r\n\r\n{name}: ")), "{:?}, {name}: {answer}", receiver.language);
    Ok(())
}

/// After refusals: a good one still gets through, and it is the only one that ever was processed.
fn nothing_was_taken(receiver: &Running) -> Result<()> {
    assert_eq!(Webhook::new(99, b"{}").send(receiver)?.0, 200, "{:?}", receiver.language);
    assert_eq!(receiver.wait_for(1)?, [format!("{} payment_verified", id(99))], "{:?}", receiver.language);
    Ok(())
}

/// Each accepts up to its limits of age and size and nothing above.
#[test]
fn limits_of_age_and_size_are_exact() -> Result<()> {
    each(None, |receiver| {
        let name = receiver.language;
        let largest = vec![b'a'; BODY_MAX];
        // Two seconds are left for the way there.
        for (number, webhook) in [Webhook::aged(1, b"{}", 298_000, SECRET), Webhook::aged(2, b"{}", -29_000, SECRET)]
            .into_iter()
            .chain([Webhook::new(3, &largest)])
            .enumerate()
        {
            assert_eq!(webhook.send(&receiver)?.0, 200, "{name:?}, {number}");
        }
        let (status, answer) = Webhook::new(4, &[&largest[..], b"a"].concat()).send(&receiver)?;
        assert_eq!(status, 413, "{name:?}: {answer}");
        assert_eq!(receiver.wait_for(3)?.len(), 3, "{name:?}");
        Ok(())
    })
}

/// Each accepts either secret under either header while the secret is changed.
#[test]
fn either_secret_under_either_header_is_accepted() -> Result<()> {
    each(Some(NEXT), |receiver| {
        let body = b"{}";
        let also = |webhook: Webhook, secrets: &[&str]| {
            let timestamp = webhook.value("X-Webhook-Timestamp").to_owned();
            let list: Vec<String> = secrets.iter().map(|secret| signature(secret, &timestamp, body)).collect();
            webhook.with("X-Webhook-Signature-Also", &list.join(","))
        };
        let good = [
            ("the old one", Webhook::aged(1, body, 0, SECRET)),
            ("the next one", Webhook::aged(2, body, 0, NEXT)),
            ("the next one, also", also(Webhook::aged(3, body, 0, "a third"), &[NEXT])),
            (
                "the next one, last of eight",
                also(Webhook::aged(4, body, 0, "a"), &["b", "c", "d", "e", "f", "g", "h", NEXT]),
            ),
            ("both", also(Webhook::aged(5, body, 0, SECRET), &[NEXT])),
        ];
        let expected = good.len();
        for (what, webhook) in good {
            assert_eq!(webhook.send(&receiver)?.0, 200, "{:?}, {what}", receiver.language);
        }
        let neither = also(Webhook::aged(6, body, 0, "a third"), &["a fourth"]);
        assert_eq!(neither.send(&receiver)?.0, 401, "{:?}", receiver.language);
        assert_eq!(receiver.wait_for(expected)?.len(), expected, "{:?}", receiver.language);
        Ok(())
    })
}

#[test]
fn each_processes_one_of_twenty_that_come_at_once() -> Result<()> {
    each(None, |receiver| {
        let webhook = Webhook::new(1, &[b'a'; 64 * 1024]);
        let together = Barrier::new(20);
        let answers: Vec<(u16, String)> = thread::scope(|scope| {
            let senders: Vec<_> = (0..20)
                .map(|_| {
                    scope.spawn(|| {
                        together.wait();
                        webhook.send(&receiver)
                    })
                })
                .collect();
            senders.into_iter().map(|sender| sender.join().unwrap()).collect::<Result<_>>()
        })?;
        let taken = answers.iter().filter(|(status, _)| *status == 200).count();
        assert!(taken >= 1, "{:?}: {answers:?}", receiver.language);
        for (status, answer) in &answers {
            let waits = *status == 429 && answer.to_lowercase().contains("\r\nretry-after: 1\r\n");
            assert!(*status == 200 || waits, "{:?}: {answer}", receiver.language);
        }
        // Whoever was asked to come back finds it done.
        assert_eq!(webhook.send(&receiver)?.0, 200, "{:?}", receiver.language);
        nothing_else_was_processed(&receiver, 1)
    })
}

/// A later event has been processed, and before it this many.
fn nothing_else_was_processed(receiver: &Running, before: usize) -> Result<()> {
    assert_eq!(Webhook::new(1000, b"{}").send(receiver)?.0, 200, "{:?}", receiver.language);
    let processed = receiver.wait_for(before + 1)?;
    assert_eq!(processed.len(), before + 1, "{:?}: {processed:?}", receiver.language);
    assert!(processed.contains(&format!("{} payment_verified", id(1000))), "{:?}: {processed:?}", receiver.language);
    Ok(())
}

/// Each keeps what it took when it is killed and knows the id after.
#[test]
fn killed_receiver_keeps_its_events_and_known_ids() -> Result<()> {
    each(None, |receiver| {
        let language = receiver.language;
        assert_eq!(Webhook::new(1, b"{}").send(&receiver)?.0, 200, "{language:?}");
        receiver.wait_for(1)?;
        let receiver = receiver.kill_and_restart(SECRET)?;
        assert_eq!(Webhook::new(1, b"{}").send(&receiver)?.0, 200, "{language:?}");
        nothing_else_was_processed(&receiver, 0)?;
        // As a crash leaves it: one whose work did not begin, one that was never taken.
        fs::write(receiver.inbox().join("new").join(id(2)), "match_started\n{}")?;
        fs::write(receiver.inbox().join("part").join(id(3)), "match_st")?;
        let receiver = receiver.kill_and_restart(SECRET)?;
        assert!(receiver.wait_for(1)?.contains(&format!("{} match_started", id(2))), "{language:?}");
        assert_eq!(Webhook::new(3, b"{}").send(&receiver)?.0, 200, "{language:?}");
        assert_eq!(receiver.wait_for(2)?.len(), 2, "{language:?}");
        Ok(())
    })
}

#[test]
fn each_asks_to_be_tried_again_when_it_cannot_keep_an_event() -> Result<()> {
    each(None, |receiver| {
        let new = receiver.inbox().join("new");
        for number in 0..10_000 {
            // What cannot be read: their work fails, and they go on waiting.
            symlink("nowhere", new.join(format!("waits-{number}")))?;
        }
        let (status, answer) = Webhook::new(1, b"{}").send(&receiver)?;
        assert_eq!(status, 503, "{:?}: {answer}", receiver.language);
        assert!(answer.to_lowercase().contains("\r\nretry-after: 10\r\n"), "{:?}: {answer}", receiver.language);
        fs::remove_dir_all(&new)?;
        let (status, answer) = Webhook::new(1, b"{}").send(&receiver)?;
        assert_eq!(status, 503, "{:?}: {answer}", receiver.language);
        assert!(answer.to_lowercase().contains("\r\nretry-after: 5\r\n"), "{:?}: {answer}", receiver.language);
        fs::create_dir(&new)?;
        assert_eq!(Webhook::new(1, b"{}").send(&receiver)?.0, 200, "{:?}: nothing was remembered", receiver.language);
        assert_eq!(receiver.wait_for(1)?.len(), 1, "{:?}", receiver.language);
        Ok(())
    })
}

#[test]
fn each_has_a_health_path_and_says_what_else_it_does_not_serve() -> Result<()> {
    each(None, |receiver| {
        for (method, path, expected, allow) in [
            ("GET", "/health", 200, None),
            ("HEAD", "/health", 200, None),
            ("POST", "/health", 405, Some("GET, HEAD")),
            ("GET", "/webhooks", 405, Some("POST")),
            ("PUT", "/webhooks", 405, Some("POST")),
            ("POST", "/", 404, None),
            ("POST", "/webhooks/more", 404, None),
            ("GET", "/../health", 404, None),
        ] {
            let (status, answer) = request(&receiver, method, path, &[], b"")?;
            assert_eq!(status, expected, "{:?}, {method} {path}: {answer}", receiver.language);
            if let Some(allow) = allow {
                let line = format!("\r\nallow: {allow}\r\n").to_lowercase();
                assert!(answer.to_lowercase().contains(&line), "{:?}, {method} {path}: {answer}", receiver.language);
            }
        }
        Ok(())
    })
}

/// Each logs one line a request without payload secret or what a stranger wrote and ends on SIGTERM.
#[test]
fn each_request_is_one_log_line_without_sensitive_content() -> Result<()> {
    each(None, |receiver| {
        let body = b"{\"mail\":\"ada@example.com\"}";
        Webhook::new(1, body).send(&receiver)?;
        Webhook::aged(2, body, 0, "wrong").send(&receiver)?;
        Webhook::new(3, body).replacing("X-Webhook-Event", "stranger!").send(&receiver)?;
        request(&receiver, "GET", "/stranger?token=stranger", &[("X-Stranger", "stranger".to_owned())], b"")?;
        receiver.wait_for(1)?;
        assert_eq!(receiver.terminate()?, Some(0), "{:?}: {}", receiver.language, receiver.log());
        let log = receiver.wait_for_log(4)?;
        assert_eq!(log.lines().count(), 4, "{:?}: {log}", receiver.language);
        for hidden in ["ada@example.com", "stranger", SECRET] {
            assert!(!log.contains(hidden), "{:?}: {log}", receiver.language);
        }
        assert!(log.contains(&format!("id={}", id(1))), "{:?}: {log}", receiver.language);
        Ok(())
    })
}

/// Each will not start without a secret or with white space around it.
#[test]
fn missing_or_padded_secret_prevents_start() -> Result<()> {
    for language in LANGUAGES {
        for (secret, next, problem) in [
            ("", None, "WEBHOOK_SECRET: expected the secret"),
            ("a secret\n", None, "WEBHOOK_SECRET: white space around it"),
            (SECRET, Some("\ta secret"), "WEBHOOK_SECRET_NEXT: white space around it"),
        ] {
            match Running::start(language, secret, next) {
                Ok(Some(_)) => panic!("{language:?} started: {problem}"),
                Ok(None) => {}
                Err(error) => assert!(format!("{error:#}").contains(problem), "{language:?}: {error:#}"),
            }
        }
    }
    Ok(())
}

#[test]
fn each_verifies_and_processes_once_what_a_gateway_delivers() -> Result<()> {
    let receivers: Vec<Running> = LANGUAGES
        .into_iter()
        .filter_map(|language| Running::start(language, SECRET, Some(NEXT)).transpose())
        .collect::<Result<_>>()?;
    let names: Vec<String> =
        receivers.iter().map(|receiver| format!("{:?}", receiver.language).to_lowercase()).collect();
    // A secret is being changed: to half of them the old one still signs first, to half what they accept comes second.
    let secrets = |place: usize| if place.is_multiple_of(2) { [SECRET, "unknown"] } else { ["unknown", NEXT] };
    let endpoints: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let secrets = secrets(place).map(|secret| json!({"value": secret}));
            endpoint(name, SECRET, json!({"url": "http://receiver.test/webhooks", "secrets": secrets}))
        })
        .collect();
    let setup = Setup::bare(json!({
        "enabled": true,
        "routes": [{"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"}],
        "endpoints": endpoints,
    }));
    let setup = names.iter().zip(&receivers).fold(setup, |setup, (name, to)| setup.with_cluster(name, &to.address));
    let gateway = Gateway::start(&setup)?;
    let samples = fs::read_to_string(gatepost_kit::workspace::root()?.join("envoy/testdata/events.jsonl"))?;
    let mut sent = BTreeSet::new();
    for line in samples.lines() {
        let sample: Value = serde_json::from_str(line)?;
        let event = sample["event"].as_str().unwrap();
        sent.insert(format!("{} {event}", gateway.send(&Event::new(event, line))?.id()?));
    }
    assert_eq!(sent.len(), 10);
    for receiver in &receivers {
        let processed = receiver.wait_for(sent.len())?;
        assert_eq!(BTreeSet::from_iter(processed.clone()), sent, "{:?}: {}", receiver.language, receiver.log());
        assert_eq!(processed.len(), sent.len(), "{:?}: {processed:?}", receiver.language);
        // What it has processed it may not yet have answered.
        let log = receiver.wait_for_log(sent.len())?;
        assert_eq!(log.lines().count(), sent.len(), "{:?}: {log}", receiver.language);
    }
    Ok(())
}
