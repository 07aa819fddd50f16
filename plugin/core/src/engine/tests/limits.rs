use super::*;

fn detail(reply: &Reply) -> (u16, String) {
    let answer = reply.answer.as_ref().unwrap();
    (answer.status, String::from_utf8(answer.body.clone()).unwrap())
}

/// A full share of the queue refuses the event and drops nothing.
#[test]
fn full_queue_refuses_the_event_and_drops_nothing() {
    let mut process = Process::new(1, &billing(r#", "pending": 2, "disabled": true"#));
    process.offer(0, 1);
    process.offer(0, 2);
    let (status, detail) = detail(&process.offer(0, 3));
    assert_eq!(status, 503);
    assert!(detail.contains("share of the queue is full"), "{detail}");
    assert_eq!(process.workers[0].endpoints[0].share.deliveries, 2);
}

#[test]
fn full_queue_may_make_a_dead_letter_of_one_delivery() {
    let full = endpoint("full", r#", "pending": 1, "disabled": true, "overflow": "dead_letter""#);
    let mut process = Process::new(1, &format!("{full}, {}", billing("")));
    process.offer(0, 1);
    process.answer_all(100, Ending::Status(200));
    let (status, body) = detail(&process.offer(0, 2));
    assert_eq!(status, 202);
    assert!(body.contains(r#"{"endpoint":"full","status":"failed"}"#), "{body}");
    assert!(body.contains(r#"{"endpoint":"billing","status":"pending"}"#), "{body}");
    assert_eq!(process.answer_all(100, Ending::Status(200)), 1);
    assert_eq!((process.letters(), process.workers[0].queue.waiting), (1, 1));
}

/// An event whose every delivery overflows is kept only as dead letters.
#[test]
fn event_with_every_delivery_overflowing_is_only_letters() {
    let mut process =
        Process::new(1, &billing(r#", "pending": 1, "disabled": true, "overflow": "dead_letter", "max_age": "30s""#));
    process.offer(0, 1);
    assert_eq!(process.offer(0, 2).answer.unwrap().status, 202);
    assert_eq!((process.letters(), process.body_bytes() > 1), (1, true));
    process.pass(31_000);
    assert_eq!((process.letters(), process.body_bytes()), (2, 1));
}

/// No more attempts are under way at once than the endpoint's `max_in_flight`.
#[test]
fn attempts_under_way_stay_within_the_endpoints_limit() {
    let mut process = Process::new(1, &billing(r#", "max_in_flight": 2"#));
    for stream in 0..5 {
        process.offer(0, stream);
    }
    let first = process.sent();
    assert_eq!(first.len(), 2);
    assert!(process.pass(1000).is_empty());
    process.end(&first[0], Ending::Status(200));
    assert_eq!(process.sent().len(), 1);
}

#[test]
fn a_rate_is_shared_by_all_workers_and_what_is_over_it_waits() {
    let mut process = Process::new(2, &billing(r#", "rate": {"per_second": 10, "burst": 2}"#));
    for stream in 0..12 {
        process.offer(stream as usize % 2, stream);
    }
    assert_eq!(process.answer_all(50, Ending::Status(200)), 2);
    assert_eq!(process.answer_all(500, Ending::Status(200)), 5);
    assert_eq!(process.answer_all(1000, Ending::Status(200)), 5);
}

#[test]
fn deliveries_leave_in_the_order_they_came() {
    let mut process = Process::new(1, &billing(r#", "max_in_flight": 1"#));
    for n in 0..5u8 {
        process.offer_event(0, 1, "paid", &[b'0' + n]);
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        let sent = process.only();
        order.extend(sent.call.body.clone());
        process.end(&sent, Ending::Status(200));
    }
    assert_eq!(order, b"01234");
}

/// An event that shared data does not take is refused, and no part of it is kept.
#[test]
fn event_the_store_refuses_is_refused_whole() {
    let mut process = Process::new(1, &billing(""));
    process.run(0, Engine::handle_timeout);
    process.store.refuse_sets = true;
    assert_eq!(detail(&process.offer(0, 1)).0, 503);
    process.store.refuse_sets = false;
    assert!(process.pass(1000).is_empty());
}

#[test]
fn switched_off_it_keeps_nothing_sends_nothing_and_answers_202() {
    let text = r#"{"routes": [{"name": "r", "match": {"path": "/e"}, "event": "paid"}], "endpoints": [ENDPOINT]}"#;
    let text = text.replace("ENDPOINT", &billing(""));
    let mut process = Process::new(1, &billing(""));
    process.workers[0] = Engine::new(Rc::new(config::parse(text.as_bytes(), &|_| None).unwrap()), "g");
    let reply = process.offer(0, 1);
    assert_eq!(reply.result, Some(EventResult::Disabled));
    let (status, body) = detail(&reply);
    assert_eq!(status, 202);
    assert!(body.contains(r#""status":"disabled","deliveries":[]"#), "{body}");
    assert!(process.pass(5000).is_empty());
    assert_eq!(process.store.values.keys().collect::<Vec<_>>(), ["g/about", "g/generation"]);
}

/// An event that no endpoint wants is answered 202 and not kept.
#[test]
fn event_no_endpoint_wants_is_answered_202_and_not_kept() {
    let mut process = Process::new(1, &billing(r#", "events": ["match.**"]"#));
    let reply = process.offer(0, 1);
    assert_eq!(reply.result, Some(EventResult::NoSubscriber));
    assert_eq!(process.body_bytes(), 0);
}

#[test]
fn a_ring_that_cannot_be_written_loses_no_dead_letter() {
    let mut process = Process::new(1, &billing(""));
    process.offer(0, 1);
    let sent = process.only();
    process.store.refuse_sets = true;
    process.end(&sent, Ending::Status(400));
    assert_eq!(process.letters(), 0);
    process.store.refuse_sets = false;
    assert_eq!(process.answer_all(3000, Ending::Status(400)), 0, "its answer was final");
    assert_eq!((process.letters(), process.body_bytes()), (1, 1));
}

#[test]
fn a_dead_endpoints_bodies_leave_room_for_the_others() {
    // A quarter of 64 MiB is 16 MiB: 64 bodies of 256 KiB.
    let both = format!(
        "{}, {}",
        endpoint("dead", r#", "disabled": true, "events": ["to_dead"]"#),
        billing(r#", "events": ["paid"]"#)
    );
    let mut process = Process::new(1, &both);
    let body = vec![b'x'; 256 << 10];
    let statuses: Vec<u16> = (0..65).map(|_| detail(&process.offer_event(0, 1, "to_dead", &body)).0).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 202).count(), 64);
    assert_eq!(statuses[64], 503);
    assert_eq!(detail(&process.offer_event(0, 1, "paid", &body)).0, 202);
}

#[test]
fn the_way_to_a_slow_sink_takes_no_more_than_a_second_share() {
    let rest = r#", "pending": 3, "disabled": true, "overflow": "dead_letter",
        "dead_letter": {"cluster": "dlq", "url": "http://dlq.test/"}"#;
    let mut process = Process::new(1, &billing(rest));
    for stream in 0..20 {
        assert_eq!(detail(&process.offer(0, stream)).0, 202);
    }
    assert_eq!((process.workers[0].queue.waiting, process.letters()), (6, 17));
}

#[test]
fn an_event_whose_bytes_are_gone_ends_and_keeps_nobody_busy() {
    let sink = r#", "dead_letter": {"cluster": "dlq", "url": "http://dlq.test/"}"#;
    for rest in ["", sink] {
        let mut process = Process::new(1, &billing(rest));
        process.offer(0, 1);
        let first = process.only();
        process.end(&first, Ending::Status(500));
        process.store.values.get_mut("g/body/0/0").unwrap().0 = vec![0];
        assert!(process.pass(5_000).is_empty());
        assert_eq!((process.workers[0].queue.waiting, process.letters()), (0, 0));
    }
}
