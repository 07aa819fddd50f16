//! Which answers of the host the filter bears, and that those on which the proxy-wasm SDK (0.2.5) panics do not come.
//!
//! The SDK's host calls panic on a status that they do not expect, and its dispatcher on a context or token that it does
//! not know. [`ANSWERS`] is what Envoy 1.40 is taken to answer besides success; a host call that is not in it
//! (`proxy_log`, `proxy_set_tick_period_milliseconds`, `proxy_define_metric`, `proxy_register_shared_queue`,
//! `proxy_get_header_map_pairs`, and `proxy_done` in a root that is ending) has no other answer. A capability restriction
//! that leaves out a host call adds "internal failure" to each: see `inbound_faults`.

use std::error::Error;

use etcd_model::Outage;
use host_tests::{Effect, Point, Process, Reply, Request, Rule, StartError, Thread, Upstream};
use serde_json::json;

use crate::fleet::{Gateways, journaled};
use crate::sender::{Message, rule, verifying};
use crate::support::{config, endpoint, event, gateway, millis, seconds, with};

/// What Envoy answers besides success, to each host call that the filter makes.
const ANSWERS: [(&str, &[u32]); 15] = [
    // Through `plugin/src/host/careful.rs`: any status is a value, those that no Envoy gives (9) included.
    ("proxy_get_shared_data", &[1, 2, 6, 9, 10]),
    ("proxy_set_shared_data", &[2, 6, 8, 9, 10]),
    ("proxy_replace_header_map_value", &[2, 9, 10]),
    ("proxy_remove_header_map_value", &[2, 9, 10]),
    ("proxy_send_local_response", &[2, 9, 10]),
    ("clock_time_get", &[28]),
    // Through the SDK: it expects these.
    ("proxy_get_property", &[1, 3, 10]),
    ("proxy_get_buffer_bytes", &[1]),
    ("proxy_get_header_map_value", &[1]),
    ("proxy_http_call", &[2, 10]),
    ("proxy_enqueue_shared_queue", &[1]),
    ("proxy_dequeue_shared_queue", &[1, 7]),
    ("proxy_increment_metric", &[1, 2]),
    ("proxy_record_metric", &[1]),
    // Through getrandom.
    ("random_get", &[28]),
];

/// The same, to the calls that are made only for a journal. Without `proxy_set_effective_context` the SDK itself can tell
/// no answer of a call: it needs no test that it may fail.
const ANSWERS_WITH_A_JOURNAL: [(&str, &[u32]); 4] = [
    // Through `plugin/src/host/careful.rs`.
    ("proxy_grpc_send", &[1, 2, 9, 10]),
    ("proxy_grpc_cancel", &[1, 2, 9, 10]),
    ("proxy_continue_stream", &[2, 9, 10]),
    // Through the SDK.
    ("proxy_grpc_stream", &[4, 10]),
];

type Result = std::result::Result<(), Box<dyn Error>>;

/// Two workers that verify, accept with both kinds of acknowledgement, and deliver to an endpoint that fails at first.
fn start() -> std::result::Result<Process, Box<dyn Error>> {
    let mut config = config([endpoint("billing")]);
    config["routes"] = json!([
        {"name": "ingest", "match": {"path": "/events/{event}"}, "event": "{event}"},
        {"name": "wait", "match": {"path": "/wait/{event}"}, "event": "{event}", "ack": "delivered"},
    ]);
    config["inbound"] = json!([rule("github")]);
    let failing = Upstream::replies([Reply::status(503).header("retry-after", b"\xff").body("busy"), Reply::hang()]);
    Ok(gateway(&config).cluster("billing", failing).start()?)
}

