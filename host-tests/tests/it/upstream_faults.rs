//! Faults of the clusters, put in from outside their scripts.

use host_tests::{Effect, Point, Reply, Rule, Thread, Upstream};
use serde_json::json;

use crate::support::{accept, advance, attempts, config, endpoint, event, gateway, millis, seconds, start, with};

const BILLING: Point = Point::Upstream("billing");

/// A rule fails one attempt at one cluster and the next is the scripts again.
#[test]
fn rule_fails_one_attempt_and_the_script_goes_on() {
    let mut process = start(&config([endpoint("billing"), endpoint("audit")]));
    process.add_rule(Rule::new(BILLING, Effect::Fail(503)).times(1));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(10));
    assert_eq!((attempts(&process, "billing").len(), attempts(&process, "audit").len()), (2, 1));
    assert_eq!(process.metric("endpoint=.=billing;.;outcome=.=5xx;.;gatepost_attempts_total"), Some(1));
}

/// An answer that a rule keeps back is ended by the calls timeout.
#[test]
fn withheld_answer_ends_by_the_call_timeout() {
    let mut process = start(&config([with(endpoint("billing"), json!({"timeout": "1s"}))]));
    process.add_rule(Rule::new(Point::AnyUpstream, Effect::Drop).times(1));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(10));
    let attempts = attempts(&process, "billing");
    // The second is made two seconds after the end of the first.
    assert!(attempts[1].at - attempts[0].at >= seconds(3), "{attempts:?}");
    assert_eq!(process.metric("endpoint=.=billing;.;outcome=.=timeout;.;gatepost_attempts_total"), Some(1));
}

#[test]
fn a_rule_makes_a_cluster_slower_for_one_thread_alone() {
    let mut process = start(&config([endpoint("billing")]));
    process.add_rule(Rule::new(BILLING, Effect::Delay(millis(400))).on(Thread::Worker(1)));
    let mut took = |worker| {
        let before = process.histogram("endpoint=.=billing;.;gatepost_attempt_duration_ms").map_or(0, <[u64]>::len);
        accept(&mut process, worker, event("paid"));
        advance(&mut process, seconds(1));
        process.histogram("endpoint=.=billing;.;gatepost_attempt_duration_ms").expect("samples")[before]
    };
    assert!(took(0) < 10);
    assert!((400..410).contains(&took(1)));
}

/// A rule that was taken away or passes leaves the script alone.
#[test]
fn removed_or_passing_rule_leaves_the_script_alone() {
    let mut process = start(&config([endpoint("billing")]));
    let rule = process.add_rule(Rule::new(BILLING, Effect::Fail(500)));
    process.remove_rule(rule);
    process.add_rule(Rule::new(BILLING, Effect::Pass));
    process.add_rule(Rule::new(Point::AnyUpstream, Effect::Fail(500)));
    accept(&mut process, 0, event("paid"));
    advance(&mut process, seconds(1));
    assert_eq!(process.metric("endpoint=.=billing;.;result=.=delivered;.;gatepost_deliveries_total"), Some(1));
}

#[test]
fn the_wrap_of_the_cas_numbers_changes_nothing() {
    let run = |first| {
        let failing = Upstream::replies([Reply::status(503), Reply::status(503)]);
        let builder = gateway(&config([endpoint("billing")])).cluster("billing", failing).first_cas(first);
        let mut process = builder.start().expect("it starts");
        accept(&mut process, 0, event("paid"));
        advance(&mut process, seconds(2));
        process.kill_vm(Thread::Worker(0));
        accept(&mut process, 1, event("paid"));
        advance(&mut process, seconds(30));
        process.trace().to_string()
    };
    let usual = run(1);
    for before in [1, 2, 3, 5, 8, 13, 21, 34] {
        assert_eq!(run(u32::MAX - before), usual, "{before} before the wrap");
    }
}
