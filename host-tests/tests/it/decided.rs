//! A gateway that starts does what its fleet has decided, and what is ordered there is not lost.

use etcd_model::Outage;
use host_tests::{Answer, Process};
use serde_json::{Value, json};

use crate::fleet::Gateways;
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

fn accepted(process: &mut Process) {
    accept(process, 0, event("paid"));
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
    assert_eq!(gateways.attempts("two"), 1);
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
    assert_eq!(gateways.attempts("two"), 1, "the config decides");
    assert_eq!(gateways.order("two", "paused").status(), 200);
    gateways.advance(40_000);
    for name in ["one", "two"] {
        let status = gateways.status(name);
        assert_eq!((&status["state"], &status["endpoints"][0]["disabled"]), (&json!("paused"), &json!(true)), "{name}");
    }
}
