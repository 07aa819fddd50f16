//! Whatever goes wrong while a request is verified, it does not reach the application unverified.

use host_tests::{Effect, Point, Process, Request, Rule, StreamId, Thread};
use serde_json::json;

use crate::sender::{
    Message, OTHER_SECRET, SCHEMES, counted, detail, passes, path, receiver, rule, send, stopped, verifying,
};
use crate::support::{advance, config, endpoint, gateway, seconds, start, with};

/// The statuses of the host that mean a fault.
const FAULTS: [u32; 4] = [1, 2, 9, 10];

/// What the application saw of this request was verified, if it saw any.
fn assert_verified_if_seen(process: &Process, stream: StreamId, case: &str) {
    if let Some(gone) = process.forwarded(stream) {
        assert!(gone.header("x-gatepost-verified").starts_with("from-"), "{case}: {gone:?}");
    }
}

/// Without shared data every message is refused and none passes.
#[test]
fn missing_shared_data_refuses_every_message() {
    for (call, skip) in [("proxy_get_shared_data", 0), ("proxy_set_shared_data", 0), ("proxy_set_shared_data", 1)] {
        for fault in FAULTS {
            for scheme in ["timestamped", "github"] {
                // Not found is what an empty table answers.
                if (call, fault) == ("proxy_get_shared_data", 1) {
                    continue;
                }
                let mut process = receiver();
                let message = Message::new(&process, scheme, "evt_1");
                process.add_rule(Rule::new(Point::HostCall(call), Effect::Fail(fault)).after(skip));
                let refused = stopped(&mut process, message.request());
                assert_eq!((refused.status(), refused.header("retry-after")), (503, "1"), "{call}: {fault}");
                assert_eq!(detail(&refused), "the request cannot be verified now");
                assert_eq!(stopped(&mut process, message.request_under(OTHER_SECRET)).status(), 401);
                assert_eq!(counted(&process, scheme, "unavailable"), 1);
            }
        }
    }
}

#[test]
fn a_table_of_another_format_is_refused_and_not_overwritten() {
    // As a filter to come may have written it: what is stored ends up as something else.
    let config = verifying([with(rule("github"), json!({"replay": {"capacity": 1}}))]);
    let mut process = start(&config);
    let message = Message::new(&process, "github", "evt_1");
    passes(&mut process, message.request());
    let tables = process.shared_data().filter(|(key, _)| key.starts_with("gatepost/replay/from-github/"));
    let tables: Vec<(&str, &[u8])> = tables.collect();
    assert_eq!(tables.len(), 1, "{tables:?}");
    assert_eq!((tables[0].0, tables[0].1[0]), ("gatepost/replay/from-github/0", 1));
}

/// Has a VM that was lost rebuilt, which the next request after the back-off does.
fn revive(process: &mut Process) {
    if !process.has_vm(Thread::Worker(0)) {
        advance(process, seconds(2));
        send(process, 0, Request::new("GET", "/"));
    }
}

/// Whatever host call fails nothing reaches the application unverified.
#[test]
fn failing_host_call_lets_nothing_through_unverified() {
    for scheme in SCHEMES {
        for fault in FAULTS {
            for after in 0..16 {
                let case = format!("{scheme}: host call {after} answers {fault}");
                // A capability restriction that leaves out a host call has the SDK trap where it is made.
                let mut process = gateway(&verifying(SCHEMES.map(rule))).may_trap().start().expect("it starts");
                let message = Message::new(&process, scheme, "evt_1");
                let forged = Request::header(message.request_under(OTHER_SECRET), "x-gatepost-verified", "forged");
                let unsigned = Request::post(&path(scheme)).header("x-gatepost-verified", "forged").body("{}");
                for request in [unsigned, forged] {
                    let rule =
                        Rule::new(Point::AnyHostCall, Effect::Fail(fault)).on(Thread::Worker(0)).after(after).times(1);
                    let rule = process.add_rule(rule);
                    let stream = send(&mut process, 0, request);
                    process.remove_rule(rule);
                    assert_eq!(process.forwarded(stream), None, "{case}");
                    revive(&mut process);
                }
                let rule =
                    Rule::new(Point::AnyHostCall, Effect::Fail(fault)).on(Thread::Worker(0)).after(after).times(1);
                process.add_rule(rule);
                let stream = send(&mut process, 0, message.request());
                assert_verified_if_seen(&process, stream, &case);
            }
        }
    }
}

