//! Faults that a test puts into the simulated Envoy, and what the filter makes of them.

use host_tests::{Effect, Point, Reply, Request, Rule, Thread, Upstream};
use serde_json::json;

use crate::support::{accept, advance, attempts, config, endpoint, event, gateway, millis, seconds, start, with};

/// An attempt whose end is never told counts as timed out and is made again.
#[test]
fn attempt_without_an_end_times_out_and_is_retried() {
    let mut process = start(&config([with(endpoint("billing"), json!({"timeout": "1s"}))]));
    process.add_rule(Rule::new(Point::CallEnd, Effect::Drop).times(1));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(15));
    let attempts = attempts(&process, "billing");
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(process.metric("endpoint=.=billing;.;outcome=.=timeout;.;gatepost_attempts_total"), Some(1));
}

/// A wall clock that steps changes the timestamp and not the schedule.
#[test]
fn wall_clock_step_changes_timestamps_not_the_schedule() {
    let failing = Upstream::replies([Reply::status(503)]);
    let mut process = gateway(&config([endpoint("billing")])).cluster("billing", failing).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, millis(100));
    process.step_wall_clock(-3_600_000);
    advance(&mut process, seconds(5));
    let calls = process.calls("billing");
    let stamp = |number: usize| calls[number].header("x-webhook-timestamp").parse::<i64>().expect("milliseconds");
    assert_eq!((calls[1].at - calls[0].at).as_secs(), 2);
    assert!((2_000..2_010).contains(&(stamp(1) - stamp(0) + 3_600_000)));
}

#[test]
fn a_lease_lost_to_another_by_compare_and_swap_is_given_up() {
    let mut process = start(&config([endpoint("billing")]));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    let set = Point::HostCall("proxy_set_shared_data");
    let conflict = process.add_rule(Rule::new(set, Effect::Fail(8)).on(Thread::Worker(0)));
    advance(&mut process, seconds(4));
    process.remove_rule(conflict);
    assert!(process.log().iter().any(|line| line.message.contains("event=partition_lost")));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    assert_eq!(attempts(&process, "billing").len(), 2);
}

#[test]
fn a_store_that_takes_nothing_is_a_503_and_nothing_is_sent() {
    let mut process = start(&config([endpoint("billing")]));
    advance(&mut process, seconds(2));
    process.add_rule(Rule::new(Point::HostCall("proxy_set_shared_data"), Effect::Fail(10)));
    let stream = process.request(0, event("paid")).expect("it is answered");
    let answer = process.answer(stream).expect("an answer");
    assert_eq!((answer.status(), answer.header("retry-after")), (503, "1"));
    advance(&mut process, seconds(5));
    assert!(process.calls("billing").is_empty());
}

/// Without the line that lets bodies arrive every event hangs as in Envoy.
#[test]
fn events_hang_without_allow_on_headers_stop_iteration() {
    let mut process = gateway(&config([endpoint("billing")])).hold_body_while_paused().start().expect("it starts");
    let stream = process.request(0, event("paid")).expect("it is taken");
    advance(&mut process, seconds(60));
    assert!(process.answer(stream).is_none() && process.is_open(stream));
    let passing = process.request(0, Request::post("/other").body("one")).expect("it is taken");
    assert_eq!(process.answer(passing).map(|answer| answer.status()), Some(200));
}

/// After a restart of the process it starts with nothing and delivers again.
#[test]
fn restarted_process_starts_empty_and_delivers_again() {
    let hanging = Upstream::always(Reply::hang());
    let mut process = gateway(&config([endpoint("billing")])).cluster("billing", hanging).start().expect("it starts");
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    process.restart().expect("it starts again");
    assert_eq!(process.shared_data().count(), 0);
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    advance(&mut process, seconds(60));
    assert_eq!(process.calls("billing").len(), 1, "what it held is gone");
    accept(&mut process, 1, event("paid"));
    advance(&mut process, seconds(1));
    assert_eq!(process.calls("billing").len(), 2);
}

/// A thread whose clock is off signs by its own clock and keeps the schedule.
#[test]
fn thread_with_a_wrong_clock_signs_by_it_on_schedule() {
    let failing = Upstream::replies([Reply::status(503)]);
    let mut process = gateway(&config([endpoint("billing")])).cluster("billing", failing).start().expect("it starts");
    process.skew_wall_clock(Thread::Worker(0), 90_000);
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(5));
    let attempts = attempts(&process, "billing");
    assert_eq!((attempts[1].at - attempts[0].at).as_secs(), 2);
}
