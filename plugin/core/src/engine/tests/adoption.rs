//! Events that one worker accepted and another delivers: after a death, a stall, or a change of the configuration.

use super::*;

/// The config of a process whose only endpoint has this name.
fn config_of(endpoint_name: &str) -> Rc<Config> {
    let process = Process::new(1, &endpoint(endpoint_name, ""));
    Rc::clone(process.workers[0].config())
}

fn replace(process: &mut Process, worker: usize, config: &Rc<Config>) {
    process.workers[worker] = Engine::new(Rc::clone(config), "g");
}

fn adopted(others: &[Action]) -> Vec<usize> {
    let events = |action: &Action| match action {
        Action::Notice(Notice::Adopted { events, .. }) => Some(*events),
        _ => None,
    };
    others.iter().filter_map(events).collect()
}

fn lease(process: &Process, partition: u32) -> usize {
    process.store.values[&format!("g/lease/{partition}")].0.len()
}

/// A living worker delivers the event that a dead worker accepted, with the same id.
#[test]
fn dead_workers_event_is_delivered_with_the_same_id() {
    let mut process = Process::new(2, &billing(""));
    process.offer(0, 1);
    let sent = process.only();
    let config = Rc::clone(process.workers[0].config());
    let id = header(&sent, "x-webhook-id");
    // The worker dies with its attempt under way; the engine in its place knows nothing of the attempt.
    replace(&mut process, 0, &config);
    assert!(process.pass(9_900).is_empty());
    let again = process.pass(1_200);
    assert_eq!(again.len(), 1);
    assert_eq!(header(&again[0].1, "x-webhook-id"), id);
    process.end(&again[0].1, Ending::Status(200));
    assert_eq!(process.body_bytes(), 1);
}

#[test]
fn an_adopted_partition_is_given_up_once_it_is_empty() {
    let mut process = Process::new(2, &billing(""));
    process.offer(0, 1);
    process.offer(1, 2);
    let config = Rc::clone(process.workers[0].config());
    replace(&mut process, 0, &config);
    process.answer_all(13_000, Ending::Status(200));
    assert_eq!((lease(&process, 0), process.workers[1].queue.holdings.numbers()), (1, vec![1]));
}

