//! Messages that are claimed in the fleet: two gateways, an etcd, and a request that is held until it is known whether it
//! may go on.

use etcd_messages::TXN;
use etcd_model::{Disruption, Mishap};
use host_tests::{Request, StreamId};
use serde_json::json;

use crate::fleet::{ETCD, Gateways, NAMES};
use crate::sender::{Message, counted, rule, verifying};
use crate::support::{seconds, with};

impl Gateways {
    fn verifying(unavailable: &str) -> Self {
        let rule = with(rule("github"), json!({"replay": {"scope": "fleet"}}));
        let mut gateways = Self::start(verifying([rule]), json!({"unavailable": unavailable}));
        // The first message of a worker waits for the lease under which ids are kept.
        for name in NAMES {
            for worker in 0..2 {
                let warm = gateways.message(&format!("{name} {worker}")).body(format!("{name} {worker}"));
                let stream = gateways.request(name, worker, warm.request());
                gateways.advance(3_000);
                assert!(gateways.process(name).forwarded(stream).is_some());
            }
        }
        gateways
    }

    fn message(&self, id: &str) -> Message {
        let name = self.fleet.names().next().expect("one runs");
        Message::new(self.process(name), "github", id)
    }

    /// The status of the answer, and whether the application got the request.
    fn told(&self, name: &str, stream: StreamId) -> (Option<u16>, bool) {
        let process = self.process(name);
        (process.answer(stream).map(host_tests::Answer::status), process.forwarded(stream).is_some())
    }

    /// Makes a request, and tells what became of it a moment later.
    fn send(&mut self, name: &str, worker: usize, request: Request) -> (Option<u16>, bool) {
        let stream = self.request(name, worker, request);
        self.advance(50);
        self.told(name, stream)
    }
}

/// A request that was held goes on as it came, with the header that says who verified it; the same message is a duplicate
/// at the other gateway.
#[test]
fn held_message_goes_on_whole_and_is_a_duplicate_elsewhere() {
    let mut gateways = Gateways::verifying("reject");
    let message = gateways.message("evt_1");
    let lies = |request: Request| request.header("x-gatepost-verified", "mine").header("X_Gatepost_Verified", "mine");
    let stream = gateways.request("one", 0, lies(message.request()));
    assert_eq!(gateways.told("one", stream), (None, false), "it is held");
    gateways.advance(50);
    assert_eq!(gateways.told("one", stream), (Some(200), true));
    let forwarded = gateways.process("one").forwarded(stream).expect("it went on");
    assert_eq!((forwarded.header("x-gatepost-verified"), &forwarded.body), ("from-github", &message.body));
    assert!(forwarded.header("x_gatepost_verified").is_empty());
    for (name, worker) in [("two", 0), ("two", 1), ("one", 1)] {
        assert_eq!(gateways.send(name, worker, message.request()), (Some(200), false), "{name} {worker}");
    }
    assert_eq!(counted(gateways.process("two"), "github", "duplicate"), 2);
    assert_eq!(counted(gateways.process("one"), "github", "verified"), 3);
}

/// However the request comes, the application gets it as it came: in pieces, over HTTP/2, with trailers, without a body.
#[test]
fn held_message_goes_on_however_it_came() {
    let mut gateways = Gateways::verifying("reject");
    let pieces = ["{\"a\": ", "1", "}"];
    let whole = pieces.concat();
    for (number, way) in ["pieces", "http2", "trailers", "empty"].into_iter().enumerate() {
        let body = if way == "empty" { String::new() } else { format!("{whole}{number}") };
        let message = gateways.message(way).body(body.clone());
        let mut chunks: Vec<String> = pieces.map(str::to_owned).to_vec();
        chunks.push(number.to_string());
        let request = match way {
            "pieces" => message.request().chunks(chunks),
            "http2" => message.request().chunks(chunks).http2(),
            "trailers" => message.request().chunks(chunks).trailers([("x-gatepost-verified", "mine"), ("x-sum", "5")]),
            _ => message.request(),
        };
        let stream = gateways.request("one", 0, request);
        gateways.advance(50);
        assert_eq!(gateways.told("one", stream), (Some(200), true), "{way}");
        let forwarded = gateways.process("one").forwarded(stream).expect("it went on");
        assert_eq!(String::from_utf8_lossy(&forwarded.body), body, "{way}");
        assert_eq!(forwarded.header("x-gatepost-verified"), "from-github", "{way}");
        let trailers: Vec<_> = forwarded.trailers.iter().map(|(name, _)| name).collect();
        assert_eq!(trailers, if way == "trailers" { vec!["x-sum"] } else { Vec::new() }, "{way}");
    }
}

