//! What each operation sends.

use super::*;

const ID: &str = "01010101010101010101010101010101";
const DEAD_ID: &str = "02020202020202020202020202020202";

/// A transaction in short words: `lease w/… = 77`, `put j/… (lease 77) 3 bytes`.
pub(super) fn shown(call: &StoreCall) -> (Vec<String>, Vec<String>, Vec<String>) {
    assert_eq!(path(call), etcd_messages::TXN);
    let TxnRequest { compare, success, failure } = decoded(call);
    let texts = |ops: Vec<RequestOp>| ops.into_iter().map(|op| operation(op.request.unwrap())).collect();
    (compare.into_iter().map(comparison).collect(), texts(success), texts(failure))
}

fn short(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key).replace(ID, "ME").replace(DEAD_ID, "DEAD");
    text.strip_prefix("/p/").unwrap_or_else(|| panic!("{text} is outside of the prefix")).to_owned()
}

fn comparison(compare: Compare) -> String {
    assert_eq!(compare.result, etcd_messages::compare::Result::Equal as i32);
    let (target, number) = match compare.operand.unwrap() {
        Operand::Version(number) => (Target::Version, number),
        Operand::CreateRevision(number) => (Target::Create, number),
        Operand::Lease(number) => (Target::Lease, number),
        Operand::ModRevision(number) => (Target::Mod, number),
        Operand::Value(value) => return format!("value {} = {:?}", short(&compare.key), text(&value)),
    };
    assert_eq!(compare.target, target as i32);
    format!("{} {} = {number}", format!("{target:?}").to_lowercase(), short(&compare.key))
}

