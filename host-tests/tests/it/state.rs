//! Shared data is the truth: what it holds, who writes it, and how much of it there is.

use std::collections::{BTreeMap, BTreeSet};

use host_tests::{Process, Reply, Thread, Upstream, Write};

use serde_json::json;

use crate::support::{BODY, accept, advance, attempts, config, endpoint, event, gateway, millis, seconds, start, with};

fn stored(process: &Process, text: &str) -> usize {
    let holds = |value: &[u8]| value.windows(text.len()).any(|window| window == text.as_bytes());
    process.shared_data().filter(|(_, value)| holds(value)).count()
}

/// An accepted event is in shared data before its answer leaves.
#[test]
fn accepted_event_is_stored_before_its_answer_leaves() {
    let mut process = start(&config([endpoint("billing")]));
    // A host call's answer leaves only after the callback; here nothing has run since.
    accept(&mut process, 0, event("payment_verified"));
    assert_eq!(stored(&process, BODY), 1);
}

#[test]
fn a_delivered_event_leaves_its_slot_and_its_body() {
    let mut process = start(&config([endpoint("billing")]));
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(1));
    assert_eq!(stored(&process, BODY), 0);
}

#[test]
fn every_key_begins_with_the_name_of_the_plugin() {
    let mut process = gateway(&config([endpoint("billing")])).name("shop").start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(1));
    assert!(process.shared_data().count() > 0);
    assert!(process.shared_data().all(|(key, _)| key.starts_with("shop/")));
    assert!(process.queues().count() > 0);
    assert!(process.queues().all(|name| name.starts_with("shop/")));
}

/// The writes that were recorded give in order what shared data holds.
#[test]
fn recorded_writes_replay_to_the_shared_data() {
    let mut process = gateway(&config([endpoint("billing")])).record_writes().start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(1));
    let mut values = BTreeMap::new();
    for Write { key, value, .. } in process.writes() {
        values.insert(key.as_str(), value.as_slice());
    }
    assert_eq!(values, process.shared_data().collect());
    assert!(process.writes().is_sorted_by_key(|write| write.at));
    assert!(process.writes().iter().any(|write| write.thread == Thread::Worker(0)));
    let unrecorded = start(&config([endpoint("billing")]));
    assert!(unrecorded.writes().is_empty());
}

#[test]
fn each_partition_has_one_writer() {
    let failing = Upstream::replies((0..20).map(|_| Reply::status(503)));
    let config = config([endpoint("billing"), endpoint("audit")]);
    let mut process = gateway(&config).cluster("billing", failing).start().expect("it starts");
    for number in 0..40 {
        accept(&mut process, number % 2, event("payment_verified"));
        advance(&mut process, millis(50));
    }
    advance(&mut process, seconds(200));
    let mut partitions = BTreeSet::new();
    let mut writers = BTreeSet::new();
    for (key, _) in process.shared_data() {
        let mut parts = key.split('/').skip(1);
        let (Some("body" | "state" | "lease"), Some(partition)) = (parts.next(), parts.next()) else { continue };
        let own: Vec<Thread> = process.writers(key).collect();
        assert_eq!(own.len(), 1, "{key} is written by {own:?}");
        partitions.insert(partition.to_owned());
        writers.insert((partition.to_owned(), own[0]));
    }
    assert!(partitions.len() >= 2, "each worker has its own: {partitions:?}");
    assert_eq!(writers.len(), partitions.len(), "{writers:?}");
}

#[test]
fn slots_are_used_again_so_keys_and_bytes_stay_bounded() {
    let history = json!({"limits": {"history": 100}});
    let mut process = start(&with(config([endpoint("billing"), endpoint("audit")]), history));
    let mut sizes = Vec::new();
    for _ in 0..5 {
        for number in 0..200 {
            accept(&mut process, number % 2, event("payment_verified"));
            advance(&mut process, millis(5));
        }
        advance(&mut process, seconds(5));
        sizes.push((process.shared_data().count(), process.shared_data().map(|(_, value)| value.len()).sum::<usize>()));
    }
    assert!(sizes[0].0 < 140, "{sizes:?}");
    let (keys, bytes) = sizes[0];
    for (later_keys, later_bytes) in &sizes[1..] {
        assert_eq!(*later_keys, keys, "{sizes:?}");
        // Numbers grow by a few bytes as the clock runs.
        assert!(*later_bytes <= bytes + 64 + 3 * 100, "{sizes:?}");
    }
}

/// What a worker accepted before it died is still in shared data.
#[test]
fn accepted_event_survives_its_workers_death() {
    let hanging = Upstream::always(Reply::hang());
    let mut process = gateway(&config([endpoint("billing")])).cluster("billing", hanging).start().expect("it starts");
    accept(&mut process, 0, event("payment_verified"));
    process.kill_vm(Thread::Worker(0));
    advance(&mut process, seconds(1));
    assert_eq!(stored(&process, BODY), 1);
}

/// Once a dead workers lease is over the next to claim its partition delivers what is in it.
#[test]
fn dead_workers_partition_is_delivered_after_its_lease() {
    let hanging = Upstream::always(Reply::hang());
    let mut process = gateway(&config([endpoint("billing")])).cluster("billing", hanging).start().expect("it starts");
    let id = accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, millis(10));
    process.kill_vm(Thread::Worker(0));
    process.set_upstream("billing", Upstream::always(Reply::status(200)));
    advance(&mut process, seconds(11));
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(2));
    let times = attempts(&process, "billing").into_iter().filter(|attempt| attempt.id == id).count();
    assert_eq!(times, 2, "once before, once after");
    assert_eq!(stored(&process, BODY), 0);
}

/// A worker whose VM was rebuilt takes and delivers events again.
#[test]
fn worker_with_a_rebuilt_vm_delivers_again() {
    let mut process = start(&config([endpoint("billing")]));
    accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(1));
    process.kill_vm(Thread::Worker(0));
    advance(&mut process, seconds(2));
    let id = accept(&mut process, 0, event("payment_verified"));
    advance(&mut process, seconds(1));
    assert_eq!(attempts(&process, "billing").last().map(|attempt| attempt.id.clone()), Some(id));
}
