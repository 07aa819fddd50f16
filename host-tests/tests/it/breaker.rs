//! The circuit breaker: one truth for all workers.

use host_tests::{LogLine, Process, Reply, Thread, Upstream};
use serde_json::{Value, json};

use crate::support::{accept, advance, config, endpoint, event, gateway, letters, millis, seconds, with};

/// One attempt a delivery, so that each failure is one event; opens after 5 failures, for 60 s.
fn start(more: Value, upstream: Upstream) -> Process {
    let billing = with(endpoint("billing"), json!({"retry": {"delays": ["0s"]}, "timeout": "10s"}));
    let config = config([with(billing, more)]);
    gateway(&config).cluster("billing", upstream).start().expect("it starts")
}

/// Fails five events on both workers: the breaker opens.
fn open(process: &mut Process) {
    for number in 0..5 {
        accept(process, number % 2, event("payment_verified"));
        advance(process, millis(20));
    }
    assert_eq!(calls(process), 5);
    assert_eq!(state(process), Some(1));
}

fn calls(process: &Process) -> usize {
    process.calls("billing").len()
}

fn state(process: &Process) -> Option<u64> {
    process.metric("endpoint=.=billing;.;gatepost_breaker_state")
}

fn failing() -> Upstream {
    Upstream::always(Reply::status(503))
}

/// What waits behind an open breaker longer than max age becomes a dead letter.
#[test]
fn open_breaker_past_max_age_makes_a_dead_letter() {
    let mut process = start(json!({"max_age": "30s"}), failing());
    open(&mut process);
    accept(&mut process, 0, event("payment_verified").body("too late"));
    advance(&mut process, seconds(29));
    assert_eq!(letters(&process, "too late"), 0);
    advance(&mut process, seconds(4));
    assert_eq!(letters(&process, "too late"), 1);
    advance(&mut process, seconds(60));
    assert_eq!(calls(&process), 5);
}

#[test]
fn each_transition_is_one_log_line_and_openings_are_counted() {
    let mut process = start(json!({}), failing());
    open(&mut process);
    for worker in [0, 1] {
        accept(&mut process, worker, event("payment_verified"));
    }
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    advance(&mut process, seconds(70));
    let about_breakers = |line: &&LogLine| line.message.contains("breaker");
    let lines: Vec<&str> = process.log().iter().filter(about_breakers).map(|line| line.message.as_str()).collect();
    assert_eq!(lines.len(), 3, "open, half-open, closed: {lines:#?}");
    assert_eq!(process.metric("endpoint=.=billing;.;gatepost_breaker_opens_total"), Some(1));
}

#[test]
fn losing_the_main_thread_changes_nothing() {
    let mut process = start(json!({}), failing());
    process.kill_vm(Thread::Main);
    open(&mut process);
    accept(&mut process, 1, event("payment_verified"));
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    advance(&mut process, seconds(70));
    assert_eq!(state(&process), Some(0));
    assert_eq!(calls(&process), 6);
}
