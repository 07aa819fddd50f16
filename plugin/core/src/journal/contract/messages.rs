//! The rules of inbound messages: who claims one, and what is remembered of it.

use super::Rule;
use super::bench::{Bench, TestedStore, close, writer};
use crate::journal::operation::{FleetClaim, FoundKey, KeyName, Operation, Outcome, Revision};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("a message is claimed once", message_is_claimed_once),
    ("a message is claimed under all of its keys or none", message_is_claimed_under_all_keys),
    ("a dead writer claims no message", dead_writer_claims_no_message),
    ("only a dead writer's claim is replaced as such", only_a_dead_writers_claim_is_replaced),
    ("a message that is done stays done", message_that_is_done_stays_done),
    ("a claim that is released leaves the message free", released_claim_leaves_the_message_free),
    ("a claim that was released does not come late", released_claim_does_not_come_late),
    ("a release takes no other claim away", release_takes_no_other_claim_away),
];

/// How long keys last here, in seconds.
const LASTS: u64 = 512;

const A: KeyName = [1; 16];
const B: KeyName = [2; 16];

fn claim_of(keys: &[(KeyName, Revision)], bytes: &str) -> FleetClaim {
    FleetClaim { keys: keys.to_vec(), bytes: bytes.into(), lasts: LASTS }
}

fn claim(gateway: usize, keys: &[(KeyName, Revision)], bytes: &str, dead: &[usize]) -> Operation {
    let dead = dead.iter().map(|dead| writer(*dead)).collect();
    Operation::ClaimMessage { writer: writer(gateway), claim: claim_of(keys, bytes), dead }
}

fn release(keys: &[(KeyName, Revision)], bytes: &str, may_come_late: bool) -> Operation {
    Operation::ReleaseMessage { claim: claim_of(keys, bytes), may_come_late }
}

fn done(names: &[KeyName]) -> Operation {
    Operation::SettleMessage { names: names.to_vec(), bytes: b"done".to_vec(), lasts: LASTS }
}

/// Three gateways whose keys of messages last.
fn bench<'a>(store: &'a mut dyn TestedStore, opened: &[usize]) -> Bench<'a> {
    let mut bench = Bench::new(store, opened);
    (0..3).for_each(|gateway| bench.applied(gateway, &Operation::KeepMessages { lasts: LASTS }));
    bench
}

/// What stands under keys of a message that cannot be claimed.
#[track_caller]
fn taken(bench: &mut Bench<'_>, claim: &Operation) -> Vec<(KeyName, Revision, String)> {
    let Outcome::MessageTaken(found) = bench.ask(1, claim) else { panic!("{claim:?} is refused") };
    let shown = |FoundKey { name, revision, bytes }| (name, revision, String::from_utf8_lossy(&bytes).into_owned());
    found.into_iter().map(shown).collect()
}

/// The revision and the bytes of what stands under the key of a message that has one.
#[track_caller]
fn stands(bench: &mut Bench<'_>, claim: &Operation) -> (Revision, String) {
    let found = taken(bench, claim);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().map(|(_, revision, bytes)| (revision, bytes)).next().unwrap_or_default()
}

fn message_is_claimed_once(store: &mut dyn TestedStore) {
    let mut bench = bench(store, &[0, 1]);
    bench.repeated(0, &claim(0, &[(A, 0)], "first", &[]), Outcome::Already);
    let (revision, bytes) = stands(&mut bench, &claim(1, &[(A, 0)], "second", &[]));
    assert_eq!(bytes, "first");
    // Whoever has seen what stands there may put something else in its place.
    bench.applied(1, &claim(1, &[(A, revision)], "second", &[]));
    let (next, bytes) = stands(&mut bench, &claim(1, &[(A, revision)], "third", &[]));
    assert!(next > revision && bytes == "second", "{next} {bytes}");
}

fn message_is_claimed_under_all_keys(store: &mut dyn TestedStore) {
    let mut bench = bench(store, &[0, 1]);
    bench.applied(0, &claim(0, &[(A, 0)], "first", &[]));
    let found = taken(&mut bench, &claim(1, &[(B, 0), (A, 0)], "second", &[]));
    assert_eq!(found.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), [A]);
    bench.applied(1, &claim(1, &[(B, 0)], "third", &[]));
}

fn dead_writer_claims_no_message(store: &mut dyn TestedStore) {
    let mut bench = bench(store, &[0, 1]);
    bench.applied(0, &close(0));
    bench.fenced(0, &claim(0, &[(A, 0)], "first", &[]));
    bench.applied(1, &claim(1, &[(A, 0)], "second", &[]));
}

fn only_a_dead_writers_claim_is_replaced(store: &mut dyn TestedStore) {
    let mut bench = bench(store, &[0, 1]);
    bench.applied(0, &claim(0, &[(A, 0)], "first", &[]));
    let (revision, _) = stands(&mut bench, &claim(1, &[(A, 0)], "second", &[]));
    let replacing = claim(1, &[(A, revision)], "second", &[0]);
    assert_eq!(taken(&mut bench, &replacing).len(), 1);
    bench.applied(0, &close(0));
    bench.applied(1, &replacing);
}

fn message_that_is_done_stays_done(store: &mut dyn TestedStore) {
    let mut bench = bench(store, &[0, 1]);
    let first = claim(0, &[(A, 0), (B, 0)], "first", &[]);
    let late = bench.call(0, &first);
    bench.applied(0, &first);
    bench.applied(0, &done(&[A, B]));
    bench.applied(0, &close(0));
    bench.carry(&late);
    let found = taken(&mut bench, &claim(1, &[(A, 0), (B, 0)], "second", &[]));
    assert_eq!(found.iter().map(|(.., bytes)| bytes.as_str()).collect::<Vec<_>>(), ["done"; 2]);
}

fn released_claim_leaves_the_message_free(store: &mut dyn TestedStore) {
    let mut bench = bench(store, &[0, 1]);
    bench.applied(0, &claim(0, &[(A, 0), (B, 0)], "first", &[]));
    bench.applied(0, &release(&[(A, 0), (B, 0)], "first", false));
    bench.applied(1, &claim(1, &[(A, 0), (B, 0)], "second", &[]));
}

fn released_claim_does_not_come_late(store: &mut dyn TestedStore) {
    let mut bench = bench(store, &[0, 1]);
    let first = claim(0, &[(A, 0)], "first", &[]);
    let late = bench.call(0, &first);
    bench.applied(0, &release(&[(A, 0)], "first", true));
    bench.carry(&late);
    let (revision, bytes) = stands(&mut bench, &claim(1, &[(A, 0)], "second", &[]));
    assert_eq!(bytes, "", "what is in the way of the late claim counts as nothing");
    bench.applied(1, &claim(1, &[(A, revision)], "second", &[]));
}

fn release_takes_no_other_claim_away(store: &mut dyn TestedStore) {
    let mut bench = bench(store, &[0, 1]);
    bench.applied(0, &claim(0, &[(A, 0)], "first", &[]));
    for may_come_late in [false, true] {
        bench.fenced(1, &release(&[(A, 0)], "second", may_come_late));
    }
    assert_eq!(stands(&mut bench, &claim(1, &[(A, 0)], "second", &[])).1, "first");
}
