//! One worker of each gateway listens to the store, which announces that documents have changed.

use etcd_messages::{Event, WatchResponse};
use prost::Message;

use super::*;
use crate::admin::control::{FilterState, StateOverride};

fn two() -> Gateways {
    Gateways::new(&[&billing(""), &billing("")])
}

impl Gateways {
    fn state(&mut self, gateway: usize) -> FilterState {
        Control::read(&mut self.processes[gateway].store, &Keys::new("g")).unwrap().state(true)
    }

    fn disable(&mut self, gateway: usize) {
        let at = WallTime::default();
        let state = StateOverride { state: FilterState::Disabled, over: true, reason: String::new(), at };
        let store = &mut self.processes[gateway].store;
        Control::change(store, &Keys::new("g"), &mut |control| control.set_state(state.clone())).unwrap();
    }

    fn announce(&mut self, gateway: usize, message: &WatchResponse) {
        let message = message.encode_to_vec();
        self.processes[gateway].run(0, |engine, world| engine.handle_announcement(world, &message));
        self.poll();
    }

    fn lose_stream(&mut self, gateway: usize) {
        self.streams[gateway] -= 1;
        self.processes[gateway].run(0, |engine, world| engine.handle_stream_end(world));
    }
}

fn changed() -> WatchResponse {
    WatchResponse { events: vec![Event::default()], ..WatchResponse::default() }
}

/// What was switched at a gateway is in force at another as soon as it is announced there, before the other would have
/// looked by itself.
#[test]
fn announced_change_is_read_at_once() {
    let mut gateways = two();
    gateways.pass(2_000);
    gateways.disable(0);
    let mut waited = 0;
    while gateways.etcd.found("/c/state").is_empty() {
        gateways.only(&[0]);
        gateways.pass(50);
        waited += 50;
        assert!(waited < 1_000, "the change is written");
    }
    gateways.only(&[0, 1]);
    assert_eq!(gateways.state(1), FilterState::Enabled);
    gateways.announce(1, &changed());
    assert_eq!(gateways.state(1), FilterState::Disabled);
}

/// Without any announcement a change is in force within the second in which documents are read anyway.
#[test]
fn change_that_is_not_announced_is_read_all_the_same() {
    let mut gateways = two();
    gateways.pass(2_000);
    gateways.disable(0);
    gateways.pass(1_300);
    assert_eq!(gateways.state(1), FilterState::Disabled);
}

/// A change that is announced while documents are being read may have come too late for that reading.
#[test]
fn change_announced_during_a_read_is_read_after_it() {
    let mut gateways = two();
    gateways.pass(2_000);
    gateways.disable(0);
    gateways.only(&[0]);
    gateways.pass(400);
    gateways.only(&[0, 1]);
    let reads = |gateways: &Gateways| {
        gateways.etcd.calls.iter().filter(|call| crate::journal::memory::has(call, "/c/")).count()
    };
    let before = reads(&gateways);
    let message = changed().encode_to_vec();
    for _ in 0..3 {
        gateways.processes[1].run(0, |engine, world| engine.handle_announcement(world, &message));
        gateways.processes[1].run(0, Engine::handle_timeout);
    }
    gateways.poll();
    assert_eq!(reads(&gateways) - before, 2, "one was under way, and one follows for all that came meanwhile");
    assert_eq!(gateways.state(1), FilterState::Disabled);
}

#[test]
fn one_worker_of_each_gateway_listens() {
    let mut gateways = two();
    let config = Rc::clone(gateways.processes[0].workers[0].config());
    gateways.processes[0].workers.push(Engine::new(config, "g"));
    gateways.pass(5_000);
    assert_eq!(gateways.streams, [1, 1]);
    Control::change(&mut gateways.processes[0].store, &Keys::new("g"), &mut |control| control.draining = true).unwrap();
    gateways.pass(5_000);
    assert_eq!(gateways.streams, [0, 1], "a gateway that has drained is none of the fleet");
}

/// A stream that ends, or on which the store has ended the watch, is opened again after some seconds.
#[test]
fn ended_stream_is_opened_again_after_a_while() {
    let over = WatchResponse { canceled: true, ..WatchResponse::default() };
    let ends: [&dyn Fn(&mut Gateways); 2] =
        [&|gateways| gateways.lose_stream(0), &|gateways| gateways.announce(0, &over)];
    for end in ends {
        let mut gateways = two();
        end(&mut gateways);
        gateways.pass(4_900);
        assert_eq!(gateways.streams, [0, 1]);
        gateways.pass(200);
        assert_eq!(gateways.streams, [1, 1]);
    }
}
