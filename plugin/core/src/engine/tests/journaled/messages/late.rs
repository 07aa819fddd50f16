//! Calls about messages that come late.

use super::*;

/// A try of a claim that comes late, when the message was refused meanwhile, claims nothing.
#[test]
fn late_try_of_a_released_claim_claims_nothing() {
    let mut gateways = Gateways::with_rule(2, "");
    gateways.deliver(0, 1, b"to have a lease", 204);
    gateways.fault(IDS, Fault::Late);
    let mut sending = gateways.send(0, 2, b"{}");
    assert_eq!(gateways.result(&mut sending, 100), None);
    gateways.etcd.faults.clear();
    assert_eq!(gateways.result(&mut sending, 100), Some(0));
    gateways.respond(&mut sending, 503);
    gateways.end_stream(&mut sending);
    gateways.pass(100);
    let now = Instant::from_nanos(gateways.processes[0].millis * 1_000_000);
    gateways.etcd.apply_late(now);
    assert_eq!(gateways.deliver(1, 3, b"{}", 204), Some(0));
}
