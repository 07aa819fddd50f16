//! The model behind a cluster of the simulated Envoy: what a filter sees of its calls.

use etcd_messages::*;
use etcd_model::Etcd;
use prost::Message;

use crate::gateway::{Gateway, get, millis, put, seconds, value};

#[test]
fn an_answer_comes_framed_with_its_status_in_the_trailers() {
    let etcd = Etcd::new(1);
    let mut gateway = Gateway::start(&etcd, "one", &[put("a", "1"), get("a", false)]);
    assert!(gateway.call(0) && gateway.call(1));
    gateway.advance(millis(1));
    let [put, get] = gateway.ends().try_into().expect("both have ended");
    assert_eq!(put[0], ":status 200 content-type application/grpc x-envoy-upstream-service-time 1");
    assert_eq!((put[2].as_str(), put[3].as_str()), ("grpc-status 0 grpc-message", "0 "));
    let kv = etcd.get("a").expect("it was put");
    assert_eq!((kv.create_revision, kv.version, kv.value.as_slice()), (2, 1, b"1".as_slice()));
    let message = RangeResponse { header: None, kvs: vec![kv], more: false, count: 1 }.encode_to_vec();
    let digits: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(get[1].starts_with("00000000") && get[1].ends_with(&digits), "{get:?}");
}

#[test]
fn a_refusal_comes_in_the_headers_alone() {
    let mut gateway = Gateway::start(&Etcd::new(1), "one", &[put("", "1"), ("/etcdserverpb.KV/Foo", Vec::new())]);
    assert!(gateway.call(0) && gateway.call(1));
    gateway.advance(seconds(1));
    let ends = gateway.ends();
    let headers = ":status 200 content-type application/grpc grpc-status 3 \
                   grpc-message etcdserver: key is not provided x-envoy-upstream-service-time 1";
    assert_eq!(ends[0], [headers, "", "", "0 "]);
    assert!(ends[1][0].contains("grpc-status 12 grpc-message unknown method Foo for service etcdserverpb.KV"));
}

/// The clocks of two processes began at different times and etcd's own goes with both.
#[test]
fn two_processes_have_clocks_of_their_own() {
    let etcd = Etcd::new(1);
    let mut one = Gateway::start(&etcd, "one", &[put("a", "1")]);
    one.advance(seconds(10));
    etcd.advance(seconds(10));
    let mut two = Gateway::start(&etcd, "two", &[put("a", "2")]);
    two.advance(seconds(5));
    assert!(two.call(0) && one.call(0));
    let applied = etcd.applied_since(0);
    let by = applied.iter().map(|applied| (applied.by.as_str(), applied.at.as_secs(), applied.revision));
    // The second call comes from a clock that is behind: etcd's never goes back.
    assert_eq!(by.collect::<Vec<_>>(), [("two", 15, 2), ("one", 15, 3)]);
    assert_eq!(applied[1].changes[0].before.as_ref().map(|kv| kv.value.as_slice()), Some(b"2".as_slice()));
    assert_eq!(applied[1].changes[0].after.as_ref().map(|kv| kv.version), Some(2));
    assert_eq!(value(&etcd, "a").as_deref(), Some("1"));
}

#[test]
fn a_lease_that_expires_is_seen_with_its_keys() {
    let etcd = Etcd::new(1);
    let grant = (LEASE_GRANT, LeaseGrantRequest { ttl: 5, id: 7 }.encode_to_vec());
    let leased = (PUT, PutRequest { key: b"w/1".to_vec(), value: b"me".to_vec(), lease: 7 }.encode_to_vec());
    let renewal = (LEASE_KEEP_ALIVE, LeaseKeepAliveRequest { id: 7 }.encode_to_vec());
    let mut gateway = Gateway::start(&etcd, "one", &[grant, leased, renewal, put("j/1", "kept")]);
    (0..2).for_each(|call| assert!(gateway.call(call)));
    gateway.advance(seconds(3));
    assert!(gateway.call(2) && gateway.call(3));
    let lease = etcd.leases()[0];
    assert_eq!((lease.id, lease.ttl, lease.expires.as_secs()), (7, 5, 8));
    etcd.advance(lease.expires);
    assert_eq!(etcd.pairs("w/").len(), 1, "etcd looks twice a second");
    etcd.advance(lease.expires + millis(500));
    assert!(etcd.pairs("w/").is_empty() && etcd.leases().is_empty());
    assert_eq!((etcd.pairs("j/").len(), etcd.pairs("").len(), etcd.len()), (1, 1, 1));
    let last = etcd.applied_since(2).pop().expect("the keys went");
    assert_eq!((last.by.as_str(), last.path.as_str(), last.changes[0].after.as_ref()), ("etcd", "", None));
}

/// The same calls get the same answers whenever they are played.
#[test]
fn a_seed_gives_the_same_run_again() {
    let play = |seed: u64| {
        let etcd = Etcd::of_members(seed, 3);
        etcd.set_jitter(millis(20));
        let calls: Vec<_> = (0..20).map(|number| put("a", &number.to_string())).collect();
        let mut gateway = Gateway::start(&etcd, "one", &calls);
        (0..20).for_each(|call| assert!(gateway.call(call)));
        gateway.advance(millis(21));
        assert_eq!((etcd.waiting(), gateway.ends().len()), (0, 20));
        format!("{:?} {:?}", gateway.ends(), etcd.applied_since(0))
    };
    assert_eq!(play(1), play(1));
    assert_ne!(play(1), play(2));
}
