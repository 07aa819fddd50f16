use super::*;
use crate::egress::state::EndpointKeys;
use crate::store::keys::Keys;

const QUICK: &str = r#", "retry": {"delays": ["0s"]}, "breaker": {"failures": 5, "open": "60s"}, "timeout": "10s""#;

/// Two workers after five failures, which have opened the breaker, with three deliveries waiting in each worker.
fn opened() -> Process {
    let mut process = Process::new(2, &billing(QUICK));
    for worker in [0, 1, 0, 1, 0] {
        process.offer(worker, 1);
        let sent = process.only();
        process.end(&sent, Ending::Status(500));
    }
    for worker in [0, 1, 0, 1, 0, 1] {
        process.offer(worker, 1);
    }
    assert!(process.sent().is_empty());
    process
}

/// An endpoint without a breaker is never left alone: what a breaker of an earlier config left in its record, such as
/// that it is open, holds nothing back either.
#[test]
fn endpoint_without_a_breaker_is_never_left_alone() {
    let none = r#", "retry": {"delays": ["0s"]}, "breaker": null, "timeout": "10s""#;
    let mut process = Process::new(2, &billing(none));
    let keys = EndpointKeys::new(&Keys::new("g"), "billing");
    process
        .run(0, |_, world| keys.force_breaker(world.store, world.now.mono, Some(Duration::from_secs(3600))))
        .unwrap();
    for number in 0..40 {
        process.offer(number % 2, number as u32);
        let sent = process.only();
        process.end(&sent, Ending::Status(500));
    }
    let record = process.run(0, |_, world| keys.shared(world.store)).unwrap();
    assert_eq!(record.breaker.epoch(), 1, "nothing was counted");
}

/// No attempt leaves while the breaker is open, whichever worker counted the failures.
#[test]
fn open_breaker_holds_attempts_of_every_worker() {
    let mut process = opened();
    assert!(process.pass(59_900).is_empty());
}

#[test]
fn one_probe_leaves_although_two_workers_wait() {
    let mut process = opened();
    let probes = process.pass(70_000);
    assert_eq!(probes.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [61_000]);
}

#[test]
fn successful_probe_closes_and_delivers_the_backlog() {
    let mut process = opened();
    let mut probes = process.pass(60_000);
    let (_, probe) = probes.remove(0);
    process.end(&probe, Ending::Status(200));
    assert_eq!(process.answer_all(1000, Ending::Status(200)), 5);
    assert_eq!(process.letters(), 5);
}

#[test]
fn failed_probe_reopens_and_costs_only_itself() {
    let mut process = opened();
    let (_, probe) = process.pass(60_000).remove(0);
    process.end(&probe, Ending::Timeout);
    assert!(process.pass(59_900).is_empty());
    let (_, probe) = process.pass(200).remove(0);
    process.end(&probe, Ending::Status(200));
    assert_eq!(process.answer_all(1000, Ending::Status(200)), 4);
}

/// A probe whose worker died is made again by another worker, once the claim of the probe has lapsed.
#[test]
fn dead_workers_probe_is_repeated_once_its_claim_lapses() {
    let mut process = opened();
    let (at, probe) = process.pass(60_000).remove(0);
    let dead = probe.worker;
    process.workers.remove(dead);
    let sent = process.pass(20_000);
    assert_eq!(sent.iter().map(|(again, _)| again - at).collect::<Vec<_>>(), [15_000]);
}

/// A probe that Envoy would not send is free for the other worker.
#[test]
fn probe_envoy_refused_is_free_for_another_worker() {
    let mut process = opened();
    let (_, probe) = process.pass(60_000).remove(0);
    process.run(probe.worker, |engine, world| engine.handle_call_refused(world, probe.call.attempt));
    let (_, second) = process.pass(300).remove(0);
    process.end(&second, Ending::Status(200));
    assert_eq!(process.answer_all(1000, Ending::Status(200)), 5);
}

#[test]
fn each_transition_is_said_once() {
    let mut process = opened();
    let said = |actions: Vec<Action>| {
        actions.into_iter().filter(|action| matches!(action, Action::Notice(Notice::Breaker { .. }))).count()
    };
    // The opening was noted while the failures came in.
    let mut count = 0;
    let mut probe = None;
    for _ in 0..1300 {
        process.millis += 50;
        let (sent, others) = process.poll();
        probe = sent.into_iter().next().or(probe);
        count += said(others);
    }
    assert_eq!(count, 1, "half-open");
    process.end(&probe.unwrap(), Ending::Status(200));
    assert_eq!(said(process.poll().1), 1, "closed");
}

#[test]
fn an_endpoint_with_an_open_breaker_does_not_hold_up_another() {
    let both = format!("{}, {}", endpoint("dead", QUICK), endpoint("alive", QUICK));
    let mut process = Process::new(1, &both);
    for _ in 0..20 {
        process.offer(0, 1);
        for sent in process.sent() {
            let dead = sent.call.cluster() == Some("dead");
            process.end(&sent, if dead { Ending::Connect } else { Ending::Status(200) });
        }
    }
    assert_eq!(process.workers[0].endpoints.iter().map(|state| state.share.deliveries).collect::<Vec<_>>(), [15, 0]);
}
