//! The metrics agree with what receivers saw, event for event.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use gatepost_e2e::load::Load;
use gatepost_e2e::{Event, Gateway, Protocol, Setup, endpoint};
use gatepost_kit::receiver::{Options, Receiver};
use gatepost_kit::wait;
use serde_json::{Value, json};

use crate::admin::Operator;
use crate::isolation::one_load_at_a_time;

const EVENTS: u32 = 10_000;
const DEADLINE: Duration = Duration::from_secs(120);

/// Of a hundred attempts: sixteen that are tried again, nine that fail at once, three that time out.
fn replies() -> Vec<Value> {
    let of = |number: u32| match number % 100 {
        0..16 => json!({"status": 503}),
        16..25 => json!({"status": 400 + number % 2}),
        25..28 => json!({"act": "hang"}),
        28 => json!({"status": 302}),
        _ => json!({"status": 200}),
    };
    // 37 and 100 have no common divisor: they come mixed, and each as often.
    (0..2 * EVENTS).map(|number| of(number * 37)).collect()
}

/// The attempts as the receiver saw them, by the outcome they must have had.
fn seen(receiver: &Receiver) -> Result<BTreeMap<&'static str, u64>> {
    let mut seen = BTreeMap::new();
    for record in receiver.records("a", 0)? {
        assert_eq!(record.problem, None);
        let outcome = match record.reply.get("status").and_then(Value::as_u64) {
            _ if record.reply.get("act").is_some() => "timeout",
            None | Some(200) => "2xx",
            Some(302) => "3xx",
            Some(503) => "5xx",
            Some(_) => "4xx",
        };
        *seen.entry(outcome).or_default() += 1;
    }
    Ok(seen)
}

/// The series of a metric that are not 0, by the value of their last label.
fn series(gateway: &Gateway, metric: &str) -> Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for line in gateway.envoy.admin("/stats/prometheus")?.lines() {
        let Some((name, value)) =
            line.strip_prefix(metric).filter(|rest| rest.starts_with('{')).and_then(|rest| rest.rsplit_once(' '))
        else {
            continue;
        };
        let label = name.trim_end_matches("\"}").rsplit('"').next().unwrap_or_default();
        let value: f64 = value.parse().with_context(|| line.to_owned())?;
        if value > 0.0 {
            found.insert(label.to_owned(), value as u64);
        }
    }
    Ok(found)
}

fn strings(counts: &BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(outcome, count)| ((*outcome).to_owned(), *count)).collect()
}

/// Of ten thousand mixed events every counter equals what the receiver counted.
#[test]
fn counters_equal_the_receivers_over_ten_thousand_events() -> Result<()> {
    let _alone = one_load_at_a_time();
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    receiver.script("a", &json!({"replies": replies()}))?;
    let entry = json!({"retry": {"delays": ["0s", "1s", "1s"]}, "timeout": "3s", "breaker": {"failures": 100}, "pending": 10_000});
    let setup = Setup::new(&receiver, &[endpoint("a", "secret-of-a", entry)]);
    let gateway = Gateway::start(&setup.with(json!({"limits": {"dead_letters": 10_000}})))?;
    let operator = Operator::of(&gateway)?;
    let load =
        Load { protocol: Protocol::Http1, connections: 8, events: EVENTS / 8, every: Some(Duration::from_millis(4)) };
    let accepted = load.run(&gateway, &Event::new("paid", "{}"))?;
    assert_eq!(accepted.len() as u32, EVENTS);
    let at_rest = || operator.wait_for_status("/pending", &json!(0));
    at_rest()?;
    let letters = operator.status("/dead_letters")?.as_u64().context("a number")?;
    assert!(letters > 1000, "{letters}");
    agrees(&gateway, &operator, &receiver, letters, 0)?;

    // What has failed is redelivered, and arrives.
    receiver.script("a", &json!({}))?;
    operator.done("POST", "dead-letters/redeliver", &Value::Null)?;
    at_rest()?;
    agrees(&gateway, &operator, &receiver, letters, letters)
}

/// All that is counted anywhere is what the receiver counted; so many deliveries failed, and were redelivered since.
fn agrees(gateway: &Gateway, operator: &Operator, receiver: &Receiver, failed: u64, redelivered: u64) -> Result<()> {
    let (seen, counters) = (strings(&seen(receiver)?), receiver.counters("a")?);
    let requests: u64 = seen.values().sum();
    assert_eq!(requests, counters.requests);
    let delivered = u64::from(EVENTS) - failed + redelivered;
    assert_eq!((counters.delivered, counters.duplicates), (delivered, 0));
    assert_eq!(series(gateway, "gatepost_attempts_total")?, seen);
    let events = BTreeMap::from([("accepted".to_owned(), u64::from(EVENTS))]);
    assert_eq!(series(gateway, "gatepost_events_total")?, events);
    let deliveries = BTreeMap::from([("delivered".to_owned(), delivered), ("failed".to_owned(), failed)]);
    assert_eq!(series(gateway, "gatepost_deliveries_total")?, deliveries);
    let of_a = |metric: &str| gateway.envoy.series(&format!("{metric}{{endpoint=\"a\"}}"));
    // Histograms are merged every few seconds, gauges told once a second.
    wait::until("the histograms are merged", DEADLINE, || {
        let counts = (of_a("gatepost_attempt_duration_ms_count")?, of_a("gatepost_delivery_duration_ms_count")?);
        Ok((counts == (Some(requests as f64), Some((delivered + failed) as f64))).then_some(()))
    })?;
    wait::until("the gauges are told", DEADLINE, || {
        let gauges = (of_a("gatepost_pending")?, gateway.envoy.series("gatepost_dead_letters{}")?);
        Ok((gauges == (Some(0.0), Some((failed - redelivered) as f64))).then_some(()))
    })?;
    let expected = json!({
        "accepted": EVENTS, "attempts": requests,
        "delivered": delivered, "failed": failed, "expired": 0,
    });
    operator.wait_for_status("/endpoints/0/counters", &expected)?;
    let hours = operator.done("GET", "hours?endpoint=a&hours=2", &Value::Null)?;
    let sum = |pointer: &str| -> u64 {
        let hours = hours.get("hours").and_then(Value::as_array).into_iter().flatten();
        hours.filter_map(|hour| hour.pointer(pointer)?.as_u64()).sum()
    };
    assert_eq!((sum("/delivered"), sum("/failed"), sum("/expired")), (delivered, failed, 0));
    for (outcome, count) in &seen {
        assert_eq!(sum(&format!("/attempts/{outcome}")), *count, "{outcome}");
    }
    Ok(())
}
