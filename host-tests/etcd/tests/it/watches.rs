//! Watches: the model tells of changes as a real etcd does, and a filter hears of them.

use etcd_messages::*;
use etcd_model::{Disruption, Etcd, Mishap, Outage, Status};
use prost::Message;

use crate::gateway::{Gateway, millis, put, seconds, value};
use crate::same::{Result, same};
use crate::script::*;

fn watch(key: &str, range_end: &str, start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { key: key.into(), range_end: range_end.into(), start_revision, progress_notify: false }
}

#[test]
fn a_watch_tells_each_change_as_it_comes() -> Result {
    same(&[], Etcd::new(1), |player| {
        player.put("before", "1", 0);
        player.grant(7, 60);
        let (prefix, key) = (player.watch(watch("a/", "a0", 0)), player.watch(watch("b", "", 0)));
        player.read(prefix, 1);
        player.read(key, 1);
        player.put("a/1", "one", 0);
        player.put("b", "two", 7);
        player.put("c", "three", 0);
        player.read(prefix, 1);
        player.read(key, 1);
        player.txn(vec![], vec![do_put("a/2", "x"), do_put("c", "x"), do_delete("a/1", "")], vec![]);
        player.delete("a/", "a0");
        player.read(prefix, 2);
        player.revoke(7);
        player.read(key, 1);
    })
}

#[test]
fn a_watch_begins_in_the_past_or_in_the_future() -> Result {
    same(&[], Etcd::new(1), |player| {
        for value in 0..5 {
            player.put("a", &value.to_string(), 0);
            player.put("b", &value.to_string(), 0);
        }
        player.delete("a", "");
        for start in [1, 3, 11, 12] {
            let stream = player.watch(watch("a", "", start));
            player.read(stream, 2);
            player.put("a", "more", 0);
            player.read(stream, 1);
        }
        let later = player.watch(watch("a", "", 18));
        player.read(later, 1);
        for value in 0..4 {
            player.put("a", &value.to_string(), 0);
        }
        player.read(later, 2);
        let all = player.watch(watch("\0", "\0", 17));
        player.read(all, 2);
    })
}

#[test]
fn a_watch_of_what_is_compacted_says_from_where() -> Result {
    same(&[], Etcd::new(1), |player| {
        for value in 0..8 {
            player.put("a", &value.to_string(), 0);
        }
        player.compact(6);
        for start in [1, 5] {
            let stream = player.watch(watch("a", "", start));
            player.read(stream, 2);
        }
        for start in [6, 7] {
            let stream = player.watch(watch("a", "", start));
            player.read(stream, 2);
        }
        player.compact(9);
        let stream = player.watch(watch("a", "", 0));
        player.read(stream, 1);
        player.put("a", "x", 0);
        player.read(stream, 1);
    })
}

/// A process that opens a stream at its first request and watches the keys below `a/`.
fn watching(etcd: &Etcd) -> Gateway {
    let create_request = Some(watch("a/", "a0", 0));
    let request = WatchRequest { create_request }.encode_to_vec();
    let digits: String = request.iter().map(|byte| format!("{byte:02x}")).collect();
    let script = format!(
        "request_headers /watch: open etcd etcdserverpb.Watch/Watch; transmit {digits}
        grpc_receive: bytes 5
        grpc_close: show; status"
    );
    let mut gateway = Gateway::scripted(etcd, "one", &[put("a/1", "x")], &script);
    gateway.request("/watch");
    gateway
}

/// What the stream was told: how many events each message has, when, and the status it ended with.
fn told(gateway: &Gateway) -> Vec<(String, u128)> {
    let lines = gateway.process.log().iter().filter_map(|line| {
        let at = line.at.as_millis();
        if let Some(digits) = line.message.strip_prefix("bytes 5 -> ") {
            let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
            let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect();
            let response = WatchResponse::decode(bytes.as_slice()).expect("it is this message");
            return Some((format!("{} events, created {}", response.events.len(), response.created), at));
        }
        line.message.strip_prefix("grpc_close ").map(|end| (end.to_owned(), at))
    });
    let began = gateway.began().as_millis();
    lines.map(|(said, at)| (said, at - began)).collect()
}

fn line(said: &str, at: u128) -> (String, u128) {
    (said.to_owned(), at)
}

#[test]
fn a_filter_hears_of_changes_soon_after_them() {
    let etcd = Etcd::new(1);
    let mut gateway = watching(&etcd);
    gateway.advance(millis(100));
    let change = PutRequest { key: b"a/2".to_vec(), ..PutRequest::default() };
    let _: PutResponse = etcd.ask(PUT, &change).expect("it is put");
    gateway.advance(millis(100));
    assert!(gateway.call(0), "a process may call and watch at one cluster");
    gateway.advance(millis(100));
    assert_eq!(gateway.statuses(), [Some(0)]);
    let told = told(&gateway);
    assert_eq!(told[0], line("0 events, created true", 1));
    for ((said, at), change) in told[1..].iter().zip([100, 200]) {
        assert_eq!(said, "1 events, created false");
        assert!((change..=change + 6).contains(at), "{told:?}");
    }
    assert_eq!((told.len(), value(&etcd, "a/1").as_deref()), (3, Some("x")));
}

/// A stopped etcd never ends a stream and tells it all as it goes on; one that is down ends it.
#[test]
fn what_a_stream_hears_of_an_outage() {
    let etcd = Etcd::new(1);
    let mut gateway = watching(&etcd);
    gateway.advance(millis(500));
    etcd.fail(Outage::Stopped, seconds(5));
    let _: PutResponse =
        etcd.ask(PUT, &PutRequest { key: b"a/2".to_vec(), ..PutRequest::default() }).expect("it is put");
    gateway.advance(seconds(5));
    assert_eq!(told(&gateway).len(), 1, "nothing while it is stopped");
    gateway.advance(seconds(1));
    assert_eq!(told(&gateway)[1].0, "1 events, created false");
    etcd.fail(Outage::Down, seconds(1));
    gateway.advance(seconds(2));
    assert_eq!(told(&gateway).last().map(|(end, _)| end.as_str()), Some("[1, 6, 14]"));
}

#[test]
fn what_befalls_a_stream_as_it_begins() {
    let refused = Status::new(14, "etcdserver: no leader");
    let silence = Mishap::Unanswered { is_applied: false };
    let cases = [
        (Mishap::Refused(refused), vec![line("[1, 6, 14]", 1)]),
        (Mishap::Reset, vec![line("[1, 6, 14]", 1)]),
        (silence, vec![]),
        (Mishap::Slow(millis(300)), vec![line("0 events, created true", 301)]),
    ];
    for (mishap, expected) in cases {
        let etcd = Etcd::new(1);
        etcd.disrupt(Disruption::new(mishap.clone()).of(WATCH));
        let mut gateway = watching(&etcd);
        gateway.advance(seconds(1));
        assert_eq!(told(&gateway), expected, "{mishap:?}");
    }
}
