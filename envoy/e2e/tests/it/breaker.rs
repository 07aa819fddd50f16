//! One breaker for all workers.

use std::time::Duration;

use anyhow::Result;
use gatepost_cli::receiver::{Options, Receiver};
use gatepost_e2e::{Event, Gateway, Protocol, Setup, endpoint};
use serde_json::json;

use crate::admin::Operator;
use crate::outcomes::PRECISION;

const DEADLINE: Duration = Duration::from_secs(60);
const OPEN_SECONDS: f64 = 3.0;
const PROBE_SECONDS: f64 = 1.0;

#[test]
fn five_failures_open_it_for_both_workers_one_probe_closes_it_and_what_waited_is_delivered() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    // Five failures, then a probe that fails, then one that succeeds but takes its time: a second probe would show.
    let failure = json!({"status": 503});
    let slow = json!({"delay": PROBE_SECONDS});
    let replies = [&failure, &failure, &failure, &failure, &failure, &failure, &slow];
    receiver.script("a", &json!({"replies": replies}))?;
    let policy = json!({
        "retry": {"delays": ["0s", "1s", "1s", "1s", "1s", "1s", "1s"]},
        "breaker": {"failures": 5, "window": "120s", "open": "3s"},
    });
    let waiting = json!({"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"});
    let asking = json!({
        "name": "ask", "match": {"path": "/events/ask/{event}"}, "event": "{event}", "ack": "delivered",
    });
    let setup = Setup::new(&receiver, &[endpoint("a", "secret-of-a", policy)]);
    let gateway = Gateway::start(&setup.with(json!({"routes": [waiting, asking]})))?;
    let mut workers = [gateway.connect(Protocol::Http1)?, gateway.connect(Protocol::Http1)?];

    let mut ids = Vec::new();
    for sent in 0..5 {
        ids.push(workers[sent % 2].send(&Event::new("failing", "{}"))?.id()?);
    }
    Operator::of(&gateway)?.wait_for_status("/endpoints/0/breaker/state", &json!("open"))?;
    for worker in &mut workers {
        for _ in 0..10 {
            ids.push(worker.send(&Event::new("waiting", "{}"))?.id()?);
        }
        let mut event = Event::new("waiting", "{}");
        event.path = "/events/ask/waiting".to_owned();
        let answer = worker.send(&event)?;
        assert_eq!(answer.status, 503, "each worker sees it open: {}", answer.text());
        assert!(answer.header("retry-after").parse::<u32>()? >= 1);
    }

    let records = receiver.wait_for("a", 5 + 2 + 24, DEADLINE)?;
    let at: Vec<f64> = records.iter().map(|record| record.signed).collect();
    for (probe, what) in [(5, "the first probe"), (6, "the second probe")] {
        let silence = at[probe] - at[probe - 1];
        assert!(silence >= OPEN_SECONDS - PRECISION, "{what} left {silence} s after the failure before it");
    }
    let alone = at[7] - at[6];
    assert!(
        alone >= PROBE_SECONDS - PRECISION,
        "another request came {alone} s after the probe, which had not been answered"
    );

    let counters = receiver.counters("a")?;
    assert_eq!(counters.delivered, 25, "everything that waited is delivered");
    assert_eq!(counters.duplicates, 0);
    assert!(records.iter().all(|record| ids.contains(&record.id)), "what was answered 503 was never sent");
    let waited = records.iter().filter(|record| record.header("x-webhook-event") == "waiting");
    let highest = waited.map(|record| record.header("x-webhook-attempt")).max();
    assert!(highest <= Some("2"), "waiting costs no attempts: {highest:?}");
    Ok(())
}
