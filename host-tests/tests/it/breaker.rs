//! The circuit breaker: one truth for all workers.

use host_tests::{LogLine, Process, Reply, Thread, Upstream};
use serde_json::{Value, json};

use crate::support::{
    about, accept, advance, attempts, config, endpoint, event, gateway, letters, millis, seconds, wait, with,
};

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

#[test]
fn failures_seen_by_two_workers_open_one_breaker_and_nothing_is_sent_while_it_is_open() {
    let mut process = start(json!({}), failing());
    open(&mut process);
    for worker in [0, 1, 0, 1] {
        accept(&mut process, worker, event("payment_verified"));
    }
    advance(&mut process, seconds(59));
    assert_eq!(calls(&process), 5);
}

#[test]
fn half_open_lets_one_probe_out_though_every_worker_has_deliveries_waiting() {
    let mut process = start(json!({}), failing());
    open(&mut process);
    let opened = process.clock().elapsed();
    let waiting: Vec<String> = (0..10).map(|n| accept(&mut process, n % 2, event("payment_verified"))).collect();
    process.set_upstream("billing", Upstream::always(Reply::status(200).after(seconds(3))));

    wait(&mut process, seconds(70), |process| calls(process) == 6);
    let probed = attempts(&process, "billing")[5].at;
    assert!(probed - opened >= seconds(60) - millis(20), "{:?}", probed - opened);
    assert!(probed - opened < seconds(62), "{:?}", probed - opened);
    assert_eq!(state(&process), Some(2));
    advance(&mut process, millis(2900));
    assert_eq!(calls(&process), 6, "the probe is still out");

    advance(&mut process, seconds(6));
    assert_eq!(state(&process), Some(0));
    let mut delivered: Vec<String> = attempts(&process, "billing")[5..].iter().map(|a| a.id.clone()).collect();
    delivered.sort();
    let mut waiting = waiting;
    waiting.sort();
    assert_eq!(delivered, waiting, "everything that waited is delivered, once");
}

#[test]
fn waiting_costs_no_attempts() {
    let mut process = start(json!({}), failing());
    open(&mut process);
    accept(&mut process, 0, event("payment_verified"));
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    advance(&mut process, seconds(70));
    assert_eq!(attempts(&process, "billing")[5].number, 1);
}

#[test]
fn a_probe_that_fails_opens_the_breaker_again_for_as_long() {
    let mut process = start(json!({}), failing());
    open(&mut process);
    for worker in [0, 1] {
        accept(&mut process, worker, event("payment_verified"));
    }
    wait(&mut process, seconds(70), |process| calls(process) == 6);
    wait(&mut process, seconds(70), |process| calls(process) == 7);
    let attempts = attempts(&process, "billing");
    let between = attempts[6].at - attempts[5].at;
    assert!((seconds(60)..seconds(62)).contains(&between), "{between:?}");
}

#[test]
fn when_the_vm_that_sent_the_probe_dies_another_probes_after_its_deadline() {
    let mut process = start(json!({}), failing());
    open(&mut process);
    for worker in [0, 1] {
        accept(&mut process, worker, event("payment_verified"));
    }
    process.set_upstream("billing", Upstream::replies([Reply::hang()]));
    wait(&mut process, seconds(70), |process| calls(process) == 6);
    let prober = process.calls("billing")[5].thread;
    let probed = process.calls("billing")[5].at;
    process.kill_vm(prober);

    wait(&mut process, seconds(30), |process| calls(process) == 7);
    let next = process.calls("billing")[6];
    assert_ne!(next.thread, prober);
    // The endpoint's timeout and five seconds.
    let between = next.at - probed;
    assert!((seconds(15)..seconds(17)).contains(&between), "{between:?}");
    advance(&mut process, seconds(1));
    assert_eq!(state(&process), Some(0));
}

#[test]
fn a_probe_that_envoy_refuses_to_send_is_made_again_shortly() {
    let mut process = start(json!({}), failing());
    open(&mut process);
    for worker in [0, 1] {
        accept(&mut process, worker, event("payment_verified"));
    }
    process.set_upstream("billing", Upstream::replies([Reply::refused(), Reply::refused()]));
    advance(&mut process, seconds(65));
    assert_eq!(state(&process), Some(0));
    assert_eq!(calls(&process), 7, "the probe and the other delivery");
}

#[test]
fn what_waits_behind_an_open_breaker_longer_than_max_age_becomes_a_dead_letter() {
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
fn failures_older_than_the_window_are_forgotten() {
    let mut process = start(json!({"breaker": {"window": "10s"}}), failing());
    for _ in 0..12 {
        accept(&mut process, 0, event("payment_verified"));
        advance(&mut process, seconds(3));
    }
    assert_eq!(calls(&process), 12);
}

#[test]
fn a_success_takes_one_failure_off() {
    let replies = |call: usize| if call.is_multiple_of(2) { 503 } else { 200 };
    let mut made = 0;
    let mut process = start(
        json!({}),
        Upstream::by(move |_| {
            made += 1;
            Reply::status(replies(made))
        }),
    );
    for _ in 0..30 {
        accept(&mut process, 0, event("payment_verified"));
        advance(&mut process, millis(100));
    }
    assert_eq!(calls(&process), 30);
}

#[test]
fn timeouts_and_lost_connections_are_failures_whatever_the_statuses_say() {
    for reply in [Reply::hang(), Reply::connect_failure(), Reply::reset()] {
        let mut process = start(json!({"timeout": "100ms", "breaker": {"statuses": []}}), Upstream::always(reply));
        for _ in 0..7 {
            accept(&mut process, 0, event("payment_verified"));
            advance(&mut process, seconds(1));
        }
        assert_eq!(calls(&process), 5);
    }
}

#[test]
fn a_status_outside_the_list_is_no_failure() {
    let mut process = start(json!({}), Upstream::always(Reply::status(404)));
    for _ in 0..10 {
        accept(&mut process, 0, event("payment_verified"));
        advance(&mut process, millis(100));
    }
    assert_eq!(calls(&process), 10);
}

#[test]
fn deliveries_may_be_counted_instead_of_attempts() {
    let more = json!({"retry": {"delays": ["0s", "1s"]}, "breaker": {"failures": 2, "count": "deliveries"}});
    let mut process = start(more, failing());
    for _ in 0..3 {
        accept(&mut process, 0, event("payment_verified"));
        advance(&mut process, seconds(2));
    }
    assert_eq!(calls(&process), 4, "two deliveries of two attempts each, then it is open");
}

#[test]
fn a_success_closes_it_for_every_worker_at_once_seen_from_shared_data() {
    let mut process = start(json!({"breaker": {"open": "5s"}}), failing());
    open(&mut process);
    accept(&mut process, 0, event("payment_verified"));
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    advance(&mut process, seconds(7));
    for worker in [0, 1] {
        let before = process.clock().elapsed();
        accept(&mut process, worker, event("payment_verified"));
        advance(&mut process, seconds(1));
        let last = attempts(&process, "billing").pop().expect("an attempt").at;
        assert!(about(before).contains(&last));
    }
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
