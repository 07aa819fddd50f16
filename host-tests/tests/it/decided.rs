//! What a fleet has decided holds at each of its gateways, also at one that has just started.

use etcd_model::{Etcd, Outage};
use host_tests::{Answer, Process};
use serde_json::{Value, json};

use crate::fleet::{ETCD, Gateways, NAMES};
use crate::operator::{administered, done, operate, status};
use crate::support::{accept, body, config, endpoint, event, seconds};

impl Gateways {
    /// Two gateways whose events are kept in memory only, so that nothing but the operators' word holds them back.
    fn in_memory() -> Self {
        let mut config = administered(config([endpoint("billing")]));
        config["routes"][0]["durability"] = json!("memory");
        Self::start(config, json!({}))
    }

    fn order(&mut self, name: &str, state: &str) -> Answer {
        let command = json!({"state": state, "reason": "a test"});
        self.with(name, |process| operate(process, 0, "PUT", "state", &command))
    }

    fn disable_endpoint(&mut self, name: &str) {
        let command = json!({"disabled": true});
        self.with(name, |process| done(process, 0, "PATCH", "endpoints/billing", &command));
    }

    fn status(&mut self, name: &str) -> Value {
        self.with(name, status)
    }

    fn attempts(&self, name: &str) -> usize {
        self.process(name).calls("billing").len()
    }

    /// Starts the second gateway again, until its workers take requests.
    fn restart(&mut self) {
        self.fleet.kill("two");
        self.start_again("two");
        self.advance(1_000);
    }
}

/// An event at each worker.
fn accepted(process: &mut Process) {
    for worker in [0, 1] {
        accept(process, worker, event("paid"));
    }
}

/// Its config says that it delivers, and its fleet is paused.
#[test]
fn gateway_that_starts_attempts_nothing_in_a_paused_fleet() {
    let mut gateways = Gateways::in_memory();
    assert_eq!(gateways.order("one", "paused").status(), 200);
    gateways.advance(2_000);
    gateways.restart();
    gateways.with("two", accepted);
    gateways.advance(10_000);
    assert_eq!(gateways.attempts("two"), 0);
    assert_eq!(gateways.order("two", "enabled").status(), 200);
    gateways.advance(2_000);
    assert_eq!(gateways.attempts("two"), 2);
}

/// An order that would be overwritten by what the fleet has decided is refused, and says so.
#[test]
fn order_is_refused_until_the_gateway_knows_its_fleet() {
    let mut gateways = Gateways::in_memory();
    assert_eq!(gateways.order("one", "paused").status(), 200);
    gateways.advance(2_000);
    gateways.etcd.fail(Outage::Stopped, seconds(2));
    gateways.restart();
    gateways.advance(500);
    let refused = gateways.order("two", "disabled");
    assert_eq!((refused.status(), refused.header("retry-after")), (503, "1"));
    assert!(body(&refused)["detail"].as_str().is_some_and(|detail| detail.contains("what its fleet has decided")));
    gateways.advance(3_000);
    assert_eq!(gateways.status("two")["state"], "paused");
    assert_eq!(gateways.order("two", "disabled").status(), 200);
    gateways.advance(2_000);
    assert_eq!(gateways.status("one")["state"], "disabled");
}

/// While etcd is away a gateway that starts delivers after three seconds, and takes orders, which the fleet has when etcd is
/// back; what else the fleet had decided holds there, too.
#[test]
fn order_at_a_gateway_that_started_without_etcd_is_the_fleets_later() {
    let mut gateways = Gateways::in_memory();
    gateways.disable_endpoint("one");
    gateways.advance(2_000);
    gateways.etcd.fail(Outage::Down, seconds(30));
    gateways.restart();
    gateways.with("two", accepted);
    assert_eq!(gateways.attempts("two"), 0);
    gateways.advance(4_000);
    assert_eq!(gateways.attempts("two"), 2, "the config decides");
    let rollout = gateways.with("two", |process| operate(process, 0, "PUT", "rollout", &json!({"percent": 10})));
    assert_eq!(rollout.status(), 503, "nobody knows how far it has come");
    assert_eq!(gateways.order("two", "paused").status(), 200);
    gateways.advance(40_000);
    for name in ["one", "two"] {
        let status = gateways.status(name);
        assert_eq!((&status["state"], &status["endpoints"][0]["disabled"]), (&json!("paused"), &json!(true)), "{name}");
    }
}

/// A share that was set in a rollout without phases is the fleet's, and so is that it was taken back.
#[test]
fn share_that_is_taken_back_is_taken_back_everywhere() {
    let mut gateways = Gateways::in_memory();
    for (method, path, command, percent) in
        [("PUT", "rollout", json!({"percent": 25}), 25.0), ("DELETE", "overrides", json!(null), 100.0)]
    {
        gateways.with("one", |process| done(process, 0, method, path, &command));
        gateways.advance(3_000);
        for name in NAMES {
            let status = gateways.status(name);
            assert_eq!(status["endpoints"][0]["rollout"]["percent"], percent, "{method} {path} at {name}: {status}");
        }
    }
}

/// An etcd that was set up anew knows nothing of what was decided: the gateways tell it, and go on as a fleet.
#[test]
fn new_etcd_is_told_what_was_decided() {
    let mut gateways = Gateways::in_memory();
    assert_eq!(gateways.order("one", "paused").status(), 200);
    gateways.advance(10_000);
    gateways.etcd = Etcd::new(8);
    for name in NAMES {
        let upstream = gateways.etcd.upstream(name, gateways.fleet.now());
        gateways.with(name, |process| process.set_upstream(ETCD, upstream));
    }
    gateways.advance(15_000);
    gateways.disable_endpoint("two");
    gateways.advance(3_000);
    for name in NAMES {
        let status = gateways.status(name);
        assert_eq!((&status["state"], &status["endpoints"][0]["disabled"]), (&json!("paused"), &json!(true)), "{name}");
    }
    assert_eq!(gateways.order("one", "enabled").status(), 200);
    gateways.advance(3_000);
    assert_eq!(gateways.status("two")["state"], "enabled");
}
