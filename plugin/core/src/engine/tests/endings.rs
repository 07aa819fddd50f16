use super::*;

/// An accepted event stands in shared data before its producer is answered, and is gone once it is delivered.
#[test]
fn event_is_stored_before_its_answer_until_delivered() {
    let mut process = Process::new(1, &billing(""));
    let answer = process.offer(0, 1).answer.unwrap();
    assert_eq!(answer.status, 202);
    assert!(process.store.values["g/body/0/0"].0.ends_with(b"{}"));
    let sent = process.only();
    process.end(&sent, Ending::Status(204));
    assert_eq!(process.body_bytes(), 1);
    assert!(process.pass(60_000).is_empty());
}

/// A delivery is attempted again two, then four seconds after the end of the failed attempt before, and then no more.
#[test]
fn failed_attempt_is_retried_after_two_and_four_seconds() {
    let mut process = Process::new(1, &billing(""));
    process.offer(0, 1);
    let first = process.only();
    process.millis += 700;
    process.end(&first, Ending::Status(503));
    let ended = process.millis;
    let mut second = process.pass(10_000);
    assert_eq!(second.iter().map(|(at, _)| at - ended).collect::<Vec<_>>(), [2000]);
    let (_, second) = second.remove(0);
    process.end(&second, Ending::Timeout);
    let ended = process.millis;
    let mut third = process.pass(10_000);
    assert_eq!(third.iter().map(|(at, _)| at - ended).collect::<Vec<_>>(), [4000]);
    let (_, third) = third.remove(0);
    process.end(&third, Ending::Connect);
    assert!(process.pass(60_000).is_empty());
    assert_eq!(process.letters(), 1);
}

#[test]
fn each_attempt_is_signed_anew_with_one_id_and_its_own_number() {
    let mut process = Process::new(1, &billing(""));
    process.offer(0, 1);
    let first = process.only();
    process.end(&first, Ending::Reset);
    let (_, second) = process.pass(2000).remove(0);
    let of = |sent: &Sent, name: &str| header(sent, name).unwrap();
    assert_eq!(of(&first, "x-webhook-id"), of(&second, "x-webhook-id"));
    assert_eq!([&first, &second].map(|sent| of(sent, "x-webhook-attempt")), ["1", "2"]);
    assert_ne!(of(&first, "x-webhook-timestamp"), of(&second, "x-webhook-timestamp"));
    assert_ne!(of(&first, "x-webhook-signature"), of(&second, "x-webhook-signature"));
}

#[test]
fn a_4xx_ends_the_delivery_at_once() {
    let mut process = Process::new(1, &billing(""));
    process.offer(0, 1);
    let sent = process.only();
    process.end(&sent, Ending::Status(400));
    assert!(process.pass(60_000).is_empty());
    assert_eq!((process.letters(), process.body_bytes()), (1, 1));
}

#[test]
fn retry_after_lengthens_the_wait() {
    let mut process = Process::new(1, &billing(""));
    process.offer(0, 1);
    let sent = process.only();
    process.run(0, |engine, world| engine.handle_call_ended(world, sent.call.attempt, Ending::Status(429), Some(b"3")));
    let ended = process.millis;
    assert_eq!(process.pass(5000).iter().map(|(at, _)| at - ended).collect::<Vec<_>>(), [3000]);
}

/// A call that Envoy refuses to send costs no attempt, and is tried again shortly.
#[test]
fn call_envoy_refuses_costs_no_attempt() {
    let mut process = Process::new(1, &billing(""));
    process.offer(0, 1);
    for _ in 0..20 {
        let (_, sent) = process.pass(1100).pop().unwrap_or_else(|| (0, process.only()));
        process.run(0, |engine, world| engine.handle_call_refused(world, sent.call.attempt));
    }
    let (_, sent) = process.pass(1100).remove(0);
    assert_eq!(header(&sent, "x-webhook-attempt").as_deref(), Some("1"));
    process.end(&sent, Ending::Status(200));
    assert_eq!((process.letters(), process.body_bytes()), (0, 1));
}

#[test]
fn an_attempt_whose_end_is_never_reported_counts_as_timed_out() {
    let mut process = Process::new(1, &billing(r#", "timeout": "10s""#));
    process.offer(0, 1);
    process.only();
    let sent = process.pass(20_000);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].0 >= 1000 + 15_000 + 2000, "{}", sent[0].0);
}

