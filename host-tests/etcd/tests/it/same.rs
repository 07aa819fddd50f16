//! The model answers as a real etcd does: both play the same scripts.

use std::error::Error;

use etcd_messages::compare::{Operand, Result as Is, Target};
use etcd_messages::request_op::Request;
use etcd_messages::*;
use etcd_model::{DEFRAGMENT, DefragmentRequest, DefragmentResponse, Etcd, Status};

use crate::real::Real;
use crate::script::*;

pub type Result = std::result::Result<(), Box<dyn Error>>;

/// Plays a script on both, and compares line by line.
pub fn same(arguments: &[&str], model: Etcd, script: fn(&mut Player<'_>)) -> Result {
    let Some(mut real) = Real::start(arguments)? else { return Ok(()) };
    let mut model = Model { etcd: model, streams: Vec::new() };
    let said = |server: &mut dyn Server| {
        let mut player = Player::new(server);
        script(&mut player);
        player.said
    };
    let (of_model, of_real) = (said(&mut model), said(&mut real));
    for (model, real) in of_model.iter().zip(&of_real) {
        assert_eq!(model, real, "the model, then the real etcd");
    }
    assert_eq!(of_model.len(), of_real.len());
    Ok(())
}

#[test]
fn ranges_of_keys_and_of_the_past() -> Result {
    same(&[], Etcd::new(1), |player| {
        player.range(range("a", ""));
        for (key, value) in [("a/1", "one"), ("a/2", "two"), ("b", "be"), ("a/3", ""), ("a/1", "one again")] {
            player.put(key, value, 0);
        }
        for (key, end) in
            [("a/1", ""), ("a/", "a0"), ("a/2", "\0"), ("\0", "\0"), ("b", "a"), ("b", "b"), ("", ""), ("", "b")]
        {
            player.range(range(key, end));
            player.range(RangeRequest { keys_only: true, ..range(key, end) });
            player.range(RangeRequest { count_only: true, ..range(key, end) });
            for limit in [-1, 1, 2, 3] {
                player.range(RangeRequest { limit, ..range(key, end) });
            }
        }
        for min_mod_revision in [-1, 1, 3, 5, 6, 7] {
            player.range(RangeRequest { min_mod_revision, ..range("a", "c") });
            player.range(RangeRequest { min_mod_revision, limit: 2, ..range("a", "c") });
            player.range(RangeRequest { min_mod_revision, count_only: true, ..range("a", "c") });
        }
        player.delete("a/2", "");
        player.delete("a/2", "");
        player.put("a/2", "new", 0);
        player.delete("a/", "a0");
        player.delete("b", "a");
        for revision in -1..=12 {
            player.range(RangeRequest { revision, ..range("a", "c") });
            player.range(RangeRequest { revision, limit: 1, count_only: revision % 2 == 0, ..range("a", "c") });
        }
        player.put("", "", 0);
        player.delete("", "");
        player.ask::<StatusResponse>(STATUS, &StatusRequest {});
    })
}

#[test]
fn compaction_and_what_is_gone_by_it() -> Result {
    same(&[], Etcd::new(1), |player| {
        player.compact(0);
        player.compact(0);
        for number in 0..4 {
            player.put("a", &number.to_string(), 0);
            player.put(&number.to_string(), "x", 0);
        }
        player.delete("a", "");
        for revision in [20, 5, 5, 4, 11] {
            player.compact(revision);
        }
        for revision in [4, 5, 6, 7, 9, 10, 11] {
            player.range(RangeRequest { revision, ..range("\0", "\0") });
        }
        player.compact(10);
        player.compact(10);
        for revision in [9, 10] {
            player.range(RangeRequest { revision, ..range("\0", "\0") });
            let read = Request::Range(RangeRequest { revision, ..range("\0", "\0") });
            player.txn(vec![], vec![operation(read.clone())], vec![]);
            player.txn(vec![], vec![do_put("b", "1"), operation(read)], vec![]);
        }
        player.range(range("b", ""));
    })
}

#[test]
fn conditions_of_transactions() -> Result {
    same(&[], Etcd::new(1), |player| {
        player.grant(77, 100);
        player.put("there", "value", 77);
        player.put("there", "value", 77);
        let operands = [
            None,
            Some(Operand::Version(0)),
            Some(Operand::Version(2)),
            Some(Operand::CreateRevision(0)),
            Some(Operand::CreateRevision(2)),
            Some(Operand::ModRevision(3)),
            Some(Operand::ModRevision(5)),
            Some(Operand::Value(b"".to_vec())),
            Some(Operand::Value(b"value".to_vec())),
            Some(Operand::Lease(0)),
            Some(Operand::Lease(77)),
        ];
        for operand in operands {
            for target in [Target::Version, Target::Create, Target::Mod, Target::Value, Target::Lease] {
                for result in [Is::Equal, Is::Greater, Is::Less, Is::NotEqual] {
                    for key in ["there", "missing"] {
                        player.txn(vec![compare(key, target, result, operand.clone())], vec![], vec![]);
                    }
                }
            }
        }
        let missing = compare("missing", Target::Create, Is::Equal, Some(Operand::CreateRevision(0)));
        let there = compare("there", Target::Lease, Is::Equal, Some(Operand::Lease(77)));
        let other = compare("there", Target::Lease, Is::Equal, Some(Operand::Lease(78)));
        for compares in [vec![], vec![missing.clone(), there], vec![missing, other]] {
            player.txn(compares, vec![do_put("new", "1")], vec![do_range("there", ""), do_range("missing", "")]);
        }
        player.txn(vec![compare("", Target::Version, Is::Equal, None)], vec![], vec![]);
    })
}

#[test]
fn operations_of_transactions() -> Result {
    same(&[], Etcd::new(1), |player| {
        player.txn(vec![], vec![], vec![]);
        let all = || do_range("\0", "\0");
        player.txn(vec![], vec![all(), do_put("a", "1"), all(), do_put("b", "2"), all()], vec![]);
        player.txn(vec![], vec![do_delete("a", ""), all(), do_delete("a", "c"), do_delete("x", "")], vec![]);
        player.txn(vec![], vec![do_delete("a", ""), do_put("c", "3"), do_delete("a", "c")], vec![]);
        player.txn(vec![], vec![do_delete("x", ""), all()], vec![]);
        player.txn(vec![], vec![do_put("a", "1"), do_put("a", "2")], vec![]);
        player.txn(vec![], vec![], vec![do_put("a", "1"), do_put("a", "1")]);
        player.txn(vec![], vec![do_put("a", "1")], vec![do_put("a", "2")]);
        player.txn(vec![], vec![do_put("b", "1"), do_delete("a", "c")], vec![]);
        player.txn(vec![], vec![do_delete("b", ""), do_put("b", "1")], vec![]);
        player.txn(vec![], vec![do_delete("a", "\0"), do_put("b", "1")], vec![]);
        player.txn(vec![], vec![do_put("", "1")], vec![]);
        player.txn(vec![], vec![do_range("", "")], vec![]);
        player.txn(vec![], vec![], vec![do_delete("", "")]);
        player.txn(vec![], vec![RequestOp { request: None }], vec![]);
        player.txn(vec![], vec![RequestOp { request: None }, do_put("a", "1")], vec![]);
        let lost = || operation(Request::Put(put("l", "1", 404)));
        player.txn(vec![], vec![do_put("before", "1"), lost()], vec![]);
        player.txn(vec![], vec![do_put("before", "1")], vec![lost()]);
        let future = || operation(Request::Range(RangeRequest { revision: 99, ..range("a", "") }));
        player.txn(vec![], vec![do_put("before", "1"), future()], vec![]);
        player.txn(vec![], vec![do_put("other", "1")], vec![future()]);
        player.range(range("\0", "\0"));
    })
}

#[test]
fn limits_of_a_request() -> Result {
    same(&[], Etcd::new(1), |player| {
        let puts = |count: usize| (0..count).map(|number| do_put(&format!("k{number}"), "1")).collect::<Vec<_>>();
        let compares = |count: usize| vec![compare("k0", Target::Version, Is::Greater, None); count];
        player.txn(vec![], puts(128), vec![]);
        player.txn(vec![], puts(129), vec![]);
        player.txn(vec![], vec![], puts(129));
        player.txn(compares(128), puts(128), puts(128));
        player.txn(compares(129), vec![], vec![]);
        let mebibyte = "x".repeat(1 << 20);
        let large = |bytes: usize| "x".repeat(bytes);
        player.put("a", &mebibyte, 0);
        for bytes in [(3 << 19) - 1000, 3 << 19, (2 << 20) - 1000] {
            player.put("a", &large(bytes), 0);
            player.txn(vec![], vec![do_put("a", &large(bytes))], vec![]);
            player.delete(&large(bytes), "");
            player.range(range(&large(bytes), ""));
            player.txn(vec![], vec![do_range(&large(bytes), "")], vec![]);
        }
        player.range(RangeRequest { keys_only: true, ..range("a", "") });
    })
}

#[test]
fn leases_given_renewed_and_revoked() -> Result {
    same(&[], Etcd::new(1), |player| {
        for (id, ttl) in [(1, 60), (1, 60), (2, 1), (3, 0), (4, -5), (5, 9_000_000_000), (6, 9_000_000_001)] {
            player.grant(id, ttl);
            player.keep_alive(id);
        }
        for (key, lease) in [("a", 1), ("b", 1), ("c", 1), ("c", 0), ("d", 5), ("d", 1), ("e", 99), ("f", -1)] {
            player.put(key, "x", lease);
        }
        player.range(range("\0", "\0"));
        player.revoke(99);
        player.revoke(1);
        player.keep_alive(1);
        player.range(range("\0", "\0"));
        player.revoke(5);
        player.revoke(1);
        player.put("a", "x", 1);
        player.revoke(0);
        player.keep_alive(0);
    })
}

/// Keys go with a lease that nobody has renewed; that takes its time to live, and at most a second more.
#[test]
fn leases_that_expire() -> Result {
    same(&[], Etcd::new(1), |player| {
        player.grant(1, 2);
        player.grant(2, 3);
        for (key, lease) in [("a", 1), ("b", 1), ("c", 2), ("d", 0)] {
            player.put(key, "x", lease);
        }
        player.wait(1.5);
        player.range(range("\0", "\0"));
        player.keep_alive(2);
        player.wait(2.0);
        player.range(range("\0", "\0"));
        player.keep_alive(1);
        player.put("e", "x", 1);
        player.wait(2.5);
        player.range(range("\0", "\0"));
    })
}

#[test]
fn calls_that_do_not_exist() -> Result {
    same(&[], Etcd::new(1), |player| {
        for path in ["/etcdserverpb.KV/Nothing", "/etcdserverpb.Nothing/Range", "/nothing"] {
            player.ask::<RangeResponse>(path, &range("a", ""));
        }
        player.bytes(RANGE, b"\x0a\x05a");
        player.ask::<AuthenticateResponse>(AUTHENTICATE, &AuthenticateRequest::default());
    })
}

fn alarm(player: &mut Player<'_>, action: i32, member_id: u64) {
    let request = AlarmRequest { action, member_id, alarm: i32::from(action > 0) };
    let answer = player.get::<AlarmResponse>(ALARM, &request).map(Comparable::comparable);
    player.said.push(format!("alarm {action} -> {answer:?}"));
}

/// What a full database still does, and the way back.
#[test]
fn a_full_database_and_the_way_back() -> Result {
    const QUOTA: usize = 2 << 20;
    let model = Etcd::new(1);
    model.set_quota(QUOTA);
    same(&["--quota-backend-bytes", &QUOTA.to_string()], model, |player| {
        let value = "x".repeat(100 << 10);
        player.put("first", &value, 0);
        // A real one finds out when it next writes its file, ten times a second.
        let full = (0..10_000)
            .find_map(|number| player.get::<PutResponse>(PUT, &put(&format!("k/{}", number % 2), &value, 0)).err());
        player.said.push(format!("{full:?}"));
        // How many it took differs, and with it the revision.
        let unnumbered = |result: std::result::Result<TxnResponse, Status>| {
            result.map(|answer| (answer.succeeded, answer.responses.len()))
        };
        let txn = |success: Vec<RequestOp>, failure: Vec<RequestOp>| TxnRequest { compare: vec![], success, failure };
        for request in [
            txn(vec![], vec![]),
            txn(vec![do_put("small", "1")], vec![]),
            txn(vec![do_range("small", "")], vec![]),
            txn(vec![do_range("small", "")], vec![do_put("small", "1")]),
            txn(vec![do_delete("k/0", ""), do_range("k/0", "")], vec![]),
            txn(vec![do_delete("k/1", ""), do_put("small", "1")], vec![]),
        ] {
            let answer = unnumbered(player.get(TXN, &request));
            player.said.push(format!("{answer:?}"));
        }
        player.ask::<PutResponse>(PUT, &put("small", "1", 0));
        player.ask::<PutResponse>(PUT, &put("", "1", 0));
        player.ask::<LeaseGrantResponse>(LEASE_GRANT, &LeaseGrantRequest { id: 7, ttl: 60 });
        alarm(player, 0, 0);
        let range = player.get::<RangeResponse>(RANGE, &range("k/", "k0")).expect("reads work");
        let revision = range.header.expect("it has one").revision;
        player.said.push(format!("{} left", range.count));
        let compacted = player.get::<CompactionResponse>(COMPACT, &CompactionRequest { revision, physical: true });
        player.said.push(format!("{:?}", compacted.map(|_| ())));
        let member = player.get::<StatusResponse>(STATUS, &StatusRequest {}).expect("it is there").header;
        let member = member.expect("it has one").member_id;
        // Without a defragmentation the file is as large as before.
        alarm(player, 2, member);
        alarm(player, 2, member);
        let refused = player.get::<PutResponse>(PUT, &put("large", &value, 0)).map(|_| ());
        player.said.push(format!("{refused:?}"));
        alarm(player, 0, 0);
        let defragmented = player.get::<DefragmentResponse>(DEFRAGMENT, &DefragmentRequest {});
        player.said.push(format!("{defragmented:?}"));
        player.ask::<PutResponse>(PUT, &put("small", "1", 0));
        alarm(player, 2, member);
        let answer = player.get::<PutResponse>(PUT, &put("small", "1", 0)).map(|_| ());
        player.said.push(format!("{answer:?}"));
        alarm(player, 0, 0);
        alarm(player, 1, member);
        player.ask::<LeaseGrantResponse>(LEASE_GRANT, &LeaseGrantRequest { id: 7, ttl: 60 });
    })
}
