//! A switch at one gateway of a fleet is in force at the other as soon as etcd announces it; where it does not, within the
//! second in which a gateway reads by itself.

use std::time::Duration;

use etcd_messages::WATCH;
use etcd_model::{Disruption, Mishap, Outage, Status};
use serde_json::json;

use crate::fleet::{ETCD, Gateways, NAMES};
use crate::operator::{administered, done};
use crate::support::{config, endpoint, millis, seconds};

/// A worker reads what another of its process has written four times a second; the rest is the way there by etcd.
const AT_ONCE: Duration = Duration::from_millis(300);

/// The same, for a gateway that reads the fleet's documents once a second.
const WITHIN_A_SECOND: Duration = Duration::from_millis(1_300);

/// A stream that is gone is opened again within so many milliseconds.
const AGAIN: u64 = 6_000;

impl Gateways {
    fn operated() -> Self {
        Self::start(administered(config([endpoint("billing")])), json!({}))
    }

    /// The longest of some times from a switch at one gateway until both workers of the other show it; the switches come at
    /// different points of the second.
    fn slowest_switch(&mut self) -> Duration {
        let states = ["paused", "enabled"].into_iter().cycle().take(6);
        let times: Vec<Duration> = states
            .map(|state| {
                self.advance(2_170);
                let command = json!({"state": state, "reason": "a test"});
                self.with("one", |process| done(process, 0, "PUT", "state", &command));
                let switched = self.fleet.now();
                while !self.shows(state) {
                    self.advance(5);
                    assert!(self.fleet.now() - switched < seconds(10), "{state} is in force");
                }
                self.fleet.now() - switched
            })
            .collect();
        println!("{times:?}");
        times.into_iter().max().expect("there are some")
    }

    fn shows(&mut self, state: &str) -> bool {
        [0, 1].iter().all(|worker| {
            let status = self.with("two", |process| done(process, *worker, "GET", "status", &json!(null)));
            status["state"] == state
        })
    }

    /// How many streams to etcd a gateway has begun, those included that failed at once.
    fn streams(&self, name: &str) -> usize {
        self.process(name).grpc_calls(ETCD).iter().filter(|call| call.is_stream).count()
    }
}

#[test]
fn announced_switch_is_in_force_at_once() {
    let mut gateways = Gateways::operated();
    let slowest = gateways.slowest_switch();
    assert!(slowest < AT_ONCE, "{slowest:?}");
    assert_eq!(NAMES.map(|name| gateways.streams(name)), [1, 1], "one worker of each gateway listens");
}

/// However the stream fails, a switch is in force within the second; and at once again when etcd takes the stream.
#[test]
fn switch_that_is_not_announced_is_in_force_within_a_second() {
    let refused = Mishap::Refused(Status::new(7, "etcdserver: permission denied"));
    for mishap in [Mishap::NotSent, Mishap::Unreachable, refused] {
        let mut gateways = Gateways::operated();
        gateways.etcd.disrupt(Disruption::new(mishap.clone()).of(WATCH));
        gateways.etcd.fail(Outage::Down, millis(10));
        gateways.advance(AGAIN);
        let slowest = gateways.slowest_switch();
        assert!(AT_ONCE < slowest && slowest < WITHIN_A_SECOND, "{mishap:?}: {slowest:?}");
        gateways.etcd.clear_disruptions();
        gateways.advance(AGAIN);
        let slowest = gateways.slowest_switch();
        assert!(slowest < AT_ONCE, "{mishap:?}: {slowest:?}");
    }
}

/// A stream on which etcd says nothing delays a switch by no more than a second.
#[test]
fn silent_stream_costs_no_more_than_a_second() {
    let mut gateways = Gateways::operated();
    gateways.etcd.disrupt(Disruption::new(Mishap::Unanswered { is_applied: true }).of(WATCH));
    gateways.etcd.fail(Outage::Down, millis(10));
    gateways.advance(AGAIN);
    let slowest = gateways.slowest_switch();
    assert!(AT_ONCE < slowest && slowest < WITHIN_A_SECOND, "{slowest:?}");
}

/// The worker that listened is lost with its VM: another one of its gateway listens once its lease has lapsed.
#[test]
fn worker_that_listened_is_followed_by_another() {
    let mut gateways = Gateways::operated();
    let listens = gateways.process("two").grpc_calls(ETCD).iter().find(|call| call.is_stream).map(|call| call.thread);
    gateways.with("two", |process| process.kill_vm(listens.expect("one listens")));
    gateways.advance(20_000);
    let slowest = gateways.slowest_switch();
    assert!(slowest < AT_ONCE, "{slowest:?}");
}
