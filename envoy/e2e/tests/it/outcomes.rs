//! What an attempt's end does to a delivery.

use std::time::Duration;

use anyhow::Result;
use gatepost_cli::receiver::{Options, Receiver, Record, unanswered};
use gatepost_cli::wait;
use gatepost_e2e::{Event, Gateway, Setup, endpoint};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(30);
/// In seconds: a timestamp has milliseconds, and the clock it is read from is not the one that delays are measured by.
pub const PRECISION: f64 = 0.02;

/// A gateway with one endpoint, `a`, and the receiver that answers there as scripted.
fn start(more: Value, script: Value) -> Result<(Receiver, Gateway)> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    receiver.script("a", &script)?;
    let gateway = Gateway::start(&Setup::new(&receiver, &[endpoint("a", "secret-of-a", more)]))?;
    Ok((receiver, gateway))
}

/// An attempt was not made earlier after the one before it. It is late by what this machine does besides; that it is not
/// late otherwise is shown where time is simulated.
fn assert_gap(records: &[Record], second: usize, expected: f64) {
    let gap = records[second].signed - records[second - 1].signed;
    assert!(gap > expected - PRECISION, "attempt {}: after {gap} s, not {expected} s", second + 1);
}

#[test]
fn two_503_and_a_200_are_three_attempts_on_schedule_with_one_id_and_three_signatures() -> Result<()> {
    let schedule = json!({"retry": {"delays": ["0s", "2s", "4s"]}});
    let (receiver, gateway) = start(schedule, json!({"replies": [{"status": 503}, {"status": 503}]}))?;
    let answer = gateway.send(&Event::new("payment_verified", "{\"amount\":42}"))?;
    assert_eq!(answer.status, 202);
    let records = receiver.wait_for("a", 3, DEADLINE)?;
    assert_gap(&records, 1, 2.0);
    assert_gap(&records, 2, 4.0);
    for (record, attempt) in records.iter().zip(["1", "2", "3"]) {
        assert_eq!(record.problem, None, "attempt {attempt}");
        assert_eq!(record.id, answer.id()?);
        assert_eq!(record.header("x-webhook-attempt"), attempt);
    }
    for name in ["x-webhook-timestamp", "x-webhook-signature"] {
        let mut values: Vec<&str> = records.iter().map(|record| record.header(name)).collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 3, "{name} is made anew for each attempt");
    }
    Ok(())
}

#[test]
fn a_400_is_not_tried_again() -> Result<()> {
    let schedule = json!({"retry": {"delays": ["0s", "0.3s", "0.3s"]}});
    let replies = json!({"replies": [{"status": 400}, {"status": 503}, {"status": 503}]});
    let (receiver, gateway) = start(schedule, replies)?;
    let refused = gateway.send(&Event::new("first", "{}"))?.id()?;
    receiver.wait_for("a", 1, DEADLINE)?;
    // The second event's three attempts take twice the delay after which the first would have been tried again.
    let retried = gateway.send(&Event::new("second", "{}"))?.id()?;
    let ids: Vec<String> = receiver.wait_for("a", 4, DEADLINE)?.into_iter().map(|record| record.id).collect();
    assert_eq!(ids, [refused, retried.clone(), retried.clone(), retried]);
    Ok(())
}

#[test]
fn an_attempt_that_times_out_is_made_again_the_delay_after_it_ended() -> Result<()> {
    let schedule = json!({"timeout": "1s", "retry": {"delays": ["0s", "0.5s"]}});
    let (receiver, gateway) = start(schedule, json!({"replies": [{"act": "hang"}]}))?;
    gateway.send(&Event::new("payment_verified", "{}"))?;
    let records = receiver.wait_for("a", 2, DEADLINE)?;
    assert_gap(&records, 1, 1.5);
    assert_eq!(records[1].header("x-webhook-attempt"), "2");
    assert_eq!(receiver.counters("a")?.delivered, 1);
    Ok(())
}

