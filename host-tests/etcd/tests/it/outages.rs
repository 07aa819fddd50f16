//! What goes wrong with etcd as a whole.

use etcd_messages::*;
use etcd_model::{Etcd, Outage};

use crate::gateway::{Gateway, TIMEOUT, get, millis, put, seconds, value};

/// An etcd with a lease of 5 s and its key.
fn with_lease() -> Etcd {
    let etcd = Etcd::new(1);
    let _: LeaseGrantResponse = etcd.ask(LEASE_GRANT, &LeaseGrantRequest { ttl: 5, id: 7 }).expect("it is given");
    let put = PutRequest { key: b"w".to_vec(), value: Vec::new(), lease: 7 };
    let _: PutResponse = etcd.ask(PUT, &put).expect("it is put");
    etcd
}

/// Leases do not expire without a leader and the next one gives each its whole time again.
#[test]
fn a_new_leader_gives_leases_their_whole_time_again() {
    for outage in [Outage::LeaderLost, Outage::Down] {
        let etcd = with_lease();
        etcd.advance(seconds(4));
        etcd.fail(outage, seconds(10));
        etcd.advance(seconds(14));
        assert_eq!(etcd.leases()[0].expires, seconds(14 + 1 + 5), "{outage:?}");
        etcd.advance(seconds(19));
        assert!(etcd.get("w").is_some());
        etcd.advance(seconds(20));
        assert!(etcd.get("w").is_none());
    }
}

/// While etcd is stopped the leases' time goes on and they end as it goes on.
#[test]
fn leases_end_as_a_stopped_etcd_goes_on() {
    let etcd = with_lease();
    etcd.fail(Outage::Stopped, seconds(10));
    etcd.advance(millis(9_999));
    assert!(etcd.get("w").is_some());
    etcd.advance(seconds(10));
    assert!(etcd.get("w").is_none());
}

#[test]
fn nothing_reaches_an_etcd_that_is_down() {
    let etcd = Etcd::new(1);
    let mut gateway = Gateway::start(&etcd, "one", &[put("a", "1"), get("a", true)]);
    etcd.fail(Outage::Down, seconds(30));
    assert!(gateway.call(0) && gateway.call(1));
    gateway.advance(seconds(30));
    assert!(gateway.call(0));
    gateway.advance(TIMEOUT);
    assert_eq!(gateway.statuses(), [Some(14), Some(14), Some(0)]);
    assert_eq!(etcd.get("a").map(|kv| kv.version), Some(1));
}

/// Without a leader a call is lost or refused or applied once there is one again.
#[test]
fn without_a_leader_each_call_has_its_own_fate() {
    let etcd = Etcd::new(1);
    let calls: Vec<_> = (0..40).map(|number| put(&format!("k/{number}"), "1")).collect();
    let mut gateway = Gateway::start(&etcd, "one", &calls);
    etcd.fail(Outage::LeaderLost, seconds(3));
    (0..40).for_each(|call| assert!(gateway.call(call)));
    gateway.advance(TIMEOUT);
    assert_eq!((gateway.statuses(), etcd.len()), (vec![Some(14); 40], 0), "nobody hears that it was applied");
    etcd.advance(seconds(3) + millis(200));
    let applied = etcd.pairs("k/").len();
    assert!((1..39).contains(&applied), "{applied} of 40");
}

/// What one member alone can answer it answers without a leader.
#[test]
fn a_serializable_read_needs_no_leader() {
    let etcd = Etcd::new(1);
    let status = (STATUS, Vec::new());
    let mut gateway = Gateway::start(&etcd, "one", &[get("a", true), status]);
    etcd.fail(Outage::LeaderLost, seconds(3));
    assert!(gateway.call(0) && gateway.call(1));
    gateway.advance(TIMEOUT);
    assert_eq!(gateway.statuses(), [Some(0), Some(0)]);
}

/// What a stopped etcd has received it applies as it goes on and answers those that still wait.
#[test]
fn a_stopped_etcd_applies_what_came_in_as_it_goes_on() {
    let etcd = Etcd::new(1);
    let calls: Vec<_> = (0..40).map(|number| put(&format!("k/{number}"), "1")).collect();
    let mut gateway = Gateway::start(&etcd, "one", &calls);
    gateway.advance(seconds(1));
    etcd.advance(seconds(1));
    etcd.fail(Outage::Stopped, seconds(3));
    (0..20).for_each(|call| assert!(gateway.call(call)));
    gateway.advance(millis(2_500));
    assert_eq!((gateway.statuses(), etcd.len()), (vec![Some(14); 20], 0));
    (20..40).for_each(|call| assert!(gateway.call(call)));
    gateway.advance(millis(600));
    assert_eq!(gateway.statuses()[20..], [Some(0); 20]);
    let given_up = etcd.len() - 20;
    assert!((1..20).contains(&given_up), "{given_up} of 20 that nobody waited for any more");
}

/// A call on its way is not applied while etcd is away and its caller does not hear that it was.
#[test]
fn an_outage_holds_back_what_is_on_its_way() {
    let etcd = Etcd::new(1);
    etcd.set_jitter(millis(100));
    let mut gateway = Gateway::start(&etcd, "one", &[put("a", "1")]);
    assert!(gateway.call(0));
    etcd.fail(Outage::Stopped, seconds(5));
    gateway.advance(TIMEOUT);
    assert_eq!((gateway.statuses(), value(&etcd, "a")), (vec![Some(14)], None));
    etcd.advance(seconds(6));
    assert_eq!(value(&etcd, "a").as_deref(), Some("1"));
}

#[test]
fn a_full_database_takes_no_more_until_there_is_room() {
    let etcd = Etcd::new(1);
    etcd.set_quota(1 << 20);
    let large = PutRequest { key: b"a".to_vec(), value: vec![b'x'; 300 << 10], lease: 0 };
    let put = |request: &PutRequest| etcd.ask::<PutResponse>(PUT, request).map(|_| ());
    let refused = (0..10).find_map(|_| put(&large).err()).expect("one key, and the versions before");
    assert_eq!(refused.to_string(), "status 8: etcdserver: mvcc: database space exceeded");
    assert!(etcd.is_full());
    let small = PutRequest { key: b"b".to_vec(), ..PutRequest::default() };
    assert_eq!(put(&small), Err(refused), "the alarm stands");
    let before = etcd.size();
    etcd.make_room();
    assert!(!etcd.is_full() && etcd.size().file < before.file / 2, "{before:?}, then {:?}", etcd.size());
    assert_eq!((put(&small), put(&large)), (Ok(()), Ok(())));
    etcd.raise_no_space();
    assert!(put(&small).is_err());
    etcd.make_room();
    etcd.raise_no_space();
    etcd.make_room();
    assert_eq!(put(&small), Ok(()), "although there was nothing to compact");
}
