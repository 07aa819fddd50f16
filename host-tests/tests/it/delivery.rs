//! When attempts are made, and what their ends mean.

use std::time::Duration;

use host_tests::{Process, Reply, Upstream};
use serde_json::{Value, json};

use crate::support::{
    Attempt, about, accept, advance, attempts, config, endpoint, event, gateway, millis, seconds, wait, waits, with,
};

/// The latency of the receivers here, so that a wait from the attempt's end differs from one from its start.
const LATENCY: Duration = Duration::from_millis(300);

/// The attempts of one event at a receiver that answers like this, all of them.
fn attempts_at(upstream: Upstream, more: Value) -> Vec<Attempt> {
    attempts(&run(upstream, more, seconds(600)), "billing")
}

fn run(upstream: Upstream, more: Value, time: Duration) -> Process {
    let config = config([with(endpoint("billing"), more)]);
    let mut process = gateway(&config).cluster("billing", upstream).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, time);
    process
}

fn replies<const N: usize>(replies: [Reply; N]) -> Upstream {
    Upstream::replies(replies)
}

#[track_caller]
fn assert_waits(attempts: &[Attempt], latency: Duration, expected: &[Duration]) {
    let waits = waits(attempts, latency);
    assert_eq!(waits.len(), expected.len(), "{waits:?}");
    for (wait, expected) in waits.iter().zip(expected) {
        assert!(about(*expected).contains(wait), "{waits:?}");
    }
}

#[test]
fn an_event_leaves_within_a_millisecond_of_its_202() {
    let config = config([endpoint("billing")]);
    let mut process = gateway(&config).start().expect("it starts");
    advance(&mut process, seconds(5));
    for worker in [0, 1] {
        let before = process.clock().elapsed();
        accept(&mut process, worker, event("payment_verified"));
        advance(&mut process, seconds(1));
        let left = attempts(&process, "billing")[worker].at - before;
        assert!(left < millis(1), "{left:?}");
    }
}

#[test]
fn attempts_follow_the_schedule_each_wait_from_the_end_of_the_attempt_before() {
    let fails = [Reply::status(503).after(LATENCY), Reply::status(503).after(LATENCY), Reply::status(200)];
    let attempts = attempts_at(replies(fails), json!({}));
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_waits(&attempts, LATENCY, &[seconds(2), seconds(4)]);
}

#[test]
fn the_first_delay_is_the_wait_before_the_first_attempt() {
    let mut process =
        gateway(&config([with(endpoint("billing"), json!({"retry": {"delays": ["3s"]}}))])).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    let accepted = process.clock().elapsed();
    advance(&mut process, seconds(10));
    assert!(about(seconds(3)).contains(&(attempts(&process, "billing")[0].at - accepted)));
}

#[test]
fn a_2xx_ends_a_delivery_and_so_does_a_status_that_is_not_to_be_retried() {
    for status in [200, 201, 204, 299, 301, 302, 307, 400, 401, 404, 409, 422] {
        let attempts = attempts_at(Upstream::always(Reply::status(status)), json!({}));
        assert_eq!(attempts.len(), 1, "{status}");
    }
}

#[test]
fn what_may_pass_is_tried_as_often_as_there_are_delays() {
    let passing = [
        Reply::status(408),
        Reply::status(429),
        Reply::status(500),
        Reply::status(503),
        Reply::status(599),
        Reply::connect_failure(),
        Reply::disconnect(),
        Reply::reset(),
    ];
    for reply in passing {
        let attempts = attempts_at(Upstream::always(reply.clone().after(LATENCY)), json!({}));
        assert_waits(&attempts, LATENCY, &[seconds(2), seconds(4)]);
    }
}

#[test]
fn a_receiver_that_does_not_answer_is_tried_again_after_the_timeout() {
    let timeout = seconds(5);
    let attempts = attempts_at(Upstream::always(Reply::hang()), json!({"timeout": "5s"}));
    assert_waits(&attempts, timeout, &[seconds(2), seconds(4)]);
}

#[test]
fn the_config_chooses_the_statuses_that_are_tried_again() {
    let statuses = json!({"retry": {"delays": ["0s", "1s"], "statuses": [404]}});
    assert_eq!(attempts_at(Upstream::always(Reply::status(404)), statuses.clone()).len(), 2);
    assert_eq!(attempts_at(Upstream::always(Reply::status(503)), statuses).len(), 1);
}

#[test]
fn retry_after_lengthens_a_wait_and_never_shortens_one() {
    for (status, header, expected) in [
        (429, "3", seconds(3)),
        (503, "3", seconds(3)),
        (503, "1", seconds(2)),
        (503, "soon", seconds(2)),
        (500, "30", seconds(2)),
    ] {
        let first = Reply::status(status).after(LATENCY).header("retry-after", header);
        assert_waits(&attempts_at(replies([first]), json!({})), LATENCY, &[expected]);
    }
}

#[test]
fn retry_after_may_be_a_date() {
    // The wall clock starts at midnight, and the date has whole seconds: the wait ends at 00:01:00 sharp.
    let first = Reply::status(503).header("retry-after", "Thu, 01 Jan 2026 00:01:00 GMT");
    let attempts = attempts_at(replies([first]), json!({}));
    assert!(about(seconds(60)).contains(&attempts[1].at), "{attempts:?}");
}

#[test]
fn no_receiver_makes_a_delivery_wait_longer_than_an_hour() {
    let first = Reply::status(503).header("retry-after", "86400").after(LATENCY);
    let process = run(replies([first]), json!({}), seconds(2 * 3600));
    assert_waits(&attempts(&process, "billing"), LATENCY, &[seconds(3600)]);
}

