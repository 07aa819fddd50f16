//! Inbound messages: what is sent for them, and what the answers mean.

use super::sending::{sent, shown, transaction};
use super::*;

const A: KeyName = [0xaa; 16];
const B: KeyName = [0xbb; 16];
const KEY_A: &str = "/p/i/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const KEY_B: &str = "/p/i/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const W: &str = "/p/w/01010101010101010101010101010101";
const LASTS: u64 = 1024;

fn claim_of(from: u64) -> FleetClaim {
    FleetClaim { keys: vec![(A, 0), (B, from)], bytes: b"mine".to_vec(), lasts: LASTS }
}

fn claiming_message(dead: &[WriterId]) -> Operation {
    Operation::ClaimMessage { writer: ME, claim: claim_of(9), dead: dead.to_vec() }
}

/// An etcd with a lease for the keys of messages.
fn keeping() -> Etcd {
    let mut etcd = opened();
    let grant = ok(&LeaseGrantResponse { id: 88, ttl: 1536, ..LeaseGrantResponse::default() });
    assert_eq!(told(&mut etcd, &Operation::KeepMessages { lasts: LASTS }, &grant), Outcome::Applied);
    etcd
}

#[test]
fn keys_are_kept_for_half_as_long_again() {
    let call = opened().call(&Operation::KeepMessages { lasts: LASTS });
    assert_eq!(path(&call), etcd_messages::LEASE_GRANT);
    assert_eq!(decoded::<LeaseGrantRequest>(&call), LeaseGrantRequest { ttl: 1536, id: 0 });
}

/// A claim needs the lease of its writer, each key as it was, and that those are dead whose claims it replaces.
#[test]
fn claim_compares_the_lease_the_keys_and_the_dead() {
    let (a, b) = ("i/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "i/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    let compare = ["lease w/ME = 77", &format!("mod {a} = 0"), &format!("mod {b} = 9"), "create w/DEAD = 0"];
    let success = [a, b].map(|key| format!("put {key} \"mine\" lease 88"));
    let failure = [&format!("get {a}"), &format!("get {b}"), "get w/ME"];
    let success = success.each_ref().map(String::as_str);
    transaction(sent(&mut keeping(), &claiming_message(&[DEAD])), [&compare, &success, &failure]);
}

/// Without a lease a key would stand for ever: such a call fails.
#[test]
fn without_a_lease_no_key_is_put() {
    let settle = Operation::SettleMessage { names: vec![A], bytes: b"done".to_vec(), lasts: LASTS };
    for operation in [claiming_message(&[]), settle] {
        let (_, success, _) = sent(&mut opened(), &operation);
        assert!(success.iter().all(|put| put.ends_with(" lease -1")), "{success:?}");
    }
}

/// A claim that is refused was made by an earlier try, is fenced, or says what stands there.
#[test]
fn refused_claim_tells_why() {
    let with = |key: &str, value: &[u8], revision| KeyValue { mod_revision: revision, ..kv(key, value, 88, 1) };
    let alive = || vec![kv(W, b"me", LEASE, 1)];
    let other = FoundKey { name: B, revision: 30, bytes: b"other".to_vec() };
    let table = [
        (vec![with(KEY_A, b"mine", 40)], vec![with(KEY_B, b"mine", 40)], alive(), Outcome::Already),
        (vec![with(KEY_A, b"mine", 40)], vec![with(KEY_B, b"mine", 40)], vec![], Outcome::Already),
        (vec![], vec![with(KEY_B, b"other", 30)], alive(), Outcome::MessageTaken(vec![other])),
        (vec![], vec![with(KEY_B, b"other", 30)], vec![], Outcome::Fenced),
        (vec![], vec![], vec![kv(W, b"me", 78, 1)], Outcome::Fenced),
        // What stood there is forgotten by now.
        (vec![], vec![], alive(), Outcome::MessageTaken(Vec::new())),
    ];
    for (a, b, writer, outcome) in table {
        let answer = txn(false, vec![a.clone(), b.clone(), writer]);
        assert_eq!(told(&mut keeping(), &claiming_message(&[]), &answer), outcome, "{a:?} {b:?}");
    }
}

/// Only its own claim is given back; if that may yet be made, something is put in its way.
#[test]
fn release_gives_back_only_its_own_claim() {
    let (a, b) = ("i/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "i/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    let mine = [a, b].map(|key| format!("value {key} = \"mine\""));
    let mine = mine.each_ref().map(String::as_str);
    let release = |may_come_late| Operation::ReleaseMessage { claim: claim_of(9), may_come_late };
    let gone = [a, b].map(|key| format!("delete {key}"));
    transaction(sent(&mut keeping(), &release(false)), [&mine, &gone.each_ref().map(String::as_str), &[]]);
    assert_eq!(told(&mut keeping(), &release(false), &txn(false, vec![])), Outcome::Fenced);

    let marks = [a, b].map(|key| format!("put {key} \"\" lease 88"));
    let marks = marks.each_ref().map(String::as_str);
    let mut etcd = keeping();
    let first = etcd.call(&release(true));
    transaction(shown(&first), [&mine, &marks, &[]]);
    assert_eq!(etcd.read(&release(true), first.part, &txn(true, vec![])), Ok(Outcome::Applied));
    let second = etcd.read(&release(true), first.part, &txn(false, vec![])).unwrap_err();
    let unclaimed = [format!("mod {a} = 0"), format!("mod {b} = 9")];
    transaction(shown(&second), [&unclaimed.each_ref().map(String::as_str), &marks, &[]]);
    assert_eq!(etcd.read(&release(true), second.part, &txn(false, vec![])), Ok(Outcome::Fenced));
}
