//! Events whose attempts kill their gateways, and events that only wait while gateways die.

use super::*;
use crate::egress::state::EndpointKeys;

/// Gateways of which the first, which alone runs, has accepted an event and attempts it.
fn with_attempt(endpoints: &[&str]) -> Gateways {
    let mut gateways = Gateways::new(endpoints);
    gateways.only(&[0]);
    gateways.offer(0, 7);
    assert_eq!(gateways.pass(500).len(), 1);
    gateways
}

/// An event whose attempts kill three gateways that took it over is a dead letter at the next one.
#[test]
fn event_that_kills_three_takers_is_poison() {
    let mut gateways = with_attempt(&[billing("").as_str(); 5]);
    for gateway in 1..=3 {
        gateways.only(&[gateway]);
        assert_eq!(gateways.pass(12_000).len(), 1, "gateway {gateway}");
    }
    gateways.only(&[4]);
    assert_eq!((gateways.pass(12_000).len(), gateways.processes[4].letters()), (0, 1));
    // The letter is the fleet's then, and nothing else is left.
    gateways.pass(3_000);
    assert_eq!((gateways.etcd.found("/j/").len(), gateways.etcd.found("/l/").len()), (0, 1));
}

/// However many gateways die while an endpoint is disabled, what waits for it has killed none of them.
#[test]
fn event_that_waits_while_gateways_die_is_no_poison() {
    let disabled = billing(r#", "disabled": true"#);
    let mut gateways = with_attempt(&[&billing(""), &disabled, &disabled, &disabled, &disabled, &billing("")]);
    for gateway in 1..=4 {
        gateways.only(&[gateway]);
        assert_eq!(gateways.pass(12_000).len(), 0, "gateway {gateway}");
    }
    gateways.only(&[5]);
    assert_eq!(gateways.answer_all(12_000, |_| 200), [(5, "billing".to_owned(), 1)]);
}

/// Of events that wait for a place under way or for the rate, only those that were attempted can have killed anything.
#[test]
fn events_behind_one_that_kills_are_no_poison() {
    for limit in [r#", "max_in_flight": 1"#, r#", "rate": {"per_second": 0.02, "burst": 1}"#] {
        let endpoints = billing(limit);
        let mut gateways = Gateways::new(&[endpoints.as_str(); 5]);
        gateways.only(&[0]);
        (7..10).for_each(|stream| drop(gateways.offer(0, stream)));
        assert_eq!(gateways.pass(500).len(), 1);
        for gateway in 1..=3 {
            gateways.only(&[gateway]);
            assert_eq!(gateways.pass(12_000).len(), 1, "{limit}: gateway {gateway}");
        }
        gateways.only(&[4]);
        let delivered = gateways.answer_all(250_000, |_| 200).len();
        assert_eq!((delivered, gateways.processes[4].letters()), (2, 1), "{limit}");
    }
}

/// An endpoint is disabled while the journal is being told of an attempt: the attempt does not leave, and is none.
#[test]
fn attempt_that_is_held_at_the_last_moment_is_no_trial() {
    let mut gateways = with_attempt(&[billing("").as_str(); 5]);
    for gateway in 1..=3 {
        gateways.only(&[gateway]);
        gateways.fault("/p/p/", Fault::Lost);
        assert_eq!(gateways.pass(12_000).len(), 0, "gateway {gateway}");
        let store = &mut gateways.processes[gateway].store;
        let keys = EndpointKeys::new(&Keys::new("g"), "billing");
        keys.override_disabled(store, false, 0, Some(true)).unwrap();
        gateways.etcd.faults.clear();
        assert_eq!(gateways.pass(3_000).len(), 0, "gateway {gateway}");
    }
    gateways.only(&[4]);
    // What was disabled there last is the fleet's word.
    gateways.pass(12_000);
    let store = &mut gateways.processes[4].store;
    EndpointKeys::new(&Keys::new("g"), "billing").override_disabled(store, false, 0, Some(false)).unwrap();
    assert_eq!(gateways.answer_all(12_000, |_| 200), [(4, "billing".to_owned(), 1)]);
}
