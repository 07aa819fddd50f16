//! Requests no good producer would send.

use std::time::Duration;

use anyhow::Result;
use gatepost_e2e::client::send_raw;
use gatepost_e2e::{Connection, Event, Gateway, Protocol, Setup, endpoint};
use gatepost_kit::example::AUTHORIZATION;
use gatepost_kit::receiver::{Options, Receiver};
use serde_json::json;

/// A gateway whose only route needs JSON, for it puts the body into an envelope.
fn start() -> Result<(Receiver, Gateway)> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    let route = json!({
        "name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}", "payload": "envelope",
        "metadata": {"tenant": "{header:x-tenant-id}"},
    });
    let setup = Setup::new(&receiver, &[endpoint("a", "secret-of-a", json!({}))]);
    let gateway = Gateway::start(&setup.with(json!({"routes": [route]})))?;
    Ok((receiver, gateway))
}

/// Two connections open at once: with nothing else open, one for each worker.
fn both_workers(gateway: &Gateway, protocol: Protocol) -> Result<[Connection; 2]> {
    Ok([gateway.connect(protocol)?, gateway.connect(protocol)?])
}

/// What is refused: a name for it, the request, and the status of the answer.
fn refused() -> Vec<(&'static str, Event, u16)> {
    let get = Event { method: "GET".to_owned(), ..Event::new("payment_verified", "") };
    vec![
        ("an empty body", Event::new("payment_verified", ""), 400),
        ("not JSON", Event::new("payment_verified", "{\"amount\":"), 400),
        ("two values", Event::new("payment_verified", "{} {}"), 400),
        ("not UTF-8", Event::new("payment_verified", b"{\"name\":\"\xff\xfe\"}".to_vec()), 400),
        ("nested 100,000 deep and never closed", Event::new("payment_verified", vec![b'['; 100_000]), 400),
        ("nested 100,000 deep", Event::new("payment_verified", nested(100_000)), 400),
        ("nested 128 deep", Event::new("payment_verified", nested(128)), 400),
        ("300 KiB", Event::new("payment_verified", vec![b' '; 300 * 1024]), 413),
        ("5 MiB", Event::new("payment_verified", vec![b' '; 5 * 1024 * 1024]), 413),
        ("an event type of 10,000 characters", Event::new(&"a".repeat(10_000), "{}"), 400),
        ("CR and LF in the event type", Event::new("payment%0d%0aX-Injected:%201", "{}"), 400),
        ("an event type in Cyrillic", Event::new("%D0%BF%D0%BB%D0%B0%D1%82%D0%B5%D0%B6", "{}"), 400),
        ("another method", get, 405),
    ]
}

/// JSON of so many arrays, each in the other.
fn nested(levels: usize) -> Vec<u8> {
    [vec![b'['; levels], vec![b']'; levels]].concat()
}

/// What is refused is refused with its status and the next request works.
#[test]
fn bad_request_gets_its_status_and_the_next_one_works() -> Result<()> {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (receiver, gateway) = start()?;
        let mut delivered = 0;
        for (what, event, status) in refused() {
            for mut connection in both_workers(&gateway, protocol)? {
                let answer = connection.send(&event)?;
                assert_eq!(answer.status, status, "{protocol:?}, {what}: {}", answer.text());
                assert_eq!(answer.header("content-type"), "application/problem+json", "{protocol:?}, {what}");
                assert_eq!(answer.json()?["status"], status, "{protocol:?}, {what}");
                assert_eq!(answer.header("allow"), if status == 405 { "POST" } else { "" }, "{protocol:?}, {what}");
            }
            for mut connection in both_workers(&gateway, protocol)? {
                let answer = connection.send(&Event::new("payment_verified", "{}"))?;
                assert_eq!(answer.status, 202, "{protocol:?}, after {what}: {}", answer.text());
                delivered += 1;
            }
        }
        let records = receiver.wait_for("a", delivered, Duration::from_secs(30))?;
        assert_eq!(records.len(), delivered);
        assert_eq!(gateway.traps()?, 0);
    }
    Ok(())
}

