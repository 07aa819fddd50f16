//! Rollouts: which endpoint gets an event, and what rolls an endpoint back.

use super::*;
use crate::rollout::Progress;
use crate::rollout::guard::Trigger;
use crate::store::keys::Keys;
use crate::store::{Write, update};

/// A guard that looks back ten seconds and wants ten of ten events to be delivered.
const GUARD: &str = r#""guard": {"for": "10s", "min_events": 10}"#;

fn rollout(workers: usize, rollout: &str, endpoints: &str) -> Process {
    Process::configured(workers, "", endpoints, &format!(r#", "rollout": {{{rollout}}}"#))
}

fn patient(name: &str) -> String {
    endpoint(name, r#", "retry": {"delays": ["0s"]}, "breaker": {"failures": 100}, "events": ["*"]"#)
}

fn status(reply: &Reply) -> String {
    let answer: serde_json::Value = serde_json::from_slice(&reply.answer.as_ref().unwrap().body).unwrap();
    let of = |value: &serde_json::Value| value["status"].as_str().unwrap_or_default().to_owned();
    let deliveries = answer["deliveries"].as_array().into_iter().flatten().map(of);
    std::iter::once(of(&answer)).chain(deliveries).collect::<Vec<_>>().join(" ")
}

/// Offers ten events a second for some seconds; each attempt ends as `ending` says of its endpoint's number. Returns
/// the notices.
fn play(process: &mut Process, seconds: u64, ending: impl Fn(usize) -> Ending) -> Vec<Notice> {
    let mut notices = Vec::new();
    for tenth in 0..seconds * 10 {
        process.offer(tenth as usize % process.workers.len(), 1);
        let (sent, others) = process.poll();
        notices.extend(others.into_iter().filter_map(|action| match action {
            Action::Notice(notice) => Some(notice),
            _ => None,
        }));
        for sent in &sent {
            process.end(sent, ending(sent.call.endpoint.0));
        }
        process.millis += 100;
    }
    notices
}

fn rolled_back(notices: &[Notice]) -> Vec<(usize, Trigger)> {
    let found = notices.iter().filter_map(|notice| match notice {
        Notice::RolledBack { endpoint, trigger, .. } => Some((endpoint.0, *trigger)),
        _ => None,
    });
    found.collect()
}

fn change(process: &mut Process, endpoint: &str, change: impl Fn(&mut Progress, &crate::rollout::Plan, Now)) {
    let plan = process.workers[0].config().rollout.plan.clone();
    process.run(0, |_, world| {
        update(world.store, &Keys::new("g").of(endpoint), |kept: &mut Progress| {
            *kept = Progress::under(Some(kept.clone()), &plan, world.now);
            change(kept, &plan, world.now);
            (Write::Yes, ())
        })
        .unwrap();
    });
}

#[test]
fn an_event_outside_of_the_rollout_is_answered_and_not_kept() {
    let mut process = rollout(1, r#""percent": 0"#, &billing(""));
    let reply = process.offer(0, 1);
    assert_eq!((status(&reply).as_str(), reply.result), ("not_sampled", Some(EventResult::NotSampled)));
    assert!(process.sent().is_empty() && process.body_bytes() == 0);
}

#[test]
fn one_key_always_falls_alike_and_a_share_of_them_is_in() {
    let mut process = rollout(2, r#""percent": 30"#, &billing(r#", "breaker": {"failures": 100}"#));
    let offer = |process: &mut Process, key: usize, worker: usize| {
        let rollout_key = Some(format!("tenant-{key}"));
        let offer = Offer { rollout_key, ..offer_of(1, "paid", b"{}") };
        process.run(worker, |engine, world| engine.handle_event(world, offer)).result
    };
    let first: Vec<_> = (0..400).map(|key| offer(&mut process, key, 0)).collect();
    let again: Vec<_> = (0..400).map(|key| offer(&mut process, key, 1)).collect();
    assert_eq!(first, again);
    let accepted = first.iter().filter(|result| **result == Some(EventResult::Accepted)).count();
    assert!((90..150).contains(&accepted), "{accepted} of 400");
}

/// An endpoint whose receiver fails is rolled back after the guard's `for`, and the other endpoint is not.
#[test]
fn failing_receiver_alone_is_rolled_back() {
    let endpoints = [patient("billing"), patient("audit")].join(",");
    let mut process = rollout(2, GUARD, &endpoints);
    // A 400 is no sign of trouble to the breaker.
    let failing = |endpoint| Ending::Status(if endpoint == 0 { 400 } else { 200 });
    assert_eq!(rolled_back(&play(&mut process, 9, failing)), []);
    assert_eq!(rolled_back(&play(&mut process, 3, failing)), [(0, Trigger::Success)]);
    assert_eq!(status(&process.offer(1, 1)), "accepted held pending");
    // Nothing more is sent to the endpoint, whichever worker holds the event, and its deliveries are kept.
    process.millis += 5_000;
    assert!(process.sent().iter().all(|sent| sent.call.endpoint == EndpointId(1)));
    change(&mut process, "billing", |progress, _, now| progress.resume(now));
    process.millis += 1_000;
    let sent = process.sent();
    assert!(sent.iter().filter(|sent| sent.call.endpoint == EndpointId(0)).count() > 1, "{sent:?}");
}

/// After a rollback with `discard` new events are not taken, and events that were taken before wait.
#[test]
fn rollback_with_discard_takes_no_new_events() {
    let discarding = r#""guard": {"for": "10s", "min_events": 10, "on_rollback": "discard"}"#;
    let mut process = rollout(1, discarding, &patient("billing"));
    process.offer(0, 1);
    change(&mut process, "billing", |progress, _, now| {
        progress.roll_back(Trigger::Operator, "", now.wall);
    });
    process.millis += 1_000;
    assert_eq!(status(&process.offer(0, 2)), "not_sampled");
    assert!(process.sent().is_empty());
    change(&mut process, "billing", |progress, _, now| progress.resume(now));
    process.millis += 1_000;
    assert_eq!(process.sent().len(), 1);
}

#[test]
fn the_breaker_that_opens_once_too_often_rolls_back_at_once() {
    let nervous = endpoint("billing", r#", "breaker": {"failures": 1, "open": "1s"}, "retry": {"delays": ["0s"]}"#);
    let mut process = rollout(1, r#""guard": {"max_breaker_opens": 2}"#, &nervous);
    let notices = play(&mut process, 10, |_| Ending::Status(500));
    assert_eq!(rolled_back(&notices), [(0, Trigger::BreakerOpens)]);
    let opens = notices.iter().filter(
        |notice| matches!(notice, Notice::Breaker { position, .. } if *position == crate::egress::breaker::Position::Open),
    );
    assert_eq!(opens.count(), 3);
}

#[test]
fn rejected_signatures_roll_back() {
    // The success threshold is breached too, but the rejected signatures are the cause.
    let mut process = rollout(1, GUARD, &patient("billing"));
    assert_eq!(rolled_back(&play(&mut process, 12, |_| Ending::Status(401))), [(0, Trigger::Unauthorized)]);
    let blind = r#""guard": {"for": "10s", "min_events": 10, "min_success": null}"#;
    let mut process = rollout(1, blind, &patient("billing"));
    assert_eq!(rolled_back(&play(&mut process, 12, |_| Ending::Status(401))), [(0, Trigger::Unauthorized)]);
}

/// A healthy endpoint is promoted by itself, and a slow endpoint stays in its phase.
#[test]
fn healthy_endpoint_is_promoted_and_a_slow_one_stays() {
    let phases = r#""phases": [{"percent": 50, "for": "6s"}, {"percent": 60, "for": "6s"}, {"percent": 100}]"#;
    let guarded = format!(r#"{phases}, "guard": {{"for": "4s", "min_events": 5, "hold": {{"max_p95": "1s"}}}}"#);
    let mut process = rollout(2, &guarded, &[patient("billing"), patient("audit")].join(","));
    let (mut promoted, mut held, mut under_way) = (Vec::new(), Vec::new(), Vec::new());
    for tenth in 0..180 {
        process.offer(tenth % 2, 1);
        let (sent, others) = process.poll();
        for action in others {
            match action {
                Action::Notice(Notice::Promoted { endpoint, percent, .. }) => {
                    promoted.push((endpoint.0, percent.0 / 100))
                }
                Action::Notice(Notice::PromotionHeld { endpoint, trigger }) => held.push((endpoint.0, trigger)),
                _ => {}
            }
        }
        let takes = |sent: &Sent| if sent.call.endpoint.0 == 1 { 1_500 } else { 10 };
        under_way.extend(sent.into_iter().map(|sent| (process.millis + takes(&sent), sent)));
        process.millis += 100;
        let now = process.millis;
        for (_, sent) in under_way.extract_if(.., |(end, _)| *end <= now) {
            process.end(&sent, Ending::Status(200));
        }
    }
    assert_eq!(promoted, [(0, 60), (0, 100)]);
    assert_eq!(held, [(1, Trigger::P95)]);
}

#[test]
fn what_a_worker_counted_outlives_it() {
    let mut process = rollout(2, GUARD, &patient("billing"));
    let failing = |_| Ending::Status(400);
    play(&mut process, 8, failing);
    let config = Rc::clone(process.workers[0].config());
    process.workers[0] = Engine::new(config, "g");
    assert_eq!(rolled_back(&play(&mut process, 4, failing)), [(0, Trigger::Success)]);
}

/// If more endpoints have counts than can be written in one second, each endpoint has its turn.
#[test]
fn counts_of_many_endpoints_are_written_in_turn() {
    let endpoints: Vec<String> = (0..1000).map(|number| endpoint(&format!("e{number}"), "")).collect();
    let mut process = Process::new(1, &endpoints.join(","));
    for _ in 0..3 {
        process.run(0, |engine, world| {
            for number in 0..1000 {
                engine.count_result_of(EndpointId(number), world.now, crate::outcome::DeliveryResult::Delivered);
            }
            engine.write_counts(world, 500);
        });
    }
    for number in 0..1000 {
        let [ring, hours] = [format!("g/guard/0/e{number}"), format!("g/hours/e{number}/")];
        assert!(process.store.values.contains_key(&ring), "{ring}");
        assert!(process.store.values.keys().any(|key| key.starts_with(&hours)), "{hours}");
    }
}