#[test]
fn a_retry_that_was_waiting_keeps_its_time_and_its_attempts() {
    let mut process = Process::with(2, "", &billing(r#", "retry": {"delays": ["0s", "60s"]}"#));
    process.offer(0, 1);
    let first = process.only();
    process.end(&first, Ending::Status(503));
    let (config, ended) = (Rc::clone(process.workers[0].config()), process.millis);
    replace(&mut process, 0, &config);
    let sent = process.pass(61_000);
    let (at, again) = &sent[0];
    assert_eq!((sent.len(), *at), (1, ended + 60_000));
    assert_eq!(header(again, "x-webhook-attempt").as_deref(), Some("2"));
    process.end(again, Ending::Status(503));
    assert_eq!(process.letters(), 1);
}

#[test]
fn a_worker_that_was_taken_for_dead_forgets_what_it_held() {
    let mut process = Process::new(2, &billing(""));
    process.run(0, Engine::handle_timeout);
    process.offer(0, 1);
    // Worker 0 sends, then stalls for longer than its lease.
    let mut actions = std::iter::from_fn(|| process.run(0, Engine::poll_action));
    assert!(actions.any(|action| matches!(action, Action::Call(_))));
    process.millis += 11_000;
    process.run(1, Engine::handle_timeout);
    assert_eq!(process.workers[1].queue.holdings.numbers(), [0]);
    process.run(0, Engine::handle_timeout);
    assert_eq!((process.workers[0].partition(), process.workers[0].queue.waiting), (None, 0));
    assert_eq!(process.sent().len(), 1);
}

/// An event that was handed over may kill three VMs, too, before it becomes a dead letter.
#[test]
fn handed_over_event_may_kill_three_vms_before_it_dies() {
    let mut process = Process::new(2, &billing(""));
    process.offer(0, 1);
    // The worker of the event ends without an attempt.
    process.run(0, |engine, world| engine.close(world));
    let config = Rc::clone(process.workers[0].config());
    let mut deaths = 0;
    while let [(_, _)] = process.pass(12_000).as_slice() {
        deaths += 1;
        (0..2).for_each(|worker| replace(&mut process, worker, &config));
    }
    assert_eq!((deaths, process.letters()), (3, 1));
}

/// An event that kills every VM that attempts it becomes a dead letter at its third adoption.
#[test]
fn poison_event_is_a_dead_letter_at_its_third_adoption() {
    let mut process = Process::new(2, &billing(""));
    process.offer(0, 1);
    process.offer_event(0, 2, "refunded", b"{}");
    let config = Rc::clone(process.workers[0].config());
    let mut adoptions = 0;
    while process.letters() == 0 {
        // The event `refunded` is delivered; the attempt of the other event never ends.
        let sent = process.sent();
        for sent in &sent {
            if header(sent, "x-webhook-event").as_deref() == Some("refunded") {
                process.end(sent, Ending::Status(200));
            }
        }
        (0..2).for_each(|worker| replace(&mut process, worker, &config));
        process.millis += 10_000;
        adoptions += 1;
        assert!(adoptions <= 3);
        process.run(adoptions % 2, Engine::handle_timeout);
    }
    assert_eq!(adoptions, 3);
    process.answer_all(2_000, Ending::Status(200));
    assert_eq!((process.letters(), process.body_bytes()), (1, 2));
}

#[test]
fn an_attempt_that_ended_makes_an_adopted_event_innocent() {
    let mut process = Process::with(
        2,
        "",
        &billing(r#", "retry": {"delays": ["0s", "0s", "0s", "0s", "0s", "0s"]}, "breaker": {"failures": 100}"#),
    );
    process.offer(0, 1);
    process.only();
    let config = Rc::clone(process.workers[0].config());
    for round in 0..5 {
        (0..2).for_each(|worker| replace(&mut process, worker, &config));
        process.millis += 10_000;
        process.run(round % 2, Engine::handle_timeout);
        let sent = process.sent();
        process.end(&sent[0], Ending::Status(503));
        assert_eq!(process.sent().len(), 1, "the next one is under way when the worker dies");
    }
    assert_eq!(process.letters(), 0);
}

/// After a config change only the newest generation starts attempts.
#[test]
fn only_the_newest_generation_starts_attempts() {
    let mut process = Process::new(2, &billing(r#", "retry": {"delays": ["0s", "2s"]}"#));
    process.offer(0, 1);
    let first = process.only();
    let newer = config_of("billing");
    replace(&mut process, 1, &newer);
    process.run(1, Engine::handle_timeout);
    // The old generation still accepts, on a connection that was kept alive, and its attempt under way may end.
    process.offer(0, 2);
    process.end(&first, Ending::Status(503));
    let sent = process.pass(4_000);
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|(_, sent)| sent.worker == 1));
    assert_eq!(process.workers[0].queue.waiting, 0);
}

/// A delivery whose endpoint is gone from the new config is a dead letter.
#[test]
fn delivery_to_a_removed_endpoint_is_a_dead_letter() {
    let mut process = Process::new(2, &billing(r#", "retry": {"delays": ["5s"]}"#));
    process.offer(0, 1);
    process.run(0, Engine::handle_timeout);
    replace(&mut process, 1, &config_of("audit"));
    process.run(1, Engine::handle_timeout);
    assert!(process.pass(10_000).is_empty());
    assert_eq!((process.letters(), process.body_bytes()), (1, 1));
}

/// Under a new config that is disabled nothing is sent, and deliveries that wait go on waiting.
#[test]
fn disabled_new_config_sends_nothing_and_keeps_the_queue() {
    let mut process = Process::new(3, &billing(""));
    process.run(0, Engine::handle_timeout);
    let route = r#"{"name": "r", "match": {"path": "/e"}, "event": "paid"}"#;
    let text = format!(r#"{{"routes": [{route}], "endpoints": [{}]}}"#, billing(""));
    let off = Rc::new(config::parse(text.as_bytes(), &|_| None).unwrap());
    (1..3).for_each(|worker| replace(&mut process, worker, &off));
    process.run(1, Engine::handle_timeout);
    process.offer(0, 1);
    assert!(process.pass(30_000).is_empty());
    // A configuration that is on again.
    let newer = config_of("billing");
    replace(&mut process, 2, &newer);
    process.run(2, Engine::handle_timeout);
    assert_eq!(process.pass(2_000).len(), 1);
}

/// A config that comes back delivers again with its first new connection.
#[test]
fn returning_config_delivers_on_its_first_new_connection() {
    let mut process = Process::new(2, &billing(""));
    process.run(0, Engine::handle_timeout);
    let newer = format!("{}, {}", billing(""), endpoint("audit", r#", "events": ["never"]"#));
    let newer = Rc::clone(Process::new(1, &newer).workers[0].config());
    replace(&mut process, 1, &newer);
    process.run(1, Engine::handle_timeout);
    let offer = |process: &mut Process, worker: usize, connection| {
        let offer = offer_of(1, "paid", b"{}");
        process.run(worker, |engine, world| {
            engine.handle_connection(world, connection);
            engine.handle_event(world, offer)
        })
    };
    offer(&mut process, 1, 5);
    assert_eq!(process.only().worker, 1);
    offer(&mut process, 0, 4);
    assert_eq!(process.pass(2_000)[0].1.worker, 1);
    offer(&mut process, 0, 6);
    assert_eq!(process.only().worker, 0);
}

/// A producer whose event is handed over is answered that the event is pending.
#[test]
fn producer_of_a_handed_over_event_is_answered_202() {
    let mut process = Process::with(2, r#", "ack": "delivered""#, &billing(""));
    assert!(process.offer(0, 1).answer.is_none());
    process.run(0, Engine::handle_timeout);
    replace(&mut process, 1, &config_of("billing"));
    process.run(1, Engine::handle_timeout);
    process.millis += 1_000;
    let (_, others) = process.poll();
    let answers: Vec<_> = others
        .iter()
        .filter(|action| matches!(action, Action::Answer { stream: 1, answer } if answer.status == 202))
        .collect();
    assert_eq!(answers.len(), 1);
}

/// A root that ends gives its partition up as soon as its attempts have ended.
#[test]
fn ending_root_releases_its_partition_after_its_attempts() {
    let mut process = Process::new(2, &billing(""));
    process.offer(0, 1);
    let sent = process.only();
    process.offer(0, 2);
    assert!(!process.run(0, Engine::close));
    process.end(&sent, Ending::Status(200));
    assert!(process.run(0, Engine::close));
    process.millis += 1_000;
    assert_eq!(process.only().worker, 1);
}

#[test]
fn adoption_is_told_once_with_the_number_of_events() {
    let mut process = Process::new(2, &billing(""));
    (0..3).for_each(|stream| drop(process.offer(0, stream)));
    let config = Rc::clone(process.workers[0].config());
    replace(&mut process, 0, &config);
    process.millis += 10_000;
    assert_eq!(adopted(&process.poll().1), [3]);
}

/// An event under way to two endpoints when its worker dies counts one trial.
#[test]
fn event_in_two_attempts_is_blamed_once_per_death() {
    let both = format!("{}, {}", billing(""), endpoint("audit", ""));
    let mut process = Process::new(2, &both);
    process.offer(0, 1);
    let config = Rc::clone(process.workers[0].config());
    for adopter in [1, 0] {
        assert_eq!(process.sent().len(), 2);
        (0..2).for_each(|worker| replace(&mut process, worker, &config));
        process.millis += 10_000;
        process.run(adopter, Engine::handle_timeout);
    }
    assert_eq!((process.letters(), process.sent().len()), (0, 2));
}

/// A partition with an event that could not be taken up is never taken for empty.
#[test]
fn partition_with_an_unadopted_event_is_never_empty() {
    let mut process = Process::new(2, &billing(r#", "retry": {"delays": ["5s"]}"#));
    process.offer(0, 1);
    process.run(0, Engine::handle_timeout);
    replace(&mut process, 1, &config_of("audit"));
    process.run(1, Engine::handle_timeout);
    process.millis += 1_000;
    process.run(0, Engine::handle_timeout);
    // The letter for its removed endpoint cannot be kept: the ring is of another version.
    process.store.set("g/dead/index", &[99], None).unwrap();
    process.millis += 1_000;
    process.run(1, Engine::handle_timeout);
    assert!(process.run(1, Engine::close));
    assert!(lease(&process, 0) > 1, "it is left, not freed");
    process.store.values.remove("g/dead/index");
    replace(&mut process, 1, &config_of("audit"));
    process.pass(3_000);
    assert_eq!((process.letters(), process.body_bytes()), (1, 1));
}