/// A client that hangs up while its message is held, or is with the application, may send it again, to the other gateway.
#[test]
fn client_that_hangs_up_may_come_again_elsewhere() {
    let mut gateways = Gateways::verifying("reject");
    for wait in [0, 1, 2, 4] {
        let message = gateways.message(&format!("evt_{wait}"));
        let slow = host_tests::Application::always(host_tests::Reply::status(200).after(seconds(60)));
        gateways.fleet.with("one", |process| process.set_application(slow)).expect("it runs");
        let stream = gateways.request("one", 0, message.request());
        gateways.advance(wait);
        let left = gateways.fleet.with("one", |process| process.disconnect(stream));
        left.expect("it runs").unwrap_or_else(|fault| panic!("{fault}"));
        gateways.advance(50);
        assert_eq!(gateways.send("two", 0, message.request()), (Some(200), true), "after {wait} ms");
    }
}

/// While etcd does not answer a message is held for four seconds, and then refused; it may come again when etcd is back.
#[test]
fn message_is_refused_when_etcd_does_not_answer() {
    let mut gateways = Gateways::verifying("reject");
    for is_applied in [false, true] {
        let message = gateways.message(&format!("evt_{is_applied}"));
        gateways.etcd.disrupt(Disruption::new(Mishap::Unanswered { is_applied }).of(TXN).touching("/g/i/"));
        let stream = gateways.request("one", 0, message.request());
        gateways.advance(3_500);
        assert_eq!(gateways.told("one", stream), (None, false));
        gateways.advance(2_000);
        assert_eq!(gateways.told("one", stream), (Some(503), false));
        let answer = gateways.process("one").answer(stream).expect("it is told");
        assert_eq!(answer.header("retry-after"), "1");
        gateways.etcd.clear_disruptions();
        gateways.advance(4_000);
        assert_eq!(gateways.send("two", 1, message.request()), (Some(200), true), "{is_applied}");
        assert_eq!(gateways.send("one", 1, message.request()), (Some(200), false), "{is_applied}");
    }
}

/// With `unavailable: memory` the message goes on by the process's table, which is counted.
#[test]
fn unavailable_memory_lets_the_process_decide_and_counts() {
    let mut gateways = Gateways::verifying("memory");
    gateways.etcd.disrupt(Disruption::new(Mishap::NotSent));
    let message = gateways.message("evt_1");
    assert_eq!(gateways.process("one").metric("gatepost_inbound_memory_only_total"), Some(0));
    let stream = gateways.request("one", 0, message.request());
    gateways.advance(4_000);
    assert_eq!(gateways.told("one", stream), (Some(200), true));
    assert_eq!(gateways.send("one", 1, message.request()), (Some(200), false), "the process knows it");
    assert_eq!(gateways.process("one").metric("gatepost_inbound_memory_only_total"), Some(1));
}

/// What a gateway had taken is known when it is dead, and what it had claimed may come again.
#[test]
fn killed_gateway_leaves_what_is_done_and_nothing_claimed() {
    let mut gateways = Gateways::verifying("reject");
    let (done, lost) = (gateways.message("done"), gateways.message("lost").body("{}"));
    assert_eq!(gateways.send("one", 0, done.request()), (Some(200), true));
    let slow = host_tests::Application::always(host_tests::Reply::status(200).after(seconds(60)));
    gateways.fleet.with("one", |process| process.set_application(slow)).expect("it runs");
    assert_eq!(gateways.send("one", 0, lost.request()), (None, true));
    assert_eq!(gateways.send("two", 0, lost.request()), (Some(409), false));
    gateways.fleet.kill("one");
    gateways.advance(8_000);
    assert_eq!(gateways.send("two", 0, done.request()), (Some(200), false));
    assert_eq!(gateways.send("two", 1, lost.request()), (Some(200), true));
}

/// Gateways that only verify are a fleet like any other: they know each other, and one worker of each reads for all.
#[test]
fn gateways_without_endpoints_know_each_other() {
    let mut gateways = Gateways::verifying("reject");
    gateways.advance(2_000);
    for name in NAMES {
        assert_eq!(gateways.process(name).metric("gatepost_fleet_gateways"), Some(2), "{name}");
        let streams = gateways.process(name).grpc_calls(ETCD).iter().filter(|call| call.is_stream).count();
        assert_eq!(streams, 1, "{name}");
    }
}
