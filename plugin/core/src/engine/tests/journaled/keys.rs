//! Idempotency keys that hold in the fleet.

use super::*;
use crate::ingress::idempotency::IdempotencyKey;

impl Gateways {
    /// Sends the event with its key to a gateway.
    pub(super) fn offer_keyed(&mut self, gateway: usize, stream: u32) -> Reply {
        let key = Some(IdempotencyKey::new("ingest", None, b"order-1", &[PAYLOAD]));
        let offer = Offer { key, ..offer_of(stream, "paid", PAYLOAD) };
        self.processes[gateway].run(0, |engine, world| engine.handle_event(world, offer))
    }
}

/// An event that another gateway has answered by its key is delivered, although the gateway that took it never heard of
/// its commit and refused it.
#[test]
fn event_that_was_answered_elsewhere_is_never_made_void() {
    let mut gateways = Gateways::new(&[&billing(""), &billing("")]);
    let writer = gateways.processes[0].workers[0].journal.as_ref().unwrap().writer.id();
    gateways.fault(&format!("/j/{writer}"), Fault::AnswerLost);
    assert!(gateways.offer_keyed(0, 7).answer.is_none());
    assert!(gateways.pass(1_000).is_empty());
    gateways.offer_keyed(1, 8);
    gateways.pass(100);
    let accepted = gateways.told();
    assert!(matches!(accepted.as_slice(), [(1, 8, 202, _)]), "{accepted:?}");
    gateways.pass(3_500);
    assert_eq!(gateways.statuses(), [503]);
    gateways.etcd.faults.clear();
    assert_eq!(gateways.answer_all(1_500, |_| 200), [(0, "billing".to_owned(), 1)]);
    // Whoever sends it again hears the same.
    gateways.offer_keyed(0, 9);
    gateways.pass(100);
    assert!(matches!(gateways.told().as_slice(), [(0, 9, 202, body)] if *body == accepted[0].3));
    assert!(gateways.etcd.found("/j/").iter().all(|(_, value)| value.is_empty()));
}