#[test]
fn jitter_lengthens_waits_by_up_to_its_share_and_not_all_alike() {
    let more = json!({"retry": {"delays": ["0s", "10s"], "jitter": 0.5}, "breaker": {"failures": 100}});
    let config = config([with(endpoint("billing"), more)]);
    let failing = Upstream::always(Reply::status(503).after(LATENCY));
    let mut process = gateway(&config).cluster("billing", failing).start().expect("it starts");
    let ids: Vec<String> = (0..20).map(|_| accept(&mut process, 0, event("payment_verified"))).collect();
    advance(&mut process, seconds(60));
    let all = attempts(&process, "billing");
    let mut seen = Vec::new();
    for id in ids {
        let own: Vec<Attempt> = all.iter().filter(|attempt| attempt.id == id).cloned().collect();
        seen.extend(waits(&own, LATENCY));
    }
    assert_eq!(seen.len(), 20);
    assert!(seen.iter().all(|wait| (seconds(10)..about(seconds(15)).end).contains(wait)), "{seen:?}");
    let spread = *seen.iter().max().expect("some") - *seen.iter().min().expect("some");
    assert!(spread > seconds(1), "{seen:?}");
}

#[test]
fn what_envoy_refuses_to_send_is_no_attempt_and_is_tried_again_shortly() {
    let refusals = (0..5).map(|_| Reply::refused());
    let config = config([endpoint("billing")]);
    let mut process = gateway(&config).cluster("billing", Upstream::replies(refusals)).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    wait(&mut process, seconds(10), |process| !process.calls("billing").is_empty());
    assert_eq!(attempts(&process, "billing")[0].number, 1);
}

#[test]
fn an_endpoint_whose_cluster_envoy_does_not_know_waits_until_it_does() {
    let config = config([with(endpoint("billing"), json!({"cluster": "later"})), endpoint("audit")]);
    let unknown = with(config.clone(), json!({"endpoints": [config["endpoints"][1]]}));
    let mut process = gateway(&unknown).config(config.to_string()).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(60));
    assert_eq!(attempts(&process, "audit").len(), 1, "the other endpoint has it");
    process.set_upstream("later", Upstream::always(Reply::status(200)));
    advance(&mut process, seconds(2));
    assert_eq!(process.calls("later").len(), 1);
    assert_eq!(process.calls("later")[0].header("x-webhook-attempt"), "1");
}

#[test]
fn every_accepted_event_arrives_once_at_every_endpoint() {
    let mut process = gateway(&config([endpoint("billing"), endpoint("audit")])).start().expect("it starts");
    let mut accepted = Vec::new();
    for number in 0..1000 {
        accepted.push(accept(&mut process, number % 2, event("payment_verified")));
        if number % 7 == 0 {
            advance(&mut process, millis(1));
        }
    }
    advance(&mut process, seconds(5));
    accepted.sort();
    for endpoint in ["billing", "audit"] {
        let mut arrived: Vec<String> = attempts(&process, endpoint).into_iter().map(|attempt| attempt.id).collect();
        arrived.sort();
        assert!(arrived == accepted, "{} arrived of {}", arrived.len(), accepted.len());
    }
}

#[test]
fn a_rate_is_shared_by_all_workers_and_nothing_is_dropped() {
    let more = json!({"rate": {"per_second": 10, "burst": 5}});
    let mut process = gateway(&config([with(endpoint("billing"), more)])).start().expect("it starts");
    for number in 0..60 {
        accept(&mut process, number % 2, event("payment_verified"));
    }
    advance(&mut process, seconds(30));
    let times: Vec<Duration> = attempts(&process, "billing").iter().map(|attempt| attempt.at).collect();
    assert_eq!(times.len(), 60);
    for start in &times {
        let in_a_second = times.iter().filter(|time| (*start..*start + seconds(1)).contains(time)).count();
        assert!(in_a_second <= 5 + 10, "{in_a_second} from {start:?}");
    }
    // 55 of them wait for a token each, a tenth of a second apart.
    let took = times[59] - times[0];
    assert!((millis(5400)..millis(7000)).contains(&took), "{took:?}");
}

#[test]
fn no_more_attempts_are_under_way_in_a_worker_than_max_in_flight() {
    let more = json!({"max_in_flight": 3});
    let slow = Upstream::always(Reply::status(200).after(seconds(1)));
    let mut process =
        gateway(&config([with(endpoint("billing"), more)])).cluster("billing", slow).start().expect("it starts");
    for _ in 0..9 {
        accept(&mut process, 0, event("payment_verified"));
    }
    advance(&mut process, millis(900));
    assert_eq!(process.calls("billing").len(), 3);
    accept(&mut process, 1, event("payment_verified"));
    advance(&mut process, millis(50));
    assert_eq!(process.calls("billing").len(), 4, "the other worker has its own");
    advance(&mut process, seconds(5));
    let times: Vec<Duration> = attempts(&process, "billing").iter().map(|attempt| attempt.at).collect();
    assert_eq!(times.len(), 10);
    for time in &times {
        let under_way = times.iter().filter(|other| (*time..*time + seconds(1)).contains(other)).count();
        assert!(under_way <= 3 + 1, "{times:?}");
    }
}

#[test]
fn a_delivery_older_than_max_age_is_not_attempted_again() {
    let more = json!({"retry": {"delays": ["0s", "4s", "4s"]}, "max_age": "9s", "timeout": "10s"});
    let attempts = attempts_at(Upstream::always(Reply::status(503).after(seconds(3))), more);
    // Attempts at 0 s and 7 s; the third would come at 14 s.
    assert_eq!(attempts.len(), 2);
}