/// Wherever the VM traps nothing reaches the application unverified.
#[test]
fn vm_trap_lets_nothing_through_unverified() {
    for scheme in ["timestamped", "standard"] {
        for after in 0..20 {
            let mut process = receiver();
            let trap = || Rule::new(Point::AnyHostCall, Effect::Trap).on(Thread::Worker(0)).after(after).times(1);
            process.add_rule(trap());
            let unsigned = send(&mut process, 0, Request::post(&path(scheme)).body("{}"));
            assert_eq!(process.forwarded(unsigned), None, "after {after} host calls");
            process.clear_rules();
            advance(&mut process, seconds(2));
            let message = Message::new(&process, scheme, "evt_1");
            process.add_rule(trap());
            let stream = send(&mut process, 0, message.request());
            assert_verified_if_seen(&process, stream, "a trap");
            if process.forwarded(stream).is_none() {
                assert_eq!(process.answer(stream).map(host_tests::Answer::status), Some(503));
            }
            // The claim, if there is one, is not lost: the message comes through in the end, and once.
            process.clear_rules();
            advance(&mut process, seconds(301));
            let late = message.later(302_000).request();
            let again = send(&mut process, 1, late);
            assert_verified_if_seen(&process, again, "afterwards");
        }
    }
}

#[test]
fn a_worker_without_a_vm_lets_nothing_by() {
    let config = verifying([rule("github")]);
    let mut process = gateway(&config).fail_closed().start().expect("it starts");
    let message = Message::new(&process, "github", "evt_1");
    process.kill_vm(Thread::Worker(0));
    assert_eq!(stopped(&mut process, message.request()).status(), 503);
    assert_eq!(stopped(&mut process, Request::new("GET", "/")).status(), 503);
}

#[test]
fn a_config_that_cannot_be_loaded_leaves_the_old_one_verifying() {
    let mut process = receiver();
    for broken in [json!({"inbound": []}), json!({"inbound": [{"name": "x"}]}), json!("{")] {
        process.update_config(broken.to_string()).expect_err("it is refused");
        let message = Message::new(&process, "github", "evt_1");
        assert_eq!(stopped(&mut process, message.request_under(OTHER_SECRET)).status(), 401);
    }
}

#[test]
fn a_body_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let mut process = receiver();
    let empty = Message::new(&process, "github", "evt_1").body("");
    let request = empty.request().body("an order that was not signed");
    process.add_rule(Rule::new(Point::HostCall("proxy_get_buffer_bytes"), Effect::Fail(1)));
    let refused = stopped(&mut process, request);
    assert_eq!((refused.status(), detail(&refused).as_str()), (503, "the request cannot be verified now"));
    assert_eq!(counted(&process, "github", "unavailable"), 1);
}

#[test]
fn a_header_that_cannot_be_set_or_removed_lets_nothing_by() {
    let mut config = config([endpoint("billing")]);
    config["inbound"] = json!([rule("github")]);
    let mut process = start(&config);
    let message = Message::new(&process, "github", "evt_1");
    let rule = process.add_rule(Rule::new(Point::HostCall("proxy_remove_header_map_value"), Effect::Fail(2)));
    let claims = |request: Request| request.header("x-gatepost-verified", "me");
    for request in [claims(Request::new("GET", "/")), claims(message.request())] {
        assert_eq!(stopped(&mut process, request).status(), 503);
    }
    process.remove_rule(rule);
    let rule = process.add_rule(Rule::new(Point::HostCall("proxy_replace_header_map_value"), Effect::Fail(2)));
    assert_eq!(stopped(&mut process, message.request()).status(), 503);
    process.remove_rule(rule);
    // Its claim was given back.
    passes(&mut process, message.request());
}