#[test]
fn a_connection_broken_before_or_within_the_answer_is_tried_again() -> Result<()> {
    let schedule = json!({"retry": {"delays": ["0s", "0.1s", "0.1s"]}});
    let (receiver, gateway) = start(schedule, json!({"replies": [{"act": "reset"}, {"act": "drop"}]}))?;
    gateway.send(&Event::new("payment_verified", "{}"))?;
    let records = receiver.wait_for("a", 3, DEADLINE)?;
    let attempts: Vec<&str> = records.iter().map(|record| record.header("x-webhook-attempt")).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    assert_eq!(receiver.counters("a")?.delivered, 1);
    Ok(())
}

#[test]
fn a_refused_connection_is_tried_again_until_the_receiver_is_there() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    let (_held, address) = unanswered()?;
    let schedule = json!({"retry": {"delays": ["0s", "0.5s", "2s", "2s", "2s", "2s"]}, "breaker": {"failures": 100}});
    let setup = Setup::new(&receiver, &[endpoint("a", "secret-of-a", schedule)]);
    let gateway = Gateway::start(&setup.with_cluster("a", &address.to_string()))?;
    let id = gateway.send(&Event::new("payment_verified", "{}"))?.id()?;
    wait::until("two attempts are refused", DEADLINE, || {
        Ok((gateway.envoy.stat("cluster.a.upstream_cx_connect_fail")? >= 2).then_some(()))
    })?;
    let late = Receiver::start(&[("a", "secret-of-a")], &Options { port: address.port(), ..Options::default() })?;
    let records = late.wait_for("a", 1, DEADLINE)?;
    assert_eq!((&records[0].id, &records[0].problem), (&id, &None));
    let attempt: u32 = records[0].header("x-webhook-attempt").parse()?;
    assert!(attempt >= 3, "a refused connection is an attempt, and this was attempt {attempt}");
    Ok(())
}

#[test]
fn retry_after_on_a_429_is_waited_for_when_it_is_later_than_the_schedule() -> Result<()> {
    let schedule = json!({"retry": {"delays": ["0s", "1s"]}});
    let reply = json!({"status": 429, "headers": {"retry-after": "3"}});
    let (receiver, gateway) = start(schedule, json!({"replies": [reply]}))?;
    gateway.send(&Event::new("payment_verified", "{}"))?;
    let records = receiver.wait_for("a", 2, DEADLINE)?;
    assert_gap(&records, 1, 3.0);
    Ok(())
}

#[test]
fn a_producer_that_asks_for_it_learns_how_the_delivery_ended() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    let schedule = json!({"retry": {"delays": ["0s", "0.1s"]}});
    let route = json!({
        "name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}",
        "ack": "delivered", "ack_timeout": "5s",
    });
    let setup = Setup::new(&receiver, &[endpoint("a", "secret-of-a", schedule)]);
    let gateway = Gateway::start(&setup.with(json!({"routes": [route]})))?;
    let hang = json!({"replies": [{"act": "hang"}]});
    for (script, status, delivery) in [
        (json!({}), 200, json!({"status": "delivered", "attempts": 1, "response_status": 200})),
        (json!({"replies": [{"status": 503}]}), 200, json!({"status": "delivered", "attempts": 2})),
        (
            json!({"replies": [{"status": 400}]}),
            502,
            json!({"status": "failed", "attempts": 1, "response_status": 400}),
        ),
        (hang, 202, json!({"status": "pending"})),
    ] {
        receiver.script("a", &script)?;
        let answer = gateway.send(&Event::new("payment_verified", "{}"))?;
        assert_eq!(answer.status, status, "{script}: {}", answer.text());
        let body = answer.json()?;
        for (key, value) in delivery.as_object().unwrap() {
            assert_eq!(body["deliveries"][0].get(key), Some(value), "{script}: {body}");
        }
    }
    Ok(())
}
