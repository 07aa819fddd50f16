//! The queue is bounded.

use host_tests::{Process, Reply, Request, Upstream};
use serde_json::json;

use crate::support::{accept, answer, config, endpoint, event, gateway, with};

fn assert_full(process: &mut Process, event: Request) {
    let answer = answer(process, 0, event);
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[test]
fn the_queue_of_a_worker_is_bounded_in_deliveries_and_in_bytes() {
    for (limits, pending, expected) in
        [(json!({"pending": 8}), 8, 8), (json!({"pending_bytes": 4096, "body": 1024}), 10_000, 4)]
    {
        let mut config = config([with(endpoint("billing"), json!({"pending": pending}))]);
        config["limits"] = limits;
        let hanging = Upstream::always(Reply::hang());
        let mut process = gateway(&config).cluster("billing", hanging).start().expect("it starts");
        let large = event("payment_verified").body(vec![b'x'; 1000]);
        let mut taken = 0;
        while answer(&mut process, 0, large.clone()).status() == 202 {
            taken += 1;
            assert!(taken < 100, "the queue has no end");
        }
        assert_eq!(taken, expected);
        assert_full(&mut process, large);
        accept(&mut process, 1, event("payment_verified"));
    }
}