/// A report of an attempt that is unknown or over changes nothing.
#[test]
fn report_of_an_unknown_or_ended_attempt_is_ignored() {
    let mut process = Process::new(1, &billing(""));
    process.offer(0, 1);
    let sent = process.only();
    process.run(0, |engine, world| engine.handle_call_ended(world, 999, Ending::Status(200), None));
    process.end(&sent, Ending::Status(200));
    process.end(&sent, Ending::Status(500));
    process.run(0, |engine, world| engine.handle_call_refused(world, sent.call.attempt));
    assert!(process.pass(60_000).is_empty());
}

/// A 410 disables the endpoint for all workers, and later events are held until they are too old.
#[test]
fn status_410_disables_the_endpoint_for_all_workers() {
    let mut process = Process::new(2, &billing(r#", "max_age": "60s""#));
    process.offer(0, 1);
    let sent = process.only();
    process.end(&sent, Ending::Status(410));
    let answer = process.offer(1, 2).answer.unwrap();
    assert!(String::from_utf8(answer.body).unwrap().contains(r#""status":"held""#));
    assert!(process.pass(59_000).is_empty());
    assert_eq!(process.letters(), 1);
    assert!(process.pass(3000).is_empty());
    assert_eq!((process.letters(), process.workers[1].queue.waiting), (2, 0));
}

#[test]
fn a_410_is_only_a_failure_where_the_config_says_so() {
    let mut process = Process::new(1, &billing(r#", "on_gone": "fail""#));
    process.offer(0, 1);
    let sent = process.only();
    process.end(&sent, Ending::Status(410));
    process.offer(0, 2);
    assert_eq!(process.sent().len(), 1);
}

/// A dead letter goes to the sink by the same schedule, and is kept in any case.
#[test]
fn dead_letter_is_sent_to_the_sink_and_kept() {
    let sink = r#", "dead_letter": {"cluster": "dlq", "url": "http://dlq.test/failed"}"#;
    let mut process = Process::new(1, &billing(sink));
    process.offer(0, 1);
    let sent = process.only();
    process.end(&sent, Ending::Status(404));
    let first = process.only();
    assert_eq!(first.call.cluster(), Some("dlq"));
    assert_eq!(header(&first, "x-webhook-dead-letter").as_deref(), Some("failed"));
    assert_eq!(header(&first, "x-webhook-endpoint").as_deref(), Some("billing"));
    process.end(&first, Ending::Status(500));
    let (_, second) = process.pass(2500).remove(0);
    process.end(&second, Ending::Status(200));
    assert!(process.pass(60_000).is_empty());
    assert_eq!((process.letters(), process.body_bytes()), (1, 1));
}

/// A sink that Envoy cannot call uses up its schedule and frees the slot.
#[test]
fn uncallable_sink_uses_up_its_schedule() {
    let sink = r#", "dead_letter": {"cluster": "dlq", "url": "http://dlq.test/failed"}"#;
    let mut process = Process::new(1, &billing(sink));
    process.offer(0, 1);
    let sent = process.only();
    process.end(&sent, Ending::Status(404));
    let mut tried = 0;
    for _ in 0..200 {
        for sent in process.sent() {
            process.run(0, |engine, world| engine.handle_call_refused(world, sent.call.attempt));
            tried += 1;
        }
        process.millis += 50;
    }
    assert_eq!((tried, process.letters(), process.body_bytes()), (3, 1, 1));
    assert_eq!(process.workers[0].queue.waiting, 0);
}

/// The end of a call that outlived the lease touches nothing of the new owner.
#[test]
fn call_outliving_its_lease_leaves_the_new_owner_alone() {
    let mut process = Process::new(2, &billing(""));
    process.run(0, Engine::handle_timeout);
    process.offer(0, 1);
    let stalled = loop {
        match process.run(0, Engine::poll_action) {
            Some(Action::Call(call)) => break Sent { worker: 0, call },
            Some(_) => {}
            None => panic!("nothing left"),
        }
    };
    process.millis += 11_000;
    process.run(1, Engine::handle_timeout);
    process.end(&stalled, Ending::Status(200));
    assert!(process.body_bytes() > 1, "the new owner's event is still there");
}
