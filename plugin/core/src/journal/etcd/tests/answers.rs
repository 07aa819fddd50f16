//! What each answer means.

use super::*;
use crate::journal::operation::Survey;

const W: &str = "/p/w/01010101010101010101010101010101";
const J: &str = "/p/j/01010101010101010101010101010101/0000000000000010";
const T: &str = "/p/t/02020202020202020202020202020202";

fn refused(why: StoreRefusal) -> Outcome {
    Outcome::Refused(why)
}

/// The whole table of errors, for an operation whose only call is its own.
#[test]
fn each_status_of_an_error_has_its_meaning() {
    use StoreRefusal::{Denied, Full, NotSent, TooLarge};
    let table = [
        (8, "etcdserver: mvcc: database space exceeded", refused(Full)),
        (8, "grpc: received message larger than max (2097195 vs. 2097152)", refused(TooLarge)),
        (8, "etcdserver: too many requests", refused(NotSent)),
        (8, "anything else", Outcome::Unknown),
        (3, "etcdserver: request is too large", refused(TooLarge)),
        (3, "etcdserver: too many operations in txn request", refused(TooLarge)),
        (3, "etcdserver: user name is empty", refused(Denied)),
        (16, "etcdserver: invalid auth token", refused(Denied)),
        (7, "etcdserver: permission denied", refused(Denied)),
        (5, "etcdserver: requested lease not found", refused(Denied)),
        (12, "unknown service", refused(Denied)),
        (14, "etcdserver: leader changed", Outcome::Unknown),
        (2, "", Outcome::Unknown),
        (4, "deadline exceeded", Outcome::Unknown),
        (11, "", Outcome::Unknown),
        (1, "", Outcome::Unknown),
        (13, "", Outcome::Unknown),
    ];
    for (status, text, outcome) in table {
        for operation in [append(), note(ME), claim(), Operation::Renew { writer: ME }, Operation::Survey] {
            assert_eq!(
                told(&mut opened(), &operation, &error(status, text)),
                outcome,
                "{status} {text}: {operation:?}"
            );
        }
    }
}

/// What was never sent is told apart from what got no answer, and an answer that is none of etcd's says nothing.
#[test]
fn only_what_was_not_sent_is_surely_not_done() {
    let page = StoreReply::Answer {
        status: 503,
        grpc_status: None,
        grpc_message: String::new(),
        body: b"upstream connect error".to_vec(),
    };
    for (reply, outcome) in [
        (StoreReply::NotSent, refused(StoreRefusal::NotSent)),
        (StoreReply::Lost, Outcome::Unknown),
        (page, Outcome::Unknown),
    ] {
        assert_eq!(told(&mut opened(), &append(), &reply), outcome);
    }
}

/// An append that was not made tells from both keys whether an earlier try was, whether the number is void, or whether
/// the writer is dead.
#[test]
fn append_that_is_not_made_tells_already_from_fenced() {
    let (mine, other) = (vec![kv(W, b"me", LEASE, 1)], vec![kv(W, b"me", LEASE + 1, 1)]);
    let (there, void) = (vec![kv(J, b"segment", 0, 1)], vec![kv(J, b"", 0, 1)]);
    for (segment, writer, outcome) in [
        (there.clone(), mine.clone(), Outcome::Already),
        // The writer died after its segment was appended: it counts, and is others' to deliver.
        (there, vec![], Outcome::Already),
        (void, mine.clone(), Outcome::Fenced),
        (vec![], vec![], Outcome::Fenced),
        (vec![], other, Outcome::Fenced),
        // Both conditions hold now, though they did not: nothing can be told.
        (vec![], mine, Outcome::Unknown),
    ] {
        assert_eq!(told(&mut opened(), &append(), &txn(false, vec![segment, writer])), outcome);
    }
}

/// A note that was made by an earlier try is told from one whose writer or claim is gone, and counts once.
#[test]
fn repeated_note_is_told_from_a_fenced_one() {
    for (owner, key) in [(ME, W), (DEAD, T)] {
        for (found, outcome) in [
            (vec![kv(key, b"", LEASE, 2)], Outcome::Already),
            (vec![kv(key, b"", LEASE, 1)], Outcome::Fenced),
            (vec![kv(key, b"", LEASE, 3)], Outcome::Fenced),
            (vec![kv(key, b"", LEASE + 1, 2)], Outcome::Fenced),
            (vec![], Outcome::Fenced),
        ] {
            let mut etcd = claiming();
            assert_eq!(told(&mut etcd, &note(owner), &txn(false, vec![found])), outcome);
            let next = if outcome == Outcome::Already { 2 } else { 1 };
            let TxnRequest { compare, .. } = decoded(&etcd.call(&note(owner)));
            assert_eq!(compare[1].operand, Some(Operand::Version(next)));
        }
    }
}

