//! `enabled`, left out.

use std::time::Duration;

use anyhow::Result;
use gatepost_cli::receiver::{Options, Receiver};
use gatepost_e2e::{Event, Gateway, Protocol, Setup, endpoint};
use serde_json::json;

#[test]
fn without_enabled_producers_get_202_and_nothing_is_ever_sent() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    let on = Setup::new(&receiver, &[endpoint("a", "secret-of-a", json!({}))]);
    let gateway = Gateway::start_dynamic(&on.clone().without("enabled"))?;
    for protocol in [Protocol::Http1, Protocol::Http1, Protocol::Http2, Protocol::Http2] {
        let mut connection = gateway.connect(protocol)?;
        for _ in 0..10 {
            let answer = connection.send(&Event::new("payment_verified", "{}"))?;
            assert_eq!(answer.status, 202);
            let body = answer.json()?;
            assert_eq!(body["status"], "disabled", "{body}");
            assert_eq!(body["deliveries"], json!([]), "{body}");
        }
    }
    // Switched on, the same gateway delivers at once, but nothing of what came before.
    assert!(gateway.update(&on)?, "Envoy takes it");
    let answer = gateway.send(&Event::new("payment_verified", "{}"))?;
    assert_eq!(answer.json()?["status"], "accepted", "{}", answer.text());
    let id = answer.id()?;
    let records = receiver.wait_for("a", 1, Duration::from_secs(30))?;
    assert_eq!(records.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), [id]);
    Ok(())
}
