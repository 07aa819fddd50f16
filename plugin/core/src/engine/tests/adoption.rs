//! What one worker accepted and another delivers: after a death, a stall, or a change of the configuration.

use super::*;

/// The config of a process whose only endpoint is called so.
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

#[test]
fn a_living_worker_delivers_what_a_dead_one_accepted_with_the_same_id() {
    let mut process = Process::new(2, &billing(""));
    process.offer(0, 1);
    let sent = process.only();
    let config = Rc::clone(process.workers[0].config());
    let id = header(&sent, "x-webhook-id");
    // The worker dies with its attempt under way, and what takes its place has nothing to do with it.
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

#[test]
fn an_event_that_was_handed_over_may_kill_three_vms_too_before_it_is_a_dead_letter() {
    let mut process = Process::new(2, &billing(""));
    process.offer(0, 1);
    // Its worker ends without an attempt.
    process.run(0, |engine, world| engine.close(world));
    let config = Rc::clone(process.workers[0].config());
    let mut deaths = 0;
    while let [(_, _)] = process.pass(12_000).as_slice() {
        deaths += 1;
        (0..2).for_each(|worker| replace(&mut process, worker, &config));
    }
    assert_eq!((deaths, process.letters()), (3, 1));
}

#[test]
fn an_event_that_kills_whoever_attempts_it_is_a_dead_letter_when_it_is_adopted_the_third_time() {
    let mut process = Process::new(2, &billing(""));
    process.offer(0, 1);
    process.offer_event(0, 2, "refunded", b"{}");
    let config = Rc::clone(process.workers[0].config());
    let mut adoptions = 0;
    while process.letters() == 0 {
        // The other event is delivered, this one's attempt never ends.
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

#[test]
fn after_a_config_change_only_the_newest_generation_starts_attempts() {
    let mut process = Process::new(2, &billing(r#", "retry": {"delays": ["0s", "2s"]}"#));
    process.offer(0, 1);
    let first = process.only();
    let newer = config_of("billing");
    replace(&mut process, 1, &newer);
    process.run(1, Engine::handle_timeout);
    // The old one still accepts, on a connection that was kept alive; what it has under way may end.
    process.offer(0, 2);
    process.end(&first, Ending::Status(503));
    let sent = process.pass(4_000);
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|(_, sent)| sent.worker == 1));
    assert_eq!(process.workers[0].queue.waiting, 0);
}

#[test]
fn a_delivery_whose_endpoint_is_gone_from_the_new_config_is_a_dead_letter() {
    let mut process = Process::new(2, &billing(r#", "retry": {"delays": ["5s"]}"#));
    process.offer(0, 1);
    process.run(0, Engine::handle_timeout);
    replace(&mut process, 1, &config_of("audit"));
    process.run(1, Engine::handle_timeout);
    assert!(process.pass(10_000).is_empty());
    assert_eq!((process.letters(), process.body_bytes()), (1, 1));
}

#[test]
fn under_a_new_config_that_is_off_nothing_is_sent_and_what_waits_waits() {
    let mut process = Process::new(3, &billing(""));
    process.run(0, Engine::handle_timeout);
    let route = r#"{"name": "r", "match": {"path": "/e"}, "event": "paid"}"#;
    let text = format!(r#"{{"routes": [{route}], "endpoints": [{}]}}"#, billing(""));
    let off = Rc::new(config::parse(text.as_bytes(), &|_| None).unwrap());
    (1..3).for_each(|worker| replace(&mut process, worker, &off));
    process.run(1, Engine::handle_timeout);
    process.offer(0, 1);
    assert!(process.pass(30_000).is_empty());
    // On again.
    let newer = config_of("billing");
    replace(&mut process, 2, &newer);
    process.run(2, Engine::handle_timeout);
    assert_eq!(process.pass(2_000).len(), 1);
}

#[test]
fn a_config_that_comes_back_delivers_again_with_its_first_new_connection() {
    let mut process = Process::new(2, &billing(""));
    process.run(0, Engine::handle_timeout);
    let newer = format!("{}, {}", billing(""), endpoint("audit", r#", "events": ["never"]"#));
    let newer = Rc::clone(Process::new(1, &newer).workers[0].config());
    replace(&mut process, 1, &newer);
    process.run(1, Engine::handle_timeout);
    let offer = |process: &mut Process, worker: usize, connection| {
        let event = Event {
            event_type: "paid".into(),
            payload: b"{}".into(),
            content_type: None,
            traceparent: None,
            tracestate: None,
        };
        let offer = Offer { stream: 1, route: crate::ids::RouteId(0), event, key: None, rollout_key: None };
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

#[test]
fn a_producer_whose_event_is_handed_over_is_answered_that_it_goes_on() {
    let mut process = Process::with(2, r#", "ack": "delivered""#, &billing(""));
    assert!(process.offer(0, 1).answer.is_err());
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

#[test]
fn a_root_that_ends_gives_its_partition_up_as_soon_as_its_attempts_have_ended() {
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

#[test]
fn an_event_under_way_to_two_endpoints_when_its_worker_dies_is_blamed_once() {
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

#[test]
fn a_partition_with_an_event_that_could_not_be_taken_up_is_never_taken_for_empty() {
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
