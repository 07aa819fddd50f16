//! Ten thousand events.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use gatepost_e2e::load::Load;
use gatepost_e2e::{Event, Gateway, Protocol, Setup, endpoint};
use gatepost_kit::receiver::{Counters, Options, Receiver};
use gatepost_kit::wait;
use serde_json::json;

use crate::isolation::one_load_at_a_time;

/// Of 10 000 events over 8 http1 connections none is lost and none arrives twice.
#[test]
fn ten_thousand_events_over_http1_arrive_exactly_once() -> Result<()> {
    every_event_arrives_once(Protocol::Http1)
}

/// Of 10 000 events over 8 http2 connections none is lost and none arrives twice.
#[test]
fn ten_thousand_events_over_http2_arrive_exactly_once() -> Result<()> {
    every_event_arrives_once(Protocol::Http2)
}

fn every_event_arrives_once(protocol: Protocol) -> Result<()> {
    let _alone = one_load_at_a_time();
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options { port: 0, compact: true, ..Options::default() })?;
    // Where the receiver is slower than the load, all of them may wait.
    let roomy = endpoint("a", "secret-of-a", json!({"pending": 10_000}));
    let gateway = Gateway::start(&Setup::new(&receiver, &[roomy]))?;
    let load = Load { protocol, connections: 8, events: 1250, every: None };
    let body = format!("{{\"filler\":\"{}\"}}", "x".repeat(1000));
    let accepted = load.run(&gateway, &Event::new("payment_verified", body))?;
    let sent: BTreeSet<&str> = accepted.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(sent.len(), 10_000, "each event has an id of its own");
    wait::until("10,000 events are delivered", Duration::from_secs(120), || {
        Ok((receiver.counters("a")?.delivered >= 10_000).then_some(()))
    })?;
    let records = receiver.records("a", 0)?;
    assert_eq!(records.iter().map(|record| record.id.as_str()).collect::<BTreeSet<_>>(), sent);
    let expected = Counters { requests: 10_000, verified: 10_000, refused: 0, delivered: 10_000, duplicates: 0 };
    assert_eq!(receiver.counters("a")?, expected);
    for worker in ["worker_0", "worker_1"] {
        let name = format!("listener.127.0.0.1_0.{worker}.downstream_cx_total");
        assert!(gateway.envoy.stat(&name)? >= 4, "{worker} had its share of the connections");
    }
    assert_eq!(gateway.traps()?, 0);
    Ok(())
}