fn operation(request: Request) -> String {
    match request {
        Request::Put(put) if put.lease == 0 => format!("put {} {:?}", short(&put.key), text(&put.value)),
        Request::Put(put) => format!("put {} {:?} lease {}", short(&put.key), text(&put.value), put.lease),
        Request::DeleteRange(it) if it.range_end.is_empty() => format!("delete {}", short(&it.key)),
        Request::DeleteRange(it) => format!("delete {}..{}", short(&it.key), short(&it.range_end)),
        Request::Range(it) if it.range_end.is_empty() => format!("get {}", short(&it.key)),
        Request::Range(it) => {
            let (keys, limit) = (if it.keys_only { " keys" } else { "" }, it.limit);
            format!("get {}..{}{keys} limit {limit}", short(&it.key), short(&it.range_end))
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(ID, "ME")
}

pub(super) fn sent(etcd: &mut Etcd, operation: &Operation) -> (Vec<String>, Vec<String>, Vec<String>) {
    shown(&etcd.call(operation))
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Asserts on the compares, on what follows if they hold, and on what follows else.
pub(super) fn transaction(sent: (Vec<String>, Vec<String>, Vec<String>), [compare, success, failure]: [&[&str]; 3]) {
    assert_eq!(sent, (owned(compare), owned(success), owned(failure)));
}

/// A writer is opened in two calls: a lease is granted, then the writer is registered with it.
#[test]
fn open_grants_a_lease_and_then_registers() {
    let mut etcd = closed();
    let grant = etcd.call(&open());
    assert_eq!((path(&grant), grant.part), (etcd_messages::LEASE_GRANT, PART_GRANT));
    assert_eq!(decoded::<LeaseGrantRequest>(&grant), LeaseGrantRequest { ttl: 5, id: 0 });
    let registering = etcd.read(&open(), grant.part, &granted()).unwrap_err();
    let success: &[&str] = &["put w/ME \"me\" lease 77", "put r/ME \"\""];
    transaction(shown(&registering), [&["create w/ME = 0"], success, &["get w/ME"]]);
}

#[test]
fn append_needs_the_lease_and_an_unused_number() {
    let compare: &[&str] = &["create j/ME/0000000000000010 = 0", "lease w/ME = 77"];
    let success: &[&str] =
        &["put j/ME/0000000000000010 \"segment\"", "delete j/ME/0000000000000003", "delete j/ME/0000000000000004"];
    let failure: &[&str] = &["get j/ME/0000000000000010", "get w/ME"];
    transaction(sent(&mut opened(), &append()), [compare, success, failure]);
}

/// A key that is gone has lease 0, so a writer that has none must compare with another number.
#[test]
fn without_a_lease_nothing_is_compared_with_zero() {
    for operation in [append(), note(ME), note(DEAD), claim(), Operation::Void { segment: id(ME, 1), has_key: false }] {
        let (compare, ..) = sent(&mut closed(), &operation);
        assert!(
            compare.iter().any(|compare| compare.starts_with("lease ") && compare.ends_with(" = -1")),
            "{compare:?}"
        );
    }
}

#[test]
fn void_overwrites_with_nothing() {
    let void = Operation::Void { segment: id(ME, 1), has_key: false };
    let success: &[&str] = &["put j/ME/0000000000000001 \"\"", "delete p/ME/0000000000000001"];
    transaction(sent(&mut opened(), &void), [&["lease w/ME = 77"], success, &[]]);
}

/// A note of own segments rewrites the writer's key; each note compares how often that was written.
#[test]
fn note_of_own_segments_is_numbered() {
    let mut etcd = opened();
    let success: &[&str] = &[
        "put w/ME \"me\" lease 77",
        "put p/ME/0000000000000005 \"progress\"",
        "delete j/ME/0000000000000006",
        "delete p/ME/0000000000000006",
    ];
    let first: &[&str] = &["lease w/ME = 77", "version w/ME = 1"];
    transaction(sent(&mut etcd, &note(ME)), [first, success, &["get w/ME"]]);
    assert_eq!(told(&mut etcd, &note(ME), &txn(true, vec![])), Outcome::Applied);
    let second: &[&str] = &["lease w/ME = 77", "version w/ME = 2"];
    transaction(sent(&mut etcd, &note(ME)), [second, success, &["get w/ME"]]);
}

/// A note of a dead writer's segments rewrites the claim, which is numbered by itself.
#[test]
fn note_of_claimed_segments_rewrites_the_claim() {
    let compare: &[&str] = &["lease t/DEAD = 77", "version t/DEAD = 1"];
    let success: &[&str] = &[
        "put t/DEAD \"ME\" lease 77",
        "put p/DEAD/0000000000000005 \"progress\"",
        "delete j/DEAD/0000000000000006",
        "delete p/DEAD/0000000000000006",
    ];
    transaction(sent(&mut claiming(), &note(DEAD)), [compare, success, &["get t/DEAD"]]);
}

/// A deletion writes nothing, so that etcd takes it without room.
#[test]
fn delete_writes_nothing() {
    for (owner, key, dir) in [(ME, "lease w/ME = 77", "ME"), (DEAD, "lease t/DEAD = 77", "DEAD")] {
        let delete = Operation::Delete { writer: ME, owner, finished: vec![9] };
        let success = ["j", "p"].map(|table| format!("delete {table}/{dir}/0000000000000009"));
        let expected = (owned(&[key]), success.to_vec(), Vec::new());
        assert_eq!(sent(&mut claiming(), &delete), expected);
    }
}

#[test]
fn survey_lists_members_registrations_and_claims() {
    let success: &[&str] = &["get w/..w0 limit 0", "get r/..r0 keys limit 0", "get t/..t0 limit 0"];
    transaction(sent(&mut opened(), &Operation::Survey), [&[], success, &[]]);
}

#[test]
fn claim_needs_a_dead_unclaimed_writer_and_a_lease() {
    let compare: &[&str] = &["create w/DEAD = 0", "create t/DEAD = 0", "version r/DEAD = 1", "lease w/ME = 77"];
    let success: &[&str] = &["put t/DEAD \"ME\" lease 77"];
    transaction(sent(&mut opened(), &claim()), [compare, success, &["get t/DEAD"]]);
}

/// What is done is forgotten with everything under it; what is not done is only given up.
#[test]
fn release_forgets_only_what_is_done() {
    let release = |is_done| Operation::Release { writer: ME, dead: DEAD, is_done };
    let compare: &[&str] = &["lease t/DEAD = 77"];
    let done: &[&str] = &["delete t/DEAD", "delete r/DEAD", "delete j/DEAD/..j/DEAD0", "delete p/DEAD/..p/DEAD0"];
    transaction(sent(&mut claiming(), &release(true)), [compare, done, &["get t/DEAD"]]);
    transaction(sent(&mut claiming(), &release(false)), [compare, &["delete t/DEAD"], &["get t/DEAD"]]);
}

#[test]
fn page_begins_behind_the_last_segment() {
    let page = |after| Operation::Page { owner: DEAD, after, most: 16 };
    let first: &[&str] = &["get j/DEAD/..j/DEAD0 limit 16", "get p/DEAD/..p/DEAD0 limit 16"];
    transaction(sent(&mut opened(), &page(None)), [&[], first, &[]]);
    let next: &[&str] =
        &["get j/DEAD/0000000000000011\0..j/DEAD0 limit 16", "get p/DEAD/0000000000000011\0..p/DEAD0 limit 16"];
    transaction(sent(&mut opened(), &page(Some(0x11))), [&[], next, &[]]);
}

/// The store is tidied up to where it was when it was last to be tidied, so that others can still read what changed.
#[test]
fn tidy_keeps_what_is_newer_than_the_last_time() {
    let mut etcd = opened();
    let revision = |etcd: &mut Etcd| decoded::<CompactionRequest>(&etcd.call(&Operation::Tidy)).revision;
    assert_eq!(revision(&mut etcd), 0);
    assert_eq!(told(&mut etcd, &Operation::Tidy, &ok(&CompactionResponse::default())), Outcome::Applied);
    assert_eq!(revision(&mut etcd), 40);
}

proptest! {
    /// Keys are in the order of the numbers, and none is a prefix of another.
    #[test]
    fn keys_of_segments_are_in_the_order_of_their_numbers(one: u64, other: u64) {
        let key = |seq| closed().segment_key('j', id(ME, seq));
        prop_assert_eq!(key(one).cmp(&key(other)), one.cmp(&other));
        prop_assert_eq!(key(one).len(), key(other).len());
    }
}

/// Changes of letters have their turn among the writer's notes: a late one is none.
#[test]
fn changes_of_letters_are_numbered_like_notes() {
    let mut etcd = opened();
    let success: &[&str] = &[
        "put w/ME \"me\" lease 77",
        "put l \"\"",
        "put l/a.x \"letter\"",
        "delete a/a.x",
        "put a/b.x \"here\" lease 77",
        "delete l/c.x",
        "delete a/c.x",
    ];
    let first: &[&str] = &["lease w/ME = 77", "version w/ME = 1"];
    transaction(sent(&mut etcd, &change()), [first, success, &["get w/ME"]]);
    assert_eq!(told(&mut etcd, &change(), &txn(true, vec![])), Outcome::Applied);
    let second: &[&str] = &["lease w/ME = 77", "version w/ME = 2"];
    transaction(sent(&mut etcd, &change()), [second, success, &["get w/ME"]]);
    let forget = letters(LetterOperation::Forget { names: vec!["c.x".to_owned()] });
    let success: &[&str] = &["delete l/c.x", "delete a/c.x", "delete l"];
    transaction(sent(&mut etcd, &forget), [second, success, &["get w/ME"]]);
}

/// One key tells whether letters have changed; only then their names are listed.
#[test]
fn letters_are_listed_only_if_they_have_changed() {
    let names: &[&str] = &["get a/..a0 limit 2000", "get l", "get l/..l0 keys limit 9"];
    for (known, compare) in [(None, "mod l = -1"), (Some(7), "mod l = 7")] {
        let list = letters(LetterOperation::List { known, after: None, most: 9 });
        transaction(sent(&mut opened(), &list), [&[compare], &names[..1], names]);
    }
    let next = letters(LetterOperation::List { known: None, after: Some("a.x".to_owned()), most: 9 });
    let (.., failure) = sent(&mut opened(), &next);
    assert_eq!(failure[2], "get l/a.x\0..l0 keys limit 9");
    let read = letters(LetterOperation::Read { names: vec!["a.x".to_owned(), "b.x".to_owned()] });
    transaction(sent(&mut opened(), &read), [&[], &["get l/a.x", "get l/b.x"], &[]]);
}