#[test]
fn repeated_open_and_claim_are_told_from_fenced_ones() {
    for (operation, key) in [(open(), W), (claim(), T)] {
        for (lease, outcome) in [(LEASE, Outcome::Already), (LEASE + 1, Outcome::Fenced)] {
            let mut etcd = opened();
            assert_eq!(told(&mut etcd, &operation, &txn(false, vec![vec![kv(key, b"", lease, 1)]])), outcome);
        }
        assert_eq!(told(&mut opened(), &operation, &txn(false, vec![vec![]])), Outcome::Fenced);
    }
}

/// Another gateway that has compacted further has done the work.
#[test]
fn tidy_after_another_gateway_is_done() {
    let text = "etcdserver: mvcc: required revision has been compacted";
    assert_eq!(told(&mut opened(), &Operation::Tidy, &error(11, text)), Outcome::Applied);
}

#[test]
fn survey_knows_alive_registered_and_claimed_writers() {
    let r = |writer: WriterId| kv(&format!("/p/r/{writer}"), b"", 0, 1);
    let strange = kv("/p/r/nobody", b"", 0, 1);
    let ranges = vec![
        vec![kv(W, b"me", LEASE, 3)],
        vec![r(ME), r(DEAD), strange],
        vec![kv(T, ME.to_string().as_bytes(), LEASE, 1)],
    ];
    let survey = Survey { alive: vec![(ME, b"me".to_vec())], registered: vec![ME, DEAD], claimed: vec![(DEAD, ME)] };
    assert_eq!(told(&mut opened(), &Operation::Survey, &txn(true, ranges)), Outcome::Survey(survey));
}

proptest! {
    /// A page has the segments in their order, each with its own progress, whichever segments have some.
    #[test]
    fn page_matches_progress_to_segments(noted in proptest::collection::vec(any::<bool>(), 0..16)) {
        let key = |table: char, seq: usize| kv(&format!("/p/{table}/{DEAD}/{seq:016x}"), &[seq as u8, 1], 0, 1);
        let segments = (0..noted.len()).map(|seq| key('j', seq * 10)).collect();
        let of_noted = (0..noted.len()).filter(|seq| noted[*seq]).map(|seq| key('p', seq * 10)).collect();
        let page = Operation::Page { owner: DEAD, after: None, most: 8 };
        let expected = noted.iter().enumerate().map(|(seq, is_noted)| StoredSegment {
            seq: seq as u64 * 10,
            bytes: vec![seq as u8 * 10, 1],
            progress: is_noted.then(|| vec![seq as u8 * 10, 1]),
        });
        let expected = Outcome::Page(Page { segments: expected.collect(), has_more: false });
        prop_assert_eq!(told(&mut opened(), &page, &txn(true, vec![segments, of_noted])), expected);
    }

    /// Whatever comes back, no reader panics, and no change counts as made.
    #[test]
    fn bytes_that_are_no_answer_change_nothing(body: Vec<u8>) {
        let reply = StoreReply::Answer { status: 200, grpc_status: Some(0), grpc_message: String::new(), body };
        for operation in [append(), note(ME), claim()] {
            prop_assert_ne!(told(&mut opened(), &operation, &reply), Outcome::Applied);
        }
    }
}

/// A user is authenticated before the first call; the token goes along from then on.
#[test]
fn a_token_is_got_once_and_goes_along() {
    let user = EtcdUser { name: "u".to_owned(), password: Zeroizing::new("hunter2".to_owned()) };
    let mut etcd = Etcd::new("/p", 5, Some(&user));
    let asked = etcd.call(&Operation::Survey);
    assert_eq!(path(&asked), AUTHENTICATE);
    let expected = AuthenticateRequest { name: "u".to_owned(), password: "hunter2".to_owned() };
    assert_eq!(decoded::<AuthenticateRequest>(&asked), expected);
    let next = etcd.read(&Operation::Survey, asked.part, &token("t.1")).unwrap_err();
    for call in [next, etcd.call(&Operation::Survey)] {
        assert_eq!((path(&call), call.headers.last()), (etcd_messages::TXN, Some(&("token", "t.1".to_owned()))));
    }
}

fn token(token: &str) -> StoreReply {
    ok(&AuthenticateResponse { token: token.to_owned(), ..AuthenticateResponse::default() })
}

