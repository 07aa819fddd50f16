//! The same `Idempotency-Key`, more than once.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use gatepost_cli::receiver::{Options, Receiver};
use gatepost_e2e::{Event, Gateway, Setup, endpoint, load};
use serde_json::json;

#[test]
fn one_key_from_eight_connections_at_once_is_one_event() -> Result<()> {
    let receiver = Receiver::start(&[("a", "secret-of-a")], &Options::default())?;
    let gateway = Gateway::start(&Setup::new(&receiver, &[endpoint("a", "secret-of-a", json!({}))]))?;
    for round in 0..20 {
        let event =
            Event::new("payment_verified", "{\"amount\":42}").with_header("idempotency-key", &round.to_string());
        let mut ids = BTreeSet::new();
        for answer in load::at_once(&gateway, 8, &event)? {
            match answer.status {
                202 => ids.extend([answer.id()?]),
                409 => assert_eq!(answer.header("retry-after"), "1", "still in progress"),
                status => panic!("{status}: {}", answer.text()),
            }
        }
        assert_eq!(ids.len(), 1, "round {round}: {ids:?}");

        let again = gateway.send(&event)?;
        assert_eq!((again.status, again.header("idempotent-replayed")), (202, "true"));
        assert!(ids.contains(&again.id()?));
        let mut other = event.clone();
        other.body = b"{\"amount\":43}".to_vec();
        assert_eq!(gateway.send(&other)?.status, 422, "another body under the same key");
    }
    receiver.wait_for("a", 20, Duration::from_secs(30))?;
    assert_eq!(receiver.counters("a")?.requests, 20);
    Ok(())
}