/// Trailers repeated headers a body in pieces and a deep one do no harm.
#[test]
fn trailers_repeated_headers_and_chunked_bodies_do_no_harm() -> Result<()> {
    let (receiver, gateway) = start()?;
    let plain = Event::new("payment_verified", "{\"amount\":42}");
    let repeated = plain.clone().with_header("content-type", "text/plain").with_header("x-tenant-id", "acme");
    let repeated = repeated.with_header("x-tenant-id", "\u{fc}mlaut").with_header("traceparent", "not a trace");
    let trailers = Event { trailers: vec![("x-checksum".to_owned(), "1".to_owned())], ..plain.clone() };
    let mut sent = 0;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for event in [&plain, &trailers, &repeated] {
            let answer = gateway.connect(protocol)?.send(event)?;
            assert_eq!(answer.status, 202, "{protocol:?}: {}", answer.text());
            sent += 1;
        }
    }
    let chunked = format!(
        "POST /events/payment_verified HTTP/1.1\r\nhost: x\r\nauthorization: {AUTHORIZATION}\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n8\r\n{{\"amount\r\n5\r\n\":42}}\r\n0\r\nx-checksum: 1\r\n\r\n"
    );
    let answer = send_raw(gateway.address(), chunked.as_bytes())?;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    sent += 1;
    let records = receiver.wait_for("a", sent, Duration::from_secs(30))?;
    for record in &records {
        assert_eq!(record.problem, None);
        let body: serde_json::Value = serde_json::from_slice(&record.body())?;
        assert_eq!(body["data"], json!({"amount": 42}), "{body}");
    }
    let deep = nested(127);
    assert_eq!(gateway.send(&Event::new("payment_verified", deep.clone()))?.status, 202);
    let records = receiver.wait_for("a", sent + 1, Duration::from_secs(30))?;
    assert_eq!(records[sent].problem, None);
    assert!(records[sent].body().windows(deep.len()).any(|part| part == deep), "the body arrives as it was sent");
    assert_eq!(gateway.traps()?, 0);
    Ok(())
}

/// Line breaks and zero bytes in a path or header reach neither filter nor receiver.
#[test]
fn line_breaks_and_nul_bytes_reach_no_filter_or_receiver() -> Result<()> {
    let (receiver, gateway) = start()?;
    let address = gateway.address();
    for request in [
        format!("POST /events/pay\r\nX-Injected: 1 HTTP/1.1\r\nhost: x\r\nauthorization: {AUTHORIZATION}\r\n\r\n"),
        format!("POST /events/payment%00 HTTP/1.1\r\nhost: x\r\nauthorization: {AUTHORIZATION}\r\n\r\n"),
        format!("POST /events/pay\rment HTTP/1.1\r\nhost: x\r\nauthorization: {AUTHORIZATION}\r\n\r\n"),
        format!(
            "POST /events/payment HTTP/1.1\r\nhost: x\r\nx-tenant-id: a\0b\r\nauthorization: {AUTHORIZATION}\r\n\r\n"
        ),
    ] {
        let answer = send_raw(address, request.as_bytes())?;
        // Envoy's own refusal: 400, or 426 where the line looks like HTTP/0.9.
        assert!(answer.starts_with("HTTP/1.1 4"), "{request:?}: {answer}");
    }
    assert_eq!(gateway.send(&Event::new("payment_verified", "{}"))?.status, 202);
    assert_eq!(receiver.wait_for("a", 1, Duration::from_secs(30))?.len(), 1);
    assert_eq!(gateway.traps()?, 0);
    Ok(())
}

#[test]
fn a_request_without_credentials_never_reaches_the_filter() -> Result<()> {
    let (receiver, gateway) = start()?;
    let request = "POST /events/payment HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    let answer = send_raw(gateway.address(), request.as_bytes())?;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    // What is no event at all passes the filter by, to the route's own answer.
    let elsewhere = Event { path: "/elsewhere".to_owned(), ..Event::new("", "{}") };
    assert_eq!(gateway.send(&elsewhere)?.status, 404);
    assert_eq!(gateway.send(&Event::new("payment_verified", "{}"))?.status, 202);
    assert_eq!(receiver.wait_for("a", 1, Duration::from_secs(30))?.len(), 1);
    Ok(())
}