/// A token that is refused is got anew once; refused again, the operation is.
#[test]
fn a_refused_token_is_got_anew_once() {
    let user = EtcdUser { name: "u".to_owned(), password: Zeroizing::new("p".to_owned()) };
    let stale = error(16, "etcdserver: invalid auth token");
    for operation in [Operation::Survey, open()] {
        let mut etcd = Etcd::new("/p", 5, Some(&user));
        let first = etcd.call(&operation);
        let main = etcd.read(&operation, first.part, &token("t.1")).unwrap_err();
        let again = etcd.read(&operation, main.part, &stale).unwrap_err();
        assert_eq!(path(&again), AUTHENTICATE);
        let retried = etcd.read(&operation, again.part, &token("t.2")).unwrap_err();
        assert_eq!((path(&retried), retried.headers.last()), (path(&main), Some(&("token", "t.2".to_owned()))));
        assert_eq!(etcd.read(&operation, retried.part, &stale), Ok(refused(StoreRefusal::Denied)));
    }
}

/// An operation whose token could not be got was surely not carried out.
#[test]
fn failure_to_authenticate_has_changed_nothing() {
    let user = EtcdUser { name: "u".to_owned(), password: Zeroizing::new("p".to_owned()) };
    for (reply, why) in [
        (error(3, "etcdserver: authentication failed, invalid user ID or password"), StoreRefusal::Denied),
        (error(16, ""), StoreRefusal::Denied),
        (error(14, ""), StoreRefusal::NotSent),
        (StoreReply::Lost, StoreRefusal::NotSent),
    ] {
        assert_eq!(told(&mut Etcd::new("/p", 5, Some(&user)), &append(), &reply), refused(why));
    }
}

/// A lease that was not granted, for want of room or of an answer, leaves nothing behind.
#[test]
fn failure_to_grant_a_lease_has_changed_nothing() {
    for (reply, why) in [
        (error(8, "etcdserver: mvcc: database space exceeded"), StoreRefusal::Full),
        (error(14, ""), StoreRefusal::NotSent),
        (ok(&LeaseGrantResponse { error: "no".to_owned(), ..LeaseGrantResponse::default() }), StoreRefusal::Denied),
    ] {
        let mut etcd = closed();
        assert_eq!(told(&mut etcd, &open(), &reply), refused(why));
        assert!(etcd.leases.is_empty());
    }
}

#[test]
fn no_token_or_password_is_shown() {
    let user = EtcdUser { name: "u".to_owned(), password: Zeroizing::new("hunter2".to_owned()) };
    let mut etcd = Etcd::new("/p", 5, Some(&user));
    let _ = etcd.read(&Operation::Survey, PART_AUTHENTICATE, &token("hunter3"));
    assert!(!format!("{etcd:?} {user:?}").contains("hunter"));
}

/// A change of letters that was refused had been made if the writer's key was written once more since, and only then.
#[test]
fn repeated_change_of_letters_is_told_from_a_fenced_one() {
    for (lease, version, outcome) in
        [(LEASE, 2, Outcome::Already), (LEASE, 1, Outcome::Fenced), (LEASE + 1, 2, Outcome::Fenced)]
    {
        let mut etcd = opened();
        let found = vec![vec![kv(W, b"", lease, version)]];
        assert_eq!(told(&mut etcd, &change(), &txn(false, found)), outcome);
    }
}

#[test]
fn letters_are_listed_and_read() {
    let revised = |key: &str, value: &[u8], mod_revision| KeyValue { mod_revision, ..kv(key, value, 0, 1) };
    let list = letters(LetterOperation::List { known: Some(7), after: None, most: 9 });
    let again = vec![kv("/p/a/b.x", b"there", 5, 1)];
    let taken = vec![("b.x".to_owned(), "there".to_owned())];
    let unchanged = LetterList { taken: taken.clone(), ..LetterList::default() };
    let told_list = |reply: &StoreReply| told(&mut opened(), &list, reply);
    assert_eq!(told_list(&txn(true, vec![again.clone()])), Outcome::Letters(LetterAnswer::List(unchanged)));
    let names = vec![revised("/p/l/a.x", b"", 8), revised("/p/l/b.x", b"", 9)];
    let changed = LetterList {
        names: Some(vec![("a.x".to_owned(), 8), ("b.x".to_owned(), 9)]),
        has_more: false,
        changed: Some(9),
        taken,
    };
    let reply = txn(false, vec![again, vec![revised("/p/l", b"", 9)], names]);
    assert_eq!(told_list(&reply), Outcome::Letters(LetterAnswer::List(changed)));
    let none = LetterList { names: Some(Vec::new()), ..LetterList::default() };
    assert_eq!(told_list(&txn(false, vec![vec![]; 3])), Outcome::Letters(LetterAnswer::List(none)));
    let read = letters(LetterOperation::Read { names: vec!["a.x".to_owned(), "gone.x".to_owned()] });
    let reply = txn(true, vec![vec![revised("/p/l/a.x", b"letter", 8)], vec![]]);
    let found = StoredLetter { name: "a.x".to_owned(), revision: 8, bytes: b"letter".to_vec() };
    assert_eq!(told(&mut opened(), &read, &reply), Outcome::Letters(LetterAnswer::Read(vec![found])));
}
