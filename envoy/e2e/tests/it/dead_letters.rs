//! What has failed for good.

use std::time::Duration;

use anyhow::Result;
use gatepost_cli::receiver::{Options, Receiver};
use gatepost_cli::wait;
use gatepost_e2e::{Event, Gateway, Setup, endpoint};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_delivery_that_failed_for_good_goes_to_the_sink_with_its_body_its_id_and_the_reason() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a"), ("dlq", "secret-of-a")], &Options::default())?;
    let policy = json!({
        "retry": {"delays": ["0s", "0.1s"]},
        "dead_letter": {"cluster": "dlq", "url": "http://receiver.test/dlq"},
    });
    let setup = Setup::new(&receiver, &[endpoint("a", "secret-of-a", policy)]);
    let gateway = Gateway::start(&setup.with_cluster("dlq", receiver.address()))?;
    let final_answer = json!({"replies": [{"status": 400}]});
    let schedule_at_its_end = json!({"replies": [{"status": 503}, {"status": 503}]});
    for (sent, script) in [final_answer, schedule_at_its_end].into_iter().enumerate() {
        receiver.script("a", &script)?;
        let body = format!("{{\"number\":{sent}}}");
        let id = gateway.send(&Event::new("payment_verified", body.clone()))?.id()?;
        let letters = receiver.wait_for("dlq", sent + 1, DEADLINE)?;
        let letter = &letters[sent];
        assert_eq!((&letter.id, &letter.problem), (&id, &None));
        assert_eq!(letter.body(), body.as_bytes());
        assert_eq!(letter.header("x-webhook-endpoint"), "a");
        assert_eq!(letter.header("x-webhook-dead-letter"), "failed");
    }
    let failed = "gatepost_deliveries_total{endpoint=\"a\",result=\"failed\"}";
    wait::until("both are counted", DEADLINE, || Ok((gateway.envoy.series(failed)? == Some(2.0)).then_some(())))?;
    assert_eq!(receiver.counters("a")?.requests, 3, "nothing is sent to the endpoint after that");
    Ok(())
}
