//! Each state of a letter, and what is done about it.

use super::*;

const HERE: &str = "here";

/// The ring's letter of the delivery `x`.
fn letter(serial: u64, is_shared: bool) -> Listed {
    let mut ring = LetterIndex::default();
    ring.letters.push(serde_json::from_value(serde_json::json!({
        "slot": 0, "size": 100, "serial": serial, "endpoint": 1, "name": name_of("x"), "died": 0, "is_shared": is_shared,
    })).unwrap());
    ring.letters[0]
}

fn ring(letters: &[Listed], gone: &[&str]) -> LetterIndex {
    LetterIndex { letters: letters.to_vec(), serial: 9, gone: gone.iter().map(|name| name_of(name)).collect() }
}

/// What a worker knows that has asked when the ring was `then`, and was told that the journal has these letters.
fn told(then: &LetterIndex, names: &[(&str, u64)], taken: &[(&str, &str)]) -> FleetLetters {
    let mut letters = FleetLetters::default();
    letters.begin_list(then);
    let names = names.iter().map(|(name, revision)| ((*name).to_owned(), *revision)).collect();
    let taken = taken.iter().map(|(name, who)| ((*name).to_owned(), (*who).to_owned())).collect();
    let list = LetterList { names: Some(names), has_more: false, changed: Some(9), taken };
    assert_eq!(letters.take_list(list), None);
    letters
}

fn plan(letters: &FleetLetters, ring: &LetterIndex, redelivered: &[&str]) -> LetterPlan {
    let gone = ring.gone.iter().copied().collect();
    let redelivered = redelivered.iter().map(|name| name_of(name)).collect();
    letters.plan(&Here { ring, gone: &gone, redelivered: &redelivered, instance: HERE, largest: 1000 })
}

fn changes(changes: &[PlannedChange]) -> LetterPlan {
    LetterPlan { changes: changes.to_vec().into(), ..LetterPlan::default() }
}

/// Every row of the table at the top.
#[test]
fn each_state_of_a_letter_has_its_plan() {
    let (own, shared, x) = (letter(1, false), letter(1, true), || "x".to_owned());
    let read = || LetterPlan { read: [x()].into(), ..LetterPlan::default() };
    let none = LetterPlan::default;
    let there: &[(&str, u64)] = &[("x", 5)];
    for (ring, names, taken, redelivered, expected) in [
        (ring(&[own], &[]), &[][..], &[][..], &[][..], changes(&[PlannedChange::Keep(own)])),
        (ring(&[own], &[]), there, &[], &[], LetterPlan { share: vec![(1, name_of("x"))], ..none() }),
        (ring(&[own], &["x"]), there, &[("x", HERE)], &[], changes(&[PlannedChange::Keep(own)])),
        (ring(&[shared], &[]), &[], &[], &[], LetterPlan { drop: vec![shared], ..none() }),
        (ring(&[shared], &[]), there, &[], &[], none()),
        (ring(&[shared], &[]), there, &[("x", "elsewhere")], &[], LetterPlan { drop: vec![shared], ..none() }),
        (ring(&[], &["x"]), there, &[], &[], changes(&[PlannedChange::Forget(x())])),
        (ring(&[], &["x"]), there, &[], &["x"], changes(&[PlannedChange::Take(x())])),
        (ring(&[], &["x"]), there, &[("x", HERE)], &["x"], none()),
        (ring(&[], &["x"]), &[], &[], &[], LetterPlan { settled: [name_of("x")].into(), ..none() }),
        (ring(&[], &[]), there, &[], &[], read()),
        (ring(&[], &[]), there, &[("x", "elsewhere")], &[], none()),
    ] {
        let letters = told(&ring, names, taken);
        assert_eq!(plan(&letters, &ring, redelivered), expected, "{ring:?} {names:?} {taken:?} {redelivered:?}");
    }
}

/// What has come into the ring, left it, or was shared since the question is decided by the next answer.
#[test]
fn what_has_changed_since_the_question_waits() {
    let empty = LetterIndex::default();
    let letters = told(&empty, &[], &[]);
    for now in [ring(&[letter(10, false)], &[]), ring(&[letter(1, true)], &[]), ring(&[], &["x"])] {
        assert_eq!(plan(&letters, &now, &[]), LetterPlan::default(), "{now:?}");
    }
}

/// A letter that another gateway has written anew is read, once.
#[test]
fn a_letter_of_a_later_revision_is_read() {
    let now = ring(&[letter(1, true)], &[]);
    let mut letters = told(&now, &[("x", 5)], &[]);
    let list = |names: Option<Vec<(String, u64)>>| LetterList { names, changed: Some(9), ..LetterList::default() };
    letters.begin_list(&now);
    letters.take_list(list(Some(vec![("x".to_owned(), 7)])));
    assert_eq!(plan(&letters, &now, &[]).read, ["x"]);
    letters.hold(name_of("x"), Some(7));
    assert_eq!(plan(&letters, &now, &[]), LetterPlan::default());
    // Its own writing, of whatever revision, is what the ring has.
    letters.hold(name_of("x"), None);
    letters.begin_list(&now);
    letters.take_list(list(Some(vec![("x".to_owned(), 8)])));
    assert_eq!(plan(&letters, &now, &[]), LetterPlan::default());
}

/// A letter that the ring does not take is not read again before it changes.
#[test]
fn a_letter_that_is_left_alone_is_not_read_again() {
    let empty = LetterIndex::default();
    let mut letters = told(&empty, &[("x", 5)], &[]);
    letters.leave(name_of("x"), 5);
    assert_eq!(plan(&letters, &empty, &[]), LetterPlan::default());
    letters.begin_list(&empty);
    letters.take_list(LetterList { names: Some(vec![("x".to_owned(), 6)]), ..LetterList::default() });
    assert_eq!(plan(&letters, &empty, &[]).read, ["x"]);
}

/// A list in parts is one only with its last part: one that breaks off is asked for from its beginning.
#[test]
fn a_list_that_breaks_off_is_none() {
    let part = |name: &str, has_more| LetterList {
        names: Some(vec![(name.to_owned(), 5)]),
        has_more,
        changed: Some(9),
        taken: Vec::new(),
    };
    let (mut letters, empty) = (FleetLetters::default(), LetterIndex::default());
    assert_eq!(letters.begin_list(&empty), None);
    assert_eq!(letters.take_list(part("a", true)), Some("a".to_owned()));
    assert_eq!(letters.begin_list(&empty), None, "not known yet");
    assert_eq!(letters.take_list(part("b", true)), Some("b".to_owned()));
    assert_eq!(letters.take_list(part("c", false)), None);
    assert_eq!(plan(&letters, &empty, &[]).read.len(), 2);
    assert_eq!(letters.begin_list(&empty), Some(9));
}
