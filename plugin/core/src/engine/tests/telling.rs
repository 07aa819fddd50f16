//! Reports of what happened: the history, the counts, and operational events to the endpoints that ask for them by
//! name.

use super::*;
use crate::admin::about::About;
use crate::ledger::record::StateRecord;
use crate::rollout::guard::{PROCESS, Totals};
use crate::store::Record;
use crate::store::keys::Keys;
use crate::telemetry::history;

/// The events in the history, in no order.
fn remembered(process: &mut Process) -> Vec<StateRecord<String>> {
    let mut found = Vec::new();
    history::survey(&mut process.store, &Keys::new("g"), &mut |record| {
        found.push(StateRecord::decode(record).unwrap().0)
    })
    .unwrap();
    found
}

fn totals(process: &mut Process, endpoint: &str) -> Totals {
    crate::rollout::guard::count_all(&mut process.store, &Keys::new("g"), endpoint, Duration::from_secs(300))
        .unwrap()
        .totals
}

fn ops() -> String {
    endpoint("ops", r#", "events": ["gatepost.**"], "pending": 1"#)
}

fn event_type(sent: &Sent) -> String {
    header(sent, "x-webhook-event").unwrap()
}

/// An event goes into the history when its last delivery ends, and not before.
#[test]
fn event_is_remembered_when_its_last_delivery_ends() {
    let mut process = Process::new(1, &[billing(""), endpoint("audit", "")].join(","));
    process.offer(0, 1);
    let sent = process.sent();
    process.millis += 30;
    process.end(&sent[0], Ending::Status(200));
    assert!(remembered(&mut process).is_empty());
    process.end(&sent[1], Ending::Status(400));
    let [event] = remembered(&mut process).try_into().unwrap();
    assert_eq!((event.event_type.as_str(), event.route.as_str()), ("paid", "ingest"));
    let told = event.deliveries.iter().map(|one| {
        let [made] = one.trail.attempts.as_slice() else { panic!("{one:?}") };
        (one.endpoint.as_str(), made.code, made.millis, one.trail.reason, one.trail.ended.is_some())
    });
    let expected = [("billing", 200, 30, None, true), ("audit", 400, 30, Some(crate::outcome::Reason::Failed), true)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

/// A delivery whose endpoint is gone from the config goes into the history, too.
#[test]
fn delivery_to_a_removed_endpoint_is_remembered() {
    let mut process = Process::new(1, &billing(""));
    process.offer(0, 1);
    let other = Rc::clone(Process::new(1, &endpoint("audit", "")).workers[0].config());
    process.workers[0] = Engine::new(other, "g");
    process.pass(12_000);
    let events = remembered(&mut process);
    let ended: Vec<_> = events.iter().flat_map(|event| &event.deliveries).map(|one| one.endpoint.as_str()).collect();
    assert_eq!(ended, ["billing"]);
}

/// A worker that gives its partition up writes its counts first.
#[test]
fn worker_writes_its_counts_before_releasing_its_partition() {
    let mut process = Process::new(1, &billing(""));
    process.offer(0, 1);
    process.answer_all(2_000, Ending::Status(200));
    process.offer(0, 2);
    let sent = process.only();
    process.end(&sent, Ending::Status(200));
    assert!(process.run(0, Engine::close));
    for of in ["billing", PROCESS] {
        let Totals { accepted, attempts, delivered, .. } = totals(&mut process, of);
        assert_eq!((accepted, attempts, delivered), (2, 2, 2), "{of:?}");
    }
}

/// An operational event is dropped where there is no room, and the delivery that it is about ends all the same.
#[test]
fn operational_event_without_room_is_dropped_alone() {
    let mut process = Process::new(1, &[billing(r#", "events": ["paid"]"#), ops()].join(","));
    process.offer(0, 1);
    process.offer(0, 2);
    for sent in process.sent() {
        process.end(&sent, Ending::Status(400));
    }
    let (sent, others) = process.poll();
    assert_eq!(sent.iter().map(event_type).collect::<Vec<_>>(), ["gatepost.dead_letter"]);
    let dropped = others.iter().filter(|action| matches!(action, Action::Notice(Notice::Dropped { .. }))).count();
    assert_eq!((dropped, process.letters()), (1, 2));
}

/// The dead letter of an operational event is kept, but no operational event tells of it.
#[test]
fn dead_operational_event_is_kept_and_not_told() {
    let curious = |name: &str| endpoint(name, r#", "events": ["gatepost.**"]"#);
    let endpoints = [billing(r#", "events": ["paid"]"#), curious("one"), curious("two")].join(",");
    let mut process = Process::new(1, &endpoints);
    process.offer(0, 1);
    assert_eq!(
        process.answer_all(5_000, Ending::Status(400)),
        3,
        "one attempt of the event, one at each of those told"
    );
    assert_eq!(process.letters(), 3);
}

#[test]
fn it_names_the_process_and_counts_as_no_event_of_a_producer() {
    let mut process = Process::new(1, &[billing(r#", "events": ["paid"]"#), ops()].join(","));
    process.offer(0, 1);
    let sent = process.only();
    process.end(&sent, Ending::Status(400));
    let told = process.only();
    let payload: serde_json::Value = serde_json::from_slice(&told.call.body).unwrap();
    let about = About::read(&mut process.store, &Keys::new("g")).unwrap().unwrap();
    assert_eq!(payload["instance"], about.instance.unwrap().to_string());
    process.end(&told, Ending::Status(200));
    process.pass(2_000);
    assert_eq!((totals(&mut process, PROCESS).accepted, totals(&mut process, "ops").accepted), (1, 1));
}