/// All that a filter is asked in its life: requests of each kind, deliveries and retries, a producer that waits and one
/// that leaves, a new configuration, and the end of the old one with a call under way.
fn live(process: &mut Process) -> Result {
    let claims = |request: Request| request.header("x-gatepost-verified", "me");
    process.request(0, claims(Message::new(process, "github", "evt_1").request()))?;
    process.request(0, Request::new("GET", "/"))?;
    process.request(0, event("paid").header("x-strange", b"\xff\xfe"))?;
    process.request(0, Request::post("/wait/paid").body("{}"))?;
    let leaves = process.request(0, Request::post("/wait/paid").body("{}"))?;
    process.advance(millis(100))?;
    process.disconnect(leaves)?;
    process.advance(seconds(5))?;
    process.request(1, event("paid"))?;
    process.set_upstream("billing", Upstream::always(Reply::status(200).after(seconds(2))));
    process.advance(millis(1_500))?;
    let newer = with(config([endpoint("billing")]), json!({"user_agent": "newer"}));
    process.update_config(newer.to_string())?;
    process.request(0, event("paid"))?;
    process.advance(seconds(1))?;
    process.end_drain()?;
    process.advance(seconds(30))?;
    Ok(())
}

#[test]
fn no_answer_that_envoy_gives_to_a_host_call_traps_the_filter() -> Result {
    for (call, statuses) in ANSWERS {
        for status in statuses {
            for rule in [
                Rule::new(Point::HostCall(call), Effect::Fail(*status)),
                Rule::new(Point::HostCall(call), Effect::Fail(*status)).after(3).times(5),
            ] {
                let mut process = start()?;
                process.add_rule(rule);
                if let Err(error) = live(&mut process) {
                    // A configuration that cannot be read, or has no randomness, is not taken: that is no trap.
                    let is_refused = matches!(error.downcast_ref(), Some(StartError::Refused { .. }));
                    assert!(is_refused, "{call} answers {status}: {error}");
                }
            }
        }
    }
    Ok(())
}

/// Messages are held until they are claimed; the stream of announcements ends, is opened again, and ends with its
/// configuration.
#[test]
fn no_answer_that_envoy_gives_for_a_journal_traps_the_filter() {
    let inbound = with(rule("github"), json!({"replay": {"scope": "fleet"}}));
    let config = verifying([inbound]);
    for (call, statuses) in ANSWERS_WITH_A_JOURNAL {
        for status in statuses {
            for rule in [
                Rule::new(Point::HostCall(call), Effect::Fail(*status)),
                Rule::new(Point::HostCall(call), Effect::Fail(*status)).after(1).times(2),
            ] {
                let mut gateways = Gateways::start(config.clone(), json!({}));
                gateways.with("one", |process| process.add_rule(rule));
                for id in ["evt_1", "evt_2", "evt_3"] {
                    let message = Message::new(gateways.process("one"), "github", id).body(id);
                    gateways.request("one", 0, message.request());
                    gateways.etcd.fail(Outage::Down, millis(10));
                    gateways.advance(6_000);
                }
                let newer = journaled(with(config.clone(), json!({"user_agent": "newer"})), json!({}));
                gateways.with("one", |process| process.update_config(newer.to_string())).expect("it is taken");
                gateways.advance(1_000);
                gateways.with("one", Process::end_drain).unwrap_or_else(|fault| panic!("{call} {status}: {fault}"));
                gateways.advance(10_000);
                assert!(gateways.process("one").crossings().of(call) > 1, "{call} is made");
            }
        }
    }
}

/// A context that the SDK does not know, or a token, would be its panic, and so an error here.
#[test]
fn callbacks_carry_only_contexts_and_tokens_the_sdk_knows() -> Result {
    let mut process = start()?;
    live(&mut process)?;
    process.kill_vm(Thread::Worker(0));
    process.request(0, event("paid"))?;
    process.advance(seconds(2))?;
    process.request(0, event("paid"))?;
    process.advance(seconds(30))?;
    let delivered = process.calls("billing").len();
    assert!(delivered > 6, "{delivered} calls\n{}", process.trace());
    Ok(())
}

#[test]
fn an_answer_of_the_filter_is_marked_for_the_access_log() -> Result {
    let mut process = start()?;
    let refused = process.request(0, Request::post("/webhooks/github").body("{}"))?;
    let passed = process.request(0, Request::new("GET", "/"))?;
    assert_eq!(process.response_code_details(refused), Some("gatepost"));
    assert_eq!(process.response_code_details(passed), None);
    Ok(())
}
