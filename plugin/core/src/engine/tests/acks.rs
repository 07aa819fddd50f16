use super::*;
use crate::ingress::idempotency::IdempotencyKey;

const DELIVERED: &str = r#", "ack": "delivered", "ack_timeout": "30s""#;

fn answers(actions: Vec<Action>) -> Vec<(u32, u16, String)> {
    let answer = |action| match action {
        Action::Answer { stream, answer } => Some((stream, answer.status, String::from_utf8(answer.body).unwrap())),
        _ => None,
    };
    actions.into_iter().filter_map(answer).collect()
}

fn two() -> String {
    format!("{}, {}", billing(""), endpoint("audit", ""))
}

/// A producer that waits is answered 200 when every delivery is made.
#[test]
fn waiting_producer_gets_200_when_all_is_delivered() {
    let mut process = Process::with(1, DELIVERED, &two());
    assert!(process.offer(0, 7).answer.is_none());
    let sent = process.sent();
    process.end(&sent[0], Ending::Status(200));
    assert!(answers(process.poll().1).is_empty());
    process.end(&sent[1], Ending::Status(201));
    let answers = answers(process.poll().1);
    let [(7, 200, body)] = answers.as_slice() else { panic!("{answers:?}") };
    assert!(
        body.contains(r#"{"endpoint":"billing","status":"delivered","attempts":1,"response_status":200}"#),
        "{body}"
    );
    assert!(body.contains(r#"{"endpoint":"audit","status":"delivered","attempts":1,"response_status":201}"#), "{body}");
}

#[test]
fn it_is_answered_502_when_one_has_failed() {
    let mut process = Process::with(1, DELIVERED, &two());
    process.offer(0, 7);
    let sent = process.sent();
    process.end(&sent[0], Ending::Status(400));
    process.end(&sent[1], Ending::Status(200));
    let answers = answers(process.poll().1);
    let [(7, 502, body)] = answers.as_slice() else { panic!("{answers:?}") };
    assert!(body.contains(r#""status":"failed","attempts":1,"response_status":400"#), "{body}");
}

#[test]
fn timed_out_wait_is_answered_202_and_delivery_goes_on() {
    let mut process = Process::with(1, DELIVERED, &billing(""));
    process.offer(0, 7);
    let sent = process.only();
    process.end(&sent, Ending::Status(429));
    process.millis += 30_000;
    let (sent, others) = process.poll();
    let answers = answers(others);
    let [(7, 202, body)] = answers.as_slice() else { panic!("{answers:?}") };
    assert!(body.contains(r#""status":"pending""#), "{body}");
    assert_eq!(sent.len(), 1);
}

#[test]
fn it_is_refused_with_the_time_to_wait_while_a_breaker_is_open() {
    let quick = billing(r#", "breaker": {"failures": 1, "open": "60s"}, "retry": {"delays": ["0s"]}"#);
    let mut process = Process::with(2, DELIVERED, &quick);
    process.offer(0, 7);
    let sent = process.only();
    process.end(&sent, Ending::Status(500));
    process.millis += 10_500;
    for worker in [0, 1] {
        let answer = process.offer(worker, 8).answer.unwrap();
        assert_eq!(answer.status, 503);
        assert!(answer.headers.contains(&("retry-after", "50".into())), "{:?}", answer.headers);
    }
}

#[test]
fn it_does_not_wait_for_an_endpoint_that_is_disabled() {
    let mut process =
        Process::with(1, DELIVERED, &format!("{}, {}", billing(r#", "disabled": true"#), endpoint("audit", "")));
    process.offer(0, 7);
    let sent = process.only();
    process.end(&sent, Ending::Status(200));
    let answers = answers(process.poll().1);
    let [(7, 202, body)] = answers.as_slice() else { panic!("{answers:?}") };
    assert!(body.contains(r#"{"endpoint":"billing","status":"held","attempts":0}"#), "{body}");
}

/// A client that went away is not answered, and its event goes on.
#[test]
fn gone_client_is_not_answered_and_its_event_goes_on() {
    let mut process = Process::with(1, DELIVERED, &billing(""));
    assert!(process.offer(0, 7).answer.is_none());
    process.run(0, |engine, world| engine.producer_gone(world, 7, None));
    let sent = process.only();
    process.end(&sent, Ending::Status(200));
    assert!(answers(process.poll().1).is_empty());
}

fn offer_with_key(process: &mut Process, worker: usize, stream: u32, body: &[u8]) -> Reply {
    let key = Some(IdempotencyKey::new("ingest", None, b"order-1", &[body]));
    let offer = Offer { key, ..offer_of(stream, "paid", body) };
    process.run(worker, |engine, world| engine.handle_event(world, offer))
}

/// Requests with the same idempotency key get the same answer on any worker, and are one event.
#[test]
fn same_key_gives_same_answer_on_any_worker() {
    let mut process = Process::new(2, &billing(""));
    let first = offer_with_key(&mut process, 0, 1, b"{}").answer.unwrap();
    let again = offer_with_key(&mut process, 1, 2, b"{}");
    assert_eq!(again.result, Some(EventResult::Replayed));
    let again = again.answer.unwrap();
    assert_eq!((again.status, &again.body), (202, &first.body));
    assert!(again.headers.contains(&("idempotent-replayed", "true".into())));
    assert_eq!(process.answer_all(100, Ending::Status(200)), 1);
    assert_eq!(offer_with_key(&mut process, 1, 3, b"[]").answer.unwrap().status, 422);
}

/// A request whose idempotency key is in progress is answered 409, until the first request's answer settles the key.
#[test]
fn key_in_progress_is_answered_409_until_settled() {
    let mut process = Process::with(2, DELIVERED, &billing(""));
    offer_with_key(&mut process, 0, 1, b"{}");
    assert_eq!(offer_with_key(&mut process, 1, 2, b"{}").answer.unwrap().status, 409);
    let sent = process.only();
    process.end(&sent, Ending::Status(200));
    process.poll();
    let again = offer_with_key(&mut process, 1, 3, b"{}").answer.unwrap();
    assert_eq!(again.status, 200);
}

#[test]
fn after_a_failure_the_same_key_tries_again_with_the_same_id() {
    let mut process = Process::with(1, DELIVERED, &billing(""));
    offer_with_key(&mut process, 0, 1, b"{}");
    let first = process.only();
    process.end(&first, Ending::Status(400));
    process.poll();
    assert!(offer_with_key(&mut process, 0, 2, b"{}").answer.is_none());
    let second = process.only();
    assert_eq!(header(&first, "x-webhook-id"), header(&second, "x-webhook-id"));
}
